//! A checked description of a run: a [`Scenario`] can be run as it stands.
//!
//! It comes from a [`Draft`], which flags and a scenario file fill alike. What cannot be measured
//! together is refused by [`Draft::finish`], so that the engine never meets it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use crate::units::{Nanos, Share};

mod tls;
mod versions;
mod secret;
mod target;
mod url;
mod request;
mod load;
mod draft;
mod check;
mod file;
mod finish;
#[cfg(test)]
mod tests;

pub use draft::{
    Draft, LoadDraft, LoopName, RequestDraft, SpreadName, TargetDraft, TimeoutDraft, TimingDraft,
    TlsDraft,
};
pub use load::{Arrivals, Close, Length, Load, Pin, SERVER_CLOSE_MAX, Spread, Timeout, Timing};
pub use request::{Protocol, ProtocolName, Request};
pub use secret::{redact, redact_url};
pub use target::{IpVersion, Scheme, Target};
pub use tls::{Group, KeyKind, Provider, Suite, Verify, Version};
pub use url::{is_dns_name, without_root};
pub use versions::Versions;

/// A whole run against endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Endpoints, each measured by itself; names are unique, and there is at least one.
    pub targets: Vec<Target>,
    /// TLS of every `https` target.
    pub tls: Tls,
    /// Request on each connection; `None` makes handshakes only.
    pub request: Option<Request>,
    /// Arrival of connections and requests.
    pub load: Load,
    /// Length and number of rounds.
    pub timing: Timing,
    /// Limits of an operation, its parts and the whole run.
    pub timeout: Timeout,
    /// End of a connection.
    pub close: Close,
    /// Threads; each has its own loop, TLS configuration, sessions and histograms.
    pub shards: NonZeroU32,
    /// Pinning of threads to cores.
    pub pin: Pin,
    /// Addresses that connections come from, in turn; empty leaves the choice to the system.
    pub sources: Vec<IpAddr>,
    /// The version of IP that connections are to have; `None` leaves it to names and sources.
    pub ip_version: Option<IpVersion>,
    /// Share of errors at which a run against other people's machines stops.
    pub abort_errors_above: Share,
    /// Condition that stops a trial whose goal is out of reach; `None` runs to the end.
    pub futility: Option<Futility>,
}

/// Limits beyond which a goal cannot be met any more, whatever the rest of the run brings: a run
/// stops for futility then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Futility {
    /// The most operations that may fail, warm-up apart.
    pub failed_max: u64,
    /// The most that may be late at one moment, warm-up apart.
    pub late_max: u64,
    /// An operation without an answer is late from then on, counted from its intended start.
    pub late_after: Nanos,
}

impl Scenario {
    /// The version of IP that connections have: the one that was asked for, or that of the sources.
    #[must_use]
    pub fn effective_ip_version(&self) -> Option<IpVersion> {
        self.ip_version.or_else(|| self.sources.first().map(|source| IpVersion::of(*source)))
    }
}

/// TLS parameters that are asked for, to be checked against what was negotiated.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// The versions that are offered; the server chooses where they are two.
    pub version: Versions,
    /// Suites in order of preference; empty means the provider's own choice for the version.
    pub suites: Vec<Suite>,
    /// Groups in order of preference; empty means X25519 first, then P-256 and P-384.
    pub groups: Vec<Group>,
    /// Provider of the cryptography.
    pub provider: Provider,
    /// The share of handshakes that resume a session, after the first of each.
    pub resume: Share,
    /// True if a resuming TLS 1.3 handshake sends its request as early data.
    pub early_data: bool,
    /// PEM files of a client certificate with its chain, and of its key.
    pub client_certificate: Option<ClientCertificate>,
    /// PEM file of the roots that chains are verified against; `None` means the platform's.
    pub ca_bundle: Option<PathBuf>,
    /// Extent of chain verification.
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

/// User-Agent of requests: honest, so that whoever is loaded can see by what.
pub const USER_AGENT: &str = concat!("tlsbench/", env!("CARGO_PKG_VERSION"), " (load test)");
