//! Verdicts on a run over placements: CPU time per operation and hop, and latency, compared with
//! the baseline.
//!
//! Which comparisons are made follows from the placements, not from what was measured: each with
//! its twin, and the three places where TLS can end in pairs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::compare::{CPU_MARGIN, Comparison, Finding, compare};
use crate::lab::{Pass, Workload};
use crate::placement::KnownPlacement;
use crate::record::lab::{LabRecord, TrialRecord};
use crate::warning::{Family, Gate};

mod gates;
mod rows;
mod latency;
mod counts;
#[cfg(test)]
mod tests;

use gates::gates;
pub use latency::{Latency, LatencyRow, PhaseFinding, PhaseTime};
pub use rows::{HopCost, WorkloadCost};

/// A run, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdicts {
    /// Each placement under each workload, in the order of the run.
    pub rows: Vec<WorkloadCost>,
    /// Findings of the declared comparisons, in CPU time of all hops per operation, microseconds.
    pub findings: Vec<WorkloadFinding>,
    /// The latency pass, where there was one.
    pub latency: Option<Latency>,
    /// Gates that fail.
    #[serde(skip)]
    pub gates: Vec<Gate>,
}

/// A finding and the workload that it is of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkloadFinding {
    /// The workload.
    pub workload: Workload,
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Judges a run over placements. The chance of a false word is held over all comparisons together,
/// of CPU time and of latency.
#[must_use]
pub fn verdicts(record: &LabRecord) -> Verdicts {
    let gates = gates(record);
    let (workloads, mut comparisons): (Vec<Workload>, Vec<Comparison>) =
        declared(record).into_iter().unzip();
    let (phases, mut times): (Vec<&str>, Vec<Comparison>) =
        latency::declared(record).into_iter().unzip();
    for (comparison, workload) in comparisons.iter_mut().zip(&workloads) {
        let against_workload = partner(record, &comparison.against, *workload);
        let this = record.trial(&comparison.name, *workload);
        let other = record.trial(&comparison.against, against_workload);
        // A spoiled side spoils the comparison, whichever it is.
        let mut both = [this, other].into_iter().flatten();
        comparison.spoiled = both.any(|trial| is_spoiled(&gates, Family::Cpu, trial));
    }
    for comparison in &mut times {
        let names = [&comparison.name, &comparison.against];
        comparison.spoiled = names.into_iter().any(|name| {
            let trial = record.latency_trial(name, Workload::Full);
            trial.is_some_and(|trial| is_spoiled(&gates, Family::Latency, trial))
        });
    }
    // CPU and latency share one Holm family: a reader sees all words of a run together.
    comparisons.extend(times);
    let mut findings = compare(&comparisons, record.lab.seed);
    let of_times = findings.split_off(workloads.len()).into_iter().zip(phases);
    let of_times = of_times.map(|(finding, phase)| PhaseFinding { phase, finding });
    let cpu = record.trials.iter().filter(|trial| trial.pass == Pass::Cpu);
    Verdicts {
        rows: cpu.map(|trial| WorkloadCost::of(trial, record)).collect(),
        findings: findings
            .into_iter()
            .zip(workloads)
            .map(|(finding, workload)| WorkloadFinding { workload, finding })
            .collect(),
        latency: Latency::of(record, of_times.collect()),
        gates,
    }
}

/// Returns true if one of the gates spoils verdicts of a family on a trial.
pub(crate) fn is_spoiled(gates: &[Gate], family: Family, trial: &TrialRecord) -> bool {
    gates.iter().any(|gate| {
        gate.spoils.contains(&family)
            && gate.target.as_ref().is_none_or(|spoiled| spoiled == trial.target())
    })
}

/// The workload under which a placement is the other side of a comparison.
fn partner(record: &LabRecord, against: &str, workload: Workload) -> Workload {
    let suits = record.placement(against).is_some_and(|placement| workload.suits(placement));
    if suits { workload } else { workload.of_twin() }
}

/// Comparisons that are declared: they follow from the lab alone.
fn declared(record: &LabRecord) -> Vec<(Workload, Comparison)> {
    let all = record.lab.workloads.iter();
    let pairs = all.flat_map(|workload| {
        against(record, *workload).into_iter().map(|(name, against)| (*workload, name, against))
    });
    let comparison = |(workload, name, against): (Workload, String, String)| {
        let this = record.trial(&name, workload)?;
        let other = record.trial(&against, partner(record, &against, workload))?;
        let rounds = paired_rounds(costs(other), costs(this));
        let margin = Some(CPU_MARGIN);
        let (declared, spoiled) = (true, false);
        Some((workload, Comparison { name, against, rounds, declared, spoiled, margin }))
    };
    pairs.filter_map(comparison).collect()
}

/// Pairs of placements that are compared: each with its baseline, and the three ends in pairs.
fn against(record: &LabRecord, workload: Workload) -> Vec<(String, String)> {
    let suiting = record.lab.placements.iter().filter(|placement| workload.suits(placement));
    let with_tls = suiting.filter(|placement| !placement.is_plain());
    let twins = with_tls.map(|placement| (placement.name.clone(), placement.twin().name));
    let ends = [
        (KnownPlacement::IngressTerminate, KnownPlacement::LbTerminate),
        (KnownPlacement::Passthrough, KnownPlacement::LbTerminate),
        (KnownPlacement::Passthrough, KnownPlacement::IngressTerminate),
    ];
    twins.chain(ends.map(|(this, other)| (this.to_string(), other.to_string()))).collect()
}

/// Values of the rounds that both have, in the order of the second.
pub(crate) fn paired_rounds(
    against: impl Iterator<Item = (u32, f64)>,
    this: impl Iterator<Item = (u32, f64)>,
) -> Vec<(f64, f64)> {
    // Rounds are paired by number: an interrupted run may lack some on one side.
    let against: BTreeMap<u32, f64> = against.collect();
    this.filter_map(|(round, value)| Some((*against.get(&round)?, value))).collect()
}

/// Microseconds per operation of each round in which there were any.
pub(crate) fn costs(trial: &TrialRecord) -> impl Iterator<Item = (u32, f64)> {
    trial.rounds().filter_map(|(round, operations, cpu)| {
        let cost = cpu.as_micros_f64() / operations as f64;
        (operations > 0).then_some((round, cost))
    })
}
