//! Judgement on a measured value: fit, or unfit with the cause and the cure.
//!
//! A value without a limit, or a complaint without a cure, cannot be written down here.

mod limits;
mod gate;
mod note;
mod reason;

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

pub(crate) use gate::drift;
pub use gate::{Family, Gate, cure, generator_busy, judge, judge_target};
pub use limits::{ACHIEVED_MIN_PERCENT, ERRORS_MAX, GENERATOR_BUSY_MAX, OTHERS_MAX, STEAL_MAX};
pub use note::remarks;

/// Something that spoils a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Observation, with the number.
    pub seen: String,
    /// Likely cause.
    pub cause: String,
    /// Cure.
    pub cure: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, likely because {}; {}", self.seen, self.cause, self.cure)
    }
}

/// The judgement on one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// Within the limit.
    Fit,
    /// Outside of the limit.
    Unfit(Warning),
    /// Could not be read, so not judged.
    Unknown,
}

impl Fitness {
    /// The verdict in one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Unfit(_) => "unfit",
            Self::Unknown => "unknown",
        }
    }
}

/// One line of a check: a value, the limit it is held against, and the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckLine {
    /// Name of the check.
    pub name: &'static str,
    /// Value that was found.
    pub value: String,
    /// Limit.
    pub limit: String,
    /// Judgement.
    pub verdict: Fitness,
}

impl CheckLine {
    /// A line for something that could not be read.
    #[must_use]
    pub fn unknown(name: &'static str, limit: impl Into<String>) -> Self {
        let value = "unknown".to_owned();
        Self { name, value, limit: limit.into(), verdict: Fitness::Unknown }
    }

    /// The warning, if the value is unfit.
    #[must_use]
    pub const fn warning(&self) -> Option<&Warning> {
        match &self.verdict {
            Fitness::Unfit(warning) => Some(warning),
            Fitness::Fit | Fitness::Unknown => None,
        }
    }
}

impl Serialize for CheckLine {
    /// One flat object; `cause` and `cure` are null unless the value is unfit.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let warning = self.warning();
        let mut line = serializer.serialize_struct("Line", 6)?;
        line.serialize_field("name", self.name)?;
        line.serialize_field("value", &self.value)?;
        line.serialize_field("limit", &self.limit)?;
        line.serialize_field("verdict", self.verdict.word())?;
        line.serialize_field("cause", &warning.map(|warning| &warning.cause))?;
        line.serialize_field("cure", &warning.map(|warning| &warning.cure))?;
        line.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unfit() -> CheckLine {
        let warning = Warning {
            seen: "steal is 3.0 %".into(),
            cause: "the host is shared".into(),
            cure: "use a dedicated machine".into(),
        };
        CheckLine {
            name: "steal",
            value: "3.0 %".into(),
            limit: "at most 1.0 %".into(),
            verdict: Fitness::Unfit(warning),
        }
    }

    #[test]
    fn a_warning_says_what_was_seen_why_and_what_to_do() {
        assert_eq!(
            unfit().warning().unwrap().to_string(),
            "steal is 3.0 %, likely because the host is shared; use a dedicated machine"
        );
    }

    #[test]
    fn a_line_is_one_flat_json_object() {
        let json = serde_json::to_value(unfit()).unwrap();
        assert_eq!(json["verdict"], "unfit");
        assert_eq!(json["cure"], "use a dedicated machine");
        let json = serde_json::to_value(CheckLine::unknown("steal", "at most 1.0 %")).unwrap();
        assert_eq!((&json["value"], &json["verdict"]), (&"unknown".into(), &"unknown".into()));
        assert!(json["cause"].is_null());
    }
}
