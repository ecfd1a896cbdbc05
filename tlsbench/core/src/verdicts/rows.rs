//! Cost and utilisation of hops, placement by placement: figures without verdicts.

use serde::Serialize;

use crate::hop::HopKind;
use crate::lab::{EngineName, Workload};
use crate::placement::Role;
use crate::record::lab::{HopRecord, LabRecord, TrialRecord};
use crate::scenario::{Draft, Load};
use crate::stats::{Estimate, ratio_of_sums};
use crate::units::{NANOS_PER_MICRO, Nanos};

/// One placement under one workload. Times are microseconds of CPU time per operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkloadCost {
    /// The placement.
    pub placement: String,
    /// The workload.
    pub workload: Workload,
    /// The loop in which it was measured: CPU time per operation is another at another load.
    #[serde(rename = "loop")]
    pub load: String,
    /// Cost of each hop, from the client on.
    pub hops: Vec<HopCost>,
    /// Cost of all hops together.
    pub total: Option<Estimate>,
    /// Utilisation of the cores by all hops together: 0 to 1.
    pub busy: Option<f64>,
    /// Cost of the load generator.
    pub client: Option<Estimate>,
    /// Utilisation of the generator's busiest thread: 0 to 1.
    pub client_busy: Option<f64>,
    /// Gbit that one core of hops moves in a second, of bulk workloads: bytes that the client got.
    pub gbit_per_core: Option<Estimate>,
    /// Operations that succeeded.
    pub operations: u64,
    /// Rounds that were measured.
    pub rounds: u32,
}

/// Cost of a hop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopCost {
    /// Role.
    pub role: Role,
    /// Kind.
    pub kind: HopKind,
    /// Engine.
    pub engine: EngineName,
    /// CPU time per operation, microseconds.
    pub cost: Option<Estimate>,
    /// Utilisation by it of the cores that all hops share: 0 to 1.
    pub busy: Option<f64>,
}

impl WorkloadCost {
    /// Computes the costs of a trial.
    #[must_use]
    pub fn of(trial: &TrialRecord, record: &LabRecord) -> Self {
        let per_operation = |used: &dyn Fn(u32) -> f64| {
            let rounds = trial.client.rounds.iter();
            let pairs: Vec<(f64, f64)> = rounds
                .map(|round| (used(round.round) / NANOS_PER_MICRO, round.succeeded as f64))
                .collect();
            ratio_of_sums(&pairs)
        };
        let client = |round| {
            let rounds = trial.client.rounds.iter().filter(|seen| seen.round == round);
            rounds.map(|seen| seen.cpu.total.0 as f64).sum()
        };
        Self {
            placement: trial.placement.clone(),
            workload: trial.workload,
            load: load(trial),
            hops: hops(trial, record),
            total: per_operation(&|round| all_hops(trial, round)),
            busy: busy(trial, record),
            client: per_operation(&client),
            client_busy: share(
                trial.client.rounds.iter().map(|round| round.busiest_thread_ns),
                wall(trial),
            ),
            gbit_per_core: trial.workload.is_bulk().then(|| gbit_per_core(trial)).flatten(),
            operations: trial.client.sum(|round| round.succeeded),
            rounds: u32::try_from(trial.client.rounds.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Cost and utilisation of each hop of a trial.
pub(super) fn hops(trial: &TrialRecord, record: &LabRecord) -> Vec<HopCost> {
    let cost = |hop: &HopRecord| {
        let rounds = trial.client.rounds.iter();
        let pairs: Vec<(f64, f64)> = rounds
            .map(|round| {
                let used = hop.rounds.iter().filter(|used| used.round == round.round);
                let used: f64 = used.map(|used| used.usage.cpu.total.0 as f64).sum();
                (used / NANOS_PER_MICRO, round.succeeded as f64)
            })
            .collect();
        ratio_of_sums(&pairs)
    };
    let all = trial.hops.iter().map(|hop| HopCost {
        role: hop.role,
        kind: hop.kind,
        engine: hop.engine,
        cost: cost(hop),
        busy: share(
            hop.rounds.iter().map(|used| used.usage.cpu.total),
            wall(trial) * cores(record),
        ),
    });
    all.collect()
}

/// Utilisation of the cores by all hops together.
pub(super) fn busy(trial: &TrialRecord, record: &LabRecord) -> Option<f64> {
    share(trial.rounds().map(|(.., cpu)| cpu), wall(trial) * cores(record))
}

fn share(used: impl Iterator<Item = Nanos>, had: f64) -> Option<f64> {
    let used = used.fold(Nanos(0), |sum, used| sum + used);
    (had > 0.0).then_some(used.0 as f64 / had)
}

fn wall(trial: &TrialRecord) -> f64 {
    trial.client.rounds.iter().map(|round| round.wall_ns.0 as f64).sum()
}

/// Cores that hops had: all of them if they shared the generator's.
fn cores(record: &LabRecord) -> f64 {
    match record.hop_cores.len() {
        // Hops without cores of their own may use all of the machine's.
        0 => f64::from(record.environment.cores.max(1)),
        some => some as f64,
    }
}

fn all_hops(trial: &TrialRecord, round: u32) -> f64 {
    trial.rounds().filter(|(seen, ..)| *seen == round).map(|(.., cpu)| cpu.0 as f64).sum()
}

fn gbit_per_core(trial: &TrialRecord) -> Option<Estimate> {
    let rounds = trial.client.rounds.iter();
    let pairs: Vec<(f64, f64)> = rounds
        .map(|round| {
            let gbit = round.bytes_read as f64 * BITS / GIGA;
            (gbit, all_hops(trial, round.round) / GIGA)
        })
        .collect();
    ratio_of_sums(&pairs)
}

/// The loop in words. A record that was edited says nothing of it.
fn load(trial: &TrialRecord) -> String {
    let scenario = Draft::from_toml(&trial.scenario).ok().and_then(|draft| draft.finish().ok());
    match scenario.map(|scenario| scenario.load) {
        Some(Load::Closed { connections, requests_per_connection }) => {
            let each = match requests_per_connection {
                Some(requests) if requests.get() == 1 => ", 1 request each".to_owned(),
                Some(requests) => format!(", {requests} requests each"),
                None => " that are kept".to_owned(),
            };
            format!("closed loop of {connections} connections{each}")
        }
        Some(Load::Open { rate, .. }) => format!("open loop at {:.0} per second", rate.as_f64()),
        None => "unknown loop".to_owned(),
    }
}

const BITS: f64 = 8.0;
/// Nanoseconds of a second, and bits of a gigabit.
const GIGA: f64 = 1e9;
