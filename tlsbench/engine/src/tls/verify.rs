//! Verification of servers: how much of a chain, how often. The handshake's signature always.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use tlsbench_core::scenario::{Provider, Verify};
use tlsbench_core::tally::Detail;

use super::refusal;
use super::roots::Roots;

/// Verifies the servers of one target, with one load of roots and one provider.
#[derive(Debug)]
pub(super) struct Verifier {
    verify: Verify,
    roots: Arc<Roots>,
    provider: Provider,
    algorithms: WebPkiSupportedAlgorithms,
    first_done: AtomicBool,
    memory: Mutex<VerifiedChains>,
    chains_verified: AtomicU64,
    last_scheme: AtomicU16,
    /// The reason that the certificates gave for the last refusal of a chain.
    refused: Mutex<Option<Detail>>,
}

impl Verifier {
    pub(super) fn new(
        verify: Verify,
        roots: &Arc<Roots>,
        provider: Provider,
        crypto: &CryptoProvider,
    ) -> Self {
        Self {
            verify,
            roots: Arc::clone(roots),
            provider,
            algorithms: crypto.signature_verification_algorithms,
            first_done: AtomicBool::new(false),
            memory: Mutex::new(VerifiedChains::default()),
            chains_verified: AtomicU64::new(0),
            last_scheme: AtomicU16::new(NO_SCHEME),
            refused: Mutex::new(None),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.roots.generation()
    }

    /// The scheme of the last handshake signature that was found good.
    pub(super) fn last_scheme(&self) -> Option<SignatureScheme> {
        let scheme = self.last_scheme.load(Ordering::Relaxed);
        (scheme != NO_SCHEME).then(|| scheme.into())
    }

    /// Takes the reason that the certificates gave for the last refusal of a chain.
    pub(super) fn take_refusal(&self) -> Option<Detail> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn refuse(&self, error: Error, chain: &[&CertificateDer<'_>]) -> Error {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused = refusal::detail(&error, chain);
        error
    }

    /// Returns how often a chain was verified, with whatever result.
    pub(super) fn chains_verified(&self) -> u64 {
        self.chains_verified.load(Ordering::Relaxed)
    }

    /// The chain and the name are verified from scratch.
    fn verify_chain(&self, chain: &ServerChain<'_>, now: UnixTime) -> Result<(), Error> {
        self.chains_verified.fetch_add(1, Ordering::Relaxed);
        let leaf = ParsedCertificate::try_from(chain.leaf)?;
        verify_server_cert_signed_by_trust_anchor(
            &leaf,
            self.roots.store(),
            chain.intermediates,
            now,
            self.algorithms.all,
        )
        .map_err(|error| match error {
            // A trusted root has the issuer's name, and another key: a CA that was made again.
            Error::InvalidCertificate(CertificateError::BadSignature)
                if !refusal::has_weak_keys(chain.leaf, chain.intermediates) =>
            {
                CertificateError::UnknownIssuer.into()
            }
            other => other,
        })?;
        verify_server_name(&leaf, chain.name)
    }

    fn verify_unless_remembered(
        &self,
        chain: &ServerChain<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.knows(chain, now) {
            return Ok(());
        }
        self.verify_chain(chain, now)?;
        memory.keep(chain);
        Ok(())
    }

    fn noting(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        result: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = match result {
            Err(Error::InvalidCertificate(error)) if self.verify == Verify::Off => {
                self.verify_by_key_alone(message, certificate, signed, error.into())
            }
            other => other,
        };
        match result {
            Ok(valid) => {
                self.last_scheme.store(signed.scheme.into(), Ordering::Relaxed);
                Ok(valid)
            }
            Err(error) => Err(self.refuse(error, &[certificate])),
        }
    }

    /// Verifies a handshake's signature whatever the certificate around the key is like. By a key
    /// that no provider verifies with, nothing can be verified, and any signature is taken.
    fn verify_by_key_alone(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        error: Error,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(key) = refusal::usable_key(certificate) else {
            return Ok(HandshakeSignatureValid::assertion());
        };
        let key = SubjectPublicKeyInfoDer::from(key);
        let known = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let (Ok(key), Some((_, algorithms))) = (webpki::RawPublicKeyEntity::try_from(&key), known)
        else {
            return Err(error);
        };
        let verifies = |algorithm| key.verify_signature(algorithm, message, signed.signature());
        match algorithms.iter().any(|algorithm| verifies(*algorithm).is_ok()) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(error),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = ServerChain {
            leaf: end_entity,
            intermediates,
            name: server_name,
            generation: self.roots.generation(),
            provider: self.provider,
        };
        let verified = match self.verify {
            Verify::Every => self.verify_chain(&chain, now),
            Verify::First if self.first_done.load(Ordering::Relaxed) => Ok(()),
            Verify::First => self
                .verify_chain(&chain, now)
                .inspect(|()| self.first_done.store(true, Ordering::Relaxed)),
            Verify::Off => Ok(()),
            Verify::SameChain => self.verify_unless_remembered(&chain, now),
        };
        match verified {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) => {
                let chain: Vec<_> = [end_entity].into_iter().chain(intermediates).collect();
                Err(self.refuse(error, &chain))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = verify_tls12_signature(message, cert, dss, &self.algorithms);
        self.noting(message, cert, dss, result)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = verify_tls13_signature(message, cert, dss, &self.algorithms);
        self.noting(message, cert, dss, result)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// All that a verdict on a chain rests on, but the time.
#[derive(Clone, Copy)]
struct ServerChain<'a> {
    leaf: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    name: &'a ServerName<'a>,
    generation: u64,
    provider: Provider,
}

/// Chains that were verified, the newest last.
#[derive(Debug, Default)]
struct VerifiedChains(Vec<VerifiedChain>);

#[derive(Debug)]
struct VerifiedChain {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
    generation: u64,
    provider: Provider,
    /// The earliest notAfter of the chain, in seconds since 1970.
    until: u64,
}

impl VerifiedChain {
    fn is(&self, chain: &ServerChain<'_>) -> bool {
        self.leaf == *chain.leaf
            && self.intermediates == chain.intermediates
            && self.name == *chain.name
            && self.generation == chain.generation
            && self.provider == chain.provider
    }
}

impl VerifiedChains {
    fn knows(&self, chain: &ServerChain<'_>, now: UnixTime) -> bool {
        self.0.iter().any(|known| now.as_secs() <= known.until && known.is(chain))
    }

    /// Remembers a chain; not one whose end cannot be read.
    fn keep(&mut self, chain: &ServerChain<'_>) {
        let Some(until) = earliest_end(chain) else { return };
        self.0.retain(|known| !known.is(chain));
        if self.0.len() >= CHAINS_MAX {
            self.0.remove(0);
        }
        self.0.push(VerifiedChain {
            leaf: chain.leaf.clone().into_owned(),
            intermediates: chain
                .intermediates
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect(),
            name: chain.name.to_owned(),
            generation: chain.generation,
            provider: chain.provider,
            until,
        });
    }
}

fn earliest_end(chain: &ServerChain<'_>) -> Option<u64> {
    std::iter::once(chain.leaf)
        .chain(chain.intermediates)
        .map(|certificate| {
            let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
            u64::try_from(parsed.validity().not_after.timestamp()).ok()
        })
        .try_fold(u64::MAX, |earliest, end| Some(earliest.min(end?)))
}

/// Chains remembered: a target of many machines may show as many certificates.
const CHAINS_MAX: usize = 16;

/// A scheme that TLS does not assign.
const NO_SCHEME: u16 = 0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tls::{Issuer, LabPki, Subject, Validity};

    const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000));
    /// The first second of the year 3000, when certificates of the lab end.
    const END: u64 = 32_503_680_000;

    struct World {
        pki: LabPki,
        verifier: Verifier,
    }

    impl World {
        fn new(verify: Verify) -> Self {
            let pki = LabPki::generate().unwrap();
            let verifier = verifier(&pki, verify);
            Self { pki, verifier }
        }

        fn chain(&self, subject: &Subject) -> Vec<CertificateDer<'static>> {
            self.pki.issue(subject).unwrap().identity.chain().to_vec()
        }

        /// Returns whether the chain was verified again, and the result.
        fn check(
            &self,
            chain: &[CertificateDer<'static>],
            name: &str,
            now: UnixTime,
        ) -> (bool, Result<ServerCertVerified, Error>) {
            let before = self.verifier.chains_verified();
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let (leaf, above) = chain.split_first().unwrap();
            let result = self.verifier.verify_server_cert(leaf, above, &name, b"", now);
            (self.verifier.chains_verified() > before, result)
        }
    }

    fn verifier(pki: &LabPki, verify: Verify) -> Verifier {
        let roots = Arc::new(Roots::from_pem(pki.root_pem().as_bytes()).unwrap());
        let crypto = rustls::crypto::ring::default_provider();
        Verifier::new(verify, &roots, Provider::Ring, &crypto)
    }

    fn two_names() -> Subject {
        Subject { names: vec!["a.test".to_owned(), "b.test".to_owned()], ..Subject::server("") }
    }

    fn anew(result: (bool, Result<ServerCertVerified, Error>)) -> bool {
        result.1.unwrap();
        result.0
    }

    #[test]
    fn every_verifies_each_time_and_off_never() {
        for (verify, expected) in [
            (Verify::Every, [true, true, true]),
            (Verify::First, [true, false, false]),
            (Verify::Off, [false, false, false]),
            (Verify::SameChain, [true, false, false]),
        ] {
            let world = World::new(verify);
            let chain = world.chain(&two_names());
            let found = [(); 3].map(|()| anew(world.check(&chain, "a.test", NOW)));
            assert_eq!(found, expected, "{verify:?}");
        }
    }

    #[test]
    fn same_chain_verifies_another_leaf_intermediate_or_name_anew() {
        let world = World::new(Verify::SameChain);
        let chain = world.chain(&two_names());
        assert!(anew(world.check(&chain, "a.test", NOW)));
        assert!(anew(world.check(&chain, "b.test", NOW)));

        let renewed = world.chain(&two_names());
        assert!(anew(world.check(&renewed, "a.test", NOW)));

        let twice = [chain.clone(), chain[1..].to_vec()].concat();
        assert!(anew(world.check(&twice, "a.test", NOW)));
        let by_root = world.chain(&Subject { issuer: Issuer::Root, ..two_names() });
        assert!(anew(world.check(&by_root, "a.test", NOW)));

        for (chain, name) in
            [(&chain, "a.test"), (&chain, "b.test"), (&renewed, "a.test"), (&twice, "a.test")]
        {
            assert!(!anew(world.check(chain, name, NOW)));
        }
        let (verified, result) = world.check(&chain, "c.test", NOW);
        assert!(verified && result.is_err());
        let (verified, result) = world.check(&chain[..1], "a.test", NOW);
        assert!(verified && result.is_err());
    }

    #[test]
    fn same_chain_verifies_anew_once_the_first_of_it_has_expired() {
        let world = World::new(Verify::SameChain);
        let chain = world.chain(&two_names());
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        assert!(anew(world.check(&chain, "a.test", NOW)));
        assert!(!anew(world.check(&chain, "a.test", at(END))));
        let (verified, result) = world.check(&chain, "a.test", at(END + 1));
        assert!(verified);
        assert!(matches!(
            result,
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))
        ));
    }

    #[test]
    fn same_chain_rests_on_roots_and_provider_too() {
        let world = World::new(Verify::SameChain);
        let chain = world.chain(&two_names());
        let name = ServerName::try_from("a.test").unwrap();
        let known = ServerChain {
            leaf: &chain[0],
            intermediates: &chain[1..],
            name: &name,
            generation: 7,
            provider: Provider::Ring,
        };
        let mut memory = VerifiedChains::default();
        memory.keep(&known);
        assert!(memory.knows(&known, NOW));
        assert!(!memory.knows(&ServerChain { generation: 8, ..known }, NOW));
        assert!(!memory.knows(&ServerChain { provider: Provider::AwsLcRs, ..known }, NOW));
    }

    #[test]
    fn a_chain_ends_with_the_first_of_it() {
        let world = World::new(Verify::SameChain);
        let chain = world.chain(&two_names());
        let name = ServerName::try_from("a.test").unwrap();
        let end_of = |leaf, intermediates| {
            let (generation, provider) = (1, Provider::Ring);
            earliest_end(&ServerChain { leaf, intermediates, name: &name, generation, provider })
        };
        // The intermediate outlives the leaf, whichever stands first.
        assert_eq!(end_of(&chain[0], &chain[1..]), Some(END));
        assert_eq!(end_of(&chain[1], &chain[..1]), Some(END));
        assert!(end_of(&chain[1], &[]) > Some(END));
        assert_eq!(end_of(&chain[0], &[CertificateDer::from(vec![0])]), None);
    }

    #[test]
    fn what_failed_is_never_remembered() {
        for verify in [Verify::First, Verify::SameChain] {
            let world = World::new(verify);
            let expired =
                world.chain(&Subject { validity: Validity::Expired, ..Subject::server("a.test") });
            for _ in 0..2 {
                let (verified, result) = world.check(&expired, "a.test", NOW);
                assert!(verified && result.is_err());
            }
            let foreign = World::new(verify).chain(&Subject::server("a.test"));
            let (_, result) = world.check(&foreign, "a.test", NOW);
            let expected = Error::InvalidCertificate(CertificateError::UnknownIssuer);
            assert_eq!(result.unwrap_err(), expected);
        }
    }

    #[test]
    fn the_memory_keeps_the_newest_chains() {
        let world = World::new(Verify::SameChain);
        let chains: Vec<_> = (0..=CHAINS_MAX).map(|_| world.chain(&two_names())).collect();
        for chain in &chains {
            assert!(anew(world.check(chain, "a.test", NOW)));
        }
        assert!(!anew(world.check(&chains[1], "a.test", NOW)));
        assert!(anew(world.check(&chains[0], "a.test", NOW)));
    }
}
