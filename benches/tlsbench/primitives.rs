//! What a full TLS 1.3 handshake is made of, operation by operation, and the whole of it beside.
//!
//! `cargo bench -p tlsbench-engine --bench primitives`. The client's sum is one key share made and
//! agreed, two or three signatures verified (the chain's and the handshake's), one key schedule,
//! one transcript, and one connection of TCP; the whole handshake is held against it. Times are of
//! the process's CPU clock, so that others on the machine count for less.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{criterion_group, criterion_main};
use rustls::crypto::CryptoProvider;
use rustls::crypto::tls13::OkmBlock;
use rustls::{ServerConfig, ServerConnection, SignatureScheme, SupportedCipherSuite};
use tlsbench_core::plan::{Group, Provider, Scheme, Suite, Target, Tls, Verify, Version};
use tlsbench_core::units::{Nanos, Ratio};
use tlsbench_engine::calibrate::primitives;
use tlsbench_engine::clock::Clock;
use tlsbench_engine::tls::{Identity, Issuer, LabPki, Roots, Subject, TlsClient, crypto_provider};

const NAME: &str = "lab.test";

type Criterion = criterion::Criterion<CpuTime>;

/// CPU time of this process, shown as criterion shows time.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Nanos;
    type Value = Duration;

    fn start(&self) -> Nanos {
        Clock::ProcessCpu.now()
    }

    fn end(&self, begin: Nanos) -> Duration {
        since(begin)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn since(begin: Nanos) -> Duration {
    Duration::from_nanos((Clock::ProcessCpu.now() - begin).0)
}

fn providers() -> Vec<Provider> {
    if cfg!(feature = "aws-lc") {
        vec![Provider::Ring, Provider::AwsLcRs]
    } else {
        vec![Provider::Ring]
    }
}

fn crypto(provider: Provider) -> Arc<CryptoProvider> {
    let groups = match provider {
        Provider::AwsLcRs => Group::ALL,
        Provider::Ring => &[Group::X25519, Group::P256, Group::P384],
    };
    crypto_provider(provider, &[Version::Tls13], &[], groups).unwrap()
}

/// What `tlsbench calibrate` measures, by the same code.
fn calibration(c: &mut Criterion) {
    for mut primitive in primitives().unwrap() {
        let by = primitive.provider.map_or("kernel", |provider| provider.as_str());
        let bytes = primitive.bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
        let mut group = c.benchmark_group(format!("primitives/{by}"));
        group.bench_function(format!("{}{bytes}", primitive.name), |b| {
            b.iter_custom(|times| {
                let begin = Clock::ProcessCpu.now();
                primitive.repeat(times).unwrap();
                since(begin)
            });
        });
        group.finish();
    }
}

/// A signature of a fresh key over what a CertificateVerify covers.
struct Signed {
    public: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

fn signed(provider: &CryptoProvider, identity: &Identity) -> Signed {
    let key = provider.key_provider.load_private_key(identity.key().clone_key()).unwrap();
    let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
    let message = vec![7; 64 + 33 + 1 + 32];
    let signature = signer.sign(&message).unwrap();
    // The point is the end of the key's info: 65 bytes, uncompressed.
    let info = key.public_key().unwrap();
    let public = info[info.len() - 65..].to_vec();
    Signed { public, message, signature }
}

fn signatures(c: &mut Criterion) {
    let pki = LabPki::generate().unwrap();
    let mine: Vec<Identity> =
        (0..3).map(|_| pki.issue(&Subject::server(NAME)).unwrap().identity).collect();
    for provider in providers() {
        let crypto = crypto(provider);
        let mut group = c.benchmark_group(format!("ECDSA P-256/{provider}"));
        let signed: Vec<Signed> = mine.iter().map(|one| signed(&crypto, one)).collect();
        let (_, algorithms) = crypto
            .signature_verification_algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == SignatureScheme::ECDSA_NISTP256_SHA256)
            .unwrap();
        for count in [2, 3] {
            group.bench_function(format!("verify {count}"), |b| {
                b.iter(|| {
                    for one in &signed[..count] {
                        let Signed { public, message, signature } = one;
                        algorithms[0].verify_signature(public, message, signature).unwrap();
                    }
                });
            });
        }
        group.finish();
    }
}

fn suite(
    crypto: &CryptoProvider,
    wanted: rustls::CipherSuite,
) -> &'static rustls::Tls13CipherSuite {
    crypto
        .cipher_suites
        .iter()
        .find_map(|suite| match suite {
            SupportedCipherSuite::Tls13(suite) if suite.common.suite == wanted => Some(*suite),
            _ => None,
        })
        .unwrap()
}

/// The key schedule of one side: three extractions; twelve secrets and four pairs of key and IV
/// expanded; two Finished messages authenticated.
fn key_schedule(suite: &rustls::Tls13CipherSuite, secret: &[u8]) {
    let hkdf = suite.hkdf_provider;
    let label: &[&[u8]] = &[&[0, 32], &[18], b"tls13 c hs traffic", &[32], &[7; 32]];
    let early = hkdf.extract_from_zero_ikm(None);
    let derived: OkmBlock = early.expand_block(label);
    let handshake = hkdf.extract_from_secret(Some(derived.as_ref()), secret);
    let secrets = [(); 3].map(|()| handshake.expand_block(label));
    let main = hkdf.extract_from_secret(Some(secrets[2].as_ref()), &[0; 32]);
    let traffic = [(); 4].map(|()| main.expand_block(label));
    for secret in [&secrets[0], &secrets[1], &traffic[0], &traffic[1]] {
        let expander = hkdf.expander_for_okm(secret);
        black_box((expander.expand_block(label), expander.expand_block(label)));
    }
    for secret in [&secrets[0], &secrets[1]] {
        let finished = hkdf.expander_for_okm(secret).expand_block(label);
        black_box(hkdf.hmac_sign(&finished, &[7; 32]));
    }
}

fn hashes(c: &mut Criterion) {
    for provider in providers() {
        let crypto = crypto(provider);
        let mut group = c.benchmark_group(format!("key schedule and transcript/{provider}"));
        for (name, id) in [
            ("SHA-256", rustls::CipherSuite::TLS13_AES_128_GCM_SHA256),
            ("SHA-384", rustls::CipherSuite::TLS13_AES_256_GCM_SHA384),
        ] {
            let suite = suite(&crypto, id);
            group.bench_function(format!("{name}, key schedule"), |b| {
                b.iter(|| key_schedule(suite, black_box(&[9; 32])));
            });
            group.bench_function(format!("{name}, transcript of 2 KB read at 5 places"), |b| {
                b.iter(|| {
                    let mut hash = suite.common.hash_provider.start();
                    for _ in 0..5 {
                        hash.update(black_box(&[7; 400]));
                        black_box(hash.fork_finish());
                    }
                });
            });
        }
        group.finish();
    }
}

fn target() -> Target {
    Target {
        name: "memory".to_owned(),
        scheme: Scheme::Https,
        host: NAME.to_owned(),
        port: 443,
        path: "/".to_owned(),
        sni: None,
        connect_to: Vec::new(),
    }
}

struct Pair {
    client: TlsClient,
    server: Arc<ServerConfig>,
}

impl Pair {
    fn new(provider: Provider, verify: Verify, issuer: Issuer, tickets: usize) -> Self {
        let pki = LabPki::generate().unwrap();
        let roots = Arc::new(Roots::from_pem(pki.root_pem().as_bytes()).unwrap());
        let subject = Subject { issuer, ..Subject::server(NAME) };
        let identity = pki.issue(&subject).unwrap().identity;
        let crypto =
            crypto_provider(provider, &[Version::Tls13], &[Suite::Aes128Gcm], &[]).unwrap();
        let mut server = ServerConfig::builder_with_provider(crypto)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain().to_vec(), identity.key().clone_key())
            .unwrap();
        server.send_tls13_tickets = tickets;
        let tls = Tls {
            version: Version::Tls13,
            suites: vec![Suite::Aes128Gcm],
            groups: Vec::new(),
            provider,
            resume: Ratio::ZERO,
            early_data: false,
            client_certificate: None,
            ca_bundle: None,
            verify,
        };
        let client = TlsClient::new(&tls, &target(), &roots, None, None).unwrap();
        Self { client, server: Arc::new(server) }
    }

    /// One handshake in memory to its confirmation by tickets, if there are any; the client's time.
    fn shake(&mut self, resume: bool) -> Duration {
        let mut spent = Duration::ZERO;
        let mut wire = Vec::with_capacity(8192);
        let begin = Clock::ProcessCpu.now();
        let (mut ours, _) = self.client.connect(resume).unwrap();
        spent += since(begin);
        let mut theirs = ServerConnection::new(Arc::clone(&self.server)).unwrap();
        while ours.is_handshaking() || theirs.wants_write() || ours.wants_write() {
            let begin = Clock::ProcessCpu.now();
            wire.clear();
            while ours.wants_write() {
                ours.write_tls(&mut wire).unwrap();
            }
            spent += since(begin);
            let mut from = wire.as_slice();
            while !from.is_empty() {
                theirs.read_tls(&mut from).unwrap();
                theirs.process_new_packets().unwrap();
            }
            wire.clear();
            while theirs.wants_write() {
                theirs.write_tls(&mut wire).unwrap();
            }
            let begin = Clock::ProcessCpu.now();
            let mut from = wire.as_slice();
            while !from.is_empty() {
                ours.read_tls(&mut from).unwrap();
                ours.process_new_packets().unwrap();
            }
            spent += since(begin);
        }
        let begin = Clock::ProcessCpu.now();
        black_box(self.client.negotiated(&ours).unwrap());
        drop(ours);
        spent + since(begin)
    }
}

fn handshakes(c: &mut Criterion) {
    for provider in providers() {
        let mut group = c.benchmark_group(format!("client's part of a handshake/{provider}"));
        for (name, verify, issuer, resume) in [
            ("full, chain of leaf", Verify::Every, Issuer::Root, false),
            ("full, chain of leaf and intermediate", Verify::Every, Issuer::Intermediate, false),
            ("full, same chain", Verify::SameChain, Issuer::Intermediate, false),
            ("full, signature only", Verify::Off, Issuer::Intermediate, false),
            ("resumed", Verify::Every, Issuer::Root, true),
        ] {
            let mut pair = Pair::new(provider, verify, issuer, usize::from(resume));
            pair.shake(false);
            group.bench_function(name, |b| {
                b.iter_custom(|times| (0..times).map(|_| pair.shake(resume)).sum());
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = criterion::Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = calibration, signatures, hashes, handshakes
}
criterion_main!(benches);
