//! Results of handshakes: full, resumed or retried, and what was negotiated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::add_counts;

/// Counts of what was negotiated, to be checked against what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Full handshakes, those after a HelloRetryRequest included.
    pub full: u64,
    /// Resumed handshakes.
    pub resumed: u64,
    /// Full handshakes that needed a HelloRetryRequest.
    pub retried: u64,
    /// Handshakes that should have resumed and had no ticket to do it with.
    pub wanted_ticket: u64,
    /// Resumed handshakes whose early data the server accepted.
    pub early_data: u64,
    /// Connections by what was negotiated: version, suite, group, signature, ALPN, as text.
    pub negotiated: BTreeMap<String, u64>,
    /// HTTP/2 connections by the number of requests at a time that they carried: the number asked
    /// for, or fewer if the server takes fewer.
    #[serde(default)]
    pub streams: BTreeMap<u32, u64>,
}

impl Shape {
    /// Counts a connection by what was negotiated. Only the first of each kind allocates.
    pub fn negotiated(&mut self, what: &str) {
        if let Some(count) = self.negotiated.get_mut(what) {
            *count = count.saturating_add(1);
        } else {
            self.negotiated.insert(what.to_owned(), 1);
        }
    }

    /// Counts an HTTP/2 connection. Only the first of each number allocates.
    pub fn streams(&mut self, at_a_time: u32) {
        let count = self.streams.entry(at_a_time).or_default();
        *count = count.saturating_add(1);
    }

    /// Adds what another shard counted.
    pub fn add(&mut self, other: &Self) {
        self.full = self.full.saturating_add(other.full);
        self.resumed = self.resumed.saturating_add(other.resumed);
        self.retried = self.retried.saturating_add(other.retried);
        self.wanted_ticket = self.wanted_ticket.saturating_add(other.wanted_ticket);
        self.early_data = self.early_data.saturating_add(other.early_data);
        add_counts(&mut self.negotiated, &other.negotiated);
        add_counts(&mut self.streams, &other.streams);
    }
}
