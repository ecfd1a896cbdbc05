//! The brake on fights over one target: counts how often somebody undid what we wrote, whoever it
//! was and however, and slows a fight down to one write in ten minutes.
//!
//! Pure: times and jitter are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use trustd_api::labels;
use trustd_core::names::Kind;
use trustd_core::outcome::Opponent;
use trustd_core::plan::BundleContent;
use trustd_core::world::Observed;

use crate::controller::backoff::Jitter;
use crate::controller::clock::Instant;

/// The history of one target, as far as it tells a fight from an edit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contest {
    /// The target was last seen as it should be. Only then can it be undone.
    held: bool,
    /// The next write repairs what another client undid.
    undone: bool,
    /// The times at which it was undone, the last few only.
    turns: VecDeque<Instant>,
    brake: Option<Brake>,
    /// The client that undid it last.
    opponent: Opponent,
}

/// A fight that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Brake {
    /// No repair before this time.
    until: Instant,
    /// The content changed: one write goes out before that time.
    free: bool,
    /// Since when the target stays as it should be.
    quiet_since: Option<Instant>,
    /// A turn was seen since the brake is on. A fight that is only remembered may be over.
    seen: bool,
}

impl Contest {
    /// Notes that the target is as it should be. After [`WINDOW`] of that the fight is over.
    pub(super) fn hold(&mut self, now: Instant) {
        (self.held, self.undone) = (true, false);
        if let Some(brake) = &mut self.brake {
            brake.free = false;
            brake.quiet_since.get_or_insert(now);
        }
        self.end_if_quiet(now);
    }

    /// Notes that nothing is known to be undone, whatever is seen next: the target should hold
    /// something else now, or what it should hold is not known.
    pub(super) const fn let_go(&mut self) {
        (self.held, self.undone) = (false, false);
    }

    /// Notes that the content is another one, which is written at once, fight or not.
    pub(super) fn change_content(&mut self) {
        self.let_go();
        if let Some(brake) = &mut self.brake {
            brake.free = true;
        }
    }

    /// Counts a turn: what was as it should be was undone. Returns whether the target is contested
    /// from now on, or still is where that was only remembered.
    pub(super) fn turn(&mut self, opponent: Opponent, now: Instant, jitter: &mut Jitter) -> bool {
        self.end_if_quiet(now);
        (self.held, self.undone) = (false, true);
        self.name(opponent);
        let until = now.after(WINDOW + SPREAD.mul_f64(jitter.fraction()));
        if let Some(brake) = &mut self.brake {
            brake.quiet_since = None;
            // An early write, of changed content, does not put off the next one.
            if brake.until <= now {
                brake.until = until;
            }
            return !std::mem::replace(&mut brake.seen, true);
        }
        // Two edits by hand in ten minutes are no fight; the third within that time makes one.
        self.turns.retain(|turn| now.since(*turn) < WINDOW);
        self.turns.push_back(now);
        let contested = self.turns.len() >= TURNS;
        if contested {
            self.turns.clear();
            self.brake = Some(Brake { until, free: false, quiet_since: None, seen: true });
        }
        contested
    }

    /// Takes over a fight that the Bundle's status remembers, from another process or from this one
    /// before it was started again: the target is contested from the start, and repaired once now.
    pub(super) fn resume(&mut self, opponent: Opponent, now: Instant) {
        self.undone = true;
        self.name(opponent);
        self.brake = Some(Brake { until: now, free: false, quiet_since: None, seen: false });
    }

    /// Takes over that there was a fight, of a target that may be out of date rather than undone:
    /// the next turn makes it contested.
    pub(super) fn suspect(&mut self, now: Instant) {
        self.turns = [now; TURNS - 1].into();
    }

    /// Takes note of who it was, where that is known.
    pub(super) fn name(&mut self, opponent: Opponent) {
        let is_vague = matches!(self.opponent, Opponent::Deletion | Opponent::Unknown);
        match opponent {
            Opponent::Unknown => {}
            // A client that deletes objects can be known by those that it makes in their place.
            Opponent::Deletion if !is_vague => {}
            _ => self.opponent = opponent,
        }
    }

    /// Takes note that the object was not deleted: it is there, without the label that is watched.
    pub(super) fn name_no_deletion(&mut self) {
        if self.opponent == Opponent::Deletion {
            self.opponent = Opponent::Unknown;
        }
    }

    /// Returns true if the target was last seen as it should be.
    pub(super) const fn is_held(&self) -> bool {
        self.held
    }

    /// Returns true if the next write is a repair of what another client undid.
    pub(super) const fn is_undone(&self) -> bool {
        self.undone
    }

    /// The opponent, while there is a fight.
    pub(super) fn opponent(&self) -> Option<&Opponent> {
        self.brake.is_some().then_some(&self.opponent)
    }

    /// Returns true if there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.brake.is_none() && self.turns.is_empty()
    }

    /// Returns the time from which the target may be written, or `None` if that is now.
    pub(super) fn free_at(&self, now: Instant) -> Option<Instant> {
        self.brake.filter(|brake| !brake.free).map(|brake| brake.until).filter(|until| *until > now)
    }

    /// Returns the time at which the fight is over, if nobody undoes the target before.
    pub(super) fn over_at(&self) -> Option<Instant> {
        Some(self.brake?.quiet_since?.after(WINDOW))
    }

    fn end_if_quiet(&mut self, now: Instant) {
        if self.over_at().is_some_and(|over| over <= now) {
            (self.brake, self.opponent) = (None, Opponent::Unknown);
        }
    }
}

/// The client that left the target like this, as far as managedFields tell.
pub(super) fn opponent(
    content: &BundleContent,
    kind: Kind,
    observed: Option<&Observed>,
) -> Opponent {
    let Some(observed) = observed else { return Opponent::Deletion };
    let Some(managed) = &observed.managed else { return Opponent::Unknown };
    let named = || managed.other.clone().map_or(Opponent::Unknown, Opponent::Manager);
    if managed.other_is_newest {
        return named();
    }
    let rendered = content.rendered.get(&kind);
    // A namesake leaves marks of its own. Marks that are gone may have been taken out by anybody.
    let marks_are_theirs = rendered.is_some_and(|rendered| {
        observed.digest.as_ref() != Some(&rendered.digest)
            && observed.hash.as_deref().is_some_and(|hash| !rendered.is_hash(hash))
    });
    let edited = !managed.updated.is_empty() || !managed.applied.is_empty() && marks_are_theirs;
    if edited {
        return Opponent::Namesake(labels::FIELD_MANAGER.into());
    }
    // Taking a field away leaves no trace of its own: whoever else writes the object is meant.
    named()
}

/// Returns true if a target is whole and ours but holds other content: an earlier one, or a
/// namesake's. The object alone does not say which of the two.
pub(super) fn is_outdated(content: &BundleContent, kind: Kind, observed: &Observed) -> bool {
    let Some(rendered) = content.rendered.get(&kind) else { return false };
    let Some(managed) = &observed.managed else { return false };
    observed.hash.as_deref().is_some_and(|hash| !rendered.is_hash(hash))
        && managed.updated.is_empty()
        && !managed.applied.is_empty()
        && !managed.other_is_newest
}

/// The number of turns ...
const TURNS: usize = 3;
/// ... within this time are a fight; then there is one write in this time, and after this time
/// without a turn the fight is over.
pub(super) const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Up to this much is added to each wait, so that two such brakes do not stay in step.
const SPREAD: Duration = Duration::from_secs(2 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::since_boot(Duration::from_secs(seconds))
    }

    fn script() -> Opponent {
        Opponent::Manager("script".into())
    }

    /// Undone at each of these times, and mended at once where the brake allows it; the times of
    /// repairs, and which turns made it a fight.
    fn fight(contest: &mut Contest, times: impl IntoIterator<Item = u64>) -> (Vec<u64>, Vec<u64>) {
        let mut jitter = Jitter::from_seed(1);
        let (mut repairs, mut contested) = (Vec::new(), Vec::new());
        for time in times {
            if contest.is_held() && contest.turn(script(), at(time), &mut jitter) {
                contested.push(time);
            }
            if !contest.is_held() && contest.free_at(at(time)).is_none() {
                contest.hold(at(time));
                repairs.push(time);
            }
        }
        (repairs, contested)
    }

    fn held() -> Contest {
        let mut contest = Contest::default();
        contest.hold(at(0));
        contest
    }

    #[test]
    fn a_fight_is_slowed_down_to_one_write_in_ten_minutes() {
        let mut contest = held();
        let (repairs, contested) = fight(&mut contest, 1..=3600);
        assert_eq!(contested, [3], "told once");
        assert_eq!(repairs[..2], [1, 2]);
        let waits: Vec<u64> = repairs[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((4..=5).contains(&waits.len()), "{repairs:?}");
        assert!(waits.iter().all(|wait| (600..=722).contains(wait)), "{waits:?}");
        assert!(waits.windows(2).any(|pair| pair[0] != pair[1]), "no jitter: {waits:?}");
        assert_eq!(contest.opponent(), Some(&script()));
    }

    #[test]
    fn edits_that_are_rare_are_mended_at_once_for_ever() {
        let mut contest = held();
        let times: Vec<u64> = (1..=20).map(|n| n * 301).collect();
        assert_eq!(fight(&mut contest, times.clone()), (times, Vec::new()));
    }

    #[test]
    fn what_is_not_as_it_should_be_cannot_be_undone() {
        let mut contest = held();
        let mut jitter = Jitter::from_seed(1);
        contest.turn(script(), at(1), &mut jitter);
        assert!(!contest.is_held() && contest.is_undone());
        contest.change_content();
        assert!(!contest.is_held() && !contest.is_undone(), "a change of content is no repair");
    }

    #[test]
    fn changed_content_is_written_at_once_and_does_not_loosen_the_brake() {
        let mut contest = held();
        fight(&mut contest, 1..=3);
        let until = contest.free_at(at(3)).unwrap();
        assert!(until >= at(603));
        for time in [10, 20, 30] {
            contest.change_content();
            assert_eq!(contest.free_at(at(time)), None);
            contest.hold(at(time));
            let again = contest.turn(script(), at(time + 1), &mut Jitter::from_seed(9));
            assert!(!again, "it is told once");
            assert_eq!(contest.free_at(at(time + 1)), Some(until));
        }
    }

    #[test]
    fn a_fight_is_over_after_ten_quiet_minutes() {
        let mut contest = held();
        let (repairs, _) = fight(&mut contest, 1..=724);
        assert_eq!(repairs.len(), 3);
        let mended = at(repairs[2]);
        contest.hold(mended);
        let over = contest.over_at().unwrap();
        assert_eq!(over, mended.after(WINDOW));
        contest.hold(over);
        assert_eq!((contest.opponent(), contest.over_at()), (None, None));
        assert!(contest.is_empty());
        // And one edit later is an edit again.
        assert!(!contest.turn(script(), over, &mut Jitter::from_seed(1)));
        assert_eq!(contest.free_at(over), None);
    }

    #[test]
    fn a_fight_that_is_known_of_is_one_after_the_first_turn() {
        let mut contest = Contest::default();
        contest.resume(script(), at(0));
        assert_eq!(contest.opponent(), Some(&script()), "before anything was seen");
        let (repairs, contested) = fight(&mut contest, 1..=60);
        assert_eq!((repairs, contested), (vec![1], vec![2]));
        // Not for ever.
        let mut contest = Contest::default();
        contest.resume(script(), at(0));
        assert_eq!(fight(&mut contest, [1, 700]), (vec![1, 700], vec![]));
        // Where it may be out of date it is not called contested before it is undone.
        let mut contest = Contest::default();
        contest.suspect(at(0));
        assert_eq!(contest.opponent(), None);
        let (repairs, contested) = fight(&mut contest, 1..=60);
        assert_eq!((repairs, contested), (vec![1], vec![2]));
    }

    #[test]
    fn a_client_that_deletes_is_named_by_what_it_makes_instead() {
        let mut contest = Contest::default();
        contest.resume(Opponent::Deletion, at(0));
        assert_eq!(contest.opponent(), Some(&Opponent::Deletion));
        contest.name(script());
        contest.name(Opponent::Deletion);
        assert_eq!(contest.opponent(), Some(&script()));
    }
}
