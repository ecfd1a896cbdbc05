//! The part of the loop that only a closed loop has: slots that connect again.

use tlsbench_core::units::Nanos;

/// A closed loop: each slot connects again when its connection has come to its end.
#[derive(Debug)]
pub(super) struct ClosedLoop {
    /// Slots that are to connect once all events were handled: what beginning a connection takes is
    /// no part of an operation that has ended meanwhile.
    vacated: Vec<usize>,
}

impl ClosedLoop {
    pub(super) fn new() -> Self {
        Self { vacated: Vec::with_capacity(EVENTS_EXPECTED) }
    }

    /// Takes a slot that has become vacant; returns when it may connect again.
    pub(super) fn vacate(&mut self, index: usize, failed: bool, now: Nanos) -> Nanos {
        if failed {
            return now + REST;
        }
        self.vacated.push(index);
        now
    }

    /// The next slot that is to connect.
    pub(super) fn next_vacated(&mut self) -> Option<usize> {
        self.vacated.pop()
    }
}

/// Connections served before those that ended begin again.
const EVENTS_EXPECTED: usize = 256;
/// A server that refuses is asked 100 times a second per connection, not as often as the CPU can.
const REST: Nanos = Nanos::from_millis(10);
