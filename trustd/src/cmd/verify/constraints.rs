//! Name constraints (RFC 5280, 4.2.1.10) of a CA against the names of the certificate at the end.
//!
//! webpki looks at DNS names and addresses of the subjectAltName. OpenSSL also takes a common name
//! for a DNS name where there is no other, and an email address in the subject for one: those are
//! warnings. Other kinds of names are left to webpki.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};
use x509_parser::x509::AttributeTypeAndValue;

use super::finding::Finding;
use super::pool::{Node, Provenance};
use crate::cmd::show::printable;

/// The constraints of each CA that were evaluated: many paths may lead through one CA.
#[derive(Default)]
pub(super) struct Constraints {
    known: BTreeMap<Provenance, Vec<Finding>>,
}

impl Constraints {
    /// Returns the objections of `ca`'s name constraints to `leaf`.
    pub(super) fn check(&mut self, ca: &Node<'_>, leaf: &Node<'_>) -> Vec<Finding> {
        self.known.entry(ca.place).or_insert_with(|| check(ca, leaf)).clone()
    }
}

fn check(ca: &Node<'_>, leaf: &Node<'_>) -> Vec<Finding> {
    let Ok(Some(constraints)) = ca.parsed.name_constraints() else { return Vec::new() };
    let constraints = constraints.value;
    let names = alternative_names(leaf);
    let subtrees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    let subtrees: usize = subtrees.into_iter().flatten().map(Vec::len).sum();
    let comparisons = names.len().saturating_mul(subtrees);
    if comparisons > COMPARISONS_MAX {
        let message = format!(
            "its {subtrees} nameConstraints and the {} names of the certificate take {comparisons} \
             comparisons, and rustls makes at most {COMPARISONS_MAX}",
            names.len()
        );
        return vec![finding(message, true)];
    }
    let mut findings = Vec::new();
    let mut others = 0;
    for name in &names {
        match against(constraints, &|base| name.is_within(base)) {
            Some(_) if findings.len() >= NAMES_TOLD_MAX => others += 1,
            Some(why) => findings.push(finding(format!("it {why} {name} (nameConstraints)"), true)),
            None => {}
        }
    }
    if others > 0 {
        let message = format!("and the same of {others} further names (nameConstraints)");
        findings.push(finding(message, true));
    }
    let has_dns_name = names.iter().any(|name| matches!(name, Name::Dns(_)));
    findings.extend(in_subject(constraints, leaf, has_dns_name));
    findings
}

/// Names of the subject that OpenSSL holds against constraints.
fn in_subject(
    constraints: &NameConstraints<'_>,
    leaf: &Node<'_>,
    has_dns_name: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let subject = leaf.parsed.subject();
    let common_names = texts(subject.iter_common_name());
    let addresses = texts(subject.iter_email());
    let dns_names = common_names.iter().filter(|name| !has_dns_name && reads_as_dns_name(name));
    for name in dns_names {
        if let Some(why) = against(constraints, &|base| Name::Dns(name).is_within(base)) {
            let message = format!(
                "it {why} {}, the common name of the certificate (nameConstraints); rustls does not \
                 look at common names, OpenSSL does where no subjectAltName is a DNS name",
                printable(name)
            );
            findings.push(finding(message, false));
        }
    }
    for address in &addresses {
        if let Some(why) = against(constraints, &|base| is_mailbox_within(address, base)) {
            let message = format!(
                "it {why} {}, the email address in the subject (nameConstraints); rustls does not \
                 look at subjects, OpenSSL does",
                printable(address)
            );
            findings.push(finding(message, false));
        }
    }
    findings
}

/// The values of attributes, as far as they are text.
fn texts<'n>(attributes: impl Iterator<Item = &'n AttributeTypeAndValue<'n>>) -> Vec<&'n str> {
    attributes.filter_map(|attribute| attribute.as_str().ok()).take(NAMES_TOLD_MAX).collect()
}

fn finding(message: String, blocks: bool) -> Finding {
    Finding { kind: "nameConstraints", message, blocks }
}

/// Returns how constraints forbid a name, if they do. `is_within` is `None` for subtrees of another
/// kind.
fn against(
    constraints: &NameConstraints<'_>,
    is_within: &dyn Fn(&GeneralName<'_>) -> Option<bool>,
) -> Option<&'static str> {
    let any = |subtrees: &Option<Vec<GeneralSubtree<'_>>>| {
        let verdicts = subtrees.iter().flatten().filter_map(|tree| is_within(&tree.base));
        verdicts.fold(None, |any, within| Some(any.unwrap_or(false) || within))
    };
    if any(&constraints.excluded_subtrees) == Some(true) {
        Some("excludes")
    } else if any(&constraints.permitted_subtrees) == Some(false) {
        Some("does not permit")
    } else {
        None
    }
}

/// A name in a subjectAltName that TLS clients look at.
#[derive(Clone, Copy)]
pub(super) enum Name<'a> {
    Address(IpAddr),
    Dns(&'a str),
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Dns(name) => f.write_str(&printable(name)),
        }
    }
}

impl Name<'_> {
    /// Returns true if the name lies below `base`, or `None` if `base` is about other kinds of
    /// names.
    fn is_within(&self, base: &GeneralName<'_>) -> Option<bool> {
        match (self, base) {
            (Name::Dns(name), GeneralName::DNSName(base)) => Some(is_below(name, base)),
            (Name::Address(IpAddr::V4(address)), GeneralName::IPAddress(range)) => {
                Some(is_in_range(&address.octets(), range))
            }
            (Name::Address(IpAddr::V6(address)), GeneralName::IPAddress(range)) => {
                Some(is_in_range(&address.octets(), range))
            }
            _ => None,
        }
    }
}

/// Returns true if an address lies in a range, which is a network and its mask. A range of IPv4
/// contains no IPv6 address, and so permits none.
fn is_in_range(address: &[u8], range: &[u8]) -> bool {
    match range.split_at_checked(address.len()) {
        Some((network, mask)) if mask.len() == address.len() => {
            let masked = address.iter().zip(mask).map(|(byte, mask)| byte & mask);
            masked.eq(network.iter().copied())
        }
        _ => false,
    }
}

fn is_below(name: &str, base: &str) -> bool {
    let (name, base) = (name.as_bytes(), base.as_bytes());
    // Longer names are none (RFC 1035, 2.3.4), and comparing them would take as long as they are.
    let Some(above) = name.len().checked_sub(base.len()).filter(|_| name.len() <= DNS_NAME_MAX)
    else {
        return false;
    };
    let (labels, end) = name.split_at_checked(above).unwrap_or_default();
    let at_label = labels.is_empty() || base.is_empty() || base.starts_with(b".");
    end.eq_ignore_ascii_case(base) && (at_label || labels.ends_with(b"."))
}

/// Returns true if OpenSSL takes a common name for a DNS name: at least two labels of letters,
/// digits, `_` and inner `-`. `10.0.0.1` is one.
fn reads_as_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(inner)
    };
    name.len() <= DNS_NAME_MAX && name.contains('.') && name.split('.').all(is_label)
}

/// Returns true if a mailbox lies below `base`: a mailbox, a host, or a domain that begins with a
/// dot.
fn is_mailbox_within(mailbox: &str, base: &GeneralName<'_>) -> Option<bool> {
    let GeneralName::RFC822Name(base) = base else { return None };
    let Some((local, host)) = mailbox.rsplit_once('@') else { return Some(false) };
    Some(match base.rsplit_once('@') {
        Some((only, of)) => (only.is_empty() || only == local) && of.eq_ignore_ascii_case(host),
        None if base.starts_with('.') => host.len() > base.len() && is_below(host, base),
        None => base.eq_ignore_ascii_case(host),
    })
}

/// The names of a certificate that TLS clients look at.
pub(super) fn alternative_names<'n>(node: &'n Node<'_>) -> Vec<Name<'n>> {
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

/// Comparisons that webpki makes at most for a whole chain (its `Budget`); beyond that it refuses.
const COMPARISONS_MAX: usize = 250_000;
/// Forbidden names that are told one by one.
const NAMES_TOLD_MAX: usize = 10;
/// RFC 1035, 2.3.4, without the final dot.
const DNS_NAME_MAX: usize = 253;
