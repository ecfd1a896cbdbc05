//! The certificates that a path can be made of.

use trustd_core::certificate::{Certificate, Facts};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::nom;
use x509_parser::prelude::FromDer as _;

use crate::cmd::contents::Found;

/// The certificates of which a path can consist.
pub(super) struct Pool<'c> {
    /// The certificate to be judged.
    pub(super) leaf: Node<'c>,
    /// The certificates that were sent with it, in their order.
    pub(super) sent: Vec<Node<'c>>,
    /// The bundle, in its order.
    pub(super) roots: Vec<Node<'c>>,
    /// Certificates whose extensions or keys cannot be read; no path goes through them.
    pub(super) unreadable: usize,
}

/// A certificate and where it comes from.
pub(super) struct Node<'c> {
    pub(super) certificate: &'c Certificate,
    pub(super) parsed: X509Certificate<'c>,
    pub(super) facts: Facts,
    pub(super) place: Provenance,
    /// Line in its file, where there are lines.
    pub(super) line: Option<usize>,
}

/// The origin of a certificate, with its number there, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Provenance {
    Bundle(usize),
    Chain(usize),
}

impl<'c> Pool<'c> {
    /// Parses all of them; `chain` has the certificate to be judged first.
    pub(super) fn new(chain: &'c [Found], bundle: &'c [Found]) -> Result<Self, X509Error> {
        let Some((first, rest)) = chain.split_first() else {
            return Err(X509Error::InvalidCertificate);
        };
        let leaf = Node::new(first, Provenance::Chain(1))?;
        let nodes = |found: &'c [Found], place: &dyn Fn(usize) -> Provenance| -> Vec<Node<'c>> {
            let numbered = found.iter().enumerate();
            numbered.filter_map(|(index, found)| Node::new(found, place(index)).ok()).collect()
        };
        let sent = nodes(rest, &|index| Provenance::Chain(index + 2));
        let roots = nodes(bundle, &|index| Provenance::Bundle(index + 1));
        let unreadable = rest.len() + bundle.len() - sent.len() - roots.len();
        Ok(Self { leaf, sent, roots, unreadable })
    }
}

impl<'c> Node<'c> {
    fn new(found: &'c Found, place: Provenance) -> Result<Self, X509Error> {
        let certificate = &found.certificate;
        let (_, parsed) =
            X509Certificate::from_der(certificate.der()).map_err(|error| match error {
                nom::Err::Error(error) | nom::Err::Failure(error) => error,
                nom::Err::Incomplete(_) => X509Error::InvalidCertificate,
            })?;
        let facts = certificate.facts();
        Ok(Self { certificate, parsed, facts, place, line: found.line })
    }

    pub(super) fn subject(&self) -> &[u8] {
        self.parsed.subject().as_raw()
    }

    pub(super) fn issuer(&self) -> &[u8] {
        self.parsed.issuer().as_raw()
    }

    /// Returns true if it is the same entity: the same name and key, perhaps in another
    /// certificate.
    pub(super) fn is_twin_of(&self, other: &Self) -> bool {
        self.subject() == other.subject()
            && self.parsed.public_key().raw == other.parsed.public_key().raw
    }
}
