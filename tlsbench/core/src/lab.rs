//! A run over placements: which placements, under which workloads, in how many rounds and in which
//! order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::hop::{Cryptography, LinkSecurity};
use crate::placement::{KnownPlacement, Placement, Role};
use crate::random::SplitMix64;
use crate::scenario::{Group, KeyKind, ProtocolName, Provider, Suite, Version};
use crate::units::Nanos;
use crate::words::words;

mod check;
mod span;
mod slice;
mod draft;
mod finish;
mod file;
#[cfg(test)]
mod tests;

pub use draft::{LabDraft, LatencyDraft, MixDraft, PlacementDraft, PlacementHopDraft};
pub use finish::LabRequest;
pub use slice::ClientFiles;

/// A run over placements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    /// Placements to measure, the baselines of each included.
    #[serde(deserialize_with = "few")]
    pub placements: Vec<Placement>,
    /// Workloads of each placement.
    pub workloads: Vec<Workload>,
    /// Engine of the hop of each role; built-in if it is not listed.
    pub engines: BTreeMap<Role, EngineName>,
    /// Rounds; in each, hops are started afresh.
    pub rounds: u32,
    /// Length of a slice, in nanoseconds.
    pub slice_ns: Nanos,
    /// Warm-up before each slice, in nanoseconds.
    pub warm_up_ns: Nanos,
    /// Seed of the order within rounds.
    pub seed: u64,
    /// Idle upstream connections of an HTTP hop.
    pub pool: u32,
    /// The backend's response, in bytes; bulk workloads and the mix have their own.
    pub response_bytes: u64,
    /// The protocol of requests where the client speaks TLS; elsewhere, and between hops, HTTP/1.1.
    #[serde(default = "http1")]
    pub protocol: ProtocolName,
    /// True if each hop is in a network namespace of its own, joined to its neighbours by veth;
    /// else all of them are on the loopback interface.
    #[serde(default)]
    pub netns: bool,
    /// The one TLS version of every link with TLS.
    pub version: Version,
    /// The kind of every key.
    pub key: KeyKind,
    /// Suites of every link with TLS, best first.
    pub suites: Vec<Suite>,
    /// Groups of every link with TLS, best first.
    pub groups: Vec<Group>,
    /// Provider of the cryptography of the client and of built-in hops.
    pub provider: Provider,
    /// The latency pass; `None` if latency is not measured.
    pub latency: Option<LatencyPass>,
    /// The traffic of [`Workload::Mix`].
    pub mix: Mix,
    /// True if the costs of the first rounds choose a mix, which the other rounds measure besides
    /// all else to check the costs with.
    pub hold_out: bool,
    /// Idle connections that are held to see what memory they take; 0 where it is not measured.
    pub idle_connections: u32,
}

/// The pass that measures latency: connections arrive evenly at one rate for all placements, make a
/// full handshake and a request, and are closed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyPass {
    /// Rounds; in each, hops are started afresh.
    pub rounds: u32,
    /// Length of a slice, in nanoseconds.
    pub slice_ns: Nanos,
    /// Warm-up before each slice, in nanoseconds.
    pub warm_up_ns: Nanos,
    /// The rate, as a part of what the slowest placement can do: above 0, at most 1.
    pub share: f64,
}

/// Traffic as it may be: connections that make some requests each, a part of them resumed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Connections at a time.
    pub connections: u32,
    /// Requests on each.
    pub requests: u32,
    /// The share of handshakes that resume a session, where the client speaks TLS: 0 to 1.
    pub resume: f64,
    /// Each response, in bytes.
    pub response_bytes: u64,
}

/// Kind of measurement in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// CPU time, in a closed loop.
    Cpu,
    /// Times of operations, in an open loop.
    Latency,
}

/// Proxies that hops can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineName {
    /// This program's own.
    Builtin,
    /// Caddy, for hops that speak HTTP.
    Caddy,
    /// HAProxy.
    Haproxy,
    /// nginx.
    Nginx,
}

/// Traffic of clients that send as fast as they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// A connection with a full handshake for each request, 16 at a time.
    Full,
    /// Requests over connections that are kept, 32 of them.
    KeepAlive,
    /// A connection with a resumed handshake for each request, 16 at a time.
    Resumed,
    /// Connections with a full handshake that make 4 requests for 6 KiB each, 16 at a time.
    Short,
    /// Requests for 16 KiB over connections that are kept, 8 of them.
    Bulk16k,
    /// Requests for 64 KiB over kept connections, 8 of them.
    Bulk64k,
    /// Requests for 1 MiB over kept connections, 8 of them.
    Bulk1m,
    /// The traffic of [`Lab::mix`].
    Mix,
}

impl Default for Lab {
    /// The eight placements and their baselines: eight rounds of 0.4 s after 0.1 s, and latency.
    fn default() -> Self {
        let known = KnownPlacement::PLACEMENTS.into_iter().chain(KnownPlacement::TWINS);
        Self {
            placements: known.map(KnownPlacement::placement).collect(),
            workloads: Workload::DEFAULT.to_vec(),
            engines: BTreeMap::new(),
            rounds: 8,
            slice_ns: Nanos::from_millis(400),
            warm_up_ns: Nanos::from_millis(100),
            seed: 1,
            pool: 64,
            response_bytes: 120,
            protocol: ProtocolName::Http1,
            netns: false,
            version: Version::Tls13,
            key: KeyKind::EcdsaP256,
            suites: vec![Suite::Aes128Gcm],
            groups: vec![Group::X25519],
            provider: Provider::Ring,
            latency: Some(LatencyPass::default()),
            mix: Mix::default(),
            hold_out: false,
            idle_connections: 0,
        }
    }
}

impl Default for LatencyPass {
    /// Six rounds, the fewest for a verdict, at 35 % of what the slowest placement can do: a
    /// moderate load, at which queues are short.
    fn default() -> Self {
        Self {
            rounds: 6,
            slice_ns: Nanos::from_millis(400),
            warm_up_ns: Nanos::from_millis(50),
            share: 0.35,
        }
    }
}

impl Default for Mix {
    /// Ten requests of 8 KiB on each connection, and half of these resumed.
    fn default() -> Self {
        Self { connections: 16, requests: 10, resume: 0.5, response_bytes: 8 << 10 }
    }
}

impl Workload {
    /// Those of a run that names none.
    pub const DEFAULT: [Self; 3] = [Self::Full, Self::KeepAlive, Self::Resumed];

    /// Returns true if it says anything of a placement: without TLS towards the client nothing is
    /// resumed.
    #[must_use]
    pub fn suits(self, placement: &Placement) -> bool {
        let edge = placement.links().first().copied().unwrap_or(LinkSecurity::Plain);
        self != Self::Resumed || edge != LinkSecurity::Plain
    }

    /// Name of a client's operation.
    #[must_use]
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Full | Self::Resumed => "connection",
            Self::Bulk16k
            | Self::Bulk64k
            | Self::Bulk1m
            | Self::KeepAlive
            | Self::Mix
            | Self::Short => "request",
        }
    }

    /// The workload that a placement's baseline is measured under, to compare with: without TLS a
    /// connection is a connection.
    #[must_use]
    pub const fn of_twin(self) -> Self {
        match self {
            Self::Full | Self::Resumed => Self::Full,
            Self::Bulk16k
            | Self::Bulk64k
            | Self::Bulk1m
            | Self::KeepAlive
            | Self::Mix
            | Self::Short => self,
        }
    }

    /// Returns true if it is about bytes: then what a core moves in a second says more than what a
    /// request costs.
    #[must_use]
    pub const fn is_bulk(self) -> bool {
        matches!(self, Self::Bulk16k | Self::Bulk64k | Self::Bulk1m)
    }
}

impl Lab {
    /// Parameters of every link with TLS: one version, so that engines are alike.
    #[must_use]
    pub fn cryptography(&self) -> Cryptography {
        let mut groups = self.groups.clone();
        // In TLS 1.2 they are the curves of certificates, too (RFC 8422, 5.1.1), and OpenSSL takes
        // no other. As the last choice it is not what keys are agreed on by.
        let curve = match self.key {
            KeyKind::EcdsaP256 => Some(Group::P256),
            KeyKind::EcdsaP384 => Some(Group::P384),
            _ => None,
        };
        groups.extend(
            curve.filter(|curve| self.version == Version::Tls12 && !self.groups.contains(curve)),
        );
        Cryptography {
            versions: vec![self.version],
            suites: self.suites.clone(),
            groups,
            provider: self.provider,
        }
    }

    /// The backend's response under a workload, in bytes.
    #[must_use]
    pub const fn response_bytes(&self, workload: Workload) -> u64 {
        match workload {
            Workload::Full | Workload::KeepAlive | Workload::Resumed => self.response_bytes,
            Workload::Short => 6 << 10,
            Workload::Bulk16k => 16 << 10,
            Workload::Bulk64k => 64 << 10,
            Workload::Bulk1m => 1 << 20,
            Workload::Mix => self.mix.response_bytes,
        }
    }

    /// The order in which a round measures: indices into [`Lab::placements`], each with its
    /// workloads. Every round has an order of its own, so that no placement always follows the same
    /// other.
    #[must_use]
    pub fn order(&self, round: u32) -> Vec<(usize, Vec<Workload>)> {
        // A round's order follows from seed and number alone, so that an interrupted run can be
        // repeated.
        let mut bits = SplitMix64::new(self.seed.wrapping_add(u64::from(round) << 32));
        let mut order: Vec<usize> = (0..self.placements.len()).collect();
        shuffle(&mut order, &mut bits);
        let with_workloads = order.into_iter().filter_map(|index| {
            let placement = self.placements.get(index)?;
            let suiting = self.workloads.iter().copied().filter(|load| load.suits(placement));
            let mut workloads: Vec<Workload> = suiting.collect();
            // Workloads too: one that always followed another would inherit its caches and its
            // heat.
            shuffle(&mut workloads, &mut bits);
            Some((index, workloads))
        });
        with_workloads.collect()
    }

    /// The same, at length: every figure that there is, in little more than an hour.
    #[must_use]
    pub fn thorough(self) -> Self {
        let (rounds, slice_ns) = (20, Nanos::from_millis(2_000));
        let latency = self.latency.map(|pass| LatencyPass { rounds, slice_ns, ..pass });
        // The mix is held out until costs have chosen it.
        let workloads = Workload::ALL.iter().filter(|workload| **workload != Workload::Mix);
        let workloads = workloads.copied().collect();
        Self { workloads, rounds, slice_ns, latency, hold_out: true, idle_connections: 500, ..self }
    }

    /// A round's order as topologies: a placement with workloads whose responses are equally long,
    /// for not every backend can be asked for another length.
    #[must_use]
    pub fn topologies(&self, round: u32) -> Vec<(usize, u64, Vec<Workload>)> {
        let mut topologies: Vec<(usize, u64, Vec<Workload>)> = Vec::new();
        for (index, workloads) in self.order(round) {
            for workload in workloads {
                let bytes = self.response_bytes(workload);
                let same = |(other, size, _): &&mut (usize, u64, Vec<Workload>)| {
                    (*other, *size) == (index, bytes)
                };
                match topologies.iter_mut().find(same) {
                    Some((.., together)) => together.push(workload),
                    None => topologies.push((index, bytes, vec![workload])),
                }
            }
        }
        topologies
    }

    /// Number of slices in all passes, without the pilot.
    #[must_use]
    pub fn slices(&self) -> u32 {
        let workloads = self.order(0).iter().map(|(_, workloads)| workloads.len()).sum::<usize>();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let latency =
            self.latency.map_or(0, |pass| count(self.placements.len()).saturating_mul(pass.rounds));
        let mixed = if self.hold_out { self.rounds.saturating_sub(self.mixed_from()) } else { 0 };
        let held_out = count(self.placements.len()).saturating_mul(mixed);
        count(workloads)
            .saturating_mul(self.rounds)
            .saturating_add(held_out)
            .saturating_add(latency)
    }

    /// The first round that measures a mix which is held out: after a quarter of all, but for the
    /// two that costs with an interval take.
    #[must_use]
    pub fn mixed_from(&self) -> u32 {
        (self.rounds / 4).max(2).min(self.rounds.saturating_sub(1))
    }

    /// The same with that mix as one more workload.
    #[must_use]
    pub fn mixed(&self, mix: Mix) -> Self {
        let workloads = self.workloads.iter().copied().chain([Workload::Mix]).collect();
        Self { mix, workloads, ..self.clone() }
    }

    /// The placements of these names with their baselines, each once, in the order given.
    #[must_use]
    pub fn with_twins(chosen: &[Placement]) -> Vec<Placement> {
        let mut names = BTreeSet::new();
        let twins = chosen.iter().map(Placement::twin);
        let all = chosen.iter().cloned().chain(twins);
        all.filter(|placement| names.insert(placement.name.clone())).collect()
    }
}

/// Reads the placements of a record. Their number is limited, because they are compared with each
/// other.
fn few<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Placement>, D::Error> {
    let placements = Vec::deserialize(from)?;
    if placements.len() > PLACEMENTS_READ_MAX {
        let text = format!("{} placements, and no run has more than 1,000", placements.len());
        return Err(serde::de::Error::custom(text));
    }
    Ok(placements)
}

/// A run has at most 200 placements, and the baseline of each.
const PLACEMENTS_READ_MAX: usize = 1_000;

fn http1() -> ProtocolName {
    ProtocolName::Http1
}

/// Fisher and Yates, as of Durstenfeld, *Random permutation* (CACM 7, 1964).
fn shuffle<T>(items: &mut [T], bits: &mut SplitMix64) {
    for last in (1..items.len()).rev() {
        items.swap(last, bits.below(last + 1));
    }
}

words!(EngineName { Builtin = "builtin", Caddy = "caddy", Haproxy = "haproxy", Nginx = "nginx" });
words!(Pass { Cpu = "cpu", Latency = "latency" });
words!(Workload {
    Full = "full",
    KeepAlive = "keep-alive",
    Resumed = "resumed",
    Short = "short",
    Bulk16k = "bulk-16k",
    Bulk64k = "bulk-64k",
    Bulk1m = "bulk-1m",
    Mix = "mix",
});
