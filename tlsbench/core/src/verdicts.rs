//! What a run over placements came to: CPU time per operation and hop, beside the twin without TLS.
//!
//! Which comparisons are made follows from the placements, not from what was measured: each with its
//! twin, and the three places where TLS can end in pairs.

use serde::Serialize;

use crate::compare::{Comparison, Finding, compare};
use crate::plan::Draft;
use crate::plan::hop::HopKind;
use crate::plan::lab::{EngineName, Pass, Workload};
use crate::plan::placement::{Known, Role};
use crate::record::lab::{LabRecord, TrialRecord};
use crate::stats::{Estimate, ratio_of_sums};
use crate::units::Share;
use crate::warning::{Family, Gate, Warning, judge_target};

/// A run, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdicts {
    /// Each placement under each workload, in the order of the run.
    pub rows: Vec<Row>,
    /// What the declared comparisons came to, in CPU time of all hops per operation, microseconds.
    pub findings: Vec<WorkloadFinding>,
    /// What spoils verdicts.
    #[serde(skip)]
    pub gates: Vec<Gate>,
}

/// One placement under one workload. Times are microseconds of CPU time per operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The placement.
    pub placement: String,
    /// The workload.
    pub workload: Workload,
    /// Of each hop, from the client on.
    pub hops: Vec<HopCost>,
    /// Of all hops together.
    pub total: Option<Estimate>,
    /// Of the load generator.
    pub client: Option<Estimate>,
    /// Operations per second that all hops together did with one core's worth of CPU time each.
    pub operations: u64,
    /// Rounds that were measured.
    pub rounds: u32,
}

/// What a hop costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopCost {
    /// What it is there for.
    pub role: Role,
    /// What it does.
    pub kind: HopKind,
    /// What it is made of.
    pub engine: EngineName,
    /// CPU time per operation, microseconds.
    pub cost: Option<Estimate>,
}

/// A finding and the workload that it is of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkloadFinding {
    /// The workload.
    pub workload: Workload,
    /// What it came to.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Judges a run over placements.
#[must_use]
pub fn verdicts(record: &LabRecord) -> Verdicts {
    let gates = gates(record);
    let (workloads, mut comparisons): (Vec<Workload>, Vec<Comparison>) =
        declared(record).into_iter().unzip();
    for (comparison, workload) in comparisons.iter_mut().zip(&workloads) {
        let is_spoiled = |name: &str, workload: Workload| {
            let target = format!("{name}/{workload}");
            gates.iter().any(|gate| {
                gate.spoils.contains(&Family::Cpu)
                    && gate.target.as_ref().is_none_or(|spoiled| *spoiled == target)
            })
        };
        let against_workload = partner(record, &comparison.against, *workload);
        comparison.spoiled = is_spoiled(&comparison.name, *workload)
            || is_spoiled(&comparison.against, against_workload);
    }
    let findings = compare(&comparisons, record.lab.seed).into_iter().zip(workloads);
    Verdicts {
        rows: record.trials.iter().filter(|trial| trial.pass == Pass::Cpu).map(Row::of).collect(),
        findings: findings
            .map(|(finding, workload)| WorkloadFinding { workload, finding })
            .collect(),
        gates,
    }
}

impl Row {
    fn of(trial: &TrialRecord) -> Self {
        let per_operation = |used: &dyn Fn(u32) -> f64| {
            let pairs: Vec<(f64, f64)> = trial
                .client
                .rounds
                .iter()
                .map(|round| (used(round.round) / NANOS_PER_MICRO, round.succeeded as f64))
                .collect();
            ratio_of_sums(&pairs)
        };
        let hops = trial.hops.iter().map(|hop| HopCost {
            role: hop.role,
            kind: hop.kind,
            engine: hop.engine,
            cost: per_operation(&|round| {
                let used = hop.rounds.iter().filter(|used| used.round == round);
                used.map(|used| used.usage.cpu.total.0 as f64).sum()
            }),
        });
        let client = |round| {
            let rounds = trial.client.rounds.iter().filter(|seen| seen.round == round);
            rounds.map(|seen| seen.cpu.total.0 as f64).sum()
        };
        let all = |round| {
            let rounds = trial.rounds().filter(|(seen, ..)| *seen == round);
            rounds.map(|(.., cpu)| cpu.0 as f64).sum()
        };
        Self {
            placement: trial.placement.clone(),
            workload: trial.workload,
            hops: hops.collect(),
            total: per_operation(&all),
            client: per_operation(&client),
            operations: trial.client.sum(|round| round.succeeded),
            rounds: u32::try_from(trial.client.rounds.len()).unwrap_or(u32::MAX),
        }
    }
}

/// The workload under which a placement is the other side of a comparison.
fn partner(record: &LabRecord, against: &str, workload: Workload) -> Workload {
    let suits = record.placement(against).is_some_and(|placement| workload.suits(placement));
    if suits { workload } else { workload.of_twin() }
}

/// What is compared: it follows from the plan alone.
fn declared(record: &LabRecord) -> Vec<(Workload, Comparison)> {
    let mut pairs: Vec<(Workload, String, String)> = Vec::new();
    for workload in &record.lab.workloads {
        let suiting = record.lab.placements.iter().filter(|placement| workload.suits(placement));
        for placement in suiting.filter(|placement| !placement.is_plain()) {
            pairs.push((*workload, placement.name.clone(), placement.twin().name));
        }
        for (known, against) in [
            (Known::IngressTerminate, Known::LbTerminate),
            (Known::Passthrough, Known::LbTerminate),
            (Known::Passthrough, Known::IngressTerminate),
        ] {
            pairs.push((*workload, known.to_string(), against.to_string()));
        }
    }
    let comparison = |(workload, name, against): (Workload, String, String)| {
        let this = record.trial(&name, workload)?;
        let other = record.trial(&against, partner(record, &against, workload))?;
        let rounds = paired(other, this);
        let margin = Some(CPU_MARGIN);
        let (declared, spoiled) = (true, false);
        Some((workload, Comparison { name, against, rounds, declared, spoiled, margin }))
    };
    pairs.into_iter().filter_map(comparison).collect()
}

/// Microseconds per operation in the rounds that both have.
fn paired(against: &TrialRecord, this: &TrialRecord) -> Vec<(f64, f64)> {
    let cost = |(_, operations, cpu): (u32, u64, crate::units::Nanos)| {
        (operations > 0).then(|| cpu.0 as f64 / NANOS_PER_MICRO / operations as f64)
    };
    let of_this = this.rounds().filter_map(|round| Some((round.0, cost(round)?)));
    let pairs = of_this.filter_map(|(round, this)| {
        let other = against.rounds().find(|(other, ..)| *other == round)?;
        Some((cost(other)?, this))
    });
    pairs.collect()
}

fn gates(record: &LabRecord) -> Vec<Gate> {
    let mut gates: Vec<Gate> = Vec::new();
    for trial in &record.trials {
        let scenario = Draft::from_toml(&trial.scenario).ok().and_then(|draft| draft.finish().ok());
        // A record that was edited says nothing of what was asked, and is judged as it stands.
        gates.extend(scenario.iter().flat_map(|scenario| judge_target(&trial.client, scenario)));
    }
    if let Some(others) = record.others.as_ref().filter(|others| others.share > OTHERS_MAX) {
        gates.push(Gate {
            name: "others",
            target: None,
            warning: Warning {
                seen: format!("other processes used {:.1} % of the machine", others.share * 100.0),
                cause: format!("most of it `{}`, {}", others.top, others.top_ns),
                cure: "stop them, or measure when they rest".to_owned(),
            },
            spoils: &[Family::Cpu],
        });
    }
    gates
}

/// So far apart CPU times may be and still be called equal.
const CPU_MARGIN: Share = Share::from_percent(5);
/// What others may use of the machine.
const OTHERS_MAX: f64 = 0.05;
const NANOS_PER_MICRO: f64 = 1_000.0;

#[cfg(test)]
mod tests;
