//! Start times as pure sequences, computed from an index, so that no error adds up.
//!
//! Whoever waits for these times, and how well, is the engine's business.

use std::num::NonZeroU32;

use crate::random::SplitMix64;
use crate::scenario::Spread;
use crate::units::{Nanos, Rate, Share};

/// Time when an operation should have begun, by the shard's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntendedStart(pub Nanos);

/// Time when an operation did begin, by the shard's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActualStart(pub Nanos);

/// Index of a shard and number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    of: NonZeroU32,
}

impl Shard {
    /// The shard of this index, from 0; `None` if there are fewer.
    #[must_use]
    pub fn new(index: u32, of: NonZeroU32) -> Option<Self> {
        (index < of.get()).then_some(Self { index, of })
    }

    /// The shard's part of a total: the parts of all shards add up to it and differ by at most 1.
    #[must_use]
    pub fn part(self, total: u64) -> u64 {
        let of = u64::from(self.of.get());
        // The first shards take one more each until the remainder is used up, so the parts add up
        // exactly.
        total / of + u64::from(u64::from(self.index) < total % of)
    }
}

/// The intended starts of one shard as times from the load's beginning, without end.
///
/// Even arrivals are dealt out to the shards in turn. Random ones are independent Poisson
/// processes of a part of the rate each, whose union is a Poisson process of the whole rate
/// (Kingman, *Poisson Processes*, 1993, section 2.2).
#[derive(Clone, Debug)]
pub struct Starts {
    rate: Rate,
    ramp: Nanos,
    shard: Shard,
    /// Arrivals of this shard so far.
    index: u64,
    random: Option<ExponentialSums>,
}

impl Starts {
    /// Arrivals at `rate` over all shards. Within `ramp` the rate rises in a straight line from 0.
    #[must_use]
    pub fn new(rate: Rate, spread: Spread, ramp: Nanos, shard: Shard) -> Self {
        let random = match spread {
            Spread::Even => None,
            Spread::Poisson { seed } => Some(ExponentialSums::new(seed, shard.index)),
        };
        Self { rate, ramp, shard, index: 0, random }
    }

    /// The time by which this number of arrivals is expected: the inverse of the rate's integral.
    fn time_of(&self, arrivals: f64) -> Nanos {
        let (rate, ramp) = (self.rate.as_f64(), self.ramp.as_secs_f64());
        // The rate rises linearly over the ramp, so half as many arrivals fall into it as at full
        // rate.
        let within_ramp = rate * ramp / 2.0;
        let seconds = if arrivals < within_ramp {
            // The integral of a linear rate is a parabola; its inverse is a square root.
            (2.0 * ramp * arrivals / rate).sqrt()
        } else {
            arrivals / rate + ramp / 2.0
        };
        // A float that is too large becomes the largest integer.
        Nanos((seconds * 1e9).round() as u64)
    }
}

impl Iterator for Starts {
    type Item = IntendedStart;

    fn next(&mut self) -> Option<IntendedStart> {
        let shards = f64::from(self.shard.of.get());
        let arrivals = match &mut self.random {
            // A shard sees arrivals `shards` times as far apart; `time_of` expects the arrivals of
            // all.
            Some(random) => shards * random.next_sum(),
            None => shards * self.index as f64 + f64::from(self.shard.index),
        };
        self.index = self.index.checked_add(1)?;
        Some(IntendedStart(self.time_of(arrivals)))
    }
}

/// Start times of this shard's connections in a closed loop: evenly over the ramp.
pub fn closed_starts(
    connections: NonZeroU32,
    ramp: Nanos,
    shard: Shard,
) -> impl Iterator<Item = IntendedStart> {
    // Connections begin one step apart over all shards, so that no two shards connect at once.
    let step = ramp.as_secs_f64() * 1e9 / f64::from(connections.get());
    let shards = usize::try_from(shard.of.get()).unwrap_or(usize::MAX);
    (shard.index..connections.get())
        .step_by(shards)
        .map(move |index| IntendedStart(Nanos((step * f64::from(index)).round() as u64)))
}

/// Sums of independent exponential times of mean 1.
#[derive(Clone, Debug)]
struct ExponentialSums {
    bits: SplitMix64,
    sum: f64,
    /// Compensation of the sum, after Neumaier (1974): a plain sum loses digits as it grows.
    lost: f64,
}

impl ExponentialSums {
    fn new(seed: u64, stream: u32) -> Self {
        // Mixed twice, so that neither neighbouring seeds nor shards meet: streams begin at
        // unrelated places of the generator's one cycle of 2^64.
        let seed = SplitMix64::new(seed).next() ^ u64::from(stream);
        let bits = SplitMix64::new(SplitMix64::new(seed).next());
        Self { bits, sum: 0.0, lost: 0.0 }
    }

    fn next_sum(&mut self) -> f64 {
        // The complement of a number in [0, 1) has a logarithm.
        let more = -(-self.bits.unit()).ln_1p();
        // The sum is never smaller than what is added, but for the first few.
        let sum = self.sum + more;
        self.lost +=
            if self.sum >= more { (self.sum - sum) + more } else { (more - sum) + self.sum };
        self.sum = sum;
        sum + self.lost
    }
}

/// Schedule of resumptions: spread evenly, not by chance.
///
/// After `n` of them exactly `n` times the share have resumed, rounded, for every `n`.
#[derive(Clone, Debug)]
pub struct Resumer {
    share: Share,
    decided: u64,
    resumed: u64,
}

impl Resumer {
    /// Decisions with this share of resumptions.
    #[must_use]
    pub const fn new(share: Share) -> Self {
        Self { share, decided: 0, resumed: 0 }
    }

    /// Returns true if the next handshake shall resume.
    pub fn decide(&mut self) -> bool {
        self.decided = self.decided.saturating_add(1);
        // An error accumulator: a short run has the share that was asked for, where chance would
        // scatter.
        let wanted = (self.share.as_f64() * self.decided as f64).round() as u64;
        let resumes = wanted > self.resumed;
        self.resumed += u64::from(resumes);
        resumes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POISSON: Spread = Spread::Poisson { seed: 7 };

    fn shard(index: u32, of: u32) -> Shard {
        Shard::new(index, NonZeroU32::new(of).unwrap()).unwrap()
    }

    fn starts(rate: f64, spread: Spread, ramp_ms: u64, shard: Shard, count: usize) -> Vec<u64> {
        let rate = Rate::per_second(rate).unwrap();
        let starts = Starts::new(rate, spread, Nanos::from_millis(ramp_ms), shard);
        starts.take(count).map(|start| start.0.0).collect()
    }

    fn seconds(starts: &[u64]) -> Vec<f64> {
        starts.iter().map(|start| *start as f64 / 1e9).collect()
    }

    #[test]
    fn even_starts_of_all_shards_make_one_even_sequence() {
        let mut all: Vec<u64> = (0..3)
            .flat_map(|index| starts(1_000.0, Spread::Even, 0, shard(index, 3), 10))
            .collect();
        all.sort_unstable();
        let want: Vec<u64> = (0..30).map(|index| index * 1_000_000).collect();
        assert_eq!(all, want);
    }

    #[test]
    fn an_odd_rate_does_not_drift() {
        let rate = Rate::per_second(333.3).unwrap();
        let mut starts = Starts::new(rate, Spread::Even, Nanos(0), shard(0, 1));
        let millionth = starts.nth(999_999).unwrap().0.0;
        assert_eq!(millionth, (999_999.0 / 333.3 * 1e9_f64).round() as u64);
        // A day at ten million per second.
        let rate = Rate::per_second(1e7).unwrap();
        let mut starts = Starts::new(rate, Spread::Even, Nanos(0), shard(0, 1));
        starts.index = 864_000_000_001;
        assert_eq!(starts.next(), Some(IntendedStart(Nanos(86_400_000_000_100))));
    }

    #[test]
    fn a_ramp_rises_in_a_straight_line_and_ends_at_the_rate() {
        // 1,000/s after 2 s: 250 starts in the first second, 750 in the second, then 1,000 each.
        let starts = starts(1_000.0, Spread::Even, 2_000, shard(0, 1), 3_500);
        let before = |second: u64| starts.iter().filter(|s| **s < second * 1_000_000_000).count();
        assert_eq!((before(1), before(2), before(3), before(4)), (250, 1_000, 2_000, 3_000));
        assert!(starts.is_sorted());
    }

    #[test]
    fn a_random_ramp_follows_the_same_line() {
        let starts = starts(100_000.0, POISSON, 2_000, shard(0, 1), 150_000);
        let before = |second: u64| starts.iter().filter(|s| **s < second * 1_000_000_000).count();
        // Five standard deviations.
        assert!(before(1).abs_diff(25_000) < 5 * 158, "{}", before(1));
        assert!(before(2).abs_diff(100_000) < 5 * 316, "{}", before(2));
    }

    /// The largest distance between the distribution of `values` and `cdf`, times the root of
    /// their number: above 1.95 in one of a thousand samples (Kolmogorov).
    fn kolmogorov_smirnov(mut values: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
        values.sort_by(f64::total_cmp);
        let count = values.len() as f64;
        let distances = values.iter().enumerate().map(|(index, value)| {
            let want = cdf(*value);
            (want - index as f64 / count).abs().max((want - (index + 1) as f64 / count).abs())
        });
        distances.fold(0.0, f64::max) * count.sqrt()
    }

    #[test]
    fn random_starts_of_all_shards_are_a_poisson_process_of_the_rate() {
        let count = 20_000;
        let mut all: Vec<u64> =
            (0..4).flat_map(|index| starts(8_000.0, POISSON, 0, shard(index, 4), count)).collect();
        all.sort_unstable();
        // The first part, in which every shard still has starts.
        all.truncate(4 * count * 9 / 10);
        let all = seconds(&all);
        let gaps: Vec<f64> = all.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = 1.0 / 8_000.0 / (gaps.len() as f64).sqrt();
        assert!((mean - 1.0 / 8_000.0).abs() < 4.0 * deviation, "{mean}");
        let lag: f64 = gaps.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
        let spread: f64 = gaps.iter().map(|gap| (gap - mean).powi(2)).sum();
        assert!((lag / spread).abs() < 4.0 / (gaps.len() as f64).sqrt(), "{}", lag / spread);
        let distance = kolmogorov_smirnov(gaps, |gap| 1.0 - (-8_000.0 * gap).exp());
        assert!(distance < 1.95, "{distance}");
    }

    #[test]
    fn the_check_can_tell_a_process_that_is_not_poisson() {
        let even = seconds(&starts(8_000.0, Spread::Even, 0, shard(0, 1), 5_000));
        let gaps: Vec<f64> = even.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(kolmogorov_smirnov(gaps, |gap| 1.0 - (-8_000.0 * gap).exp()) > 10.0);
    }

    #[test]
    fn a_seed_gives_the_same_starts_and_shards_differ() {
        let of = |seed, index| starts(10.0, Spread::Poisson { seed }, 0, shard(index, 2), 50);
        assert_eq!(of(1, 0), of(1, 0));
        assert_ne!(of(1, 0), of(2, 0));
        assert_ne!(of(1, 0), of(1, 1));
        // Neighbouring seeds and shards do not share streams.
        assert_ne!(of(0, 1), of(1, 0));
    }

    #[test]
    fn parts_of_shards_add_up() {
        for (total, want) in [(0, [0, 0, 0]), (2, [1, 1, 0]), (10, [4, 3, 3]), (12, [4, 4, 4])] {
            let parts = [0, 1, 2].map(|index| shard(index, 3).part(total));
            assert_eq!(parts, want);
        }
        assert_eq!(Shard::new(3, NonZeroU32::new(3).unwrap()), None);
    }

    #[test]
    fn closed_connections_begin_over_the_ramp() {
        let begin = |index| -> Vec<u64> {
            let connections = NonZeroU32::new(5).unwrap();
            let starts = closed_starts(connections, Nanos(1_000), shard(index, 2));
            starts.map(|start| start.0.0).collect()
        };
        assert_eq!((begin(0), begin(1)), (vec![0, 400, 800], vec![200, 600]));
    }

    proptest! {
        #[test]
        fn resumption_is_exact_at_every_handshake(ratio in 0.0..=1.0, count in 0_u64..2_000) {
            let mut resumer = Resumer::new(Share::new(ratio).unwrap());
            let mut resumed = 0;
            for decided in 1..=count {
                resumed += u64::from(resumer.decide());
                prop_assert_eq!(resumed, (ratio * decided as f64).round() as u64);
            }
        }
    }
}
