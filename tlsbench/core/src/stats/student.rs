//! Quantiles of Student's t distribution: to eleven digits up to 1,000 degrees of freedom, and to
//! nine up to 100,000.

/// The value below which a t-distributed number lies with this probability.
///
/// `None` unless the probability is within 0 and 1 and the degrees of freedom are above 0. The
/// distribution is a regularised incomplete beta function (Abramowitz and Stegun, 26.7.1), which is
/// bisected.
#[must_use]
pub fn t_quantile(probability: f64, freedom: f64) -> Option<f64> {
    if !(probability > 0.0 && probability < 1.0 && freedom > 0.0 && freedom.is_finite()) {
        return None;
    }
    // The distribution is symmetric; one half is enough to search.
    if probability < 0.5 {
        return t_quantile(1.0 - probability, freedom).map(|t| -t);
    }
    let tails = 2.0 * (1.0 - probability);
    let above = |t: f64| tails_beyond(t, freedom) > tails;
    let (mut low, mut high) = (0.0, 1.0);
    // Doubles until the interval holds the quantile: for one degree of freedom the tail is long.
    while above(high) {
        (low, high) = (high, high * 2.0);
        if !high.is_finite() {
            return None;
        }
    }
    // Each step halves the interval; 100 leave less than a float can tell.
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if above(middle) { low = middle } else { high = middle }
    }
    Some(f64::midpoint(low, high))
}

/// Probability that a t-distributed number is at least as far from zero as `t`, on either side.
///
/// `None` unless the degrees of freedom are above 0 and `t` is a number; an infinite one has 0.
#[must_use]
pub fn t_tails(t: f64, freedom: f64) -> Option<f64> {
    let is_fit = freedom > 0.0 && freedom.is_finite() && !t.is_nan();
    is_fit.then(|| if t.is_infinite() { 0.0 } else { tails_beyond(t, freedom) })
}

/// Both tails together: I_x(f/2, 1/2) with x = f / (f + t²), which falls as t rises.
fn tails_beyond(t: f64, freedom: f64) -> f64 {
    incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// The regularised incomplete beta function `I_x(a, b)`, by the continued fraction of Abramowitz
/// and Stegun, 26.5.8, evaluated after Lentz (Press et al., *Numerical Recipes*, section 6.4).
pub(super) fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    // The fraction converges fast on one side of this point; symmetry gives the other.
    if x < (a + 1.0) / (a + b + 2.0) {
        front.exp() * fraction(x, a, b) / a
    } else {
        1.0 - front.exp() * fraction(1.0 - x, b, a) / b
    }
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for step in 1..=STEPS_MAX {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        result *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        let change = d * c;
        result *= change;
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    result
}

/// The logarithm of the gamma function for arguments above zero, by Stirling's series (Abramowitz
/// and Stegun, 6.1.41) after shifting the argument to 10 or more: error below 2e-14 there.
fn ln_gamma(x: f64) -> f64 {
    let (mut shifted, mut product) = (x, 1.0);
    while shifted < 10.0 {
        product *= shifted;
        shifted += 1.0;
    }
    let square = 1.0 / (shifted * shifted);
    let series = STIRLING.iter().rev().fold(0.0, |sum, term| sum * square + term) / shifted;
    (shifted - 0.5) * shifted.ln() - shifted + HALF_LN_TAU + series - product.ln()
}

/// B(2k) / (2k (2k - 1)) with Bernoulli's numbers.
const STIRLING: [f64; 5] = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1_260.0, -1.0 / 1_680.0, 1.0 / 1_188.0];
/// Half the logarithm of 2π.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;
const TINY: f64 = 1e-300;
/// About the root of the larger argument is needed: enough for 10^8 degrees of freedom.
const STEPS_MAX: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_scipy() {
        let text = include_str!("../../../../tests/fixtures/stats/t.tsv");
        let mut count = 0;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let numbers: Vec<f64> = line.split('\t').map(|text| text.parse().unwrap()).collect();
            let seen = t_quantile(numbers[0], numbers[1]).unwrap();
            let error = (seen - numbers[2]).abs() / numbers[2].abs().max(1e-3);
            let limit = if numbers[1] > 1e3 { 1e-9 } else { 1e-11 };
            assert!(error < limit, "{line}: {seen}, off by {error:e}");
            count += 1;
        }
        assert!(count > 100);
    }

    #[test]
    fn tails_are_what_quantiles_leave() {
        for (probability, freedom) in [(0.6, 3.0), (0.975, 7.0), (0.9995, 19.0), (0.99, 0.7)] {
            let t = t_quantile(probability, freedom).unwrap();
            for t in [t, -t] {
                let tails = t_tails(t, freedom).unwrap();
                assert!((tails - 2.0 * (1.0 - probability)).abs() < 1e-12, "{t}: {tails}");
            }
        }
        assert_eq!((t_tails(0.0, 3.0), t_tails(f64::NEG_INFINITY, 3.0)), (Some(1.0), Some(0.0)));
        assert_eq!((t_tails(f64::NAN, 3.0), t_tails(1.0, 0.0)), (None, None));
    }

    #[test]
    fn quantiles_are_symmetric_and_refuse_nonsense() {
        assert_eq!(t_quantile(0.5, 3.0).map(|t| t.abs() < 1e-12), Some(true));
        assert_eq!(t_quantile(0.025, 3.0), t_quantile(0.975, 3.0).map(|t| -t));
        for (probability, freedom) in
            [(0.0, 3.0), (1.0, 3.0), (f64::NAN, 3.0), (0.9, 0.0), (0.9, f64::NAN), (0.9, -1.0)]
        {
            assert_eq!(t_quantile(probability, freedom), None);
        }
    }
}
