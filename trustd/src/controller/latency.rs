//! The latency of writes, and with it the time that one may hang before it has to make room.
//!
//! Pure. If the whole server is slow, the limit grows with it: giving up writes would only make
//! more work for it.

use std::time::Duration;

/// A moving average of the time that good writes take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LatencyEwma {
    average: Duration,
}

impl LatencyEwma {
    /// A write was carried out in this time.
    pub(super) fn note(&mut self, took: Duration) {
        self.average = if self.average.is_zero() {
            took
        } else {
            self.average.mul_f64(1.0 - WEIGHT) + took.mul_f64(WEIGHT)
        };
    }

    /// Returns how long a write may hang before it makes room for others.
    pub(super) fn patience(&self) -> Duration {
        self.average.saturating_mul(FACTOR).max(LEAST)
    }
}

/// About the last twenty writes count.
const WEIGHT: f64 = 0.05;
/// A multiple of the average that no longer happens by chance.
const FACTOR: u32 = 10;
/// A healthy server now and then takes as long, for instance while it elects a new etcd leader.
const LEAST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_a_slow_server_and_never_falls_below_a_second() {
        let mut latency = LatencyEwma::default();
        assert_eq!(latency.patience(), LEAST);
        for _ in 0..100 {
            latency.note(Duration::from_millis(5));
        }
        assert_eq!(latency.patience(), LEAST);
        for _ in 0..100 {
            latency.note(Duration::from_secs(2));
        }
        assert!(latency.patience() > Duration::from_secs(15), "{:?}", latency.patience());
    }
}
