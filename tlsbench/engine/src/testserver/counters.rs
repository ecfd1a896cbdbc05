//! Counts of what clients did, for tests to compare with.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of what clients did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Connections that were accepted.
    pub connections: u64,
    /// Full handshakes that were finished, those with a retry included.
    pub full: u64,
    /// Full handshakes that needed a HelloRetryRequest.
    pub retried: u64,
    /// Resumed handshakes that were finished.
    pub resumed: u64,
    /// Handshakes that were not finished.
    pub failed: u64,
    /// Finished handshakes with early data in them.
    pub early_data: u64,
    /// Requests that were read whole.
    pub requests: u64,
    /// Connections that the client ended orderly: close_notify, or FIN where there is no TLS.
    pub orderly: u64,
    /// PINGs of a script that were answered.
    pub pongs: u64,
    /// GOAWAYs that came.
    pub goodbyes: u64,
    /// Streams of a script that the client reset.
    pub resets: u64,
}

/// The counters behind [`Seen`].
#[derive(Debug, Default)]
pub(super) struct ServerCounters {
    pub(super) connections: AtomicU64,
    pub(super) full: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) resumed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) early_data: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) orderly: AtomicU64,
    pub(super) pongs: AtomicU64,
    pub(super) goodbyes: AtomicU64,
    pub(super) resets: AtomicU64,
}

impl ServerCounters {
    pub(super) fn seen(&self) -> Seen {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Seen {
            connections: read(&self.connections),
            full: read(&self.full),
            retried: read(&self.retried),
            resumed: read(&self.resumed),
            failed: read(&self.failed),
            early_data: read(&self.early_data),
            requests: read(&self.requests),
            orderly: read(&self.orderly),
            pongs: read(&self.pongs),
            goodbyes: read(&self.goodbyes),
            resets: read(&self.resets),
        }
    }
}

/// Adds one to a counter.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::SeqCst);
}
