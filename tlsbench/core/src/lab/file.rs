//! Scenarios of placements as TOML: reading that names line, key and cure, and printing that reads
//! back equal.

use toml::de::DeTable;

use super::draft::{LabDraft, LatencyDraft, MixDraft, PlacementDraft, PlacementHopDraft};
use super::finish::LabRequest;
use super::{Lab, Pass};
use crate::placement::{KnownPlacement, Placement, PlacementHop};
use crate::problem::Problem;
use crate::scenario::{TimingDraft, TlsDraft};
use crate::toml_file::read_toml;

#[cfg(test)]
mod tests;

impl LabDraft {
    /// Returns true if a scenario file is about placements. One that is no TOML is about neither.
    #[must_use]
    pub fn is_in(text: &str) -> bool {
        let Ok(root) = DeTable::parse(text) else { return false };
        root.get_ref().keys().any(|key| KEYS.contains(&&**key.get_ref()))
    }

    /// Reads a scenario file. Unknown keys are refused.
    ///
    /// # Errors
    /// The first thing that is no scenario, with its line and key.
    pub fn from_toml(text: &str) -> Result<Self, Problem> {
        read_toml(text, "scenario").map_err(|problem: Problem| match problem {
            problem if problem.key == "target" || problem.key.starts_with("target.") => Problem {
                seen: "an endpoint, in a scenario of placements".to_owned(),
                cure: "keep one of them in this file".to_owned(),
                ..problem
            },
            problem => problem,
        })
    }
}

impl LabRequest {
    /// The scenario with every key said; `LabDraft::from_toml` and `LabDraft::finish` give it back.
    ///
    /// # Errors
    /// When a file name is not UTF-8.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&LabDraft::from(self))
    }
}

impl From<&LabRequest> for LabDraft {
    fn from(asked: &LabRequest) -> Self {
        let Lab { workloads, latency, mix, .. } = &asked.lab;
        let lab = &asked.lab;
        let is_own = |placement: &&Placement| {
            let known = placement.name.parse().map(KnownPlacement::placement);
            known.as_ref() != Ok(*placement)
        };
        // Twins come along by themselves.
        let all = &lab.placements;
        let brings_all =
            |count: &usize| all.get(..*count).is_some_and(|first| Lab::with_twins(first) == *all);
        let said = (0..all.len()).find(brings_all).unwrap_or(all.len());
        let said: Vec<&Placement> = all.iter().take(said).collect();
        let passes = [(Pass::Cpu, !workloads.is_empty()), (Pass::Latency, latency.is_some())];
        Self {
            placements: Some(said.iter().map(|placement| placement.name.clone()).collect()),
            // Without a CPU pass there are none to name.
            workloads: (!workloads.is_empty()).then(|| workloads.clone()),
            passes: Some(passes.into_iter().filter_map(|(pass, is)| is.then_some(pass)).collect()),
            thorough: None,
            hold_out: Some(lab.hold_out),
            engine: None,
            protocol: Some(lab.protocol),
            netns: Some(lab.netns),
            key: Some(lab.key),
            pki: asked.pki.clone(),
            seed: Some(lab.seed),
            pool: Some(lab.pool),
            response_bytes: Some(lab.response_bytes),
            idle_connections: Some(lab.idle_connections),
            engines: lab.engines.clone(),
            tls: TlsDraft {
                version: Some(lab.version.into()),
                suites: Some(lab.suites.clone()),
                groups: Some(lab.groups.clone()),
                provider: Some(lab.provider),
                ca_bundle: asked.ca_bundle.clone(),
                ..TlsDraft::default()
            },
            timing: TimingDraft {
                round: Some(lab.slice_ns),
                rounds: Some(lab.rounds),
                warm_up: Some(lab.warm_up_ns),
                ..TimingDraft::default()
            },
            latency: latency.map_or_else(LatencyDraft::default, |pass| LatencyDraft {
                rounds: Some(pass.rounds),
                round: Some(pass.slice_ns),
                warm_up: Some(pass.warm_up_ns),
                share: Some(pass.share),
            }),
            mix: MixDraft {
                connections: Some(mix.connections),
                requests: Some(mix.requests),
                resume: Some(mix.resume),
                response_bytes: Some(mix.response_bytes),
            },
            placement: said.into_iter().filter(is_own).map(PlacementDraft::from).collect(),
        }
    }
}

impl From<&Placement> for PlacementDraft {
    fn from(placement: &Placement) -> Self {
        let hops = placement.hops.iter().map(PlacementHopDraft::from).collect();
        Self { name: placement.name.clone(), hops }
    }
}

impl From<&PlacementHop> for PlacementHopDraft {
    fn from(station: &PlacementHop) -> Self {
        Self {
            role: station.role,
            kind: station.kind,
            listen: Some(station.listen),
            dial: Some(station.dial),
            proxy_protocol: Some(station.proxy_protocol),
            replicas: Some(station.replicas.count),
            ticket_keys: Some(station.replicas.tickets),
            delay: Some(station.delay),
        }
    }
}

/// Keys of a file's top level that endpoints do not have.
const KEYS: [&str; 18] = [
    "placements",
    "placement",
    "workloads",
    "passes",
    "thorough",
    "hold_out",
    "engine",
    "engines",
    "protocol",
    "netns",
    "key",
    "pki",
    "seed",
    "pool",
    "response_bytes",
    "idle_connections",
    "latency",
    "mix",
];
