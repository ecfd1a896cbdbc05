//! The state of one Bundle: its spec, its content, and the state of each of its targets.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use trustd_api::labels;
use trustd_api::v1alpha1::BundleStatus;
use trustd_api::validate::{self, Invalid};
use trustd_core::names::{FieldManager, Kind, Namespace, Uid};
use trustd_core::outcome::{Conclusion, Reason, Standing};
use trustd_core::plan::{BundleContent, Seen};
use trustd_core::spec::Spec;
use trustd_core::world::Observed;

use super::contest::Contest;
use super::probe::Probe;
use crate::controller::clock::Instant;
use crate::controller::queue::Priority;
use crate::controller::status::StatusThrottle;
use crate::controller::write::Body;

/// A Bundle.
#[derive(Debug)]
pub(in crate::controller) struct Bundle {
    /// The object as the API server has it.
    pub(super) raw: Arc<Json>,
    /// The UID.
    pub(super) uid: String,
    /// The version of what it asks for.
    pub(super) generation: Option<i64>,
    /// The status as it was last seen or written, without conditions of others.
    pub(super) status: BundleStatus,
    /// The other field manager that wrote the status last.
    pub(super) status_writer: Option<FieldManager>,
    /// The spec, or the problems with it.
    pub(super) spec: Result<Spec, Invalid>,
    /// The content, once it has been computed.
    pub(super) content: Option<Arc<BundleContent>>,
    /// The content for which root changes were last announced.
    pub(super) told: Option<Arc<BundleContent>>,
    /// The target that still holds what an earlier process wrote, to be read before it is written.
    pub(super) recall: Option<(Kind, Namespace)>,
    /// The data of its targets, serialised.
    pub(super) bodies: BTreeMap<Kind, Arc<Body>>,
    /// The targets, as far as there is anything to say about them.
    pub(super) targets: BTreeMap<(Kind, Namespace), TargetState>,
    /// The times at which the status may be written.
    pub(super) status_throttle: StatusThrottle,
    /// Since when it is being synced to new content.
    pub(super) since: Option<Instant>,
    /// A target was written since the last announcement that all are synced.
    pub(super) wrote: bool,
    /// The last announcement: synced or not, and the reason.
    pub(super) said: Option<(bool, String)>,
    /// The status is to be looked at.
    pub(super) touched: bool,
    /// The status said that targets are contested before this process planned anything.
    pub(super) was_contested: bool,
    /// The time until which a condition that reports a fight stays although no target is seen
    /// undone.
    pub(super) contested_until: Option<Instant>,
}

/// One target of a Bundle.
#[derive(Debug, Default)]
pub(super) struct TargetState {
    pub(super) wanted: bool,
    /// The state, if the status has anything to say about it.
    pub(super) standing: Option<Standing>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Writes in a row after which it was not as it should be.
    pub(super) unsettled: u32,
    /// The source of what is known about the object.
    pub(super) source: Knowledge,
    /// The log has said that others keep data in it.
    pub(super) adoption_logged: bool,
    /// The history of undone writes.
    pub(super) contest: Contest,
    /// The watch reported a deletion while the target was being written.
    pub(super) deleted_in_flight: bool,
    /// The object that was ours when it was last seen, by its uid.
    pub(super) ours: Option<Uid>,
    /// The object that is being written.
    pub(super) tried: Option<Seen>,
    /// The schedule for looking at a refused object.
    pub(super) probe: Probe,
}

/// The source of what is known about a target's object.
#[derive(Debug, Default)]
pub(super) enum Knowledge {
    /// A conflict or a deletion showed that the cache is out of date: a GET comes before the next
    /// write.
    Stale,
    /// This object stands there without our label, so that the watch does not see it.
    Unlabelled(Box<Observed>),
    /// The cache, which the watch keeps up to date.
    #[default]
    Watched,
}

impl Knowledge {
    /// Returns the object that the watch does not see, if there is one.
    pub(super) fn unlabelled(&self) -> Option<&Observed> {
        match self {
            Self::Unlabelled(observed) => Some(observed),
            Self::Stale | Self::Watched => None,
        }
    }
}

impl Bundle {
    /// Reads a Bundle that was not known before.
    pub(super) fn new(raw: Arc<Json>) -> Self {
        let status = status(raw.get("status").cloned().unwrap_or_default());
        let text = |pointer: &str| raw.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
        Self {
            uid: text("/metadata/uid").to_owned(),
            generation: raw.pointer("/metadata/generation").and_then(Json::as_i64),
            was_contested: says_contested(&status),
            status,
            status_writer: None,
            spec: validate::read(&raw),
            raw,
            content: None,
            told: None,
            recall: None,
            bodies: BTreeMap::new(),
            targets: BTreeMap::new(),
            status_throttle: StatusThrottle::default(),
            since: None,
            wrote: false,
            said: None,
            touched: true,
            contested_until: None,
        }
    }

    /// Takes over the new form of a Bundle; says whether it asks for something else now.
    pub(super) fn update(&mut self, raw: Arc<Json>) -> bool {
        let new = Self::new(raw);
        let changed = new.uid != self.uid || !asks_the_same(&self.spec, &new.spec);
        // Only what the API server holds is taken over; what is known of the targets stays.
        let Self { raw, uid, generation, status, spec, .. } = new;
        if uid != self.uid {
            // A namesake: nothing that was known of the old one counts.
            self.content = None;
            self.targets.clear();
            self.forget_progress();
        }
        (self.raw, self.uid, self.generation) = (raw, uid, generation);
        (self.status, self.spec) = (status, spec);
        self.touched = true;
        changed
    }

    /// Returns true if the condition still reports a fight in place of this conclusion. This holds
    /// for the same generation only: a new spec gets its answer at once.
    pub(super) fn still_contested(&mut self, conclusion: &Conclusion, now: Instant) -> bool {
        let condition = self.status.conditions.iter().find(|it| it.type_ == labels::SYNCED);
        let same = condition.is_some_and(|it| it.observed_generation == self.generation);
        let quiet = conclusion.synced && same && says_contested(&self.status);
        self.contested_until = self.contested_until.filter(|until| quiet && *until > now);
        self.contested_until.is_some()
    }

    /// Returns the time at which the status is to be looked at although nothing happens.
    pub(super) fn status_due(&self) -> Option<Instant> {
        self.status_throttle.due().into_iter().chain(self.contested_until).min()
    }

    /// Forgets what was tried, as if the process had just started, but for fights that go on.
    pub(super) fn forget_progress(&mut self) {
        self.targets.retain(|_, target| {
            let mut contest = std::mem::take(&mut target.contest);
            contest.let_go();
            *target = TargetState { contest, ..TargetState::default() };
            !target.contest.is_empty()
        });
        self.was_contested = says_contested(&self.status);
        self.contested_until = None;
        // Another process may have led meanwhile.
        (self.told, self.recall) = (None, None);
        self.status_throttle = StatusThrottle::default();
        self.since = None;
        self.wrote = false;
        self.said = None;
        self.touched = true;
    }
}

impl TargetState {
    /// Returns the priority of its next write.
    pub(super) const fn priority(&self) -> Priority {
        if self.failures > 0 || self.unsettled > 0 { Priority::Low } else { Priority::Normal }
    }

    /// There is nothing to write: it is as it should be, or nobody wants it, or writing is no use.
    pub(super) fn settle(&mut self, wanted: bool, standing: Option<Standing>) {
        self.wanted = wanted;
        self.standing = standing;
        (self.failures, self.unsettled) = (0, 0);
        self.source = Knowledge::Watched;
    }

    /// Returns the state in place of `usual` while the target is contested.
    pub(super) fn contested_or(&self, usual: Standing) -> Standing {
        self.contest.opponent().cloned().map_or(usual, Standing::Contested)
    }

    /// Returns true if it is not as it should be and a write is due.
    pub(super) const fn is_open(&self) -> bool {
        match self.standing {
            Some(Standing::Pending | Standing::Failed { .. }) => true,
            Some(Standing::Contested(_)) => !self.contest.is_held(),
            _ => false,
        }
    }

    /// Returns the time from which it may be written, or `None` if that is now. A clean-up is never
    /// held up.
    pub(super) fn free_at(&self, now: Instant) -> Option<Instant> {
        self.contest.free_at(now).filter(|_| self.wanted)
    }
}

/// Reads a status, as far as it is trustd's to write; one in an odd shape is empty. Conditions of
/// other types belong to whoever set them: an apply leaves them where they are.
pub(super) fn status(raw: Json) -> BundleStatus {
    let mut status: BundleStatus = serde_json::from_value(raw).unwrap_or_default();
    status.conditions.retain(|condition| condition.type_ == labels::SYNCED);
    status
}

/// Returns true if two readings of a Bundle ask for the same. The status does not matter.
fn asks_the_same(before: &Result<Spec, Invalid>, after: &Result<Spec, Invalid>) -> bool {
    match (before, after) {
        (Ok(before), Ok(after)) => {
            before.synced == after.synced && before == after
                || Spec { synced: after.synced, ..before.clone() } == *after
        }
        (Err(before), Err(after)) => before == after,
        _ => false,
    }
}

/// Returns true if a status says that targets are contested.
fn says_contested(status: &BundleStatus) -> bool {
    let contested = Reason::TargetContested.as_str();
    status.conditions.iter().any(|it| it.type_ == labels::SYNCED && it.reason == contested)
}
