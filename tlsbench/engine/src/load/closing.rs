//! Connections that are over for the loops, and that the server has not closed yet: nobody waits
//! for them, and what it takes until they are closed is timed.

use std::collections::HashMap;

use tlsbench_core::scenario::Close;
use tlsbench_core::tally::Phase;
use tlsbench_core::units::Nanos;

use super::{ConnectionId, Io, LoadLoop};
use crate::session::{Connection, Step};

/// Connections that are being closed, at most [`CLOSING_MAX`].
#[derive(Debug)]
pub(super) struct Closing<C> {
    /// Slots of connections, with vacant ones among them, whose memory is used again.
    slots: Vec<ClosingSlot<C>>,
    vacant: Vec<usize>,
    /// The place of each, by the name that it had in its slot.
    by_name: HashMap<ConnectionId, usize>,
}

#[derive(Debug)]
struct ClosingSlot<C> {
    session: C,
    name: ConnectionId,
    /// The time when its last operation ended.
    since: Nanos,
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
    fn take(&mut self, session: &mut C, name: ConnectionId, since: Nanos) -> Option<Nanos> {
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

    fn vacate(&mut self, index: usize) {
        if let Some(slot) = self.slots.get(index) {
            self.by_name.remove(&slot.name);
            self.vacant.push(index);
        }
    }
}

impl<O: Io> LoadLoop<'_, O> {
    /// Begins to close a connection. The slot is free at once, whenever the server closes its side.
    pub(super) fn close(&mut self, index: usize) -> Option<Step> {
        let (round, since) = (self.rounds.at(self.now), self.now);
        let slot = self.slots.get_mut(index)?;
        let step = slot.session.close(&mut self.context.step_context(round));
        let given_up = match step {
            Step::Waits => {
                let name = ConnectionId { slot: super::number_of(index), number: slot.number };
                self.closing.take(&mut slot.session, name, since)
            }
            _ if self.context.plan.close == Close::Rst => None,
            _ => Some(since),
        };
        if let Some(since) = given_up {
            self.closed(since);
        }
        Some(Step::Over)
    }

    /// Something happened to a connection that has no slot any more.
    pub(super) fn on_closing(&mut self, name: ConnectionId, hung_up: bool) {
        let Some(&index) = self.closing.by_name.get(&name) else { return };
        let round = self.rounds.at(self.now);
        let Some(slot) = self.closing.slots.get_mut(index) else { return };
        if slot.session.step(hung_up, &mut self.context.step_context(round)) != Step::Waits {
            let since = slot.since;
            self.closing.vacate(index);
            self.closed(since);
        }
    }

    /// Closes what the server should have closed by now.
    pub(super) fn sweep_closing(&mut self) {
        if self.closing.is_empty() {
            return;
        }
        let round = self.rounds.at(self.now);
        for index in 0..self.closing.slots.len() {
            let Some(slot) = self.closing.slots.get_mut(index) else { return };
            if slot.session.is_vacant() || slot.session.deadline() > self.now {
                continue;
            }
            if slot.session.expire(&mut self.context.step_context(round)) != Step::Waits {
                let since = slot.since;
                self.closing.vacate(index);
                self.closed(since);
            }
        }
    }

    fn closed(&mut self, since: Nanos) {
        let now = self.io.now();
        let round = self.rounds.at(now);
        self.context.tally(round).record(Phase::Closing, now - since);
    }
}

/// Connections that a server which closes a second late leaves behind at 500 connections per
/// second. More would take descriptors from the load: 1,024 are what a process has by default.
const CLOSING_MAX: usize = 512;
