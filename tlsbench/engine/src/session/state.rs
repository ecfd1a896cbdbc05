//! The states of a connection, each with the flags that only it has.

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The connection is of no more use, and the server is to close it.
    Closing(ClosingState),
    /// The close_notify of a handshakes-only connection is out; the server's confirmation is
    /// awaited.
    Confirming,
    Connecting {
        /// The first request is the last one as well, which early data has to say.
        last: bool,
    },
    Handshaking {
        last: bool,
        /// The first request is out as early data.
        early: bool,
    },
    Http1(Http1State),
    Http2 {
        /// The server has said how many requests it takes at a time.
        settled: bool,
    },
    Vacant,
}

/// The flags of a connection that carries one request at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Http1State {
    /// A request is out.
    pub(super) is_requesting: bool,
    /// Bytes of the request that the socket, or TLS, has taken.
    pub(super) taken: usize,
    /// The request is the last of the connection.
    pub(super) last: bool,
    pub(super) first_byte: bool,
    /// The response leaves the connection fit for another request.
    pub(super) reusable: bool,
    /// A response came to its end, so the connection is one that was kept.
    pub(super) answered: bool,
    /// The server sent close_notify.
    pub(super) goodbye: bool,
}

/// The flags of a connection that is being closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClosingState {
    /// The server sent close_notify.
    pub(super) goodbye: bool,
    /// Our close_notify is out.
    pub(super) parted: bool,
    /// Our side of the socket is shut.
    pub(super) shut: bool,
}

impl State {
    /// Returns whether the operation that the connection was opened for has not made its request
    /// yet.
    pub(super) const fn is_fresh(self) -> bool {
        matches!(self, Self::Connecting { .. } | Self::Handshaking { .. })
    }

    /// Returns whether the first request was sent as early data and is not accounted for yet.
    pub(super) const fn has_early_data(self) -> bool {
        matches!(self, Self::Handshaking { early: true, .. })
    }
}
