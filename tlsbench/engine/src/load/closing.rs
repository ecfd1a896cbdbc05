//! Connections that are over for the loops, and that the server has not closed yet: nobody waits
//! for them, and what it takes until they are closed is timed.

use std::collections::HashMap;

use tlsbench_core::units::Nanos;

use super::shard_io::ConnectionId;
use crate::session::Connection;

/// Connections that are being closed, at most [`CLOSING_MAX`].
#[derive(Debug)]
pub(super) struct Closing<C> {
    /// Slots of connections, with vacant ones among them, whose memory is used again.
    pub(super) slots: Vec<ClosingSlot<C>>,
    vacant: Vec<usize>,
    /// The place of each, by the name that it had in its slot.
    pub(super) by_name: HashMap<ConnectionId, usize>,
}

#[derive(Debug)]
pub(super) struct ClosingSlot<C> {
    pub(super) session: C,
    pub(super) name: ConnectionId,
    /// The time when its last operation ended.
    pub(super) since: Nanos,
}

impl<C: Connection> Closing<C> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), vacant: Vec::new(), by_name: HashMap::new() }
    }

    /// Returns whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Takes a connection, and leaves a place without one. Where there are too many, the one that
    /// was closed first makes way; how long it took is returned, as far as it is known.
    pub(super) fn take(
        &mut self,
        session: &mut C,
        name: ConnectionId,
        since: Nanos,
    ) -> Option<Nanos> {
        // The oldest one makes way: it has had the most time, so its time is the least wrong.
        let given_up = (self.by_name.len() >= CLOSING_MAX).then(|| self.give_up_oldest()).flatten();
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(ClosingSlot { session: C::vacant(), name, since });
            self.slots.len().saturating_sub(1)
        });
        if let Some(slot) = self.slots.get_mut(index) {
            std::mem::swap(&mut slot.session, session);
            (slot.name, slot.since) = (name, since);
            self.by_name.insert(name, index);
        }
        given_up
    }

    fn give_up_oldest(&mut self) -> Option<Nanos> {
        let under_way = self.slots.iter().filter(|slot| !slot.session.is_vacant());
        let oldest = under_way.min_by_key(|slot| slot.since)?.name;
        let index = self.by_name.get(&oldest).copied()?;
        let slot = self.slots.get_mut(index)?;
        slot.session.abandon();
        let since = slot.since;
        self.vacate(index);
        Some(since)
    }

    pub(super) fn vacate(&mut self, index: usize) {
        if let Some(slot) = self.slots.get(index) {
            self.by_name.remove(&slot.name);
            self.vacant.push(index);
        }
    }
}

/// Connections that a server which closes a second late leaves behind at 500 connections per
/// second. More would take descriptors from the load: 1,024 are what a process has by default.
const CLOSING_MAX: usize = 512;
