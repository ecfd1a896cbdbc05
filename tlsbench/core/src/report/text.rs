//! How figures are spelled in every document that people read.

use std::fmt;

use super::QuantileReport;
use crate::stats::Estimate;
use crate::units::Nanos;

impl fmt::Display for QuantileReport {
    /// The time, with `>` before one that is only known to be more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at_least {
            f.write_str("> ")?;
        }
        self.ns.fmt(f)
    }
}

/// A rate with half the width of its interval: `1,234 ± 56`; `-` where there is none.
#[must_use]
pub fn per_second(rate: Option<&Estimate>) -> String {
    let Some(Estimate { value, low, high, .. }) = rate else { return NONE.to_owned() };
    format!("{} ± {}", decimal(*value), decimal((high - low) / 2.0))
}

/// An estimate in nanoseconds with half the width of its interval: `41.2 µs ± 310 ns`.
#[must_use]
pub fn time(nanos: Option<&Estimate>) -> String {
    let Some(Estimate { value, low, high, .. }) = nanos else { return NONE.to_owned() };
    // Saturating: below zero there is no time.
    format!("{} ± {}", Nanos(value.round() as u64), Nanos(((high - low) / 2.0).round() as u64))
}

/// A count with its thousands apart: `12,345`.
#[must_use]
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits for small numbers, none lost of large ones.
fn decimal(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => number(value.round() as u64),
    }
}

const NONE: &str = "-";

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, half: f64) -> Estimate {
        Estimate { value, low: value - half, high: value + half, runs: 10 }
    }

    #[test]
    fn figures_keep_their_interval_and_about_three_digits() {
        assert_eq!(per_second(Some(&estimate(12_345.6, 78.25))), "12,346 ± 78.2");
        assert_eq!(per_second(Some(&estimate(0.5, 0.014))), "0.50 ± 0.01");
        assert_eq!(per_second(None), "-");
        assert_eq!(time(Some(&estimate(41_230.0, 310.4))), "41.2 µs ± 310 ns");
        assert_eq!(time(None), "-");
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(count), text);
        }
    }

    #[test]
    fn a_quantile_that_missed_starts_hide_is_only_known_to_be_more() {
        let at = |at_least| QuantileReport { quantile: "p99", ns: Nanos(5_000), at_least };
        assert_eq!(at(false).to_string(), "5.00 µs");
        assert_eq!(at(true).to_string(), "> 5.00 µs");
    }
}
