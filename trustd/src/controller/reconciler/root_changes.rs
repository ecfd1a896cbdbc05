//! Roots that were added or removed while this process was not watching: before the first write of
//! new content, one target is read that still holds the previous content.
//!
//! The cluster is the memory: there is no state of our own to be lost or to be wrong.

use std::collections::BTreeMap;

use trustd_core::bundle::{Collector, Filters, Member};
use trustd_core::names::{BundleName, Kind, Namespace, Origin};
use trustd_core::plan::{BundleContent, Owner, Write, owner};
use trustd_core::world::Observed;

use super::notice::Notice;
use super::{Now, Reconciler};
use crate::controller::queue::TargetRef;
use crate::controller::write::WriteError;

impl Reconciler {
    /// Tells which roots came and went since they were last told. Where this process never told
    /// any, chooses the target that is read first; where there is none, or one holds the new
    /// content already, there is nothing to tell.
    pub(super) fn tell_roots(&mut self, name: &BundleName) {
        let Some(bundle) = self.bundles.get(name) else { return };
        let Some(content) = bundle.content.clone().filter(|content| content.blocked.is_none())
        else {
            return;
        };
        let recall = match &bundle.told {
            Some(told) => {
                let (old, new) = (told.certificates.members(), content.certificates.members());
                self.notices.extend(Notice::of_roots(bundle, old, new));
                None
            }
            None => self.remembered(name, &content),
        };
        let Some(bundle) = self.bundles.get_mut(name) else { return };
        bundle.told = recall.is_none().then_some(content);
        bundle.recall = recall;
    }

    /// A target that is about to be written and holds what most of them hold; `None` if one holds
    /// the content already, which was told by whoever wrote it.
    fn remembered(&self, name: &BundleName, content: &BundleContent) -> Option<(Kind, Namespace)> {
        let spec = self.bundles.get(name)?.spec.as_ref().ok()?;
        let mut by_hash: BTreeMap<&str, Vec<&(Kind, Namespace)>> = BTreeMap::new();
        for (key, observed) in self.world.targets.get(name)? {
            let Some(rendered) = content.rendered.get(&key.0) else { continue };
            let Some(hash) = observed.hash.as_deref() else { continue };
            let written = matches!(owner(spec, observed), Owner::Ours | Owner::Shared)
                && !observed.ours().is_empty();
            if !written {
                continue;
            }
            if rendered.is_hash(hash) {
                return None;
            }
            by_hash.entry(hash).or_default().push(key);
        }
        let mut common: Vec<_> = by_hash.into_values().collect();
        common.sort_by_key(|keys| std::cmp::Reverse(keys.len()));
        common.into_iter().flatten().find(|key| self.is_about_to_be_written(name, key)).cloned()
    }

    fn is_about_to_be_written(&self, name: &BundleName, key: &(Kind, Namespace)) -> bool {
        let unit = TargetRef { bundle: name.clone(), kind: key.0, namespace: key.1.clone() };
        matches!(self.judge(&unit).write, Some(Write::Update { .. }))
    }

    /// Returns true if this target is to be read before it is written.
    pub(super) fn is_recalled(&self, unit: &TargetRef) -> bool {
        let recall = self.bundles.get(&unit.bundle).and_then(|bundle| bundle.recall.as_ref());
        recall.is_some_and(|(kind, namespace)| *kind == unit.kind && *namespace == unit.namespace)
    }

    /// The target could not be read: it is written all the same, and nobody learns what it held.
    pub(super) fn not_recalled(&mut self, unit: &TargetRef, fault: &WriteError, now: Now) {
        let error = crate::exit::chain(fault);
        tracing::info!(
            bundle = %unit.bundle, namespace = %unit.namespace, kind = %unit.kind, error,
            "cannot read a target; roots that changed meanwhile are not told"
        );
        self.recalled(unit, None, now);
        self.plan(unit, now);
    }

    /// The target was read, or could not be.
    pub(super) fn recalled(&mut self, unit: &TargetRef, held: Option<&Observed>, now: Now) {
        let Some(bundle) = self.bundles.get_mut(&unit.bundle) else { return };
        bundle.recall = None;
        let unblocked = bundle.content.clone().filter(|content| content.blocked.is_none());
        bundle.told.clone_from(&unblocked);
        let Some((content, held)) = unblocked.zip(held) else { return };
        let old = roots_in(unit, held, now);
        if !old.is_empty() {
            self.notices.extend(Notice::of_roots(bundle, &old, content.certificates.members()));
        }
    }
}

/// The certificates under the keys of a target that are ours.
fn roots_in(unit: &TargetRef, held: &Observed, now: Now) -> Vec<Member> {
    let mut collector = Collector::new(Filters::default(), now.date);
    let ours = held.ours();
    let values = held.data.iter().flatten().filter(|(key, _)| ours.contains(key));
    for (key, value) in values {
        let origin = Origin::Object {
            kind: unit.kind,
            namespace: unit.namespace.clone(),
            name: unit.bundle.as_str().into(),
            key: key.clone(),
        };
        // What is no certificate there was not written by us; there is nothing to say of it.
        let _ = collector.add(&origin, value);
    }
    collector.finish().members().to_vec()
}
