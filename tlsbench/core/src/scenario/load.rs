//! Arrival of connections and requests, length of rounds, time limits, and the end of connections.

use std::num::{NonZeroU32, NonZeroU64};

use crate::units::{Nanos, Rate};
use crate::words::words;

/// Arrival of connections and requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// A closed loop: a fixed number of connections, each as fast as it can.
    Closed {
        /// Connections, over all shards.
        connections: NonZeroU32,
        /// Requests on each connection before it is closed; `None` means it is kept, or that only
        /// handshakes are made.
        requests_per_connection: Option<NonZeroU64>,
    },
    /// Things begin at a rate, whatever became of those before.
    Open {
        /// Kind of arrivals.
        arrivals: Arrivals,
        /// Arrivals per second, over all shards.
        rate: Rate,
        /// Distribution of arrivals over time.
        spread: Spread,
        /// The most connections at a time, over all shards.
        pool: NonZeroU32,
        /// A start that waits longer than this for the pool is missed.
        wait_max: Nanos,
    },
}

impl Load {
    /// Returns true if connections are kept for as long as the run lasts, where requests are made
    /// at all.
    #[must_use]
    pub const fn keeps_connections(&self) -> bool {
        match self {
            Self::Closed { requests_per_connection, .. } => requests_per_connection.is_none(),
            Self::Open { arrivals, .. } => matches!(arrivals, Arrivals::Requests),
        }
    }
}

/// Kind of arrivals in an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Connections that make a number of requests each (in a handshake-only run: none) and are
    /// closed.
    Connections {
        /// Requests on each.
        requests: NonZeroU64,
    },
    /// Requests over a pool of connections that are kept.
    Requests,
}

/// Distribution of arrivals over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Evenly.
    Even,
    /// A Poisson process from a seed: arrivals are independent of one another.
    Poisson {
        /// Seed of the random sequence.
        seed: u64,
    },
}

/// Length and number of rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Length of each round.
    pub round: Length,
    /// Rounds; the estimate's unit. At least 10 for an interval to be printed.
    pub rounds: NonZeroU32,
    /// Time before each target's first round that is not measured.
    pub warm_up: Nanos,
    /// Time over which the load rises to what it should be, at the beginning of the warm-up.
    pub ramp: Nanos,
}

/// Length of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// A number of operations, over all shards.
    Count(NonZeroU64),
    /// A time.
    Time(Nanos),
}

/// Time limits; what takes longer is given up and counted as failed by `timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// A whole operation: from the first SYN of a new connection, or from the request on one that
    /// stands, to the end of the response.
    pub operation: Nanos,
    /// Time to establish the TCP connection.
    pub connect: Nanos,
    /// Time from there to the server's confirmation of the TLS handshake.
    pub handshake: Nanos,
    /// Time from the request to the first byte of its response.
    pub first_byte: Nanos,
    /// The whole run, which then ends before its time and keeps what was measured.
    pub run: Option<Nanos>,
}

impl Timeout {
    /// The default limits.
    pub const DEFAULT: Self = Self {
        operation: OPERATION_MAX,
        connect: CONNECT_MAX,
        handshake: HANDSHAKE_MAX,
        first_byte: FIRST_BYTE_MAX,
        run: None,
    };
}

/// End of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Close {
    /// The client says close_notify and shuts its side down first.
    Fin,
    /// The client resets it, which leaves no TIME_WAIT.
    Rst,
    /// The server closes first (`Connection: close`; in a handshake-only run the client asks by
    /// close_notify), and TIME_WAIT stays there. Where it has not within [`SERVER_CLOSE_MAX`], the
    /// client does.
    Server,
}

/// Pinning of threads to cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Wherever there are as many cores as threads.
    Always,
    /// Pinned if there are two cores more than threads: a pinned thread cannot make way for what
    /// else runs there.
    Auto,
    /// The kernel moves them.
    Never,
}

words!(Close { Fin = "fin", Rst = "rst", Server = "server" });
words!(Pin { Always = "always", Auto = "auto", Never = "never" });

/// A server that was asked to close has to send its FIN within this: it is under way with the
/// response, or the server lingers, as Envoy does for a second.
pub const SERVER_CLOSE_MAX: Nanos = Nanos::from_millis(5);
/// A minute, as k6 has it: what takes longer hangs, or is a download for which the limit is raised.
const OPERATION_MAX: Nanos = Nanos::from_millis(60_000);
/// Time to the first byte: a server that is silent for half a minute will stay silent.
const FIRST_BYTE_MAX: Nanos = Nanos::from_millis(30_000);
/// Two lost SYNs (1 s and 2 s of retransmission) and a slow path still fit.
const CONNECT_MAX: Nanos = Nanos::from_millis(5_000);
/// A hundred times an RSA-4096 handshake on a machine that is 10 times overloaded.
const HANDSHAKE_MAX: Nanos = Nanos::from_millis(10_000);
