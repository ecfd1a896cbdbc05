//! Configuration of a built-in hop, and its counters: both are JSON.
//!
//! Nothing here says where hops come from or how many there are. Everything that a hop needs is in
//! its configuration, certificates included, so that a hop reads no files.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::scenario::{Group, ProtocolName, Provider, Suite, Verify, Version};
use crate::units::Nanos;
use crate::words::words;

mod check;
mod counters;
#[cfg(test)]
mod tests;

pub use counters::{EngineCounters, Handshakes, HopCounters};

/// One hop: what it is, what it listens with and what it dials with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// Work that it does with connections.
    pub kind: HopKind,
    /// Address and TLS that it listens with.
    pub listen: Listen,
    /// Address and TLS that it dials with; every kind but a backend has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dial: Option<Dial>,
    /// Routes of an SNI relay: addresses by server name. All other connections go where the hop
    /// dials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Threads, each with its own loop and upstream connections.
    #[serde(default = "one")]
    pub workers: NonZeroU32,
    /// Number of equal servers that the hop stands for.
    #[serde(default)]
    pub replicas: Replicas,
    /// Treatment of X-Forwarded-For, -Proto and -Port by an HTTP hop.
    #[serde(default)]
    pub forwarded: Forwarded,
    /// Delay of a relay: each byte goes on this much later than it came, in both directions. The
    /// TCP handshake is not delayed.
    #[serde(default)]
    pub delay: Nanos,
    /// Body of a backend's response in bytes. The path `/bytes/N` asks for another length.
    #[serde(default)]
    pub response_bytes: u64,
}

/// Work that a hop does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HopKind {
    /// Answers requests itself.
    Backend,
    /// Forwards requests, over upstream connections of its own.
    Http,
    /// Passes bytes on.
    Relay,
    /// Passes bytes on, to where the server name of the ClientHello says.
    SniRelay,
}

/// Address and TLS that a hop listens with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// The address; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// TLS, ended here; `None` means plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenTls>,
    /// True if each connection must begin with a header of the PROXY protocol, version 1 or 2.
    #[serde(default)]
    pub proxy_protocol: bool,
}

/// TLS as a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenTls {
    /// Certificate and intermediates, PEM.
    pub chain: String,
    /// Private key.
    pub key: PrivatePem,
    /// Roots of client certificates, PEM, of which each client must have one; `None` asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<String>,
    /// Cryptography that both sides may use.
    #[serde(flatten)]
    pub suite: Cryptography,
    /// Protocols that are agreed to by ALPN, best first; none means that ALPN is left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<ProtocolName>,
    /// Session tickets that each full handshake of TLS 1.3 gives; 0 means no resumption at all.
    #[serde(default = "two")]
    pub tickets: u8,
}

/// Address and TLS that a hop dials with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dial {
    /// The next hop.
    pub address: SocketAddr,
    /// TLS, begun here; `None` means plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DialTls>,
    /// True if each connection begins with a header of the PROXY protocol, version 2.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Idle upstream connections that each worker of an HTTP hop keeps for each replica; 0 means a
    /// new connection for each request.
    #[serde(default)]
    pub pool: u32,
}

/// TLS as a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialTls {
    /// The name of the server, for SNI and verification.
    pub name: String,
    /// Roots that the server's chain must lead to, PEM.
    pub ca: String,
    /// Extent of chain verification.
    #[serde(default = "every")]
    pub verify: Verify,
    /// A client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PemIdentity>,
    /// Cryptography that both sides may use.
    #[serde(flatten)]
    pub suite: Cryptography,
    /// True if sessions are resumed.
    #[serde(default = "yes")]
    pub resume: bool,
}

/// A certificate with its chain, and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PemIdentity {
    /// Certificate and intermediates, PEM.
    pub chain: String,
    /// Private key.
    pub key: PrivatePem,
}

/// Parameters that may be negotiated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cryptography {
    /// Versions; none means 1.2 and 1.3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Version>,
    /// Suites, best first; none means the engine's own choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<Suite>,
    /// Groups, best first; none means the engine's own choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Provider of the cryptography.
    #[serde(default = "ring")]
    pub provider: Provider,
}

impl Default for Cryptography {
    fn default() -> Self {
        Self { versions: Vec::new(), suites: Vec::new(), groups: Vec::new(), provider: ring() }
    }
}

/// Address of the connections for one server name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The server name, whatever its case.
    pub name: String,
    /// Address to dial.
    pub address: SocketAddr,
}

/// Equal servers behind one address, which take connections in turn. Each has its own upstream
/// connections and sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replicas {
    /// Number of replicas.
    pub count: NonZeroU32,
    /// Scope of the session ticket keys.
    pub tickets: TicketKeys,
}

impl Default for Replicas {
    fn default() -> Self {
        Self { count: one(), tickets: TicketKeys::Shared }
    }
}

/// Scope of session ticket keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TicketKeys {
    /// Each replica's: a ticket is of use only where it was given.
    Own,
    /// All replicas': a ticket is of use at each.
    Shared,
}

/// Treatment of X-Forwarded-For, -Proto and -Port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forwarded {
    /// The client's address is appended to For; Proto and Port are kept, and set where absent.
    Append,
    /// The headers stay as they are.
    #[default]
    Keep,
    /// The headers are set, and what a client forged is removed.
    Set,
}

/// Protection of a link between two hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkSecurity {
    /// TLS with certificates of both sides.
    Mtls,
    /// No TLS.
    Plain,
    /// TLS with a server certificate.
    Tls,
}

/// A private key, PEM. Printed for debugging it does not show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivatePem(pub String);

impl fmt::Debug for PrivatePem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivatePem({} bytes)", self.0.len())
    }
}

impl HopKind {
    /// Returns true if it knows requests; a relay does not.
    #[must_use]
    pub const fn speaks_http(self) -> bool {
        matches!(self, Self::Backend | Self::Http)
    }
}

impl Hop {
    /// Reads a hop and checks it. Unknown fields are refused.
    ///
    /// # Errors
    /// The first thing that is no hop, with its field.
    pub fn from_json(text: &str) -> Result<Self, Problem> {
        let mut json = serde_json::Deserializer::from_str(text);
        let hop: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let key = match error.path().to_string().as_str() {
                "." => "hop".to_owned(),
                path => path.to_owned(),
            };
            Problem::new(key, error.inner().to_string(), "write the configuration that is meant")
        })?;
        json.end().map_err(|error| Problem::new("hop", error.to_string(), "write one object"))?;
        match hop.problems().into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(hop),
        }
    }

    /// Returns true if it knows requests; a relay does not.
    #[must_use]
    pub const fn speaks_http(&self) -> bool {
        self.kind.speaks_http()
    }

    /// Everything that keeps the hop from being started.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        check::problems(self)
    }
}

impl Listen {
    /// Protection of the link to this hop.
    #[must_use]
    pub fn carried(&self) -> LinkSecurity {
        match &self.tls {
            None => LinkSecurity::Plain,
            Some(tls) if tls.client_ca.is_some() => LinkSecurity::Mtls,
            Some(_) => LinkSecurity::Tls,
        }
    }
}

impl Dial {
    /// Protection of the link from this hop.
    #[must_use]
    pub fn carried(&self) -> LinkSecurity {
        match &self.tls {
            None => LinkSecurity::Plain,
            Some(tls) if tls.identity.is_some() => LinkSecurity::Mtls,
            Some(_) => LinkSecurity::Tls,
        }
    }
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn two() -> u8 {
    2
}

fn yes() -> bool {
    true
}

fn every() -> Verify {
    Verify::Every
}

fn ring() -> Provider {
    Provider::Ring
}

words!(LinkSecurity { Mtls = "mtls", Plain = "plain", Tls = "tls" });
words!(Forwarded { Append = "append", Keep = "keep", Set = "set" });
words!(HopKind {
    Backend = "backend",
    Http = "http",
    Relay = "relay",
    SniRelay = "sni-relay",
});
words!(TicketKeys { Own = "own", Shared = "shared" });

/// The longest delay, a second: five times the way around the earth by fibre, there and back, takes
/// less, and what waits in a relay for so long still fits its queue.
pub const DELAY_MAX: Nanos = Nanos::from_millis(1_000);
/// The largest response, 1 GiB: sixteen thousand times the largest that nginx serves by default.
pub const RESPONSE_BYTES_MAX: u64 = 1 << 30;
/// The most workers: four for each core of the largest machines that one would measure on.
pub const WORKERS_MAX: u32 = 256;
/// The most replicas: beyond 64, the chance to meet the same one again is below 2 %.
pub const REPLICAS_MAX: u32 = 64;
/// The most tickets that one handshake gives: a browser asks for two, curl keeps four.
pub const TICKETS_MAX: u8 = 8;
/// The most idle upstream connections: as many as one address has ports.
pub const POOL_MAX: u32 = 28_232;
