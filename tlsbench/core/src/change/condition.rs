//! Conditions on what changed, such as `handshake_cpu > +5%`: for who wants an answer, not a table.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::metric::NoMetric;
use super::{Metric, RecordChanges};
use crate::compare::{InconclusiveReason, Verdict};
use crate::stats::Estimate;

/// A limit that a change must not pass: a metric, `>` or `<`, and a signed part in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// The metric that is limited.
    pub metric: Metric,
    /// True if more than the limit is too much; else less is.
    pub above: bool,
    /// The limit, as a part: 0.05 for `+5%`.
    pub limit: f64,
}

/// Result of a condition for one subject, or for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionOutcome {
    /// The whole interval is on the right side of the limit.
    Holds,
    /// The interval has the limit within, or there may be no verdict.
    CannotTell,
    /// The whole interval is past the limit.
    Fails,
}

/// A text that is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// The limit is none.
    #[error("`{0}` is no limit; write a sign, a number and `%`, such as `+5%`")]
    Limit(String),
    /// The metric is none.
    #[error(transparent)]
    Metric(#[from] NoMetric),
    /// There is no comparison in it.
    #[error("`{0}` compares nothing; write a metric, `>` or `<`, and a limit: `cpu > +5%`")]
    Sign(String),
}

impl Condition {
    /// Results of the condition for each subject that has its metric.
    #[must_use]
    pub fn outcomes<'a>(&self, changes: &'a RecordChanges) -> Vec<(&'a str, ConditionOutcome)> {
        // Nothing meets a condition where nothing succeeds.
        let is_concerned = |metric| metric == self.metric || metric == Metric::Failed;
        let concerned = changes.changes.iter().filter(|change| is_concerned(change.metric));
        concerned
            .map(|change| {
                let outcome = match (&change.ratio, change.verdict) {
                    (None, Verdict::CostsMore) => ConditionOutcome::Fails,
                    (None, Verdict::CostsLess) => ConditionOutcome::Holds,
                    (
                        Some(_),
                        Verdict::Inconclusive {
                            reason: InconclusiveReason::Spoiled | InconclusiveReason::TooLittle,
                        },
                    )
                    | (None, _) => ConditionOutcome::CannotTell,
                    (Some(ratio), _) => self.outcome(ratio),
                };
                (change.subject.as_str(), outcome)
            })
            .collect()
    }

    fn outcome(&self, ratio: &Estimate) -> ConditionOutcome {
        let limit = 1.0 + self.limit;
        // The condition fails only if the whole interval is past the limit; if only a part is,
        // nobody can tell.
        let (inner, outer) = match self.above {
            true => (ratio.low - limit, ratio.high - limit),
            false => (limit - ratio.high, limit - ratio.low),
        };
        match (inner > 0.0, outer > 0.0) {
            (true, _) => ConditionOutcome::Fails,
            (false, true) => ConditionOutcome::CannotTell,
            (false, false) => ConditionOutcome::Holds,
        }
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let at = text.find(['<', '>']).ok_or_else(|| ConditionError::Sign(text.to_owned()))?;
        let (metric, rest) = text.split_at(at);
        let above = rest.starts_with('>');
        let limit = rest.trim_start_matches(['<', '>']).trim();
        let refused = || ConditionError::Limit(limit.to_owned());
        // A number without a sign could be meant as a ratio, or as a value.
        let number = limit.strip_suffix('%').map(str::trim).ok_or_else(refused)?;
        let is_plain = number.starts_with(['+', '-'])
            && number.bytes().skip(1).all(|byte| byte.is_ascii_digit() || byte == b'.');
        let percent = number.parse::<f64>().ok().filter(|percent| is_plain && *percent > -100.0);
        let metric = metric.trim().parse()?;
        Ok(Self { metric, above, limit: percent.ok_or_else(refused)? / 100.0 })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.above { '>' } else { '<' };
        // Rounded, for 0.07 × 100 is not 7 to a float.
        let percent = (self.limit * 1e8).round() / 1e6;
        write!(f, "{} {sign} {percent:+}%", self.metric)
    }
}

impl fmt::Display for ConditionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CannotTell => "cannot tell",
            Self::Fails => "fails",
            Self::Holds => "holds",
        })
    }
}
