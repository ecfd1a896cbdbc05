//! The outside world as the loops see it: a clock, wake-ups and connections.
//!
//! Sockets are one such world, and a script with a clock of its own another, so that what the loops
//! do can be told to the nanosecond. Which it is, is known when they are compiled.

use std::io;

use tlsbench_core::tally::Failure;
use tlsbench_core::units::Nanos;

use crate::session::{Connection, Route, StepContext};

/// A world that loops run in.
pub(crate) trait Io {
    /// The type of connections.
    type Connection: Connection;

    /// Returns the time.
    fn now(&self) -> Nanos;

    /// Begins to connect. What becomes of it wakes the shard up under the name that is given here.
    fn open(
        &mut self,
        connection: &mut Self::Connection,
        name: ConnectionId,
        route: Route,
        step_context: &mut StepContext<'_>,
    ) -> Result<(), Failure>;

    /// Asks to be woken at a moment, which may have passed.
    fn wake_at(&mut self, moment: Nanos) -> io::Result<()>;

    /// Waits until something happens; how much.
    fn wait(&mut self) -> io::Result<usize>;

    /// One of the things that happened.
    fn event(&self, index: usize) -> Option<Wake>;

    /// Lets it tick again: a tick comes only after the one before was heard.
    fn heard_tick(&self);
}

/// The identity of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId {
    /// The slot.
    pub(crate) slot: u32,
    /// The connection's number in the slot.
    pub(crate) number: u32,
}

/// The cause of a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A connection can go on.
    Connection {
        /// The connection as of its opening; the slot may have another by now.
        name: ConnectionId,
        /// True if the server's side is shut.
        hung_up: bool,
    },
    /// The moment that was asked for has come.
    Pace,
    /// The regular tick, for timeouts and stops.
    Tick,
}
