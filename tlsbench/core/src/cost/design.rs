//! What was measured, as equations: a hop in a placement under a workload did so many things for each
//! operation, and took so much CPU time.

use std::collections::BTreeMap;

use super::flow::{Counts, Term, Traffic, flow};
use super::load::factor;
use crate::plan::hop::HopKind;
use crate::plan::lab::{Lab, Pass, Workload};
use crate::plan::placement::Role;
use crate::record::lab::{LabRecord, TrialRecord};

/// One equation: what a hop did for each operation, and what that took.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) role: Role,
    pub(super) kind: HopKind,
    /// What it did, on average over rounds.
    pub(super) counts: Counts,
    /// CPU time in microseconds, round by round.
    pub(super) micros: BTreeMap<u32, f64>,
    /// What it was measured for.
    pub(super) pass: Pass,
    /// How busy the cores were that hops share: 0 to 1.
    pub(super) busy: f64,
}

impl Row {
    /// The same in one round: the mean of all.
    pub(super) fn on_average(&self) -> Self {
        let mean = self.micros.values().sum::<f64>() / self.micros.len().max(1) as f64;
        Self { micros: BTreeMap::from([(0, mean)]), counts: self.counts.clone(), ..*self }
    }

    /// What it would have taken had cores been busy.
    pub(super) fn at_full_load(&self, rise: f64) -> Self {
        let by = factor(rise, self.busy);
        let micros = self.micros.iter().map(|(round, micros)| (*round, micros / by)).collect();
        Self { micros, counts: self.counts.clone(), ..*self }
    }
}

/// All equations of some records.
pub(super) struct Rows(Vec<Row>);

impl Rows {
    pub(super) fn of(records: &[&LabRecord]) -> Self {
        let mut rows = Vec::new();
        for record in records {
            let fitted = record.trials.iter().filter(|trial| trial.workload != Workload::Mix);
            for trial in fitted {
                rows.extend(of_trial(record, trial));
            }
        }
        Self(rows)
    }

    /// Equations by sort of hop, in the order of roles.
    pub(super) fn by_block(self) -> Vec<(Role, HopKind, Vec<Row>)> {
        let mut blocks: BTreeMap<(Role, HopKind), Vec<Row>> = BTreeMap::new();
        for row in self.0 {
            blocks.entry((row.role, row.kind)).or_default().push(row);
        }
        blocks.into_iter().map(|((role, kind), rows)| (role, kind, rows)).collect()
    }
}

/// The equations of one placement under one workload, one for each hop.
pub(super) fn of_trial(record: &LabRecord, trial: &TrialRecord) -> Vec<Row> {
    let Some(placement) = record.placement(&trial.placement) else { return Vec::new() };
    let Some(traffic) = traffic(&record.lab, trial) else { return Vec::new() };
    let busy = busy(record, trial);
    let operations = trial.client.sum(|round| round.succeeded);
    let hops = trial.hops.iter().zip(flow(placement, &traffic));
    hops.map(|(hop, mut counts)| {
        let wakes: u64 = hop.rounds.iter().map(|used| used.usage.voluntary_switches).sum();
        if wakes > 0 {
            counts.insert(Term::Wake, wakes as f64 / operations as f64);
        }
        let micros = trial.client.rounds.iter().filter(|round| round.succeeded > 0);
        let micros = micros.filter_map(|round| {
            let used = hop.rounds.iter().find(|used| used.round == round.round)?;
            let nanos = used.usage.cpu.total.0 as f64;
            Some((round.round, nanos / NANOS_PER_MICRO / round.succeeded as f64))
        });
        let micros = micros.collect();
        Row { role: hop.role, kind: hop.kind, counts, micros, pass: trial.pass, busy }
    })
    .collect()
}

/// What clients did for each operation. Nothing where nothing succeeded.
pub(super) fn traffic(lab: &Lab, trial: &TrialRecord) -> Option<Traffic> {
    let operations = trial.client.sum(|round| round.succeeded);
    let per_operation = |count: u64| count as f64 / operations as f64;
    // Without a pool each request has an upstream connection of its own, whose session is resumed.
    let kappa = if lab.pool == 0 { 1.0 } else { f64::INFINITY };
    (operations > 0).then(|| Traffic {
        connections: per_operation(trial.client.sum(|round| round.connections)),
        full: per_operation(trial.client.sum(|round| round.shape.full)),
        resumed: per_operation(trial.client.sum(|round| round.shape.resumed)),
        requests: 1.0,
        gbit: lab.response_bytes(trial.workload) as f64 * 8.0 / 1e9,
        kappa,
        upstream_resumed: 1.0,
    })
}

/// How busy a trial kept the cores that hops share: 0 to 1.
fn busy(record: &LabRecord, trial: &TrialRecord) -> f64 {
    let wall = trial.client.sum(|round| round.wall_ns.0) as f64;
    let used: f64 = trial.rounds().map(|(.., cpu)| cpu.0 as f64).sum();
    if wall > 0.0 { (used / wall / hop_cores(record)).min(1.0) } else { 0.0 }
}

/// How many cores hops shared.
pub(super) fn hop_cores(record: &LabRecord) -> f64 {
    match record.hop_cores.len() {
        0 => f64::from(record.environment.cores.max(1)),
        some => some as f64,
    }
}

const NANOS_PER_MICRO: f64 = 1_000.0;
