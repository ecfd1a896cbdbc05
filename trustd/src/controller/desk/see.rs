//! What follows from a sighting: no more than the pure `dependents` says.

use std::sync::Arc;

use serde_json::Value as Json;
use trustd_core::names::{BundleName, Kind, Namespace, ObjectName, ResourceVersion};
use trustd_core::plan::{Change, Work, dependents, rings};
use trustd_core::spec::Spec;
use trustd_core::world::{NamespaceState, Observed, SourceObject};

use super::bundle::Bundle;
use super::notice::Notice;
use super::{Desk, Now, Stale};
use crate::controller::queue::Unit;
use crate::controller::watch::{Object, Place};

impl Desk {
    /// Something was seen: an object in this form, or that it is gone.
    pub(in crate::controller) fn see(&mut self, place: Place, object: Option<Object>, now: Now) {
        match (place, object) {
            (Place::Bundle(name), Some(Object::Bundle(raw))) => self.see_bundle(name, raw),
            (Place::Bundle(name), _) => self.lose_bundle(&name),
            (Place::Namespace(name), Some(Object::Namespace(state))) => {
                self.see_namespace(name, Some(state));
            }
            (Place::Namespace(name), _) => self.see_namespace(name, None),
            (Place::Source(kind, name), Some(Object::Source(source))) => {
                self.see_source(kind, name, Some(*source));
            }
            (Place::Source(kind, name), _) => self.see_source(kind, name, None),
            (Place::Target(kind, namespace, bundle), Some(Object::Target(observed))) => {
                self.see_target(&Unit { bundle, kind, namespace }, Some(*observed), now);
            }
            (Place::Target(kind, namespace, bundle), _) => {
                self.see_target(&Unit { bundle, kind, namespace }, None, now);
            }
        }
    }

    fn see_bundle(&mut self, name: BundleName, raw: Arc<Json>) {
        let changed = match self.bundles.get_mut(&name) {
            Some(bundle) if bundle.raw == raw => false,
            Some(bundle) => bundle.update(raw),
            None => {
                self.bundles.insert(name.clone(), Bundle::new(raw));
                true
            }
        };
        if changed {
            self.rings_stale = true;
            self.stale.insert(name, Stale::Spec);
        }
    }

    fn lose_bundle(&mut self, name: &BundleName) {
        if let Some(bundle) = self.bundles.remove(name) {
            for (kind, namespace) in bundle.targets.into_keys() {
                self.queue.forget(&Unit { bundle: name.clone(), kind, namespace });
            }
        }
        self.metrics.forget(name.as_str());
        self.stale.remove(name);
        self.rings_stale = true;
        self.find_strays_of(name);
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

    pub(super) fn see_target(&mut self, unit: &Unit, after: Option<Observed>, now: Now) {
        let key = (unit.kind, unit.namespace.clone());
        let targets = self.world.targets.entry(unit.bundle.clone()).or_default();
        let before = targets.get(&key);
        if before == after.as_ref()
            || before.zip(after.as_ref()).is_some_and(|(before, after)| is_newer(before, after))
        {
            return;
        }
        let flipped = before.zip(after.as_ref()).is_some_and(|(before, after)| {
            self.bundles.get(&unit.bundle).is_some_and(|bundle| flips(bundle, unit, before, after))
        });
        match after {
            Some(observed) => drop(targets.insert(key, observed)),
            None => drop(targets.remove(&key)),
        }
        if targets.is_empty() {
            self.world.targets.remove(&unit.bundle);
        }
        if flipped && self.working {
            self.flip(unit, now);
        }
        if self.queue.is_in_flight(unit) {
            // Most likely the echo of our own write; the target is planned when that has landed.
            return;
        }
        if self.bundles.contains_key(&unit.bundle) {
            let Unit { bundle, kind, namespace } = unit.clone();
            self.changed(&Change::Target { bundle, kind, namespace });
        } else if self.working {
            self.due.insert(unit.clone());
        }
    }

    fn flip(&mut self, unit: &Unit, now: Now) {
        let target = self.target(unit);
        if target.flipped(now.instant) {
            self.metrics.contested(unit.bundle.as_str());
            tracing::warn!(
                bundle = %unit.bundle, namespace = %unit.namespace, kind = %unit.kind,
                reason = "Contested",
                "somebody writes this target under trustd's own field manager"
            );
            self.notices.extend(self.bundles.get(&unit.bundle).map(Notice::contested));
        }
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
                    self.due.extend(targets.into_iter().map(|(kind, namespace)| Unit {
                        bundle: bundle.clone(),
                        kind,
                        namespace,
                    }));
                }
            }
        }
    }

    /// Finds the rings anew; Bundles that came onto one or left one are stale.
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
    pub(super) fn find_strays(&mut self) {
        let gone: Vec<BundleName> = self
            .world
            .targets
            .keys()
            .filter(|name| !self.bundles.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            self.find_strays_of(&name);
        }
    }

    fn find_strays_of(&mut self, name: &BundleName) {
        if !self.working {
            return;
        }
        for (kind, namespace) in self.world.targets.get(name).into_iter().flat_map(|t| t.keys()) {
            self.due.insert(Unit {
                bundle: name.clone(),
                kind: *kind,
                namespace: namespace.clone(),
            });
        }
    }
}

/// Whether `before` is a later version than `after` of the same object, as when the answer to a write
/// overtook the watch.
fn is_newer(before: &Observed, after: &Observed) -> bool {
    let number = |version: &Option<ResourceVersion>| version.as_ref()?.as_str().parse::<u64>().ok();
    before.uid == after.uid
        && number(&before.resource_version)
            .zip(number(&after.resource_version))
            .is_some_and(|(before, after)| before > after)
}

/// Whether a target that was as it should be came to hold something else under our own name. An edit
/// of its hash alone leaves our content mark in place and is none.
fn flips(bundle: &Bundle, unit: &Unit, before: &Observed, after: &Observed) -> bool {
    let rendered = bundle.content.as_ref().and_then(|content| content.rendered.get(&unit.kind));
    let Some(rendered) = rendered else { return false };
    let ours = |observed: &Observed| {
        observed.hash.as_deref().is_some_and(|hash| rendered.is_hash(hash))
            || observed.content.as_ref() == Some(&rendered.content)
    };
    let under_our_name = after.managed.as_ref().is_some_and(|managed| !managed.applied.is_empty());
    before.uid == after.uid && ours(before) && !ours(after) && under_our_name
}
