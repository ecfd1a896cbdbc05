//! Operations: where they begin, what they are counted as, and what a connection does after each.

use tlsbench_core::pace::IntendedStart;
use tlsbench_core::tally::{Failed, Failure, Phase, Reason};
use tlsbench_core::units::Nanos;
use tlsbench_core::usage::UnderWay;

use super::LoadLoop;
use crate::load::closed_loop::ClosedLoop;
use crate::load::open_loop::OpenLoop;
use crate::load::operation::{Operation, UntakenOperation};
use crate::load::schedule::Schedule;
use crate::load::shard_io::{ConnectionId, Io};
use crate::load::slots::number_of;
use crate::session::{Connection as _, Step};

impl<O: Io> LoadLoop<'_, O> {
    /// Makes the request of an operation that has begun.
    pub(super) fn ask(&mut self, index: usize, round: u32) -> Option<Step> {
        let slot = self.slots.get_mut(index)?;
        let last = slot.left == 0;
        let result = slot.session.request(last, self.now, &mut self.context.step_context(round));
        result.err()
    }

    /// The connection has answered: it goes on, rests, or is closed.
    pub(super) fn after_answer(&mut self, index: usize) -> Option<Step> {
        let slot = self.slots.get_mut(index)?;
        let is_last = slot.left == 0 || !slot.session.is_reusable();
        let is_enough = self.schedule.is_closed()
            && self.untaken.iter().all(|untaken| untaken.alone)
            && !self.rounds.may_start(self.now);
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
        slot.session.leave(&mut self.context.step_context(round));
        Some(Step::Over)
    }

    /// Begins as many operations on a connection as it can take and there are.
    pub(super) fn fill(&mut self, index: usize) -> Option<Step> {
        loop {
            let (now, slot) = (self.now, self.slots.get_mut(index)?);
            let request_slot = slot.session.free_slot().filter(|_| slot.left > 0)?;
            if let Some(untaken) = self.next_untaken() {
                self.begin_again(index, request_slot, untaken.op);
                let failed = self.ask(index, untaken.op.round);
                if failed.is_some() {
                    return failed;
                }
                continue;
            }
            let slot = self.slots.get(index)?;
            let op = match self.schedule.open_mut() {
                None if !self.rounds.may_start(now) => return None,
                None => {
                    let round = self.rounds.at(now);
                    self.rounds.start(round, 1);
                    Operation::at(now, round)
                }
                // What follows on an arrival's connection has no schedule of its own.
                Some(open) if open.by_connection() => Operation::at(now, slot.round),
                Some(open) => match open.next_waiting(now, &mut self.context, &mut self.counts) {
                    Some((intended, round)) => Operation::new(intended, now, round),
                    None => {
                        self.rest(index);
                        return None;
                    }
                },
            };
            self.begin(index, request_slot, op);
            let failed = self.ask(index, op.round);
            if failed.is_some() {
                return failed;
            }
        }
    }

    /// A connection of an open loop's pool waits for what arrives.
    pub(super) fn rest(&mut self, index: usize) {
        let round = self.rounds.at(self.now);
        let (Some(open), Some(slot)) = (self.schedule.open_mut(), self.slots.get_mut(index)) else {
            return;
        };
        if !std::mem::replace(&mut slot.listed, true) {
            open.idle.push((number_of(index), slot.number));
        }
        slot.session.rest(&mut self.context.step_context(round));
    }

    /// Notes that an operation is under way.
    pub(super) fn begin(&mut self, index: usize, request_slot: u32, op: Operation) {
        self.slots.busy += 1;
        if let Some(open) = self.schedule.open_mut() {
            open.begin(op.round);
        }
        self.begin_again(index, request_slot, op);
    }

    /// Notes where an operation goes on that has been under way.
    pub(super) fn begin_again(&mut self, index: usize, request_slot: u32, op: Operation) {
        if let Some(known) = self.slots.operation_mut(index, request_slot) {
            *known = Some(op);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.round = op.round;
            slot.left = slot.left.saturating_sub(1);
        }
    }

    /// The next operation that is to be sent again on a connection that has room; `None` if each
    /// needs a connection of its own.
    fn next_untaken(&mut self) -> Option<UntakenOperation> {
        if self.schedule.open().is_some_and(OpenLoop::by_connection) {
            return None;
        }
        let at = self.untaken.iter().position(|untaken| !untaken.alone)?;
        self.untaken.remove(at)
    }

    /// The server did not take an operation: it waits for another connection, or has failed.
    pub(super) fn send_again(
        &mut self,
        index: usize,
        request_slot: u32,
        failed: Failed,
        progressed: bool,
    ) {
        let Some(op) = self.slots.operation(index, request_slot) else { return };
        // A server that refuses everything would otherwise be asked the same for ever.
        if op.resent && !progressed {
            self.finish(index, request_slot, Err(failed));
            return;
        }
        let round = self.counted_in(op);
        self.context.tally(round).resent += 1;
        if let Some(known) = self.slots.operation_mut(index, request_slot) {
            *known = None;
        }
        let by_connection = self.schedule.open().is_some_and(OpenLoop::by_connection);
        let slot = self.slots.get_mut(index).filter(|_| by_connection);
        let left = slot.map_or(0, |slot| std::mem::take(&mut slot.left));
        let is_vacant = self.slots.is_vacant(index);
        let alone = !self.slots.are_multiplexed() && is_vacant;
        self.untaken.push_back(UntakenOperation {
            op: Operation { resent: !progressed, ..op },
            left,
            alone,
        });
    }

    /// Sends an operation again on a connection of its own.
    pub(super) fn connect_again(&mut self, index: usize, untaken: UntakenOperation) {
        let operations = match self.schedule.open() {
            Some(open) if open.by_connection() => untaken.left.saturating_add(1),
            _ => self.context.plan.per_connection().unwrap_or(u64::MAX),
        };
        self.connect_for(index, untaken.op, operations, true);
    }

    /// Returns the operations that have begun and not ended.
    pub(super) fn under_way(&self) -> UnderWay {
        let untaken = self.untaken.iter().map(|untaken| untaken.op.actual.0);
        let oldest = self.slots.operations().map(|op| op.actual.0).chain(untaken).min();
        UnderWay {
            operations: self.slots.busy.into(),
            oldest_ns: oldest.map_or(Nanos(0), |began| self.now - began),
        }
    }

    /// Operations of measured rounds that should have had an answer by now, those that still wait
    /// for a connection included.
    pub(super) fn late(&self) -> u64 {
        let Some(late_after) = self.context.plan.late_after else { return 0 };
        let ops = self.slots.operations().map(|op| (op.intended, op.round));
        let untaken = self.untaken.iter().map(|untaken| (untaken.op.intended, untaken.op.round));
        let waiting =
            self.schedule.open().into_iter().flat_map(|open| open.waiting.iter().copied());
        let is_late = |&(intended, round): &(IntendedStart, u32)| {
            round > 0 && self.now - intended.0 > late_after
        };
        let late = ops.chain(untaken).chain(waiting).filter(is_late).count();
        u64::try_from(late).unwrap_or(u64::MAX)
    }

    /// Counts and times the operation that was under way.
    pub(super) fn finish(
        &mut self,
        index: usize,
        request_slot: u32,
        result: Result<Option<u16>, Failed>,
    ) {
        let Some(op) = self.slots.operation_mut(index, request_slot).and_then(Option::take) else {
            return;
        };
        self.slots.busy -= 1;
        if let Some(open) = self.schedule.open_mut() {
            open.end(op.round);
        }
        let round = self.counted_in(op);
        let address = self.slots.get(index).and_then(|slot| slot.address);
        let tally = self.context.tally(round);
        if let Some(address) = address {
            tally.end_at(address, result.map(drop).map_err(|failed| failed.failure));
        }
        // A closed loop has no schedule: what it did is what it should have done.
        tally.scheduled += u64::from(self.schedule.is_closed());
        match result {
            Ok(status) => {
                self.counts.succeeded += 1;
                tally.succeeded += 1;
                status.into_iter().for_each(|status| tally.status(status));
                tally.record(Phase::Uncorrected, self.now - op.actual.0);
                if !self.schedule.is_closed() {
                    tally.record(Phase::Corrected, self.now - op.intended.0);
                }
            }
            Err(failed) => {
                self.counts.failed += 1;
                self.counts.failed_in_rounds += u64::from(round > 0);
                tally.fail(failed);
                if let Some(Reason::Status(status)) = failed.reason {
                    tally.status(status);
                }
            }
        }
        if round > 0 && self.schedule.is_closed() {
            self.rounds.finish();
            if self.rounds.is_counted() {
                self.note_round();
            }
        }
    }

    /// The slot is free: a closed loop connects again, after a rest if the connection failed.
    pub(super) fn vacate(&mut self, index: usize, failed: bool) {
        self.slots.live -= 1;
        match &mut self.schedule {
            Schedule::Open(open) => open.vacant.push(number_of(index)),
            Schedule::Closed(closed) => {
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.rest_until = closed.vacate(index, failed, self.now);
                }
            }
        }
    }

    /// Connects where connections of a closed loop have come to their end.
    pub(super) fn connect_vacated(&mut self) {
        while let Some(index) = self.schedule.closed_mut().and_then(ClosedLoop::next_vacated) {
            if self.slots.is_vacant(index) {
                self.connect_closed(index);
            }
        }
    }

    pub(super) fn connect_closed(&mut self, index: usize) {
        // Others may have begun to connect since the clock was read, which takes a while with TLS.
        self.now = self.io.now();
        if let Some(untaken) = self.untaken.pop_front() {
            self.connect_again(index, untaken);
            return;
        }
        if !self.rounds.may_start(self.now) {
            return;
        }
        let round = self.rounds.at(self.now);
        self.rounds.start(round, 1);
        self.connect(index, Operation::at(self.now, round));
    }

    /// Begins a connection for an operation.
    pub(super) fn connect(&mut self, index: usize, op: Operation) {
        let operations = self.context.plan.per_connection().unwrap_or(u64::MAX);
        self.connect_for(index, op, operations, false);
    }

    /// Begins a connection for this many operations, of which this is the first.
    fn connect_for(&mut self, index: usize, op: Operation, operations: u64, is_again: bool) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.number = slot.number.wrapping_add(1);
            (slot.left, slot.listed) = (operations, false);
        }
        // Its request will be the first of the connection, and have the first place.
        match is_again {
            true => self.begin_again(index, 0, op),
            false => self.begin(index, 0, op),
        }
        self.slots.live += 1;
        let Some(slot) = self.slots.get_mut(index) else { return };
        let name = ConnectionId { slot: number_of(index), number: slot.number };
        let route = self.context.route();
        slot.address = route.map(|route| route.to);
        let opened = match route {
            Some(route) => {
                let step_context = &mut self.context.step_context(op.round);
                self.io.open(&mut slot.session, name, route, step_context)
            }
            None => Err(Failure::Resolve),
        };
        if let Err(failure) = opened {
            self.on_step(index, Step::Failed(failure.into()));
        }
    }

    /// The round that an operation is counted in: that of its start in an open loop, that of its
    /// end in a closed one. What began in the warm-up is none of those that are counted out.
    pub(super) fn counted_in(&mut self, op: Operation) -> u32 {
        let is_warm = self.rounds.is_counted() && op.round == 0;
        if !self.schedule.is_closed() || is_warm { op.round } else { self.rounds.at(self.now) }
    }
}
