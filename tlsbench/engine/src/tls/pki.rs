//! A certification authority made in memory, for tests and for the lab. Its keys leave the process
//! only where a hop needs them as files.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

use super::identity::Identity;

pub use tlsbench_core::scenario::KeyKind;

/// A root and an intermediate, both ECDSA P-256.
pub struct LabPki {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

impl LabPki {
    /// Makes a root and an intermediate.
    ///
    /// # Errors
    /// Fails when there is no randomness.
    pub fn generate() -> Result<Self, PkiError> {
        Self::valid(Validity::Now)
    }

    /// Makes a root and an intermediate that are valid in that span; any other validity is for what
    /// they sign, and they outlast it.
    ///
    /// # Errors
    /// Fails when there is no randomness.
    pub fn valid(validity: Validity) -> Result<Self, PkiError> {
        let failed = |source| PkiError::Certificate { source };
        let (root, intermediate) = (key(KeyKind::EcdsaP256)?, key(KeyKind::EcdsaP256)?);
        let root = CertifiedIssuer::self_signed(authority("root", validity)?, root);
        let root = root.map_err(failed)?;
        let params = authority("intermediate", validity)?;
        let intermediate =
            CertifiedIssuer::signed_by(params, intermediate, &root).map_err(failed)?;
        Ok(Self { root, intermediate })
    }

    /// The root, PEM.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// Makes a key and a certificate for it.
    ///
    /// # Errors
    /// Fails on a name that no certificate can hold, and on an RSA key in a build without feature
    /// `aws-lc`.
    pub fn issue(&self, subject: &Subject) -> Result<Issued, PkiError> {
        let failed = |source| PkiError::Certificate { source };
        let key = key(subject.key)?;
        let mut params = CertificateParams::new(subject.names.clone()).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, "tlsbench lab");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match subject.purpose {
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        subject.validity.write(&mut params);
        let (issuer, above) = match subject.issuer {
            Issuer::Intermediate => (&self.intermediate, Some(&self.intermediate)),
            Issuer::Root => (&self.root, None),
        };
        let leaf = params.signed_by(&key, issuer).map_err(failed)?;
        let mut chain_pem = leaf.pem();
        let mut chain = vec![leaf.der().clone()];
        if let Some(above) = above {
            chain_pem.push_str(&above.pem());
            chain.push(above.der().clone());
        }
        Ok(Issued {
            chain_pem,
            key_pem: key.serialize_pem(),
            identity: Identity::new(
                chain,
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            ),
        })
    }
}

/// The subject of a certificate, and what is particular about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The purpose of the certificate.
    pub purpose: Purpose,
    /// DNS names and addresses that it is valid for.
    pub names: Vec<String>,
    /// The key.
    pub key: KeyKind,
    /// The validity of the certificate.
    pub validity: Validity,
    /// The issuer that signs it.
    pub issuer: Issuer,
}

impl Subject {
    /// A server of one name: ECDSA P-256, signed by the intermediate, valid.
    #[must_use]
    pub fn server(name: &str) -> Self {
        Self {
            purpose: Purpose::Server,
            names: vec![name.to_owned()],
            key: KeyKind::EcdsaP256,
            validity: Validity::Now,
            issuer: Issuer::Intermediate,
        }
    }

    /// A client, otherwise like [`Subject::server`].
    #[must_use]
    pub fn client(name: &str) -> Self {
        Self { purpose: Purpose::Client, ..Self::server(name) }
    }
}

/// The purpose of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Authentication of clients.
    Client,
    /// Authentication of servers.
    Server,
}

/// The validity of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Validity {
    /// No longer.
    Expired,
    /// A validity in the future.
    NotYet,
    /// Now.
    Now,
    /// A validity between two times, in whole seconds; not before 1970.
    Between(SystemTime, SystemTime),
}

impl Validity {
    fn write(self, params: &mut CertificateParams) {
        let at = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs())
        };
        (params.not_before, params.not_after) = match self {
            Self::Expired => (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1)),
            Self::NotYet => (date_time_ymd(3000, 1, 1), date_time_ymd(3001, 1, 1)),
            Self::Now => (date_time_ymd(2000, 1, 1), date_time_ymd(3000, 1, 1)),
            Self::Between(from, to) => (at(from), at(to)),
        };
    }
}

/// The issuer that signs a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Issuer {
    /// The intermediate, which then is part of the chain.
    Intermediate,
    /// The root itself.
    Root,
}

/// A key and its certificate, as values and as PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Both, for this process.
    pub identity: Identity,
    /// The certificate and the intermediate above it.
    pub chain_pem: String,
    /// The key, PKCS#8.
    pub key_pem: String,
}

/// The reason why a certificate could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The certificate could not be signed.
    #[error("cannot make a certificate")]
    Certificate {
        /// The cause.
        source: rcgen::Error,
    },
    /// The key could not be made.
    #[error("cannot make a key")]
    Key {
        /// The cause.
        source: rcgen::Error,
    },
    /// No provider of this build makes RSA keys.
    #[error("cannot make an RSA key without feature `aws-lc`")]
    RsaAbsent,
}

fn authority(name: &str, validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut params =
        CertificateParams::new(Vec::new()).map_err(|source| PkiError::Certificate { source })?;
    params.distinguished_name.push(DnType::CommonName, format!("tlsbench lab {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if matches!(validity, Validity::Between(..)) {
        validity.write(&mut params);
    }
    Ok(params)
}

fn key(kind: KeyKind) -> Result<KeyPair, PkiError> {
    let algorithm = match kind {
        KeyKind::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyKind::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyKind::Ed25519 => return ed25519_key(),
        KeyKind::Rsa2048 | KeyKind::Rsa3072 => return rsa_key(kind),
    };
    KeyPair::generate_for(algorithm).map_err(|source| PkiError::Key { source })
}

/// ring writes such keys as version 2 of PKCS#8 with a public key that OpenSSL does not read; the
/// same key in version 1 (RFC 8410, section 7) is read by all.
fn ed25519_key() -> Result<KeyPair, PkiError> {
    let no_key = |source| PkiError::Key { source };
    let made = KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(no_key)?.serialize_der();
    let seed = made.get(ED25519_HEAD.len()..ED25519_HEAD.len() + ED25519_SEED).unwrap_or_default();
    let der = [&ED25519_HEAD[..], seed].concat();
    KeyPair::from_pkcs8_der_and_sign_algo(
        &PrivatePkcs8KeyDer::from(der.as_slice()),
        &rcgen::PKCS_ED25519,
    )
    .map_err(no_key)
}

#[cfg(feature = "aws-lc")]
fn rsa_key(kind: KeyKind) -> Result<KeyPair, PkiError> {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair as RsaKey, KeySize};

    let size = if kind == KeyKind::Rsa3072 { KeySize::Rsa3072 } else { KeySize::Rsa2048 };
    let no_key = |_| PkiError::Key { source: rcgen::Error::RingUnspecified };
    let made = RsaKey::generate(size).map_err(no_key)?;
    let der: Pkcs8V1Der<'_> = made.as_der().map_err(no_key)?;
    let der = PrivatePkcs8KeyDer::from(der.as_ref());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256)
        .map_err(|source| PkiError::Key { source })
}

#[cfg(not(feature = "aws-lc"))]
fn rsa_key(_: KeyKind) -> Result<KeyPair, PkiError> {
    Err(PkiError::RsaAbsent)
}

/// The bytes before the seed: version 0, the algorithm 1.3.101.112, and two octet strings of 2 + 32
/// and 32 bytes. Version 2 differs in lengths and in its number only.
const ED25519_HEAD: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const ED25519_SEED: usize = 32;
