//! The queue of targets to be written: each at most once, one write in flight per target, and a
//! share of the slots for those that gave trouble, so that they never hold up the rest.
//!
//! Pure: it starts nothing and asks no clock. Bounded by the number of targets, each of which is in
//! one place at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use trustd_core::names::{BundleName, Kind, Namespace};

use super::clock::Instant;

/// The key of a target in the queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TargetRef {
    /// The Bundle, after which the target is named.
    pub(super) bundle: BundleName,
    /// The target's kind.
    pub(super) kind: Kind,
    /// The target's namespace.
    pub(super) namespace: Namespace,
}

/// The slots in which a target may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// Any slot: nothing is known against it.
    Normal,
    /// One of the few slots for what failed or hung before.
    Low,
}

/// Units to be written.
#[derive(Debug)]
pub(super) struct Queue {
    slots: usize,
    /// The number of slots in use: fewer for a while after the server was overloaded.
    window: usize,
    /// Writes that went well since the window was changed.
    went_well: usize,
    low_slots: usize,
    normal: VecDeque<TargetRef>,
    low: VecDeque<TargetRef>,
    /// Those in `fast` and `slow`. A unit that is there and not here has been taken back.
    ready: HashMap<TargetRef, Priority>,
    delayed: BTreeSet<(Instant, TargetRef)>,
    delays: BTreeMap<TargetRef, (Instant, Priority)>,
    in_flight: HashMap<TargetRef, InFlight>,
    held_until: Option<Instant>,
}

/// A write in flight.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    priority: Priority,
    since: Instant,
    /// The unit changed meanwhile and is due again.
    again: Option<Priority>,
}

impl Queue {
    /// An empty queue with so many slots.
    pub(super) fn new(slots: NonZeroUsize) -> Self {
        Self {
            slots: slots.get(),
            window: slots.get(),
            went_well: 0,
            low_slots: (slots.get() / LOW_SHARE).max(1),
            normal: VecDeque::new(),
            low: VecDeque::new(),
            ready: HashMap::new(),
            delayed: BTreeSet::new(),
            delays: BTreeMap::new(),
            in_flight: HashMap::new(),
            held_until: None,
        }
    }

    /// Makes a target due now. One that is in flight becomes due again when its write has ended.
    pub(super) fn push(&mut self, unit: &TargetRef, priority: Priority) {
        if let Some(write) = self.in_flight.get_mut(unit) {
            write.again = Some(priority);
            return;
        }
        // What is due now is not due later as well: each target is in one place at a time.
        self.undelay(unit);
        if self.ready.get(unit) == Some(&priority) {
            return;
        }
        // The queue of the other priority may still hold it; it is skipped there.
        self.ready.insert(unit.clone(), priority);
        self.line(priority).push_back(unit.clone());
    }

    /// Makes a target due at a later time, unless it is pushed before.
    pub(super) fn delay(&mut self, unit: &TargetRef, until: Instant, priority: Priority) {
        self.forget(unit);
        self.delayed.insert((until, unit.clone()));
        self.delays.insert(unit.clone(), (until, priority));
    }

    /// Takes a target out of the queue. A write in flight goes on.
    pub(super) fn forget(&mut self, unit: &TargetRef) {
        self.undelay(unit);
        self.ready.remove(unit);
        if let Some(write) = self.in_flight.get_mut(unit) {
            write.again = None;
        }
    }

    /// Forgets everything that is not in flight.
    pub(super) fn clear(&mut self) {
        self.normal.clear();
        self.low.clear();
        self.ready.clear();
        self.delayed.clear();
        self.delays.clear();
        self.held_until = None;
        for write in self.in_flight.values_mut() {
            write.again = None;
        }
    }

    /// Starts nothing before this time, because the server asked for a pause.
    pub(super) fn hold_until(&mut self, instant: Instant) {
        self.held_until = self.held_until.max(Some(instant));
    }

    /// The server has too much to do and asks for a pause until then. After it half as many writes
    /// are in flight at once; those that were sent together count as one.
    pub(super) fn throttle(&mut self, now: Instant, until: Instant) {
        if self.held_until.is_none_or(|held| held <= now) {
            self.window = (self.window.min(self.in_flight.len() + 1) / 2).max(1);
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

    /// Returns the next target to write, if one is due and a slot is free. It is in flight from now
    /// on.
    pub(super) fn pop(&mut self, now: Instant) -> Option<TargetRef> {
        self.wake(now);
        if self.held_until.is_some_and(|until| until > now) || self.in_flight.len() >= self.window {
            return None;
        }
        // The pause is over.
        self.held_until = None;
        let low =
            if self.low_in_flight() < self.low_room() { self.take(Priority::Low) } else { None };
        let (unit, priority) = match low {
            Some(unit) => (unit, Priority::Low),
            None => match self.take(Priority::Normal) {
                Some(unit) => (unit, Priority::Normal),
                // A window too narrow to be shared goes to the slow ones when nobody else wants it.
                None if self.low_in_flight() == 0 => (self.take(Priority::Low)?, Priority::Low),
                None => return None,
            },
        };
        self.in_flight.insert(unit.clone(), InFlight { priority, since: now, again: None });
        Some(unit)
    }

    /// Ends a write; returns true if the target is due again already.
    pub(super) fn finish(&mut self, unit: &TargetRef) -> bool {
        let again = self.in_flight.remove(unit).and_then(|write| write.again);
        if let Some(priority) = again {
            self.push(unit, priority);
        }
        again.is_some()
    }

    /// Finds writes of normal priority that take longer than `patience`. They become low priority
    /// as long as that has room; those for which it has none are returned, to be cancelled.
    pub(super) fn stalled(&mut self, now: Instant, patience: Duration) -> Vec<TargetRef> {
        let mut free = self.low_room().saturating_sub(self.low_in_flight());
        let mut late = Vec::new();
        for (unit, write) in &mut self.in_flight {
            if write.priority == Priority::Normal && now.since(write.since) >= patience {
                if free > 0 {
                    free -= 1;
                    write.priority = Priority::Low;
                } else {
                    late.push(unit.clone());
                }
            }
        }
        late
    }

    /// Returns the time at which the next target becomes due.
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
        self.in_flight.len()
    }

    /// Returns true if the target is being written; it is planned again when that has ended.
    pub(super) fn is_in_flight(&self, unit: &TargetRef) -> bool {
        self.in_flight.contains_key(unit)
    }

    fn wake(&mut self, now: Instant) {
        while self.delayed.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, unit)) = self.delayed.pop_first() else { return };
            let priority =
                self.delays.remove(&unit).map_or(Priority::Low, |(_, priority)| priority);
            self.push(&unit, priority);
        }
    }

    fn take(&mut self, priority: Priority) -> Option<TargetRef> {
        loop {
            let unit = self.line(priority).pop_front()?;
            if self.ready.get(&unit) == Some(&priority) {
                self.ready.remove(&unit);
                return Some(unit);
            }
        }
    }

    const fn line(&mut self, priority: Priority) -> &mut VecDeque<TargetRef> {
        match priority {
            Priority::Normal => &mut self.normal,
            Priority::Low => &mut self.low,
        }
    }

    /// Returns how many targets of low priority may be in flight.
    const fn low_room(&self) -> usize {
        if self.window < self.slots { self.window / LOW_SHARE } else { self.low_slots }
    }

    fn low_in_flight(&self) -> usize {
        self.in_flight.values().filter(|write| write.priority == Priority::Low).count()
    }

    fn undelay(&mut self, unit: &TargetRef) {
        if let Some((until, _)) = self.delays.remove(unit) {
            self.delayed.remove(&(until, unit.clone()));
        }
    }
}

/// Targets that fail or hang get one slot in four.
const LOW_SHARE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(namespace: &str) -> TargetRef {
        TargetRef { bundle: "b".into(), kind: Kind::ConfigMap, namespace: namespace.into() }
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
        let units: Vec<TargetRef> = (0..100).map(|n| unit(&format!("n{n:03}"))).collect();
        let finish = |queue: &mut Queue, names: &[String]| {
            for name in names {
                queue.finish(&unit(name));
            }
        };
        for unit in &units {
            queue.push(unit, Priority::Normal);
        }
        let first = drain(&mut queue, at(0));
        assert_eq!(first.len(), 8);
        for name in &first {
            queue.finish(&unit(name));
            queue.throttle(at(0), at(1));
        }
        assert_eq!(drain(&mut queue, at(0)), Vec::<String>::new(), "the pause");
        let second = drain(&mut queue, at(1));
        assert_eq!(second.len(), 4, "halved once for all of them");
        finish(&mut queue, &second);
        (0..7).for_each(|_| queue.relax());
        let third = drain(&mut queue, at(1));
        assert_eq!(third.len(), 4);
        queue.relax();
        assert_eq!(drain(&mut queue, at(1)).len(), 1, "one more");
        finish(&mut queue, &third);
        (0..800).for_each(|_| queue.relax());
        assert_eq!(drain(&mut queue, at(1)).len(), 7, "never more than there are slots");
    }

    #[test]
    fn a_narrow_window_goes_to_the_fast_ones_first() {
        let mut queue = queue(8);
        drain(&mut queue, at(0));
        (0..4).for_each(|n| queue.throttle(at(n), at(n + 1)));
        queue.push(&unit("low"), Priority::Low);
        queue.push(&unit("normal"), Priority::Normal);
        assert_eq!(drain(&mut queue, at(9)), ["normal"]);
        queue.finish(&unit("normal"));
        assert_eq!(drain(&mut queue, at(9)), ["low"]);
    }

    #[test]
    fn a_unit_is_queued_once_and_flies_alone() {
        let mut queue = queue(4);
        for name in ["a", "b", "a", "a"] {
            queue.push(&unit(name), Priority::Normal);
        }
        assert_eq!(queue.depth(), 2);
        assert_eq!(drain(&mut queue, at(0)), ["a", "b"]);
        queue.push(&unit("a"), Priority::Normal);
        queue.push(&unit("a"), Priority::Normal);
        assert_eq!(drain(&mut queue, at(0)), Vec::<String>::new(), "one write at a time");
        queue.finish(&unit("a"));
        assert_eq!(drain(&mut queue, at(0)), ["a"], "what changed meanwhile is written again");
        queue.finish(&unit("a"));
        queue.finish(&unit("b"));
        assert_eq!((queue.depth(), queue.in_flight(), queue.pop(at(0))), (0, 0, None));
    }

    #[test]
    fn trouble_takes_a_quarter_of_the_slots_and_no_more() {
        let mut queue = queue(8);
        for name in ["s1", "s2", "s3", "s4"] {
            queue.push(&unit(name), Priority::Low);
        }
        assert_eq!(drain(&mut queue, at(0)), ["s1", "s2"]);
        for n in 0..9 {
            queue.push(&unit(&format!("f{n}")), Priority::Normal);
        }
        assert_eq!(drain(&mut queue, at(0)).len(), 6, "the others have the rest");
        queue.finish(&unit("f0"));
        assert_eq!(drain(&mut queue, at(0)), ["f6"]);
        queue.finish(&unit("s1"));
        assert_eq!(drain(&mut queue, at(0)), ["s3"], "and are not starved themselves");
    }

    #[test]
    fn even_one_slot_serves_both_lanes() {
        let mut queue = queue(1);
        queue.push(&unit("s"), Priority::Low);
        queue.push(&unit("f"), Priority::Normal);
        assert_eq!(drain(&mut queue, at(0)), ["s"]);
        queue.finish(&unit("s"));
        assert_eq!(drain(&mut queue, at(0)), ["f"]);
    }

    #[test]
    fn a_delayed_unit_waits_unless_it_is_pushed_or_forgotten() {
        let mut queue = queue(4);
        queue.delay(&unit("a"), at(10), Priority::Low);
        queue.delay(&unit("b"), at(20), Priority::Normal);
        queue.delay(&unit("c"), at(5), Priority::Normal);
        queue.forget(&unit("c"));
        assert_eq!((queue.depth(), queue.next()), (2, Some(at(10))));
        assert_eq!(drain(&mut queue, at(9)), Vec::<String>::new());
        queue.push(&unit("b"), Priority::Normal);
        assert_eq!(drain(&mut queue, at(9)), ["b"]);
        assert_eq!(drain(&mut queue, at(10)), ["a"]);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_unit_that_changes_lanes_is_written_in_the_new_one_only() {
        let mut queue = queue(4);
        queue.push(&unit("a"), Priority::Low);
        queue.push(&unit("a"), Priority::Normal);
        assert_eq!(queue.depth(), 1);
        assert_eq!(drain(&mut queue, at(0)), ["a"]);
        queue.finish(&unit("a"));
        assert_eq!(queue.pop(at(0)), None);
    }

    #[test]
    fn nothing_starts_while_the_server_asks_for_a_pause() {
        let mut queue = queue(4);
        queue.push(&unit("a"), Priority::Normal);
        queue.hold_until(at(3));
        queue.hold_until(at(2));
        assert_eq!((queue.pop(at(2)), queue.next()), (None, Some(at(3))));
        assert_eq!(drain(&mut queue, at(3)), ["a"]);
    }

    #[test]
    fn what_hangs_moves_over_and_is_given_up_where_there_is_no_room() {
        let mut queue = queue(8);
        for n in 0..8 {
            queue.push(&unit(&format!("n{n}")), Priority::Normal);
        }
        assert_eq!(drain(&mut queue, at(0)).len(), 8);
        let patience = Duration::from_secs(1);
        assert_eq!(queue.stalled(at(0), patience), Vec::new());
        assert_eq!(queue.stalled(at(1), patience).len(), 6, "two have moved to the low priority");
        queue.push(&unit("s"), Priority::Low);
        queue.finish(&unit("none of them"));
        assert_eq!(queue.pop(at(1)), None, "the low priority is full");
    }

    #[test]
    fn clearing_leaves_only_what_is_in_flight() {
        let mut queue = queue(1);
        for name in ["a", "b"] {
            queue.push(&unit(name), Priority::Normal);
        }
        assert_eq!(drain(&mut queue, at(0)), ["a"]);
        queue.push(&unit("a"), Priority::Normal);
        queue.delay(&unit("c"), at(1), Priority::Low);
        queue.clear();
        assert_eq!((queue.depth(), queue.in_flight(), queue.next()), (0, 1, None));
        queue.finish(&unit("a"));
        assert_eq!(queue.pop(at(9)), None);
    }
}
