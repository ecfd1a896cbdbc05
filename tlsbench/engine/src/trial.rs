//! One placement under one workload, once: the load, and what it cost each hop meanwhile.

use thiserror::Error;
use tlsbench_core::hop::{EngineCounters, HopKind};
use tlsbench_core::placement::Role;
use tlsbench_core::scenario::{Length, Scenario};
use tlsbench_core::usage::{Cpu, Memory, UnderWay, Usage};

use crate::probe::Reading;
use crate::run::{self, CutShort, Inputs, Progress, RunError, Slice, Stop};
use crate::topology::{Topology, TopologyError};

mod idle;

pub use idle::{Hold, Idle, IdleError, IdleUse, hold};

/// The result of one trial.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The measurement at the client; `None` if the trial was stopped before its round.
    pub slice: Option<Slice>,
    /// Operations of the client from the first connection to the last, the warm-up included.
    pub made: EngineCounters,
    /// Operations that failed meanwhile.
    pub failed: u64,
    /// The use of resources by each hop during the round, from the client on.
    pub hops: Vec<HopUse>,
    /// Operations that had not ended when the load was taken away.
    pub unanswered: UnderWay,
    /// The reason why it ended before its time.
    pub cut_short: Option<CutShort>,
}

/// The use of resources by one hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopUse {
    /// The role of the hop.
    pub role: Role,
    /// The kind of hop.
    pub kind: HopKind,
    /// The name of its engine.
    pub engine: &'static str,
    /// The use of all of its processes together.
    pub usage: Usage,
    /// The memory that it had at the end.
    pub memory: Memory,
    /// Processes of it that ended meanwhile: what they used after the last reading is not known.
    pub ended: u32,
    /// The engine's counters from the first connection to the last, the warm-up included; `None` if
    /// it has none.
    pub counted: Option<EngineCounters>,
}

/// The reason why a trial has no result.
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

/// Runs the scenario's first target, which is this topology, and reads what its hops use while a
/// round is measured.
///
/// # Errors
/// When the load cannot be made, a hop ends, or the round is too short to be read: timed rounds are
/// read at their edges, and repeated when the machine was too busy for that; counted ones are read
/// within 50 ms of theirs.
pub fn measure(
    topology: &mut Topology,
    scenario: &Scenario,
    inputs: &Inputs,
    stop: &Stop,
) -> Result<Trial, TrialError> {
    let attempts = match scenario.timing.round {
        // A counted round has no fixed edges to miss.
        Length::Count(_) => 1,
        Length::Time(_) => ATTEMPTS,
    };
    topology.at_client(|topology| {
        until_read(attempts, || measure_once(topology, scenario, inputs, stop))
    })?
}

/// The first attempt that was read, or the result of the last one.
fn until_read<T>(
    attempts: u32,
    mut measure: impl FnMut() -> Result<T, TrialError>,
) -> Result<T, TrialError> {
    for _ in 1..attempts {
        match measure() {
            Err(TrialError::Unread) => {}
            measured => return measured,
        }
    }
    measure()
}

fn measure_once(
    topology: &mut Topology,
    scenario: &Scenario,
    inputs: &Inputs,
    stop: &Stop,
) -> Result<Trial, TrialError> {
    // Workers that are there by now need not be looked for at the beginning of the span.
    topology.read()?;
    let counted = topology.counted()?;
    let (mut begun, mut ended, mut slice) = (Vec::new(), None, None);
    // What the kernel received for clients until the round began, and in it.
    let (mut before, mut received) = (Cpu::default(), Cpu::default());
    let mut unanswered = UnderWay::default();
    let outcome = run::run(scenario, inputs, stop, |progress| match progress {
        Progress::RoundBegins { .. } => {
            before = topology.receiving_of_clients();
            begun = topology.read_known();
        }
        Progress::RoundEnds { .. } => {
            received = topology.receiving_of_clients() - before;
            ended = Some(topology.read());
        }
        Progress::Slice(measured) => slice = Some(*measured),
        Progress::StageEnds { unanswered: left, .. } => unanswered.add(&left),
        Progress::Note(_) | Progress::Counts { .. } => {}
    })?;
    let ended = ended.transpose()?.unwrap_or_default();
    was_read(outcome.cut_short, &begun, &ended)?;
    if let Some(slice) = &mut slice {
        slice.lap.add_receiving(received);
    }
    let (mut made, mut failed) = (outcome.unmeasured.made(), outcome.unmeasured.failures());
    if let Some(Slice { tally, .. }) = &slice {
        (made, failed) = (made + tally.made(), failed.saturating_add(tally.failures()));
    }
    // Counted at rest, and over the whole load: at the edges of a round nobody could say which of
    // the things under way the client and the hop count in it, and asking would cost the hop CPU
    // time.
    let after = topology.counted_at_rest()?;
    let since = counted.into_iter().zip(after).map(|(before, after)| Some(after? - before?));
    let uses = topology.hops().iter().zip(begun.iter().zip(&ended)).zip(since);
    let hops = uses
        .map(|((hop, (begun, ended)), counted): ((_, (&Reading, &Reading)), _)| HopUse {
            role: hop.role,
            kind: hop.kind,
            engine: hop.engine,
            usage: ended.usage - begun.usage,
            memory: ended.memory,
            ended: ended.ended.saturating_sub(begun.ended),
            counted,
        })
        .collect();
    Ok(Trial { slice, made, failed, hops, unanswered, cut_short: outcome.cut_short })
}

/// Returns whether hops were read at both edges of the round; one that was cut short may have none.
fn was_read(
    cut_short: Option<CutShort>,
    begun: &[Reading],
    ended: &[Reading],
) -> Result<(), TrialError> {
    let is_read = !begun.is_empty() && !ended.is_empty();
    if is_read || cut_short.is_some() { Ok(()) } else { Err(TrialError::Unread) }
}

/// A thread that is due every few hundred milliseconds and misses its turn four times is no chance.
const ATTEMPTS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs attempts that end like this; returns the result, and how many were made.
    fn after(attempts: u32, ends: &[Result<u32, TrialError>]) -> (Option<u32>, usize) {
        let mut made = 0;
        let read = until_read(attempts, || {
            made += 1;
            match &ends[made - 1] {
                Ok(value) => Ok(*value),
                Err(TrialError::Unread) => Err(TrialError::Unread),
                Err(_) => Err(TrialError::Topology(TopologyError::Ports { count: 1 })),
            }
        });
        assert!(!matches!(read, Err(TrialError::Run(_))));
        (read.ok(), made)
    }

    #[test]
    fn a_round_that_nobody_read_is_made_again_and_nothing_else_is() {
        let unread = || Err(TrialError::Unread);
        let gone = || Err(TrialError::Topology(TopologyError::Ports { count: 1 }));
        assert_eq!(after(4, &[Ok(7)]), (Some(7), 1));
        assert_eq!(after(4, &[unread(), unread(), unread(), Ok(7)]), (Some(7), 4));
        assert_eq!(after(4, &[unread(), unread(), unread(), unread()]), (None, 4));
        assert_eq!(after(4, &[unread(), gone()]), (None, 2));
        // Counted rounds have one attempt.
        assert_eq!(after(1, &[unread()]), (None, 1));
    }

    #[test]
    fn a_round_is_read_when_both_of_its_edges_are() {
        let (none, some) = (&[][..], &[Reading::default()][..]);
        assert!(was_read(None, some, some).is_ok());
        for (begun, ended) in [(none, none), (some, none), (none, some)] {
            assert!(matches!(was_read(None, begun, ended), Err(TrialError::Unread)));
            assert!(was_read(Some(CutShort::Stopped), begun, ended).is_ok());
        }
    }
}
