//! The table of streams: a slot for each request under way, found by the stream's number.

use tlsbench_core::units::Nanos;

use super::Lost;
use crate::http2::frame;
use crate::wire::ResponseSummary;

/// The streams of a connection.
#[derive(Debug)]
pub(super) struct StreamTable {
    /// Streams by half their number, in a ring whose length is a power of two, so that a slot is
    /// found by an index and not by a search.
    slots: Vec<StreamSlot>,
    /// The next number that may be used.
    pub(super) next: u32,
    /// Streams under way, outcomes that were not taken included.
    pub(super) open: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct StreamSlot {
    /// 0 for a free place.
    pub(super) id: u32,
    /// The time when its operation began, which for the first may have been with the connection.
    pub(super) began: Nanos,
    pub(super) sent: Nanos,
    /// The time when something of it last came or went.
    pub(super) active: Nanos,
    pub(super) first: Option<Nanos>,
    pub(super) last: Option<Nanos>,
    /// 0 until the head came.
    pub(super) status: u16,
    pub(super) length: Option<u64>,
    pub(super) body: u64,
    pub(super) received: u32,
    /// Bytes that we may send, and that there are to send.
    pub(super) window: i64,
    pub(super) unsent: usize,
    pub(super) result: Option<Result<ResponseSummary, Lost>>,
}

impl StreamTable {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), next: 1, open: 0 }
    }

    /// Begins with a new connection, on which this many requests at a time are wanted.
    pub(super) fn begin(&mut self, wanted: u32) {
        // The memory of a larger table stays, for connections that come after this one.
        self.slots.clear();
        self.slots.resize(slot_count(wanted), StreamSlot::FREE);
        (self.next, self.open) = (1, 0);
    }

    pub(super) const fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) const fn slot_of(&self, id: u32) -> u32 {
        // The table's length is a power of two, which fits.
        (id >> 1) & (self.len() - 1)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&StreamSlot> {
        self.slots.get(slot as usize)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut StreamSlot> {
        self.slots.get_mut(slot as usize)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut StreamSlot> {
        self.slots.iter_mut()
    }

    /// Returns the next number whose slot is free. Numbers of slots that are taken are skipped,
    /// which closes them (RFC 9113, section 5.1.1).
    pub(super) fn free_id(&self) -> Option<u32> {
        let mut id = self.next;
        for _ in 0..self.slots.len() {
            let stream = self.get(self.slot_of(id))?;
            if stream.id == 0 {
                return (id <= frame::STREAM_MAX).then_some(id);
            }
            id = id.checked_add(2)?;
        }
        None
    }

    /// Takes a slot for a stream.
    pub(super) fn put(&mut self, stream: StreamSlot) -> u32 {
        let slot = self.slot_of(stream.id);
        // Clients have the odd numbers (RFC 9113, section 5.1.1).
        self.next = stream.id.saturating_add(2);
        if let Some(free) = self.get_mut(slot) {
            *free = stream;
            self.open += 1;
        }
        slot
    }
}

impl StreamSlot {
    pub(super) const FREE: Self = Self {
        id: 0,
        began: Nanos(0),
        sent: Nanos(0),
        active: Nanos(0),
        first: None,
        last: None,
        status: 0,
        length: None,
        body: 0,
        received: 0,
        window: 0,
        unsent: 0,
        result: None,
    };
}

/// Slots of a connection with this many requests at a time: twice as many, so that one that takes
/// long is rarely in the way of a number.
pub(crate) fn slot_count(wanted: u32) -> usize {
    (wanted as usize).saturating_mul(2).next_power_of_two()
}
