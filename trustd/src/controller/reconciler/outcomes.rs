//! Outcomes of writes, and what follows from them.

use std::time::Duration;

use trustd_core::format::{ANNOTATION_BYTES_MAX, DATA_BYTES_MAX};
use trustd_core::names::DataKey;
use trustd_core::outcome::{Category, Standing};
use trustd_core::plan::{Refusal, Seen};
use trustd_core::world::Observed;

use super::bundle::Knowledge;
use super::{Now, Reconciler};
use crate::controller::backoff;
use crate::controller::queue::{Priority, TargetRef};
use crate::controller::repeat;
use crate::controller::write::{Consequence, Large, WriteError, WriteOutcome};

impl Reconciler {
    /// A task has ended.
    pub(in crate::controller) fn finish(
        &mut self,
        unit: &TargetRef,
        outcome: Result<WriteOutcome, WriteError>,
        now: Now,
    ) {
        let again = self.queue.finish(unit);
        if !self.working {
            return;
        }
        match outcome {
            Ok(succeeded) => {
                self.unreachable = 0;
                self.queue.relax();
                self.succeeded(unit, succeeded, again, now);
            }
            Err(fault) if self.is_recalled(unit) => self.not_recalled(unit, &fault, now),
            Err(fault) => self.failed(unit, &fault, again, now),
        }
    }

    fn succeeded(&mut self, unit: &TargetRef, succeeded: WriteOutcome, again: bool, now: Now) {
        match succeeded {
            WriteOutcome::Applied(observed) => {
                tracing::debug!(
                    bundle = %unit.bundle, namespace = %unit.namespace, kind = %unit.kind,
                    "wrote a target"
                );
                self.wrote(unit, *observed, again, now);
            }
            WriteOutcome::Absent => {
                self.learn(unit, None);
                self.plan(unit, now);
            }
            WriteOutcome::Read(observed) => {
                self.recalled(unit, Some(&observed), now);
                self.plan(unit, now);
            }
            WriteOutcome::Conflicting(observed) => {
                let target = self.target(unit);
                let refused = matches!(target.standing, Some(Standing::Refused(_)));
                if refused && target.probe.refused.as_ref() == Some(&Seen::of(&observed)) {
                    let refused = target.probe.refused.clone();
                    self.probe_later(unit, refused, now);
                    return;
                }
                self.name_opponent(unit, &observed);
                if observed.label.is_some() {
                    self.learn(unit, Some(*observed));
                } else {
                    self.learn(unit, None);
                    let met = self.recognised(unit, *observed);
                    self.target(unit).source = Knowledge::Unlabelled(Box::new(met));
                }
                self.plan(unit, now);
            }
        }
    }

    /// A write was carried out, and this is what the server made of it.
    fn wrote(&mut self, unit: &TargetRef, observed: Observed, again: bool, now: Now) {
        let as_wanted = self.judge_as(unit, Some(&observed)).is_as_wanted();
        if as_wanted {
            // Even where somebody undid it before the answer was here.
            self.target(unit).contest.hold(now.instant);
        }
        if observed.label.is_some() && self.target(unit).deleted_in_flight {
            // Deleted since, or before: the answer and the watch do not say which came first.
            let target = self.target(unit);
            target.source = Knowledge::Stale;
            let priority = target.priority();
            self.queue.push(unit, priority);
            return;
        }
        self.learn(unit, Some(observed));
        if again || as_wanted {
            // Where what it should hold changed meanwhile, that is no fault of the write.
            self.target(unit).failures = 0;
            self.plan(unit, now);
        } else {
            self.plan_after_write(unit, now);
        }
    }

    /// Puts the answer to a request into the cache; the watch will only repeat it. An object
    /// without our label is not cached.
    fn learn(&mut self, unit: &TargetRef, observed: Option<Observed>) {
        let observed = observed.filter(|observed| observed.label.is_some());
        self.see_target(unit, observed);
        self.due.remove(unit);
    }

    /// Plans a target after its write. If it still is not as it should be, something in the cluster
    /// changes what is written; then it is written again, later each time.
    fn plan_after_write(&mut self, unit: &TargetRef, now: Now) {
        let target = self.target(unit);
        target.failures = 0;
        let unsettled = target.unsettled + 1;
        self.plan(unit, now);
        let target = self.target(unit);
        if !target.is_open() {
            self.drop_empty(unit);
            return;
        }
        target.unsettled = unsettled;
        if unsettled > QUIET_TRIES {
            let wanted = target.wanted;
            target.standing = Some(target.contested_or(Standing::Failed { why: CHANGED, wanted }));
        }
        let pause = self.jitter.upper_half_of(backoff::after_failures(unsettled));
        self.try_again(unit, pause, Priority::Low, now);
    }

    /// Queues a target for another try, after a pause and not before its brake allows it.
    fn try_again(&mut self, unit: &TargetRef, pause: Duration, priority: Priority, now: Now) {
        let at = now.instant.after(pause);
        let free_at = self.target(unit).free_at(now.instant);
        self.queue.delay(unit, free_at.map_or(at, |free| free.max(at)), priority);
    }

    /// A target that nobody wants and nothing is said of needs no note.
    fn drop_empty(&mut self, unit: &TargetRef) {
        let key = (unit.kind, unit.namespace.clone());
        if let Some(bundle) = self.bundles.get_mut(&unit.bundle)
            && bundle.targets.get(&key).is_some_and(|t| !t.wanted && t.standing.is_none())
        {
            bundle.targets.remove(&key);
        }
        if !self.bundles.contains_key(&unit.bundle) {
            self.orphans.remove(unit);
        }
    }

    fn failed(&mut self, unit: &TargetRef, fault: &WriteError, again: bool, now: Now) {
        let consequence = fault.consequence();
        self.notice_outage(fault, now);
        self.log(unit, fault, &consequence, now);
        if let Some(bundle) = self.bundles.get_mut(&unit.bundle) {
            bundle.touched = true;
        }
        let target = self.target(unit);
        let wanted = target.wanted;
        // What the status says of it would not be true any more.
        let told = matches!(target.standing, Some(Standing::Failed { .. }));
        let failures = target.failures.saturating_add(1);
        target.failures = failures;
        let failed = |why| Some(Standing::Failed { why, wanted });
        let mut pause = backoff::after_failures(failures);
        let mut priority = Priority::Low;
        match consequence {
            Consequence::NotLeader => {
                // Nothing was tried. Either the lease is lost, and then all work is laid down, or
                // its next renewal is late and makes room for writes again.
                target.failures = failures - 1;
                let priority = target.priority();
                self.queue.hold_until(now.instant.after(RENEWAL_PAUSE));
                self.queue.push(unit, priority);
                return;
            }
            Consequence::NamespaceGone => {
                // The watch will say so too, and when there is a new one of that name.
                if let Some(state) = self.world.namespaces.get_mut(&unit.namespace) {
                    state.terminating = true;
                }
                self.plan(unit, now);
                return;
            }
            Consequence::LookAgain => {
                target.source = Knowledge::Stale;
                if failures == 1 {
                    // Most often the watch lags behind by a moment.
                    (pause, priority) = (Duration::ZERO, Priority::Normal);
                }
                if told || failures > QUIET_TRIES {
                    target.standing = failed(Category("conflict"));
                }
            }
            Consequence::Refused => {
                self.refuse(unit, |key| conflict(fault, key), now);
                return;
            }
            Consequence::RefusedBinary => {
                self.refuse(unit, Refusal::Binary, now);
                return;
            }
            Consequence::TooLarge(large) => {
                let refusal = self.too_large(unit, large);
                self.target(unit).settle(true, Some(Standing::Refused(refusal)));
                self.try_size_later(unit, now);
                return;
            }
            Consequence::TryAgain(why) => target.standing = failed(why),
            Consequence::Wait(asked) => {
                if told || failures > QUIET_TRIES {
                    target.standing = failed(Category("throttled"));
                }
                self.queue.throttle(now.instant, now.instant.after(asked));
                // Nothing is wrong with the target itself.
                (pause, priority) = (asked, Priority::Normal);
            }
        }
        if !again {
            let pause = self.jitter.upper_half_of(pause);
            self.try_again(unit, pause, priority, now);
        }
    }

    /// Holds up all writes if none reaches the server: that is not the fault of the targets.
    fn notice_outage(&mut self, fault: &WriteError, now: Now) {
        if !matches!(fault, WriteError::Transport(_)) {
            self.unreachable = 0;
            return;
        }
        self.unreachable = self.unreachable.saturating_add(1);
        if self.unreachable >= OUTAGE {
            self.queue.hold_until(now.instant.after(self.jitter.upper_half_of(OUTAGE_PAUSE)));
        }
        if self.unreachable == OUTAGE {
            let error = crate::exit::chain(fault);
            tracing::warn!(reason = "unreachable", error, "no write reaches the API server");
        }
    }

    /// The server found that another manager holds a field of ours with another value.
    fn refuse(&mut self, unit: &TargetRef, why: impl FnOnce(DataKey) -> Refusal, now: Now) {
        let content = self.bundles.get(&unit.bundle).and_then(|bundle| bundle.content.as_ref());
        let rendered = content.and_then(|content| content.rendered.get(&unit.kind));
        let key = rendered.and_then(|rendered| rendered.data.keys().next());
        let key = key.cloned().unwrap_or_else(|| DataKey::from(""));
        let target = self.target(unit);
        target.settle(true, Some(Standing::Refused(why(key))));
        let refused = target.tried.take();
        self.probe_later(unit, refused, now);
    }

    /// Returns the refusal for a target that the server calls too large. What others keep in the
    /// object counts as well, and only the server knows how much that is.
    fn too_large(&self, unit: &TargetRef, large: Large) -> Refusal {
        let content = self.bundles.get(&unit.bundle).and_then(|bundle| bundle.content.as_ref());
        let rendered = content.and_then(|content| content.rendered.get(&unit.kind));
        let data = rendered.map_or(0, |rendered| rendered.data_bytes());
        let annotations = rendered.map_or(0, |rendered| rendered.annotation_bytes());
        match large {
            Large::Annotations if annotations > ANNOTATION_BYTES_MAX => {
                Refusal::AnnotationsTooLarge { bytes: annotations, max: ANNOTATION_BYTES_MAX }
            }
            Large::Annotations => {
                let (ours, max) = (annotations, ANNOTATION_BYTES_MAX);
                Refusal::AnnotationsTooLargeTogether { ours, max }
            }
            Large::Data if data > DATA_BYTES_MAX => {
                Refusal::TooLarge { bytes: data, max: DATA_BYTES_MAX }
            }
            Large::Data => Refusal::TooLargeTogether { ours: data, max: DATA_BYTES_MAX },
            Large::Request => Refusal::RequestTooLarge { data },
        }
    }

    fn log(&self, unit: &TargetRef, fault: &WriteError, consequence: &Consequence, now: Now) {
        let (bundle, namespace, kind) = (&unit.bundle, &unit.namespace, unit.kind);
        let (reason, error) = (fault.category(), crate::exit::chain(fault));
        let routine = matches!(
            consequence,
            Consequence::LookAgain | Consequence::NamespaceGone | Consequence::NotLeader
        );
        if routine {
            tracing::debug!(%bundle, %namespace, %kind, reason, error, "did not write a target");
            return;
        }
        let example = || format!("Bundle {bundle}, {kind} in {namespace}: {error}");
        let kind_of_fault = repeat::FailureKind { what: "cannot write a target", reason };
        if self.repeats.is_first(kind_of_fault, now.instant, example) {
            tracing::warn!(%bundle, %namespace, %kind, reason, error, "cannot write a target");
        } else {
            tracing::debug!(%bundle, %namespace, %kind, reason, error, "cannot write a target");
        }
    }
}

/// The fields that a conflict is about, as far as the server names them; else it is about the key.
fn conflict(fault: &WriteError, key: DataKey) -> Refusal {
    let fields = fault.conflicts();
    let data = format!(".data.{key}");
    if fields.iter().all(|field| field.is_empty() || *field == data) {
        return Refusal::Conflict(key);
    }
    let named: Vec<&str> = fields.iter().take(FIELDS_NAMED_MAX).copied().collect();
    let more = fields.len() - named.len();
    let named = named.join(", ");
    Refusal::Held(if more == 0 { named } else { format!("{named} and {more} more") })
}

/// More fields of a conflict are counted only: a Bundle may ask for dozens of labels.
const FIELDS_NAMED_MAX: usize = 3;
/// Conflicts, pauses and rewrites that the status says nothing of: they are routine.
const QUIET_TRIES: u32 = 3;
/// The number of writes in a row without an answer that are an outage and not bad luck.
const OUTAGE: u32 = 8;
/// The time for which nothing is tried in an outage.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);
/// A lease is renewed every one or two seconds.
const RENEWAL_PAUSE: Duration = Duration::from_millis(250);
/// Something in the cluster, such as a mutating webhook, changes what is written.
const CHANGED: Category = Category("changed-by-others");
