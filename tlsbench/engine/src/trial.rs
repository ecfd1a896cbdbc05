//! One placement under one workload, once: the load, and what it cost each hop meanwhile.

use thiserror::Error;
use tlsbench_core::plan::Scenario;
use tlsbench_core::plan::hop::HopKind;
use tlsbench_core::plan::placement::Role;
use tlsbench_core::usage::{Memory, Usage};

use crate::probe::Reading;
use crate::run::{self, CutShort, Inputs, Progress, RunError, Slice, Stop};
use crate::topology::{Topology, TopologyError};

mod idle;

pub use idle::{Idle, IdleError, hold};

/// What came of it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What was counted and timed at the client; nothing when it was stopped before its round.
    pub slice: Option<Slice>,
    /// What each hop used while that went on, from the client on.
    pub hops: Vec<HopUse>,
    /// Why it ended before its time.
    pub cut_short: Option<CutShort>,
}

/// What a hop used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopUse {
    /// What it is there for.
    pub role: Role,
    /// What it does.
    pub kind: HopKind,
    /// What it is made of.
    pub engine: &'static str,
    /// What all of its processes used together.
    pub usage: Usage,
    /// What it had at the end.
    pub memory: Memory,
    /// Processes of it that ended meanwhile: what they used after the last reading is not known.
    pub ended: u32,
}

/// Why there is nothing to tell.
#[derive(Debug, Error)]
pub enum TrialError {
    /// The load could not be made.
    #[error("cannot make the load")]
    Run(#[from] RunError),
    /// A hop ended, or cannot be read.
    #[error("a hop is missing")]
    Topology(#[from] TopologyError),
    /// The round was over before anybody looked, so nobody knows what hops used meanwhile.
    #[error("the round was over before its hops were read; make it longer")]
    Unread,
}

/// Runs the scenario's first target, which is this topology, and reads what its hops use while a round
/// is measured.
///
/// # Errors
/// When the load cannot be made, a hop ends, or the round is too short to be read: rounds of a time are
/// read at their edges, counted ones within 50 ms of them.
pub fn measure(
    topology: &mut Topology,
    scenario: &Scenario,
    inputs: &Inputs,
    stop: &Stop,
) -> Result<Trial, TrialError> {
    // Workers that are there by now need not be looked for at the beginning of the span.
    topology.read()?;
    let (mut begun, mut ended, mut slice) = (Vec::new(), None, None);
    let outcome = run::run(scenario, inputs, stop, |progress| match progress {
        Progress::RoundBegins { .. } => begun = topology.read_known(),
        Progress::RoundEnds { .. } => ended = Some(topology.read()),
        Progress::Slice(measured) => slice = Some(*measured),
        Progress::Note(_) | Progress::Counts { .. } => {}
    })?;
    let ended = ended.transpose()?.unwrap_or_default();
    if outcome.cut_short.is_none() && (begun.is_empty() || ended.is_empty()) {
        return Err(TrialError::Unread);
    }
    let uses = topology.hops().iter().zip(begun.iter().zip(&ended));
    let hops = uses
        .map(|(hop, (begun, ended)): (_, (&Reading, &Reading))| HopUse {
            role: hop.role,
            kind: hop.kind,
            engine: hop.engine,
            usage: ended.usage - begun.usage,
            memory: ended.memory,
            ended: ended.ended.saturating_sub(begun.ended),
        })
        .collect();
    Ok(Trial { slice, hops, cut_short: outcome.cut_short })
}
