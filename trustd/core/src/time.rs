//! Points in time, to the second, in UTC, as certificates carry them and filters compare them.
//!
//! This module never reads a clock; callers pass the time.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

/// Seconds since 1970-01-01T00:00:00Z, negative before it.
///
/// Wide enough for `99991231235959Z`, which RFC 5280 (4.1.2.5) gives the meaning "no expiry" and
/// which `jiff::Timestamp` cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point `seconds` after the epoch.
    #[must_use]
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// The point `seconds` into the day `year`-`month`-`day`; `None` if there is no such day.
    #[must_use]
    pub fn from_civil(year: i16, month: i8, day: i8, seconds: i64) -> Option<Self> {
        let midnight = Date::new(year, month, day).ok()?.at(0, 0, 0, 0);
        Some(Self(midnight.duration_since(EPOCH).as_secs().checked_add(seconds)?))
    }

    /// A second later.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whole days from `self` to `later`, rounded down; negative when `later` is earlier.
    #[must_use]
    pub const fn days_until(self, later: Self) -> i64 {
        later.0.saturating_sub(self.0).div_euclid(SECONDS_PER_DAY)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, such as `2026-11-21T09:44:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EPOCH.checked_add(SignedDuration::from_secs(self.0)) {
            Ok(t) => write!(
                f,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                t.year(),
                t.month(),
                t.day(),
                t.hour(),
                t.minute(),
                t.second()
            ),
            // Beyond the years that RFC 3339 can write.
            Err(_) => write!(f, "{}s", self.0),
        }
    }
}

/// The text is not an RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an RFC 3339 time such as `2027-01-31T00:00:00Z`")]
pub struct BadTimestamp {
    text: String,
    source: jiff::Error,
}

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    /// Reads RFC 3339, any offset.
    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        text.parse::<jiff::Timestamp>()
            .map(|t| Self(t.as_second()))
            .map_err(|source| BadTimestamp { text: text.to_owned(), source })
    }
}

const EPOCH: DateTime = Date::constant(1970, 1, 1).at(0, 0, 0, 0);
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_certificates_carry() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (-631_152_000, "1950-01-01T00:00:00Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(Timestamp::from_unix(seconds).to_string(), text);
        }
        assert_eq!(Timestamp::from_unix(i64::MAX).to_string(), format!("{}s", i64::MAX));
    }

    #[test]
    fn reads_rfc3339_and_says_what_is_wrong_with_other_text() {
        let t: Timestamp = "2026-11-21T10:44:00+01:00".parse().unwrap();
        assert_eq!(t.to_string(), "2026-11-21T09:44:00Z");
        let error = "tomorrow".parse::<Timestamp>().unwrap_err();
        assert!(error.to_string().starts_with("`tomorrow` is not an RFC 3339 time"), "{error}");
    }

    #[test]
    fn counts_days_towards_and_past_expiry() {
        let day = Timestamp::from_unix(SECONDS_PER_DAY);
        let epoch = Timestamp::from_unix(0);
        assert_eq!(epoch.days_until(day), 1);
        assert_eq!(day.days_until(epoch), -1);
        assert_eq!(epoch.days_until(Timestamp::from_unix(-1)), -1);
    }
}
