//! The load loop of one shard: when connections and requests begin, closed or open.
//!
//! One thread, no locks, no channels, and no allocation per request. It hears from connections what
//! became of them and decides what each does next; what they are and what time it is, is `Io`.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use tlsbench_core::tally::Tally;
use tlsbench_core::units::Nanos;
use tlsbench_core::usage::{Lap, UnderWay};

use crate::session::{Connection, Step, slot_count};
use crate::wire::Rendered;

mod closing;
mod shard_plan;
mod shard_context;
mod round_timer;
mod open_loop;
mod operation;
mod operations;
mod shard_io;
mod rounds;
mod sockets;

pub(crate) use shard_context::{LoadCounts, ShardContext};
pub(crate) use shard_io::{ConnectionId, Io, Wake};
pub(crate) use shard_plan::{AddressBook, ShardPlan, Work};
pub(crate) use sockets::Sockets;

use closing::Closing;
use open_loop::OpenLoop;
use operation::{Operation, UntakenOperation};
use round_timer::RoundTimer;
use rounds::Rounds;

/// Drives one shard through its course.
pub(crate) struct LoadLoop<'d, O: Io> {
    context: ShardContext<'d>,
    io: O,
    slots: Vec<Slot<O::Connection>>,
    /// Connections that have left their slots and are not closed yet.
    closing: Closing<O::Connection>,
    /// Operations under way: `width` places for each slot.
    ops: Vec<Option<Operation>>,
    width: usize,
    /// Operations that the server did not take, to be sent again before others begin.
    untaken: VecDeque<UntakenOperation>,
    rounds: Rounds,
    /// The time when the next round begins, or the last one ends.
    edge: Option<Nanos>,
    timer: RoundTimer,
    /// The first round whose tally was not given away.
    next_given: u32,
    pub(crate) counts: LoadCounts,
    open: Option<OpenLoop>,
    /// Slots of a closed loop that are to connect once all that happened was heard: what beginning
    /// a connection takes is no part of an operation that has ended meanwhile.
    vacated: Vec<usize>,
    /// Connections that are not over.
    live: u32,
    /// Operations under way.
    busy: u32,
    now: Nanos,
}

/// A place for a connection.
#[derive(Debug)]
struct Slot<C> {
    session: C,
    /// The address of its connection; `None` before the first, and if there was no address.
    address: Option<SocketAddr>,
    /// The number of connections this place has had.
    number: u32,
    /// The round of its last operation.
    round: u32,
    /// Operations that its connection may still begin.
    left: u64,
    /// True if it is listed among the open loop's idle connections.
    listed: bool,
    /// The time when a closed loop may connect again.
    rest_until: Nanos,
}

/// The thread that watches a shard: it is called a hundred times a second, and receives the
/// finished rounds.
pub(crate) trait Monitor {
    /// Returns whether the shard is to go on.
    fn look(&mut self, round: u32, counts: LoadCounts) -> bool;

    /// Takes a round of which nothing goes on any more; they come in order, from 1.
    fn take(&mut self, round: u32, tally: Tally, lap: Lap);
}

impl<'d, O: Io> LoadLoop<'d, O> {
    pub(crate) fn new(mut context: ShardContext<'d>, io: O) -> Self {
        let now = io.now();
        context.refresh(now);
        let plan = context.plan;
        let slots: Vec<_> = plan.first_starts().into_iter().map(Slot::new).collect();
        let streams = plan.request.as_ref().and_then(Rendered::streams);
        let width = streams.map_or(1, slot_count);
        let from = plan.begin + plan.warm_up;
        let rounds = Rounds::new(from, plan.length, plan.rounds);
        Self {
            io,
            ops: vec![None; slots.len().saturating_mul(width)],
            width,
            untaken: VecDeque::new(),
            slots,
            closing: Closing::new(),
            edge: rounds.edge_after(now),
            rounds,
            timer: RoundTimer::new(),
            next_given: 1,
            counts: LoadCounts::default(),
            open: OpenLoop::of(plan),
            vacated: Vec::with_capacity(EVENTS_EXPECTED),
            live: 0,
            busy: 0,
            now,
            context,
        }
    }

    /// Runs the course to its end, or until it is told to stop.
    pub(crate) fn run(&mut self, watch: &mut impl Monitor) -> io::Result<()> {
        let mut drain_until = None;
        self.sweep();
        loop {
            if drain_until.is_none() {
                self.note_round();
            }
            self.begin_what_is_due()?;
            self.connect_vacated();
            if self.is_done(&mut drain_until) {
                break;
            }
            let happened = self.io.wait()?;
            self.now = self.io.now();
            for index in 0..happened {
                match self.io.event(index) {
                    None | Some(Wake::Pace) => {}
                    Some(Wake::Tick) => {
                        if !self.on_tick(watch) {
                            self.give_away(watch, true);
                            return Ok(());
                        }
                    }
                    Some(Wake::Connection { name, hung_up }) => self.on_wake(name, hung_up),
                }
            }
        }
        self.give_away(watch, true);
        Ok(())
    }

    /// Returns the tally of everything outside of rounds, and the operations that had not ended.
    pub(crate) fn ended(mut self) -> (Tally, UnderWay) {
        self.now = self.io.now();
        let unanswered = self.under_way();
        (self.context.unmeasured(), unanswered)
    }

    /// Looks around; whether to go on.
    fn on_tick(&mut self, watch: &mut impl Monitor) -> bool {
        self.io.heard_tick();
        self.context.refresh(self.now);
        self.sweep();
        self.timer.tick(self.now, self.counts);
        self.give_away(watch, false);
        let round = self.rounds.at(self.now);
        self.counts.late = self.late();
        watch.look(round, self.counts)
    }

    fn note_round(&mut self) {
        let round = self.rounds.at(self.now);
        self.note(round);
    }

    /// Notes which round it is. Only where that has changed is it looked for what is under way.
    fn note(&mut self, round: u32) {
        if round != self.timer.current() {
            self.timer.note(round, self.now, self.counts, self.under_way());
        }
    }

    /// Gives away the rounds that are over, or at the end all that began.
    fn give_away(&mut self, watch: &mut impl Monitor, ended: bool) {
        if ended {
            self.now = self.io.now();
            self.note(0);
        }
        loop {
            let round = self.next_given;
            let open = self.open.as_ref();
            let settled = ended || open.is_none_or(|open| open.is_settled(round, &self.rounds));
            if !(settled && self.timer.is_over(round)) {
                return;
            }
            let (Some(tally), Some(lap)) = (self.context.take(round), self.timer.take(round))
            else {
                return;
            };
            self.next_given += 1;
            watch.take(round, tally, lap);
        }
    }

    /// Returns whether everything has begun and ended, or the time to wait for that has passed.
    fn is_done(&mut self, drain_until: &mut Option<Nanos>) -> bool {
        self.rounds.at(self.now);
        let over = match &self.open {
            // A round takes its time, also when its last arrival came and went long before.
            Some(_) if !self.rounds.is_counted() && !self.rounds.is_over() => false,
            Some(open) => open.exhausted && open.waiting.is_empty() && self.busy == 0,
            None => !self.rounds.may_start(self.now),
        };
        // A closed loop by time has nothing to lose at its end but what would not be counted.
        let patient = self.rounds.is_counted() && self.busy > 0;
        if !over || patient {
            return false;
        }
        let until = *drain_until.get_or_insert_with(|| self.now + DRAIN_MAX);
        // What is still to be waited for belongs to no round.
        self.note(0);
        if self.open.is_some() {
            self.drop_idle();
        }
        (self.live == 0 && self.closing.is_empty()) || self.now >= until
    }

    fn drop_idle(&mut self) {
        let Some(open) = &mut self.open else { return };
        for (slot, number) in open.idle.drain(..) {
            let slot = index_of(slot).and_then(|index| self.slots.get_mut(index));
            if let Some(slot) = slot.filter(|slot| slot.number == number && slot.session.is_idle())
            {
                slot.session.leave(&mut self.context.step_context(0));
                self.live -= 1;
            }
        }
    }

    /// Looks for what took too long, and for places where a closed loop may connect.
    fn sweep(&mut self) {
        self.now = self.io.now();
        self.sweep_closing();
        let round = self.rounds.at(self.now);
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(index) else { return };
            if slot.session.is_vacant() {
                if self.open.is_none() && slot.rest_until <= self.now {
                    self.connect_closed(index);
                }
            } else if slot.session.deadline() <= self.now {
                match slot.session.expire(&mut self.context.step_context(round)) {
                    Step::Waits => self.go_on(index),
                    step => self.on_step(index, step),
                }
            }
        }
    }

    fn on_wake(&mut self, name: ConnectionId, hung_up: bool) {
        let Some(index) = index_of(name.slot) else { return };
        let round = self.round_of(index);
        let Some(slot) = self.slots.get_mut(index) else { return };
        if slot.number != name.number || slot.session.is_vacant() {
            self.on_closing(name, hung_up);
            return;
        }
        let step = slot.session.step(hung_up, &mut self.context.step_context(round));
        if step != Step::Waits {
            self.on_step(index, step);
        }
    }

    /// The round that what a connection does next is counted in.
    fn round_of(&mut self, index: usize) -> u32 {
        let due = self.slots.get(index).and_then(|slot| slot.session.completed_slot());
        match self.op(index, due.unwrap_or_default()) {
            Some(op) => self.counted_in(op),
            None => self.rounds.at(self.now),
        }
    }

    /// Goes on with a connection of which nothing new was heard.
    fn go_on(&mut self, index: usize) {
        if let Some(step) = self.resume(index) {
            self.on_step(index, step);
        }
    }

    fn resume(&mut self, index: usize) -> Option<Step> {
        let round = self.round_of(index);
        self.slots.get_mut(index)?.session.resume(&mut self.context.step_context(round))
    }

    /// Decides what a connection does after a step, until it waits or is over.
    fn on_step(&mut self, index: usize, step: Step) {
        let mut next = Some(step);
        while let Some(step) = next.take() {
            next = match step {
                Step::Waits => return,
                Step::Ready => {
                    self.now = self.io.now();
                    let round = self.op(index, 0).map_or(0, |op| op.round);
                    self.ask(index, round)
                }
                Step::Room => {
                    self.now = self.io.now();
                    self.fill(index)
                }
                Step::Confirmed => {
                    self.now = self.io.now();
                    self.finish(index, 0, Ok(None));
                    self.close(index)
                }
                Step::Answered { slot: request_slot, result } => {
                    self.now = self
                        .slots
                        .get(index)
                        .map_or(self.now, |slot| slot.session.last_response_at());
                    self.finish(index, request_slot, result.map(Some));
                    self.after_answer(index)
                }
                Step::Untaken { slot: request_slot, failed, progressed } => {
                    self.now = self.io.now();
                    self.send_again(index, request_slot, failed, progressed);
                    if self.slots.get(index).is_some_and(|slot| slot.session.is_vacant()) {
                        self.vacate(index, false);
                        return;
                    }
                    self.after_answer(index)
                }
                Step::Failed(failed) => {
                    self.now = self.io.now();
                    for request_slot in 0..number_of(self.width) {
                        self.finish(index, request_slot, Err(failed));
                    }
                    self.vacate(index, true);
                    return;
                }
                Step::Over => {
                    self.vacate(index, false);
                    return;
                }
            };
            // Only where requests go side by side can there be more to do without being told.
            if next.is_none() && self.width > 1 {
                next = self.resume(index);
            }
        }
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

fn number_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn index_of(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

/// Connections served before those that ended begin again.
const EVENTS_EXPECTED: usize = 256;
/// A second for uncounted operations to end in good order.
const DRAIN_MAX: Nanos = Nanos::from_millis(1_000);

#[cfg(test)]
mod tests;
