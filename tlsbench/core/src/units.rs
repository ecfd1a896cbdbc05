//! Quantities as types, so that a share is never added to a time.

use std::fmt;
use std::time::Duration;

/// A span of time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// A number of microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// A number of milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }
}

impl std::ops::Sub for Nanos {
    type Output = Self;

    /// What lies between two readings of a clock; nothing when it ran backwards.
    fn sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl From<Duration> for Nanos {
    /// Spans of more than 584 years become the largest span.
    fn from(span: Duration) -> Self {
        Self(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Nanos {
    /// Three significant digits and the unit that keeps them short: `41 ns`, `1.25 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (divisor, unit) = match self.0 {
            0..1_000 => return write!(f, "{} ns", self.0),
            1_000..1_000_000 => (1e3, "µs"),
            1_000_000..1_000_000_000 => (1e6, "ms"),
            _ => (1e9, "s"),
        };
        let value = self.0 as f64 / divisor;
        let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        write!(f, "{value:.decimals$} {unit}")
    }
}

/// A part of a whole, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// A number of hundredths.
    #[must_use]
    pub const fn from_percent(percent: u32) -> Self {
        Self(percent as f64 / 100.0)
    }

    /// A part of a whole; nothing where there is no whole. A part above the whole is all of it.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Option<Self> {
        (whole > 0).then(|| Self((part as f64 / whole as f64).min(1.0)))
    }
}

impl fmt::Display for Share {
    /// In hundredths with one decimal: `0.4 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", self.0 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_with_the_unit_that_keeps_them_short() {
        for (nanos, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (41_230, "41.2 µs"),
            (1_250_000, "1.25 ms"),
            (987_654_321, "988 ms"),
            (2_500_000_000, "2.50 s"),
        ] {
            assert_eq!(Nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn a_span_too_long_is_the_longest() {
        assert_eq!(Nanos::from(Duration::MAX), Nanos(u64::MAX));
        assert_eq!(Nanos::from_millis(u64::MAX), Nanos(u64::MAX));
    }

    #[test]
    fn a_share_of_nothing_is_unknown() {
        assert_eq!(Share::of(1, 0), None);
        assert_eq!(Share::of(1, 8).unwrap().to_string(), "12.5 %");
        assert_eq!(Share::of(9, 8), Some(Share::from_percent(100)));
        assert!(Share::of(1, 200).unwrap() < Share::from_percent(1));
    }
}
