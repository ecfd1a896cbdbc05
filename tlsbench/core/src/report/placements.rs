//! What is reported of a run over placements: which they are, what each hop costs, and what may be said
//! of one beside another.
//!
//! Verdicts and gates are judged anew from the record; nothing is judged here.

mod says;
#[cfg(test)]
pub(in crate::report) mod tests;

use serde::Serialize;

use super::{GateReport, TargetReport, number};
use crate::compare::Verdict;
use crate::plan::hop::{Carried, HopKind};
use crate::plan::lab::{EngineName, Pass, Workload};
use crate::plan::placement::{Placement, Role};
use crate::plan::{Draft, Load};
use crate::record::lab::{HopRecord, IdleRecord, LabRecord, Others, TrialRecord};
use crate::record::{Environment, Note};
use crate::stats::Estimate;
use crate::units::Nanos;
use crate::verdicts::{HopCost, Row, Verdicts, WorkloadFinding, verdicts};
use crate::warning::Gate;

/// A run over placements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabReport {
    /// What the record is called here: the file that was named.
    pub record: String,
    /// The program that measured, and its version.
    pub program: String,
    /// When the run began: RFC 3339.
    pub started: String,
    /// When it ended, likewise.
    pub ended: String,
    /// Whether every round was measured.
    pub complete: bool,
    /// Why not.
    pub interrupted: Option<String>,
    /// What happened meanwhile and may matter, in order.
    pub notes: Vec<Note>,
    /// Whether no gate is shut: every figure may be judged.
    pub valid: bool,
    /// What the run says of where TLS should end, a sentence for each workload.
    pub statements: Vec<Statement>,
    /// The gates that are shut.
    pub gates: Vec<GateReport>,
    /// What was measured, twins included.
    pub placements: Vec<PlacementReport>,
    /// Each placement under each workload that suits it.
    pub trials: Vec<TrialReport>,
    /// Each comparison that was declared.
    pub effects: Vec<EffectReport>,
    /// What idle connections take of each hop's memory.
    pub idle: Vec<IdleRecord>,
    /// Where it ran.
    pub environment: Environment,
    /// Cores that the load generator kept to; none where it had no core to itself.
    pub generator_cores: Vec<u32>,
    /// Cores that hops kept to.
    pub hop_cores: Vec<u32>,
    /// Who else used the CPUs.
    pub others: Option<Others>,
    /// What was asked for, TOML.
    pub lab: String,
}

/// What is said of one workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The workload.
    pub workload: Workload,
    /// One sentence.
    pub text: String,
}

/// A placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlacementReport {
    /// Its name.
    pub name: String,
    /// The same hops without TLS; nothing where it has none itself.
    pub twin: Option<String>,
    /// Where TLS ends, in words.
    pub ends: String,
    /// Its hops, from the client on.
    pub hops: Vec<StationReport>,
}

/// A hop as it stands in a placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StationReport {
    /// What it is there for.
    pub role: Role,
    /// What it does.
    pub kind: HopKind,
    /// What it is made of.
    pub engine: EngineName,
    /// What reaches it.
    pub link: Carried,
    /// Whether it passes that on as it is.
    pub passes_on: bool,
}

/// One placement under one workload. CPU times are per operation that succeeded, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialReport {
    /// The placement.
    pub placement: String,
    /// The workload.
    pub workload: Workload,
    /// What was measured of it: CPU time in a closed loop, or latency in an open one.
    pub pass: Pass,
    /// Connections per second that were asked for; nothing in the CPU pass.
    pub rate: Option<f64>,
    /// What an operation is: a connection or a request.
    pub operation: &'static str,
    /// CPU time of all hops together.
    pub cpu_ns_per_operation: Option<Estimate>,
    /// Cores that all hops together use at 1,000 operations per second, if CPU time per operation
    /// stays what it was.
    pub cores_at_1000_per_second: Option<Estimate>,
    /// Its hops, from the client on.
    pub hops: Vec<HopReport>,
    /// What clients saw.
    pub client: TargetReport,
}

/// What a hop used in a trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopReport {
    /// What it is there for.
    pub role: Role,
    /// What it does.
    pub kind: HopKind,
    /// What it is made of.
    pub engine: EngineName,
    /// CPU time.
    pub cpu_ns_per_operation: Option<Estimate>,
    /// Cores that it used while it was measured.
    pub busy_cores: f64,
    /// The part of its CPU time in its own code, the rest being the kernel's; nothing where no tick
    /// was counted.
    pub user_share: Option<f64>,
    /// The most memory that it had resident in any round.
    pub peak_bytes: u64,
    /// What it does in another way than was asked for.
    pub notes: Vec<String>,
}

/// What one placement costs beside another, in CPU time of all hops per operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectReport {
    /// The workload.
    pub workload: Workload,
    /// What is compared.
    pub placement: String,
    /// With what.
    pub against: String,
    /// Whether that is its twin without TLS.
    pub is_twin: bool,
    /// How much more it costs, in nanoseconds.
    pub difference_ns: Option<Estimate>,
    /// How many times as much it costs.
    pub ratio: Option<Estimate>,
    /// How likely a difference at least as large is where there is none, all comparisons of the run
    /// taken together.
    pub chance: Option<f64>,
    /// The same of this comparison alone, by flipping signs.
    pub sign_flip: Option<f64>,
    /// How alike the differences of neighbouring rounds are.
    pub autocorrelation: Option<f64>,
    /// The verdict in one word.
    pub verdict: &'static str,
    /// The verdict in words.
    pub says: String,
}

impl LabReport {
    /// What is to be said of a record, gates and verdicts judged anew.
    #[must_use]
    pub fn new(name: impl Into<String>, record: &LabRecord) -> Self {
        let Verdicts { findings, gates, .. } = verdicts(record);
        let effects: Vec<EffectReport> =
            findings.iter().map(|finding| EffectReport::new(finding, record)).collect();
        let trials = record.trials.iter().map(|trial| TrialReport::new(trial, record, &gates));
        let gates_told: Vec<GateReport> = gates.iter().map(GateReport::from).collect();
        Self {
            record: name.into(),
            program: record.program.clone(),
            started: record.started.clone(),
            ended: record.ended.clone(),
            complete: record.complete,
            interrupted: record.interrupted.clone(),
            notes: record.notes.clone(),
            valid: gates.is_empty(),
            statements: says::statements(&record.lab.workloads, &effects, &gates_told),
            placements: record
                .lab
                .placements
                .iter()
                .map(|placement| PlacementReport::new(placement, record))
                .collect(),
            trials: trials.collect(),
            effects,
            gates: gates_told,
            idle: record.idle.clone(),
            environment: record.environment.clone(),
            generator_cores: record.generator_cores.clone(),
            hop_cores: record.hop_cores.clone(),
            others: record.others.clone(),
            lab: toml::to_string(&record.lab).unwrap_or_default(),
        }
    }

    /// What was measured of a placement under a workload, in a pass.
    #[must_use]
    pub fn trial(&self, placement: &str, workload: Workload, pass: Pass) -> Option<&TrialReport> {
        self.trials_of(workload, pass).find(|trial| trial.placement == placement)
    }

    /// A placement beside its twin; nothing for a twin.
    #[must_use]
    pub fn beside_twin(&self, placement: &str, workload: Workload) -> Option<&EffectReport> {
        let is_it = |effect: &&EffectReport| {
            effect.is_twin && effect.placement == placement && effect.workload == workload
        };
        self.effects.iter().find(is_it)
    }

    /// Workloads that were measured in a pass.
    #[must_use]
    pub fn workloads(&self, pass: Pass) -> Vec<Workload> {
        let is_measured = |workload: &&Workload| self.trials_of(**workload, pass).next().is_some();
        Workload::ALL.iter().filter(is_measured).copied().collect()
    }

    /// Trials of a workload in a pass, in the order of the run.
    pub fn trials_of(&self, workload: Workload, pass: Pass) -> impl Iterator<Item = &TrialReport> {
        let is_it = move |trial: &&TrialReport| trial.workload == workload && trial.pass == pass;
        self.trials.iter().filter(is_it)
    }

    /// Comparisons of a workload, those with twins first.
    #[must_use]
    pub fn effects_of(&self, workload: Workload) -> Vec<&EffectReport> {
        let of_workload = self.effects.iter().filter(|effect| effect.workload == workload);
        let (twins, pairs): (Vec<_>, Vec<_>) = of_workload.partition(|effect| effect.is_twin);
        twins.into_iter().chain(pairs).collect()
    }
}

impl PlacementReport {
    fn new(placement: &Placement, record: &LabRecord) -> Self {
        let hops = placement.hops.iter().zip(placement.links()).map(|(hop, link)| StationReport {
            role: hop.role,
            kind: hop.kind,
            engine: engine(record, &placement.name, hop.role),
            link,
            passes_on: hop.passes_on() && link != Carried::Plain,
        });
        let hops: Vec<StationReport> = hops.collect();
        Self {
            name: placement.name.clone(),
            twin: (!placement.is_plain()).then(|| placement.twin().name),
            ends: says::ends(&hops),
            hops,
        }
    }
}

/// What a hop was made of, or was to be where it was never measured.
fn engine(record: &LabRecord, placement: &str, role: Role) -> EngineName {
    let of_placement = record.trials.iter().filter(|trial| trial.placement == placement);
    let measured = of_placement.flat_map(|trial| &trial.hops).find(|hop| hop.role == role);
    let asked = record.lab.engines.get(&role).copied();
    measured.map(|hop| hop.engine).or(asked).unwrap_or(EngineName::Builtin)
}

impl TrialReport {
    fn new(trial: &TrialRecord, record: &LabRecord, gates: &[Gate]) -> Self {
        let row = Row::of(trial, record);
        let wall = trial.client.rounds.iter().fold(Nanos(0), |sum, round| sum + round.wall_ns);
        let hop = |hop: &HopRecord| HopReport::new(hop, &row.hops, wall);
        Self {
            placement: trial.placement.clone(),
            workload: trial.workload,
            pass: trial.pass,
            rate: trial.rate,
            operation: trial.workload.operation(),
            cpu_ns_per_operation: row.total.map(nanos),
            cores_at_1000_per_second: row.total.map(|micros| scaled(micros, CORES_PER_MICRO)),
            hops: trial.hops.iter().map(hop).collect(),
            client: TargetReport::new(&trial.client, wait_max(trial), gates),
        }
    }
}

impl TrialReport {
    /// The workload, and the rate where one was asked for: `full at 1,200/s`.
    #[must_use]
    pub fn load(&self) -> String {
        match self.rate {
            Some(rate) => format!("{} at {}/s", self.workload, number(rate.round() as u64)),
            None => self.workload.to_string(),
        }
    }
}

/// The longest that a start might wait; none in closed loops.
fn wait_max(trial: &TrialRecord) -> Nanos {
    let scenario = Draft::from_toml(&trial.scenario).ok().and_then(|draft| draft.finish().ok());
    match scenario.map(|scenario| scenario.load) {
        Some(Load::Open { wait_max, .. }) => wait_max,
        Some(Load::Closed { .. }) | None => Nanos::default(),
    }
}

impl HopReport {
    fn new(hop: &HopRecord, costs: &[HopCost], wall: Nanos) -> Self {
        let cost = costs.iter().find(|cost| cost.role == hop.role).and_then(|cost| cost.cost);
        let sum = |of: &dyn Fn(usize) -> Nanos| {
            (0..hop.rounds.len()).fold(Nanos(0), |sum, index| sum + of(index)).0 as f64
        };
        let cpu = |index: usize| hop.rounds.get(index).map(|round| round.usage.cpu);
        let total = sum(&|index| cpu(index).unwrap_or_default().total);
        let user = sum(&|index| cpu(index).unwrap_or_default().user);
        let ticks = user + sum(&|index| cpu(index).unwrap_or_default().system);
        Self {
            role: hop.role,
            kind: hop.kind,
            engine: hop.engine,
            cpu_ns_per_operation: cost.map(nanos),
            busy_cores: if wall.0 > 0 { total / wall.0 as f64 } else { 0.0 },
            user_share: (ticks > 0.0).then_some(user / ticks),
            peak_bytes: hop.rounds.iter().map(|round| round.memory.peak_bytes).max().unwrap_or(0),
            notes: hop.notes.clone(),
        }
    }
}

impl EffectReport {
    fn new(finding: &WorkloadFinding, record: &LabRecord) -> Self {
        let WorkloadFinding { workload, finding, .. } = finding;
        let against = record.placement(&finding.against);
        Self {
            workload: *workload,
            placement: finding.name.clone(),
            against: finding.against.clone(),
            is_twin: against.is_some_and(Placement::is_plain),
            difference_ns: finding.difference.map(nanos),
            ratio: finding.ratio,
            chance: finding.chance,
            sign_flip: finding.sign_flip,
            autocorrelation: finding.autocorrelation,
            verdict: word(&finding.verdict),
            says: finding.verdict.to_string(),
        }
    }
}

const fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::CannotTell { .. } => "cannot-tell",
        Verdict::CostsLess => "costs-less",
        Verdict::CostsMore => "costs-more",
        Verdict::Equal { .. } => "equal",
        Verdict::None { .. } => "none",
    }
}

/// An estimate in microseconds, in nanoseconds.
fn nanos(micros: Estimate) -> Estimate {
    scaled(micros, NANOS_PER_MICRO)
}

fn scaled(estimate: Estimate, factor: f64) -> Estimate {
    let Estimate { value, low, high, runs } = estimate;
    Estimate { value: value * factor, low: low * factor, high: high * factor, runs }
}

const NANOS_PER_MICRO: f64 = 1_000.0;
/// 1,000 operations a second of 1 µs each are 1 ms in a second.
const CORES_PER_MICRO: f64 = 1e-3;
