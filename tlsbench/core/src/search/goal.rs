//! The goal that a rate has to meet, and the judgement on a trial.

use std::fmt;

use serde::Serialize;

use crate::record::TargetRecord;
use crate::scenario::{Arrivals, Futility, Load};
use crate::tally::{Phase, Quantile};
use crate::units::Nanos;
use crate::warning::{ACHIEVED_MIN_PERCENT, ERRORS_MAX, GENERATOR_BUSY_MAX};

/// The goal that a rate has to meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The 99th percentile of operations, from when they should have begun, is at most this.
    pub p99: Nanos,
}

/// Result of a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrialResult {
    /// Operations that should have begun.
    pub scheduled: u64,
    /// Operations that succeeded.
    pub succeeded: u64,
    /// Operations that failed.
    pub failed: u64,
    /// The 99th percentile, missed starts included; `None` if nothing was timed.
    pub p99: Option<Nanos>,
    /// True if it is only known to be that or more.
    pub p99_at_least: bool,
    /// Utilisation of the generator's busiest thread: 0 to 1.
    pub generator_busy: f64,
}

/// Reason why a rate did not meet the goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum MissedGoal {
    /// Too few of the scheduled operations succeeded.
    Achieved {
        /// Share of errors: 0 to 1.
        share: f64,
    },
    /// Too much failed.
    Errors {
        /// Achieved share: 0 to 1.
        share: f64,
    },
    /// Operations took too long.
    Slow {
        /// The 99th percentile.
        p99_ns: Nanos,
    },
    /// Too many operations had no answer in time, and the trial was ended for that.
    Unanswered {
        /// Number of operations.
        operations: u64,
        /// Time that each of them had waited at least: the goal's limit.
        longer_than_ns: Nanos,
    },
}

impl Goal {
    /// Reason why the goal was not met; `None` if it was.
    #[must_use]
    pub fn failing(&self, seen: &TrialResult) -> Option<MissedGoal> {
        let ended = seen.succeeded.saturating_add(seen.failed);
        let errors = seen.failed as f64 / ended.max(1) as f64;
        // Errors first: a server that refuses fast would look like one that is fast.
        if errors > ERRORS_MAX {
            return Some(MissedGoal::Errors { share: errors });
        }
        let share = seen.succeeded as f64 / seen.scheduled.max(1) as f64;
        if seen.scheduled == 0 || share < f64::from(ACHIEVED_MIN_PERCENT) / 100.0 {
            return Some(MissedGoal::Achieved { share });
        }
        // No quantile means that nothing was timed, which is as slow as can be.
        let p99_ns = seen.p99.unwrap_or(Nanos(u64::MAX));
        // A quantile among missed starts is a lower bound; one at the limit is beyond it.
        let is_slow = p99_ns > self.p99 || (seen.p99_at_least && p99_ns >= self.p99);
        is_slow.then_some(MissedGoal::Slow { p99_ns })
    }

    /// Limits beyond which a trial of this length misses the goal, whatever the rest of it brings:
    /// more than one in a thousand of all that it can begin has failed, or more than one in a
    /// hundred is slower than the limit already. `None` for a closed loop, which plans no number of
    /// operations.
    #[must_use]
    pub fn futility(&self, load: &Load, length: Nanos) -> Option<Futility> {
        let Load::Open { arrivals, rate, .. } = load else { return None };
        let each = match arrivals {
            Arrivals::Connections { requests } => requests.get(),
            Arrivals::Requests => 1,
        };
        let starts = rate.as_f64() * length.as_secs_f64();
        // Random arrivals are more than the mean now and then: more than six standard deviations
        // never.
        let planned = (starts + 6.0 * starts.sqrt() + 1.0) * each as f64;
        Some(Futility {
            failed_max: (planned * ERRORS_MAX) as u64,
            late_max: (planned * LATE_MAX) as u64,
            late_after: self.p99,
        })
    }
}

impl TrialResult {
    /// Reads the result of a target under an open load.
    #[must_use]
    pub fn of(target: &TargetRecord, load: &Load) -> Self {
        let wait_max = match load {
            Load::Open { wait_max, .. } => *wait_max,
            Load::Closed { .. } => Nanos(0),
        };
        let wall = target.sum(|round| round.wall_ns.0);
        let busiest = target.sum(|round| round.busiest_thread_ns.0);
        let (p99, p99_at_least) = match target.quantile(Phase::Corrected, 0.99, wait_max) {
            Some(Quantile::Is(time)) => (Some(time), false),
            Some(Quantile::AtLeast(time)) => (Some(time), true),
            None => (None, false),
        };
        Self {
            scheduled: target.sum(|round| round.scheduled),
            succeeded: target.sum(|round| round.succeeded),
            failed: target.sum(crate::record::RoundRecord::failures),
            p99,
            p99_at_least,
            generator_busy: if wall > 0 { busiest as f64 / wall as f64 } else { 0.0 },
        }
    }

    /// Returns true if the generator had no time to spare, so that a rate which was not met says
    /// little of what it was asked of.
    #[must_use]
    pub fn is_generator_busy(&self) -> bool {
        self.generator_busy > GENERATOR_BUSY_MAX
    }
}

impl fmt::Display for MissedGoal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Achieved { share } => {
                write!(f, "{:.1} % of the scheduled operations succeeded", share * 100.0)
            }
            Self::Errors { share } => write!(f, "{:.2} % failed", share * 100.0),
            Self::Slow { p99_ns } => write!(f, "p99 {p99_ns}"),
            Self::Unanswered { operations, longer_than_ns } => {
                write!(f, "{operations} unanswered after {longer_than_ns}")
            }
        }
    }
}

/// Share of operations beyond a 99th percentile.
const LATE_MAX: f64 = 0.01;
