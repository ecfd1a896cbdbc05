//! What a hop counted since it started.

use std::collections::BTreeMap;

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
    /// Connections and requests that came to nothing, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// Handshakes by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handshakes {
    /// In full; those with a second hello are among them.
    pub full: u64,
    /// By resuming a session.
    pub resumed: u64,
    /// In full, after the server asked for another key share.
    pub retried: u64,
    /// Not at all.
    pub failed: u64,
}
