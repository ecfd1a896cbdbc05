//! The queue of targets to be written: each at most once, one write in flight per target, and a share
//! of the slots for those that gave trouble, so that they never hold up the rest.
//!
//! Pure: it starts nothing and asks no clock. Bounded by the number of targets, each of which is in
//! one place at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use trustd_core::names::{BundleName, Kind, Namespace};

use super::clock::Instant;

/// The unit of work: one target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Unit {
    /// The Bundle, after which the target is named.
    pub(super) bundle: BundleName,
    /// The target's kind.
    pub(super) kind: Kind,
    /// The target's namespace.
    pub(super) namespace: Namespace,
}

/// Which slots a unit is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Any slot: nothing is known against it.
    Fast,
    /// One of the few slots for what failed or hung before.
    Slow,
}

/// Units to be written.
#[derive(Debug)]
pub(super) struct Queue {
    slots: usize,
    /// How many of the slots are used: fewer for a while after the server had too much to do.
    window: usize,
    /// Writes that went well since the window was changed.
    went_well: usize,
    slow_slots: usize,
    fast: VecDeque<Unit>,
    slow: VecDeque<Unit>,
    /// Those in `fast` and `slow`. A unit that is there and not here has been taken back.
    ready: HashMap<Unit, Lane>,
    delayed: BTreeSet<(Instant, Unit)>,
    delays: BTreeMap<Unit, (Instant, Lane)>,
    flights: HashMap<Unit, Flight>,
    held_until: Option<Instant>,
}

/// A write in flight.
#[derive(Clone, Copy, Debug)]
struct Flight {
    lane: Lane,
    since: Instant,
    /// The unit changed meanwhile and is due again.
    again: Option<Lane>,
}

impl Queue {
    /// An empty queue with so many slots.
    pub(super) fn new(slots: NonZeroUsize) -> Self {
        Self {
            slots: slots.get(),
            window: slots.get(),
            went_well: 0,
            slow_slots: (slots.get() / SLOW_SHARE).max(1),
            fast: VecDeque::new(),
            slow: VecDeque::new(),
            ready: HashMap::new(),
            delayed: BTreeSet::new(),
            delays: BTreeMap::new(),
            flights: HashMap::new(),
            held_until: None,
        }
    }

    /// The unit is due now. One that is in flight is due again once it has landed.
    pub(super) fn push(&mut self, unit: &Unit, lane: Lane) {
        if let Some(flight) = self.flights.get_mut(unit) {
            flight.again = Some(lane);
            return;
        }
        self.undelay(unit);
        if self.ready.get(unit) == Some(&lane) {
            return;
        }
        // In the other lane it may still stand; it is skipped there.
        self.ready.insert(unit.clone(), lane);
        self.line(lane).push_back(unit.clone());
    }

    /// The unit is due at a later time, unless it is pushed before.
    pub(super) fn delay(&mut self, unit: &Unit, until: Instant, lane: Lane) {
        self.forget(unit);
        self.delayed.insert((until, unit.clone()));
        self.delays.insert(unit.clone(), (until, lane));
    }

    /// The unit is not due any more. A write in flight goes on.
    pub(super) fn forget(&mut self, unit: &Unit) {
        self.undelay(unit);
        self.ready.remove(unit);
        if let Some(flight) = self.flights.get_mut(unit) {
            flight.again = None;
        }
    }

    /// Forgets everything that is not in flight.
    pub(super) fn clear(&mut self) {
        self.fast.clear();
        self.slow.clear();
        self.ready.clear();
        self.delayed.clear();
        self.delays.clear();
        self.held_until = None;
        for flight in self.flights.values_mut() {
            flight.again = None;
        }
    }

    /// Nothing is started before this time: the server asked for it.
    pub(super) fn hold_until(&mut self, instant: Instant) {
        self.held_until = self.held_until.max(Some(instant));
    }

    /// The server has too much to do and asks for a pause until then. After it half as many writes are
    /// in flight at once; those that were sent together count as one.
    pub(super) fn throttle(&mut self, now: Instant, until: Instant) {
        if self.held_until.is_none_or(|held| held <= now) {
            self.window = (self.window.min(self.flights.len() + 1) / 2).max(1);
            self.went_well = 0;
        }
        self.hold_until(until);
    }

    /// A write went well: after as many of them as there are slots, one more may be in flight.
    pub(super) fn relax(&mut self) {
        self.went_well += 1;
        if self.went_well >= self.slots {
            self.went_well = 0;
            self.window = (self.window + 1).min(self.slots);
        }
    }

    /// The next unit to write, if one is due and a slot is free. It is in flight from now on.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Unit> {
        self.wake(now);
        if self.held_until.is_some_and(|until| until > now) || self.flights.len() >= self.window {
            return None;
        }
        self.held_until = None;
        let slow =
            if self.slow_flights() < self.slow_room() { self.take(Lane::Slow) } else { None };
        let (unit, lane) = match slow {
            Some(unit) => (unit, Lane::Slow),
            None => match self.take(Lane::Fast) {
                Some(unit) => (unit, Lane::Fast),
                // A window too narrow to be shared goes to the slow ones when nobody else wants it.
                None if self.slow_flights() == 0 => (self.take(Lane::Slow)?, Lane::Slow),
                None => return None,
            },
        };
        self.flights.insert(unit.clone(), Flight { lane, since: now, again: None });
        Some(unit)
    }

    /// A write has landed, one way or another; says whether the unit is due again already.
    pub(super) fn land(&mut self, unit: &Unit) -> bool {
        let again = self.flights.remove(unit).and_then(|flight| flight.again);
        if let Some(lane) = again {
            self.push(unit, lane);
        }
        again.is_some()
    }

    /// Looks for writes in the fast lane that take longer than `patience`: they move over to the slow
    /// lane as long as it has room. Those for which it has none are returned, to be given up.
    pub(super) fn stalled(&mut self, now: Instant, patience: Duration) -> Vec<Unit> {
        let mut free = self.slow_room().saturating_sub(self.slow_flights());
        let mut late = Vec::new();
        for (unit, flight) in &mut self.flights {
            if flight.lane == Lane::Fast && now.since(flight.since) >= patience {
                if free > 0 {
                    free -= 1;
                    flight.lane = Lane::Slow;
                } else {
                    late.push(unit.clone());
                }
            }
        }
        late
    }

    /// When something becomes due that is not due yet.
    pub(super) fn next(&self) -> Option<Instant> {
        let delayed = self.delayed.first().map(|(until, _)| *until);
        let held = self.held_until.filter(|_| !self.ready.is_empty());
        delayed.into_iter().chain(held).min()
    }

    /// Units that are due, or will be.
    pub(super) fn depth(&self) -> usize {
        self.ready.len() + self.delayed.len()
    }

    /// Writes in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Whether the unit is being written; then it is planned again when that has ended.
    pub(super) fn is_in_flight(&self, unit: &Unit) -> bool {
        self.flights.contains_key(unit)
    }

    fn wake(&mut self, now: Instant) {
        while self.delayed.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, unit)) = self.delayed.pop_first() else { return };
            let lane = self.delays.remove(&unit).map_or(Lane::Slow, |(_, lane)| lane);
            self.push(&unit, lane);
        }
    }

    fn take(&mut self, lane: Lane) -> Option<Unit> {
        loop {
            let unit = self.line(lane).pop_front()?;
            if self.ready.get(&unit) == Some(&lane) {
                self.ready.remove(&unit);
                return Some(unit);
            }
        }
    }

    const fn line(&mut self, lane: Lane) -> &mut VecDeque<Unit> {
        match lane {
            Lane::Fast => &mut self.fast,
            Lane::Slow => &mut self.slow,
        }
    }

    /// How many slow ones may be in flight.
    const fn slow_room(&self) -> usize {
        if self.window < self.slots { self.window / SLOW_SHARE } else { self.slow_slots }
    }

    fn slow_flights(&self) -> usize {
        self.flights.values().filter(|flight| flight.lane == Lane::Slow).count()
    }

    fn undelay(&mut self, unit: &Unit) {
        if let Some((until, _)) = self.delays.remove(unit) {
            self.delayed.remove(&(until, unit.clone()));
        }
    }
}

/// What fails or hangs gets one slot in four.
const SLOW_SHARE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(namespace: &str) -> Unit {
        Unit { bundle: "b".into(), kind: Kind::ConfigMap, namespace: namespace.into() }
    }

    fn at(seconds: u64) -> Instant {
        Instant::since_boot(Duration::from_secs(seconds))
    }

    fn queue(slots: usize) -> Queue {
        Queue::new(NonZeroUsize::new(slots).unwrap())
    }

    fn drain(queue: &mut Queue, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| queue.pop(now)).map(|unit| unit.namespace.to_string()).collect()
    }

    #[test]
    fn a_busy_server_gets_half_as_many_writes_at_once_and_slowly_more_again() {
        let mut queue = queue(8);
        let units: Vec<Unit> = (0..100).map(|n| unit(&format!("n{n:03}"))).collect();
        let land = |queue: &mut Queue, names: &[String]| {
            for name in names {
                queue.land(&unit(name));
            }
        };
        for unit in &units {
            queue.push(unit, Lane::Fast);
        }
        let first = drain(&mut queue, at(0));
        assert_eq!(first.len(), 8);
        for name in &first {
            queue.land(&unit(name));
            queue.throttle(at(0), at(1));
        }
        assert_eq!(drain(&mut queue, at(0)), Vec::<String>::new(), "the pause");
        let second = drain(&mut queue, at(1));
        assert_eq!(second.len(), 4, "halved once for all of them");
        land(&mut queue, &second);
        (0..7).for_each(|_| queue.relax());
        let third = drain(&mut queue, at(1));
        assert_eq!(third.len(), 4);
        queue.relax();
        assert_eq!(drain(&mut queue, at(1)).len(), 1, "one more");
        land(&mut queue, &third);
        (0..800).for_each(|_| queue.relax());
        assert_eq!(drain(&mut queue, at(1)).len(), 7, "never more than there are slots");
    }

    #[test]
    fn a_narrow_window_goes_to_the_fast_ones_first() {
        let mut queue = queue(8);
        drain(&mut queue, at(0));
        (0..4).for_each(|n| queue.throttle(at(n), at(n + 1)));
        queue.push(&unit("slow"), Lane::Slow);
        queue.push(&unit("fast"), Lane::Fast);
        assert_eq!(drain(&mut queue, at(9)), ["fast"]);
        queue.land(&unit("fast"));
        assert_eq!(drain(&mut queue, at(9)), ["slow"]);
    }

    #[test]
    fn a_unit_is_queued_once_and_flies_alone() {
        let mut queue = queue(4);
        for name in ["a", "b", "a", "a"] {
            queue.push(&unit(name), Lane::Fast);
        }
        assert_eq!(queue.depth(), 2);
        assert_eq!(drain(&mut queue, at(0)), ["a", "b"]);
        queue.push(&unit("a"), Lane::Fast);
        queue.push(&unit("a"), Lane::Fast);
        assert_eq!(drain(&mut queue, at(0)), Vec::<String>::new(), "one write at a time");
        queue.land(&unit("a"));
        assert_eq!(drain(&mut queue, at(0)), ["a"], "what changed meanwhile is written again");
        queue.land(&unit("a"));
        queue.land(&unit("b"));
        assert_eq!((queue.depth(), queue.in_flight(), queue.pop(at(0))), (0, 0, None));
    }

    #[test]
    fn trouble_takes_a_quarter_of_the_slots_and_no_more() {
        let mut queue = queue(8);
        for name in ["s1", "s2", "s3", "s4"] {
            queue.push(&unit(name), Lane::Slow);
        }
        assert_eq!(drain(&mut queue, at(0)), ["s1", "s2"]);
        for n in 0..9 {
            queue.push(&unit(&format!("f{n}")), Lane::Fast);
        }
        assert_eq!(drain(&mut queue, at(0)).len(), 6, "the others have the rest");
        queue.land(&unit("f0"));
        assert_eq!(drain(&mut queue, at(0)), ["f6"]);
        queue.land(&unit("s1"));
        assert_eq!(drain(&mut queue, at(0)), ["s3"], "and are not starved themselves");
    }

    #[test]
    fn even_one_slot_serves_both_lanes() {
        let mut queue = queue(1);
        queue.push(&unit("s"), Lane::Slow);
        queue.push(&unit("f"), Lane::Fast);
        assert_eq!(drain(&mut queue, at(0)), ["s"]);
        queue.land(&unit("s"));
        assert_eq!(drain(&mut queue, at(0)), ["f"]);
    }

    #[test]
    fn a_delayed_unit_waits_unless_it_is_pushed_or_forgotten() {
        let mut queue = queue(4);
        queue.delay(&unit("a"), at(10), Lane::Slow);
        queue.delay(&unit("b"), at(20), Lane::Fast);
        queue.delay(&unit("c"), at(5), Lane::Fast);
        queue.forget(&unit("c"));
        assert_eq!((queue.depth(), queue.next()), (2, Some(at(10))));
        assert_eq!(drain(&mut queue, at(9)), Vec::<String>::new());
        queue.push(&unit("b"), Lane::Fast);
        assert_eq!(drain(&mut queue, at(9)), ["b"]);
        assert_eq!(drain(&mut queue, at(10)), ["a"]);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_unit_that_changes_lanes_is_written_in_the_new_one_only() {
        let mut queue = queue(4);
        queue.push(&unit("a"), Lane::Slow);
        queue.push(&unit("a"), Lane::Fast);
        assert_eq!(queue.depth(), 1);
        assert_eq!(drain(&mut queue, at(0)), ["a"]);
        queue.land(&unit("a"));
        assert_eq!(queue.pop(at(0)), None);
    }

    #[test]
    fn nothing_starts_while_the_server_asks_for_a_pause() {
        let mut queue = queue(4);
        queue.push(&unit("a"), Lane::Fast);
        queue.hold_until(at(3));
        queue.hold_until(at(2));
        assert_eq!((queue.pop(at(2)), queue.next()), (None, Some(at(3))));
        assert_eq!(drain(&mut queue, at(3)), ["a"]);
    }

    #[test]
    fn what_hangs_moves_over_and_is_given_up_where_there_is_no_room() {
        let mut queue = queue(8);
        for n in 0..8 {
            queue.push(&unit(&format!("n{n}")), Lane::Fast);
        }
        assert_eq!(drain(&mut queue, at(0)).len(), 8);
        let patience = Duration::from_secs(1);
        assert_eq!(queue.stalled(at(0), patience), Vec::new());
        assert_eq!(queue.stalled(at(1), patience).len(), 6, "two have moved to the slow lane");
        queue.push(&unit("s"), Lane::Slow);
        queue.land(&unit("none of them"));
        assert_eq!(queue.pop(at(1)), None, "the slow lane is full");
    }

    #[test]
    fn clearing_leaves_only_what_is_in_flight() {
        let mut queue = queue(1);
        for name in ["a", "b"] {
            queue.push(&unit(name), Lane::Fast);
        }
        assert_eq!(drain(&mut queue, at(0)), ["a"]);
        queue.push(&unit("a"), Lane::Fast);
        queue.delay(&unit("c"), at(1), Lane::Slow);
        queue.clear();
        assert_eq!((queue.depth(), queue.in_flight(), queue.next()), (0, 1, None));
        queue.land(&unit("a"));
        assert_eq!(queue.pop(at(9)), None);
    }
}
