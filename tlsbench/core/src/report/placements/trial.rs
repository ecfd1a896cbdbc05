//! One placement under one workload, as reports write it down.

use serde::Serialize;

use super::super::{TargetReport, number};
use super::{nanos, scaled};
use crate::hop::HopKind;
use crate::lab::{EngineName, Pass, Workload};
use crate::placement::Role;
use crate::record::lab::{HopRecord, TrialRecord};
use crate::scenario::{Draft, Load};
use crate::stats::Estimate;
use crate::units::Nanos;
use crate::verdicts::{HopCost, LatencyRow, PhaseTime, WorkloadCost};
use crate::warning::Gate;

/// One placement under one workload. CPU times are per operation that succeeded, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialReport {
    /// The placement.
    pub placement: String,
    /// The workload.
    pub workload: Workload,
    /// Kind of measurement: CPU time in a closed loop, or latency in an open one.
    pub pass: Pass,
    /// Connections per second that were asked for; `None` in the CPU pass.
    pub rate: Option<f64>,
    /// The loop in which it was measured: figures are others at another load.
    #[serde(rename = "loop")]
    pub load: String,
    /// Operation: a connection or a request.
    pub operation: &'static str,
    /// CPU time of all hops together.
    pub cpu_ns_per_operation: Option<Estimate>,
    /// Cores that all hops together use at 1,000 operations per second, if CPU time per operation
    /// stays what it was.
    pub cores_at_1000_per_second: Option<Estimate>,
    /// Utilisation of the cores by all hops together: 0 to 1.
    pub busy: Option<f64>,
    /// Utilisation of the generator's busiest thread: 0 to 1.
    pub client_busy: Option<f64>,
    /// Gbit that one core of hops moves in a second, of bulk workloads.
    pub gbit_per_core: Option<Estimate>,
    /// Hops, from the client on.
    pub hops: Vec<HopReport>,
    /// Medians of each phase in the latency pass, as means over rounds.
    pub medians: Vec<MedianReport>,
    /// Results at the clients.
    pub client: TargetReport,
}

/// Median time of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MedianReport {
    /// The phase, as records spell it.
    pub phase: &'static str,
    /// Mean of the medians of all rounds, in nanoseconds.
    pub p50_ns: Option<Estimate>,
}

/// Usage of a hop in a trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopReport {
    /// Role.
    pub role: Role,
    /// Kind.
    pub kind: HopKind,
    /// Engine.
    pub engine: EngineName,
    /// CPU time.
    pub cpu_ns_per_operation: Option<Estimate>,
    /// Utilisation by it of the cores that all hops share: 0 to 1.
    pub busy: Option<f64>,
    /// The part of its CPU time in its own code, the rest being the kernel's; `None` if no tick was
    /// counted.
    pub user_share: Option<f64>,
    /// The most memory that it had resident in any round.
    pub peak_bytes: u64,
    /// Differences between the request and what the engine does.
    pub notes: Vec<String>,
}

impl TrialReport {
    pub(super) fn new(
        trial: &TrialRecord,
        row: WorkloadCost,
        latency: Option<&LatencyRow>,
        gates: &[Gate],
    ) -> Self {
        let phases = latency.iter().flat_map(|row| &row.phases);
        let median =
            |time: &PhaseTime| MedianReport { phase: time.phase, p50_ns: time.p50.map(nanos) };
        Self {
            placement: trial.placement.clone(),
            workload: trial.workload,
            pass: trial.pass,
            rate: trial.rate,
            load: row.load,
            operation: trial.workload.operation(),
            cpu_ns_per_operation: row.total.map(nanos),
            cores_at_1000_per_second: row.total.map(|micros| scaled(micros, CORES_PER_MICRO)),
            busy: row.busy,
            client_busy: row.client_busy,
            gbit_per_core: row.gbit_per_core,
            hops: trial.hops.iter().map(|hop| HopReport::new(hop, &row.hops)).collect(),
            medians: phases.map(median).collect(),
            client: TargetReport::new(&trial.client, wait_max(trial), gates),
        }
    }
}

impl TrialReport {
    /// The workload, and the rate where one was asked for: `full at 1,200/s`.
    #[must_use]
    pub fn under(&self) -> String {
        match self.rate {
            Some(rate) => format!("{} at {}/s", self.workload, number(rate.round() as u64)),
            None => self.workload.to_string(),
        }
    }
}

/// The longest that a start might wait; none in closed loops.
fn wait_max(trial: &TrialRecord) -> Nanos {
    let scenario = Draft::from_toml(&trial.scenario).ok().and_then(|draft| draft.finish().ok());
    match scenario.map(|scenario| scenario.load) {
        Some(Load::Open { wait_max, .. }) => wait_max,
        Some(Load::Closed { .. }) | None => Nanos::default(),
    }
}

impl HopReport {
    fn new(hop: &HopRecord, costs: &[HopCost]) -> Self {
        let cost = costs.iter().find(|cost| cost.role == hop.role);
        let sum = |of: &dyn Fn(usize) -> Nanos| {
            (0..hop.rounds.len()).fold(Nanos(0), |sum, index| sum + of(index)).0 as f64
        };
        let cpu = |index: usize| hop.rounds.get(index).map(|round| round.usage.cpu);
        let user = sum(&|index| cpu(index).unwrap_or_default().user);
        let ticks = user + sum(&|index| cpu(index).unwrap_or_default().system);
        Self {
            role: hop.role,
            kind: hop.kind,
            engine: hop.engine,
            cpu_ns_per_operation: cost.and_then(|cost| cost.cost).map(nanos),
            busy: cost.and_then(|cost| cost.busy),
            user_share: (ticks > 0.0).then_some(user / ticks),
            peak_bytes: hop.rounds.iter().map(|round| round.memory.peak_bytes).max().unwrap_or(0),
            notes: hop.notes.clone(),
        }
    }
}

/// 1,000 operations a second of 1 µs each are 1 ms in a second.
const CORES_PER_MICRO: f64 = 1e-3;
