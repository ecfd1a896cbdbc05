//! When rounds begin and end, told to whoever meters the hops meanwhile.

use std::time::Duration;

use tlsbench_core::plan::Length;
use tlsbench_core::units::Nanos;

use super::Progress;
use super::stage::Stage;
use crate::clock::Clock;

/// Tells when rounds begin and end: by the clock where it knows, else by what the shards say.
pub(super) struct Edges {
    stage: Stage,
    from: Nanos,
    length: Length,
    /// Rounds of the stage that have begun, and whether the last of them goes on.
    begun: u32,
    within: bool,
}

impl Edges {
    pub(super) fn new(length: Length, stage: Stage, begin: Nanos) -> Self {
        let from = Nanos(begin.0.saturating_add(stage.warm_up.0));
        Self { stage, from, length, begun: 0, within: false }
    }

    /// Tells what has come; how long it may wait for the next look.
    pub(super) fn look(&mut self, reached: u64, progress: &mut impl FnMut(Progress)) -> Duration {
        let now = Clock::Monotonic.now();
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

/// How often progress is told at least.
const LOOK: Nanos = Nanos::from_millis(50);
