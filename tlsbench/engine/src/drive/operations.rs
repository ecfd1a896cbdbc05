//! What becomes of operations: where they begin, what they are counted as, and what a connection
//! does after each.

use tlsbench_core::pace::{ActualStart, IntendedStart};
use tlsbench_core::tally::{Failure, Phase};
use tlsbench_core::units::Nanos;

use super::{Drive, Name, Outside, index_of, number_of};
use crate::session::{Connection as _, Step};

/// An operation under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub(super) intended: IntendedStart,
    pub(super) actual: ActualStart,
    pub(super) round: u32,
}

impl Op {
    /// An operation without a schedule: it begins when it should.
    pub(super) const fn at(now: Nanos, round: u32) -> Self {
        Self { intended: IntendedStart(now), actual: ActualStart(now), round }
    }
}

impl<O: Outside> Drive<'_, O> {
    /// Makes the request of an operation that has begun.
    pub(super) fn ask(&mut self, index: usize, round: u32) -> Option<Step> {
        let slot = self.slots.get_mut(index)?;
        let last = slot.left == 0;
        let result = slot.session.request(last, self.now, &mut self.kit.hands(round));
        result.err().map(Step::Failed)
    }

    pub(super) fn close(&mut self, index: usize) -> Option<Step> {
        let round = self.rounds.at(self.now);
        let slot = self.slots.get_mut(index)?;
        Some(slot.session.close(&mut self.kit.hands(round)))
    }

    /// The connection has answered: it goes on, rests, or is closed.
    pub(super) fn after_answer(&mut self, index: usize) -> Option<Step> {
        let slot = self.slots.get_mut(index)?;
        let is_last = slot.left == 0 || !slot.session.is_reusable();
        let is_enough = self.open.is_none() && !self.rounds.may_start(self.now);
        if !is_last && !is_enough {
            return self.fill(index);
        }
        if slot.session.is_busy() {
            return None;
        }
        if is_last {
            return self.close(index);
        }
        let round = self.rounds.at(self.now);
        slot.session.leave(&mut self.kit.hands(round));
        Some(Step::Over)
    }

    /// Begins as many operations on a connection as it can take and there are.
    pub(super) fn fill(&mut self, index: usize) -> Option<Step> {
        loop {
            let (now, slot) = (self.now, self.slots.get_mut(index)?);
            let place = slot.session.place().filter(|_| slot.left > 0)?;
            let op = match &mut self.open {
                None if !self.rounds.may_start(now) => return None,
                None => {
                    let round = self.rounds.at(now);
                    self.rounds.start(round, 1);
                    Op::at(now, round)
                }
                // What follows on an arrival's connection has no schedule of its own.
                Some(open) if open.by_connection() => Op::at(now, slot.round),
                Some(open) => match open.next_waiting(now, &mut self.kit, &mut self.counts) {
                    Some((intended, round)) => Op { intended, actual: ActualStart(now), round },
                    None => {
                        self.rest(index);
                        return None;
                    }
                },
            };
            self.begin(index, place, op);
            let failed = self.ask(index, op.round);
            if failed.is_some() {
                return failed;
            }
        }
    }

    /// A connection of an open loop's pool waits for what arrives.
    pub(super) fn rest(&mut self, index: usize) {
        let round = self.rounds.at(self.now);
        let (Some(open), Some(slot)) = (&mut self.open, self.slots.get_mut(index)) else { return };
        if !std::mem::replace(&mut slot.listed, true) {
            open.idle.push((number_of(index), slot.number));
        }
        slot.session.rest(&mut self.kit.hands(round));
    }

    /// Notes that an operation is under way.
    pub(super) fn begin(&mut self, index: usize, place: u32, op: Op) {
        if let Some(known) = self.op_mut(index, place) {
            *known = Some(op);
            self.busy += 1;
            if let Some(open) = &mut self.open {
                open.begin(op.round);
            }
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.round = op.round;
            slot.left = slot.left.saturating_sub(1);
        }
    }

    pub(super) fn op(&self, index: usize, place: u32) -> Option<Op> {
        self.ops.get(index * self.width + index_of(place)?).copied().flatten()
    }

    pub(super) fn op_mut(&mut self, index: usize, place: u32) -> Option<&mut Option<Op>> {
        self.ops.get_mut(index * self.width + index_of(place)?)
    }

    /// Counts and times the operation that was under way.
    pub(super) fn finish(&mut self, index: usize, place: u32, result: Result<(), Failure>) {
        let Some(op) = self.op_mut(index, place).and_then(Option::take) else { return };
        self.busy -= 1;
        if let Some(open) = &mut self.open {
            open.end(op.round);
        }
        let round = self.counted_in(op);
        let tally = self.kit.tally(round);
        // A closed loop has no schedule: what it did is what it should have done.
        tally.scheduled += u64::from(self.open.is_none());
        match result {
            Ok(()) => {
                self.counts.succeeded += 1;
                tally.succeeded += 1;
                tally.record(Phase::Uncorrected, self.now - op.actual.0);
                if self.open.is_some() {
                    tally.record(Phase::Corrected, self.now - op.intended.0);
                }
            }
            Err(failure) => {
                self.counts.failed += 1;
                tally.fail(failure);
            }
        }
        if round > 0 && self.open.is_none() {
            self.rounds.finish();
            if self.rounds.is_counted() {
                self.note_round();
            }
        }
    }

    /// The place is free: a closed loop connects again, after a rest if the last one failed.
    pub(super) fn vacate(&mut self, index: usize, failed: bool) {
        self.live -= 1;
        if let Some(open) = &mut self.open {
            open.vacant.push(number_of(index));
        } else if let Some(slot) = self.slots.get_mut(index) {
            slot.rest_until = if failed { self.now + REST } else { self.now };
            if !failed {
                self.connect_closed(index);
            }
        }
    }

    pub(super) fn connect_closed(&mut self, index: usize) {
        // Others may have begun to connect since the clock was read, which takes a while with TLS.
        self.now = self.outside.now();
        if !self.rounds.may_start(self.now) {
            return;
        }
        let round = self.rounds.at(self.now);
        self.rounds.start(round, 1);
        self.connect(index, Op::at(self.now, round));
    }

    /// Begins a connection for an operation.
    pub(super) fn connect(&mut self, index: usize, op: Op) {
        let operations = self.kit.course.per_connection().unwrap_or(u64::MAX);
        if let Some(slot) = self.slots.get_mut(index) {
            slot.number = slot.number.wrapping_add(1);
            (slot.left, slot.listed) = (operations, false);
        }
        // Its request will be the first of the connection, and have the first place.
        self.begin(index, 0, op);
        self.live += 1;
        let Some(slot) = self.slots.get_mut(index) else { return };
        let name = Name { slot: number_of(index), number: slot.number };
        let opened = match self.kit.route() {
            Some(route) => {
                let hands = &mut self.kit.hands(op.round);
                self.outside.open(&mut slot.session, name, route, hands)
            }
            None => Err(Failure::Resolve),
        };
        if let Err(failure) = opened {
            self.on_step(index, Step::Failed(failure));
        }
    }

    /// The round that an operation is counted in: that of its start in an open loop, that of its end
    /// in a closed one. What began in the warm-up is none of those that are counted out.
    pub(super) fn counted_in(&mut self, op: Op) -> u32 {
        let is_warm = self.rounds.is_counted() && op.round == 0;
        if self.open.is_some() || is_warm { op.round } else { self.rounds.at(self.now) }
    }
}

/// A server that refuses is asked 100 times a second per connection, not as often as the CPU can.
const REST: Nanos = Nanos::from_millis(10);
