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
    /// Which kind of record it is: `placements`.
    pub kind: String,
    /// The program that wrote it, and its version.
    pub program: String,
    /// When the run began: RFC 3339, in UTC with `Z`.
    pub started: String,
    /// When it ended, likewise.
    pub ended: String,
    /// Whether every round was measured.
    pub complete: bool,
    /// Why not, in a run that was interrupted.
    pub interrupted: Option<String>,
    /// What was to be measured.
    pub lab: Lab,
    /// Where it ran.
    pub environment: Environment,
    /// What happened meanwhile and may matter, in order.
    pub notes: Vec<Note>,
    /// Cores that the load generator kept to; none where it had no core to itself.
    pub generator_cores: Vec<u32>,
    /// Cores that hops kept to.
    pub hop_cores: Vec<u32>,
    /// Who the kernel charged for the receiving of packets.
    #[serde(default)]
    pub receiving: Receiving,
    /// Who else used the CPUs.
    pub others: Option<OtherProcesses>,
    /// What was seen of each placement before the rounds.
    pub pilot: Vec<PilotRecord>,
    /// What was measured: each placement under each workload that suits it, and in the latency pass.
    pub trials: Vec<TrialRecord>,
    /// What idle connections take.
    pub idle: Vec<IdleRecord>,
    /// What was held out of the cost model to check it with.
    #[serde(default)]
    pub held_out: Option<HeldOut>,
}

/// Whose CPU time the receiving of packets is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Receiving {
    /// That of whoever sends them: the kernel hands them over in the sender's context.
    #[default]
    Sender,
    /// That of whoever receives them: a thread of the kernel does it, which counts as the receiver's.
    Receiver,
}

/// A mix that was chosen by what costs came to in the first rounds, and measured in the others to check
/// costs with.
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
    /// What it did in a second.
    pub operations_per_second: f64,
    /// How busy the generator's busiest thread was: 0 to 1.
    pub generator_share: f64,
    /// CPU time of each hop per operation in nanoseconds, from the client on.
    pub hops_ns: Vec<f64>,
}

/// A placement's hops with connections that stand and do nothing, read once: their memory, and the CPU
/// time that they take all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdleRecord {
    /// The placement's name.
    pub placement: String,
    /// Which reading, from 0; each is of hops that were started afresh.
    #[serde(default)]
    pub round: u32,
    /// How many connections stood, each after one request.
    pub connections: u32,
    /// Its hops, from the client on.
    pub hops: Vec<IdleHop>,
}

/// A hop with and without idle connections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdleHop {
    /// What it is there for.
    pub role: Role,
    /// Resident before there was any connection.
    pub before_bytes: u64,
    /// Resident while they stood.
    pub after_bytes: u64,
    /// The difference for each of them, however many the hop had open upstream.
    pub bytes_per_connection: f64,
    /// What it used while they stood and nothing was asked; nothing in older records, and where a process
    /// of it ended meanwhile.
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
    /// What it used, in nanoseconds.
    pub top_ns: Nanos,
}

/// One placement under one workload, over all rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// The placement's name.
    pub placement: String,
    /// The workload.
    pub workload: Workload,
    /// What was measured of it.
    pub pass: Pass,
    /// Connections per second that were asked for in the latency pass; nothing in the CPU pass.
    pub rate: Option<f64>,
    /// What the load engine was told, TOML.
    pub scenario: String,
    /// What came of it at the client.
    pub client: TargetRecord,
    /// What the client made in each round, the warm-up included: the other side of what hops counted.
    #[serde(default)]
    pub made: Vec<MadeRound>,
    /// Its hops, from the client on.
    pub hops: Vec<HopRecord>,
}

/// A hop of a placement under one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HopRecord {
    /// What it is there for.
    pub role: Role,
    /// What it does.
    pub kind: HopKind,
    /// What it is made of.
    pub engine: EngineName,
    /// What it does in another way than was asked for.
    pub notes: Vec<String>,
    /// What it used, round by round, as the client's rounds.
    pub rounds: Vec<HopRound>,
}

/// What a hop used in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopRound {
    /// Which round, from 0.
    pub round: u32,
    /// CPU time, waiting and switches.
    #[serde(flatten)]
    pub usage: Usage,
    /// Memory at its end.
    #[serde(flatten)]
    pub memory: Memory,
    /// What its engine counted from the first connection to the last, the warm-up included; nothing
    /// where it does not count.
    #[serde(default)]
    pub counted: Option<EngineCounters>,
}

/// What a client made in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRound {
    /// Which round, from 0.
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

    /// What was measured of a placement's CPU time under a workload.
    #[must_use]
    pub fn trial(&self, placement: &str, workload: Workload) -> Option<&TrialRecord> {
        self.find(placement, workload, Pass::Cpu)
    }

    /// What was measured of a placement's times under a workload.
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
    /// the CPU pass, or before the rounds where that pass has none. Nothing where one made none.
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
    /// What gates and the load engine call it: placement and workload, and the pass unless it is the
    /// CPU pass.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.client.name
    }

    /// In each round: which, operations that succeeded, and CPU time of all hops together.
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
