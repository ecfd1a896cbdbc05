//! What was measured, as equations: a hop in a placement under a workload did so many things for each
//! operation, and took so much CPU time.

use std::collections::BTreeMap;

use super::flow::{Counts, Traffic, flow};
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
}

/// All equations of some records.
pub(super) struct Rows(Vec<Row>);

impl Rows {
    pub(super) fn of(records: &[&LabRecord]) -> Self {
        let mut rows = Vec::new();
        for record in records {
            let fitted = record
                .trials
                .iter()
                .filter(|trial| trial.pass == Pass::Cpu && trial.workload != Workload::Mix);
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
    let hops = trial.hops.iter().zip(flow(placement, &traffic));
    hops.map(|(hop, counts)| {
        let micros = trial.client.rounds.iter().filter(|round| round.succeeded > 0);
        let micros = micros.filter_map(|round| {
            let used = hop.rounds.iter().find(|used| used.round == round.round)?;
            let nanos = used.usage.cpu.total.0 as f64;
            Some((round.round, nanos / NANOS_PER_MICRO / round.succeeded as f64))
        });
        Row { role: hop.role, kind: hop.kind, counts, micros: micros.collect() }
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

const NANOS_PER_MICRO: f64 = 1_000.0;
