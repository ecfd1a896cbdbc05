//! Quantities as types, so that a share is never added to a time.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A span of time in nanoseconds. Records write the number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
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

    /// Time between two readings of a clock; zero if it ran backwards.
    fn sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add for Nanos {
    type Output = Self;

    /// Sums of more than 584 years become the largest span.
    fn add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
}

impl Nanos {
    /// The span as seconds.
    #[must_use]
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SECOND as f64
    }

    /// The span as microseconds.
    #[must_use]
    pub const fn as_micros_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_MICRO
    }

    /// A whole number and the largest unit that loses nothing: `1500ms`; `FromStr` reads it back.
    #[must_use]
    pub fn exact(self) -> String {
        let (scale, unit) = UNITS
            .into_iter()
            .rev()
            .find(|(scale, _)| self.0 > 0 && self.0.is_multiple_of(*scale))
            .unwrap_or((1, if self.0 == 0 { "s" } else { "ns" }));
        format!("{}{unit}", self.0 / scale)
    }
}

impl FromStr for Nanos {
    type Err = NoSpan;

    /// A number, which may have a point, and a unit: `250us`, `1.5 s`, `10m`.
    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let refused = || NoSpan(text.to_owned());
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let (number, unit) = text.split_at(end);
        let unit = match unit.trim_start() {
            "\u{b5}s" | "\u{3bc}s" => "us",
            unit => unit,
        };
        let (scale, _) = UNITS.into_iter().find(|(_, name)| *name == unit).ok_or_else(refused)?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(scale).map(Self).ok_or_else(refused);
        }
        let nanos = number.parse::<f64>().map_err(|_| refused())? * scale as f64;
        // 2^53 ns, 104 days: above it a fraction cannot be told.
        (nanos <= 9_007_199_254_740_992.0).then_some(Self(nanos.round() as u64)).ok_or_else(refused)
    }
}

/// A text that is no span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSpan(pub String);

impl fmt::Display for NoSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no time; write a number and one of ns, us, ms, s, m, h", self.0)
    }
}

impl std::error::Error for NoSpan {}

/// Nanoseconds in a microsecond, the unit of every figure of CPU time per operation.
pub const NANOS_PER_MICRO: f64 = 1e3;
/// Microseconds in a second.
pub const MICROS_PER_SECOND: f64 = 1e6;
/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;
const UNITS: [(u64, &str); 6] = [
    (1, "ns"),
    (1_000, "us"),
    (1_000_000, "ms"),
    (NANOS_PER_SECOND, "s"),
    (60_000_000_000, "m"),
    (3_600_000_000_000, "h"),
];

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

/// A part of a whole, 0 to 1: one that was seen, one that is asked for, or a bound on one.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// No part.
    pub const ZERO: Self = Self(0.0);
    /// All of it.
    pub const ONE: Self = Self(1.0);

    /// A number of hundredths; more than a hundred are all.
    #[must_use]
    pub const fn from_percent(percent: u8) -> Self {
        Self(if percent < 100 { percent as f64 / 100.0 } else { 1.0 })
    }

    /// A number from 0 to 1; `None` if it is no such number.
    #[must_use]
    pub fn new(part: f64) -> Option<Self> {
        // `+ 0.0` turns minus zero into zero.
        (0.0..=1.0).contains(&part).then_some(Self(part + 0.0))
    }

    /// A part of a whole; `None` if there is no whole. A part above the whole is all of it.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Option<Self> {
        (whole > 0).then(|| Self((part as f64 / whole as f64).min(1.0)))
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Share {
    /// Formats as percent with one decimal: `0.4 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", self.0 * 100.0)
    }
}

/// A number of events per second; finite and above zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// A number per second; `None` unless it is finite and above zero.
    #[must_use]
    pub fn per_second(events: f64) -> Option<Self> {
        (events.is_finite() && events > 0.0).then_some(Self(events))
    }

    /// A whole number per second.
    #[must_use]
    pub const fn whole(events: NonZeroU32) -> Self {
        Self(events.get() as f64)
    }

    /// Events per second.
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
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

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, nanos) in [
            ("0s", Some(0)),
            ("7ns", Some(7)),
            ("250us", Some(250_000)),
            ("250\u{b5}s", Some(250_000)),
            ("1.5 s", Some(1_500_000_000)),
            ("10m", Some(600_000_000_000)),
            ("1h", Some(3_600_000_000_000)),
            ("18446744073709551615ns", Some(u64::MAX)),
            ("18446744073709551615us", None),
            ("99999999.5h", None),
            ("10", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.2.3s", None),
            ("1 day", None),
        ] {
            assert_eq!(text.parse().ok(), nanos.map(Nanos), "{text}");
        }
    }

    #[test]
    fn the_exact_form_reads_back() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500_000_000, "1500ms"),
            (60_000_000_000, "1m"),
            (90_000_000_000, "90s"),
            (u64::MAX, "18446744073709551615ns"),
        ] {
            assert_eq!(Nanos(nanos).exact(), text);
            assert_eq!(text.parse(), Ok(Nanos(nanos)));
        }
    }

    #[test]
    fn a_rate_is_above_zero_and_a_share_within_one() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Rate::per_second(rate), None, "{rate}");
        }
        assert_eq!(Rate::per_second(0.5).unwrap().to_string(), "0.5/s");
        for share in [-0.01, 1.01, f64::NAN] {
            assert_eq!(Share::new(share), None, "{share}");
        }
        assert_eq!(Share::new(1.0), Some(Share::ONE));
        assert_eq!(Share::new(-0.0).unwrap().to_string(), "0.0 %");
        assert_eq!(Share::from_percent(101), Share::ONE);
    }
}
