//! Counters of a hop since its start: all that a built-in hop counts, and those that every engine
//! has.

use std::collections::BTreeMap;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Counts since the start of a hop, over all its workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HopCounters {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Those of them that are open.
    pub open: u64,
    /// Handshakes as a server.
    pub listened: Handshakes,
    /// Upstream connections that were begun.
    pub dialled: u64,
    /// Handshakes as a client.
    pub dialled_tls: Handshakes,
    /// Requests that were read: head and, where there is one, the beginning of the body.
    pub requests: u64,
    /// Requests that went over an upstream connection which had carried one before.
    pub reused: u64,
    /// Requests that were sent again, because the pooled connection turned out to be closed.
    pub retried: u64,
    /// Bytes that came from clients, without what TLS adds.
    pub bytes_up: u64,
    /// Bytes that went to clients, without what TLS adds.
    pub bytes_down: u64,
    /// Connections and requests that failed, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// Counters that every engine has, and the client's own: the same events, counted by two processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineCounters {
    /// Connections: of a hop, those that it accepted.
    pub connections: u64,
    /// Full handshakes: of a hop, those as a server.
    pub full: u64,
    /// Resumed handshakes: of a hop, those as a server.
    pub resumed: u64,
    /// Requests; `None` if it does not count them.
    pub requests: Option<u64>,
    /// Full handshakes of a hop as a client; `None` if it does not count them.
    pub dialled_full: Option<u64>,
    /// Resumed handshakes of a hop as a client; `None` if it does not count them.
    pub dialled_resumed: Option<u64>,
}

impl Add for EngineCounters {
    type Output = Self;

    /// Sums over both spans; `None` where one of them was not counted.
    fn add(self, more: Self) -> Self {
        self.with(more, u64::saturating_add)
    }
}

impl Sub for EngineCounters {
    type Output = Self;

    /// Difference between two readings.
    fn sub(self, earlier: Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }
}

impl EngineCounters {
    fn with(self, other: Self, both: fn(u64, u64) -> u64) -> Self {
        let known = |a: Option<u64>, b: Option<u64>| Some(both(a?, b?));
        Self {
            connections: both(self.connections, other.connections),
            full: both(self.full, other.full),
            resumed: both(self.resumed, other.resumed),
            requests: known(self.requests, other.requests),
            dialled_full: known(self.dialled_full, other.dialled_full),
            dialled_resumed: known(self.dialled_resumed, other.dialled_resumed),
        }
    }
}

impl HopCounters {
    /// The counters that other engines have too.
    #[must_use]
    pub const fn counted(&self) -> EngineCounters {
        EngineCounters {
            connections: self.accepted,
            full: self.listened.full,
            resumed: self.listened.resumed,
            requests: Some(self.requests),
            dialled_full: Some(self.dialled_tls.full),
            dialled_resumed: Some(self.dialled_tls.resumed),
        }
    }
}

/// Handshakes by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handshakes {
    /// Full handshakes, those with a HelloRetryRequest included.
    pub full: u64,
    /// Resumed handshakes.
    pub resumed: u64,
    /// Full handshakes after a HelloRetryRequest.
    pub retried: u64,
    /// Failed handshakes.
    pub failed: u64,
}
