//! How costs rise when cores are less busy: the same work takes up to twice the CPU time then.

use serde::Serialize;

use super::design::of_trial;
use super::{Fit, Row};
use crate::plan::hop::HopKind;
use crate::plan::lab::{Pass, Workload};
use crate::plan::placement::Role;
use crate::record::lab::{LabRecord, TrialRecord};
use crate::stats::{Estimate, mean};

/// Costs at the load of the latency pass, beside those of closed loops, which are the fit's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LoadPoint {
    /// How busy the hops' cores were in the latency pass: 0 to 1.
    pub busy: f64,
    /// How busy they were in the closed loops.
    pub busy_closed: f64,
    /// How many times as much CPU time the same took in the latency pass.
    pub factor: Estimate,
}

impl LoadPoint {
    /// How many times as much the same takes where cores are so busy: in a straight line between the
    /// two loads that were measured, and not beyond them.
    #[must_use]
    pub fn factor_at(&self, busy: f64) -> f64 {
        let span = self.busy_closed - self.busy;
        let part = if span > 0.0 { (busy - self.busy) / span } else { 1.0 };
        let part = part.clamp(0.0, 1.0);
        self.factor.value * (1.0 - part) + part
    }
}

/// Adds the load to each sort of hop that the latency pass measured.
pub(super) fn add(fit: &mut Fit, records: &[&LabRecord]) {
    let points: Vec<Option<LoadPoint>> =
        fit.blocks.iter().map(|block| point(fit, records, block.role, block.kind)).collect();
    for (block, point) in fit.blocks.iter_mut().zip(points) {
        block.load = point;
    }
}

fn point(fit: &Fit, records: &[&LabRecord], role: Role, kind: HopKind) -> Option<LoadPoint> {
    let block = fit.block(role, kind)?;
    let (mut factors, mut busy, mut closed) = (Vec::new(), Vec::new(), Vec::new());
    for record in records {
        let latency = record.trials.iter().filter(|trial| trial.pass == Pass::Latency);
        for trial in latency {
            let rows = of_trial(record, trial).into_iter();
            for Row { counts, micros, .. } in
                rows.filter(|row| (row.role, row.kind) == (role, kind))
            {
                let Ok(fitted) = block.predict(&counts) else { continue };
                let seen = micros.values().sum::<f64>() / micros.len() as f64;
                if fitted.value > 0.0 && seen > 0.0 {
                    factors.push(seen / fitted.value);
                    busy.extend(business(record, trial));
                    let beside = record.trial(&trial.placement, Workload::Full);
                    closed.extend(beside.and_then(|beside| business(record, beside)));
                }
            }
        }
    }
    let average = |values: &[f64]| mean(values).map(|all| all.value);
    let factor = mean(&factors)?;
    Some(LoadPoint { busy: average(&busy)?, busy_closed: average(&closed)?, factor })
}

/// How busy a trial kept the cores that hops share: 0 to 1.
fn business(record: &LabRecord, trial: &TrialRecord) -> Option<f64> {
    let wall = trial.client.sum(|round| round.wall_ns.0) as f64;
    let used: f64 = trial.rounds().map(|(.., cpu)| cpu.0 as f64).sum();
    let cores = match record.hop_cores.len() {
        0 => f64::from(record.environment.cores.max(1)),
        some => some as f64,
    };
    (wall > 0.0).then(|| used / wall / cores)
}
