//! The event loop of one shard.
//!
//! One thread, no locks, no channels, and no allocation per request. Connections report the
//! outcome of each step, and the loop decides what each does next.

use std::collections::VecDeque;
use std::io;

use tlsbench_core::tally::Tally;
use tlsbench_core::units::Nanos;
use tlsbench_core::usage::UnderWay;

use super::closing::Closing;
use super::monitor::Monitor;
use super::operation::UntakenOperation;
use super::round_timer::RoundTimer;
use super::rounds::Rounds;
use super::schedule::Schedule;
use super::shard_context::{LoadCounts, ShardContext};
use super::shard_io::{ConnectionId, Io, Wake};
use super::slots::{Slots, index_of};
use crate::session::{Connection as _, Step, slot_count};
use crate::wire::Rendered;

mod arrivals;
mod closing;
mod operations;

/// The load loop of one shard.
pub(crate) struct LoadLoop<'d, O: Io> {
    context: ShardContext<'d>,
    io: O,
    slots: Slots<O::Connection>,
    /// Connections that have left their slots and are not closed yet.
    closing: Closing<O::Connection>,
    /// Operations that the server did not take, to be sent again before others begin.
    untaken: VecDeque<UntakenOperation>,
    rounds: Rounds,
    /// The time when the next round begins, or the last one ends.
    edge: Option<Nanos>,
    timer: RoundTimer,
    /// The first round whose tally was not given away.
    next_given: u32,
    pub(crate) counts: LoadCounts,
    schedule: Schedule,
    /// The time as of the last reading of the clock.
    pub(super) now: Nanos,
}

impl<'d, O: Io> LoadLoop<'d, O> {
    pub(crate) fn new(mut context: ShardContext<'d>, io: O) -> Self {
        let now = io.now();
        context.refresh(now);
        let plan = context.plan;
        let streams = plan.request.as_ref().and_then(Rendered::streams);
        let from = plan.begin + plan.warm_up;
        let rounds = Rounds::new(from, plan.length, plan.rounds);
        Self {
            io,
            slots: Slots::new(plan.first_starts(), streams.map_or(1, slot_count)),
            untaken: VecDeque::new(),
            closing: Closing::new(),
            edge: rounds.edge_after(now),
            rounds,
            timer: RoundTimer::new(),
            next_given: 1,
            counts: LoadCounts::default(),
            schedule: Schedule::of(plan),
            now,
            context,
        }
    }

    /// Runs the plan to its end, or until the monitor asks to stop.
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
                    // Ticks, and not the end of each wait, drive what may take long: sweeping all
                    // slots costs time in proportion to the connections.
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

    /// Handles a tick; returns whether to go on.
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
            let open = self.schedule.open();
            // A round is final only once its last operation has ended: an open loop counts an
            // operation in the round of its start.
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
        let over = match self.schedule.open() {
            // A round takes its time, also when its last arrival came and went long before.
            Some(_) if !self.rounds.is_counted() && !self.rounds.is_over() => false,
            Some(open) => open.exhausted && open.waiting.is_empty() && self.slots.busy == 0,
            None => !self.rounds.may_start(self.now),
        };
        // A closed loop by time has nothing to lose at its end but what would not be counted.
        let patient = self.rounds.is_counted() && self.slots.busy > 0;
        if !over || patient {
            return false;
        }
        let until = *drain_until.get_or_insert_with(|| self.now + DRAIN_MAX);
        // What is still to be waited for belongs to no round.
        self.note(0);
        if !self.schedule.is_closed() {
            self.drop_idle();
        }
        (self.slots.live == 0 && self.closing.is_empty()) || self.now >= until
    }

    fn drop_idle(&mut self) {
        let Some(open) = self.schedule.open_mut() else { return };
        for (slot, number) in open.idle.drain(..) {
            let slot = index_of(slot).and_then(|index| self.slots.get_mut(index));
            if let Some(slot) = slot.filter(|slot| slot.number == number && slot.session.is_idle())
            {
                slot.session.leave(&mut self.context.step_context(0));
                self.slots.live -= 1;
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
                // Slots whose connection failed wait here for their rest to pass, up to a tick
                // longer.
                if self.schedule.is_closed() && slot.rest_until <= self.now {
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
        match self.slots.operation(index, due.unwrap_or_default()) {
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
                    let round = self.slots.operation(index, 0).map_or(0, |op| op.round);
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
                    if self.slots.is_vacant(index) {
                        self.vacate(index, false);
                        return;
                    }
                    self.after_answer(index)
                }
                Step::Failed(failed) => {
                    self.now = self.io.now();
                    for request_slot in self.slots.request_slots() {
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
            if next.is_none() && self.slots.are_multiplexed() {
                next = self.resume(index);
            }
        }
    }
}

/// A second for uncounted operations to end in good order.
const DRAIN_MAX: Nanos = Nanos::from_millis(1_000);
