//! Reports of runs over placements: the placements, the cost of each hop, and the verdict on one
//! beside another.
//!
//! Verdicts and gates are judged again from the record; nothing is judged here.

mod effect;
mod idle;
mod model;
mod says;
mod trial;
#[cfg(test)]
pub(in crate::report) mod tests;

use serde::Serialize;

use super::GateReport;
use crate::hop::{HopKind, LinkSecurity};
use crate::lab::{EngineName, Pass, Workload};
use crate::placement::{Placement, Role};
use crate::record::lab::{LabRecord, OtherProcesses, Receiving};
use crate::record::{Environment, Note};
use crate::stats::Estimate;
use crate::units::NANOS_PER_MICRO;
use crate::verdicts::{Verdicts, WorkloadCost, verdicts};
pub use effect::EffectReport;
pub use idle::{BytesEach, IdleHopReport, IdleReport};
pub use model::{ModelReport, PredictionReport};
pub use trial::{HopReport, MedianReport, TrialReport};

/// A run over placements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabReport {
    /// Name of the record's file.
    pub record: String,
    /// The program that measured, and its version.
    pub program: String,
    /// Begin of the run: RFC 3339.
    pub started: String,
    /// End of the run: RFC 3339.
    pub ended: String,
    /// True if every round was measured.
    pub complete: bool,
    /// Reason why the run was interrupted, if it was.
    pub interrupted: Option<String>,
    /// Events during the run that may matter, in order.
    pub notes: Vec<Note>,
    /// True if no gate fails: every figure may be judged.
    pub valid: bool,
    /// Conclusions on where TLS should end, one sentence per workload.
    pub statements: Vec<WorkloadStatement>,
    /// The gates that are shut.
    pub gates: Vec<GateReport>,
    /// Placements that were measured, baselines included.
    pub placements: Vec<PlacementReport>,
    /// Each placement under each workload that suits it.
    pub trials: Vec<TrialReport>,
    /// Each comparison that was declared.
    pub effects: Vec<EffectReport>,
    /// True if the costs that were fitted hold for traffic that they had not seen.
    pub model: Option<ModelReport>,
    /// Memory that idle connections take at each hop.
    pub idle: Vec<IdleReport>,
    /// Environment of the run.
    pub environment: Environment,
    /// Cores that the load generator kept to; none where it had no core to itself.
    pub generator_cores: Vec<u32>,
    /// Cores that hops kept to.
    pub hop_cores: Vec<u32>,
    /// True if each hop was in a network namespace of its own.
    pub netns: bool,
    /// Process that the kernel charged for receiving packets.
    pub receiving: Receiving,
    /// CPU time of other processes.
    pub others: Option<OtherProcesses>,
    /// The lab that was asked for, TOML.
    pub lab: String,
}

/// Conclusion on one workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkloadStatement {
    /// The workload.
    pub workload: Workload,
    /// CPU time or latency.
    pub pass: Pass,
    /// One sentence.
    pub text: String,
}

/// A placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlacementReport {
    /// Name.
    pub name: String,
    /// The same hops without TLS; `None` if it has none itself.
    pub twin: Option<String>,
    /// Sentence on where TLS ends.
    pub ends: String,
    /// Hops, from the client on.
    pub hops: Vec<PlacementHopReport>,
}

/// A hop as it stands in a placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlacementHopReport {
    /// Role.
    pub role: Role,
    /// Kind.
    pub kind: HopKind,
    /// Engine.
    pub engine: EngineName,
    /// Protection of the link to it.
    pub link: LinkSecurity,
    /// True if it passes that on as it is.
    pub passes_on: bool,
}

impl LabReport {
    /// Makes the report of a record and judges its gates and verdicts again.
    #[must_use]
    pub fn new(name: impl Into<String>, record: &LabRecord) -> Self {
        let Verdicts { rows, findings, latency, gates, .. } = verdicts(record);
        let times = latency.iter().flat_map(|latency| &latency.findings);
        let effects: Vec<EffectReport> = findings
            .iter()
            .map(|finding| EffectReport::of_cpu(finding, record))
            .chain(times.map(|finding| EffectReport::of_latency(finding, record)))
            .collect();
        let trials = record.trials.iter().map(|trial| {
            let is_it = |row: &&WorkloadCost| {
                row.placement == trial.placement && row.workload == trial.workload
            };
            let (row, times) = match trial.pass {
                Pass::Cpu => (rows.iter().find(is_it).cloned(), None),
                Pass::Latency => {
                    let mut times = latency.iter().flat_map(|latency| &latency.rows);
                    (None, times.find(|row| row.placement == trial.placement))
                }
            };
            TrialReport::new(
                trial,
                row.unwrap_or_else(|| WorkloadCost::of(trial, record)),
                times,
                &gates,
            )
        });
        let trials: Vec<TrialReport> = trials.collect();
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
            statements: says::statements(&trials, &effects, &gates_told),
            placements: record
                .lab
                .placements
                .iter()
                .map(|placement| PlacementReport::new(placement, record))
                .collect(),
            trials,
            effects,
            gates: gates_told,
            model: ModelReport::of(record),
            idle: IdleReport::all(record),
            environment: super::redacted(&record.environment),
            generator_cores: record.generator_cores.clone(),
            hop_cores: record.hop_cores.clone(),
            netns: record.lab.netns,
            receiving: record.receiving,
            others: record.others.clone(),
            lab: toml::to_string(&record.lab).unwrap_or_default(),
        }
    }

    /// The trial of a placement under a workload, in a pass.
    #[must_use]
    pub fn trial(&self, placement: &str, workload: Workload, pass: Pass) -> Option<&TrialReport> {
        self.trials_of(workload, pass).find(|trial| trial.placement == placement)
    }

    /// A placement compared with its baseline, in CPU time or in the whole time of an operation;
    /// `None` for a baseline.
    #[must_use]
    pub fn beside_twin(
        &self,
        placement: &str,
        workload: Workload,
        pass: Pass,
    ) -> Option<&EffectReport> {
        let mut all = self.effects.iter().filter(|effect| effect.is_of(workload, pass));
        all.find(|effect| effect.is_twin && effect.placement == placement)
    }

    /// Workloads that were measured in a pass.
    #[must_use]
    pub fn workloads(&self, pass: Pass) -> Vec<Workload> {
        let is_measured = |workload: &&Workload| self.trials_of(**workload, pass).next().is_some();
        Workload::ALL.iter().filter(is_measured).copied().collect()
    }

    /// Workloads with the pass that they were measured in, those of the CPU pass first.
    #[must_use]
    pub fn measured(&self) -> Vec<(Workload, Pass)> {
        let mut all = Vec::new();
        for pass in Pass::ALL {
            all.extend(self.workloads(*pass).into_iter().map(|workload| (workload, *pass)));
        }
        all
    }

    /// Trials of a workload in a pass, in the order of the run.
    pub fn trials_of(&self, workload: Workload, pass: Pass) -> impl Iterator<Item = &TrialReport> {
        let is_it = move |trial: &&TrialReport| trial.workload == workload && trial.pass == pass;
        self.trials.iter().filter(is_it)
    }

    /// Comparisons in CPU time or in the whole time of an operation, those with baselines first.
    #[must_use]
    pub fn effects_of(&self, workload: Workload, pass: Pass) -> Vec<&EffectReport> {
        let of_workload = self.effects.iter().filter(|effect| effect.is_of(workload, pass));
        let (twins, pairs): (Vec<_>, Vec<_>) = of_workload.partition(|effect| effect.is_twin);
        twins.into_iter().chain(pairs).collect()
    }
}

impl PlacementReport {
    fn new(placement: &Placement, record: &LabRecord) -> Self {
        let hops =
            placement.hops.iter().zip(placement.links()).map(|(hop, link)| PlacementHopReport {
                role: hop.role,
                kind: hop.kind,
                engine: engine(record, &placement.name, hop.role),
                link,
                passes_on: hop.passes_on() && link != LinkSecurity::Plain,
            });
        let hops: Vec<PlacementHopReport> = hops.collect();
        Self {
            name: placement.name.clone(),
            twin: (!placement.is_plain()).then(|| placement.twin().name),
            ends: says::ends(&hops),
            hops,
        }
    }
}

/// Engine of a hop, or the one that was asked for if it was never measured.
fn engine(record: &LabRecord, placement: &str, role: Role) -> EngineName {
    let of_placement = record.trials.iter().filter(|trial| trial.placement == placement);
    let measured = of_placement.flat_map(|trial| &trial.hops).find(|hop| hop.role == role);
    let asked = record.lab.engines.get(&role).copied();
    measured.map(|hop| hop.engine).or(asked).unwrap_or(EngineName::Builtin)
}

/// An estimate in microseconds, in nanoseconds.
fn nanos(micros: Estimate) -> Estimate {
    scaled(micros, NANOS_PER_MICRO)
}

fn scaled(estimate: Estimate, factor: f64) -> Estimate {
    let Estimate { value, low, high, runs } = estimate;
    Estimate { value: value * factor, low: low * factor, high: high * factor, runs }
}
