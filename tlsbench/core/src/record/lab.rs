//! The record of a run over placements: what clients and hops did in each slice.

use serde::{Deserialize, Serialize};

use super::{Environment, Note, RecordError, SCHEMA, TargetRecord};
use crate::hop::{EngineCounters, HopKind};
use crate::lab::{EngineName, Lab, Mix, Pass, Workload};
use crate::placement::{Placement, Role};
use crate::units::Nanos;
use crate::usage::{Memory, Rest, Usage};
use crate::words::words;

/// A run over placements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabRecord {
    /// The version of this format, [`SCHEMA`].
    pub schema: u32,
    /// Kind of record: `placements`.
    pub kind: String,
    /// The program that wrote it, and its version.
    pub program: String,
    /// Begin of the run: RFC 3339, in UTC with `Z`.
    pub started: String,
    /// End of the run: RFC 3339, in UTC with `Z`.
    pub ended: String,
    /// True if every round was measured.
    pub complete: bool,
    /// Reason why the run was interrupted, if it was.
    pub interrupted: Option<String>,
    /// The lab that was asked for.
    pub lab: Lab,
    /// Environment of the run.
    pub environment: Environment,
    /// Events during the run that may matter, in order.
    pub notes: Vec<Note>,
    /// Cores that the load generator kept to; none where it had no core to itself.
    pub generator_cores: Vec<u32>,
    /// Cores that hops kept to.
    pub hop_cores: Vec<u32>,
    /// Process that the kernel charged for receiving packets.
    #[serde(default)]
    pub receiving: Receiving,
    /// CPU time of other processes.
    pub others: Option<OtherProcesses>,
    /// Results of the pilot for each placement.
    pub pilot: Vec<PilotRecord>,
    /// Trials: each placement under each workload that suits it, and in the latency pass.
    pub trials: Vec<TrialRecord>,
    /// Memory and CPU time of idle connections.
    pub idle: Vec<IdleRecord>,
    /// The mix that was held out of the cost model to check it.
    #[serde(default)]
    pub held_out: Option<HeldOut>,
}

/// Process that is charged for receiving packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Receiving {
    /// The sender: the kernel delivers packets in its context.
    #[default]
    Sender,
    /// The receiver: a thread of the kernel delivers packets, and is counted with the receiver.
    Receiver,
}

/// A mix that the costs of the first rounds chose, measured in the others to check costs with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// SHA-256 of the costs of earlier rounds, in hexadecimal.
    pub fit_sha256: String,
    /// The first round that measured the mix, beside all else.
    #[serde(default)]
    pub from_round: u32,
    /// The mix that follows from it.
    pub mix: Mix,
}

/// A placement before the rounds, under full handshakes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PilotRecord {
    /// The placement's name.
    pub placement: String,
    /// Operations per second.
    pub operations_per_second: f64,
    /// Utilisation of the generator's busiest thread: 0 to 1.
    pub generator_share: f64,
    /// CPU time of each hop per operation in nanoseconds, from the client on.
    pub hops_ns: Vec<f64>,
}

/// A placement's hops with connections that stand and do nothing, read once: their memory, and the
/// CPU time that they take all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdleRecord {
    /// The placement's name.
    pub placement: String,
    /// The reading, from 0; for each, hops are started afresh.
    #[serde(default)]
    pub round: u32,
    /// Idle connections, each after one request.
    pub connections: u32,
    /// Hops, from the client on.
    pub hops: Vec<IdleHop>,
}

/// A hop with and without idle connections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdleHop {
    /// Role.
    pub role: Role,
    /// Resident before there was any connection.
    pub before_bytes: u64,
    /// Resident while they stood.
    pub after_bytes: u64,
    /// The difference for each of them, however many the hop had open upstream.
    pub bytes_per_connection: f64,
    /// CPU time while the connections were idle; `None` in older records, and where a process ended
    /// meanwhile.
    #[serde(default)]
    pub rest: Option<Rest>,
}

/// CPU time of other processes over the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherProcesses {
    /// All of it, as a part of what the machine had: 0 to 1.
    pub share: f64,
    /// The name of the process that used most.
    pub top: String,
    /// CPU time of it, in nanoseconds.
    pub top_ns: Nanos,
}

/// One placement under one workload, over all rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// The placement's name.
    pub placement: String,
    /// The workload.
    pub workload: Workload,
    /// Kind of measurement.
    pub pass: Pass,
    /// Connections per second that were asked for in the latency pass; `None` in the CPU pass.
    pub rate: Option<f64>,
    /// Scenario that the load engine ran, TOML.
    pub scenario: String,
    /// Results at the client.
    pub client: TargetRecord,
    /// Counts of the client in each round, the warm-up included: the other side of the hops'
    /// counters.
    #[serde(default)]
    pub made: Vec<MadeRound>,
    /// Hops, from the client on.
    pub hops: Vec<HopRecord>,
}

/// A hop of a placement under one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HopRecord {
    /// Role.
    pub role: Role,
    /// Kind.
    pub kind: HopKind,
    /// Engine.
    pub engine: EngineName,
    /// Differences between the request and what the engine does.
    pub notes: Vec<String>,
    /// Usage of each of the client's rounds.
    pub rounds: Vec<HopRound>,
}

/// Usage of a hop in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopRound {
    /// The round, from 0.
    pub round: u32,
    /// CPU time, waiting and switches.
    #[serde(flatten)]
    pub usage: Usage,
    /// Memory at its end.
    #[serde(flatten)]
    pub memory: Memory,
    /// Counters of its engine from the first connection to the last, the warm-up included; `None`
    /// if it has none.
    #[serde(default)]
    pub counted: Option<EngineCounters>,
}

/// Counts of a client in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRound {
    /// The round, from 0.
    pub round: u32,
    /// Connections, handshakes and requests.
    pub made: EngineCounters,
    /// Operations that failed, of which a hop may have counted a part.
    pub failed: u64,
}

impl LabRecord {
    /// The kind of these records.
    pub const KIND: &str = "placements";

    /// Reads a record.
    ///
    /// # Errors
    /// When it is none, or one of another schema.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_str(text).map_err(RecordError::Read)?;
        match record.schema {
            SCHEMA => Ok(record),
            seen => Err(RecordError::Schema { seen: seen.into() }),
        }
    }

    /// The record as JSON.
    ///
    /// # Errors
    /// When a number cannot be written, which no finite one is.
    pub fn to_json(&self) -> Result<String, RecordError> {
        serde_json::to_string_pretty(self).map_err(RecordError::Read)
    }

    /// The trial of a placement's CPU time under a workload.
    #[must_use]
    pub fn trial(&self, placement: &str, workload: Workload) -> Option<&TrialRecord> {
        self.find(placement, workload, Pass::Cpu)
    }

    /// The trial of a placement's latency under a workload.
    #[must_use]
    pub fn latency_trial(&self, placement: &str, workload: Workload) -> Option<&TrialRecord> {
        self.find(placement, workload, Pass::Latency)
    }

    fn find(&self, placement: &str, workload: Workload, pass: Pass) -> Option<&TrialRecord> {
        self.trials.iter().find(|trial| {
            trial.placement == placement && trial.workload == workload && trial.pass == pass
        })
    }

    /// The slowest placement under full handshakes, and the connections that it made per second: in
    /// the CPU pass, or before the rounds where that pass has none. `None` if one made none.
    #[must_use]
    pub fn ceiling(&self) -> Option<(String, f64)> {
        let of_trial = |trial: &TrialRecord| {
            let wall: f64 =
                trial.client.rounds.iter().map(|round| round.wall_ns.as_secs_f64()).sum();
            let made = trial.client.sum(|round| round.succeeded) as f64;
            (trial.placement.clone(), if wall > 0.0 { made / wall } else { 0.0 })
        };
        let is_full =
            |trial: &&TrialRecord| (trial.workload, trial.pass) == (Workload::Full, Pass::Cpu);
        let in_pass: Vec<(String, f64)> =
            self.trials.iter().filter(is_full).map(of_trial).collect();
        let seen = self.pilot.iter();
        let in_pilot = seen.map(|seen| (seen.placement.clone(), seen.operations_per_second));
        let all = if in_pass.is_empty() { in_pilot.collect() } else { in_pass };
        let slowest = all.into_iter().min_by(|(_, a), (_, b)| a.total_cmp(b));
        slowest.filter(|(_, rate)| *rate > 0.0)
    }

    /// A placement of the run.
    #[must_use]
    pub fn placement(&self, name: &str) -> Option<&Placement> {
        self.lab.placements.iter().find(|placement| placement.name == name)
    }
}

impl TrialRecord {
    /// Name in gates and in the load engine: placement and workload, and the pass unless it is the
    /// CPU pass.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.client.name
    }

    /// Rounds: index, operations that succeeded, and CPU time of all hops together.
    pub fn rounds(&self) -> impl Iterator<Item = (u32, u64, Nanos)> + '_ {
        self.client.rounds.iter().map(|round| {
            let of_round = self.hops.iter().flat_map(|hop| &hop.rounds);
            let used = of_round.filter(|used| used.round == round.round);
            let cpu = used.fold(Nanos(0), |sum, used| sum + used.usage.cpu.total);
            (round.round, round.succeeded, cpu)
        })
    }
}

words!(Receiving { Sender = "sender", Receiver = "receiver" });
