//! A scenario as a file or flags gave it so far: everything may be missing.
//!
//! These are the tables and keys of the scenario file, so their comments are its manual. Nothing
//! is checked here; `finish` does that.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Close, Group, IpVersion, Pin, ProtocolName, Provider, Suite, Verify, Versions};
use crate::toml_file::{layered, span};
use crate::units::Nanos;
use crate::words::words;

/// A scenario as far as it is given. Keys of the file's top level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// True if connections are closed once their handshake is confirmed, without a request.
    /// Default: false.
    pub handshakes_only: Option<bool>,
    /// End of a connection: `server` (which has 5 ms for it, and then the client closes), `fin` or
    /// `rst`. Default: `server`; `fin` where the server cannot be asked to (`load.keep`, HTTP/2).
    pub close: Option<Close>,
    /// Threads, each with its own loop, TLS configuration, sessions and histograms. Default: 1.
    pub threads: Option<u32>,
    /// Pinning of threads to cores: `always`, `auto` or `never`. Default: `auto`.
    pub pin: Option<Pin>,
    /// Addresses that connections come from, in turn, all of one family. Default: the system's
    /// choice. One address has 28,232 ports for one endpoint.
    pub sources: Option<Vec<IpAddr>>,
    /// The version of IP, `ipv4` or `ipv6`, of the addresses that are connected to, of those that a
    /// name has. Default: that of `sources`; both where there are none.
    pub ip_version: Option<IpVersion>,
    /// Share of failed operations, 0 to 1, above which the run stops. Default: 1, which is never;
    /// 0.1 where a target is not on this machine or in a private network.
    pub abort_errors_above: Option<f64>,
    /// Endpoints, each measured by itself. At least one.
    pub target: Option<Vec<TargetDraft>>,
    /// TLS parameters.
    #[serde(default)]
    pub tls: TlsDraft,
    /// Request on a connection.
    #[serde(default)]
    pub request: RequestDraft,
    /// Arrival of connections and requests.
    #[serde(default)]
    pub load: LoadDraft,
    /// Length and number of rounds.
    #[serde(default)]
    pub timing: TimingDraft,
    /// Time limits.
    #[serde(default, skip_serializing_if = "TimeoutDraft::is_empty")]
    pub timeout: TimeoutDraft,
}

/// An endpoint: a table `[[target]]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetDraft {
    /// Name in reports. Default: host and port of the URL.
    pub name: Option<String>,
    /// `http://` or `https://`, host, and where wanted port, path and query. Required. Default
    /// port: 80 or 443.
    pub url: String,
    /// Another name than the URL's host for SNI and verification. Default: the host.
    pub sni: Option<String>,
    /// Addresses with ports to connect to, in turn, instead of what the host resolves to.
    /// Default: none.
    pub connect_to: Option<Vec<SocketAddr>>,
}

/// TLS parameters: the table `[tls]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsDraft {
    /// The versions that are offered: `1.2`, `1.3`, or `1.2,1.3`, of which the server chooses.
    /// Default: `1.2,1.3`; between placements, where it is one, `1.3`.
    pub version: Option<Versions>,
    /// Suites by preference: `aes-128-gcm`, `aes-256-gcm`, `chacha20-poly1305`. Default: the
    /// provider's own.
    pub suites: Option<Vec<Suite>>,
    /// Groups by preference: `x25519`, `p256`, `p384`, `x25519mlkem768`. Default: `x25519`, then
    /// `p256` and `p384`.
    pub groups: Option<Vec<Group>>,
    /// Provider of the cryptography: `ring` or `aws-lc-rs`. Default: `ring`.
    pub provider: Option<Provider>,
    /// Share of handshakes that resume a session, 0 to 1. Default: 0.
    pub resume: Option<f64>,
    /// True if a resuming handshake sends its request as early data. Default: false.
    pub early_data: Option<bool>,
    /// PEM file of a client certificate and its chain. Default: none.
    pub client_certificate: Option<PathBuf>,
    /// PEM file of the key to it. Default: none.
    pub client_key: Option<PathBuf>,
    /// PEM file of the roots that are trusted. Default: the platform's.
    pub ca_bundle: Option<PathBuf>,
    /// Extent of chain verification: `every`, `same-chain`, `first` or `off`. Default: `every`.
    pub verify: Option<Verify>,
}

/// Request on a connection: the table `[request]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestDraft {
    /// `http/1.1` or `h2`. Default: `http/1.1`.
    pub protocol: Option<ProtocolName>,
    /// Requests at a time on an HTTP/2 connection. Default: 1.
    pub streams: Option<u32>,
    /// The method. Default: `GET`.
    pub method: Option<String>,
    /// Headers as pairs of name and value, in order. Default: none.
    pub headers: Option<Vec<(String, String)>>,
    /// The body as text. Default: none.
    pub body: Option<String>,
    /// The body in base64, where it is no text. Default: none.
    pub body_base64: Option<String>,
    /// The status that counts as success. Default: any from 200 to 399.
    pub expect_status: Option<u16>,
    /// The length of body in bytes that counts as success. Default: any.
    pub expect_bytes: Option<u64>,
}

/// Arrival of connections and requests: the table `[load]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadDraft {
    /// `closed` (a fixed number of connections, each as fast as it can) or `open` (at a rate,
    /// whatever became of earlier arrivals). Default: `open` where a rate is given or a target is
    /// not on this machine or in a private network, else `closed`.
    #[serde(rename = "loop")]
    pub kind: Option<LoopName>,
    /// True if connections are kept instead of closed; in an open loop it is then requests that
    /// arrive. Default: false.
    pub keep: Option<bool>,
    /// Requests on each connection before it is closed. Default: 1.
    pub requests_per_connection: Option<u64>,
    /// Connections of a closed loop, over all threads. Default: 16; 10 where a target is not on
    /// this machine or in a private network.
    pub connections: Option<u32>,
    /// Arrivals of an open loop per second, over all threads. Required there, but where a target
    /// is not on this machine or in a private network: default 50.
    pub rate: Option<f64>,
    /// Distribution of arrivals: `even` or `poisson`. Default: `even`.
    pub spread: Option<SpreadName>,
    /// Seed of a Poisson process. Default: 1.
    pub seed: Option<u64>,
    /// Most connections of an open loop at a time, over all threads. Default: 1,000; 64 where
    /// they are kept.
    pub pool: Option<u32>,
    /// Time that a start of an open loop may wait for the pool before it counts as missed, as
    /// `500ms`. Default: `5s`.
    #[serde(default, with = "span")]
    pub wait_max: Option<Nanos>,
}

/// Length and number of rounds: the table `[timing]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimingDraft {
    /// Length of each round, as `500ms`. Default: `1s`.
    #[serde(default, with = "span")]
    pub round: Option<Nanos>,
    /// Operations in each round, over all threads, instead of a time. Default: none.
    pub round_count: Option<u64>,
    /// Rounds of each target. An interval needs at least 10. Default: 10.
    pub rounds: Option<u32>,
    /// Time before each target's first round that is not measured. Default: `1s`.
    #[serde(default, with = "span")]
    pub warm_up: Option<Nanos>,
    /// Time from the warm-up's beginning over which the load rises. Default: `0s`.
    #[serde(default, with = "span")]
    pub ramp: Option<Nanos>,
}

/// Time limits: the table `[timeout]`. What takes longer is given up and counted as failed by
/// `timeout`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeoutDraft {
    /// A whole operation, from connecting (or from the request on a connection that stands) to the
    /// end of the response, as `5s`. Default: `1m`.
    #[serde(default, with = "span")]
    pub operation: Option<Nanos>,
    /// Time to establish the TCP connection. Default: `5s`, at most `operation`.
    #[serde(default, with = "span")]
    pub connect: Option<Nanos>,
    /// Time from there to the confirmation of the handshake. Default: `10s`, at most `operation`.
    #[serde(default, with = "span")]
    pub handshake: Option<Nanos>,
    /// Time from the request to the first byte of the response. Default: `operation` where that is
    /// given, else `30s`.
    #[serde(default, with = "span")]
    pub first_byte: Option<Nanos>,
    /// The whole run, which then ends before its time and keeps what was measured. Default: none.
    #[serde(default, with = "span")]
    pub run: Option<Nanos>,
}

/// The two loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopName {
    /// A fixed number of connections, each as fast as it can.
    Closed,
    /// A fixed rate.
    Open,
}

/// The two ways to spread arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpreadName {
    /// Evenly.
    Even,
    /// A Poisson process.
    Poisson,
}

words!(LoopName { Closed = "closed", Open = "open" });
words!(SpreadName { Even = "even", Poisson = "poisson" });

layered!(Draft {
    handshakes_only,
    close,
    threads,
    pin,
    sources,
    ip_version,
    abort_errors_above,
    target,
    tls,
    request,
    load,
    timing,
    timeout,
});
layered!(TimeoutDraft { operation, connect, handshake, first_byte, run });
layered!(TlsDraft {
    version,
    suites,
    groups,
    provider,
    resume,
    early_data,
    client_certificate,
    client_key,
    ca_bundle,
    verify,
});
layered!(LoadDraft {
    kind,
    keep,
    requests_per_connection,
    connections,
    rate,
    spread,
    seed,
    pool,
    wait_max,
});

impl TimeoutDraft {
    /// Returns true if no limit is given.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RequestDraft {
    /// This, with what it leaves open taken from `below`. A body replaces a body, however written.
    #[must_use]
    pub fn or(self, below: Self) -> Self {
        let has_body = self.body.is_some() || self.body_base64.is_some();
        let (body, body_base64) = match has_body {
            true => (self.body, self.body_base64),
            false => (below.body, below.body_base64),
        };
        Self {
            protocol: self.protocol.or(below.protocol),
            streams: self.streams.or(below.streams),
            method: self.method.or(below.method),
            headers: self.headers.or(below.headers),
            body,
            body_base64,
            expect_status: self.expect_status.or(below.expect_status),
            expect_bytes: self.expect_bytes.or(below.expect_bytes),
        }
    }
}

impl TimingDraft {
    /// This, with what it leaves open taken from `below`. A length replaces a length of either
    /// sort.
    #[must_use]
    pub fn or(self, mut below: Self) -> Self {
        if self.round.is_some() || self.round_count.is_some() {
            (below.round, below.round_count) = (self.round, self.round_count);
        }
        below.rounds = self.rounds.or(below.rounds);
        below.warm_up = self.warm_up.or(below.warm_up);
        below.ramp = self.ramp.or(below.ramp);
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_above_wins_and_the_rest_comes_from_below() {
        let above = "threads = 2\n[tls]\nresume = 0.5\n[load]\nrate = 10\n";
        let below = "threads = 4\npin = 'always'\n[tls]\nresume = 0.1\nprovider = 'aws-lc-rs'\n";
        let read = |text: &str| Draft::from_toml(text).unwrap();
        let want = "threads = 2\npin = 'always'\n[tls]\nresume = 0.5\nprovider = 'aws-lc-rs'\n\
                    [load]\nrate = 10\n";
        assert_eq!(read(above).or(read(below)), read(want));
    }

    #[test]
    fn a_length_or_body_of_one_sort_replaces_one_of_the_other() {
        let above = "[timing]\nround_count = 100\n[request]\nbody_base64 = 'AA=='\n";
        let below = "[timing]\nround = '2s'\nrounds = 3\n[request]\nbody = 'x'\nmethod = 'PUT'\n";
        let read = |text: &str| Draft::from_toml(text).unwrap();
        let both = read(above).or(read(below));
        assert_eq!((both.timing.round, both.timing.round_count), (None, Some(100)));
        assert_eq!((both.timing.rounds, both.request.body), (Some(3), None));
        assert_eq!(both.request.method.as_deref(), Some("PUT"));
        assert_eq!(Draft::default().or(read(below)), read(below));
    }
}
