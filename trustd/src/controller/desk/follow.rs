//! Follows targets from plan to plan: which object is ours, and who undoes what we wrote.

use trustd_core::names::BundleName;
use trustd_core::plan::{Owner, owner};
use trustd_core::world::Observed;

use super::contest::opponent;
use super::plan::Verdict;
use super::{Desk, Now};
use crate::controller::queue::Unit;
use crate::controller::repeat;

impl Desk {
    /// Follows what becomes of a target: it is as it should be, or it was and somebody undid it.
    pub(super) fn follow(&mut self, unit: &Unit, verdict: &Verdict, now: Now) {
        if verdict.is_as_wanted() {
            self.target(unit).contest.hold(now.instant);
            return;
        }
        let Some(bundle) = self.bundles.get_mut(&unit.bundle) else { return };
        let key = (unit.kind, unit.namespace.clone());
        let Some(target) = bundle.targets.get_mut(&key) else { return };
        if !(verdict.wanted && verdict.judged) {
            target.contest.let_go();
            return;
        }
        if !(verdict.is_undone() && target.contest.is_held()) {
            return;
        }
        let observed = self.world.targets.get(&unit.bundle).and_then(|targets| targets.get(&key));
        let opponent = bundle
            .content
            .as_ref()
            .map(|content| opponent(content, unit.kind, observed))
            .unwrap_or_default();
        tracing::debug!(
            bundle = %unit.bundle, namespace = %unit.namespace, kind = %unit.kind,
            %opponent, "a target was undone"
        );
        if target.contest.turn(opponent, now.instant, &mut self.jitter) {
            self.metrics.contested(unit.bundle.as_str());
            let opponent = target.contest.opponent().map(ToString::to_string);
            let fault = repeat::Fault { what: "a target is undone", reason: "TargetContested" };
            let Unit { bundle, kind, namespace } = unit;
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

    /// Keeps in mind which object is ours, so that it stays ours when others replace it whole.
    pub(super) fn note_owner(&mut self, unit: &Unit) {
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

    /// A fight that the Bundle's status tells of goes on where the last process left it, not from the
    /// start: of the targets that are found undone.
    pub(super) fn resume_contests(&mut self, name: &BundleName, now: Now) {
        let Some(bundle) = self.bundles.get_mut(name) else { return };
        if std::mem::take(&mut bundle.was_contested) {
            for target in bundle.targets.values_mut() {
                if target.wanted && target.is_open() && target.contest.is_empty() {
                    target.contest.resume(now.instant);
                }
            }
        }
    }

    /// Takes note of who replaced a target that was undone, where the watch could not tell.
    pub(super) fn name_opponent(&mut self, unit: &Unit, observed: &Observed) {
        let Some(bundle) = self.bundles.get_mut(&unit.bundle) else { return };
        let Some(content) = bundle.content.as_ref() else { return };
        let opponent = opponent(content, unit.kind, Some(observed));
        let target = bundle.targets.get_mut(&(unit.kind, unit.namespace.clone()));
        if let Some(target) = target.filter(|target| target.contest.is_undone()) {
            target.contest.name(opponent);
        }
    }
}
