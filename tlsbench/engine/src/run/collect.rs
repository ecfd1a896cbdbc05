//! Rounds of a stage put together from what the shards give away, as soon as all have.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use tlsbench_core::tally::Tally;
use tlsbench_core::usage::Lap;

use super::progress::Slice;
use super::stage::Stage;

/// A round of one shard; rounds of a stage count from 1.
pub(super) struct RoundPart {
    pub(super) round: u32,
    pub(super) tally: Tally,
    pub(super) lap: Lap,
}

/// Adds up the shards' parts of rounds.
pub(super) struct Collector {
    stage: Stage,
    shards: usize,
    to: Sender<RoundPart>,
    from: Receiver<RoundPart>,
    /// Rounds that some shards have given, with how many.
    waiting: BTreeMap<u32, (usize, RoundPart)>,
}

impl Collector {
    /// Collects from this many shards.
    pub(super) fn new(stage: Stage, shards: usize) -> Self {
        let (to, from) = channel();
        Self { stage, shards, to, from, waiting: BTreeMap::new() }
    }

    /// Returns where a shard gives its parts to.
    pub(super) fn sender(&self) -> Sender<RoundPart> {
        self.to.clone()
    }

    /// The next round that is whole; at the end of the stage, the next that any shard began.
    pub(super) fn next(&mut self, ended: bool) -> Option<Slice> {
        for part in self.from.try_iter() {
            match self.waiting.get_mut(&part.round) {
                Some((given, sum)) => {
                    *given += 1;
                    sum.tally.add(&part.tally);
                    sum.lap.add_thread(&part.lap);
                }
                None => {
                    self.waiting.insert(part.round, (1, part));
                }
            }
        }
        // Rounds leave in order, whichever shard is slow.
        let first = self.waiting.first_entry()?;
        if !ended && first.get().0 < self.shards {
            return None;
        }
        let (_, RoundPart { round, tally, lap }) = first.remove();
        let round = self.stage.first + round.saturating_sub(1);
        Some(Slice { target: self.stage.target, round, tally, lap })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tlsbench_core::units::Nanos;

    use super::*;

    #[test]
    fn a_round_is_whole_when_every_shard_gave_its_part() {
        let stage = Stage {
            target: 3,
            first: 10,
            rounds: NonZeroU32::new(2).unwrap(),
            warm_up: Nanos(0),
            ramp: Nanos(0),
        };
        let mut collector = Collector::new(stage, 2);
        let give = |round, succeeded| {
            let mut tally = Tally::new();
            tally.succeeded = succeeded;
            let lap = Lap { wall: Nanos(succeeded), ..Lap::default() };
            collector.sender().send(RoundPart { round, tally, lap }).unwrap();
        };
        for (round, succeeded) in [(1, 4), (2, 5), (1, 6)] {
            give(round, succeeded);
        }
        let slice = collector.next(false).unwrap();
        assert_eq!((slice.target, slice.round), (3, 10));
        assert_eq!((slice.tally.succeeded, slice.lap.wall), (10, Nanos(6)));
        assert!(collector.next(false).is_none());
        let slice = collector.next(true).unwrap();
        assert_eq!((slice.round, slice.tally.succeeded), (11, 5));
        assert!(collector.next(true).is_none());
    }
}
