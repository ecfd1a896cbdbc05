//! Reports of a run while it goes on, and at its end.

use tlsbench_core::tally::Tally;
use tlsbench_core::units::Nanos;
use tlsbench_core::usage::{Cpu, Lap, UnderWay};

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The tally of everything outside of rounds: in warm-ups, and after the last round.
    pub unmeasured: Tally,
    /// CPU time of this process over the whole run.
    pub cpu: Cpu,
    /// Time that the whole run took.
    pub wall: Nanos,
    /// The number of threads made the load.
    pub shards: usize,
    /// True if each shard had a core of its own.
    pub pinned: bool,
    /// The reason why it ended before its time.
    pub cut_short: Option<CutShort>,
}

/// One target in one round, all shards together.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Index of the target.
    pub target: usize,
    /// The round, from 0.
    pub round: u32,
    /// The counts and times.
    pub tally: Tally,
    /// The time that it took, and the cost of measuring.
    pub lap: Lap,
}

/// The reason why a run ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutShort {
    /// Too large a share of operations failed.
    Errors,
    /// The goal was out of reach, by `Scenario::futility`.
    Futile {
        /// Operations that were late then; 0 if failures decided it.
        late: u64,
    },
    /// The run was asked to stop.
    Stopped,
    /// The run took as long as it may, by `timeout.run`.
    Time,
}

/// A report of a run while it goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Something that whoever reads the numbers should know, such as a CA bundle that was replaced.
    Note(String),
    /// A round was measured. It is reported only here, so that a run of any length
    /// keeps only what goes on.
    Slice(Box<Slice>),
    /// A measured round begins: whoever meters hops reads their clocks.
    RoundBegins {
        /// Index of the target.
        target: usize,
        /// The round, from 0.
        round: u32,
    },
    /// A measured round ended, before the load is taken away.
    RoundEnds {
        /// Index of the target.
        target: usize,
        /// The round, from 0.
        round: u32,
    },
    /// All rounds of a target that follow one another are over, and what was under way has been
    /// waited for.
    StageEnds {
        /// Index of the target.
        target: usize,
        /// Operations that had not ended by then.
        unanswered: UnderWay,
    },
    /// Counts of the target's current stage so far, warm-up included.
    Counts {
        /// Index of the target.
        target: usize,
        /// Operations that succeeded.
        succeeded: u64,
        /// Operations that failed.
        failed: u64,
        /// Starts that were missed.
        missed: u64,
    },
}
