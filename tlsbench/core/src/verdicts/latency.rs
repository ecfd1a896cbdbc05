//! Latency that TLS adds: medians per phase at one rate for all placements, compared with the
//! baseline.
//!
//! The 99th percentile is told and never judged: generator and hops share a machine.

use serde::Serialize;

use super::rows::{HopCost, busy, hops};
use super::{against, paired_rounds};
use crate::compare::{Comparison, Finding, MEDIAN_MARGIN};
use crate::lab::{Pass, Workload};
use crate::record::lab::{LabRecord, TrialRecord};
use crate::stats::{Estimate, mean};
use crate::tally::{Phase, Quantile};
use crate::units::Nanos;

/// The latency pass, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Connections per second, the same of all placements.
    pub rate: f64,
    /// Each placement, in the order of the run.
    pub rows: Vec<LatencyRow>,
    /// Findings for each phase, medians in microseconds. Only the whole operation gets a verdict.
    pub findings: Vec<PhaseFinding>,
}

/// A placement at that rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyRow {
    /// The placement.
    pub placement: String,
    /// Phases that it has, in the order in which they come about; the last is the whole operation.
    pub phases: Vec<PhaseTime>,
    /// Cost of each hop, from the client on.
    pub hops: Vec<HopCost>,
    /// Utilisation of the cores by all hops together: 0 to 1.
    pub busy: Option<f64>,
    /// Operations that succeeded.
    pub operations: u64,
}

/// Time of a phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseTime {
    /// The phase, as histograms are named.
    pub phase: &'static str,
    /// Mean of the medians of all rounds, in microseconds.
    pub p50: Option<Estimate>,
    /// 99th percentile over all rounds in microseconds. Not judged.
    pub p99_not_judged: Option<f64>,
}

/// A finding and the phase that it is of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseFinding {
    /// The phase, as histograms are named.
    pub phase: &'static str,
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Latency {
    /// The pass with findings of what was declared, in that order; `None` if there was none.
    pub(super) fn of(record: &LabRecord, findings: Vec<PhaseFinding>) -> Option<Self> {
        let trials = record.trials.iter().filter(|trial| trial.pass == Pass::Latency);
        let rate = trials.clone().find_map(|trial| trial.rate)?;
        Some(Self { rate, rows: trials.map(|trial| row(trial, record)).collect(), findings })
    }
}

fn row(trial: &TrialRecord, record: &LabRecord) -> LatencyRow {
    let phases = PHASES.into_iter().filter_map(|phase| {
        trial.client.histogram(phase)?;
        let medians: Vec<f64> = medians(trial, phase).map(|(_, median)| median).collect();
        // Missed starts are judged by a gate.
        let p99 = trial.client.quantile(phase, 0.99, Nanos::default());
        let p99 = p99.map(|(Quantile::Is(time) | Quantile::AtLeast(time))| time.as_micros_f64());
        Some(PhaseTime { phase: phase.as_str(), p50: mean(&medians), p99_not_judged: p99 })
    });
    LatencyRow {
        placement: trial.placement.clone(),
        phases: phases.collect(),
        hops: hops(trial, record),
        busy: busy(trial, record),
        operations: trial.client.sum(|round| round.succeeded),
    }
}

/// Comparisons that are declared: they follow from the lab alone.
pub(super) fn declared(record: &LabRecord) -> Vec<(&'static str, Comparison)> {
    let mut comparisons = Vec::new();
    for (name, against) in against(record, Workload::Full) {
        let this = record.latency_trial(&name, Workload::Full);
        let other = record.latency_trial(&against, Workload::Full);
        let Some((this, other)) = this.zip(other) else { continue };
        for phase in PHASES.into_iter().filter(|phase| this.client.histogram(*phase).is_some()) {
            let is_whole = phase == WHOLE;
            let comparison = Comparison {
                name: name.clone(),
                against: against.clone(),
                rounds: rounds(other, this, phase),
                // Phases are parts of the whole: words on each would judge the same time several
                // times.
                declared: is_whole,
                spoiled: false,
                margin: is_whole.then_some(MEDIAN_MARGIN),
            };
            comparisons.push((phase.as_str(), comparison));
        }
    }
    comparisons
}

/// Medians in the rounds that both have. Without TLS its phases take no time.
fn rounds(against: &TrialRecord, this: &TrialRecord, phase: Phase) -> Vec<(f64, f64)> {
    if against.client.histogram(phase).is_some() {
        return paired_rounds(medians(against, phase), medians(this, phase));
    }
    // Against zero the difference is the phase itself; a ratio does not exist.
    let nothing = against.client.rounds.iter().map(|round| (round.round, 0.0));
    paired_rounds(nothing, medians(this, phase))
}

/// The median of each round, in microseconds.
fn medians(trial: &TrialRecord, phase: Phase) -> impl Iterator<Item = (u32, f64)> {
    trial.client.rounds.iter().filter_map(move |round| {
        Some((round.round, round.quantiles.get(phase.as_str())?.p50_ns.as_micros_f64()))
    })
}

/// The phases of a connection in the order in which they come about, and the whole of it.
const PHASES: [Phase; 6] =
    [Phase::Connect, Phase::Handshake, Phase::Confirmed, Phase::FirstByte, Phase::LastByte, WHOLE];
/// A connection from when it should have begun to its response's last byte.
const WHOLE: Phase = Phase::Corrected;
