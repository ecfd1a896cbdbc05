//! A run over placements as a file or flags gave it so far: everything may be missing.
//!
//! These are the tables and keys of the scenario file, so their comments are its manual. Nothing is
//! checked here; `finish` does that.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{EngineName, Pass, Workload};
use crate::hop::{HopKind, LinkSecurity, TicketKeys};
use crate::placement::Role;
use crate::scenario::{KeyKind, ProtocolName, TimingDraft, TlsDraft};
use crate::toml_file::{layered, span};
use crate::units::Nanos;

/// A run over placements as far as it is given. Keys of the file's top level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabDraft {
    /// Placements to measure, by name: known ones, and those that the file describes. Their
    /// baselines are measured too. Default: those that the file describes; the eight known ones if
    /// it describes none.
    pub placements: Option<Vec<String>>,
    /// Workloads of the CPU pass. Default: `full`, `keep-alive` and `resumed`.
    pub workloads: Option<Vec<Workload>>,
    /// Passes to measure: `cpu`, `latency`. Default: both.
    pub passes: Option<Vec<Pass>>,
    /// True if all workloads are measured in 20 rounds of 2 s, and idle connections. Other keys
    /// override it. Default: false.
    pub thorough: Option<bool>,
    /// True if a mix that costs choose is measured after all else, to check them with. Default: as
    /// `thorough`.
    pub hold_out: Option<bool>,
    /// Engine of every hop: `builtin`, `nginx` or `haproxy`. Default: `builtin`.
    pub engine: Option<EngineName>,
    /// The protocol of requests where the client speaks TLS: `http/1.1` or `h2`. Default:
    /// `http/1.1`.
    pub protocol: Option<ProtocolName>,
    /// True if each hop is in a network namespace of its own, joined to its neighbours by veth, so
    /// that each pays for the packets that it receives. Takes root. Default: false.
    pub netns: Option<bool>,
    /// The kind of every key. Default: `ecdsa-p256`.
    pub key: Option<KeyKind>,
    /// A directory of `tlsbench pki`, whose certificates are used. Default: certificates are made.
    pub pki: Option<PathBuf>,
    /// Seed of the order within rounds. Default: 1.
    pub seed: Option<u64>,
    /// Idle upstream connections of an HTTP hop. Default: 64.
    pub pool: Option<u32>,
    /// The backend's response, in bytes. Default: 120.
    pub response_bytes: Option<u64>,
    /// Idle connections that are held to see their memory. Default: 0; 500 where `thorough`.
    pub idle_connections: Option<u32>,
    /// Engine of the hop of a role. Default: as `engine` says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engines: BTreeMap<Role, EngineName>,
    /// TLS of every link that has it: `version`, `suites`, `groups`, `provider`, and with `pki` a
    /// `ca_bundle`.
    #[serde(default)]
    pub tls: TlsDraft,
    /// Length and number of slices in the CPU pass: `round`, `rounds`, `warm_up`.
    #[serde(default)]
    pub timing: TimingDraft,
    /// The latency pass.
    #[serde(default)]
    pub latency: LatencyDraft,
    /// The traffic of the workload `mix`.
    #[serde(default)]
    pub mix: MixDraft,
    /// Placements of one's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement: Vec<PlacementDraft>,
}

/// The latency pass: the table `[latency]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyDraft {
    /// Rounds of it. Default: 6, and no more than `timing.rounds`.
    pub rounds: Option<u32>,
    /// Length of each slice. Default: `timing.round`, or 400ms.
    #[serde(default, with = "span")]
    pub round: Option<Nanos>,
    /// Time before it that is not measured. Default: `timing.warm_up`, or 50ms.
    #[serde(default, with = "span")]
    pub warm_up: Option<Nanos>,
    /// The rate, as a part of what the slowest placement can do. Default: 0.35.
    pub share: Option<f64>,
}

/// The workload `mix`: the table `[mix]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixDraft {
    /// Connections at a time. Default: 16.
    pub connections: Option<u32>,
    /// Requests on each. Default: 10.
    pub requests: Option<u32>,
    /// The share of handshakes that resume a session. Default: 0.5.
    pub resume: Option<f64>,
    /// Each response, in bytes. Default: 8,192.
    pub response_bytes: Option<u64>,
}

/// A placement: a table `[[placement]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacementDraft {
    /// Name in tables: a-z, 0-9 and `-`. Required.
    pub name: String,
    /// Hops, from the client on; the last is the backend. Required.
    pub hops: Vec<PlacementHopDraft>,
}

/// A hop: a table `[[placement.hops]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacementHopDraft {
    /// Role: `lb`, `ingress`, `sidecar` or `backend`, each once. Required.
    pub role: Role,
    /// Kind: `relay`, `sni-relay`, `http` or `backend`. Required.
    pub kind: HopKind,
    /// TLS that it terminates: `plain`, `tls` or `mtls`. Default: `plain`; a relay then passes on
    /// what it gets.
    pub listen: Option<LinkSecurity>,
    /// TLS that it originates: `plain`, `tls` or `mtls`. Default: `plain`.
    pub dial: Option<LinkSecurity>,
    /// True if a relay tells the next hop its client's address by the PROXY protocol. Default:
    /// false.
    pub proxy_protocol: Option<bool>,
    /// Equal servers that a built-in hop stands for. Default: 1.
    pub replicas: Option<NonZeroU32>,
    /// Scope of their session ticket keys: `own` or `shared`. Default: `shared`.
    pub ticket_keys: Option<TicketKeys>,
    /// Delay that a built-in relay adds each way. Default: `0s`.
    #[serde(default, with = "span")]
    pub delay: Option<Nanos>,
}

impl LabDraft {
    /// This, with what it leaves open taken from `below`. Placements that are described add up, and
    /// those of this win.
    #[must_use]
    pub fn or(self, mut below: Self) -> Self {
        // What all hops are made of replaces what each is.
        if self.engine.is_some() {
            below.engines.clear();
        }
        below.engines.extend(self.engines);
        let is_known = |placement: &PlacementDraft| {
            self.placement.iter().any(|above| above.name == placement.name)
        };
        below.placement.retain(|placement| !is_known(placement));
        below.placement.extend(self.placement);
        Self {
            placements: self.placements.or(below.placements),
            workloads: self.workloads.or(below.workloads),
            passes: self.passes.or(below.passes),
            thorough: self.thorough.or(below.thorough),
            hold_out: self.hold_out.or(below.hold_out),
            engine: self.engine.or(below.engine),
            protocol: self.protocol.or(below.protocol),
            netns: self.netns.or(below.netns),
            key: self.key.or(below.key),
            pki: self.pki.or(below.pki),
            seed: self.seed.or(below.seed),
            pool: self.pool.or(below.pool),
            response_bytes: self.response_bytes.or(below.response_bytes),
            idle_connections: self.idle_connections.or(below.idle_connections),
            engines: below.engines,
            tls: self.tls.or(below.tls),
            timing: self.timing.or(below.timing),
            latency: self.latency.or(below.latency),
            mix: self.mix.or(below.mix),
            placement: below.placement,
        }
    }
}

layered!(LatencyDraft { rounds, round, warm_up, share });
layered!(MixDraft { connections, requests, resume, response_bytes });
