//! A check that the CPU keeps its speed: one fixed computation, over and over.

use tlsbench_core::units::Nanos;

use crate::clock::Clock;

/// CPU time of the same computation in the fastest and in the slowest part of a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The time in the fastest part.
    pub fastest: Nanos,
    /// The time in the slowest part.
    pub slowest: Nanos,
}

impl Drift {
    /// Returns how much longer the slowest part needed, as a part of the fastest.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        (self.slowest - self.fastest).0 as f64 / self.fastest.0.max(1) as f64
    }

    /// The best of each part counts: what interrupts it once is no change of speed.
    fn of(best_of_parts: &[Nanos]) -> Option<Self> {
        Some(Self {
            fastest: best_of_parts.iter().copied().min()?,
            slowest: best_of_parts.iter().copied().max()?,
        })
    }
}

/// Computes for about a second. `None` if the clock of the thread stood still.
#[must_use]
pub fn drift() -> Option<Drift> {
    let parts: Vec<Nanos> = (0..PARTS).map(|_| best_of_part()).collect();
    Drift::of(&parts).filter(|drift| drift.fastest > Nanos(0))
}

fn best_of_part() -> Nanos {
    let end = Clock::Monotonic.now() + PART;
    let mut best = Nanos(u64::MAX);
    loop {
        let begin = Clock::ThreadCpu.now();
        compute();
        best = best.min(Clock::ThreadCpu.now() - begin);
        if Clock::Monotonic.now() >= end {
            return best;
        }
    }
}

/// Each step needs the one before, so the time is a number of cycles and nothing else.
fn compute() {
    let mut state: u64 = 1;
    for _ in 0..STEPS {
        state = std::hint::black_box(state.wrapping_mul(MULTIPLIER).wrapping_add(1));
    }
}

/// Ten parts of a tenth of a second.
const PARTS: u32 = 10;
const PART: Nanos = Nanos::from_millis(100);
/// About 5 cycles each: 250,000 cycles are 80 µs at 3 GHz, so that many go undisturbed.
const STEPS: u32 = 50_000;
/// Any odd number; this is Knuth's (MMIX).
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_between_the_best_of_the_fastest_and_of_the_slowest_part() {
        let drift = Drift::of(&[Nanos(110), Nanos(100), Nanos(125)]).unwrap();
        assert_eq!(drift, Drift { fastest: Nanos(100), slowest: Nanos(125) });
        assert_eq!(drift.as_f64(), 0.25);
        assert_eq!(Drift::of(&[]), None);
    }

    #[test]
    fn a_part_takes_some_time_of_the_thread() {
        let best = best_of_part();
        assert!(best > Nanos(0) && best < Nanos(u64::MAX), "{best}");
    }
}
