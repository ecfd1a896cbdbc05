//! Ownership and fights, followed from plan to plan: which object is ours, and who undoes what we
//! wrote.

use trustd_core::names::BundleName;
use trustd_core::outcome::Standing;
use trustd_core::plan::{Owner, owner};
use trustd_core::world::Observed;

use super::contest::{WINDOW, is_outdated, opponent};
use super::planner::Assessment;
use super::{Now, Reconciler};
use crate::controller::queue::TargetRef;
use crate::controller::repeat;

impl Reconciler {
    /// Follows a target: it is as it should be, or it was and another client undid that.
    pub(super) fn follow(&mut self, unit: &TargetRef, assessment: &Assessment, now: Now) {
        if assessment.is_as_wanted() {
            self.target(unit).contest.hold(now.instant);
            return;
        }
        let Some(bundle) = self.bundles.get_mut(&unit.bundle) else { return };
        let key = (unit.kind, unit.namespace.clone());
        let Some(target) = bundle.targets.get_mut(&key) else { return };
        if !(assessment.wanted && assessment.judged) {
            target.contest.let_go();
            return;
        }
        if !assessment.is_undone() || !(target.contest.is_held() || target.contest.is_undone()) {
            return;
        }
        let observed = self.world.targets.get(&unit.bundle).and_then(|targets| targets.get(&key));
        let opponent = bundle
            .content
            .as_ref()
            .map(|content| opponent(content, unit.kind, observed))
            .unwrap_or_default();
        if !target.contest.is_held() {
            // No other turn, but more of the same one: a deleted object was made by this client.
            target.contest.name(opponent);
            return;
        }
        tracing::debug!(
            bundle = %unit.bundle, namespace = %unit.namespace, kind = %unit.kind,
            %opponent, "a target was undone"
        );
        if target.contest.turn(opponent, now.instant, &mut self.jitter) {
            self.metrics.contested(unit.bundle.as_str());
            let opponent = target.contest.opponent().map(ToString::to_string);
            let fault =
                repeat::FailureKind { what: "a target is undone", reason: "TargetContested" };
            let TargetRef { bundle, kind, namespace } = unit;
            let example = || format!("Bundle {bundle}, {kind} in {namespace}");
            // One per target would be a line for each namespace of the cluster.
            if self.repeats.is_first(fault, now.instant, example) {
                tracing::warn!(
                    %bundle, %namespace, %kind, reason = "TargetContested", opponent,
                    "a target is undone again and again; it is written once in ten minutes"
                );
            }
        }
    }

    /// Remembers which object is ours, so that it stays ours if others replace all of its fields.
    pub(super) fn note_owner(&mut self, unit: &TargetRef) {
        let key = (unit.kind, unit.namespace.clone());
        let observed = self.world.targets.get(&unit.bundle).and_then(|targets| targets.get(&key));
        let Some(bundle) = self.bundles.get_mut(&unit.bundle) else { return };
        let (Ok(spec), Some(observed)) = (&bundle.spec, observed) else { return };
        let ours = owner(spec, observed) == Owner::Ours;
        let uid = observed.uid.clone().filter(|_| ours);
        if let Some(target) = bundle.targets.get_mut(&key) {
            target.ours = uid;
        }
    }

    /// Resumes a fight that the Bundle's status reports, before anything else is said about the
    /// Bundle. Targets that are found undone are contested from the start. Where none is, the
    /// opponent may only be slow: the condition stays as it is for as long as a target must be
    /// quiet.
    pub(super) fn resume_contests(&mut self, name: &BundleName, now: Now) {
        let Some(bundle) = self.bundles.get_mut(name) else { return };
        if !std::mem::take(&mut bundle.was_contested) {
            return;
        }
        let Some(content) = bundle.content.as_ref() else { return };
        let observed = self.world.targets.get(name);
        for (key, target) in &mut bundle.targets {
            if !(target.wanted && target.is_open() && target.contest.is_empty()) {
                continue;
            }
            let observed = observed.and_then(|observed| observed.get(key));
            if observed.is_some_and(|observed| is_outdated(content, key.0, observed)) {
                target.contest.suspect(now.instant);
            } else {
                target.contest.resume(opponent(content, key.0, observed), now.instant);
                target.standing = Some(target.contested_or(Standing::Pending));
            }
        }
        // The condition names up to ten namespaces only, so it cannot say which targets were
        // contested.
        let goes_on = bundle.targets.values().any(|target| target.contest.opponent().is_some());
        bundle.contested_until = (!goes_on).then(|| now.instant.after(WINDOW));
    }

    /// Names the client that replaced a target, if only a GET could show it.
    pub(super) fn name_opponent(&mut self, unit: &TargetRef, observed: &Observed) {
        let Some(bundle) = self.bundles.get_mut(&unit.bundle) else { return };
        let Some(content) = bundle.content.as_ref() else { return };
        let opponent = opponent(content, unit.kind, Some(observed));
        let target = bundle.targets.get_mut(&(unit.kind, unit.namespace.clone()));
        if let Some(target) = target.filter(|target| target.contest.is_undone()) {
            if target.ours.is_some() && target.ours == observed.uid {
                target.contest.name_no_deletion();
            }
            target.contest.name(opponent);
        }
    }
}
