//! Spelling of figures in every document that people read.

use std::fmt;

use super::{BytesEach, QuantileReport};
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

/// An estimate in nanoseconds as microseconds, which a table's head names: `41.2 ± 0.3`.
#[must_use]
pub fn micros(nanos: Option<&Estimate>) -> String {
    let Some(Estimate { value, low, high, .. }) = nanos else { return NONE.to_owned() };
    format!("{:.1} ± {:.1}", value / 1e3, (high - low) / 2e3)
}

/// A ratio with the ends of its interval: `1.32 ×, 1.28 to 1.36`.
#[must_use]
pub fn ratio(ratio: Option<&Estimate>) -> String {
    let Some(Estimate { value, low, high, .. }) = ratio else { return NONE.to_owned() };
    format!("{value:.2} ×, {low:.2} to {high:.2}")
}

/// A small number with half the width of its interval: `0.812 ± 0.109`.
#[must_use]
pub fn small(estimate: Option<&Estimate>) -> String {
    let Some(Estimate { value, low, high, .. }) = estimate else { return NONE.to_owned() };
    format!("{value:.3} ± {:.3}", (high - low) / 2.0)
}

/// A part of a whole, in hundredths: `41 %`.
#[must_use]
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| NONE.to_owned(), |share| format!("{:.0} %", share * 100.0))
}

/// An amount of memory: `12.3 MB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Memory per connection, with half the width of its interval if it was read more than once: `12345
/// ± 67 B`.
#[must_use]
pub fn bytes_each(each: &BytesEach) -> String {
    let BytesEach { bytes_per_connection, interval } = each;
    match interval {
        Some(Estimate { value, low, high, .. }) => {
            format!("{value:.0} ± {:.0} B", (high - low) / 2.0)
        }
        None => format!("{bytes_per_connection:.0} B"),
    }
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
        assert_eq!(micros(Some(&estimate(41_230.0, 310.4))), "41.2 ± 0.3");
        assert_eq!(micros(None), "-");
        assert_eq!(ratio(Some(&estimate(1.324, 0.04))), "1.32 ×, 1.28 to 1.36");
        assert_eq!(ratio(None), "-");
        assert_eq!(small(Some(&estimate(0.8123, 0.0114))), "0.812 ± 0.011");
        assert_eq!((percent(Some(0.412)).as_str(), percent(None).as_str()), ("41 %", "-"));
    }

    #[test]
    fn memory_is_in_the_unit_that_keeps_it_short() {
        for (count, text) in
            [(999, "999 B"), (1_000, "1.0 kB"), (12_345_678, "12.3 MB"), (4_000_000_000, "4.0 GB")]
        {
            assert_eq!(bytes(count), text);
        }
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
