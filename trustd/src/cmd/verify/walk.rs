//! Every way from a certificate to a root, each step an issuer whose signature holds.
//!
//! Deterministic, and bounded: a chain is made by strangers.

use x509_parser::der_parser::asn1_rs::{Oid, oid};
use x509_parser::error::X509Error;
use x509_parser::public_key::PublicKey;

use super::pool::{Node, Pool};

/// One way up, from the certificate to be judged.
#[derive(Clone)]
pub(super) struct Route<'p, 'c> {
    /// The steps; each is signed by the next.
    pub(super) steps: Vec<Step<'p, 'c>>,
    pub(super) end: End<'p, 'c>,
}

/// One certificate on the way.
#[derive(Clone, Copy)]
pub(super) struct Step<'p, 'c> {
    pub(super) node: &'p Node<'c>,
    /// The result of checking this certificate's signature by the next one's key.
    pub(super) signed: Signed,
}

/// The end of a path.
#[derive(Clone)]
pub(super) enum End<'p, 'c> {
    /// Nobody has the name and the key of the last step's issuer.
    Missing(Vec<Lookalike<'p, 'c>>),
    /// The last step is in the bundle.
    Root,
}

/// Somebody who is nearly the issuer that is missing.
#[derive(Clone, Copy)]
pub(super) struct Lookalike<'p, 'c> {
    pub(super) node: &'p Node<'c>,
    pub(super) differs: Differs,
}

/// The difference that keeps a lookalike from being the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Differs {
    /// The name reads the same and is encoded otherwise.
    Encoding,
    /// The name is the same, and the signature is not by this key.
    Key,
}

/// The result of checking a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    Bad,
    Good,
    /// The algorithm or key is one that cannot be checked here.
    Unsupported,
}

/// All the ways that were found, and whether the search was cut short.
pub(super) struct Routes<'p, 'c> {
    pub(super) found: Vec<Route<'p, 'c>>,
    pub(super) cut: bool,
}

/// Finds the ways up from the leaf: through the bundle first, then through what came with it.
pub(super) fn walk<'p, 'c>(pool: &'p Pool<'c>) -> Routes<'p, 'c> {
    let mut walk = Walk {
        pool,
        path: vec![Step { node: &pool.leaf, signed: Signed::Good }],
        routes: Routes { found: Vec::new(), cut: false },
        signatures_left: SIGNATURES_MAX,
    };
    walk.climb();
    walk.routes
}

struct Walk<'p, 'c> {
    pool: &'p Pool<'c>,
    path: Vec<Step<'p, 'c>>,
    routes: Routes<'p, 'c>,
    signatures_left: usize,
}

impl<'p, 'c> Walk<'p, 'c> {
    fn climb(&mut self) {
        let Some(head) = self.path.last().map(|step| step.node) else { return };
        let mut lookalikes = Vec::new();
        let mut climbed = false;
        for (issuers, is_root) in [(&self.pool.roots, true), (&self.pool.sent, false)] {
            for issuer in issuers {
                if !is_root && self.path.iter().any(|step| step.node.is_twin_of(issuer)) {
                    continue;
                }
                match self.relation(head, issuer) {
                    Relation::Issuer(signed) => {
                        climbed = true;
                        self.step(issuer, signed, is_root);
                    }
                    Relation::Lookalike(differs) => {
                        lookalikes.push(Lookalike { node: issuer, differs });
                    }
                    Relation::Stranger => {}
                }
            }
        }
        if !climbed {
            self.arrive(End::Missing(lookalikes));
        }
    }

    /// Goes one step up to `issuer`, on from there, and back.
    fn step(&mut self, issuer: &'p Node<'c>, signed: Signed, is_root: bool) {
        if let Some(last) = self.path.last_mut() {
            last.signed = signed;
        }
        self.path.push(Step { node: issuer, signed: Signed::Good });
        if is_root {
            self.arrive(End::Root);
        } else if self.path.len() < STEPS_MAX {
            self.climb();
        } else {
            self.routes.cut = true;
            self.arrive(End::Missing(Vec::new()));
        }
        self.path.pop();
    }

    fn arrive(&mut self, end: End<'p, 'c>) {
        if self.routes.found.len() < ROUTES_MAX {
            self.routes.found.push(Route { steps: self.path.clone(), end });
        } else {
            self.routes.cut = true;
        }
    }

    fn relation(&mut self, child: &Node<'c>, issuer: &Node<'c>) -> Relation {
        if issuer.subject() != child.issuer() {
            let reads_alike = !child.facts.issuer.is_empty()
                && issuer.facts.subject == child.facts.issuer
                && !issuer.is_twin_of(child);
            return if reads_alike {
                Relation::Lookalike(Differs::Encoding)
            } else {
                Relation::Stranger
            };
        }
        if self.signatures_left == 0 {
            self.routes.cut = true;
            return Relation::Stranger;
        }
        self.signatures_left -= 1;
        match signed(child, issuer) {
            Signed::Bad => Relation::Lookalike(Differs::Key),
            signed @ (Signed::Good | Signed::Unsupported) => Relation::Issuer(signed),
        }
    }
}

enum Relation {
    Issuer(Signed),
    Lookalike(Differs),
    Stranger,
}

/// Checks whether `child` is signed by the key of `issuer`.
fn signed(child: &Node<'_>, issuer: &Node<'_>) -> Signed {
    let key = issuer.parsed.public_key();
    match child.parsed.verify_signature(Some(key)) {
        Ok(()) => Signed::Good,
        Err(X509Error::SignatureUnsupportedAlgorithm) => {
            let scheme = &child.parsed.signature_algorithm.algorithm;
            let is_ecdsa = ECDSA_SIGNATURES.contains(scheme);
            // An ECDSA signature is certainly not by a key of another kind.
            let other_kind = is_ecdsa && key.algorithm.algorithm != EC_PUBLIC_KEY;
            if other_kind { Signed::Bad } else { Signed::Unsupported }
        }
        Err(_) => match key.parsed() {
            Ok(PublicKey::RSA(rsa)) if rsa.key_size() < RSA_BITS_MIN => Signed::Unsupported,
            _ => Signed::Bad,
        },
    }
}

const EC_PUBLIC_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
/// ecdsa-with-SHA256, -384 and -512.
const ECDSA_SIGNATURES: [Oid<'static>; 3] =
    [oid!(1.2.840.10045.4.3.2), oid!(1.2.840.10045.4.3.3), oid!(1.2.840.10045.4.3.4)];
/// Smaller RSA keys are refused before the signature is looked at.
const RSA_BITS_MIN: usize = 2048;
/// The number of signatures that webpki and Go check for one chain.
const SIGNATURES_MAX: usize = 100;
/// The certificate, webpki's limit of 6 intermediates, the root, and two to see a limit passed.
const STEPS_MAX: usize = 10;
/// Ways that are compared; real chains have one, cross-signed ones two or three.
const ROUTES_MAX: usize = 64;
