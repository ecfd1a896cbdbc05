//! Bounds on a share, from hits among trials.

use super::student::incomplete_beta;

/// The exact 95 % interval of a share (Clopper and Pearson, *Biometrika* 26, 1934): shares outside
/// would give this few hits, or this many, in fewer than 25 of 1,000 cases. `None` without trials,
/// or with more hits than trials.
#[must_use]
pub fn binomial_bounds(hits: u64, trials: u64) -> Option<(f64, f64)> {
    let misses = trials.checked_sub(hits).filter(|_| trials > 0)?;
    let (seen, missed) = (hits as f64, misses as f64);
    // P(X >= hits) is I_p(hits, misses + 1), and P(X <= hits) is 1 - I_p(hits + 1, misses).
    let low = if hits == 0 { 0.0 } else { share_where(TAIL, seen, missed + 1.0) };
    let high = if misses == 0 { 1.0 } else { share_where(1.0 - TAIL, seen + 1.0, missed) };
    Some((low, high))
}

/// The most hits among trials that chance explains, if each hits with a probability of `share`:
/// more than that have a probability below `share` (the exact upper tail of a binomial
/// distribution).
#[must_use]
pub fn most_by_chance(trials: u32, share: f64) -> u32 {
    let count = f64::from(trials);
    let mut term = (count * (-share).ln_1p()).exp();
    let mut up_to = term;
    for most in 0..trials {
        if 1.0 - up_to < share {
            return most;
        }
        let done = f64::from(most);
        // Each probability follows from the one before it; factorials would overflow.
        term *= (count - done) / (done + 1.0) * share / (1.0 - share);
        up_to += term;
    }
    trials
}

/// The share at which the incomplete beta function, which rises with it, has a value.
fn share_where(value: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        // The function rises with the share, so bisection finds the place.
        if incomplete_beta(middle, a, b) < value {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Both tails of a 95 % interval are 2.5 %.
const TAIL: f64 = 0.025;
/// Bisections: the bits of a number between 0 and 1.
const HALVINGS: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability of this number of hits or fewer, added up term by term.
    fn at_most(hits: u64, trials: u64, share: f64) -> f64 {
        // By logarithms: the first terms may be smaller than any number.
        let mut term = trials as f64 * (-share).ln_1p();
        let mut sum = term.exp();
        for k in 1..=hits {
            term += ((trials - k + 1) as f64 / k as f64 * share / (1.0 - share)).ln();
            sum += term.exp();
        }
        sum
    }

    #[test]
    fn beyond_either_bound_lies_a_chance_of_25_in_1000() {
        for (hits, trials) in [(1, 5), (3, 10), (50, 100), (20, 500), (480, 500), (700, 1_000)] {
            let (low, high) = binomial_bounds(hits, trials).unwrap();
            let above = 1.0 - at_most(hits - 1, trials, low);
            assert!((above - 0.025).abs() < 1e-9, "{hits} of {trials}: {above}");
            let below = at_most(hits, trials, high);
            assert!((below - 0.025).abs() < 1e-9, "{hits} of {trials}: {below}");
        }
    }

    #[test]
    fn chance_explains_what_the_tables_say() {
        // By scipy's `binom.sf(most, judged, 0.05)`: of 20, P(X > 2) = 0.075 and P(X > 3) = 0.016;
        // of 100, P(X > 8) = 0.063 and P(X > 9) = 0.028.
        for (judged, most) in [(0, 0), (5, 1), (20, 3), (30, 4), (100, 9), (1_000, 62)] {
            assert_eq!(most_by_chance(judged, 0.05), most, "{judged}");
        }
    }

    #[test]
    fn of_none_and_all_one_bound_is_the_end() {
        for trials in [1, 6, 500, 100_000] {
            // Where all miss, the share at which that has 2.5 %.
            let end = 1.0 - 0.025_f64.powf(1.0 / trials as f64);
            let (low, high) = binomial_bounds(0, trials).unwrap();
            assert!(low == 0.0 && (high - end).abs() < 1e-12, "{trials}: {high}");
            let (low, high) = binomial_bounds(trials, trials).unwrap();
            assert!(high == 1.0 && (low - (1.0 - end)).abs() < 1e-12, "{trials}: {low}");
        }
        assert_eq!((binomial_bounds(0, 0), binomial_bounds(2, 1)), (None, None));
    }
}
