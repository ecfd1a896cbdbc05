//! Operations of a full TLS 1.3 handshake, one by one, beside the whole of it.
//!
//! `cargo bench -p tlsbench-engine --bench primitives`. The client's sum is one key share made and
//! agreed, two or three signatures verified (the chain's and the handshake's), one key schedule,
//! one transcript, and one connection of TCP; the whole handshake is held against it. Times are of
//! CPU clocks, so that others on the machine count for less. At the end the load engine's own
//! handshakes over loopback are held against the sum, by turns: the ratio to quote.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench")]

use std::hint::black_box;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{criterion_group, criterion_main};
use rustls::crypto::CryptoProvider;
use rustls::crypto::tls13::OkmBlock;
use rustls::{ServerConfig, ServerConnection, SignatureScheme, SupportedCipherSuite};
use tlsbench_core::scenario::{
    Close, Draft, Group, Length, Provider, Scenario, Scheme, Suite, Target, Tls, Verify, Version,
};
use tlsbench_core::units::{Nanos, Share};
use tlsbench_engine::calibrate::primitives;
use tlsbench_engine::clock::Clock;
use tlsbench_engine::run::{self, Inputs, Progress, Stop};
use tlsbench_engine::testserver::{TestServer, TestServerConfig};
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

/// Primitives of `tlsbench calibrate`, measured by the same code.
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
        for count in [2, 3] {
            group.bench_function(format!("verify {count}"), |b| {
                b.iter(|| verify(&crypto, &signed[..count]));
            });
        }
        group.finish();
    }
}

fn verify(crypto: &CryptoProvider, signed: &[Signed]) {
    let (_, algorithms) = crypto
        .signature_verification_algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == SignatureScheme::ECDSA_NISTP256_SHA256)
        .unwrap();
    for Signed { public, message, signature } in signed {
        algorithms[0].verify_signature(public, message, signature).unwrap();
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
                b.iter(|| transcript(suite));
            });
        }
        group.finish();
    }
}

fn transcript(suite: &rustls::Tls13CipherSuite) {
    let mut hash = suite.common.hash_provider.start();
    for _ in 0..5 {
        hash.update(black_box(&[7; 400]));
        black_box(hash.fork_finish());
    }
}

/// Connections on loopback: what the client's part of one costs, made as the engine makes them.
struct Loopback {
    address: SocketAddr,
}

impl Loopback {
    /// A server on a thread of its own, which lives as long as the process.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            // It closes first, so that the client's ports do not stay behind in TIME_WAIT.
            for stream in listener.incoming() {
                drop(stream);
            }
        });
        Self { address }
    }

    /// CPU time of this thread for so many times connect, wait for the end, close.
    fn connect(&self, times: u64) -> Duration {
        let begin = Clock::ThreadCpu.now();
        for _ in 0..times {
            let mut stream = TcpStream::connect(self.address).unwrap();
            assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
        }
        Duration::from_nanos((Clock::ThreadCpu.now() - begin).0)
    }
}

fn tcp(c: &mut Criterion) {
    let loopback = Loopback::start();
    c.bench_function("TCP on loopback/client's connect and close", |b| {
        b.iter_custom(|times| loopback.connect(times));
    });
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

fn tls(provider: Provider, verify: Verify) -> Tls {
    Tls {
        version: Version::Tls13.into(),
        suites: vec![Suite::Aes128Gcm],
        groups: Vec::new(),
        provider,
        resume: Share::ZERO,
        early_data: false,
        client_certificate: None,
        ca_bundle: None,
        verify,
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
        let client = TlsClient::new(&tls(provider, verify), &target(), &roots, None, None).unwrap();
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

/// The load engine against a server in this process: its thread's CPU time per handshake.
struct Engine {
    _server: TestServer,
    inputs: Inputs,
    scenario: Scenario,
}

impl Engine {
    fn new(provider: Provider, verify: Verify) -> Self {
        let pki = LabPki::generate().unwrap();
        let subject = Subject { issuer: Issuer::Intermediate, ..Subject::server(NAME) };
        let mut fake = TestServerConfig::tls(pki.issue(&subject).unwrap().identity, 0);
        if let Some(tls) = &mut fake.tls {
            (tls.tickets, tls.resumes) = (0, false);
        }
        let server = TestServer::start(fake).unwrap();
        let roots = Arc::new(Roots::from_pem(pki.root_pem().as_bytes()).unwrap());
        let inputs = Inputs {
            addresses: vec![vec![server.address()]],
            roots: Some(roots),
            ca_bundle: None,
            identity: None,
            left_out: Vec::new(),
        };
        let mut draft = Draft::from_toml(&format!(
            "handshakes_only = true\n[load]\nconnections = 16\n[[target]]\nname = 'loopback'\n\
             url = 'https://{NAME}:{}/'\n",
            server.address().port()
        ))
        .unwrap();
        draft.close = Some(Close::Server);
        let mut scenario = draft.finish().unwrap();
        scenario.tls = tls(provider, verify);
        scenario.shards = NonZeroU32::MIN;
        scenario.timing.rounds = NonZeroU32::MIN;
        scenario.timing.warm_up = Nanos::from_millis(50);
        Self { _server: server, inputs, scenario }
    }

    fn shake(&mut self, times: u64) -> Duration {
        let Some(count) = NonZeroU64::new(times) else { return Duration::ZERO };
        self.scenario.timing.round = Length::Count(count);
        let mut used = Nanos(0);
        run::run(&self.scenario, &self.inputs, &Stop::new(), |progress| {
            if let Progress::Slice(slice) = progress {
                // A handshake under way at the beginning counts with what is left of it.
                used = Nanos(slice.lap.cpu.total.0 * times / slice.tally.succeeded.max(1));
            }
        })
        .unwrap();
        Duration::from_nanos(used.0)
    }
}

/// The sum of what a client's handshake is made of, for a chain of leaf and intermediate.
struct Parts {
    crypto: Arc<CryptoProvider>,
    signed: Vec<Signed>,
    share: Vec<u8>,
    loopback: Loopback,
}

impl Parts {
    fn new(provider: Provider, verifications: usize) -> Self {
        let pki = LabPki::generate().unwrap();
        let crypto = crypto(provider);
        let signed = (0..verifications)
            .map(|_| signed(&crypto, &pki.issue(&Subject::server(NAME)).unwrap().identity))
            .collect();
        let share = crypto.kx_groups[0].start().unwrap().pub_key().to_vec();
        Self { crypto, signed, share, loopback: Loopback::start() }
    }

    fn once(&self, times: u64) -> Duration {
        let suite = suite(&self.crypto, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        let begin = Clock::ThreadCpu.now();
        for _ in 0..times {
            let kx = self.crypto.kx_groups[0].start().unwrap();
            black_box(kx.complete(black_box(&self.share)).unwrap());
            verify(&self.crypto, &self.signed);
            key_schedule(suite, black_box(&[9; 32]));
            transcript(suite);
        }
        let computed = Duration::from_nanos((Clock::ThreadCpu.now() - begin).0);
        computed + self.loopback.connect(times)
    }
}

/// The load engine beside the sum of its parts, by turns; the median of the ratios.
fn whole_beside_its_parts(c: &mut Criterion) {
    for provider in providers() {
        for (how, verifications) in [(Verify::Every, 3), (Verify::SameChain, 1)] {
            let mut engine = Engine::new(provider, how);
            let parts = Parts::new(provider, verifications);
            let mut group = c.benchmark_group(format!("engine over loopback/{provider}"));
            group.bench_function(format!("{how}"), |b| b.iter_custom(|n| engine.shake(n)));
            group.finish();
            if !is_measuring() {
                continue;
            }
            let turns = (0..TURNS).map(|_| {
                let whole = engine.shake(PER_TURN).as_secs_f64();
                whole / parts.once(PER_TURN).as_secs_f64()
            });
            let mut ratios: Vec<f64> = turns.collect();
            ratios.sort_by(f64::total_cmp);
            let (low, high) = (ratios[TURNS / 4], ratios[TURNS * 3 / 4]);
            println!(
                "{provider}, {how}: handshake {:.2} x its parts (quartiles {low:.2} to {high:.2})\n",
                ratios[TURNS / 2]
            );
        }
    }
}

/// `cargo bench` says `--bench`. Without it, under `cargo test`, and with `--test`, each benchmark is run
/// once to see that it runs; so criterion has it.
fn is_measuring() -> bool {
    let says = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    says("--bench") && !says("--test")
}

const TURNS: usize = 15;
/// Handshakes per turn: at some 200 µs each, a turn takes 0.2 s.
const PER_TURN: u64 = 1_000;

criterion_group! {
    name = benches;
    config = criterion::Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = calibration, signatures, hashes, tcp, handshakes, whole_beside_its_parts
}
criterion_main!(benches);
