//! Exponential back-off with jitter: each wait is twice as long, and never do all retry at once.
//!
//! Pure but for [`Jitter`], whose only secret is its seed.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// A source of fractions that spreads retries out. Not for cryptography.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    /// One that starts differently in each process.
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one(std::process::id()))
    }

    /// One that starts here, for tests.
    #[cfg(test)]
    pub(super) const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next fraction, from 0 up to but not 1 (splitmix64).
    pub(super) fn fraction(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The next 64 bits.
    pub(super) const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a duration between half of `span` and all of it.
    pub(super) fn upper_half_of(&mut self, span: Duration) -> Duration {
        span.mul_f64(0.5 + self.fraction() / 2.0)
    }
}

/// Returns the wait after so many failures in a row (at least one), before jitter.
pub(super) fn after_failures(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

/// A fault that heals by itself, such as a conflict, is gone by then.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait, so that a mended namespace is noticed within five minutes.
pub(super) const LONGEST: Duration = Duration::from_secs(5 * 60);
/// A watch is what everything waits for: it is tried at least this often.
pub(super) const WATCH_LONGEST: Duration = Duration::from_secs(10);
/// 0.5 s doubled ten times is 512 s, above [`LONGEST`].
const DOUBLINGS_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<u128> = (0..14).map(|n| after_failures(n).as_millis()).collect();
        assert_eq!(&waits[..5], [500, 500, 1000, 2000, 4000]);
        assert_eq!(waits[10], 256_000);
        assert_eq!(&waits[11..], [300_000, 300_000, 300_000]);
        assert_eq!(after_failures(u32::MAX), LONGEST);
    }

    #[test]
    fn jitter_stays_within_the_upper_half_and_spreads() {
        let mut jitter = Jitter::from_seed(7);
        let span = Duration::from_secs(10);
        let waits: Vec<Duration> = (0..1000).map(|_| jitter.upper_half_of(span)).collect();
        assert!(waits.iter().all(|wait| *wait >= span / 2 && *wait <= span));
        let early = waits.iter().filter(|wait| **wait < span * 3 / 4).count();
        assert!((300..700).contains(&early), "{early}");
    }
}
