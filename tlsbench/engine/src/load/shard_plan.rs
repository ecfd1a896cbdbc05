//! The plan of one shard: its part of a scenario, with every address known.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tlsbench_core::pace::{Shard, closed_starts};
use tlsbench_core::scenario::{self, Close, Length, Spread, Timeout};
use tlsbench_core::units::{Nanos, Rate, Share};

use crate::tls::ReloadingRoots;
use crate::wire::Rendered;

/// A target's addresses, which may change while it runs; looked into rarely.
#[derive(Debug)]
pub(crate) struct AddressBook {
    edition: AtomicU64,
    addresses: Mutex<Vec<SocketAddr>>,
}

impl AddressBook {
    pub(crate) const fn new(addresses: Vec<SocketAddr>) -> Self {
        Self { edition: AtomicU64::new(1), addresses: Mutex::new(addresses) }
    }

    /// Takes what a name resolved to; the same addresses in another order change nothing.
    pub(crate) fn replace(&self, mut addresses: Vec<SocketAddr>) {
        let mut known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        known.sort_unstable();
        addresses.sort_unstable();
        if *known != addresses && !addresses.is_empty() {
            *known = addresses;
            self.edition.fetch_add(1, Ordering::Release);
        }
    }

    /// The addresses as they are now.
    pub(crate) fn all(&self) -> Vec<SocketAddr> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Copies the addresses if there is an edition that the reader does not know.
    pub(crate) fn copy_newer(&self, known: &mut u64, into: &mut Vec<SocketAddr>) {
        let edition = self.edition.load(Ordering::Acquire);
        if edition != *known {
            *known = edition;
            into.clone_from(&self.addresses.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// One shard's part of one target's rounds.
#[derive(Clone, Debug)]
pub(crate) struct ShardPlan {
    /// Addresses that connections go to, in turn.
    pub(crate) addresses: Arc<AddressBook>,
    /// The file that the roots came from, where it is one.
    pub(crate) ca_bundle: Option<Arc<ReloadingRoots>>,
    /// Source addresses of connections, in turn; empty leaves the choice to the system.
    pub(crate) sources: Vec<IpAddr>,
    /// The request; `None` for handshakes only.
    pub(crate) request: Option<Rendered>,
    /// The way in which connections are closed.
    pub(crate) close: Close,
    /// Timeouts of an operation and its parts.
    pub(crate) timeout: Timeout,
    /// The time when an operation without an answer counts as late; `None` if nobody asks.
    pub(crate) late_after: Option<Nanos>,
    /// The share of handshakes that resume.
    pub(crate) resume: Share,
    /// The schedule of operations.
    pub(crate) work: Work,
    /// The number of this shard, and of all.
    pub(crate) shard: Shard,
    /// The time when the shard begins, by the monotonic clock.
    pub(crate) begin: Nanos,
    /// Time before the first round.
    pub(crate) warm_up: Nanos,
    /// Time over which the load rises, at the beginning of the warm-up.
    pub(crate) ramp: Nanos,
    /// The length of a round for this shard.
    pub(crate) length: Length,
    /// Rounds.
    pub(crate) rounds: NonZeroU32,
}

/// The schedule of one shard's operations.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// A number of connections, each as fast as it can.
    Closed {
        /// Connections over all shards.
        connections: NonZeroU32,
        /// Requests on each; `None` means that it is kept.
        requests: Option<NonZeroU64>,
    },
    /// Arrivals at a rate.
    Open {
        /// The thing that arrives.
        arrivals: scenario::Arrivals,
        /// Arrivals per second, over all shards.
        rate: Rate,
        /// The spread of arrivals in time.
        spread: Spread,
        /// The most connections of this shard at a time.
        pool: NonZeroU32,
        /// A start that waits longer for the pool is missed.
        wait_max: Nanos,
    },
}

impl ShardPlan {
    /// Returns when each place for a connection may be taken first.
    pub(crate) fn first_starts(&self) -> Vec<Nanos> {
        match self.work {
            Work::Closed { connections, .. } => closed_starts(connections, self.ramp, self.shard)
                .map(|start| Nanos(self.begin.0.saturating_add(start.0.0)))
                .collect(),
            Work::Open { pool, .. } => (0..pool.get()).map(|_| self.begin).collect(),
        }
    }

    /// Operations on each connection; `None` means any number.
    pub(crate) fn per_connection(&self) -> Option<u64> {
        if self.request.is_none() {
            return Some(1);
        }
        match self.work {
            Work::Closed { requests, .. } => requests.map(NonZeroU64::get),
            Work::Open { arrivals: scenario::Arrivals::Connections { requests }, .. } => {
                Some(requests.get())
            }
            Work::Open { arrivals: scenario::Arrivals::Requests, .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_take_a_new_edition_once_and_keep_the_old_one_until_then() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (one, two) = (address("127.0.0.1:1"), address("127.0.0.2:1"));
        let book = AddressBook::new(vec![two, one]);
        let (mut known, mut copy) = (0, Vec::new());
        book.copy_newer(&mut known, &mut copy);
        assert_eq!(copy, [two, one]);
        for same in [vec![one, two], vec![]] {
            book.replace(same);
            book.copy_newer(&mut known, &mut copy);
            assert_eq!(copy, [two, one]);
        }
        book.replace(vec![one]);
        book.copy_newer(&mut known, &mut copy);
        assert_eq!(copy, [one]);
    }
}
