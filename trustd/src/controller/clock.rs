//! The clock by which leases and back-offs are measured: time since boot, suspended time included.
//!
//! A wall clock jumps and a monotonic clock stops while the machine sleeps; a lease that others
//! count on must outlive neither. Nothing here knows the date.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use trustd_core::time::Timestamp;

/// A point in time, counted from the start of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(Duration);

impl Instant {
    /// The point `since_boot` after the start of the machine.
    #[cfg(test)]
    pub(super) const fn since_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// Now.
    pub(super) fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanoseconds))
    }

    /// This long after.
    pub(super) fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// Returns the time since `earlier`; zero if that is in the future.
    pub(super) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds since the start of the machine, rounded down.
    pub(super) fn milliseconds(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The date and time, to the second.
pub(super) fn date() -> Timestamp {
    Timestamp::from_unix(jiff::Timestamp::now().as_second())
}
