//! Changes between two sides of records. Each record is one observation: rounds within a run are
//! alike for reasons that another run does not share, so they count for nothing here.
//!
//! Records that did not measure the same are not compared.

mod condition;
mod metric;
mod observed;
mod parameters;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

pub use condition::{Condition, ConditionError, ConditionOutcome};
pub use metric::Metric;
pub use observed::Observed;

use crate::compare::{InconclusiveReason, Verdict, word};
use crate::stats::{Estimate, difference, holm, ratio, t_test, welch, welch_ratio};

/// Relation between the records of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// The first of one side was measured beside the first of the other, and so on.
    InOrder,
    /// No pairs.
    None,
}

/// Changes, subject by subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordChanges {
    /// The version of this format, [`SCHEMA`].
    pub schema: u32,
    /// Names of the records whose change it is.
    pub records: Vec<String>,
    /// The records that they are held against.
    pub against: Vec<String>,
    /// True if they were compared in pairs.
    pub paired: bool,
    /// Declared differences between the sides: key, value of these records, of the others.
    pub axes: Vec<ParameterDifference>,
    /// Each change of a metric.
    pub changes: Vec<MetricChange>,
}

/// One metric of one subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricChange {
    /// The target, or placement and workload.
    pub subject: String,
    /// The metric.
    pub metric: Metric,
    /// The mean of the records whose change it is.
    pub mean: f64,
    /// The mean of the others.
    pub against: f64,
    /// Increase in the metric's unit; `None` if a side has one record.
    pub difference: Option<Estimate>,
    /// Ratio of geometric means.
    pub ratio: Option<Estimate>,
    /// Probability of an effect at least as large if nothing changed, adjusted over all metrics and
    /// subjects (Holm 1979).
    pub chance: Option<f64>,
    /// The word for it.
    pub verdict: Verdict,
}

/// A parameter that two records do not share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ParameterDifference {
    /// The parameter.
    pub key: String,
    /// The value on one side, if it has one.
    pub this: Option<String>,
    /// The value on the other.
    pub against: Option<String>,
}

/// Records that cannot be compared.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// An axis is no parameter of any record.
    #[error(
        "`{axis}` is no parameter of these records; name one of theirs, or a table of several: \
         {known}"
    )]
    Axis {
        /// The axis.
        axis: String,
        /// Keys that exist.
        known: String,
    },
    /// Parameters differ.
    #[error(
        "`{this}` and `{against}` did not measure the same, so what differs could have any cause; \
         measure again, or name with --axis what is under test:{}", listed(.differences)
    )]
    Differ {
        /// A record.
        this: String,
        /// Another.
        against: String,
        /// Parameters that differ.
        differences: Vec<ParameterDifference>,
    },
    /// A run was cut short.
    #[error("`{record}` ended before its time ({why}); leave it out")]
    Interrupted {
        /// The record.
        record: String,
        /// The error.
        why: String,
    },
    /// There is nothing on one side.
    #[error("no record to compare {0}")]
    Nothing(&'static str),
    /// The sides have no measured subject in common.
    #[error("the records have no figure in common; see whether anything succeeded in them")]
    NothingCommon,
    /// One run is there twice.
    #[error("`{one}` and `{other}` are the same run, which would count twice; leave one out")]
    Twice {
        /// A record.
        one: String,
        /// The other.
        other: String,
    },
    /// The sides have not as many records, and are to be compared in pairs.
    #[error("{this} records cannot be paired with {against}; give as many on each side")]
    Unpaired {
        /// Records of one side.
        this: usize,
        /// Records of the other side.
        against: usize,
    },
}

/// Compares the records of `these` with those of `against`.
///
/// Unpaired records are compared by Welch's interval and test (on logarithms for ratios), paired
/// ones by Student's on differences and log ratios. Verdicts take [`RECORDS_MIN`] records a side.
///
/// # Errors
/// When a run is there twice or was cut short, or when parameters differ: those on one side, and
/// those between the sides that no axis covers. An axis is a key, or the table that it stands in.
pub fn changes(
    these: &[Observed],
    against: &[Observed],
    axes: &[String],
    pairing: Pairing,
) -> Result<RecordChanges, ChangeError> {
    check(these, against, pairing)?;
    let differing = axes_between(these, against, axes)?;
    let all = || these.iter().chain(against);
    let of_both: BTreeSet<&(String, Metric)> = all()
        .flat_map(|record| record.values.keys())
        // A figure that one record lacks would compare different sets of records.
        .filter(|key| all().all(|record| record.values.contains_key(*key)))
        .collect();
    let dead = dead(these, against);
    if of_both.is_empty() && dead.is_empty() {
        return Err(ChangeError::NothingCommon);
    }
    let values = |side: &[Observed], key: &(String, Metric)| -> Vec<f64> {
        side.iter().filter_map(|record| record.values.get(key).copied()).collect()
    };
    let mut changes: Vec<MetricChange> = of_both
        .iter()
        .map(|key| MetricChange::new(key, &values(these, key), &values(against, key), pairing))
        .collect();
    let chances: Vec<f64> = changes.iter().filter_map(|change| change.chance).collect();
    let mut together = holm(&chances).into_iter();
    // The record is the unit here: rounds of one run share its machine state.
    let is_enough = these.len().min(against.len()) >= RECORDS_MIN;
    for (change, key) in changes.iter_mut().zip(of_both) {
        // Holm over all metrics and subjects: with dozens of them, some would seem to change by
        // chance.
        change.chance = change.chance.and_then(|_| together.next());
        let is_spoiled =
            all().any(|record| record.spoiled.contains(&(key.0.clone(), key.1.family())));
        change.verdict = change.judge(is_enough, is_spoiled);
    }
    changes.extend(dead);
    changes.sort_by(|one, other| (&one.subject, one.metric).cmp(&(&other.subject, other.metric)));
    let names = |side: &[Observed]| side.iter().map(|record| record.name.clone()).collect();
    Ok(RecordChanges {
        schema: SCHEMA,
        records: names(these),
        against: names(against),
        paired: pairing == Pairing::InOrder,
        axes: differing,
        changes,
    })
}

/// Subjects of which nothing succeeded in a record, so that it has no figures to compare. Where
/// that is so on one side only it is a verdict, however few records there are: no chance makes
/// everything fail.
fn dead(these: &[Observed], against: &[Observed]) -> Vec<MetricChange> {
    let all = || these.iter().chain(against);
    let subjects: BTreeSet<&String> = all()
        .flat_map(|record| record.failed.keys())
        .filter(|subject| all().any(|record| record.is_dead(subject)))
        .collect();
    let change = |subject: &String| {
        let is_dead = |side: &[Observed]| side.iter().any(|record| record.is_dead(subject));
        let percent = |side: &[Observed]| {
            let shares: Vec<f64> =
                side.iter().filter_map(|record| record.failed.get(subject).copied()).collect();
            100.0 * shares.iter().sum::<f64>() / shares.len().max(1) as f64
        };
        MetricChange {
            subject: subject.clone(),
            metric: Metric::Failed,
            mean: percent(these),
            against: percent(against),
            difference: None,
            ratio: None,
            chance: None,
            verdict: match (is_dead(these), is_dead(against)) {
                // Nothing succeeding is worse beyond doubt; it needs no statistics.
                (true, false) => Verdict::CostsMore,
                (false, true) => Verdict::CostsLess,
                _ => Verdict::Inconclusive { reason: InconclusiveReason::Spoiled },
            },
        }
    };
    subjects.into_iter().map(change).collect()
}

impl MetricChange {
    /// Everything but the verdict; the chance is of this alone.
    fn new(key: &(String, Metric), these: &[f64], against: &[f64], pairing: Pairing) -> Self {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let pairs = || against.iter().copied().zip(these.iter().copied()).collect::<Vec<_>>();
        let (difference, by_ratio) = match pairing {
            Pairing::InOrder => {
                let pairs = pairs();
                let logs: Vec<f64> = pairs.iter().map(|(a, b)| b.ln() - a.ln()).collect();
                (difference(&pairs), ratio(&pairs).zip(t_test(&logs)))
            }
            Pairing::None => {
                (welch(against, these).map(|(all, _)| all), welch_ratio(against, these))
            }
        };
        Self {
            subject: key.0.clone(),
            metric: key.1,
            mean: mean(these),
            against: mean(against),
            difference,
            ratio: by_ratio.map(|(ratio, _)| ratio),
            chance: by_ratio.map(|(_, chance)| chance),
            verdict: Verdict::Inconclusive { reason: InconclusiveReason::TooLittle },
        }
    }

    fn judge(&self, is_enough: bool, is_spoiled: bool) -> Verdict {
        match (self.chance, &self.ratio) {
            _ if is_spoiled => Verdict::Inconclusive { reason: InconclusiveReason::Spoiled },
            (Some(chance), Some(ratio)) if is_enough => word(chance, ratio, self.metric.margin()),
            _ => Verdict::Inconclusive { reason: InconclusiveReason::TooLittle },
        }
    }

    /// The verdict in words that suit what is no cost either.
    #[must_use]
    pub fn words(&self) -> String {
        match self.verdict {
            Verdict::CostsLess if self.metric == Metric::Failed => "better".to_owned(),
            Verdict::CostsMore if self.metric == Metric::Failed => "worse".to_owned(),
            Verdict::CostsLess => "less".to_owned(),
            Verdict::CostsMore => "more".to_owned(),
            Verdict::Inconclusive { reason: InconclusiveReason::TooLittle } => {
                format!("no verdict: fewer than {RECORDS_MIN} records on a side")
            }
            Verdict::CannotTell { .. } | Verdict::Equal { .. } | Verdict::Inconclusive { .. } => {
                self.verdict.to_string()
            }
        }
    }
}

fn check(these: &[Observed], against: &[Observed], pairing: Pairing) -> Result<(), ChangeError> {
    for (side, what) in [(these, "of which to tell"), (against, "to hold them against")] {
        if side.is_empty() {
            return Err(ChangeError::Nothing(what));
        }
    }
    let mut seen: BTreeMap<&(String, String), &str> = BTreeMap::new();
    for record in these.iter().chain(against) {
        if let Some(why) = &record.interrupted {
            let (record, why) = (record.name.clone(), why.clone());
            return Err(ChangeError::Interrupted { record, why });
        }
        // The same run under two file names would count as two observations.
        if let Some(one) = seen.insert(&record.span, &record.name) {
            let (one, other) = (one.to_owned(), record.name.clone());
            return Err(ChangeError::Twice { one, other });
        }
    }
    if pairing == Pairing::InOrder && these.len() != against.len() {
        let (this, against) = (these.len(), against.len());
        return Err(ChangeError::Unpaired { this, against });
    }
    Ok(())
}

/// Differences between the sides, if axes cover all of them.
fn axes_between(
    these: &[Observed],
    against: &[Observed],
    axes: &[String],
) -> Result<Vec<ParameterDifference>, ChangeError> {
    let (Some(this), Some(other)) = (these.first(), against.first()) else {
        return Err(ChangeError::Nothing("at all"));
    };
    for axis in axes {
        let keys: BTreeSet<&str> =
            this.parameters.keys().chain(other.parameters.keys()).map(String::as_str).collect();
        // A misspelled axis would otherwise excuse nothing and say nothing.
        if !keys.iter().any(|key| covers(axis, key)) {
            let known = keys.into_iter().collect::<Vec<_>>().join(", ");
            return Err(ChangeError::Axis { axis: axis.clone(), known });
        }
    }
    let is_axis = |found: &ParameterDifference| axes.iter().any(|axis| covers(axis, &found.key));
    let refuse = |one: &Observed, other: &Observed, differences: Vec<ParameterDifference>| {
        let (this, against) = (one.name.clone(), other.name.clone());
        match differences.is_empty() {
            true => Ok(()),
            false => Err(ChangeError::Differ { this, against, differences }),
        }
    };
    for (first, side) in [(this, these), (other, against)] {
        for record in side {
            refuse(first, record, differences(first, record))?;
        }
    }
    let (named, others): (Vec<ParameterDifference>, Vec<ParameterDifference>) =
        differences(this, other).into_iter().partition(is_axis);
    refuse(this, other, others)?;
    Ok(named)
}

fn differences(this: &Observed, other: &Observed) -> Vec<ParameterDifference> {
    let keys: BTreeSet<&String> = this.parameters.keys().chain(other.parameters.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let (this, against) = (this.parameters.get(key), other.parameters.get(key));
            // A record without a handshake has negotiated nothing, which is no other version.
            let is_silent = this.is_none() || against.is_none();
            let is_told = !(is_silent && key.starts_with(parameters::NEGOTIATED));
            (this != against && is_told).then(|| ParameterDifference {
                key: key.clone(),
                this: this.cloned(),
                against: against.cloned(),
            })
        })
        .collect()
}

/// Returns true if an axis is a key, or a table that it stands in.
fn covers(axis: &str, key: &str) -> bool {
    // `tls` covers `tls.version` and not `tls_version`.
    key.strip_prefix(axis).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn listed(differences: &[ParameterDifference]) -> String {
    differences.iter().map(|difference| format!("\n  {difference}")).collect()
}

impl fmt::Display for ParameterDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"))
        };
        write!(f, "{}: {} and {}", self.key, shown(&self.this), shown(&self.against))
    }
}

/// The version of the format that is written here.
pub const SCHEMA: u32 = 1;
/// The fewest records on each side for a word. With five and five, Welch's t has 4 to 8 degrees of
/// freedom and its quantile is 2.3 to 2.8; with three and three it may be 4.3, and intervals say
/// little.
pub const RECORDS_MIN: usize = 5;
