//! The clock of rounds: tells whoever meters the hops when rounds begin and end.

use std::time::Duration;

use tlsbench_core::scenario::Length;
use tlsbench_core::units::Nanos;

use super::progress::Progress;
use super::stage::Stage;

/// Tells when rounds begin and end: by the clock where it knows, else by what the shards say.
pub(super) struct RoundClock {
    stage: Stage,
    from: Nanos,
    length: Length,
    /// Rounds of the stage that have begun, and whether the last of them goes on.
    begun: u32,
    within: bool,
}

impl RoundClock {
    pub(super) fn new(length: Length, stage: Stage, begin: Nanos) -> Self {
        let from = Nanos(begin.0.saturating_add(stage.warm_up.0));
        Self { stage, from, length, begun: 0, within: false }
    }

    /// Tells what has come by `now`; how long it may wait for the next look. Rounds that began and
    /// ended since the last look are passed over: nothing could be metered of them.
    pub(super) fn look(
        &mut self,
        now: Nanos,
        reached: u64,
        progress: &mut impl FnMut(Progress),
    ) -> Duration {
        let round = match self.length {
            Length::Count(_) => u32::try_from(reached).unwrap_or_default(),
            Length::Time(_) if now < self.from => 0,
            Length::Time(span) => {
                let round = (now - self.from).0 / span.0.max(1) + 1;
                u32::try_from(round).unwrap_or(u32::MAX)
            }
        };
        let over = round > self.stage.rounds.get() || (round == 0 && self.begun > 0);
        let target = self.stage.target;
        if self.within && (over || round > self.begun) {
            self.within = false;
            progress(Progress::RoundEnds { target, round: self.last() });
        }
        if !over && round > self.begun {
            self.begun = round;
            self.within = true;
            progress(Progress::RoundBegins { target, round: self.last() });
        }
        let next = match self.length {
            Length::Time(span) if !over => {
                let edges = u64::from(round);
                Nanos(self.from.0.saturating_add(span.0.saturating_mul(edges))) - now
            }
            _ => LOOK,
        };
        Duration::from_nanos(next.min(LOOK).0)
    }

    /// The stage ended, whether at its time or before.
    pub(super) fn finish(&mut self, progress: &mut impl FnMut(Progress)) {
        if std::mem::take(&mut self.within) {
            progress(Progress::RoundEnds { target: self.stage.target, round: self.last() });
        }
    }

    const fn last(&self) -> u32 {
        self.stage.first + self.begun.saturating_sub(1)
    }
}

/// The longest interval between two reports of progress.
const LOOK: Nanos = Nanos::from_millis(50);

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    /// Two rounds of 100 ms, the fifth and sixth of their target, after 50 ms of warm-up.
    fn edges(length: Length) -> RoundClock {
        let stage = Stage {
            target: 1,
            first: 4,
            rounds: NonZeroU32::new(2).unwrap(),
            warm_up: Nanos::from_millis(50),
            ramp: Nanos(0),
        };
        RoundClock::new(length, stage, Nanos::from_millis(1_000))
    }

    /// Returns what is reported at these times in ms, each with the round that the shards have
    /// reached.
    fn told(edges: &mut RoundClock, looks: &[(u64, u64)]) -> Vec<(char, u32)> {
        let mut told = Vec::new();
        let mut note = |progress| match progress {
            Progress::RoundBegins { target: 1, round } => told.push(('b', round)),
            Progress::RoundEnds { target: 1, round } => told.push(('e', round)),
            _ => unreachable!("{progress:?}"),
        };
        for &(now, reached) in looks {
            edges.look(Nanos::from_millis(now), reached, &mut note);
        }
        edges.finish(&mut note);
        told
    }

    #[test]
    fn rounds_are_told_by_the_clock_where_it_cuts_them() {
        let time = || edges(Length::Time(Nanos::from_millis(100)));
        let each = [('b', 4), ('e', 4), ('b', 5), ('e', 5)];
        let looks = [(1_000, 0), (1_049, 0), (1_050, 0), (1_149, 0), (1_150, 0), (1_250, 0)];
        assert_eq!(told(&mut time(), &looks), each);
        // A stage that ends before its time ends its round.
        assert_eq!(told(&mut time(), &[(1_060, 0), (1_190, 0)]), each);
        // A thread that does not run for a round cannot meter it.
        assert_eq!(told(&mut time(), &[(1_000, 0), (1_160, 0)]), each[2..]);
        assert_eq!(told(&mut time(), &[(1_000, 0), (1_300, 0)]), []);
        let wait = time().look(Nanos::from_millis(1_120), 0, &mut |_| {});
        assert_eq!(wait, Duration::from_millis(30));
    }

    #[test]
    fn rounds_of_so_many_operations_are_told_by_what_the_shards_reached() {
        let mut count = edges(Length::Count(std::num::NonZeroU64::MIN));
        let looks = [(1_000, 0), (1_010, 1), (1_020, 1), (5_000, 2), (5_010, 3)];
        assert_eq!(told(&mut count, &looks), [('b', 4), ('e', 4), ('b', 5), ('e', 5)]);
    }
}
