//! The link from a load loop to the thread that watches it.

use tlsbench_core::tally::Tally;
use tlsbench_core::usage::Lap;

use super::shard_context::LoadCounts;

/// The thread that watches a shard: it is called a hundred times a second, and receives the
/// finished rounds.
pub(crate) trait Monitor {
    /// Returns whether the shard is to go on.
    fn look(&mut self, round: u32, counts: LoadCounts) -> bool;

    /// Takes a round of which nothing goes on any more; they come in order, from 1.
    fn take(&mut self, round: u32, tally: Tally, lap: Lap);
}
