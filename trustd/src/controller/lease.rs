//! Leadership: at most one process writes, and it can prove that it may.
//!
//! [`Leadership`] is a capability: whoever writes must hold one and ask it for a [`Permit`], and
//! only this module makes either. The protocol is client-go's: a Lease is taken by a PUT that
//! carries its resourceVersion, a rival's claim counts until it has stood unchanged for its
//! duration on *this* machine's clock, and an empty holder is free. Losing the lease ends no
//! process: it campaigns again.

mod elector;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) use elector::{Elector, Settings};

use super::clock::Instant;

#[cfg(test)]
mod tests;

/// The right to write, as long as it lasts.
#[derive(Clone, Debug)]
pub(super) struct Leadership {
    /// Milliseconds since boot up to which the lease is ours for sure; 0 once it is lost.
    valid_until: Arc<AtomicU64>,
}

/// Leave for one write to start now.
#[derive(Debug)]
pub(super) struct Permit<'l> {
    leadership: &'l Leadership,
    timeout: Duration,
}

/// The lease is not ours, or not for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process is not the leader, or not for long enough to finish a write")]
pub(super) struct NotLeader;

impl Leadership {
    /// Returns the leadership of a process that nobody competes with (`--leader-elect=false`).
    pub(super) fn unelected() -> Self {
        Self { valid_until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Returns the leadership of a process whose lease is valid up to `instant`.
    pub(super) fn until(instant: Instant) -> Self {
        Self { valid_until: Arc::new(AtomicU64::new(instant.milliseconds())) }
    }

    /// Leave to start a write that may take `timeout`, now.
    ///
    /// # Errors
    /// When the lease could be another's before the write has ended.
    pub(super) fn permit(&self, timeout: Duration) -> Result<Permit<'_>, NotLeader> {
        let permit = Permit { leadership: self, timeout };
        permit.check(Instant::now()).map(|()| permit)
    }

    fn extend(&self, instant: Instant) {
        self.valid_until.fetch_max(instant.milliseconds(), Ordering::SeqCst);
    }

    fn end(&self) {
        self.valid_until.store(0, Ordering::SeqCst);
    }
}

impl Permit<'_> {
    /// Returns how long the write may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Checks that the write may still start.
    ///
    /// # Errors
    /// When time has passed since, or the lease was lost.
    pub(super) fn check(&self, now: Instant) -> Result<(), NotLeader> {
        let ends = now.after(self.timeout).milliseconds();
        let valid_until = self.leadership.valid_until.load(Ordering::SeqCst);
        if ends < valid_until { Ok(()) } else { Err(NotLeader) }
    }
}
