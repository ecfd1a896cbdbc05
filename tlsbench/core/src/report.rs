//! Reports of recorded runs as values: every writer prints these and computes nothing.
//!
//! Made from records alone. A figure that rounds give is an estimate with its interval, or nothing;
//! `docs/report.md` says what each field means, and a test holds the two together.

mod address;
mod curve;
mod gates;
mod phrases;
mod placements;
mod rounds;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::Serialize;

use crate::record::lab::LabRecord;
use crate::record::{Environment, Note, RunRecord, TargetRecord, redact};
use crate::scenario::Load;
use crate::stats::Estimate;
use crate::tally::{Phase, Quantile, Shape};
use crate::units::Nanos;
use crate::usage::UnderWay;
use crate::warning::{Family, Gate, judge};
pub use address::AddressReport;
use curve::CumulativeCounts;
pub use curve::CurvePoint;
pub use gates::GateReport;
pub use phrases::{
    ADDED_TO_MEDIANS, ALL_GATES_PASS, IS_BASELINE, SPOILED_FIGURES, gates_fail, gates_in_short,
};
pub use placements::{
    BytesEach, EffectReport, HopReport, IdleHopReport, IdleReport, LabReport, MedianReport,
    ModelReport, PlacementHopReport, PlacementReport, PredictionReport, TrialReport,
    WorkloadStatement,
};
use rounds::TargetRounds;
pub use text::{bytes, bytes_each, micros, number, per_second, percent, ratio, small, time};

/// Runs, side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The version of this format, [`SCHEMA`].
    pub schema: u32,
    /// The program that made the report, and its version.
    pub program: String,
    /// Runs over endpoints, in the order in which they were named.
    pub runs: Vec<RunReport>,
    /// Runs over placements, in the order in which they were named.
    pub labs: Vec<LabReport>,
}

impl Report {
    /// A report of nothing yet.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        Self { schema: SCHEMA, program: program.into(), runs: Vec::new(), labs: Vec::new() }
    }

    /// Adds a run over endpoints under the name that it is to have. Only what is reported is kept.
    pub fn add_run(&mut self, name: impl Into<String>, record: &RunRecord) {
        self.runs.push(RunReport::new(name, record));
    }

    /// Adds a run over placements under the name that it is to have. Only what is reported is kept.
    pub fn add_lab(&mut self, name: impl Into<String>, record: &LabRecord) {
        self.labs.push(LabReport::new(name, record));
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunReport {
    /// Name of the record's file.
    pub record: String,
    /// The program that measured, and its version.
    pub program: String,
    /// Begin of the run: RFC 3339.
    pub started: String,
    /// End of the run: RFC 3339.
    pub ended: String,
    /// True if every round of every target was measured.
    pub complete: bool,
    /// Reason why the run was interrupted, if it was.
    pub interrupted: Option<String>,
    /// Events during the run that may matter, in order.
    pub notes: Vec<Note>,
    /// True if no gate fails: every figure may be judged.
    pub valid: bool,
    /// The gates that are shut.
    pub gates: Vec<GateReport>,
    /// Results of each target, in the scenario's order.
    pub targets: Vec<TargetReport>,
    /// Environment of each generator.
    pub environments: Vec<Environment>,
    /// The scenario, TOML, secrets redacted.
    pub scenario: String,
}

impl RunReport {
    /// Makes the report of a record and judges its gates again.
    #[must_use]
    pub fn new(name: impl Into<String>, record: &RunRecord) -> Self {
        let gates = judge(record);
        let wait_max = wait_max(record);
        Self {
            record: name.into(),
            program: record.program.clone(),
            started: record.started.clone(),
            ended: record.ended.clone(),
            complete: record.complete,
            interrupted: record.interrupted.clone(),
            notes: record.notes.clone(),
            valid: gates.is_empty(),
            targets: record
                .targets
                .iter()
                .map(|target| TargetReport::new(target, wait_max, &gates))
                .collect(),
            gates: gates.iter().map(GateReport::from).collect(),
            environments: record.environments.iter().map(redacted).collect(),
            scenario: scenario(record),
        }
    }
}

/// One target of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetReport {
    /// Name in the scenario.
    pub name: String,
    /// Rounds that were measured.
    pub rounds: u32,
    /// Those of them without a time, which enter no estimate.
    pub untimed_rounds: u32,
    /// Operations that succeeded, per second; all generators together.
    pub operations_per_second: Option<Estimate>,
    /// Connections that were made, per second.
    pub connections_per_second: Option<Estimate>,
    /// CPU time of the generators for each operation that succeeded, in nanoseconds.
    pub cpu_ns_per_operation: Option<Estimate>,
    /// Operations that succeeded.
    pub succeeded: u64,
    /// Operations that failed.
    pub failed: u64,
    /// The same, by why.
    pub failures: BTreeMap<String, u64>,
    /// Those of them of which a detail is known, by why and detail.
    pub reasons: BTreeMap<String, BTreeMap<String, u64>>,
    /// Whole responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that were sent again on another connection.
    pub resent: u64,
    /// Starts that waited longer than allowed and never began.
    pub missed: u64,
    /// Operations that had not ended when the run stopped waiting for them.
    pub unanswered: UnderWay,
    /// Operations by the address that they ended at.
    pub addresses: BTreeMap<SocketAddr, AddressReport>,
    /// Operations that should have begun.
    pub scheduled: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Those that the server should have closed and the client did.
    pub closed_by_client: u64,
    /// Bytes read from sockets.
    pub bytes_read: u64,
    /// Bytes written to sockets.
    pub bytes_written: u64,
    /// Negotiated parameters.
    pub shape: Shape,
    /// Families without a verdict, because a gate is shut.
    pub spoiled: BTreeSet<Family>,
    /// Phases that were timed, in the order of [`Phase::ALL`].
    pub phases: Vec<PhaseReport>,
    /// Operations per second in each timed round, for charts.
    #[serde(skip)]
    pub round_rates: Vec<f64>,
}

impl TargetReport {
    /// Operations by address, if the target has several: with one they are the target's.
    pub fn by_address(&self) -> impl Iterator<Item = (SocketAddr, &AddressReport)> {
        let several = self.addresses.len() > 1;
        self.addresses.iter().filter(move |_| several).map(|(address, of)| (*address, of))
    }

    /// Makes the report of a target. `wait_max` is the longest that a start might wait, and `gates`
    /// are those that fail in its run.
    #[must_use]
    pub fn new(target: &TargetRecord, wait_max: Nanos, gates: &[Gate]) -> Self {
        let rounds = TargetRounds::of(target);
        let mut shape = Shape::default();
        let mut failures: BTreeMap<String, u64> = BTreeMap::new();
        let mut reasons: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
        for round in &target.rounds {
            shape.add(&round.shape);
            add(&mut failures, &round.failed);
            add(&mut statuses, &round.statuses);
            for (why, below) in &round.reasons {
                add(reasons.entry(why.clone()).or_default(), below);
            }
        }
        let concerns = |gate: &&Gate| gate.target.as_ref().is_none_or(|name| *name == target.name);
        Self {
            name: target.name.clone(),
            rounds: rounds.count(),
            untimed_rounds: rounds.untimed(),
            operations_per_second: rounds.operations_per_second(),
            connections_per_second: rounds.connections_per_second(),
            cpu_ns_per_operation: rounds.cpu_ns_per_operation(),
            succeeded: target.sum(|round| round.succeeded),
            failed: failures.values().copied().fold(0, u64::saturating_add),
            failures,
            reasons,
            statuses,
            resent: target.sum(|round| round.resent),
            missed: target.sum(|round| round.missed),
            unanswered: target.unanswered,
            addresses: target.addresses.iter().map(|(at, of)| (*at, of.into())).collect(),
            scheduled: target.sum(|round| round.scheduled),
            connections: target.sum(|round| round.connections),
            closed_by_client: target.sum(|round| round.closed_by_client),
            bytes_read: target.sum(|round| round.bytes_read),
            bytes_written: target.sum(|round| round.bytes_written),
            shape,
            spoiled: gates
                .iter()
                .filter(concerns)
                .flat_map(|gate| gate.spoils.iter().copied())
                .collect(),
            phases: Phase::ALL
                .iter()
                .copied()
                .filter_map(|phase| PhaseReport::new(target, phase, wait_max))
                .collect(),
            round_rates: rounds.rates(),
        }
    }

    /// Whole operations: from when they should have begun, or did begin where nothing says when
    /// they should have, as in closed loops.
    #[must_use]
    pub fn latency(&self) -> Option<&PhaseReport> {
        self.phase(Phase::Corrected).or_else(|| self.phase(Phase::Uncorrected))
    }

    /// Failures with their details, `alert (unrecognized_name 3)`, and their counts.
    pub fn failures_in_detail(&self) -> impl Iterator<Item = (String, u64)> {
        self.failures.iter().map(|(why, count)| match self.reasons.get(why) {
            Some(reasons) => (format!("{why} ({})", details(reasons)), *count),
            None => (why.clone(), *count),
        })
    }

    /// Statuses and the number of responses with each, unless all had one and the same of 200 to
    /// 299.
    pub fn notable_statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        let is_plain = self.statuses.len() == 1 && self.statuses.keys().all(|s| s / 100 == 2);
        let all = self.statuses.iter().map(|(status, count)| (*status, *count));
        all.filter(move |_| !is_plain)
    }

    /// The report of a phase; `None` if nothing was timed.
    #[must_use]
    pub fn phase(&self, phase: Phase) -> Option<&PhaseReport> {
        self.phases.iter().find(|known| known.phase == phase.as_str())
    }
}

/// One phase of a target, over all rounds and generators.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseReport {
    /// The phase, as records spell it.
    pub phase: &'static str,
    /// Number of values, without missed starts.
    pub count: u64,
    /// Quantiles, those of [`QUANTILES`].
    pub quantiles: Vec<QuantileReport>,
    /// Percentile curve of whole operations, for charts.
    #[serde(skip)]
    pub curve: Vec<CurvePoint>,
}

impl PhaseReport {
    fn new(target: &TargetRecord, phase: Phase, wait_max: Nanos) -> Option<Self> {
        let steps = CumulativeCounts::of(target, phase, wait_max)?;
        let at = |(quantile, part)| match steps.quantile(part) {
            Quantile::Is(ns) => QuantileReport { quantile, ns, at_least: false },
            Quantile::AtLeast(ns) => QuantileReport { quantile, ns, at_least: true },
        };
        let is_whole = matches!(phase, Phase::Corrected | Phase::Uncorrected);
        Some(Self {
            phase: phase.as_str(),
            count: steps.timed(),
            quantiles: QUANTILES.into_iter().map(at).collect(),
            curve: if is_whole { steps.curve() } else { Vec::new() },
        })
    }

    /// A quantile by its name in [`QUANTILES`].
    #[must_use]
    pub fn quantile(&self, name: &str) -> Option<&QuantileReport> {
        self.quantiles.iter().find(|known| known.quantile == name)
    }
}

/// A quantile of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct QuantileReport {
    /// Name of the quantile, as in [`QUANTILES`].
    pub quantile: &'static str,
    /// The time.
    pub ns: Nanos,
    /// True if it is only known to be that or more, for missed starts.
    pub at_least: bool,
}

/// The longest that a start might wait in the run; none in closed loops, and in a record whose
/// scenario cannot be read.
#[must_use]
pub fn wait_max(record: &RunRecord) -> Nanos {
    match record.scenario().map(|scenario| scenario.load) {
        Ok(Load::Open { wait_max, .. }) => wait_max,
        Ok(Load::Closed { .. }) | Err(_) => Nanos::default(),
    }
}

/// Details with their counts, the most frequent first.
fn details(reasons: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<_> = reasons.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let listed: Vec<String> =
        sorted.into_iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    listed.join(", ")
}

fn add<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        let sum = into.entry(key.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
}

/// The environment without what an older program, or an edit, left in its command.
fn redacted(environment: &Environment) -> Environment {
    Environment { command: redact(&environment.command), ..environment.clone() }
}

/// The scenario without secrets, even where a record holds some: reports are for others to read.
fn scenario(record: &RunRecord) -> String {
    let redacted = record.scenario().ok().map(|scenario| scenario.to_record());
    // One that cannot be read cannot be redacted either.
    redacted.and_then(Result::ok).unwrap_or_else(|| UNREADABLE.to_owned())
}

/// The quantiles that are reported, by name.
pub const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// Text instead of a scenario that this program cannot read.
const UNREADABLE: &str = "# no scenario that this version of tlsbench reads; the record has it";

/// The version of the format that is written here.
pub const SCHEMA: u32 = 1;
