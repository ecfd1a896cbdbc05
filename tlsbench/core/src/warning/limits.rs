//! Limits that several judges share: the gates of runs, the goal of a search, and `doctor`.

use crate::units::Share;

/// Share of failed operations above which they spoil verdicts: one in a thousand.
pub const ERRORS_MAX: f64 = 0.001;
/// Percentage of scheduled operations that have to end for a rate to count as achieved.
pub const ACHIEVED_MIN_PERCENT: u8 = 99;
/// Utilisation of the generator's busiest thread above which operations wait for it.
pub const GENERATOR_BUSY_MAX: f64 = 0.85;
/// CPU time that the hypervisor may give to others.
pub const STEAL_MAX: Share = Share::from_percent(1);
/// CPU time that other processes may use.
pub const OTHERS_MAX: Share = Share::from_percent(5);
