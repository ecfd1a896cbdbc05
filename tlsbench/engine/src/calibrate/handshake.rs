//! Primitives of handshakes: signatures and key exchange, through rustls' own view of a provider.

use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm};
use rustls::sign::Signer;
use tlsbench_core::scenario::{Group, Provider, Version};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::primitive::{BoxError, CalibrateError, Primitive};
use crate::tls::{KeyKind, LabPki, PkiError, Subject, crypto_provider};

/// Keys that all providers sign with.
pub(super) struct Keys {
    ecdsa: PrivateKeyDer<'static>,
    /// The RSA key; `None` if no provider of this build makes one.
    rsa: Option<PrivateKeyDer<'static>>,
}

impl Keys {
    pub(super) fn make() -> Result<Self, CalibrateError> {
        let made = || -> Result<Self, PkiError> {
            let pki = LabPki::generate()?;
            let key = |kind| {
                let subject = Subject { key: kind, ..Subject::server("calibration.test") };
                Ok(pki.issue(&subject)?.identity.key().clone_key())
            };
            let rsa = match key(KeyKind::Rsa2048) {
                Err(PkiError::RsaAbsent) => None,
                made => Some(made?),
            };
            Ok(Self { ecdsa: key(KeyKind::EcdsaP256)?, rsa })
        };
        made().map_err(|source| CalibrateError::Key { source })
    }
}

pub(super) fn primitives(
    provider: Provider,
    keys: &Keys,
) -> Result<Vec<Primitive>, CalibrateError> {
    let groups = match provider {
        Provider::AwsLcRs => &[Group::X25519, Group::P256, Group::X25519MlKem768][..],
        Provider::Ring => &[Group::X25519, Group::P256],
    };
    let crypto = crypto_provider(provider, &[Version::Tls13], &[], groups)
        .map_err(CalibrateError::provider(provider))?;
    let failed = |source| CalibrateError::Provider { provider, source };
    let mut all = signatures(provider, &crypto, ECDSA, &keys.ecdsa).map_err(failed)?;
    if let Some(rsa) = &keys.rsa {
        all.extend(signatures(provider, &crypto, RSA, rsa).map_err(failed)?);
    }
    for (group, kx) in groups.iter().zip(&crypto.kx_groups) {
        all.extend(key_exchange(provider, *group, *kx).map_err(failed)?);
    }
    Ok(all)
}

/// A signature scheme, with the names of its two primitives.
#[derive(Clone, Copy)]
struct Scheme {
    id: SignatureScheme,
    sign: &'static str,
    verify: &'static str,
}

fn signatures(
    provider: Provider,
    crypto: &CryptoProvider,
    scheme: Scheme,
    key: &PrivateKeyDer<'static>,
) -> Result<Vec<Primitive>, BoxError> {
    let key = crypto.key_provider.load_private_key(key.clone_key())?;
    let signer: Box<dyn Signer> = key.choose_scheme(&[scheme.id]).ok_or("a scheme is missing")?;
    let signature = signer.sign(&SIGNED)?;
    let info = key.public_key().ok_or("a public key is missing")?;
    let (_, info) = SubjectPublicKeyInfo::from_der(info.as_ref())?;
    let public = info.subject_public_key.data.to_vec();
    let algorithm: &dyn SignatureVerificationAlgorithm = crypto
        .signature_verification_algorithms
        .mapping
        .iter()
        .find(|(id, _)| *id == scheme.id)
        .and_then(|(_, algorithms)| algorithms.first().copied())
        .ok_or("an algorithm is missing")?;
    let sign = Primitive::new(scheme.sign, provider, move || {
        std::hint::black_box(signer.sign(&SIGNED)?);
        Ok(())
    });
    let verify = Primitive::new(scheme.verify, provider, move || {
        let verified = algorithm.verify_signature(&public, &SIGNED, &signature);
        verified.map_err(|_| "a signature does not verify")?;
        Ok(())
    });
    Ok(vec![sign, verify])
}

fn key_exchange(
    provider: Provider,
    group: Group,
    kx: &'static dyn SupportedKxGroup,
) -> Result<Vec<Primitive>, BoxError> {
    let theirs = kx.start()?.pub_key().to_vec();
    let one_side = |name, share: Vec<u8>| {
        Primitive::new(name, provider, move || {
            std::hint::black_box(kx.start()?.complete(&share)?);
            Ok(())
        })
    };
    Ok(match group {
        Group::X25519 => vec![one_side("x25519", theirs)],
        Group::P256 => vec![one_side("p256", theirs)],
        Group::P384 => vec![one_side("p384", theirs)],
        Group::X25519MlKem768 => {
            // Made for another client's share: its decapsulation takes as long, and ends in
            // another secret, as FIPS 203 has it.
            let answer = kx.start_and_complete(&theirs)?.pub_key;
            let server = Primitive::new("x25519mlkem768-server", provider, move || {
                std::hint::black_box(kx.start_and_complete(&theirs)?.secret);
                Ok(())
            });
            vec![one_side("x25519mlkem768-client", answer), server]
        }
    })
}

/// A message as long as a TLS 1.3 CertificateVerify covers (RFC 8446, section 4.4.3): 64 spaces, 33
/// bytes of context, a zero and a hash of SHA-256.
const SIGNED: [u8; 64 + 33 + 1 + 32] = [7; 130];

const ECDSA: Scheme = Scheme {
    id: SignatureScheme::ECDSA_NISTP256_SHA256,
    sign: "ecdsa-p256-sign",
    verify: "ecdsa-p256-verify",
};
const RSA: Scheme =
    Scheme { id: SignatureScheme::RSA_PSS_SHA256, sign: "rsa2048-sign", verify: "rsa2048-verify" };
