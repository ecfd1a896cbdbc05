//! Numbers that look random and follow from a seed: the same seed gives the same run.
//!
//! Nothing here is fit for secrets.

/// Steele, Lea and Flood, *Fast splittable pseudorandom number generators* (OOPSLA 2014), with the
/// constants of Vigna's `splitmix64.c`.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from [0, 1): 53 bits, as many as a float holds.
    pub(crate) const fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly below `bound`; 0 where that is 0. Lemire, *Fast random integer generation in an
    /// interval* (ACM TOMACS 2019), without its rejection: uneven by at most `bound` parts in 2^64.
    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        ((self.next() as u128 * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // Outputs of Vigna's `splitmix64.c` for this seed.
        let mut bits = SplitMix64::new(1_234_567);
        for want in [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
        ] {
            assert_eq!(bits.next(), want);
        }
    }

    #[test]
    fn numbers_below_a_bound_are_all_of_them_about_equally_often() {
        let mut bits = SplitMix64::new(1);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[bits.below(7)] += 1;
        }
        // Six standard deviations of a binomial with 10,000 expected: √(10,000 × 6/7) × 6 = 556.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 556), "{counts:?}");
        assert_eq!((bits.below(0), bits.below(1)), (0, 0));
        let mean = (0..10_000).map(|_| bits.unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
