//! The verdict on a chain and the way that explains it best.

use std::cmp::Reverse;
use std::time::Duration;

use rustls::crypto::ring;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage};

use super::Terms;
use super::check::{Position, Role, SIGNATURE_UNSUPPORTED, check, words};
use super::constraints::Constraints;
use super::finding::Finding;
use super::pool::{Node, Pool, Provenance};
use super::walk::{Differs, End, Lookalike, Route, walk};
use crate::cli::Purpose;
use crate::cmd::show::printable;

/// All there is to say of a chain.
pub(super) struct Judgement<'p, 'c> {
    pub(super) verdict: Verdict,
    /// The certificates of the best way, the one that was judged first.
    pub(super) links: Vec<Link<'p, 'c>>,
    /// The issuer that is missing at the end.
    pub(super) missing: Option<String>,
    pub(super) lookalikes: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Does it verify? If not, the first reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    NotVerified(String),
    Undecided(String),
    Verified,
}

/// One certificate of a way.
pub(super) struct Link<'p, 'c> {
    pub(super) node: &'p Node<'c>,
    pub(super) role: Role,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn judge<'p, 'c>(pool: &'p Pool<'c>, terms: &Terms) -> Judgement<'p, 'c> {
    let routes = walk(pool);
    let cut = routes.cut;
    let mut constraints = Constraints::default();
    let judged = routes.found.into_iter().map(|route| {
        let links = links(&route, pool, terms, &mut constraints);
        (route, links)
    });
    // The first of the best, so that the order of the files decides between equals.
    let best = judged.min_by_key(|(route, links)| {
        let blocked = links.iter().flat_map(|link| &link.findings).filter(|f| f.blocks).count();
        match route.end {
            End::Root => (0, blocked, Reverse(0)),
            End::Missing(_) => (1, blocked, Reverse(links.len())),
        }
    });
    let (end, mut links) = match best {
        Some((route, links)) => (route.end, links),
        None => (End::Missing(Vec::new()), Vec::new()),
    };
    let mut notes = notes(pool, &end, &links);
    if cut {
        notes.push("the search was cut short: too many ways to put this chain together".to_owned());
    }
    let (mut missing, lookalikes) = match &end {
        End::Root => (None, Vec::new()),
        End::Missing(alike) => (Some(missing(pool, &links)), alike.iter().map(lookalike).collect()),
    };
    let verdict = verdict(pool, terms, &mut links, missing.as_deref());
    if verdict == Verdict::Verified {
        // Should the walk ever be stricter than webpki, the explanation must not contradict it.
        links.iter_mut().flat_map(|link| &mut link.findings).for_each(|f| f.blocks = false);
        missing = None;
    }
    Judgement { verdict, links, missing, lookalikes, notes }
}

fn links<'p, 'c>(
    route: &Route<'p, 'c>,
    pool: &'p Pool<'c>,
    terms: &Terms,
    constraints: &mut Constraints,
) -> Vec<Link<'p, 'c>> {
    let last = route.steps.len().saturating_sub(1);
    let link = |(index, step)| {
        let role = match (index, &route.end) {
            (0, _) => Role::Leaf,
            (index, End::Root) if index == last => Role::Root,
            _ => Role::Intermediate,
        };
        let step: &super::walk::Step<'p, 'c> = step;
        let position = Position { step, role, below: index.saturating_sub(1), leaf: &pool.leaf };
        Link { node: step.node, role, findings: check(&position, terms, constraints) }
    };
    route.steps.iter().enumerate().map(link).collect()
}

fn verdict(
    pool: &Pool<'_>,
    terms: &Terms,
    links: &mut [Link<'_, '_>],
    missing: Option<&str>,
) -> Verdict {
    let mut reasons = links.iter().flat_map(|link| {
        let subject = printable(&link.node.facts.subject);
        link.findings.iter().filter(|finding| finding.blocks).map(move |finding| {
            (finding.kind == SIGNATURE_UNSUPPORTED, format!("`{subject}`: {}", finding.message))
        })
    });
    let first = reasons.next();
    let only_unsupported =
        first.as_ref().is_some_and(|(open, _)| *open) && reasons.all(|(open, _)| open);
    let reason = first.map(|(_, reason)| reason).or_else(|| missing.map(str::to_owned));
    let refused = |reason| {
        if only_unsupported && missing.is_none() {
            Verdict::Undecided(reason)
        } else {
            Verdict::NotVerified(reason)
        }
    };
    match (ask_webpki(pool, terms), reason) {
        (Some(Ok(())), _) | (None, None) => Verdict::Verified,
        (_, Some(reason)) => refused(reason),
        (Some(Err(error)), None) => {
            let message = words(&error);
            if let Some(leaf) = links.first_mut() {
                let finding = Finding { kind: "refused", message: message.clone(), blocks: true };
                leaf.findings.push(finding);
            }
            Verdict::NotVerified(message)
        }
    }
}

/// Returns rustls' verdict, or `None` if it has none: it judges servers and clients, not CAs, and
/// accepts version 3 only.
fn ask_webpki(pool: &Pool<'_>, terms: &Terms) -> Option<Result<(), Error>> {
    let is_end_entity = !pool.leaf.certificate.is_ca() && pool.leaf.facts.version == 3;
    if terms.purpose == Purpose::Any && !is_end_entity {
        return None;
    }
    let roots: Vec<CertificateDer<'_>> = pool.roots.iter().map(der).collect();
    let anchors: Vec<TrustAnchor<'_>> =
        roots.iter().filter_map(|root| webpki::anchor_from_trusted_cert(root).ok()).collect();
    let sent: Vec<CertificateDer<'_>> = pool.sent.iter().map(der).collect();
    let seconds = u64::try_from(terms.now.unix()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let leaf = der(&pool.leaf);
    Some(EndEntityCert::try_from(&leaf).and_then(|leaf| {
        // ring's by name: in a workspace build webpki may hold those of another library as well.
        let algorithms = ring::default_provider().signature_verification_algorithms.all;
        leaf.verify_for_usage(algorithms, &anchors, &sent, now, Usage(terms.purpose), None, None)?;
        terms.name.as_ref().map_or(Ok(()), |name| leaf.verify_is_valid_for_subject_name(name))
    }))
}

fn der<'p>(node: &'p Node<'_>) -> CertificateDer<'p> {
    CertificateDer::from(node.certificate.der())
}

/// The extended key usage that a purpose asks for.
struct Usage(Purpose);

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, ids: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        match self.0 {
            Purpose::Any => Ok(()),
            Purpose::Client => KeyUsage::client_auth().validate(ids),
            Purpose::Server => KeyUsage::server_auth().validate(ids),
        }
    }
}

/// Describes the issuer that is missing, and where it was looked for.
fn missing(pool: &Pool<'_>, links: &[Link<'_, '_>]) -> String {
    let Some(last) = links.last() else { return "there is no way to a root".to_owned() };
    let subject = printable(&last.node.facts.subject);
    if last.node.subject() == last.node.issuer() {
        return format!("`{subject}` names itself as its issuer and is not in the bundle");
    }
    format!(
        "the issuer of `{subject}`, `{}`, is neither in the bundle ({}) nor in the chain",
        printable(&last.node.facts.issuer),
        crate::cmd::show::count(pool.roots.len(), "certificate"),
    )
}

fn lookalike(alike: &Lookalike<'_, '_>) -> String {
    let differs = match alike.differs {
        Differs::Encoding => {
            "has a name that reads the same and is encoded otherwise, which OpenSSL takes and rustls \
             and Go do not"
        }
        Differs::Key => "has that name and another key: the signature is not by it",
    };
    format!("{} {differs} (SHA-256 {})", place(alike.node), alike.node.certificate.sha256())
}

/// Describes where a certificate was found.
pub(super) fn place(node: &Node<'_>) -> String {
    let (number, of) = match node.place {
        Provenance::Bundle(number) => (number, "bundle"),
        Provenance::Chain(number) => (number, "chain"),
    };
    let line = node.line.map(|line| format!(", line {line}")).unwrap_or_default();
    format!("certificate {number} of the {of}{line}")
}

fn notes(pool: &Pool<'_>, end: &End<'_, '_>, links: &[Link<'_, '_>]) -> Vec<String> {
    let mut notes = Vec::new();
    let root = links.last().filter(|link| link.role == Role::Root);
    if root.is_some_and(|root| root.node.subject() != root.node.issuer()) {
        notes.push(
            "the path ends at a certificate that is not self-signed; OpenSSL takes that with \
             -partial_chain only"
                .to_owned(),
        );
    }
    let leaf = pool.leaf.certificate;
    if matches!(end, End::Missing(_)) && pool.roots.iter().any(|root| root.certificate == leaf) {
        notes.push(
            "the bundle holds this very certificate; Go takes that, rustls wants its issuer there"
                .to_owned(),
        );
    }
    if leaf.is_ca() && pool.sent.iter().any(|sent| !sent.certificate.is_ca()) {
        notes.push(
            "the first certificate is a CA and a later one is not; is the order right?".to_owned(),
        );
    }
    if pool.unreadable > 0 {
        let count = crate::cmd::show::count(pool.unreadable, "certificate");
        notes.push(format!("{count} with unreadable keys or extensions played no part"));
    }
    notes
}
