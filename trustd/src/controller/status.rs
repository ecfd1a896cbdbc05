//! The text and the timing of statuses: transitions at once, counts every ten seconds at most, and
//! no write while nothing changed. Pure.

use std::time::Duration;

use trustd_api::labels;
use trustd_api::v1alpha1::{BundleStatus, Condition};
use trustd_core::escape::printable;
use trustd_core::outcome::Conclusion;
use trustd_core::time::Timestamp;

use super::backoff::{self, Jitter};
use super::clock::Instant;

/// The status that follows from `conclusion` for a Bundle of this generation whose status says
/// `before`.
///
/// While targets are pending, `Synced` would be said too early: then the condition stays as it is.
pub(super) fn wanted(
    before: &BundleStatus,
    conclusion: &Conclusion,
    generation: Option<i64>,
    now: Timestamp,
) -> BundleStatus {
    let old = before.conditions.iter().find(|condition| condition.type_ == labels::SYNCED);
    let condition = if conclusion.synced && conclusion.pending > 0 {
        old.cloned()
    } else {
        let status = if conclusion.synced { "True" } else { "False" };
        let kept = old.filter(|old| old.status == status);
        Some(Condition {
            type_: labels::SYNCED.to_owned(),
            status: status.to_owned(),
            reason: conclusion.reason.as_str().to_owned(),
            message: shortened(&printable(&conclusion.message)),
            last_transition_time: kept
                .map_or_else(|| now.to_string(), |old| old.last_transition_time.clone()),
            observed_generation: generation,
        })
    };
    // Where no content could be made, what is known of the last one stays.
    let package = conclusion.default_cas.as_ref().map(ToString::to_string);
    let blocked = conclusion.certificates.is_none();
    BundleStatus {
        conditions: condition.into_iter().collect(),
        default_ca_version: package
            .or_else(|| before.default_ca_version.clone().filter(|_| blocked)),
        targets: Some(conclusion.targets.into()),
        certificates: conclusion.certificates.map(Into::into),
    }
}

/// The same in the shape that trust-manager's own CRD takes.
pub(super) fn peer_shaped(status: BundleStatus) -> BundleStatus {
    BundleStatus { targets: None, certificates: None, ..status }
}

/// A message that the API server takes.
fn shortened(message: &str) -> String {
    if message.chars().count() <= MESSAGE_CHARS_MAX {
        return message.to_owned();
    }
    message.chars().take(MESSAGE_CHARS_MAX - 1).chain(['…']).collect()
}

/// The throttle for writes of one Bundle's status.
#[derive(Clone, Debug, Default)]
pub(super) struct StatusThrottle {
    /// The time of the last write.
    written_at: Option<Instant>,
    /// The time since which there is something to write.
    begun_at: Option<Instant>,
    /// One is on its way.
    in_flight: bool,
    /// The time at which the pending one may be written.
    due: Option<Instant>,
    /// The one that is on its way is a repair.
    repairs: bool,
    failures: u32,
    fight: Fight,
}

/// The history of another client's changes to a status that was written.
#[derive(Clone, Debug, Default)]
struct Fight {
    /// The status as it was last written.
    written: Option<BundleStatus>,
    /// The time at which a change by another client was seen.
    undone_at: Option<Instant>,
    /// Repairs in a row that did not last as long as the pause after them.
    repairs: u32,
    /// No repair for so long after a write.
    pause: Duration,
}

impl Fight {
    /// Returns true if `wanted` was written before and another client changed it to `before`.
    fn is_repair(&self, before: &BundleStatus, wanted: &BundleStatus) -> bool {
        let undone = |written: &BundleStatus| written != before && !turned(written, wanted);
        self.written.as_ref().is_some_and(undone)
    }

    /// Notes that the status written at this time was found undone. What lasted as long as the
    /// pause is no fight any more.
    fn undone(&mut self, written_at: Option<Instant>, now: Instant) {
        let undone_at = *self.undone_at.get_or_insert(now);
        if written_at.is_some_and(|written_at| undone_at.since(written_at) >= self.pause) {
            (self.repairs, self.pause) = (0, Duration::ZERO);
        }
    }
}

impl StatusThrottle {
    /// Returns true if `wanted` is to be written now, in place of `before`. Otherwise it is due
    /// later, or not at all. While targets are `pending`, their counts will soon be different.
    pub(super) fn begin(
        &mut self,
        before: &BundleStatus,
        wanted: &BundleStatus,
        pending: bool,
        now: Instant,
    ) -> bool {
        self.due = None;
        if before == wanted {
            self.begun_at = None;
            return false;
        }
        let begun = *self.begun_at.get_or_insert(now);
        if self.in_flight {
            return false;
        }
        let turn = turned(before, wanted);
        // A transition is what people and tools wait for; counts change with every target.
        let hurry = turn || !pending && before.certificates != wanted.certificates;
        let pause = if hurry { BETWEEN_TURNS } else { BETWEEN_COUNTS };
        let pause = match self.failures {
            0 => pause,
            failures => pause.max(backoff::after_failures(failures)),
        };
        let repair = self.fight.is_repair(before, wanted);
        let pause = if repair {
            self.fight.undone(self.written_at, now);
            pause.max(self.fight.pause)
        } else {
            // A turn of our own is told at once, fight or not.
            self.fight.undone_at = None;
            pause
        };
        let since = if pending && !turn { Some(begun) } else { None };
        let at = self.written_at.max(since).map(|last| last.after(pause));
        if at.is_some_and(|at| at > now) {
            self.due = at;
            return false;
        }
        self.repairs = repair;
        self.in_flight = true;
        self.written_at = Some(now);
        self.begun_at = None;
        true
    }

    /// Counts the write that has begun, if it repairs what another client changed: the next repair
    /// waits twice as long. Returns how long, once that is a fight.
    pub(super) fn repair(&mut self, jitter: &mut Jitter) -> Option<Duration> {
        if !std::mem::take(&mut self.repairs) {
            return None;
        }
        let fight = &mut self.fight;
        fight.undone_at = None;
        fight.repairs = fight.repairs.saturating_add(1);
        let doubled = BETWEEN_TURNS.saturating_mul(1 << fight.repairs.min(DOUBLINGS_MAX));
        fight.pause = jitter.upper_half_of(doubled.min(BETWEEN_REPAIRS_MAX));
        (fight.repairs >= FIGHT).then_some(fight.pause)
    }

    /// Notes the status that the API server has after the write.
    pub(super) fn hold(&mut self, written: BundleStatus) {
        self.fight.written = Some(written);
    }

    /// The write has ended.
    pub(super) const fn end(&mut self, well: bool) {
        self.in_flight = false;
        self.failures = if well { 0 } else { self.failures.saturating_add(1) };
    }

    /// Returns the time at which to look again.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// Returns true if the new status differs in more than counts and names.
fn turned(before: &BundleStatus, wanted: &BundleStatus) -> bool {
    if wanted.conditions.is_empty() {
        return false;
    }
    let core = |status: &BundleStatus| {
        let condition = status.conditions.iter().find(|c| c.type_ == labels::SYNCED);
        let condition =
            condition.map(|c| (c.status.clone(), c.reason.clone(), c.observed_generation));
        (condition, status.default_ca_version.clone())
    };
    core(before) != core(wanted)
}

/// A turn is told at once; two fighting writers of a status get no further than this.
const BETWEEN_TURNS: Duration = Duration::from_secs(1);
/// The number of repairs in a row, each soon undone, that make a fight, as with targets.
const FIGHT: u32 = 3;
/// 1 s doubled eleven times is 2,048 s, above [`BETWEEN_REPAIRS_MAX`].
const DOUBLINGS_MAX: u32 = 11;
/// The least frequent repairs of a status that others change: with jitter one in ten to twenty
/// minutes.
const BETWEEN_REPAIRS_MAX: Duration = Duration::from_secs(20 * 60);
/// Counts change with every target of a fan-out.
const BETWEEN_COUNTS: Duration = Duration::from_secs(10);
/// The limit of the schema for a condition's message.
const MESSAGE_CHARS_MAX: usize = 32_768;

#[cfg(test)]
mod tests;
