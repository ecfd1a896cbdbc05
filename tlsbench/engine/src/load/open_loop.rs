//! The part of the loop that only an open loop has: arrivals, and those that wait for a connection.

use std::collections::VecDeque;

use tlsbench_core::pace::{IntendedStart, Starts};
use tlsbench_core::scenario;
use tlsbench_core::units::Nanos;

use super::rounds::Rounds;
use super::shard_context::{LoadCounts, ShardContext};
use super::shard_plan::{ShardPlan, Work};
use super::slots::index_of;

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
    /// The open loop of a plan; `None` if it is a closed one.
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
        // The queue is bounded: a server that stands still for minutes must not make the generator
        // run out of memory.
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
        // The connection used last comes first, as pools of clients have it: few connections stay
        // busy, and the others may be closed by the server.
        while let Some((slot, number)) = self.idle.pop() {
            if is_idle(slot, number) {
                return usize::try_from(slot).ok().map(StartOn::Idle);
            }
        }
        let slot = self.vacant.pop()?;
        usize::try_from(slot).ok().map(StartOn::Vacant)
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
