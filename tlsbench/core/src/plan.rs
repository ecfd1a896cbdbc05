//! What is to be measured, checked: a [`Scenario`] can be run as it stands.
//!
//! It comes from a [`Draft`], which flags and a scenario file fill alike. What cannot be measured
//! together is refused by [`Draft::finish`], so that the engine never meets it.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use crate::units::{Nanos, Rate, Share};

pub(crate) mod words;
mod versions;
mod problem;
mod secret;
mod url;
mod message;
mod draft;
mod check;
mod file;
mod finish;
pub mod hop;
pub mod placement;
pub mod lab;
#[cfg(test)]
mod tests;

pub use draft::{
    Draft, LoadDraft, LoopName, ProtocolName, RequestDraft, SpreadName, TargetDraft, TimeoutDraft,
    TimingDraft, TlsDraft,
};
pub(crate) use file::read_toml;
pub use problem::Problem;
pub(crate) use problem::first;
pub use secret::{redact, redact_url};
pub use url::{is_dns_name, without_root};
pub use versions::Versions;
pub use words::NoSuchWord;
use words::words;

/// A whole run against endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What is measured, each by itself; names are unique, and there is at least one.
    pub targets: Vec<Target>,
    /// How TLS is spoken with every `https` target.
    pub tls: Tls,
    /// What is asked once a connection stands; nothing means: handshakes only.
    pub request: Option<Request>,
    /// When connections and requests begin.
    pub load: Load,
    /// How long, and in how many parts.
    pub timing: Timing,
    /// How long an operation, its parts and the whole run may take.
    pub timeout: Timeout,
    /// How a connection ends.
    pub close: Close,
    /// Threads; each has its own loop, TLS configuration, sessions and histograms.
    pub shards: NonZeroU32,
    /// When each thread keeps to a core of its own.
    pub pin: Pin,
    /// Addresses that connections come from, in turn; empty leaves the choice to the system.
    pub sources: Vec<IpAddr>,
    /// The version of IP that connections are to have; `None` leaves it to names and sources.
    pub ip_version: Option<IpVersion>,
    /// When a run against other people's machines stops by itself.
    pub abort_errors_above: Share,
}

impl Scenario {
    /// The version of IP that connections have: the one that was asked for, or that of the sources.
    #[must_use]
    pub fn effective_ip_version(&self) -> Option<IpVersion> {
        self.ip_version.or_else(|| self.sources.first().map(|source| IpVersion::of(*source)))
    }
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IpVersion {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

impl IpVersion {
    /// The version of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What reports call it.
    pub name: String,
    /// Whether TLS is spoken.
    pub scheme: Scheme,
    /// Host of the URL, for the Host header, SNI and the name that is verified. A name may end with a
    /// dot, which is sent in the Host header alone; an IPv6 address may have a zone, which never is.
    pub host: String,
    /// Port of the URL.
    pub port: u16,
    /// Path and query of the URL, beginning with `/`.
    pub path: String,
    /// Another name than the host for SNI and verification.
    pub sni: Option<String>,
    /// Addresses to connect to instead of what the host resolves to.
    pub connect_to: Vec<SocketAddr>,
}

/// When threads keep to cores of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Wherever there are as many cores as threads.
    Always,
    /// Where two cores more are there than threads: a thread cannot make way for what else runs there.
    Auto,
    /// The kernel moves them.
    Never,
}

/// Whether TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The port of a URL that names none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// How TLS is spoken. What is asked for here is checked against what was negotiated.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// The versions that are offered; the server chooses where they are two.
    pub version: Versions,
    /// Suites in order of preference; empty means the provider's own choice for the version.
    pub suites: Vec<Suite>,
    /// Groups in order of preference; empty means X25519 first, then P-256 and P-384.
    pub groups: Vec<Group>,
    /// Who does the cryptography.
    pub provider: Provider,
    /// The share of handshakes that resume a session, after the first of each.
    pub resume: Share,
    /// Whether a resuming TLS 1.3 handshake sends its request as early data.
    pub early_data: bool,
    /// PEM files of a client certificate with its chain, and of its key.
    pub client_certificate: Option<ClientCertificate>,
    /// PEM file of the roots that chains are verified against; nothing means the platform's.
    pub ca_bundle: Option<PathBuf>,
    /// How much of a chain is verified how often.
    pub verify: Verify,
}

/// A client certificate, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Certificate and intermediates, PEM.
    pub chain: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// A cipher suite, by its strength and hash; in TLS 1.2 with ECDHE and the server key's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// AES-128-GCM with SHA-256: the cheapest where the machine has AES instructions.
    Aes128Gcm,
    /// AES-256-GCM with SHA-384.
    Aes256Gcm,
    /// ChaCha20-Poly1305 with SHA-256.
    ChaCha20,
}

/// A key exchange group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// RFC 7748.
    X25519,
    /// The hybrid of X25519 and ML-KEM-768; TLS 1.3 and provider aws-lc-rs only.
    X25519MlKem768,
}

/// The kind of a server's or client's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 bits; made by aws-lc-rs, for ring makes no RSA keys.
    Rsa2048,
    /// RSA of 3072 bits; likewise.
    Rsa3072,
}

/// Who does the cryptography; chosen per run, never for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// aws-lc-rs.
    AwsLcRs,
    /// ring, the default.
    Ring,
}

/// How much of a server's chain is verified how often. The handshake signature always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verify {
    /// Chain and name, in every full handshake.
    Every,
    /// Chain and name of each shard's first full handshake.
    First,
    /// Nothing but the handshake signature, and not that where no provider verifies by the key.
    Off,
    /// A chain that was verified is remembered by leaf, intermediates, name, roots and provider
    /// until the first of it expires.
    SameChain,
}

/// What is asked over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The protocol.
    pub protocol: Protocol,
    /// The method, such as `GET`.
    pub method: String,
    /// Headers besides Host, User-Agent, Content-Length and Connection, in order.
    pub headers: Vec<(String, String)>,
    /// The body, which may be empty.
    pub body: Vec<u8>,
    /// The status that counts as success; nothing means any from 200 to 399.
    pub expect_status: Option<u16>,
    /// The length of body that counts as success, in bytes.
    pub expect_bytes: Option<u64>,
}

/// The protocol of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, one request at a time on a connection.
    Http1,
    /// HTTP/2 with so many requests at a time on a connection.
    Http2 {
        /// Concurrent streams.
        streams: NonZeroU32,
    },
}

/// When things begin.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// So many connections, each as fast as it can.
    Closed {
        /// Connections, over all shards.
        connections: NonZeroU32,
        /// Requests on each connection before it is closed; nothing means it is kept, or that
        /// only handshakes are made.
        requests_per_connection: Option<NonZeroU64>,
    },
    /// Things begin at a rate, whatever became of those before.
    Open {
        /// What begins.
        arrivals: Arrivals,
        /// How many per second, over all shards.
        rate: Rate,
        /// How they are spread.
        spread: Spread,
        /// The most connections at a time, over all shards.
        pool: NonZeroU32,
        /// A start that waits longer than this for the pool is missed.
        wait_max: Nanos,
    },
}

impl Load {
    /// Whether connections are kept for as long as the run lasts, where requests are made at all.
    #[must_use]
    pub const fn keeps_connections(&self) -> bool {
        match self {
            Self::Closed { requests_per_connection, .. } => requests_per_connection.is_none(),
            Self::Open { arrivals, .. } => matches!(arrivals, Arrivals::Requests),
        }
    }
}

/// What begins in an open load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Connections that make so many requests each (in a handshake-only run: none) and are closed.
    Connections {
        /// Requests on each.
        requests: NonZeroU64,
    },
    /// Requests over a pool of connections that are kept.
    Requests,
}

/// How arrivals are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Evenly.
    Even,
    /// At random, independently of one another (a Poisson process), from this seed.
    Poisson {
        /// Seed of the random sequence.
        seed: u64,
    },
}

/// How long, and in how many parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long each round is measured.
    pub round: Length,
    /// Rounds; the estimate's unit. At least 10 for an interval to be printed.
    pub rounds: NonZeroU32,
    /// Time before each target's first round that is not measured.
    pub warm_up: Nanos,
    /// Time over which the load rises to what it should be, at the beginning of the warm-up.
    pub ramp: Nanos,
}

/// How long things may take before they are given up and counted as failed by `timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// A whole operation: from the first SYN of a new connection, or from the request on one that
    /// stands, to the end of the response.
    pub operation: Nanos,
    /// Until the TCP connection stands.
    pub connect: Nanos,
    /// From there until the server has confirmed the TLS handshake.
    pub handshake: Nanos,
    /// From the request to the first byte of its response.
    pub first_byte: Nanos,
    /// The whole run, which then ends before its time and keeps what was measured.
    pub run: Option<Nanos>,
}

impl Timeout {
    /// The limits where none is said.
    pub const DEFAULT: Self = Self {
        operation: OPERATION_MAX,
        connect: CONNECT_MAX,
        handshake: HANDSHAKE_MAX,
        first_byte: FIRST_BYTE_MAX,
        run: None,
    };
}

/// How long a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many operations, over all shards.
    Count(NonZeroU64),
    /// So much time.
    Time(Nanos),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Close {
    /// The client says close_notify and shuts its side down first.
    Fin,
    /// The client resets it, which leaves no TIME_WAIT.
    Rst,
    /// The server closes first (`Connection: close`; in a handshake-only run the client asks by
    /// close_notify), and TIME_WAIT stays there. Where it has not within [`SERVER_CLOSE_MAX`], the
    /// client does.
    Server,
}

words!(Close { Fin = "fin", Rst = "rst", Server = "server" });
words!(Group {
    P256 = "p256",
    P384 = "p384",
    X25519 = "x25519",
    X25519MlKem768 = "x25519mlkem768",
});
words!(IpVersion { V4 = "ipv4", V6 = "ipv6" });
words!(KeyKind {
    EcdsaP256 = "ecdsa-p256",
    EcdsaP384 = "ecdsa-p384",
    Ed25519 = "ed25519",
    Rsa2048 = "rsa2048",
    Rsa3072 = "rsa3072",
});
words!(Pin { Always = "always", Auto = "auto", Never = "never" });
words!(Provider { AwsLcRs = "aws-lc-rs", Ring = "ring" });
words!(Suite {
    Aes128Gcm = "aes-128-gcm",
    Aes256Gcm = "aes-256-gcm",
    ChaCha20 = "chacha20-poly1305",
});
words!(Verify { Every = "every", First = "first", Off = "off", SameChain = "same-chain" });
words!(Version { Tls12 = "1.2", Tls13 = "1.3" });

/// A server that was asked to close has to send its FIN within this: it is under way with the response,
/// or the server lingers, as Envoy does for a second.
pub const SERVER_CLOSE_MAX: Nanos = Nanos::from_millis(5);
/// A minute, as k6 has it: what takes longer hangs, or is a download for which the limit is raised.
const OPERATION_MAX: Nanos = Nanos::from_millis(60_000);
/// Who says nothing for half a minute will not.
const FIRST_BYTE_MAX: Nanos = Nanos::from_millis(30_000);
/// Two lost SYNs (1 s and 2 s of retransmission) and a slow path still fit.
const CONNECT_MAX: Nanos = Nanos::from_millis(5_000);
/// A hundred times an RSA-4096 handshake on a machine that is 10 times overloaded.
const HANDSHAKE_MAX: Nanos = Nanos::from_millis(10_000);

/// What requests call themselves: honest, so that whoever is loaded can see by what.
pub const USER_AGENT: &str = concat!("tlsbench/", env!("CARGO_PKG_VERSION"), " (load test)");
