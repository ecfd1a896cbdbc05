//! The cache of the cluster, kept up to date by watch events. A change makes stale no more than the
//! pure `dependents` says.

use std::sync::Arc;

use serde_json::Value as Json;
use trustd_core::names::{BundleName, FieldManager, Kind, Namespace, ObjectName, ResourceVersion};
use trustd_core::plan::{Change, Owner, Work, dependents, owner, reads, rings};
use trustd_core::spec::Spec;
use trustd_core::world::{NamespaceState, Observed, SourceObject};

use super::bundle::Bundle;
use super::{Reconciler, Stale};
use crate::controller::queue::TargetRef;
use crate::controller::watch::{ObjectKey, WatchedObject};

impl Reconciler {
    /// Something was seen: an object in this form, or that it is gone.
    pub(in crate::controller) fn see(&mut self, key: ObjectKey, object: Option<WatchedObject>) {
        match (key, object) {
            (ObjectKey::Bundle(name), Some(WatchedObject::Bundle { raw, status_writer })) => {
                self.see_bundle(name, raw, status_writer);
            }
            (ObjectKey::Bundle(name), _) => self.lose_bundle(&name),
            (ObjectKey::Namespace(name), Some(WatchedObject::Namespace(state))) => {
                self.see_namespace(name, Some(state));
            }
            (ObjectKey::Namespace(name), _) => self.see_namespace(name, None),
            (ObjectKey::Source(kind, name), Some(WatchedObject::Source(source))) => {
                self.arrived(kind, &name);
                self.see_source(kind, name, Some(*source));
            }
            (ObjectKey::Source(kind, name), Some(WatchedObject::Withheld(source))) => {
                self.withheld.insert((kind, name.clone()));
                self.see_source(kind, name, Some(*source));
            }
            (ObjectKey::Source(kind, name), _) => {
                self.arrived(kind, &name);
                self.see_source(kind, name, None);
            }
            (ObjectKey::Target(kind, namespace, bundle), Some(WatchedObject::Target(observed))) => {
                self.see_target(&TargetRef { bundle, kind, namespace }, Some(*observed));
            }
            (ObjectKey::Target(kind, namespace, bundle), _) => {
                self.see_target(&TargetRef { bundle, kind, namespace }, None);
            }
        }
    }

    fn see_bundle(
        &mut self,
        name: BundleName,
        raw: Arc<Json>,
        status_writer: Option<FieldManager>,
    ) {
        let changed = match self.bundles.get_mut(&name) {
            Some(bundle) if bundle.raw == raw => false,
            Some(bundle) => bundle.update(raw),
            None => {
                self.bundles.insert(name.clone(), Bundle::new(raw));
                true
            }
        };
        if let Some(bundle) = self.bundles.get_mut(&name)
            && status_writer.is_some()
        {
            bundle.status_writer = status_writer;
        }
        if changed {
            self.rings_stale = true;
            self.stale.insert(name, Stale::Spec);
        }
    }

    fn lose_bundle(&mut self, name: &BundleName) {
        if let Some(bundle) = self.bundles.remove(name) {
            for (kind, namespace) in bundle.targets.into_keys() {
                self.queue.forget(&TargetRef { bundle: name.clone(), kind, namespace });
            }
        }
        self.metrics.forget(name.as_str());
        self.stale.remove(name);
        self.awaiting.remove(name);
        self.rings_stale = true;
        self.find_orphans_of(name);
    }

    fn see_namespace(&mut self, name: Namespace, after: Option<NamespaceState>) {
        let before = match &after {
            Some(state) => self.world.namespaces.insert(name.clone(), state.clone()),
            None => self.world.namespaces.remove(&name),
        };
        if before == after {
            return;
        }
        self.rings_stale |= name == self.world.settings.trust_namespace;
        self.changed(&Change::Namespace { name, before, after });
    }

    /// Marks Bundles as stale that waited for this source, which is known as a whole now, or gone.
    fn arrived(&mut self, kind: Kind, name: &ObjectName) {
        if self.withheld.remove(&(kind, name.clone())) {
            for (bundle, why) in std::mem::take(&mut self.awaiting) {
                let stale = self.stale.entry(bundle).or_insert(why);
                *stale = why.max(*stale);
            }
        }
    }

    /// Returns true if a Bundle reads a source whose data has been dropped and not fetched yet.
    pub(super) fn awaits(&self, spec: &Spec) -> bool {
        self.withheld.iter().any(|key| {
            let labels = self.world.sources.get(key).map(|source| &source.labels);
            labels.is_some_and(|labels| reads(spec, key.0, &key.1, labels))
        })
    }

    fn see_source(&mut self, kind: Kind, name: ObjectName, after: Option<SourceObject>) {
        let key = (kind, name.clone());
        let before = match &after {
            Some(source) => self.world.sources.insert(key, source.clone()),
            None => self.world.sources.remove(&key),
        };
        if before == after {
            return;
        }
        // Rings depend on objects of the trust namespace only where they are targets as well.
        self.rings_stale |= self.bundles.contains_key(name.as_str());
        let labels = |source: Option<SourceObject>| source.map(|source| source.labels);
        self.changed(&Change::Source { kind, name, before: labels(before), after: labels(after) });
    }

    pub(super) fn see_target(&mut self, unit: &TargetRef, after: Option<Observed>) {
        let key = (unit.kind, unit.namespace.clone());
        let after = after.map(|after| self.recognised(unit, after));
        let targets = self.world.targets.entry(unit.bundle.clone()).or_default();
        // The answer to a write arrives on another connection than the watch, in either order.
        let before = targets.get(&key);
        if before == after.as_ref()
            || before.zip(after.as_ref()).is_some_and(|(before, after)| is_newer(before, after))
        {
            return;
        }
        let gone = after.is_none();
        match after {
            Some(observed) => drop(targets.insert(key, observed)),
            None => drop(targets.remove(&key)),
        }
        if targets.is_empty() {
            self.world.targets.remove(&unit.bundle);
        }
        if self.queue.is_in_flight(unit) {
            self.target(unit).deleted_in_flight |= gone;
            // Most likely the echo of our own write; the target is planned when that has ended.
            return;
        }
        if self.bundles.contains_key(&unit.bundle) {
            let TargetRef { bundle, kind, namespace } = unit.clone();
            self.changed(&Change::Target { bundle, kind, namespace });
        } else if self.working {
            self.due.insert(unit.clone());
        }
    }

    /// The object, with the note that it is the one that was ours, where it does not say so itself.
    pub(super) fn recognised(&self, unit: &TargetRef, observed: Observed) -> Observed {
        let key = (unit.kind, unit.namespace.clone());
        let known = self.bundles.get(&unit.bundle).is_some_and(|bundle| {
            let ours = bundle.targets.get(&key).and_then(|target| target.ours.as_ref());
            let foreign = |spec| owner(spec, &observed) == Owner::Foreign;
            ours.is_some()
                && ours == observed.uid.as_ref()
                && bundle.spec.as_ref().is_ok_and(foreign)
        });
        Observed { known, ..observed }
    }

    /// Marks what a change can touch.
    pub(super) fn changed(&mut self, change: &Change) {
        if !self.working {
            return;
        }
        let valid = self.bundles.values().filter_map(|bundle| bundle.spec.as_ref().ok());
        for (bundle, work) in dependents(change, valid) {
            match work {
                Work::Everything => drop(self.stale.entry(bundle).or_insert(Stale::Content)),
                Work::Targets(targets) => {
                    self.due.extend(targets.into_iter().map(|(kind, namespace)| TargetRef {
                        bundle: bundle.clone(),
                        kind,
                        namespace,
                    }));
                }
            }
        }
    }

    /// Finds the cycles again; Bundles that joined or left one are stale.
    pub(super) fn find_rings(&mut self) {
        if !std::mem::take(&mut self.rings_stale) {
            return;
        }
        let valid = self.bundles.values().filter_map(|bundle| bundle.spec.as_ref().ok());
        let specs: Vec<&Spec> = valid.collect();
        let found = rings(&specs, &self.world);
        let before = std::mem::replace(&mut self.world.rings, found);
        let after = &self.world.rings;
        for name in before.keys().chain(after.keys()) {
            if before.get(name) != after.get(name) && self.bundles.contains_key(name) {
                self.stale.entry(name.clone()).or_insert(Stale::Content);
            }
        }
    }

    /// Finds the targets of Bundles that are not there.
    pub(super) fn find_orphans(&mut self) {
        let gone: Vec<BundleName> = self
            .world
            .targets
            .keys()
            .filter(|name| !self.bundles.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            self.find_orphans_of(&name);
        }
    }

    fn find_orphans_of(&mut self, name: &BundleName) {
        if !self.working {
            return;
        }
        for (kind, namespace) in self.world.targets.get(name).into_iter().flat_map(|t| t.keys()) {
            self.due.insert(TargetRef {
                bundle: name.clone(),
                kind: *kind,
                namespace: namespace.clone(),
            });
        }
    }
}

/// Returns true if `before` is a later version than `after` of the same object, because the answer
/// to a write overtook the watch.
fn is_newer(before: &Observed, after: &Observed) -> bool {
    let number = |version: &Option<ResourceVersion>| version.as_ref()?.as_str().parse::<u64>().ok();
    before.uid == after.uid
        && number(&before.resource_version)
            .zip(number(&after.resource_version))
            .is_some_and(|(before, after)| before > after)
}
