//! What a run over placements does: which placements, under which workloads, how often and in which
//! order.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::hop::{Carried, Cryptography};
use super::placement::{Known, Placement, Role};
use super::problem::Problem;
use super::words::words;
use super::{
    Draft, Group, LoadDraft, LoopName, Provider, Scenario, Suite, TargetDraft, TimingDraft,
    TlsDraft, Version,
};
use crate::random::SplitMix64;
use crate::units::Nanos;

#[cfg(test)]
mod tests;

/// A run over placements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    /// What is measured, the twins of each included.
    pub placements: Vec<Placement>,
    /// What each is measured under.
    pub workloads: Vec<Workload>,
    /// What the hop of each role is made of; builtin where nothing is said.
    pub engines: BTreeMap<Role, EngineName>,
    /// How often each placement is measured under each workload, hops started afresh.
    pub rounds: u32,
    /// How long it is measured each time, in nanoseconds.
    pub slice_ns: Nanos,
    /// How long it runs before that, in nanoseconds.
    pub warm_up_ns: Nanos,
    /// What the order within a round follows from.
    pub seed: u64,
    /// Idle upstream connections of an HTTP hop.
    pub pool: u32,
    /// The backend's response, in bytes.
    pub response_bytes: u64,
}

/// What hops can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineName {
    /// This program's own.
    Builtin,
    /// HAProxy.
    Haproxy,
    /// nginx.
    Nginx,
}

/// What clients do, as fast as they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// A connection with a full handshake for each request, 16 at a time.
    Full,
    /// Requests over connections that are kept, 32 of them.
    KeepAlive,
    /// A connection with a resumed handshake for each request, 16 at a time.
    Resumed,
}

impl Default for Lab {
    /// The eight placements and their twins: eight rounds of 0.4 s after 0.1 s.
    fn default() -> Self {
        let known = Known::PLACEMENTS.into_iter().chain(Known::TWINS);
        Self {
            placements: known.map(Known::placement).collect(),
            workloads: Workload::ALL.to_vec(),
            engines: BTreeMap::new(),
            rounds: 8,
            slice_ns: Nanos::from_millis(400),
            warm_up_ns: Nanos::from_millis(100),
            seed: 1,
            pool: 64,
            response_bytes: 120,
        }
    }
}

impl Workload {
    /// Whether it says anything of a placement: without TLS towards the client nothing is resumed.
    #[must_use]
    pub fn suits(self, placement: &Placement) -> bool {
        let edge = placement.links().first().copied().unwrap_or(Carried::Plain);
        self != Self::Resumed || edge != Carried::Plain
    }

    /// What a client's operation is called.
    #[must_use]
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Full | Self::Resumed => "connection",
            Self::KeepAlive => "request",
        }
    }

    /// The workload that a placement's twin is measured under, to compare with: without TLS a
    /// connection is a connection.
    #[must_use]
    pub const fn of_twin(self) -> Self {
        match self {
            Self::Full | Self::Resumed => Self::Full,
            Self::KeepAlive => Self::KeepAlive,
        }
    }
}

/// Files that a client of the lab needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The root.
    pub ca_bundle: std::path::PathBuf,
    /// The client's certificate and its chain.
    pub certificate: std::path::PathBuf,
    /// Its key.
    pub key: std::path::PathBuf,
}

impl Lab {
    /// What every link with TLS negotiates: one version, suite and group, so that engines are alike.
    #[must_use]
    pub fn cryptography() -> Cryptography {
        Cryptography {
            versions: vec![Version::Tls13],
            suites: vec![Suite::Aes128Gcm],
            groups: vec![Group::X25519],
            provider: Provider::Ring,
        }
    }

    /// The order in which a round measures: indices into [`Lab::placements`], each with its workloads.
    /// Every round has an order of its own, so that no placement always follows the same other.
    #[must_use]
    pub fn order(&self, round: u32) -> Vec<(usize, Vec<Workload>)> {
        let mut bits = SplitMix64::new(self.seed.wrapping_add(u64::from(round) << 32));
        let mut order: Vec<usize> = (0..self.placements.len()).collect();
        shuffle(&mut order, &mut bits);
        let with_workloads = order.into_iter().filter_map(|index| {
            let placement = self.placements.get(index)?;
            let suiting = self.workloads.iter().copied().filter(|load| load.suits(placement));
            let mut workloads: Vec<Workload> = suiting.collect();
            shuffle(&mut workloads, &mut bits);
            Some((index, workloads))
        });
        with_workloads.collect()
    }

    /// What the load engine is told for one slice.
    ///
    /// # Errors
    /// When slices or rounds are of no use.
    pub fn scenario(
        &self,
        placement: &Placement,
        workload: Workload,
        files: &ClientFiles,
    ) -> Result<Scenario, Vec<Problem>> {
        let edge = placement.links().first().copied().unwrap_or(Carried::Plain);
        let (is_tls, is_mtls) = (edge != Carried::Plain, edge == Carried::Mtls);
        let first = placement.hops.first().map_or(Role::Backend, |hop| hop.role);
        let suite = Self::cryptography();
        let draft = Draft {
            // The names of hops are no addresses, and so not known to be of this machine.
            abort_errors_above: Some(1.0),
            target: Some(vec![TargetDraft {
                name: Some(format!("{}/{workload}", placement.name)),
                url: format!("{}://{}/", if is_tls { "https" } else { "http" }, first.host()),
                ..TargetDraft::default()
            }]),
            tls: TlsDraft {
                version: is_tls.then_some(Version::Tls13),
                suites: is_tls.then_some(suite.suites),
                groups: is_tls.then_some(suite.groups),
                resume: (is_tls && workload == Workload::Resumed).then_some(1.0),
                ca_bundle: is_tls.then(|| files.ca_bundle.clone()),
                client_certificate: is_mtls.then(|| files.certificate.clone()),
                client_key: is_mtls.then(|| files.key.clone()),
                ..TlsDraft::default()
            },
            load: LoadDraft {
                kind: Some(LoopName::Closed),
                keep: Some(workload == Workload::KeepAlive),
                connections: Some(if workload == Workload::KeepAlive { 32 } else { 16 }),
                ..LoadDraft::default()
            },
            timing: TimingDraft {
                round: Some(self.slice_ns),
                rounds: Some(ROUNDS_OF_ENGINE),
                warm_up: Some(self.warm_up_ns),
                ..TimingDraft::default()
            },
            ..Draft::default()
        };
        let mut scenario = draft.finish()?;
        // A slice is one round; it takes several for an interval, and those are the lab's.
        scenario.timing.rounds = NonZeroU32::MIN;
        Ok(scenario)
    }

    /// Everything that keeps the lab from being measured.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |key: &str, seen: String, cure: &str| {
            problems.push(Problem::new(key, seen, cure));
        };
        let mut names = BTreeSet::new();
        for placement in &self.placements {
            if !names.insert(&placement.name) {
                let seen = format!("`{}` is there twice", placement.name);
                add("placements", seen, "give each a name of its own");
            }
        }
        if self.placements.is_empty() || self.workloads.is_empty() {
            add("placements", "nothing is to be measured".to_owned(), "name a placement");
        }
        if !(1..=ROUNDS_MAX).contains(&self.rounds) {
            let seen = format!("{} rounds", self.rounds);
            add("rounds", seen, "write 1 to 1,000; a verdict takes at least 6");
        }
        problems.extend(self.placements.iter().flat_map(Placement::problems));
        problems
    }

    /// The placements of these names with their twins, each once, in the order given.
    #[must_use]
    pub fn with_twins(chosen: &[Placement]) -> Vec<Placement> {
        let mut all: Vec<Placement> = Vec::new();
        let twins = chosen.iter().map(Placement::twin);
        for placement in chosen.iter().cloned().chain(twins) {
            if !all.iter().any(|other| other.name == placement.name) {
                all.push(placement);
            }
        }
        all
    }
}

/// Fisher and Yates, as of Durstenfeld, *Random permutation* (CACM 7, 1964).
fn shuffle<T>(items: &mut [T], bits: &mut SplitMix64) {
    for last in (1..items.len()).rev() {
        items.swap(last, bits.below(last + 1));
    }
}

words!(EngineName { Builtin = "builtin", Haproxy = "haproxy", Nginx = "nginx" });
words!(Workload { Full = "full", KeepAlive = "keep-alive", Resumed = "resumed" });

/// The fewest that the load engine takes; one of them is run.
const ROUNDS_OF_ENGINE: u32 = 10;
/// A day of rounds that take over a minute.
const ROUNDS_MAX: u32 = 1_000;
