//! Counters of one worker, which other threads may read at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::HandshakeKind;
use tlsbench_core::hop::{Handshakes, HopCounters};

/// WorkerCounters of one worker.
#[derive(Debug, Default)]
pub(super) struct WorkerCounters {
    pub(super) accepted: Counter,
    pub(super) closed: Counter,
    pub(super) listened: HandshakeCounters,
    pub(super) dialled: Counter,
    pub(super) dialled_tls: HandshakeCounters,
    pub(super) requests: Counter,
    pub(super) reused: Counter,
    pub(super) retried: Counter,
    pub(super) up: Counter,
    pub(super) down: Counter,
    refused: [Counter; Refusal::ALL.len()],
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, more: u64) {
        // Relaxed: each counter stands for itself, and readers only want sums that are roughly of
        // one time.
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Handshakes by how they ended.
#[derive(Debug, Default)]
pub(super) struct HandshakeCounters {
    full: Counter,
    resumed: Counter,
    retried: Counter,
    failed: Counter,
}

impl HandshakeCounters {
    pub(super) fn done(&self, kind: Option<HandshakeKind>) {
        match kind {
            Some(HandshakeKind::Resumed) => self.resumed.one(),
            // A retried handshake is a full one that took a round trip more, so it counts as both.
            Some(HandshakeKind::FullWithHelloRetryRequest) => {
                self.full.one();
                self.retried.one();
            }
            Some(HandshakeKind::Full) | None => self.full.one(),
        }
    }

    pub(super) fn failed(&self) {
        self.failed.one();
    }

    fn add_to(&self, sum: &mut Handshakes) {
        sum.full += self.full.now();
        sum.resumed += self.resumed.now();
        sum.retried += self.retried.now();
        sum.failed += self.failed.now();
    }
}

impl WorkerCounters {
    pub(super) fn refused(&self, why: Refusal) {
        if let Some(count) = self.refused.get(why as usize) {
            count.one();
        }
    }
}

/// The counts of all workers as one.
pub(super) fn sum<'c>(all: impl Iterator<Item = &'c WorkerCounters>) -> HopCounters {
    let mut sum = HopCounters::default();
    for counters in all {
        // Closed first: what closes in between must not make more closed than accepted.
        let closed = counters.closed.now();
        let accepted = counters.accepted.now();
        sum.accepted += accepted;
        sum.open += accepted.saturating_sub(closed);
        counters.listened.add_to(&mut sum.listened);
        sum.dialled += counters.dialled.now();
        counters.dialled_tls.add_to(&mut sum.dialled_tls);
        sum.requests += counters.requests.now();
        sum.reused += counters.reused.now();
        sum.retried += counters.retried.now();
        sum.bytes_up += counters.up.now();
        sum.bytes_down += counters.down.now();
        sum.refused = add_refused(sum.refused, counters);
    }
    sum
}

fn add_refused(mut sum: BTreeMap<String, u64>, counters: &WorkerCounters) -> BTreeMap<String, u64> {
    for (why, count) in Refusal::ALL.iter().zip(&counters.refused) {
        if count.now() > 0 {
            *sum.entry(why.as_str().to_owned()).or_default() += count.now();
        }
    }
    sum
}

/// Gives an enum its words and the list of its values.
macro_rules! reasons {
    ($(#[$of:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The reason as counters spell it.
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

reasons!(
    /// The reason why a connection or a request was not served.
    Refusal {
        /// The kernel gave no connection, for want of descriptors mostly.
        Accept = "accept",
        /// The connection did not begin with a header of the PROXY protocol.
        ProxyHeader = "proxy-header",
        /// The ClientHello came too slowly.
        HelloTimeout = "hello-timeout",
        /// The client went away within its ClientHello.
        HelloUnfinished = "hello-unfinished",
        /// The ClientHello is longer than it may be.
        HelloTooLong = "hello-too-long",
        /// A TLS record came that is not a ClientHello, or a broken one.
        HelloMalformed = "hello-malformed",
        /// Bytes came that are not TLS.
        HelloNotTls = "hello-not-tls",
        /// A handshake as a server failed or took too long.
        Handshake = "handshake",
        /// The next hop could not be reached.
        Dial = "dial",
        /// The handshake with the next hop failed or took too long.
        DialHandshake = "dial-handshake",
        /// A request is malformed, or is none that we can serve.
        Request = "request",
        /// A request's body is malformed or cut short.
        RequestBody = "request-body",
        /// A request's head or body came too slowly.
        RequestTimeout = "request-timeout",
        /// The next hop's response is malformed or was cut short.
        Response = "response",
        /// The next hop did not answer in time.
        ResponseTimeout = "response-timeout",
        /// The connection was reset by one side, and so by us towards the other.
        Reset = "reset",
        /// The client ended its connection or its stream before it had its response.
        Gone = "gone",
        /// No byte of a response, or of a relayed connection, moved for as long as the limit.
        Stalled = "stalled",
        /// A client of HTTP/2 sent far more frames that cost it nothing than it had reason to.
        Flood = "flood",
        /// A client of HTTP/2 began more streams than it may have at a time.
        Streams = "streams",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_workers_add_up() {
        let workers = [WorkerCounters::default(), WorkerCounters::default()];
        for counters in &workers {
            counters.accepted.add(3);
            counters.closed.one();
            counters.refused(Refusal::Dial);
            counters.listened.done(Some(HandshakeKind::FullWithHelloRetryRequest));
            counters.listened.done(Some(HandshakeKind::Resumed));
        }
        workers[0].refused(Refusal::Reset);
        let sum = sum(workers.iter());
        assert_eq!((sum.accepted, sum.open), (6, 4));
        assert_eq!(sum.listened, Handshakes { full: 2, resumed: 2, retried: 2, failed: 0 });
        let refused = [("dial".to_owned(), 2), ("reset".to_owned(), 1)];
        assert_eq!(sum.refused, BTreeMap::from(refused));
    }
}
