//! The lab's certificates as PEM: one for each purpose and kind of key, from one authority.
//!
//! The authority's own keys are not among them: whoever trusts its root has to fear nobody else.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tlsbench_core::hop::{PemIdentity, PrivatePem};

use super::pki::{Issuer, KeyKind, LabPki, PkiError, Purpose, Subject, Validity};

/// A root, and certificates that lead to it by an intermediate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lab {
    /// The root, PEM: what clients and servers trust.
    pub root: String,
    /// Certificate, intermediate and key by purpose and kind of key.
    pub identities: BTreeMap<(Purpose, KeyKind), PemIdentity>,
}

impl Lab {
    /// Makes an authority and a server's and a client's certificate for each kind of key. Servers
    /// are valid for `names`, clients for the name `client`.
    ///
    /// # Errors
    /// When a name can stand in no certificate, and for RSA in a build without feature `aws-lc`.
    pub fn make(
        names: &[String],
        kinds: &[KeyKind],
        from: SystemTime,
        to: SystemTime,
    ) -> Result<Self, PkiError> {
        let validity = Validity::Between(from, to);
        let pki = LabPki::valid(validity)?;
        let mut identities = BTreeMap::new();
        for key in kinds {
            for purpose in [Purpose::Client, Purpose::Server] {
                let names = match purpose {
                    Purpose::Client => vec!["client".to_owned()],
                    Purpose::Server => names.to_vec(),
                };
                let subject =
                    Subject { purpose, names, key: *key, validity, issuer: Issuer::Intermediate };
                let issued = pki.issue(&subject)?;
                let identity =
                    PemIdentity { chain: issued.chain_pem, key: PrivatePem(issued.key_pem) };
                identities.insert((purpose, *key), identity);
            }
        }
        Ok(Self { root: pki.root_pem(), identities })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

    use super::*;

    #[test]
    fn each_certificate_has_its_purpose_names_and_validity() {
        let from = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let to = from + Duration::from_secs(86_400);
        let kinds = [KeyKind::EcdsaP256, KeyKind::Ed25519];
        let names = ["lab.test".to_owned(), "127.0.0.1".to_owned()];
        let lab = Lab::make(&names, &kinds, from, to).unwrap();
        assert_eq!(lab.identities.len(), 4);
        for ((purpose, _), identity) in &lab.identities {
            let chain: Vec<CertificateDer<'_>> =
                CertificateDer::pem_slice_iter(identity.chain.as_bytes()).flatten().collect();
            assert_eq!(chain.len(), 2, "leaf and intermediate");
            for certificate in &chain {
                let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
                assert_eq!(certificate.validity().not_before.timestamp(), 1_000_000_000);
                assert_eq!(certificate.validity().not_after.timestamp(), 1_000_086_400);
            }
            let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
            let usage = leaf.extended_key_usage().unwrap().unwrap().value.clone();
            let is_server = *purpose == Purpose::Server;
            assert_eq!((usage.server_auth, usage.client_auth), (is_server, !is_server));
            let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
            let wanted: &[GeneralName<'_>] = match is_server {
                true => {
                    &[GeneralName::DNSName("lab.test"), GeneralName::IPAddress(&[127, 0, 0, 1])]
                }
                false => &[GeneralName::DNSName("client")],
            };
            assert_eq!(names, wanted);
        }
    }

    #[test]
    fn a_name_that_no_certificate_can_hold_is_an_error() {
        let now = SystemTime::now();
        let made = Lab::make(&["ü.test".to_owned()], &[KeyKind::EcdsaP256], now, now);
        assert!(matches!(made, Err(PkiError::Certificate { .. })));
    }
}
