//! Observations for the fit: the counts of each term per operation of a hop in a placement under a
//! workload, and the CPU time that they took.

use std::collections::BTreeMap;

use super::flow::{Term, TermCounts, Traffic, flow};
use super::rest::{AtRest, Readings};
use crate::hop::HopKind;
use crate::lab::{Lab, Workload};
use crate::placement::Role;
use crate::record::lab::{LabRecord, TrialRecord};
use crate::units::Nanos;

/// One equation: what a hop did for each operation, and what that took.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observation {
    pub(super) role: Role,
    pub(super) kind: HopKind,
    /// Counts per operation, on average over rounds.
    pub(super) counts: TermCounts,
    /// CPU time in microseconds, round by round.
    pub(super) micros: BTreeMap<u32, f64>,
}

impl Observation {
    /// Takes cores to be so busy whenever the hop is woken up.
    pub(super) fn be_woken_up_at(&mut self, busy: f64) {
        let idle = (1.0 - busy) * self.counts.get(&Term::Wake).copied().unwrap_or_default();
        if idle > 0.0 {
            self.counts.insert(Term::IdleWake, idle);
        } else {
            self.counts.remove(&Term::IdleWake);
        }
    }
}

/// All that was measured of a sort of hop.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct HopObservations {
    pub(super) rows: Vec<Observation>,
    pub(super) rest: AtRest,
}

/// All equations of some records.
pub(super) struct Observations(Vec<Observation>);

impl Observations {
    pub(super) fn of(records: &[&LabRecord]) -> Self {
        let mut rows = Vec::new();
        for record in records {
            // The mix is what checks the fit; it must not enter it.
            let fitted = record.trials.iter().filter(|trial| trial.workload != Workload::Mix);
            for trial in fitted {
                rows.extend(of_trial(record, trial));
            }
        }
        Self(rows)
    }

    /// Equations by sort of hop, in the order of roles.
    pub(super) fn by_block(self, rests: &Readings) -> Vec<((Role, HopKind), HopObservations)> {
        let mut blocks: BTreeMap<(Role, HopKind), HopObservations> = BTreeMap::new();
        for row in self.0 {
            blocks.entry((row.role, row.kind)).or_default().rows.push(row);
        }
        for (name, block) in &mut blocks {
            block.rest = rests.get(name).cloned().unwrap_or_default();
        }
        blocks.into_iter().collect()
    }
}

/// The equations of one placement under one workload, one for each hop.
pub(super) fn of_trial(record: &LabRecord, trial: &TrialRecord) -> Vec<Observation> {
    let Some(placement) = record.placement(&trial.placement) else { return Vec::new() };
    let Some(traffic) = traffic(&record.lab, trial) else { return Vec::new() };
    let busy = HopCoreTime::of(record, trial).busy(hops_cpu(trial));
    let operations = trial.client.sum(|round| round.succeeded);
    let wall = Nanos(trial.client.sum(|round| round.wall_ns.0)).as_secs_f64();
    let hops = trial.hops.iter().zip(flow(placement, &traffic));
    hops.map(|(hop, mut counts)| {
        // At rest a hop costs time and not operations: seconds per operation turn it into one more
        // term.
        counts.insert(Term::Rest, wall / operations as f64);
        let wakes: u64 = hop.rounds.iter().map(|used| used.usage.voluntary_switches).sum();
        if wakes > 0 {
            let wakes = wakes as f64 / operations as f64;
            counts.insert(Term::Wake, wakes);
            // A relay looks at both of its sides whenever one wakes it up, which costs more.
            if !hop.kind.speaks_http() {
                counts.insert(Term::RelayWake, wakes);
            }
        }
        let micros = trial.client.rounds.iter().filter(|round| round.succeeded > 0);
        let micros = micros.filter_map(|round| {
            let used = hop.rounds.iter().find(|used| used.round == round.round)?;
            Some((round.round, used.usage.cpu.total.as_micros_f64() / round.succeeded as f64))
        });
        let micros = micros.collect();
        let mut row = Observation { role: hop.role, kind: hop.kind, counts, micros };
        row.be_woken_up_at(busy);
        row
    })
    .collect()
}

/// Traffic of the clients per operation; `None` if nothing succeeded.
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

/// Cores that hops have in a trial.
#[derive(Clone, Copy, Debug)]
pub(super) struct HopCoreTime {
    /// Nanoseconds of them.
    have: f64,
    /// CPU time of the client among them.
    client: f64,
}

impl HopCoreTime {
    pub(super) fn of(record: &LabRecord, trial: &TrialRecord) -> Self {
        let wall = trial.client.sum(|round| round.wall_ns.0) as f64;
        // Where hops have no cores of their own, the client is on theirs, too.
        let (cores, client) = match record.hop_cores.len() {
            0 => (record.environment.cores.max(1), trial.client.sum(|round| round.cpu.total.0)),
            cores => (u32::try_from(cores).unwrap_or(u32::MAX), 0),
        };
        Self { have: wall * f64::from(cores), client: client as f64 }
    }

    /// Utilisation of the cores if hops take this many nanoseconds of CPU time: 0 to 1.
    pub(super) fn busy(&self, hops: f64) -> f64 {
        let busy = (hops + self.client) / self.have;
        if busy.is_finite() { busy.min(1.0) } else { 0.0 }
    }
}

/// CPU time of all hops of a trial in nanoseconds.
fn hops_cpu(trial: &TrialRecord) -> f64 {
    trial.rounds().map(|(.., cpu)| cpu.0 as f64).sum()
}
