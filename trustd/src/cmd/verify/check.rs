//! What can be wrong with one certificate of a path, apart from its signature.
//!
//! A finding blocks when webpki refuses for it; others are warnings about stricter programs.

use std::net::IpAddr;

use rustls_pki_types::{CertificateDer, ServerName};
use webpki::{EndEntityCert, Error};
use x509_parser::extensions::{GeneralName, GeneralSubtree};

use super::Terms;
use super::pool::Node;
use super::walk::{Signed, Step};
use crate::cli::Purpose;
use crate::cmd::show::printable;

/// Something wrong with a certificate in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// A fixed word for programs.
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// Whether the chain does not verify for it.
    pub(super) blocks: bool,
}

/// The kind of [`Finding`] that leaves the verdict open.
pub(super) const SIGNATURE_UNSUPPORTED: &str = "signatureUnsupported";

/// What a certificate is in its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Intermediate,
    Leaf,
    Root,
}

/// A certificate in its place: `below` are the CA certificates between it and the leaf.
pub(super) struct Position<'a, 'p, 'c> {
    pub(super) step: &'a Step<'p, 'c>,
    pub(super) role: Role,
    pub(super) below: usize,
    pub(super) leaf: &'p Node<'c>,
}

/// All that is wrong with a certificate in its place.
pub(super) fn check(position: &Position<'_, '_, '_>, terms: &Terms) -> Vec<Finding> {
    let Position { step, role, leaf, .. } = *position;
    let node = step.node;
    let mut findings = Vec::new();
    if step.signed == Signed::Unsupported {
        findings.push(unsupported(node));
    }
    validity(node, role, terms, &mut findings);
    match role {
        Role::Leaf => {
            readable(node, terms, &mut findings);
            purpose(node, terms, &mut findings);
            name(node, terms, &mut findings);
        }
        Role::Intermediate => {
            readable(node, terms, &mut findings);
            purpose(node, terms, &mut findings);
            authority(position, &mut findings);
            constraints(node, leaf, &mut findings);
        }
        Role::Root => {
            authority(position, &mut findings);
            constraints(node, leaf, &mut findings);
        }
    }
    findings
}

fn blocking(kind: &'static str, message: String) -> Finding {
    Finding { kind, message, blocks: true }
}

fn unsupported(node: &Node<'_>) -> Finding {
    let algorithm = node.parsed.signature_algorithm.algorithm.to_id_string();
    blocking(
        SIGNATURE_UNSUPPORTED,
        format!("its signature (algorithm {algorithm}) cannot be checked by rustls with ring"),
    )
}

fn validity(node: &Node<'_>, role: Role, terms: &Terms, findings: &mut Vec<Finding>) {
    let not_after = node.certificate.not_after();
    let (kind, mut message) = match node.facts.not_before {
        Some(not_before) if terms.now < not_before => (
            "notYetValid",
            format!("it is valid only from {not_before} on, and it is {}", terms.now),
        ),
        _ if terms.now > not_after => ("expired", format!("it expired at {not_after}")),
        _ => return,
    };
    let blocks = role != Role::Root;
    if !blocks {
        message.push_str("; rustls does not look at that in a root, OpenSSL and Go do");
    }
    findings.push(Finding { kind, message, blocks });
}

/// Whether webpki can make sense of it: version 3, known critical extensions, sound encoding.
fn readable(node: &Node<'_>, terms: &Terms, findings: &mut Vec<Finding>) {
    if node.facts.version != 3 {
        let lenient = terms.purpose == Purpose::Any;
        findings.push(Finding {
            kind: "version",
            message: format!(
                "it is of X.509 version {}, and rustls takes version 3 only",
                node.facts.version
            ),
            blocks: !lenient,
        });
        return;
    }
    let der = CertificateDer::from(node.certificate.der());
    if let Err(error) = EndEntityCert::try_from(&der) {
        findings.push(blocking("malformed", words(&error)));
    }
}

/// Extended key usage, which webpki wants to allow the purpose all the way up to the root.
fn purpose(node: &Node<'_>, terms: &Terms, findings: &mut Vec<Finding>) {
    let Ok(Some(usage)) = node.parsed.extended_key_usage() else { return };
    let (allowed, wanted) = match terms.purpose {
        Purpose::Any => return,
        Purpose::Client => (usage.value.client_auth, "clientAuth"),
        Purpose::Server => (usage.value.server_auth, "serverAuth"),
    };
    if !allowed {
        let message = format!("its extendedKeyUsage does not list {wanted}");
        findings.push(blocking("extendedKeyUsage", message));
    }
}

fn name(node: &Node<'_>, terms: &Terms, findings: &mut Vec<Finding>) {
    if node.certificate.is_ca() && terms.purpose != Purpose::Any {
        let message = "it is a CA certificate, which rustls does not take for a server or client; \
                       --purpose any asks for the chain alone";
        findings.push(blocking("caAsLeaf", message.to_owned()));
    }
    let Some(wanted) = &terms.name else { return };
    let der = CertificateDer::from(node.certificate.der());
    let Ok(leaf) = EndEntityCert::try_from(&der) else { return };
    if leaf.verify_is_valid_for_subject_name(wanted).is_ok() {
        return;
    }
    let names: Vec<String> = alternative_names(node)
        .into_iter()
        .map(|name| match name {
            Name::Address(address) => address.to_string(),
            Name::Dns(name) => printable(name),
        })
        .collect();
    let valid_for = if names.is_empty() {
        "its subjectAltName lists no DNS name and no address".to_owned()
    } else {
        format!("it is valid for {}", names.join(", "))
    };
    let message = format!("it is not valid for {}: {valid_for}", wanted.to_str());
    findings.push(blocking("nameMismatch", message));
}

/// Whether it may issue certificates at all, and at this depth.
fn authority(position: &Position<'_, '_, '_>, findings: &mut Vec<Finding>) {
    let node = position.step.node;
    let blocks = position.role == Role::Intermediate;
    let stricter =
        if blocks { "" } else { "; rustls does not look at that in a root, OpenSSL and Go do" };
    let basic = node.parsed.basic_constraints().ok().flatten().map(|extension| extension.value);
    let version_1_root = position.role == Role::Root && node.facts.version < 3;
    if !basic.is_some_and(|basic| basic.ca) && !version_1_root {
        let message =
            format!("it is not a CA (basicConstraints) and issued the one below{stricter}");
        findings.push(Finding { kind: "notCa", message, blocks });
    }
    if let Some(limit) = basic.and_then(|basic| basic.path_len_constraint)
        && position.below > usize::try_from(limit).unwrap_or(usize::MAX)
    {
        let message = format!(
            "it allows {limit} CA certificates below it (pathLenConstraint), and there are {}{stricter}",
            position.below
        );
        findings.push(Finding { kind: "pathLength", message, blocks });
    }
    if let Ok(Some(usage)) = node.parsed.key_usage()
        && !usage.value.key_cert_sign()
    {
        let message =
            "its keyUsage lacks keyCertSign; rustls does not look at that, OpenSSL and Go do";
        findings.push(Finding { kind: "keyUsage", message: message.to_owned(), blocks: false });
    }
}

/// Name constraints of a CA against the DNS names and addresses of the leaf. Other kinds of names
/// are left to webpki.
fn constraints(node: &Node<'_>, leaf: &Node<'_>, findings: &mut Vec<Finding>) {
    let Ok(Some(constraints)) = node.parsed.name_constraints() else { return };
    for name in alternative_names(leaf) {
        let verdicts = |subtrees: &Option<Vec<GeneralSubtree<'_>>>| -> Vec<bool> {
            subtrees.iter().flatten().filter_map(|tree| name.is_within(&tree.base)).collect()
        };
        let permitted = verdicts(&constraints.value.permitted_subtrees);
        let why = if verdicts(&constraints.value.excluded_subtrees).contains(&true) {
            "excludes"
        } else if !permitted.is_empty() && !permitted.contains(&true) {
            "does not permit"
        } else {
            continue;
        };
        let name = match name {
            Name::Address(address) => address.to_string(),
            Name::Dns(name) => printable(name),
        };
        findings.push(blocking("nameConstraints", format!("it {why} {name} (nameConstraints)")));
    }
}

/// A name in a subjectAltName that TLS clients look at.
#[derive(Clone, Copy)]
enum Name<'a> {
    Address(IpAddr),
    Dns(&'a str),
}

impl Name<'_> {
    /// Whether it lies below `base`, or nothing where `base` is about other kinds of names.
    fn is_within(&self, base: &GeneralName<'_>) -> Option<bool> {
        match (self, base) {
            (Name::Dns(name), GeneralName::DNSName(base)) => Some(is_below(name, base)),
            (Name::Address(address), GeneralName::IPAddress(range)) => {
                let bytes = match address {
                    IpAddr::V4(address) => address.octets().to_vec(),
                    IpAddr::V6(address) => address.octets().to_vec(),
                };
                let (network, mask) = range.split_at_checked(bytes.len())?;
                let masked = bytes.iter().zip(mask).map(|(byte, mask)| byte & mask);
                (mask.len() == bytes.len()).then(|| masked.eq(network.iter().copied()))
            }
            _ => None,
        }
    }
}

fn is_below(name: &str, base: &str) -> bool {
    let (name, base) = (name.to_ascii_lowercase(), base.to_ascii_lowercase());
    match name.strip_suffix(&base) {
        Some("") => true,
        Some(labels) => base.is_empty() || base.starts_with('.') || labels.ends_with('.'),
        None => false,
    }
}

fn alternative_names<'n>(node: &'n Node<'_>) -> Vec<Name<'n>> {
    let Ok(Some(names)) = node.parsed.subject_alternative_name() else { return Vec::new() };
    let name = |name: &'n GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(Name::Dns(name)),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(Name::Address(four.into())),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|all| Name::Address(all.into())),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

/// A refusal of webpki in words.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::UnsupportedCriticalExtension => {
            "it has a critical extension that rustls does not know".to_owned()
        }
        Error::NameConstraintViolation => {
            "a name in it is outside the nameConstraints of an issuer".to_owned()
        }
        Error::MaximumPathDepthExceeded => {
            "there are more than 6 intermediates, the most that rustls takes".to_owned()
        }
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "rustls does not take the algorithm of a signature in it (SHA-1, or a short key?)"
                .to_owned()
        }
        other => format!("rustls refuses it: {other}"),
    }
}

/// A name as the user wrote it.
pub(super) fn name_text(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}
