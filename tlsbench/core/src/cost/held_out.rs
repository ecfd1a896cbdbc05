//! A traffic mix that the fit has not seen, chosen from the costs of the first rounds: predictions
//! are compared with what the other rounds measured.
//!
//! Each of those measures the mix beside all that is fitted, and is predicted by its own figures. A
//! machine is not for an hour what it was, so that a mix measured after all else would be held
//! against another machine.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::CostFit;
use super::design::{HopCoreTime, Observation, of_trial};
use crate::lab::{Mix, Pass, Workload};
use crate::placement::Role;
use crate::random::SplitMix64;
use crate::record::lab::{HeldOut, LabRecord, TrialRecord};
use crate::stats::{Estimate, mean};
use crate::units::{MICROS_PER_SECOND, NANOS_PER_MICRO};

/// Predicted beside measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HoldOutCheck {
    /// Hop by hop.
    pub rows: Vec<PredictionCheck>,
    /// Reason why money is withheld; `None` if the fit passed.
    pub unchecked: Option<UncheckedReason>,
}

/// One hop of one placement under the held-out mix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PredictionCheck {
    /// The placement.
    pub placement: String,
    /// The hop.
    pub role: Role,
    /// CPU time that was predicted, in cores, with the interval of the fit.
    pub predicted: Option<Estimate>,
    /// CPU time that was measured, in cores.
    pub measured: f64,
    /// True if they are within 10 % or 0.01 core of each other, whichever is more.
    pub holds: bool,
}

/// Reason why money is withheld.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum UncheckedReason {
    /// Another fit chose the mix.
    OtherFit,
    /// No mix was held out.
    NotMeasured,
    /// The mix was measured in one round, which gives no interval.
    TooFewRounds,
    /// A prediction is off.
    Off {
        /// Predictions that are off.
        rows: usize,
        /// All predictions.
        of: usize,
        /// The worst of them.
        worst: String,
    },
}

/// The mix that a round and those after it measure besides all else, chosen from the CPU times of
/// the rounds before. It differs from every workload of the fit in connections, requests on each
/// and share of resumption, and in the length of responses unless that is 16 KiB.
#[must_use]
pub fn held_out(record: &LabRecord, from_round: u32) -> HeldOut {
    let fit = CostFit::of(&[&before(record, from_round)]);
    let hash = digest(&SHA256, figures(&fit).as_bytes());
    let seed = hash.as_ref().iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
    let mut bits = SplitMix64::new(seed);
    // None of these values is that of a workload, so the mix differs on every axis but response
    // length.
    let mut choose = |from: [u32; 4]| from.get(bits.below(from.len())).copied().unwrap_or(from[0]);
    let mix = Mix {
        connections: choose([6, 10, 20, 24]),
        requests: choose([3, 5, 8, 13]),
        resume: f64::from(choose([25, 40, 60, 75])) / 100.0,
        response_bytes: u64::from(choose([2, 4, 8, 16])) << 10,
    };
    let fit_sha256 = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    HeldOut { fit_sha256, from_round, mix }
}

/// A record as it stood when a round of its CPU pass began.
fn before(record: &LabRecord, round: u32) -> LabRecord {
    let mut record = LabRecord { idle: Vec::new(), ..record.clone() };
    // The mix has to follow from rounds before it, or the check would have seen its own answer.
    record.trials.retain(|trial| trial.pass == Pass::Cpu);
    for trial in &mut record.trials {
        trial.client.rounds.retain(|of| of.round < round);
        trial.hops.iter_mut().for_each(|hop| hop.rounds.retain(|of| of.round < round));
    }
    record
}

/// The figures as a text: to four digits, for the last ones differ between machines.
fn figures(fit: &CostFit) -> String {
    let mut text = String::new();
    for block in &fit.blocks {
        for cost in &block.terms {
            let (role, kind, term) = (block.role, block.kind, cost.term);
            let micros =
                cost.micros.map_or_else(|| "-".to_owned(), |of| format!("{:.3e}", of.value));
            text.push_str(&format!("{role} {kind} {term} {micros}\n"));
        }
    }
    text
}

/// Holds a fit against the mix that it chose, as a record of several measured it.
#[must_use]
pub fn check(fit: &CostFit, records: &[&LabRecord]) -> HoldOutCheck {
    let none = |unchecked| HoldOutCheck { rows: Vec::new(), unchecked: Some(unchecked) };
    let found = records.iter().find_map(|record| Some((record, record.held_out.as_ref()?)));
    let Some((record, chosen)) = found else { return none(UncheckedReason::NotMeasured) };
    // Of the record itself: others may have been named beside it since.
    let own = held_out(record, chosen.from_round);
    if own != *chosen || record.lab.mix != chosen.mix {
        return none(UncheckedReason::OtherFit);
    }
    let mixes = record.trials.iter().filter(|trial| trial.workload == Workload::Mix);
    // One round gives no interval to be within.
    let is_once = mixes.clone().all(|trial| trial.client.rounds.len() < 2);
    let rows: Vec<PredictionCheck> = mixes.flat_map(|trial| rows(fit, record, trial)).collect();
    let wrong: Vec<&PredictionCheck> = rows.iter().filter(|row| !row.holds).collect();
    let worst = wrong.iter().max_by(|a, b| a.off().total_cmp(&b.off()));
    let unchecked = match worst {
        _ if rows.is_empty() => Some(UncheckedReason::NotMeasured),
        Some(_) if is_once => Some(UncheckedReason::TooFewRounds),
        Some(worst) => {
            let (rows, of) = (wrong.len(), rows.len());
            Some(UncheckedReason::Off { rows, of, worst: worst.to_string() })
        }
        None => None,
    };
    HoldOutCheck { rows, unchecked }
}

fn rows(fit: &CostFit, record: &LabRecord, trial: &TrialRecord) -> Vec<PredictionCheck> {
    let wall = trial.client.sum(|round| round.wall_ns.0) as f64;
    let rate = trial.client.sum(|round| round.succeeded) as f64 * 1e9 / wall;
    let operations = trial.client.sum(|round| round.succeeded) as f64;
    let cores = HopCoreTime::of(record, trial);
    let mut hops = of_trial(record, trial);
    // How often a hop is woken up follows from its neighbours and the machine, and is taken as it
    // was. How busy cores are then is predicted, which again says what being woken up costs.
    let mut busy = 1.0;
    for _ in 0..BUSY_STEPS {
        let micros = hops.iter_mut().map(|hop| {
            hop.be_woken_up_at(busy);
            predicted(fit, hop).map_or(0.0, |micros| micros.value)
        });
        let micros: f64 = micros.sum();
        busy = cores.busy(micros * operations * NANOS_PER_MICRO);
    }
    let hops = trial.hops.iter().zip(&hops);
    hops.map(|(hop, row)| {
        let cores = predicted(fit, row).map(|micros| micros.scaled(rate / MICROS_PER_SECOND));
        let used = hop.rounds.iter().map(|round| round.usage.cpu.total.0).sum::<u64>();
        let measured = used as f64 / wall;
        let holds = cores.is_some_and(|cores| {
            // An idle hop uses so little that 10 % of it are less than a tick.
            (cores.value - measured).abs() <= (measured * OFF_MAX).max(OFF_CORES_MAX)
        });
        let placement = trial.placement.clone();
        PredictionCheck { placement, role: row.role, predicted: cores, measured, holds }
    })
    .collect()
}

/// CPU time of a hop for each operation in microseconds, by the figures of the rounds that it was
/// seen in.
fn predicted(fit: &CostFit, row: &Observation) -> Option<Estimate> {
    let all = fit.rounds(row.role, row.kind, &row.counts).ok()?;
    let same = all.into_iter().filter(|(round, _)| row.micros.contains_key(round));
    mean(&same.map(|(_, micros)| micros).collect::<Vec<f64>>())
}

impl PredictionCheck {
    /// Relative error of the prediction.
    fn off(&self) -> f64 {
        let off = |cores: Estimate| (cores.value / self.measured - 1.0).abs();
        self.predicted.map_or(f64::INFINITY, off)
    }
}

impl fmt::Display for PredictionCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { placement, role, measured, .. } = self;
        match &self.predicted {
            Some(Estimate { value, .. }) => {
                write!(f, "{placement}, {role}: {value:.3} cores predicted, {measured:.3} measured")
            }
            None => write!(f, "{placement}, {role}: no prediction, {measured:.3} cores measured"),
        }
    }
}

impl fmt::Display for UncheckedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMeasured => f.write_str(
                "the costs were not checked against a held-out mix; measure with \
                 `tlsbench run --thorough`",
            ),
            Self::TooFewRounds => {
                f.write_str("the held-out mix was measured in one round; measure in four or more")
            }
            Self::OtherFit => f.write_str(
                "the mix was chosen by other costs than these, so that the record was edited, or \
                 another version of tlsbench measured it; measure again",
            ),
            Self::Off { rows, of, worst } => write!(
                f,
                "{rows} of {of} predictions of a mix are off by more than 10 % and 0.01 core \
                 ({worst}), so that these costs do not add up"
            ),
        }
    }
}

/// Each step leaves at most half of what it was off: being woken up is less than half of all work.
const BUSY_STEPS: u32 = 20;
/// Largest relative error that a prediction may have.
const OFF_MAX: f64 = 0.10;
/// Largest absolute error that it may have in any case, in cores: a tick of 10 ms in a second.
const OFF_CORES_MAX: f64 = 0.01;
