//! Estimates from rounds, always with their interval: a number by itself cannot be made here.
//!
//! The round is the unit of analysis. Intervals cover 95 %.

mod student;
mod paired;
mod binomial;

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

pub use binomial::{binomial_bounds, most_by_chance};
pub use paired::{BOOTSTRAP_MIN, holm, sign_flip_test, studentised_bootstrap, t_test};
pub use student::{t_quantile, t_tails};

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate, in the unit of what was estimated.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
    /// Number of rounds.
    pub runs: u32,
}

impl Estimate {
    /// The estimate with a function applied that rises everywhere, such as `exp`.
    fn map(self, rising: impl Fn(f64) -> f64) -> Self {
        // A rising function keeps the order of the ends, so that the interval stays an interval.
        let Self { value, low, high, runs } = self;
        Self { value: rising(value), low: rising(low), high: rising(high), runs }
    }

    /// The estimate in another unit; `by` is the number of those in the first.
    #[must_use]
    pub fn scaled(self, by: f64) -> Self {
        self.map(|value| value * by)
    }

    fn around(value: f64, error: f64, freedom: f64, runs: usize) -> Option<Self> {
        Self::within(value, upper(freedom)? * error, runs)
    }

    fn within(value: f64, half: f64, runs: usize) -> Option<Self> {
        let runs = u32::try_from(runs).ok()?;
        let all = Self { value, low: value - half, high: value + half, runs };
        // An infinite interval would print as a number and be none.
        (all.low.is_finite() && all.high.is_finite()).then_some(all)
    }
}

/// The mean with Student's t interval (Student, *The probable error of a mean*, 1908). `None` for
/// fewer than two values, or values that are not finite.
#[must_use]
pub fn mean(values: &[f64]) -> Option<Estimate> {
    let Moments { mean, variance, count } = moments(values)?;
    Estimate::around(mean, (variance / count).sqrt(), count - 1.0, values.len())
}

/// The median with an interval of order statistics, which asks nothing of the distribution
/// (Thompson, *Annals of Mathematical Statistics* 7, 1936): the innermost pair of ranks that covers
/// at least 95 %. `None` for fewer than six values, which no pair covers, or values not finite.
#[must_use]
pub fn median(values: &[f64]) -> Option<Estimate> {
    let sorted = sorted(values)?;
    let count = sorted.len();
    // How many values lie below the median is binomial: its lower tail, term by term.
    let mut term = -(count as f64) * std::f64::consts::LN_2;
    let mut tail = term.exp();
    let mut outside = 0;
    // Order statistics bound the median without assuming a distribution.
    while tail <= 1.0 - UPPER && outside <= count / 2 {
        outside += 1;
        term += ((count - outside + 1) as f64 / outside as f64).ln();
        tail += term.exp();
    }
    // With five values or fewer even the extremes do not cover 95 %.
    let rank = outside.checked_sub(1)?;
    let runs = u32::try_from(count).ok()?;
    let (low, high) = (*sorted.get(rank)?, *sorted.get(count - 1 - rank)?);
    Some(Estimate { value: middle(&sorted)?, low, high, runs })
}

/// Relative spread of the middle half: the interquartile range (quartiles as medians of the halves;
/// Tukey, *Exploratory Data Analysis*, 1977) divided by it. `None` for fewer than four values,
/// values not finite, or a median not above zero.
#[must_use]
pub fn spread(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values)?;
    // A middle value belongs to both halves.
    let half = sorted.len().div_ceil(2);
    let (lower, upper) = (sorted.get(..half)?, sorted.get(sorted.len() - half..)?);
    let median = middle(&sorted).filter(|median| *median > 0.0)?;
    (sorted.len() > 3).then_some((middle(upper)? - middle(lower)?) / median)
}

fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.iter().all(|value| value.is_finite()).then_some(sorted)
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some(f64::midpoint(*sorted.get(low)?, *sorted.get(high)?))
}

/// The mean of paired differences, second less first, with their t interval.
#[must_use]
pub fn difference(pairs: &[(f64, f64)]) -> Option<Estimate> {
    let differences: Vec<f64> = pairs.iter().map(|(first, second)| second - first).collect();
    mean(&differences)
}

/// Ratio of the second to the first: the geometric mean of paired ratios, with the t interval of
/// their logarithms. `None` unless all values are above zero.
#[must_use]
pub fn ratio(pairs: &[(f64, f64)]) -> Option<Estimate> {
    // The logarithm of a negative number is NaN, which `mean` refuses.
    let logs: Vec<f64> = pairs.iter().map(|(first, second)| second.ln() - first.ln()).collect();
    Some(mean(&logs)?.map(f64::exp))
}

/// The ratio of two sums over rounds, such as CPU time per operation: every operation counts alike,
/// however many its round has. Variance by linearisation (Cochran, *Sampling Techniques*, 3rd
/// edition, 1977, section 6.4). Pairs are of part and whole.
#[must_use]
pub fn ratio_of_sums(pairs: &[(f64, f64)]) -> Option<Estimate> {
    let whole: f64 = pairs.iter().map(|(_, whole)| whole).sum();
    let ratio = pairs.iter().map(|(part, _)| part).sum::<f64>() / whole;
    // The delta method: the error of a ratio of sums comes from the residuals about it (Cochran,
    // 1977, section 6.4).
    let residuals: Vec<f64> = pairs.iter().map(|(part, whole)| part - ratio * whole).collect();
    let Moments { variance, count, .. } = moments(&residuals)?;
    let error = (variance / count).sqrt() / (whole / count).abs();
    Estimate::around(ratio, error, count - 1.0, pairs.len())
}

/// Difference of the second mean from the first, for values that were not measured in pairs and may
/// scatter differently: the interval for unequal variances (Welch, *Biometrika* 34, 1947, with
/// Satterthwaite's degrees of freedom), and how likely means at least as far apart are where there
/// is no difference, both tails. Its `runs` are all values together.
///
/// `None` if either side has fewer than two values, or values that are not finite.
#[must_use]
pub fn welch(first: &[f64], second: &[f64]) -> Option<(Estimate, f64)> {
    let runs = first.len() + second.len();
    let WelchTest { change, error, freedom } = WelchTest::of(first, second)?;
    let chance = if change == 0.0 { 1.0 } else { t_tails(change / error, freedom)? };
    Some((Estimate::around(change, error, freedom, runs)?, chance))
}

/// Two means that were not measured in pairs.
struct WelchTest {
    /// The second less the first.
    change: f64,
    /// The standard error of that.
    error: f64,
    freedom: f64,
}

impl WelchTest {
    fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        let (first, second) = (moments(first)?, moments(second)?);
        // Welch and Satterthwaite: each side keeps its own variance.
        let (a, b) = (first.variance / first.count, second.variance / second.count);
        // Without any variance it does not matter how many degrees there are.
        let freedom = match (a + b) > 0.0 {
            true => (a + b).powi(2) / (a * a / (first.count - 1.0) + b * b / (second.count - 1.0)),
            false => 1.0,
        };
        Some(Self { change: second.mean - first.mean, error: (a + b).sqrt(), freedom })
    }
}

/// Welch's interval and test on logarithms: the ratio of the second geometric mean to the first.
/// `None` unless all values are above zero.
#[must_use]
pub fn welch_ratio(first: &[f64], second: &[f64]) -> Option<(Estimate, f64)> {
    let (change, chance) = welch(&logs(first), &logs(second))?;
    Some((change.map(f64::exp), chance))
}

/// Ratio of the second half's geometric mean to the first half's, with an interval as of [`welch`].
/// A middle value belongs to neither half.
///
/// Of so many series that are judged `together`, all intervals hold what they are of in 95 of 100
/// cases (Dunn, *Multiple comparisons among means*, Journal of the American Statistical Association
/// 56, 1961): looked at one by one, of 70 series that do not change some would always seem to.
/// `None` for fewer than four values, or unless all are above zero.
#[must_use]
pub fn steadiness(values: &[f64], together: usize) -> Option<Estimate> {
    let half = values.len() / 2;
    let (first, second) = (values.get(..half)?, values.get(values.len() - half..)?);
    let WelchTest { change, error, freedom } = WelchTest::of(&logs(first), &logs(second))?;
    // Bonferroni: of many series that do not change, one would seem to drift by chance.
    let outside = (1.0 - UPPER) / together.max(1) as f64;
    let within = t_quantile(1.0 - outside, freedom)? * error;
    Some(Estimate::within(change, within, values.len())?.map(f64::exp))
}

fn logs(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.ln()).collect()
}

/// Autocorrelation at lag 1 (Box and Jenkins, *Time Series Analysis*, 1970, section 2.1.5). `None`
/// for fewer than three values, or values that are all the same.
#[must_use]
pub fn lag1_autocorrelation(values: &[f64]) -> Option<f64> {
    let Moments { mean, variance, count } = moments(values)?;
    let products: f64 = values
        .iter()
        .zip(values.iter().skip(1))
        .map(|(value, next)| (value - mean) * (next - mean))
        .sum();
    (values.len() > 2 && variance > 0.0).then(|| products / (variance * (count - 1.0)))
}

struct Moments {
    mean: f64,
    /// Sample variance, with `count - 1` degrees of freedom.
    variance: f64,
    count: f64,
}

/// Computes the moments in two passes, which lose no digits to a large mean.
fn moments(values: &[f64]) -> Option<Moments> {
    let is_enough = values.len() > 1 && values.iter().all(|value| value.is_finite());
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    is_enough.then_some(Moments { mean, variance: squares / (count - 1.0), count })
}

/// Half the width of an interval in standard errors. For few rounds, which are nearly all there
/// are, it is computed once: a report of a thousand records has 40,000 intervals of a handful of
/// sizes.
fn upper(freedom: f64) -> Option<f64> {
    static KNOWN: [OnceLock<Option<f64>>; FREEDOM_KNOWN] =
        [const { OnceLock::new() }; FREEDOM_KNOWN];
    // Welch's degrees of freedom are fractions; only whole ones can be looked up.
    let known = KNOWN.get(freedom as usize).filter(|_| freedom.fract() == 0.0);
    match known {
        Some(known) => *known.get_or_init(|| t_quantile(UPPER, freedom)),
        None => t_quantile(UPPER, freedom),
    }
}

/// Both tails of a 95 % interval are 2.5 %.
const UPPER: f64 = 0.975;
/// Up to 63 degrees of freedom, whole ones.
const FREEDOM_KNOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(estimate: Option<Estimate>, want: [f64; 3], runs: u32) {
        let Estimate { value, low, high, runs: seen } = estimate.unwrap();
        for (seen, want) in [value, low, high].into_iter().zip(want) {
            assert!((seen - want).abs() <= 1e-9 * want.abs(), "{seen} instead of {want}");
        }
        assert_eq!(seen, runs);
    }

    /// Values by scipy; see `tests/fixtures/stats/make.py`.
    fn recorded(name: &str) -> [f64; 3] {
        let text = include_str!("../../../tests/fixtures/stats/estimates.tsv");
        let line = text.lines().find(|line| line.split('\t').next() == Some(name)).unwrap();
        let values: Vec<f64> = line.split('\t').skip(1).map(|v| v.parse().unwrap()).collect();
        values.try_into().unwrap()
    }

    const FIRST: [f64; 8] = [12.1, 11.8, 12.6, 12.3, 11.9, 12.4, 12.2, 12.0];
    const LITTLE: [f64; 9] = [0.4, -0.3, 0.5, 0.1, -0.2, 0.6, -0.1, 0.35, 0.05];
    const SECOND: [f64; 8] = [13.3, 12.6, 13.9, 13.1, 13.2, 13.0, 13.6, 12.9];

    fn pairs() -> Vec<(f64, f64)> {
        FIRST.into_iter().zip(SECOND).collect()
    }

    #[test]
    fn estimates_are_those_of_scipy() {
        assert_near(mean(&FIRST), recorded("mean"), 8);
        assert_near(difference(&pairs()), recorded("difference"), 8);
        assert_near(ratio(&pairs()), recorded("ratio"), 8);
        assert_near(ratio_of_sums(&pairs()), recorded("ratio_of_sums"), 8);
        let halves = [&FIRST[..], &[99.0], &SECOND].concat();
        assert_near(steadiness(&halves, 1), recorded("steadiness"), 17);
        assert_near(steadiness(&halves, 70), recorded("steadiness of 70"), 17);
        let (change, _) = welch(&FIRST, &LITTLE).unwrap();
        assert_near(Some(change), recorded("welch"), 17);
        let [lag, ..] = recorded("lag1");
        assert!((lag1_autocorrelation(&FIRST).unwrap() - lag).abs() < 1e-12);
    }

    #[test]
    fn too_little_gives_nothing_rather_than_a_bare_number() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0]), None);
        assert_eq!(mean(&[1.0, f64::NAN]), None);
        assert_eq!(ratio(&[(1.0, 2.0), (1.0, 0.0)]), None);
        assert_eq!(ratio(&[(1.0, 2.0), (-1.0, 2.0)]), None);
        assert_eq!(ratio_of_sums(&[(1.0, 0.0), (2.0, 0.0)]), None);
        assert_eq!(steadiness(&[1.0, 2.0, 3.0], 1), None);
        assert_eq!(lag1_autocorrelation(&[1.0, 2.0]), None);
        assert_eq!(lag1_autocorrelation(&[5.0; 4]), None);
    }

    #[test]
    fn values_without_any_spread_have_an_interval_of_no_width() {
        let same = Estimate { value: 5.0, low: 5.0, high: 5.0, runs: 4 };
        assert_eq!(mean(&[5.0; 4]), Some(same));
        assert_eq!(steadiness(&[5.0; 4], 1).unwrap().low, 1.0);
    }

    #[test]
    fn a_large_mean_costs_no_digits() {
        let values: Vec<f64> = FIRST.iter().map(|value| value + 1e9).collect();
        let [_, low, high] = recorded("mean");
        let estimate = mean(&values).unwrap();
        assert!(((estimate.high - estimate.low) - (high - low)).abs() < 1e-5);
    }

    #[test]
    fn a_median_has_the_ranks_of_the_tables() {
        // Conover, *Practical Nonparametric Statistics*, 3rd edition, 1999, table A3 at p = 0.5.
        for (count, low, high) in
            [(6, 1, 6), (9, 2, 8), (10, 2, 9), (15, 4, 12), (20, 6, 15), (25, 8, 18)]
        {
            let values: Vec<f64> = (1..=count).rev().map(f64::from).collect();
            let Estimate { value, low: seen, high: up, runs } = median(&values).unwrap();
            assert_eq!((seen, up), (f64::from(low), f64::from(high)), "{count}");
            assert_eq!((value, runs), (f64::from(count + 1) / 2.0, count as u32));
        }
        assert_eq!(median(&[1.0; 5]), None);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0, 3.0, 4.0, 5.0, f64::NAN]), None);
        let many: Vec<f64> = (1..=10_001).map(f64::from).collect();
        let Estimate { low, high, .. } = median(&many).unwrap();
        // 1.96 × √10,001 / 2 = 98 ranks to each side.
        assert!((low - 4_903.0).abs() < 2.0 && (high - 5_099.0).abs() < 2.0, "{low} {high}");
    }

    #[test]
    fn the_spread_is_of_the_middle_half_whatever_the_rest_does() {
        assert_eq!(spread(&[8.0, 9.0, 10.0, 11.0, 1e9]), Some(0.2));
        assert_eq!(spread(&[9.0, 11.0, 9.0, 11.0]), Some(0.2));
        assert_eq!(spread(&[5.0; 7]), Some(0.0));
        for nothing in [&[1.0, 2.0, 3.0][..], &[0.0; 4], &[1.0, 1.0, 1.0, f64::INFINITY], &[]] {
            assert_eq!(spread(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn drift_is_seen_as_autocorrelation() {
        let drift: Vec<f64> = (0..20).map(f64::from).collect();
        assert!(lag1_autocorrelation(&drift).unwrap() > 0.8);
        let zigzag: Vec<f64> = (0..20).map(|n| f64::from(n % 2)).collect();
        assert!(lag1_autocorrelation(&zigzag).unwrap() < -0.9);
    }
}
