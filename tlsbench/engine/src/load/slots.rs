//! The connection slots of a shard, with the operations under way on each.
//!
//! All memory is allocated when the shard begins. A connection that carries several requests at a
//! time has a request slot for each.

use std::net::SocketAddr;

use tlsbench_core::units::Nanos;

use super::operation::Operation;
use crate::session::Connection;

/// A slot for a connection.
#[derive(Debug)]
pub(super) struct Slot<C> {
    pub(super) session: C,
    /// The address of its connection; `None` before the first, and if there was no address.
    pub(super) address: Option<SocketAddr>,
    /// The number of connections this place has had.
    pub(super) number: u32,
    /// The round of its last operation.
    pub(super) round: u32,
    /// Operations that its connection may still begin.
    pub(super) left: u64,
    /// True if it is listed among the open loop's idle connections.
    pub(super) listed: bool,
    /// The time when a closed loop may connect again.
    pub(super) rest_until: Nanos,
}

/// All slots of a shard.
#[derive(Debug)]
pub(super) struct Slots<C> {
    slots: Vec<Slot<C>>,
    /// Operations under way, `width` request slots for each slot.
    operations: Vec<Option<Operation>>,
    width: usize,
    /// Connections that are not over.
    pub(super) live: u32,
    /// Operations under way.
    pub(super) busy: u32,
}

impl<C: Connection> Slots<C> {
    /// Creates a slot for each of these times, before which a closed loop may not connect there.
    pub(super) fn new(first_starts: Vec<Nanos>, width: usize) -> Self {
        let slots: Vec<_> = first_starts.into_iter().map(Slot::new).collect();
        // One flat table: the operation of an answer is found by an index, without hashing.
        let operations = vec![None; slots.len().saturating_mul(width)];
        Self { slots, operations, width, live: 0, busy: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Slot<C>> {
        self.slots.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Slot<C>> {
        self.slots.get_mut(index)
    }

    pub(super) fn is_vacant(&self, index: usize) -> bool {
        self.get(index).is_some_and(|slot| slot.session.is_vacant())
    }

    /// Returns whether connections carry several requests at a time.
    pub(super) const fn are_multiplexed(&self) -> bool {
        self.width > 1
    }

    /// The request slots of each connection.
    pub(super) fn request_slots(&self) -> std::ops::Range<u32> {
        0..number_of(self.width)
    }

    pub(super) fn operation(&self, index: usize, request_slot: u32) -> Option<Operation> {
        self.operations.get(index * self.width + index_of(request_slot)?).copied().flatten()
    }

    pub(super) fn operation_mut(
        &mut self,
        index: usize,
        request_slot: u32,
    ) -> Option<&mut Option<Operation>> {
        self.operations.get_mut(index * self.width + index_of(request_slot)?)
    }

    /// All operations under way.
    pub(super) fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().flatten()
    }
}

impl<C: Connection> Slot<C> {
    fn new(rest_until: Nanos) -> Self {
        Self {
            session: C::vacant(),
            address: None,
            number: 0,
            round: 0,
            left: 0,
            listed: false,
            rest_until,
        }
    }
}

/// The number of a slot, as identities and lists keep it.
pub(super) fn number_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The index of a slot of this number.
pub(super) fn index_of(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}
