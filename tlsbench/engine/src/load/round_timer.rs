//! The duration and cost of each round of a shard: time, CPU time of its thread, and what ended in
//! each second.
//!
//! Clocks are read where a round begins and ends and once a second, never per operation.

use tlsbench_core::units::Nanos;
use tlsbench_core::usage::{Cpu, Lap, Second, UnderWay};

use super::shard_context::LoadCounts;
use crate::shard::ThreadMeter;

/// The laps of one shard, from round 1 on.
#[derive(Debug)]
pub(super) struct RoundTimer {
    meter: ThreadMeter,
    laps: Vec<Lap>,
    /// The round that goes on; 0 before the first and after the last.
    current: u32,
    began: Mark,
    second: Mark,
}

/// A moment, and what was used and had ended by then.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    at: Nanos,
    cpu: Cpu,
    counts: LoadCounts,
}

impl RoundTimer {
    /// A timer for rounds of the calling thread.
    pub(super) fn new() -> Self {
        Self {
            meter: ThreadMeter::of_this_thread(),
            laps: Vec::new(),
            current: 0,
            began: Mark::default(),
            second: Mark::default(),
        }
    }

    /// The round that goes on; 0 before the first and after the last.
    pub(super) const fn current(&self) -> u32 {
        self.current
    }

    /// Notes which round it is, and what was under way when the one before it ended.
    pub(super) fn note(&mut self, round: u32, now: Nanos, counts: LoadCounts, under_way: UnderWay) {
        if round == self.current {
            return;
        }
        // The CPU clock is read at edges only: a reading is a system call of its own.
        let mark = self.mark(now, counts);
        if self.current > 0 {
            self.end_second(mark);
            let (began, current) = (self.began, self.current);
            if let Some(lap) = lap_mut(&mut self.laps, current) {
                lap.wall = mark.at - began.at;
                lap.cpu = mark.cpu - began.cpu;
                lap.busiest_thread = lap.cpu.total;
                lap.under_way = under_way;
            }
        }
        self.current = round;
        (self.began, self.second) = (mark, mark);
        // A round that nobody saw, among others within one look, has a lap without time.
        while self.laps.len() < index(round).map_or(0, |index| index + 1) {
            self.laps.push(Lap::default());
        }
    }

    /// Notes that time passes.
    pub(super) fn tick(&mut self, now: Nanos, counts: LoadCounts) {
        if self.current > 0 && now - self.second.at >= SECOND {
            let mark = self.mark(now, counts);
            self.end_second(mark);
        }
    }

    /// Returns whether a round is over, by what was noted.
    pub(super) fn is_over(&self, round: u32) -> bool {
        round != self.current && index(round).is_some_and(|index| index < self.laps.len())
    }

    /// Returns the lap of a round as far as it is known; `None` if the round did not begin.
    pub(super) fn take(&mut self, round: u32) -> Option<Lap> {
        lap_mut(&mut self.laps, round).map(std::mem::take)
    }

    fn mark(&self, at: Nanos, counts: LoadCounts) -> Mark {
        Mark { at, cpu: self.meter.now(), counts }
    }

    fn end_second(&mut self, mark: Mark) {
        let (since, current) = (self.second, self.current);
        self.second = mark;
        let Some(lap) = lap_mut(&mut self.laps, current) else { return };
        if lap.seconds.len() < SECONDS_MAX {
            lap.seconds.push(Second {
                wall_ns: mark.at - since.at,
                succeeded: mark.counts.succeeded - since.counts.succeeded,
                failed: mark.counts.failed - since.counts.failed,
                missed: mark.counts.missed - since.counts.missed,
                cpu_ns: (mark.cpu - since.cpu).total,
            });
        }
    }
}

fn index(round: u32) -> Option<usize> {
    usize::try_from(round).ok()?.checked_sub(1)
}

fn lap_mut(laps: &mut [Lap], round: u32) -> Option<&mut Lap> {
    laps.get_mut(index(round)?)
}

const SECOND: Nanos = Nanos::from_millis(1_000);
/// A day of seconds in one round: 3.5 MB. What comes after is in the round's sums only.
const SECONDS_MAX: usize = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(succeeded: u64) -> LoadCounts {
        LoadCounts {
            succeeded,
            failed: 2 * succeeded,
            missed: 3 * succeeded,
            ..LoadCounts::default()
        }
    }

    fn under_way(operations: u64) -> UnderWay {
        UnderWay { operations, oldest_ns: at(operations) }
    }

    fn at(millis: u64) -> Nanos {
        Nanos::from_millis(millis)
    }

    #[test]
    fn a_round_is_cut_into_seconds_and_a_rest() {
        let mut laps = RoundTimer::new();
        laps.note(0, at(100), counts(5), under_way(1));
        laps.note(1, at(1_000), counts(10), under_way(2));
        assert!(!laps.is_over(1) && !laps.is_over(2));
        for (now, ended) in [(1_500, 15), (1_999, 18), (2_010, 20), (2_900, 30)] {
            laps.tick(at(now), counts(ended));
        }
        laps.note(2, at(3_250), counts(40), under_way(3));
        assert!(laps.is_over(1) && !laps.is_over(2));
        let lap = laps.take(1).unwrap();
        assert_eq!((lap.wall, lap.under_way), (at(2_250), under_way(3)));
        assert_eq!(lap.cpu.total, lap.busiest_thread);
        let seconds: Vec<_> =
            lap.seconds.iter().map(|s| (s.wall_ns, s.succeeded, s.failed, s.missed)).collect();
        assert_eq!(seconds, [(at(1_010), 10, 20, 30), (at(1_240), 20, 40, 60)]);
        laps.note(0, at(4_000), counts(41), under_way(4));
        assert!(laps.is_over(2));
        assert_eq!(laps.take(2).unwrap().wall, at(750));
        assert_eq!(laps.take(3), None);
    }

    #[test]
    fn rounds_that_pass_between_two_looks_have_no_time() {
        let mut laps = RoundTimer::new();
        laps.note(1, at(10), counts(0), under_way(1));
        laps.note(3, at(20), counts(3), under_way(1));
        assert_eq!([1, 2].map(|round| laps.take(round).unwrap().wall), [at(10), at(0)]);
        assert!(laps.is_over(2) && !laps.is_over(3));
    }
}
