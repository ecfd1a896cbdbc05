//! Arrivals of an open loop: operations begin when they are due and there is a connection for them.

use std::io;

use tlsbench_core::pace::IntendedStart;
use tlsbench_core::tally::Phase;

use super::LoadLoop;
use crate::load::open_loop::StartOn;
use crate::load::operation::{Operation, UntakenOperation};
use crate::load::shard_io::Io;
use crate::load::slots::index_of;
use crate::session::Connection as _;

impl<O: Io> LoadLoop<'_, O> {
    /// Begins what an open loop should have begun by now, and sets the timer for what comes next.
    pub(super) fn begin_what_is_due(&mut self) -> io::Result<()> {
        let operations = self.context.plan.per_connection().unwrap_or(1);
        let mut wake = None;
        while let Some(open) = self.schedule.open_mut() {
            if open.exhausted {
                break;
            }
            let next = open.next_start();
            let due = next.and_then(|start| Some((start, self.rounds.of_start(start)?)));
            let Some((intended, round)) = due else {
                open.exhausted = true;
                break;
            };
            self.now = self.io.now();
            if intended > self.now {
                wake = Some(intended);
                break;
            }
            // The next start is computed whatever becomes of this one: arrivals do not wait for the
            // server, or latency under overload would look better than it is (coordinated
            // omission).
            open.advance();
            self.rounds.start(round, operations);
            let tally = self.context.tally(round);
            tally.scheduled += operations;
            // The generator's own lateness is measured beside latency, so that a slow generator
            // shows.
            tally.record(Phase::SendLag, self.now - intended);
            open.wait(IntendedStart(intended), round, &mut self.context, &mut self.counts);
            self.serve_waiting();
        }
        self.serve_waiting();
        if self.edge.is_some_and(|edge| edge <= self.now) {
            self.edge = self.rounds.edge_after(self.now);
        }
        match wake.into_iter().chain(self.edge).min() {
            Some(moment) => self.io.wake_at(moment),
            None => Ok(()),
        }
    }

    /// Gives connections to the starts that wait for one.
    pub(super) fn serve_waiting(&mut self) {
        let mut is_first = true;
        while let Some(open) = self.schedule.open_mut() {
            open.expire(self.now, &mut self.context, &mut self.counts);
            if open.waiting.is_empty() && self.untaken.is_empty() {
                return;
            }
            if !std::mem::take(&mut is_first) {
                // What the one before began took a while.
                self.now = self.io.now();
            }
            let slots = &mut self.slots;
            let alone = self.untaken.front().is_some_and(|untaken| untaken.alone);
            let vacant = if alone { open.vacant.pop().and_then(index_of) } else { None };
            let request_slot = vacant.map(StartOn::Vacant).or_else(|| {
                open.start_on(|slot, number| {
                    let slot = index_of(slot).and_then(|index| slots.get_mut(index));
                    slot.filter(|slot| slot.number == number).is_some_and(|slot| {
                        slot.listed = slot.session.free_slot().is_some();
                        slot.listed
                    })
                })
            });
            let Some(request_slot) = request_slot else { return };
            if let Some(untaken) = self.untaken.pop_front() {
                match request_slot {
                    StartOn::Idle(index) => self.send_on_idle(index, untaken),
                    StartOn::Vacant(index) => self.connect_again(index, untaken),
                }
                continue;
            }
            let Some((intended, round)) = open.waiting.pop_front() else { return };
            let op = Operation::new(intended, self.now, round);
            match request_slot {
                StartOn::Idle(index) => self.begin_on_idle(index, op),
                StartOn::Vacant(index) => self.connect(index, op),
            }
        }
    }
}

impl<O: Io> LoadLoop<'_, O> {
    /// Begins an operation on a connection that waits for one, and may wait for more.
    fn begin_on_idle(&mut self, index: usize, op: Operation) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.listed = false;
        let Some(request_slot) = slot.session.free_slot() else { return };
        self.begin(index, request_slot, op);
        self.ask_on_idle(index, op.round);
    }

    /// Sends an operation again on a connection that waits for one.
    fn send_on_idle(&mut self, index: usize, untaken: UntakenOperation) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.listed = false;
        let Some(request_slot) = slot.session.free_slot() else { return };
        self.begin_again(index, request_slot, untaken.op);
        self.ask_on_idle(index, untaken.op.round);
    }

    fn ask_on_idle(&mut self, index: usize, round: u32) {
        if let Some(step) = self.ask(index, round) {
            self.on_step(index, step);
        } else if self.slots.are_multiplexed() {
            let has_room =
                self.slots.get(index).is_some_and(|slot| slot.session.free_slot().is_some());
            if has_room {
                self.rest(index);
            }
            self.go_on(index);
        }
    }
}
