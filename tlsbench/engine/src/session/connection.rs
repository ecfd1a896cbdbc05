//! The interface between the loops and a connection, free of sockets.

use std::net::{IpAddr, SocketAddr};

use tlsbench_core::scenario::{Close, Timeout};
use tlsbench_core::tally::{Failed, Tally};
use tlsbench_core::units::Nanos;

use crate::tls::TlsClient;
use crate::wire::Rendered;

/// A connection, or the place of one.
pub(crate) trait Connection {
    /// A place without one.
    fn vacant() -> Self;

    /// Returns whether there is no connection.
    fn is_vacant(&self) -> bool;

    /// Returns whether it stands and nothing is asked.
    fn is_idle(&self) -> bool;

    /// Returns whether it stands and something is asked.
    fn is_busy(&self) -> bool;

    /// Returns whether another request may be made after the response that ended.
    fn is_reusable(&self) -> bool;

    /// Returns where a request can be made now; `None` if it would have to wait.
    fn free_slot(&self) -> Option<u32>;

    /// The place of the request whose outcome the next step tells, where there may be several.
    fn completed_slot(&self) -> Option<u32>;

    /// Returns when the last response ended.
    fn last_response_at(&self) -> Nanos;

    /// Returns when the current stage has taken too long.
    fn deadline(&self) -> Nanos;

    /// Goes on as far as it can; `hung_up` when it is known that no more will come.
    fn step(&mut self, hung_up: bool, context: &mut StepContext<'_>) -> Step;

    /// Goes on where there may be more to do although nothing new came: outcomes that came
    /// together, requests that are to go out together.
    fn resume(&mut self, context: &mut StepContext<'_>) -> Option<Step>;

    /// The stage took too long. Where there are several requests, those that did are due; where the
    /// server should have closed, the client does, and waits a little more.
    fn expire(&mut self, context: &mut StepContext<'_>) -> Step;

    /// Makes a request, at `now`, in the place that [`Connection::free_slot`] says; the last of the
    /// connection says so when the server is to close. An error is the step that it ended in.
    fn request(
        &mut self,
        last: bool,
        now: Nanos,
        context: &mut StepContext<'_>,
    ) -> Result<(), Step>;

    /// Notes that nothing is to be asked for the time being.
    fn rest(&mut self, context: &mut StepContext<'_>);

    /// Closes as the run closes; what is left to wait for, if anything, comes by `step`.
    fn close(&mut self, context: &mut StepContext<'_>) -> Step;

    /// Drops a connection at once.
    fn abandon(&mut self);

    /// Leaves a connection on which nothing is under way.
    fn leave(&mut self, context: &mut StepContext<'_>);
}

/// Everything that a connection works with, lent for each step.
pub(crate) struct StepContext<'h> {
    /// The buffer that bytes are read into; its contents mean nothing between steps.
    pub(crate) buffer: &'h mut [u8],
    /// The buffer that text is made in.
    pub(crate) text: &'h mut String,
    /// The tally that the step counts in.
    pub(crate) tally: &'h mut Tally,
    /// The request; `None` in a handshakes-only run.
    pub(crate) request: Option<&'h Rendered>,
    /// The way in which the connection ends.
    pub(crate) close: Close,
    /// Timeouts of an operation and its parts.
    pub(crate) timeout: Timeout,
    /// The TLS client; `None` for plain HTTP.
    pub(crate) tls: Option<&'h mut TlsClient>,
}

/// The addresses of a connection, and how it is to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// The server.
    pub(crate) to: SocketAddr,
    /// The source address.
    pub(crate) from: Option<IpAddr>,
    /// True if a session is to be resumed.
    pub(crate) resume: bool,
    /// True if the first request is the last as well, for early data.
    pub(crate) last: bool,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A request has its outcome; the connection goes on.
    Answered {
        /// The request's place on the connection.
        slot: u32,
        /// The status of a response that counts as success.
        result: Result<u16, Failed>,
    },
    /// The server confirmed the handshake of a handshake-only run.
    Confirmed,
    /// The connection failed and is closed.
    Failed(Failed),
    /// The connection is closed, as it should be.
    Over,
    /// The connection can take a request, its first.
    Ready,
    /// The connection may take more requests at a time than before.
    Room,
    /// The server did not take a request, which may be sent again on another connection.
    Untaken {
        /// The request's place on this connection, which goes on unless it is vacant.
        slot: u32,
        /// The failure that it is where it is not sent again.
        failed: Failed,
        /// True if the server took others on this connection, so that sending again comes to an
        /// end.
        progressed: bool,
    },
    /// The connection waits for the server.
    Waits,
}
