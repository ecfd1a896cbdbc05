//! Details of a refused chain that the error alone does not tell: they are read from its
//! certificates.
//!
//! Nothing here decides whether a chain is good.

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use tlsbench_core::tally::Detail;
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

/// The detail of a chain, leaf first, that was refused by an error; `None` if its certificates tell
/// no more than the error does.
pub(super) fn detail(error: &Error, chain: &[&CertificateDer<'_>]) -> Option<Detail> {
    let Error::InvalidCertificate(error) = error else { return None };
    let parsed: Vec<X509Certificate<'_>> = chain
        .iter()
        .filter_map(|certificate| Some(X509Certificate::from_der(certificate).ok()?.1))
        .collect();
    match error {
        // A provider verifies by no RSA key of fewer bits, and calls that a bad signature.
        CertificateError::BadSignature => {
            parsed.iter().any(has_weak_key).then_some(Detail::WeakKey)
        }
        CertificateError::UnknownIssuer => {
            let leaf = parsed.first()?;
            (leaf.subject() == leaf.issuer()).then_some(Detail::SelfSigned)
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            let is_weak = |certificate: &X509Certificate<'_>| {
                WEAK_SIGNATURES.contains(&certificate.signature_algorithm.algorithm)
            };
            parsed.iter().any(is_weak).then_some(Detail::WeakSignature)
        }
        _ => None,
    }
}

/// Returns whether no provider verifies signatures by a key of the chain, which it calls a bad
/// signature.
pub(super) fn has_weak_keys(leaf: &CertificateDer<'_>, above: &[CertificateDer<'_>]) -> bool {
    let parsed = |certificate: &CertificateDer<'_>| {
        X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| has_weak_key(&parsed))
    };
    parsed(leaf) || above.iter().any(parsed)
}

/// The public key of a certificate, whatever else is in it, as DER; `None` if it cannot be read or
/// if no provider verifies by it.
pub(super) fn usable_key<'c>(certificate: &'c CertificateDer<'_>) -> Option<&'c [u8]> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    if has_weak_key(&parsed) { None } else { Some(parsed.tbs_certificate.subject_pki.raw) }
}

fn has_weak_key(certificate: &X509Certificate<'_>) -> bool {
    let key = certificate.public_key().parsed();
    key.is_ok_and(|key| matches!(key, PublicKey::RSA(_)) && key.key_size() < RSA_BITS_MIN)
}

/// Signatures that anybody can forge, or soon will.
const WEAK_SIGNATURES: [Oid<'static>; 3] =
    [OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, ECDSA_WITH_SHA1];
const ECDSA_WITH_SHA1: Oid<'static> = oid!(1.2.840.10045.4.1);
/// The smallest RSA key that ring and aws-lc-rs verify signatures by.
const RSA_BITS_MIN: usize = 2_048;
