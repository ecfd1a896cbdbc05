//! One operation: a request, or a connection in a handshake-only run, from its start to its
//! outcome.

use tlsbench_core::pace::{ActualStart, IntendedStart};
use tlsbench_core::units::Nanos;

/// An operation under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) intended: IntendedStart,
    pub(super) actual: ActualStart,
    pub(super) round: u32,
    /// True if it was sent again once without the server having taken anything in between.
    pub(super) resent: bool,
}

/// An operation that is to be sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct UntakenOperation {
    pub(super) op: Operation,
    /// Operations that its connection was still to begin after it.
    pub(super) left: u64,
    /// The place is free, and it waits for a new connection there: a kept one may be lost as well,
    /// and nothing is sent again twice.
    pub(super) alone: bool,
}

impl Operation {
    /// An operation that begins now and should have begun then.
    pub(super) const fn new(intended: IntendedStart, now: Nanos, round: u32) -> Self {
        Self { intended, actual: ActualStart(now), round, resent: false }
    }

    /// An operation without a schedule: it begins when it should.
    pub(super) const fn at(now: Nanos, round: u32) -> Self {
        Self::new(IntendedStart(now), now, round)
    }
}
