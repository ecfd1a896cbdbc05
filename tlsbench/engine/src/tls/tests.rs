//! Clients of this module against the test server: what was asked for is what both sides count.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, SignatureScheme};
use tlsbench_core::scenario;
use tlsbench_core::scenario::{Group, Provider, Suite, Verify, Version};
use tlsbench_core::tally::Failure;
use tlsbench_core::units::Share;

use super::server_name::server_name;
use super::*;
use crate::testserver::{Handshake, Seen, TestServer, TestServerConfig, TestServerTls};

const NAME: &str = "lab.test";

struct Lab {
    pki: LabPki,
    roots: Arc<Roots>,
}

impl Lab {
    fn new() -> Self {
        let pki = LabPki::generate().unwrap();
        let roots = Arc::new(Roots::from_pem(pki.root_pem().as_bytes()).unwrap());
        Self { pki, roots }
    }

    fn server_tls(&self, key: KeyKind) -> TestServerTls {
        let subject = Subject { key, ..Subject::server(NAME) };
        TestServerTls::new(self.pki.issue(&subject).unwrap().identity)
    }

    fn start(&self, tls: TestServerTls) -> TestServer {
        start(tls, Handshake::Complete)
    }

    fn client(&self, tls: &scenario::Tls) -> TlsClient {
        TlsClient::new(tls, &target(), &self.roots, None, None).unwrap()
    }
}

fn start(tls: TestServerTls, handshake: Handshake) -> TestServer {
    TestServer::start(TestServerConfig { tls: Some(tls), handshake, ..TestServerConfig::plain(5) })
        .unwrap()
}

fn asked(version: impl Into<scenario::Versions>) -> scenario::Tls {
    scenario::Tls {
        version: version.into(),
        suites: Vec::new(),
        groups: Vec::new(),
        provider: Provider::Ring,
        resume: Share::ZERO,
        early_data: false,
        client_certificate: None,
        ca_bundle: None,
        verify: Verify::Every,
    }
}

fn target() -> scenario::Target {
    scenario::Target {
        name: "fake".to_owned(),
        scheme: scenario::Scheme::Https,
        host: NAME.to_owned(),
        port: 443,
        path: "/".to_owned(),
        sni: None,
        connect_to: Vec::new(),
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: lab.test\r\nConnection: close\r\n\r\n";

/// One connection with one request, to the orderly end.
fn talk(
    client: &mut TlsClient,
    server: &TestServer,
    resume: bool,
) -> Result<(Negotiated, Wanted), (Failure, bool)> {
    let (mut tls, wanted) = client.connect(resume).unwrap();
    let failed = |error: io::Error| (failure_of_io(&error).failure, false);
    let mut socket = TcpStream::connect(server.address()).map_err(failed)?;
    let sent_early = match client.early_data(&mut tls) {
        Some(mut early) => early.write(REQUEST).unwrap() == REQUEST.len(),
        None => false,
    };
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).map_err(failed)?;
    }
    let negotiated = client.negotiated(&tls).unwrap();
    let confirmed = |error: io::Error| (failure_of_io(&error).failure, true);
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    if !(sent_early && negotiated.early_data_accepted) {
        stream.write_all(REQUEST).map_err(confirmed)?;
    }
    let mut response = Vec::new();
    stream.read_to_end(&mut response).map_err(confirmed)?;
    assert!(response.ends_with(b"\r\n\r\nxxxxx"), "{:?}", String::from_utf8_lossy(&response));
    Ok((negotiated, wanted))
}

fn failure(lab: &Lab, tls: &scenario::Tls, server: &TestServer) -> Failure {
    talk(&mut lab.client(tls), server, false).unwrap_err().0
}

fn providers() -> Vec<Provider> {
    let mut all = vec![Provider::Ring];
    if cfg!(feature = "aws-lc") {
        all.push(Provider::AwsLcRs);
    }
    all
}

#[test]
fn every_version_suite_group_and_provider_is_negotiated_as_asked() {
    let lab = Lab::new();
    for provider in providers() {
        let mut groups = vec![Group::X25519, Group::P256, Group::P384];
        if provider == Provider::AwsLcRs {
            groups.push(Group::X25519MlKem768);
        }
        let server = lab.start(TestServerTls {
            provider,
            groups: groups.clone(),
            ..lab.server_tls(KeyKind::EcdsaP256)
        });
        for version in [Version::Tls12, Version::Tls13] {
            for suite in [Suite::Aes128Gcm, Suite::Aes256Gcm, Suite::ChaCha20] {
                for &group in &groups {
                    if version == Version::Tls12 && group == Group::X25519MlKem768 {
                        continue;
                    }
                    let tls = scenario::Tls {
                        suites: vec![suite],
                        groups: vec![group],
                        provider,
                        ..asked(version)
                    };
                    let (found, wanted) = talk(&mut lab.client(&tls), &server, false).unwrap();
                    assert_eq!(wanted, Wanted::Full);
                    assert_eq!(
                        found,
                        Negotiated {
                            version,
                            suite,
                            group: Some(group),
                            signature: Some(SignatureScheme::ECDSA_NISTP256_SHA256),
                            alpn: None,
                            kind: Kind::Full,
                            early_data_accepted: false,
                        }
                    );
                }
            }
        }
    }
}

#[test]
fn the_default_is_aes_128_and_x25519_on_both_versions() {
    let lab = Lab::new();
    let server = lab.start(TestServerTls {
        alpn: vec![Alpn::Http2, Alpn::Http1],
        ..lab.server_tls(KeyKind::EcdsaP256)
    });
    for (version, text) in [
        (Version::Tls12, "TLS 1.2 aes-128-gcm x25519 ECDSA_NISTP256_SHA256 h2"),
        (Version::Tls13, "TLS 1.3 aes-128-gcm x25519 ECDSA_NISTP256_SHA256 h2"),
    ] {
        let mut client =
            TlsClient::new(&asked(version), &target(), &lab.roots, Some(Alpn::Http2), None)
                .unwrap();
        let (found, _) = talk(&mut client, &server, false).unwrap();
        assert_eq!(found.to_string(), text);
    }
}

#[test]
fn every_kind_of_server_key_signs_with_its_own_scheme() {
    let lab = Lab::new();
    let mut kinds = vec![
        (KeyKind::EcdsaP256, SignatureScheme::ECDSA_NISTP256_SHA256),
        (KeyKind::EcdsaP384, SignatureScheme::ECDSA_NISTP384_SHA384),
        (KeyKind::Ed25519, SignatureScheme::ED25519),
    ];
    if cfg!(feature = "aws-lc") {
        kinds.push((KeyKind::Rsa2048, SignatureScheme::RSA_PSS_SHA512));
        kinds.push((KeyKind::Rsa3072, SignatureScheme::RSA_PSS_SHA512));
    }
    for (key, scheme) in kinds {
        let server = lab.start(lab.server_tls(key));
        for provider in providers() {
            for version in [Version::Tls12, Version::Tls13] {
                let tls = scenario::Tls { provider, ..asked(version) };
                let (found, _) = talk(&mut lab.client(&tls), &server, false).unwrap();
                assert_eq!(found.signature, Some(scheme), "{key:?} {provider:?} {version:?}");
            }
        }
    }
}

#[test]
fn a_connection_resumes_when_that_is_wanted_and_not_otherwise() {
    let lab = Lab::new();
    for version in [Version::Tls12, Version::Tls13] {
        for provider in providers() {
            let server =
                lab.start(TestServerTls { provider, ..lab.server_tls(KeyKind::EcdsaP256) });
            let mut client = lab.client(&scenario::Tls { provider, ..asked(version) });
            let (found, wanted) = talk(&mut client, &server, true).unwrap();
            assert_eq!((found.kind, wanted), (Kind::Full, Wanted::NoTicket));
            for resume in [true, false, true, true, false, false, true] {
                let (found, wanted) = talk(&mut client, &server, resume).unwrap();
                let expected = if resume {
                    (Kind::Resumed, Wanted::Resume)
                } else {
                    (Kind::Full, Wanted::Full)
                };
                assert_eq!((found.kind, wanted), expected);
                assert_eq!(found.signature.is_none(), resume);
                assert_eq!(found.group.is_none(), resume && version == Version::Tls12);
            }
            let seen = server.seen();
            assert_eq!((seen.full, seen.resumed, seen.retried, seen.failed), (4, 4, 0, 0));
        }
    }
}

#[test]
fn a_tls_13_ticket_is_used_once() {
    let lab = Lab::new();
    let server = lab.start(TestServerTls { tickets: 1, ..lab.server_tls(KeyKind::EcdsaP256) });
    let mut client = lab.client(&asked(Version::Tls13));
    talk(&mut client, &server, false).unwrap();
    assert_eq!(client.sessions(), 1);
    let (_, first) = client.connect(true).unwrap();
    let (_, second) = client.connect(true).unwrap();
    assert_eq!((first, second), (Wanted::Resume, Wanted::NoTicket));
    assert_eq!(client.sessions(), 0);
}

#[test]
fn a_server_without_tickets_is_seen_as_such() {
    let lab = Lab::new();
    let none = lab.start(TestServerTls { tickets: 0, ..lab.server_tls(KeyKind::EcdsaP256) });
    let off = lab.start(TestServerTls { resumes: false, ..lab.server_tls(KeyKind::EcdsaP256) });
    for (server, version) in
        [(&none, Version::Tls13), (&off, Version::Tls13), (&off, Version::Tls12)]
    {
        let mut client = lab.client(&asked(version));
        for _ in 0..3 {
            let (found, wanted) = talk(&mut client, server, true).unwrap();
            assert_eq!((found.kind, wanted), (Kind::Full, Wanted::NoTicket));
        }
    }
    assert_eq!(none.seen().resumed + off.seen().resumed, 0);
}

#[test]
fn a_refused_ticket_is_wanted_and_full() {
    let lab = Lab::new();
    let tls = lab.server_tls(KeyKind::EcdsaP256);
    let (before, after) = (lab.start(tls.clone()), lab.start(tls));
    let mut client = lab.client(&asked(Version::Tls13));
    talk(&mut client, &before, false).unwrap();
    let (found, wanted) = talk(&mut client, &after, true).unwrap();
    assert_eq!((found.kind, wanted), (Kind::Full, Wanted::Resume));
}

#[test]
fn each_full_handshake_is_retried_where_the_server_wants_another_group_and_none_that_resumes() {
    let lab = Lab::new();
    let server = lab
        .start(TestServerTls { groups: vec![Group::P384], ..lab.server_tls(KeyKind::EcdsaP256) });
    let mut client = lab.client(&asked(Version::Tls13));
    let kinds: Vec<Kind> = [false, false, true, false]
        .into_iter()
        .map(|resume| talk(&mut client, &server, resume).unwrap().0.kind)
        .collect();
    assert_eq!(kinds, [Kind::Retried, Kind::Retried, Kind::Resumed, Kind::Retried]);
    let Seen { full, retried, resumed, .. } = server.seen();
    assert_eq!((full, retried, resumed), (3, 3, 1));

    // Other roots forget sessions, and with them what the server likes.
    let other = Arc::new(Roots::from_pem(lab.pki.root_pem().as_bytes()).unwrap());
    client.set_roots(&other).unwrap();
    let (found, wanted) = talk(&mut client, &server, true).unwrap();
    assert_eq!((found.kind, wanted), (Kind::Retried, Wanted::NoTicket));
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_asks() {
    let lab = Lab::new();
    let mut kinds = vec![KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Ed25519];
    if cfg!(feature = "aws-lc") {
        kinds.push(KeyKind::Rsa2048);
    }
    let server = lab.start(TestServerTls {
        client_roots: Some(Arc::clone(&lab.roots)),
        ..lab.server_tls(KeyKind::EcdsaP256)
    });
    for key in kinds {
        let issued = lab.pki.issue(&Subject { key, ..Subject::client("client") }).unwrap();
        let identity =
            Identity::from_pem(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
        for version in [Version::Tls12, Version::Tls13] {
            for provider in providers() {
                let tls = scenario::Tls { provider, ..asked(version) };
                let mut client =
                    TlsClient::new(&tls, &target(), &lab.roots, None, Some(&identity)).unwrap();
                talk(&mut client, &server, false).unwrap();
                talk(&mut client, &server, true).unwrap();
            }
        }
    }
    assert_eq!(server.seen().full, server.seen().resumed);
}

#[test]
fn a_missing_client_certificate_fails_when_the_confirmation_is_awaited() {
    let lab = Lab::new();
    let server = lab.start(TestServerTls {
        client_roots: Some(Arc::clone(&lab.roots)),
        ..lab.server_tls(KeyKind::EcdsaP256)
    });
    // In TLS 1.3 the client's part of the handshake is over before the server has looked.
    for (version, after_the_handshake) in [(Version::Tls12, false), (Version::Tls13, true)] {
        let failed = talk(&mut lab.client(&asked(version)), &server, false).unwrap_err();
        assert_eq!(failed, (Failure::Alert, after_the_handshake));
    }
    assert_eq!(server.wait_until(|seen| seen.failed == 2).failed, 2);
    assert_eq!(server.seen().full, 0);
}

#[test]
fn early_data_is_accepted_when_asked_for_and_counted() {
    let lab = Lab::new();
    let server =
        lab.start(TestServerTls { early_data: 1024, ..lab.server_tls(KeyKind::EcdsaP256) });
    for (asks, accepted) in [(false, 0), (true, 3)] {
        let tls = scenario::Tls { early_data: asks, ..asked(Version::Tls13) };
        let mut client = lab.client(&tls);
        let found: Vec<bool> = [false, true, true, false, true]
            .into_iter()
            .map(|resume| talk(&mut client, &server, resume).unwrap().0.early_data_accepted)
            .collect();
        assert_eq!(found, [false, asks, asks, false, asks]);
        assert_eq!(server.seen().early_data, accepted);
    }
    assert_eq!(server.seen().requests, 10);
}

#[test]
fn bad_certificates_fail_under_their_own_names() {
    let lab = Lab::new();
    let other = Lab::new();
    for (subject, pki, expected) in [
        (Subject::server("other.test"), &lab.pki, Failure::CertificateName),
        (
            Subject { validity: Validity::Expired, ..Subject::server(NAME) },
            &lab.pki,
            Failure::CertificateTime,
        ),
        (
            Subject { validity: Validity::NotYet, ..Subject::server(NAME) },
            &lab.pki,
            Failure::CertificateTime,
        ),
        (Subject::server(NAME), &other.pki, Failure::CertificateUnknownCa),
        (Subject::client(NAME), &lab.pki, Failure::CertificateOther),
    ] {
        let server = lab.start(TestServerTls::new(pki.issue(&subject).unwrap().identity));
        for version in [Version::Tls12, Version::Tls13] {
            for verify in [Verify::Every, Verify::First, Verify::SameChain] {
                let tls = scenario::Tls { verify, ..asked(version) };
                assert_eq!(failure(&lab, &tls, &server), expected, "{subject:?}");
            }
            let tls = scenario::Tls { verify: Verify::Off, ..asked(version) };
            talk(&mut lab.client(&tls), &server, false).unwrap();
        }
    }
}

#[test]
fn faults_of_the_handshake_fail_under_their_own_names() {
    let lab = Lab::new();
    let tls = lab.server_tls(KeyKind::EcdsaP256);
    for (fault, expected) in [
        (Handshake::Alert, Failure::Alert),
        (Handshake::Close, Failure::Unconfirmed),
        (Handshake::Reset, Failure::ResetInHandshake),
    ] {
        let server = start(tls.clone(), fault);
        assert_eq!(failure(&lab, &asked(Version::Tls13), &server), expected);
    }
    let only_12 = lab.start(TestServerTls { versions: vec![Version::Tls12], ..tls });
    assert_eq!(failure(&lab, &asked(Version::Tls13), &only_12), Failure::Alert);
}

#[test]
fn the_hybrid_group_is_refused_with_a_cure_where_it_does_not_exist() {
    let lab = Lab::new();
    let hybrid = |provider, version| scenario::Tls {
        provider,
        groups: vec![Group::X25519MlKem768],
        ..asked(version)
    };
    let mut all = vec![hybrid(Provider::Ring, Version::Tls13)];
    if cfg!(feature = "aws-lc") {
        all.push(hybrid(Provider::AwsLcRs, Version::Tls12));
    }
    for tls in all {
        let error = TlsClient::new(&tls, &target(), &lab.roots, None, None).unwrap_err();
        assert!(matches!(error, TlsError::GroupUnsupported { .. }), "{error}");
        assert!(error.to_string().contains("`x25519mlkem768`"), "{error}");
        assert!(error.hint().unwrap().contains("--provider aws-lc-rs"));
    }
}

#[cfg(not(feature = "aws-lc"))]
#[test]
fn a_provider_that_is_not_in_the_build_is_refused_with_a_cure() {
    let tls = scenario::Tls { provider: Provider::AwsLcRs, ..asked(Version::Tls13) };
    let error = TlsClient::new(&tls, &target(), &Lab::new().roots, None, None).unwrap_err();
    assert_eq!(error.to_string(), "provider `aws-lc-rs` is not part of this build");
    assert!(error.hint().unwrap().contains("`aws-lc`"));
}

#[test]
fn a_host_may_be_an_address() {
    let lab = Lab::new();
    let issued = lab.pki.issue(&Subject::server("127.0.0.1")).unwrap();
    let server = lab.start(TestServerTls::new(issued.identity));
    let by_address = scenario::Target { host: "127.0.0.1".to_owned(), ..target() };
    let mut client =
        TlsClient::new(&asked(Version::Tls13), &by_address, &lab.roots, None, None).unwrap();
    talk(&mut client, &server, false).unwrap();
    assert_eq!(failure(&lab, &asked(Version::Tls13), &server), Failure::CertificateName);
    for (host, fits) in [("[::1]", true), ("lab.test", true), ("a b", false), ("", false)] {
        assert_eq!(server_name(host).is_ok(), fits, "{host}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let lab = Lab::new();
    let [one, other] = ["a", "b"].map(|name| lab.pki.issue(&Subject::client(name)).unwrap());
    let identity = Identity::from_pem(one.chain_pem.as_bytes(), other.key_pem.as_bytes()).unwrap();
    let tls = asked(Version::Tls13);
    let error = TlsClient::new(&tls, &target(), &lab.roots, None, Some(&identity)).unwrap_err();
    assert!(matches!(error, TlsError::IdentityUse { .. }), "{error}");
    assert!(Identity::from_pem(b"", other.key_pem.as_bytes()).is_err());
    assert!(Identity::from_pem(one.chain_pem.as_bytes(), b"").is_err());
}

/// A server with the right chain, and a key that is another's.
fn impostor(
    chain: &Identity,
    key: &Identity,
    version: Version,
) -> Arc<rustls::server::ServerConfig> {
    #[derive(Debug)]
    struct Always(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Always {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let provider = crypto_provider(Provider::Ring, &[version], &[], &[]).unwrap();
    let signer = provider.key_provider.load_private_key(key.key().clone_key()).unwrap();
    let certified = rustls::sign::CertifiedKey::new(chain.chain().to_vec(), signer);
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[provider::version_id(version)])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(certified))));
    Arc::new(config)
}

/// A handshake in memory, as far as the client goes along.
fn shake(
    client: &mut TlsClient,
    server: &Arc<rustls::ServerConfig>,
) -> Result<Negotiated, rustls::Error> {
    let (mut ours, _) = client.connect(false).unwrap();
    let mut theirs = rustls::ServerConnection::new(Arc::clone(server)).unwrap();
    while ours.is_handshaking() {
        let mut wire = Vec::new();
        while ours.wants_write() {
            ours.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            theirs.read_tls(&mut wire).unwrap();
            theirs.process_new_packets().unwrap();
        }
        let mut wire = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            ours.read_tls(&mut wire).unwrap();
            ours.process_new_packets()?;
        }
    }
    Ok(client.negotiated(&ours).unwrap())
}

#[test]
fn a_handshake_signed_by_another_key_fails_in_every_mode() {
    let lab = Lab::new();
    let [mine, other] =
        [NAME, NAME].map(|name| lab.pki.issue(&Subject::server(name)).unwrap().identity);
    for version in [Version::Tls12, Version::Tls13] {
        let honest = impostor(&mine, &mine, version);
        let impostor = impostor(&mine, &other, version);
        for verify in [Verify::Every, Verify::First, Verify::Off, Verify::SameChain] {
            let mut client = lab.client(&scenario::Tls { verify, ..asked(version) });
            let bad = rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature);
            // Before anything is remembered, and after.
            assert_eq!(shake(&mut client, &impostor), Err(bad.clone()));
            shake(&mut client, &honest).unwrap();
            assert_eq!(shake(&mut client, &impostor), Err(bad.clone()), "{verify:?}");
            assert_eq!(failure_of(&bad).failure, Failure::CertificateOther);
        }
    }
}

#[test]
fn other_roots_verify_anew_and_refuse_what_they_do_not_know() {
    let lab = Lab::new();
    let identity = lab.pki.issue(&Subject::server(NAME)).unwrap().identity;
    let server = impostor(&identity, &identity, Version::Tls13);
    for verify in [Verify::First, Verify::SameChain] {
        let mut client = lab.client(&scenario::Tls { verify, ..asked(Version::Tls13) });
        for _ in 0..2 {
            shake(&mut client, &server).unwrap();
        }
        assert_eq!(client.chains_verified(), 1);
        client.set_roots(&lab.roots).unwrap();
        assert_eq!(client.chains_verified(), 1);

        let again = Arc::new(Roots::from_pem(lab.pki.root_pem().as_bytes()).unwrap());
        client.set_roots(&again).unwrap();
        shake(&mut client, &server).unwrap();
        assert_eq!(client.chains_verified(), 1);

        client.set_roots(&Lab::new().roots).unwrap();
        let error = shake(&mut client, &server).unwrap_err();
        assert_eq!(failure_of(&error).failure, Failure::CertificateUnknownCa);
    }
}

#[test]
fn a_connection_allocates_nothing_beyond_what_rustls_does() {
    let lab = Lab::new();
    let mut client = lab.client(&asked(Version::Tls13));
    drop(client.connect(true).unwrap());
    let name = ServerName::try_from(NAME).unwrap();
    let theirs = allocation_counter::measure(|| {
        drop(ClientConnection::new(Arc::clone(&client.parts.config), name.clone()).unwrap());
    });
    let ours = allocation_counter::measure(|| drop(client.connect(true).unwrap()));
    assert_eq!(ours.count_total, theirs.count_total);
    let owned = ServerName::try_from(NAME.to_owned()).unwrap();
    let with_owned_name = allocation_counter::measure(|| {
        drop(ClientConnection::new(Arc::clone(&client.parts.config), owned.clone()).unwrap());
    });
    assert!(ours.count_total < with_owned_name.count_total);
}

#[test]
fn no_provider_becomes_the_process_s_own() {
    let lab = Lab::new();
    for provider in providers() {
        let server = lab.start(TestServerTls { provider, ..lab.server_tls(KeyKind::EcdsaP256) });
        let tls = scenario::Tls { provider, ..asked(Version::Tls13) };
        talk(&mut lab.client(&tls), &server, false).unwrap();
    }
    assert!(CryptoProvider::get_default().is_none());
}

#[test]
fn tickets_beyond_the_limit_push_out_the_oldest() {
    let lab = Lab::new();
    let server = lab.start(TestServerTls { tickets: 60, ..lab.server_tls(KeyKind::EcdsaP256) });
    let mut client = lab.client(&asked(Version::Tls13));
    for _ in 0..9 {
        talk(&mut client, &server, false).unwrap();
    }
    assert_eq!(client.sessions(), 512);
    client.forget_sessions();
    assert_eq!(client.connect(true).unwrap().1, Wanted::NoTicket);
}
