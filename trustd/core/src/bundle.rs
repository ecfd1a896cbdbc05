//! A set of certificates, collected from texts: unique, filtered, in a fixed order.
//!
//! Everything that is left out is reported with its place. The output is byte for byte that of
//! trust-manager for the same certificates.

mod nature;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::{Certificate, Sha256, Unsound};
use crate::escape::printable;
use crate::names::Origin;
use crate::pem;
use crate::time::Timestamp;

pub use nature::{Nature, nature};

/// Filters that leave sound certificates out of every bundle. Process-wide, off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// `--filter-expired-certificates`: leaves out certificates that are past their notAfter.
    pub expired: bool,
    /// `--filter-non-ca-certs`: leaves out certificates whose basicConstraints do not say CA.
    pub non_ca: bool,
}

/// A certificate of a bundle, and the first place (in the order of places) that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub certificate: Certificate,
    pub origin: Origin,
    /// Line of the BEGIN marker, from 1; 0 if the value is the certificate itself, in DER.
    pub line: usize,
}

/// A finding that is not in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dropped {
    pub origin: Origin,
    /// Line of the BEGIN marker, from 1; 0 for the whole value.
    pub line: usize,
    /// SHA-256, if it is a certificate.
    pub sha256: Option<Sha256>,
    /// Subject, if it is a certificate that is not in the bundle already.
    pub subject: Option<String>,
    pub why: Why,
}

/// The reason for which a finding is not in the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A certificate that the bundle holds already.
    Duplicate,
    /// A certificate past its notAfter, and the expiry filter is on.
    Expired,
    /// A value under a key that the Bundle names, or its inline text, without any certificate.
    NoCertificate(Nature),
    /// A certificate that is not a CA, and the CA filter is on.
    NotCa,
    /// The one certificate that trust-manager leaves out by its digest, so that bytes stay the
    /// same.
    Skipped,
    /// Text that is no readable PEM block.
    Unreadable(pem::Fault),
}

impl Why {
    /// Returns true if a filter that the operator enabled dropped it.
    #[must_use]
    pub const fn is_filter(self) -> bool {
        matches!(self, Self::Expired | Self::NotCa)
    }

    /// Returns true if the source is faulty. The skipped EC-ACC root is no fault of its source.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(self, Self::NoCertificate(_) | Self::Unreadable(_))
    }

    /// Returns true if it is missing from the bundle although no filter asked for that.
    #[must_use]
    pub const fn is_skip(self) -> bool {
        matches!(self, Self::NoCertificate(_) | Self::Skipped | Self::Unreadable(_))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate => f.write_str("it is in the bundle already"),
            Self::Expired => f.write_str("it has expired, and --filter-expired-certificates is on"),
            Self::NoCertificate(nature) => write!(f, "{nature}"),
            Self::NotCa => {
                f.write_str("it is not a CA certificate, and --filter-non-ca-certs is on")
            }
            Self::Skipped => {
                f.write_str("trust-manager leaves out this EC-ACC root, so trustd does")
            }
            Self::Unreadable(fault) => write!(f, "{fault}"),
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, line, sha256, subject, why } = self;
        if let Why::NoCertificate(nature) = why {
            return write!(f, "{origin} holds no certificate: {nature}");
        }
        match line {
            0 => write!(f, "{origin}: ")?,
            line => write!(f, "{origin}, line {line}: ")?,
        }
        match (sha256, subject) {
            (Some(sha256), Some(subject)) => {
                let whole = printable(subject);
                let shown: String = whole.chars().take(SUBJECT_CHARS_MAX).collect();
                let more = if shown.len() < whole.len() { "…" } else { "" };
                write!(f, "certificate {sha256} (subject {shown}{more}) left out: {why}")
            }
            (Some(sha256), None) => write!(f, "certificate {sha256} left out: {why}"),
            (None, _) => write!(f, "PEM block left out: {why}"),
        }
    }
}

/// A text that must not be distributed. The message never quotes it, because it may be a private
/// key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{origin}, line {line}: {kind}")]
pub struct Rejected {
    pub origin: Origin,
    /// Line of the BEGIN marker, counted from 1.
    pub line: usize,
    pub kind: RejectedKind,
}

/// The reason for which a text must not be distributed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum RejectedKind {
    /// RFC 1421 headers, which certificates do not have (RFC 7468, 2).
    #[error("a PEM block with headers; remove them")]
    Headers,
    /// Something other than a certificate, perhaps a private key.
    #[error("only CERTIFICATE blocks may be distributed, and this is a `{0}` block; remove it")]
    NotACertificate(String),
    /// A CERTIFICATE block whose content is no certificate.
    #[error("a CERTIFICATE block whose content is {0}")]
    Unsound(#[from] Unsound),
}

/// Collects texts into a bundle.
#[derive(Debug)]
pub struct Collector {
    filters: Filters,
    now: Timestamp,
    members: BTreeMap<Sha256, Member>,
    dropped: Vec<Dropped>,
}

impl Collector {
    /// Creates an empty collector; the expiry filter compares with `now`.
    #[must_use]
    pub const fn new(filters: Filters, now: Timestamp) -> Self {
        Self { filters, now, members: BTreeMap::new(), dropped: Vec::new() }
    }

    /// Reads every PEM block of `text`, and returns the number of items found, readable or not.
    ///
    /// # Errors
    /// Everything in the text that must not be distributed. Then nothing of it is collected.
    pub fn add(&mut self, origin: &Origin, text: &[u8]) -> Result<usize, Vec<Rejected>> {
        let items = pem::read(text);
        let found = items.len();
        let mut members = Vec::new();
        let mut rejected = Vec::new();
        for item in items {
            match item {
                pem::Item::Block(block) => match certificate(&block) {
                    Ok(certificate) => members.push((certificate, block.line)),
                    Err(kind) => {
                        rejected.push(Rejected { origin: origin.clone(), line: block.line, kind });
                    }
                },
                pem::Item::Unreadable(lost) => self.dropped.push(Dropped {
                    origin: origin.clone(),
                    line: lost.line,
                    sha256: None,
                    subject: None,
                    why: Why::Unreadable(lost.fault),
                }),
            }
        }
        // All or nothing: half of a file that also holds a private key is not what anybody meant.
        if !rejected.is_empty() {
            return Err(rejected);
        }
        for (certificate, line) in members {
            self.add_certificate(Member { certificate, origin: origin.clone(), line });
        }
        Ok(found)
    }

    /// Reads a value whose key the Bundle names, or its inline text. A certificate is expected in
    /// it, so an empty result is reported, and DER is accepted too.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_named(&mut self, origin: &Origin, text: &[u8]) -> Result<(), Vec<Rejected>> {
        if let Ok(certificate) = Certificate::from_der(text) {
            self.add_certificate(Member { certificate, origin: origin.clone(), line: 0 });
        } else if self.add(origin, text)? == 0 {
            self.report_none(origin, nature(text));
        }
        Ok(())
    }

    /// Reports a value in which a certificate is expected and none was read.
    pub fn report_none(&mut self, origin: &Origin, nature: Nature) {
        self.dropped.push(Dropped {
            origin: origin.clone(),
            line: 0,
            sha256: None,
            subject: None,
            why: Why::NoCertificate(nature),
        });
    }

    fn add_certificate(&mut self, member: Member) {
        let sha256 = member.certificate.sha256();
        // trust-manager skips this root unconditionally; a bundle with it would have another hash.
        let why = if *sha256.bytes() == EC_ACC {
            Why::Skipped
        } else if self.filters.expired && member.certificate.is_expired(self.now) {
            Why::Expired
        } else if self.filters.non_ca && !member.certificate.is_ca() {
            Why::NotCa
        } else {
            // The first place in the order of places stays, so that the order of sources in the
            // spec does not matter.
            let later = match self.members.entry(sha256) {
                Entry::Vacant(free) => {
                    free.insert(member);
                    return;
                }
                Entry::Occupied(mut held) => {
                    let first = (&held.get().origin, held.get().line);
                    if first <= (&member.origin, member.line) {
                        member
                    } else {
                        held.insert(member)
                    }
                }
            };
            return self.drop(later, Why::Duplicate);
        };
        self.drop(member, why);
    }

    fn drop(&mut self, member: Member, why: Why) {
        let Member { certificate, origin, line } = member;
        let sha256 = Some(certificate.sha256());
        // A duplicate is identified by the member that stays, so its subject need not be parsed.
        let subject = (why != Why::Duplicate).then(|| certificate.facts().subject);
        self.dropped.push(Dropped { origin, line, sha256, subject, why });
    }

    /// Returns the collected bundle.
    #[must_use]
    pub fn finish(mut self) -> TrustBundle {
        self.dropped.sort();
        TrustBundle { members: self.members.into_values().collect(), dropped: self.dropped }
    }
}

/// Returns the certificate in a block, or the reason for which it must not be distributed.
fn certificate(block: &pem::Block<'_>) -> Result<Certificate, RejectedKind> {
    if block.label != CERTIFICATE {
        let label = pem::printable_label(&block.label);
        return Err(RejectedKind::NotACertificate(label.to_owned()));
    }
    if block.headers {
        return Err(RejectedKind::Headers);
    }
    Ok(Certificate::from_der(&block.content)?)
}

/// Unique certificates in ascending order of their SHA-256, which is trust-manager's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustBundle {
    members: Vec<Member>,
    dropped: Vec<Dropped>,
}

impl TrustBundle {
    /// The certificates, ascending by SHA-256.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Findings that were left out, sorted by place.
    #[must_use]
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// Removes the certificates, but keeps what was left out, for a bundle that cannot be built.
    #[must_use]
    pub fn without_members(self) -> Self {
        Self { members: Vec::new(), dropped: self.dropped }
    }

    /// Returns true if there is no certificate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the time at which the first certificate expires.
    #[must_use]
    pub fn earliest_not_after(&self) -> Option<Timestamp> {
        self.members.iter().map(|member| member.certificate.not_after()).min()
    }

    /// Returns the time at which the first certificate that is still valid at `now` expires.
    #[must_use]
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        let valid = |member: &&Member| !member.certificate.is_expired(now);
        self.members.iter().filter(valid).map(|member| member.certificate.not_after()).min()
    }

    /// The bundle as PEM: 64 columns, LF, no comments, no newline at the end.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let ders = self.members.iter().map(|member| member.certificate.der());
        let size = ders.clone().map(|der| pem_len(der.len())).sum();
        // The exact size avoids reallocations: the bundle of all public roots has 220 KB.
        let mut out = String::with_capacity(size);
        for der in ders {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str("-----BEGIN CERTIFICATE-----\n");
            for line in der.chunks(PEM_LINE_BYTES) {
                STANDARD.encode_string(line, &mut out);
                out.push('\n');
            }
            out.push_str("-----END CERTIFICATE-----");
        }
        out
    }
}

/// Length of a certificate of `der` bytes in PEM, with a newline before it.
const fn pem_len(der: usize) -> usize {
    let frame = "\n-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----".len();
    frame + der.div_ceil(3) * 4 + der.div_ceil(PEM_LINE_BYTES)
}

/// Limit on the characters of a subject in a message; the digest identifies the certificate.
const SUBJECT_CHARS_MAX: usize = 120;
const CERTIFICATE: &str = "CERTIFICATE";
/// 64 columns of base64.
const PEM_LINE_BYTES: usize = 48;
/// An old Catalan root with a negative serial number, which Debian once shipped:
/// 88497f01602f3154246ae28c4d5aef10f1d87ebb76626f4ae0b7f95ba7968799.
const EC_ACC: [u8; 32] = [
    0x88, 0x49, 0x7f, 0x01, 0x60, 0x2f, 0x31, 0x54, 0x24, 0x6a, 0xe2, 0x8c, 0x4d, 0x5a, 0xef, 0x10,
    0xf1, 0xd8, 0x7e, 0xbb, 0x76, 0x62, 0x6f, 0x4a, 0xe0, 0xb7, 0xf9, 0x5b, 0xa7, 0x96, 0x87, 0x99,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_795_255_200); // 2026-11-21

    fn origin(index: usize) -> Origin {
        Origin::InLine { index }
    }

    /// The recorded answers of trust-manager's own code (tests/fixtures/peer/README.md).
    #[test]
    fn texts_become_the_bundle_that_trust_manager_makes_of_them() {
        #[derive(serde::Deserialize)]
        struct Goldens {
            cases: Vec<Case>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Case {
            name: String,
            inputs: Vec<String>,
            #[serde(default)]
            filter_expired: bool,
            #[serde(default, rename = "filterNonCA")]
            filter_non_ca: bool,
            error: Option<String>,
            pem: Option<String>,
        }
        let goldens: Goldens =
            serde_json::from_str(include_str!("../../../tests/fixtures/peer/pools.json")).unwrap();
        assert!(goldens.cases.len() >= 30);
        let mut wider = Vec::new();
        for case in goldens.cases {
            let filters = Filters { expired: case.filter_expired, non_ca: case.filter_non_ca };
            let mut collector = Collector::new(filters, NOW);
            let rejected = case.inputs.iter().enumerate().any(|(at, input)| {
                let text = STANDARD.decode(input).unwrap();
                collector.add(&origin(at), &text).is_err()
            });
            match case.error {
                Some(_) if !rejected => wider.push(case.name),
                Some(_) => {}
                None => {
                    assert!(!rejected, "{}", case.name);
                    let pem = collector.finish().to_pem();
                    assert_eq!(pem, case.pem.unwrap_or_default(), "{}", case.name);
                }
            }
        }
        // docs/decisions/0002: a sound certificate is kept though Go cannot read it.
        assert_eq!(wider, ["a negative serial number", "a brainpool key"]);
    }

    fn texts() -> Vec<String> {
        let all = [
            include_str!("../../../tests/fixtures/peer/ca/alpha.pem"),
            include_str!("../../../tests/fixtures/peer/ca/beta.pem"),
            include_str!("../../../tests/fixtures/peer/ca/gamma.pem"),
            include_str!("../../../tests/fixtures/peer/ca/expired.pem"),
            include_str!("../../../tests/fixtures/peer/ca/leaf.pem"),
            include_str!("../../../tests/fixtures/peer/ca/ec-acc.pem"),
            "-----BEGIN CERTIFICATE-----\nAQID\n",
            "no certificate here\n",
        ];
        all.map(str::to_owned).to_vec()
    }

    fn collect(texts: &[String], filters: Filters) -> TrustBundle {
        let mut collector = Collector::new(filters, NOW);
        for (at, text) in texts.iter().enumerate() {
            collector.add(&origin(at), text.as_bytes()).unwrap();
        }
        collector.finish()
    }

    #[test]
    fn everything_found_is_in_the_bundle_or_reported_with_its_place() {
        let mut texts = texts();
        texts.push(format!("\n\n{}", texts[1]));
        let bundle = collect(&texts, Filters { expired: true, non_ca: true });
        assert_eq!(bundle.members().len(), 3);
        let dropped: Vec<_> =
            bundle.dropped().iter().map(|d| (d.origin.clone(), d.line, d.why)).collect();
        assert_eq!(
            dropped,
            [
                (origin(3), 1, Why::Expired),
                (origin(4), 1, Why::NotCa),
                (origin(5), 1, Why::Skipped),
                (origin(6), 1, Why::Unreadable(pem::Fault::NoEnd)),
                (origin(8), 3, Why::Duplicate),
            ]
        );
    }

    #[test]
    fn a_private_key_rejects_its_text_with_place_and_without_content() {
        let text = format!(
            "{}-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
            texts()[0]
        );
        let line = texts()[0].lines().count() + 1;
        let mut collector = Collector::new(Filters::default(), NOW);
        let rejected = collector.add(&origin(0), text.as_bytes()).unwrap_err();
        let message = rejected[0].to_string();
        assert_eq!(
            message,
            format!(
                "spec.sources[0].inLine, line {line}: only CERTIFICATE blocks may be distributed, \
                 and this is a `PRIVATE KEY` block; remove it"
            )
        );
        assert!(collector.finish().is_empty(), "the certificate before it is not taken either");
    }

    #[test]
    fn the_next_expiry_is_of_a_certificate_still_valid() {
        let bundle = collect(&texts(), Filters::default());
        let earliest = bundle.earliest_not_after().unwrap();
        assert!(earliest < NOW);
        assert!(bundle.next_expiry(NOW).unwrap() > NOW);
    }

    proptest! {
        #[test]
        fn the_order_of_sources_does_not_matter(order in Just(texts()).prop_shuffle()) {
            let wanted = collect(&texts(), Filters::default());
            let got = collect(&order, Filters::default());
            prop_assert_eq!(got.to_pem(), wanted.to_pem());
            let why = |b: &TrustBundle| {
                let mut all: Vec<_> = b.dropped().iter().map(|d| (d.sha256, d.why)).collect();
                all.sort();
                all
            };
            prop_assert_eq!(why(&got), why(&wanted));
        }

        #[test]
        fn assembling_what_was_assembled_changes_nothing(
            chosen in proptest::sample::subsequence(texts(), 0..8),
        ) {
            let once = collect(&chosen, Filters::default()).to_pem();
            let again = collect(std::slice::from_ref(&once), Filters::default());
            prop_assert_eq!(again.to_pem(), once);
            prop_assert!(again.dropped().is_empty());
        }

        #[test]
        fn arbitrary_texts_never_panic_and_nothing_in_them_is_lost(
            parts in proptest::collection::vec(
                prop_oneof![proptest::sample::select(texts()), any::<String>()], 0..8),
        ) {
            let text = parts.concat();
            let mut collector = Collector::new(Filters::default(), NOW);
            if let Ok(found) = collector.add(&origin(0), text.as_bytes()) {
                let bundle = collector.finish();
                prop_assert_eq!(bundle.members().len() + bundle.dropped().len(), found);
                let unique: BTreeSet<_> =
                    bundle.members().iter().map(|m| m.certificate.sha256()).collect();
                prop_assert_eq!(unique.len(), bundle.members().len());
            }
        }
    }
}
