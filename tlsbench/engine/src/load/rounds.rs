//! The number of the current round, by time or by count.

use std::num::NonZeroU32;

use tlsbench_core::scenario::Length;
use tlsbench_core::units::Nanos;

/// Rounds of one shard. Number 0 stands for what is not measured: warm-up and drain.
#[derive(Clone, Debug)]
pub(crate) struct Rounds {
    from: Nanos,
    length: Length,
    rounds: u32,
    current: u32,
    done: u64,
    started: u64,
}

impl Rounds {
    /// Rounds that begin at a moment.
    pub(crate) const fn new(from: Nanos, length: Length, rounds: NonZeroU32) -> Self {
        Self { from, length, rounds: rounds.get(), current: 0, done: 0, started: 0 }
    }

    /// The round that it is now.
    pub(crate) fn at(&mut self, now: Nanos) -> u32 {
        if now < self.from || self.is_over() {
            return 0;
        }
        self.current = match self.length {
            Length::Count(_) => self.current.max(1),
            Length::Time(span) => self.of_time(now, span),
        };
        if self.is_over() { 0 } else { self.current }
    }

    /// The round of something that should begin at a moment, and nothing after the last.
    pub(crate) fn of_start(&self, intended: Nanos) -> Option<u32> {
        if intended < self.from {
            return Some(0);
        }
        let round = match self.length {
            Length::Count(count) => {
                u32::try_from(self.started / count.get()).unwrap_or(u32::MAX).saturating_add(1)
            }
            Length::Time(span) => self.of_time(intended, span),
        };
        (round <= self.rounds).then_some(round)
    }

    /// Returns when the next round begins after a moment, or the last one ends; `None` if only
    /// what is done can tell.
    pub(crate) fn edge_after(&self, now: Nanos) -> Option<Nanos> {
        if now < self.from {
            return Some(self.from);
        }
        let Length::Time(span) = self.length else { return None };
        let round = self.of_time(now, span);
        (round <= self.rounds).then(|| self.from + Nanos(span.0.saturating_mul(round.into())))
    }

    fn of_time(&self, moment: Nanos, span: Nanos) -> u32 {
        let round = (moment - self.from).0 / span.0.max(1);
        u32::try_from(round).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Operations begin in a round.
    pub(crate) fn start(&mut self, round: u32, operations: u64) {
        if round > 0 {
            self.started += operations;
            if self.is_counted() {
                self.current = self.current.max(round);
            }
        }
    }

    /// Returns whether a closed loop may begin another operation.
    pub(crate) fn may_start(&self, now: Nanos) -> bool {
        match self.length {
            Length::Count(count) => {
                now < self.from || self.started < count.get() * u64::from(self.rounds)
            }
            Length::Time(_) => !self.is_over(),
        }
    }

    /// An operation of a measured round ended.
    pub(crate) fn finish(&mut self) {
        if let Length::Count(count) = self.length {
            self.done += 1;
            if self.done == count.get() {
                self.done = 0;
                self.current += 1;
            }
        }
    }

    /// Returns whether all rounds have passed.
    pub(crate) const fn is_over(&self) -> bool {
        self.current > self.rounds
    }

    /// Returns whether operations are counted out instead of timed out.
    pub(crate) const fn is_counted(&self) -> bool {
        matches!(self.length, Length::Count(_))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn rounds_by_time_follow_one_another() {
        let two = NonZeroU32::new(2).unwrap();
        let mut rounds = Rounds::new(Nanos(100), Length::Time(Nanos(10)), two);
        assert_eq!(
            [0, 99, 100, 109, 110, 119].map(|now| rounds.at(Nanos(now))),
            [0, 0, 1, 1, 2, 2]
        );
        assert!(rounds.may_start(Nanos(119)));
        assert_eq!(rounds.of_start(Nanos(119)), Some(2));
        assert_eq!(rounds.of_start(Nanos(120)), None);
        assert_eq!(rounds.at(Nanos(120)), 0);
        assert!(rounds.is_over() && !rounds.may_start(Nanos(120)));
        let edges = [0, 99, 100, 109, 110, 119, 120].map(|now| rounds.edge_after(Nanos(now)));
        let at = |edge| Some(Nanos(edge));
        assert_eq!(edges, [at(100), at(100), at(110), at(110), at(120), at(120), None]);
    }

    #[test]
    fn rounds_by_count_end_with_their_last_operation() {
        let (two, three) = (NonZeroU32::new(2).unwrap(), NonZeroU64::new(3).unwrap());
        let mut rounds = Rounds::new(Nanos(100), Length::Count(three), two);
        assert!(rounds.may_start(Nanos(0)));
        for expected in [1, 1, 1, 2, 2, 2] {
            assert_eq!(rounds.at(Nanos(100)), expected);
            assert_eq!(rounds.of_start(Nanos(100)), Some(expected));
            assert!(rounds.may_start(Nanos(100)));
            rounds.start(expected, 1);
            rounds.finish();
        }
        assert!(rounds.is_over() && !rounds.may_start(Nanos(100)));
        assert_eq!(rounds.of_start(Nanos(100)), None);
        assert_eq!([99, 100].map(|now| rounds.edge_after(Nanos(now))), [Some(Nanos(100)), None]);
    }
}
