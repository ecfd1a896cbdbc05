//! Connections on their way out: they leave their slots at once and are waited for aside.

use tlsbench_core::scenario::Close;
use tlsbench_core::tally::Phase;
use tlsbench_core::units::Nanos;

use super::LoadLoop;
use crate::load::shard_io::{ConnectionId, Io};
use crate::load::slots::number_of;
use crate::session::{Connection as _, Step};

impl<O: Io> LoadLoop<'_, O> {
    /// Begins to close a connection. The slot is free at once, whenever the server closes its side.
    pub(super) fn close(&mut self, index: usize) -> Option<Step> {
        let (round, since) = (self.rounds.at(self.now), self.now);
        let slot = self.slots.get_mut(index)?;
        // The slot is free at once: a server that closes slowly must not lower the rate of new
        // connections.
        let step = slot.session.close(&mut self.context.step_context(round));
        let given_up = match step {
            Step::Waits => {
                let name = ConnectionId { slot: number_of(index), number: slot.number };
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
