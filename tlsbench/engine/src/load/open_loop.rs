//! The part of the loop that only an open loop has: arrivals, and those that wait for a connection.

use std::collections::VecDeque;
use std::io;

use tlsbench_core::pace::{IntendedStart, Starts};
use tlsbench_core::scenario;
use tlsbench_core::tally::Phase;
use tlsbench_core::units::Nanos;

use super::operation::{Operation, UntakenOperation};
use super::rounds::Rounds;
use super::shard_context::{LoadCounts, ShardContext};
use super::shard_plan::{ShardPlan, Work};
use super::{Io, LoadLoop, index_of};
use crate::session::Connection as _;

/// Arrivals, the queue for the pool, and the pool's free places.
#[derive(Debug)]
pub(super) struct OpenLoop {
    starts: Starts,
    begin: Nanos,
    next: Option<Nanos>,
    of: scenario::Arrivals,
    wait_max: Nanos,
    /// Starts that wait for the pool, with their rounds.
    pub(super) waiting: VecDeque<(IntendedStart, u32)>,
    /// Slots without a connection.
    pub(super) vacant: Vec<u32>,
    /// Connections without a request: slot and number, which may be out of date.
    pub(super) idle: Vec<(u32, u32)>,
    /// True if nothing more will arrive.
    pub(super) exhausted: bool,
    /// Operations under way, by the round that they count in; 0 is what is not measured.
    under_way: Vec<u32>,
}

/// The connection that an operation can begin on.
pub(super) enum StartOn {
    /// A connection that stands.
    Idle(usize),
    /// A slot without a connection.
    Vacant(usize),
}

impl OpenLoop {
    /// The open loop of a course; nothing when it is a closed one.
    pub(super) fn of(plan: &ShardPlan) -> Option<Self> {
        let Work::Open { arrivals: of, rate, spread, pool, wait_max } = plan.work else {
            return None;
        };
        let slots = usize::try_from(pool.get()).unwrap_or(usize::MAX);
        let mut open = Self {
            starts: Starts::new(rate, spread, plan.ramp, plan.shard),
            begin: plan.begin,
            next: None,
            of,
            wait_max,
            waiting: VecDeque::with_capacity(WAITING_MAX),
            vacant: (0..pool.get()).rev().collect(),
            idle: Vec::with_capacity(slots.saturating_mul(STALE_FACTOR)),
            exhausted: false,
            under_way: vec![0; usize::try_from(plan.rounds.get()).unwrap_or_default() + 1],
        };
        open.advance();
        Some(open)
    }

    /// Returns when the next arrival should begin.
    pub(super) const fn next_start(&self) -> Option<Nanos> {
        self.next
    }

    /// Goes on to the arrival after it.
    pub(super) fn advance(&mut self) {
        let start = self.starts.next();
        self.next = start.map(|start| Nanos(self.begin.0.saturating_add(start.0.0)));
    }

    /// Returns whether connections arrive, not requests.
    pub(super) const fn by_connection(&self) -> bool {
        matches!(self.of, scenario::Arrivals::Connections { .. })
    }

    /// An operation of a round began.
    pub(super) fn begin(&mut self, round: u32) {
        if let Some(count) = index_of(round).and_then(|index| self.under_way.get_mut(index)) {
            *count += 1;
        }
    }

    /// Notes that one ended.
    pub(super) fn end(&mut self, round: u32) {
        if let Some(count) = index_of(round).and_then(|index| self.under_way.get_mut(index)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Returns whether nothing of a round is to come, waits or goes on.
    pub(super) fn is_settled(&self, round: u32, rounds: &Rounds) -> bool {
        let next = self.next.filter(|_| !self.exhausted).and_then(|start| rounds.of_start(start));
        let to_come = [next, self.waiting.front().map(|&(_, round)| round)];
        let under_way = index_of(round).and_then(|index| self.under_way.get(index));
        under_way == Some(&0) && to_come.iter().flatten().all(|&first| first > round)
    }

    /// Lets a start wait; one too many is missed.
    pub(super) fn wait(
        &mut self,
        intended: IntendedStart,
        round: u32,
        context: &mut ShardContext<'_>,
        counts: &mut LoadCounts,
    ) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back((intended, round));
        } else {
            miss(round, context, counts);
        }
    }

    /// Gives up the starts that have waited too long.
    pub(super) fn expire(
        &mut self,
        now: Nanos,
        context: &mut ShardContext<'_>,
        counts: &mut LoadCounts,
    ) {
        while let Some(&(intended, round)) = self.waiting.front()
            && now - intended.0 > self.wait_max
        {
            self.waiting.pop_front();
            miss(round, context, counts);
        }
    }

    /// The start that has waited longest and not too long.
    pub(super) fn next_waiting(
        &mut self,
        now: Nanos,
        context: &mut ShardContext<'_>,
        counts: &mut LoadCounts,
    ) -> Option<(IntendedStart, u32)> {
        self.expire(now, context, counts);
        self.waiting.pop_front()
    }

    /// Returns where an operation can begin: on the connection used last, else on a new one.
    pub(super) fn start_on(
        &mut self,
        mut is_idle: impl FnMut(u32, u32) -> bool,
    ) -> Option<StartOn> {
        // Entries of connections that were closed meanwhile would pile up at the bottom.
        if self.idle.len() == self.idle.capacity() {
            self.idle.retain(|&(slot, number)| is_idle(slot, number));
        }
        while let Some((slot, number)) = self.idle.pop() {
            if is_idle(slot, number) {
                return usize::try_from(slot).ok().map(StartOn::Idle);
            }
        }
        let slot = self.vacant.pop()?;
        usize::try_from(slot).ok().map(StartOn::Vacant)
    }
}

impl<O: Io> LoadLoop<'_, O> {
    /// Begins what an open loop should have begun by now, and sets the timer for what comes next.
    pub(super) fn begin_what_is_due(&mut self) -> io::Result<()> {
        let operations = self.context.plan.per_connection().unwrap_or(1);
        let mut wake = None;
        while let Some(open) = &mut self.open {
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
            open.advance();
            self.rounds.start(round, operations);
            let tally = self.context.tally(round);
            tally.scheduled += operations;
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
        while let Some(open) = &mut self.open {
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
        } else if self.width > 1 {
            let has_room =
                self.slots.get(index).is_some_and(|slot| slot.session.free_slot().is_some());
            if has_room {
                self.rest(index);
            }
            self.go_on(index);
        }
    }
}

fn miss(round: u32, context: &mut ShardContext<'_>, counts: &mut LoadCounts) {
    let operations = context.plan.per_connection().unwrap_or(1);
    context.tally(round).missed += operations;
    counts.missed += operations;
}

/// One second's starts at 65,536 per second and shard; 1.5 MB.
const WAITING_MAX: usize = 1 << 16;
/// Room for as many entries that are out of date as for those that are not.
const STALE_FACTOR: usize = 2;
