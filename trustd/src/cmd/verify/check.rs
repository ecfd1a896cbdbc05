//! Checks of one certificate in a path, apart from its signature.
//!
//! A finding blocks when webpki refuses for it; others are warnings about stricter programs.

use rustls_pki_types::{CertificateDer, ServerName};
use trustd_core::certificate::oid_text;
use webpki::{EndEntityCert, Error};
use x509_parser::der_parser::asn1_rs::{Oid, oid};

use super::Terms;
use super::constraints::{Constraints, Name, alternative_names};
use super::finding::Finding;
use super::pool::Node;
use super::walk::{Signed, Step};
use crate::cli::Purpose;

/// The kind of [`Finding`] that leaves the verdict open.
pub(super) const SIGNATURE_UNSUPPORTED: &str = "signatureUnsupported";

/// The role of a certificate in its path.
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
pub(super) fn check(
    position: &Position<'_, '_, '_>,
    terms: &Terms,
    constraints: &mut Constraints,
) -> Vec<Finding> {
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
            purpose(node, role, terms, &mut findings);
            leaf_key_usage(node, terms, &mut findings);
            name(node, terms, &mut findings);
        }
        Role::Intermediate => {
            readable(node, terms, &mut findings);
            purpose(node, role, terms, &mut findings);
            authority(position, &mut findings);
            findings.extend(constraints.check(node, leaf));
        }
        Role::Root => {
            purpose(node, role, terms, &mut findings);
            authority(position, &mut findings);
            critical_extensions(node, &mut findings);
            findings.extend(constraints.check(node, leaf));
        }
    }
    findings
}

fn blocking(kind: &'static str, message: String) -> Finding {
    Finding { kind, message, blocks: true }
}

fn unsupported(node: &Node<'_>) -> Finding {
    let algorithm = oid_text(&node.parsed.signature_algorithm.algorithm);
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
        message.push_str(NOT_IN_A_ROOT);
    }
    findings.push(Finding { kind, message, blocks });
}

/// Checks that webpki can read it: version 3, known critical extensions, sound encoding.
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

/// Extended key usage, which webpki wants to allow the purpose all the way up to the root, and
/// OpenSSL and Go in the root too.
fn purpose(node: &Node<'_>, role: Role, terms: &Terms, findings: &mut Vec<Finding>) {
    let Ok(Some(usage)) = node.parsed.extended_key_usage() else { return };
    let (allowed, wanted) = match terms.purpose {
        Purpose::Any => return,
        Purpose::Client => (usage.value.client_auth, "clientAuth"),
        Purpose::Server => (usage.value.server_auth, "serverAuth"),
    };
    if !allowed {
        let blocks = role != Role::Root;
        let stricter = if blocks { "" } else { NOT_IN_A_ROOT };
        let message = format!("its extendedKeyUsage does not list {wanted}{stricter}");
        findings.push(Finding { kind: "extendedKeyUsage", message, blocks });
    }
}

/// Key usage of the leaf, which OpenSSL wants to allow a TLS handshake.
fn leaf_key_usage(node: &Node<'_>, terms: &Terms, findings: &mut Vec<Finding>) {
    let Ok(Some(usage)) = node.parsed.key_usage() else { return };
    let agrees = usage.value.digital_signature() || usage.value.key_agreement();
    let (allowed, wanted) = match terms.purpose {
        Purpose::Any => return,
        Purpose::Client => (agrees, "digitalSignature and keyAgreement"),
        Purpose::Server => (
            agrees || usage.value.key_encipherment(),
            "digitalSignature, keyEncipherment and keyAgreement",
        ),
    };
    if !allowed {
        let message = format!(
            "its keyUsage has none of {wanted}; rustls does not look at that, \
             `openssl verify -purpose` does"
        );
        findings.push(Finding { kind: "keyUsage", message, blocks: false });
    }
}

/// Critical extensions of a root, which RFC 5280 (6.1.1) leaves out of a path and OpenSSL does not.
fn critical_extensions(node: &Node<'_>, findings: &mut Vec<Finding>) {
    let is_unknown = |oid: &Oid<'_>| !OPENSSL_EXTENSIONS.contains(oid);
    let mut critical = node.parsed.extensions().iter().filter(|extension| extension.critical);
    if let Some(extension) = critical.find(|extension| is_unknown(&extension.oid)) {
        let message = format!(
            "it has a critical extension that OpenSSL does not know ({}){NOT_IN_A_ROOT}",
            oid_text(&extension.oid)
        );
        findings.push(Finding { kind: "criticalExtension", message, blocks: false });
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
    let all = alternative_names(node);
    let names: Vec<String> = all.iter().take(NAMES_SHOWN_MAX).map(Name::to_string).collect();
    let valid_for = match all.len().saturating_sub(names.len()) {
        _ if names.is_empty() => "its subjectAltName lists no DNS name and no address".to_owned(),
        0 => format!("it is valid for {}", names.join(", ")),
        more => format!("it is valid for {} and {more} other names", names.join(", ")),
    };
    let message = format!("it is not valid for {}: {valid_for}", wanted.to_str());
    findings.push(blocking("nameMismatch", message));
}

/// Checks that it may issue certificates at all, and at this depth.
fn authority(position: &Position<'_, '_, '_>, findings: &mut Vec<Finding>) {
    let node = position.step.node;
    let blocks = position.role == Role::Intermediate;
    let stricter = if blocks { "" } else { NOT_IN_A_ROOT };
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

/// Names of a certificate that one line shows; one for a hundred sites is common.
const NAMES_SHOWN_MAX: usize = 200;
const NOT_IN_A_ROOT: &str = "; rustls does not look at that in a root, OpenSSL and Go do";

/// The extensions that OpenSSL 3 takes when they are critical (`X509_supported_extension`).
const OPENSSL_EXTENSIONS: [Oid<'static>; 14] = [
    oid!(2.16.840.1.113730.1.1), // Netscape certificate type
    oid!(2.5.29.15),             // keyUsage
    oid!(2.5.29.17),             // subjectAltName
    oid!(2.5.29.19),             // basicConstraints
    oid!(2.5.29.30),             // nameConstraints
    oid!(2.5.29.31),             // cRLDistributionPoints
    oid!(2.5.29.32),             // certificatePolicies
    oid!(2.5.29.33),             // policyMappings
    oid!(2.5.29.36),             // policyConstraints
    oid!(2.5.29.37),             // extKeyUsage
    oid!(2.5.29.54),             // inhibitAnyPolicy
    oid!(1.3.6.1.5.5.7.1.7),     // IP address blocks (RFC 3779)
    oid!(1.3.6.1.5.5.7.1.8),     // autonomous systems (RFC 3779)
    oid!(1.3.6.1.5.5.7.1.14),    // proxyCertInfo
];
