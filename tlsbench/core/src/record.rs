//! The record of a run, from which every report is made, years later too.
//!
//! `docs/record.md` says what each field means; a test holds the two together.

pub mod lab;
mod address;
mod merge;
mod series;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::problem::Problem;
pub use crate::scenario::redact;
use crate::scenario::{Draft, Scenario};
use crate::tally::{Phase, Quantile, Shape, Tally, quantile_with_missed};
use crate::units::Nanos;
use crate::usage::{Cpu, Lap, Second, UnderWay};
pub use address::AddressRecord;
pub use merge::merge;
pub use series::Series;

/// One run: every target, every round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of this format, [`SCHEMA`].
    pub schema: u32,
    /// The program that wrote it, and its version.
    pub program: String,
    /// Begin of the run: RFC 3339, in UTC with `Z`.
    pub started: String,
    /// End of the run: RFC 3339, in UTC with `Z`.
    pub ended: String,
    /// True if every round of every target was measured.
    pub complete: bool,
    /// Reason why the run was interrupted, if it was.
    pub interrupted: Option<String>,
    /// The scenario as TOML, every key said, secrets redacted.
    pub scenario: String,
    /// Environment of each generator.
    pub environments: Vec<Environment>,
    /// Events during the run that may matter, in order.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// Results of each target, in the scenario's order.
    pub targets: Vec<TargetRecord>,
}

/// Something that happened in a run and may matter to who reads its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Time: RFC 3339, in UTC with `Z`.
    pub at: String,
    /// Text.
    pub text: String,
}

/// The machine and the programs of one generator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The kernel's release.
    pub kernel: String,
    /// The machine's architecture, such as `x86_64`.
    pub architecture: String,
    /// The CPU's own name for itself.
    pub cpu_model: String,
    /// CPUs that the process may run on.
    pub cores: u32,
    /// The frequency governor, where there is one.
    pub governor: Option<String>,
    /// True if cores are shared by two hardware threads (SMT), if that is known.
    pub smt: Option<bool>,
    /// Versions of what took part: `tlsbench`, `rustls`, the provider.
    pub versions: BTreeMap<String, String>,
    /// Kernel settings that matter, by name.
    pub sysctls: BTreeMap<String, String>,
    /// The command line, redacted.
    pub command: Vec<String>,
    /// Events on the machine during a run against endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meanwhile: Option<HostEvents>,
}

/// Events on a generator's machine during its run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEvents {
    /// CPU time that there was: the run's length, as many times as it may use CPUs.
    pub had_ns: Nanos,
    /// CPU time that the hypervisor gave to others.
    pub stolen_ns: Option<Nanos>,
    /// Periods in which a control group stopped this process, or others of its groups.
    pub throttled: Option<u64>,
    /// CPU time of other processes; none where a target is on this machine, for its server is one.
    pub others_ns: Option<Nanos>,
    /// The name of the one that used most.
    pub others_top: Option<String>,
}

/// One target over all its rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// Name in the scenario.
    #[serde(deserialize_with = "crate::words::short_name")]
    pub name: String,
    /// Rounds, generator after generator.
    pub rounds: Vec<RoundRecord>,
    /// Histograms by phase, over all rounds and generators.
    pub histograms: BTreeMap<String, Series>,
    /// Operations that had not ended when the run stopped waiting for them.
    #[serde(default)]
    pub unanswered: UnderWay,
    /// Operations of all rounds by the address that they ended at; none between placements, where
    /// each round has another, and in older records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<SocketAddr, AddressRecord>,
}

/// One target in one round, by one generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundRecord {
    /// The generator, as an index into `environments`.
    pub generator: u32,
    /// The round, from 0.
    pub round: u32,
    /// Time that was measured.
    pub wall_ns: Nanos,
    /// Operations that succeeded.
    pub succeeded: u64,
    /// Operations that failed, by why.
    pub failed: BTreeMap<String, u64>,
    /// Those of them of which a detail is known, by why and detail; none in older records.
    #[serde(default)]
    pub reasons: BTreeMap<String, BTreeMap<String, u64>>,
    /// Whole responses by status; none in older records.
    #[serde(default)]
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that were sent again on another connection; none in older records.
    #[serde(default)]
    pub resent: u64,
    /// Starts that waited longer than allowed and never began.
    pub missed: u64,
    /// Operations that should have begun.
    pub scheduled: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Those that the server should have closed and the client did.
    #[serde(default)]
    pub closed_by_client: u64,
    /// Negotiated parameters.
    pub shape: Shape,
    /// Bytes read from sockets.
    pub bytes_read: u64,
    /// Bytes written to sockets.
    pub bytes_written: u64,
    /// CPU time of the generator's threads.
    pub cpu: Cpu,
    /// CPU time of its busiest thread.
    pub busiest_thread_ns: Nanos,
    /// Operations under way at its end.
    #[serde(default)]
    pub under_way: UnderWay,
    /// Operations that ended in each second.
    #[serde(default)]
    pub seconds: Vec<Second>,
    /// Operations that succeeded, per second.
    pub operations_per_second: f64,
    /// Connections that were made, per second.
    pub connections_per_second: f64,
    /// Quantiles by phase.
    pub quantiles: BTreeMap<String, Quantiles>,
}

/// Quantiles of one phase in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Number of values, without missed starts.
    pub count: u64,
    /// The median.
    pub p50_ns: Nanos,
    /// True if it is only known to be that or more, for missed starts.
    pub p50_at_least: bool,
    /// The 99th percentile.
    pub p99_ns: Nanos,
    /// True if it is only known to be that or more, for missed starts.
    pub p99_at_least: bool,
}

/// A round as it was measured, with the tallies of all shards added up.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// The round, from 0.
    pub round: u32,
    /// Counts and times.
    pub tally: &'a Tally,
    /// Duration of the round, and the cost of measuring.
    pub lap: &'a Lap,
    /// The longest that a start may wait, in open loops.
    pub wait_max: Nanos,
}

/// A record of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyRecord {
    /// Over placements.
    Lab(Box<lab::LabRecord>),
    /// Against endpoints.
    Run(Box<RunRecord>),
}

/// A record that cannot be read or added.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The record is of another time.
    #[error(
        "record {} began {apart} before or after the others, and rounds of {round} do not overlap \
         so far apart: their rates do not add up; start generators within a round of each other, or \
         make rounds longer (`timing.round`)",
        index + 1
    )]
    Apart {
        /// The record, from 0.
        index: usize,
        /// Time from the begin of the first of the others.
        apart: Nanos,
        /// The shortest round.
        round: Nanos,
    },
    /// The rounds are there already.
    #[error(
        "record {} is a copy of another, or part of a sum that is there already, and its generator \
         would count twice; leave it out",
        index + 1
    )]
    Copy {
        /// The record, from 0.
        index: usize,
    },
    /// There was nothing to add.
    #[error("no records to merge")]
    Empty,
    /// A histogram of a phase could not be added.
    #[error("histograms of `{target}`, phase `{phase}`, cannot be added: {why}")]
    Histogram {
        /// The target.
        target: String,
        /// The phase.
        phase: String,
        /// The error of hdrhistogram.
        why: String,
    },
    /// The text is no record.
    #[error("reading the record")]
    Read(#[source] serde_json::Error),
    /// The scenario is not that of the first record.
    #[error(
        "record {} has another scenario than the first; only `sources` and the seed may differ",
        index + 1
    )]
    Scenario {
        /// The record, from 0.
        index: usize,
    },
    /// The record has another format version.
    #[error("the record has schema {seen}, and this program reads schema {SCHEMA}")]
    Schema {
        /// The version that was found.
        seen: u64,
    },
    /// The targets are not those of the first record.
    #[error("record {} has other targets than the first", index + 1)]
    Targets {
        /// The record, from 0.
        index: usize,
    },
}

impl RecordError {
    /// Index of the record that the error is about, from 0, among several.
    #[must_use]
    pub const fn index(&self) -> Option<usize> {
        match self {
            Self::Apart { index, .. }
            | Self::Copy { index }
            | Self::Scenario { index }
            | Self::Targets { index } => Some(*index),
            Self::Empty | Self::Histogram { .. } | Self::Read(_) | Self::Schema { .. } => None,
        }
    }
}

impl RunRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// When it is none, or one of another schema.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct FormatVersion {
            schema: u64,
        }
        // The version first: fields of another format would fail with words that say nothing of it.
        let FormatVersion { schema } = serde_json::from_str(text).map_err(RecordError::Read)?;
        if schema != u64::from(SCHEMA) {
            return Err(RecordError::Schema { seen: schema });
        }
        serde_json::from_str(text).map_err(RecordError::Read)
    }

    /// The record as JSON.
    ///
    /// # Errors
    /// When a number cannot be written, which no finite one is.
    pub fn to_json(&self) -> Result<String, RecordError> {
        serde_json::to_string_pretty(self).map_err(RecordError::Read)
    }

    /// The scenario, with `redacted` where secrets stood.
    ///
    /// # Errors
    /// When it was edited into something that cannot be run.
    pub fn scenario(&self) -> Result<Scenario, Vec<Problem>> {
        Draft::from_toml(&self.scenario).map_err(|problem| vec![problem])?.finish()
    }
}

impl TargetRecord {
    /// A target without rounds.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            rounds: Vec::new(),
            histograms: BTreeMap::new(),
            unanswered: UnderWay::default(),
            addresses: BTreeMap::new(),
        }
    }

    /// Adds a round's operations by address.
    pub fn push_addresses(&mut self, tally: &Tally) {
        for (address, ended) in &tally.addresses {
            self.addresses.entry(*address).or_default().add(&AddressRecord::from(ended));
        }
    }

    /// Adds a round of the one generator that there is before merging.
    pub fn push(&mut self, measured: &Measured<'_>) {
        for phase in Phase::ALL.iter().copied() {
            let timed = measured.tally.histogram(phase);
            // Absent and empty series mean the same; absent ones keep records small.
            if !timed.is_empty() {
                self.histograms.entry(phase.as_str().to_owned()).or_default().take(timed);
            }
        }
        self.rounds.push(RoundRecord::new(measured));
    }

    /// Histogram of a phase; `None` if nothing was timed.
    #[must_use]
    pub fn histogram(&self, phase: Phase) -> Option<&Series> {
        self.histograms.get(phase.as_str())
    }

    /// A quantile of a phase over all rounds. In the corrected series, missed starts count as
    /// waits of more than `wait_max`.
    #[must_use]
    pub fn quantile(&self, phase: Phase, quantile: f64, wait_max: Nanos) -> Option<Quantile> {
        let missed = match phase {
            // Only the corrected series counts from intended starts, so only it knows of missed
            // ones.
            Phase::Corrected => self.sum(|round| round.missed),
            _ => 0,
        };
        match self.histogram(phase) {
            Some(Series(timed)) => quantile_with_missed(timed, missed, wait_max, quantile),
            // Every start was missed: the quantile is beyond the longest wait.
            None => (missed > 0).then_some(Quantile::AtLeast(wait_max)),
        }
    }

    /// A count, added up over all rounds.
    #[must_use]
    pub fn sum(&self, count: impl Fn(&RoundRecord) -> u64) -> u64 {
        self.rounds.iter().map(count).fold(0, u64::saturating_add)
    }
}

impl RoundRecord {
    fn new(measured: &Measured<'_>) -> Self {
        let Measured { tally, lap, .. } = *measured;
        let wall = lap.wall;
        let per_second = |count: u64| match wall.0 {
            // A round that was cut short at once has no rate, and not an infinite one.
            0 => 0.0,
            _ => count as f64 / wall.as_secs_f64(),
        };
        let quantiles = Phase::ALL.iter().copied().filter_map(|phase| {
            let quantiles = Quantiles::of(tally, phase, measured.wait_max)?;
            Some((phase.as_str().to_owned(), quantiles))
        });
        Self {
            // Merging numbers the generators; a single run has the first.
            generator: 0,
            round: measured.round,
            wall_ns: wall,
            succeeded: tally.succeeded,
            failed: tally.failed.iter().map(|(why, n)| (why.as_str().to_owned(), *n)).collect(),
            reasons: reasons(tally),
            statuses: tally.statuses.clone(),
            resent: tally.resent,
            missed: tally.missed,
            scheduled: tally.scheduled,
            connections: tally.connections,
            closed_by_client: tally.closed_by_client,
            shape: tally.shape.clone(),
            bytes_read: tally.bytes_read,
            bytes_written: tally.bytes_written,
            cpu: lap.cpu,
            busiest_thread_ns: lap.busiest_thread,
            under_way: lap.under_way,
            seconds: lap.seconds.clone(),
            operations_per_second: per_second(tally.succeeded),
            connections_per_second: per_second(tally.connections),
            quantiles: quantiles.collect(),
        }
    }

    /// All operations that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().copied().fold(0, u64::saturating_add)
    }
}

fn reasons(tally: &Tally) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut all: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for ((failure, reason), count) in &tally.reasons {
        let below = all.entry(failure.as_str().to_owned()).or_default();
        below.insert(reason.to_string(), *count);
    }
    all
}

impl Quantiles {
    fn of(tally: &Tally, phase: Phase, wait_max: Nanos) -> Option<Self> {
        let timed = tally.histogram(phase);
        let missed = if phase == Phase::Corrected { tally.missed } else { 0 };
        let at = |quantile| match quantile_with_missed(timed, missed, wait_max, quantile)? {
            Quantile::Is(time) => Some((time, false)),
            Quantile::AtLeast(time) => Some((time, true)),
        };
        let ((p50_ns, p50_at_least), (p99_ns, p99_at_least)) = (at(0.5)?, at(0.99)?);
        Some(Self { count: timed.len(), p50_ns, p50_at_least, p99_ns, p99_at_least })
    }
}

/// The version of the format that is written and read here.
pub const SCHEMA: u32 = 1;
