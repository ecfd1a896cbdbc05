//! The objects of the trust namespace that Bundles read. The data of all others is dropped on
//! arrival, so that memory does not grow with unrelated objects beside the sources, Helm releases
//! above all.
//!
//! The watch of Bundles announces what is read before it reports a Bundle; the watches of sources
//! fetch what they dropped as soon as a Bundle reads it.

use std::collections::BTreeMap;

use tokio::sync::watch as channel;
use trustd_api::validate;
use trustd_core::names::{BundleName, Kind, ObjectName};
use trustd_core::plan::reads;
use trustd_core::selector::Labels;
use trustd_core::spec::{SourceRef, Spec};
use trustd_core::world::SourceObject;

use super::WatchEvent;
use super::trim::{ObjectKey, WatchedObject};

/// The specs of all Bundles, by which it is known what they read.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// Every Bundle has been seen once.
    complete: bool,
    specs: BTreeMap<BundleName, Spec>,
}

/// A new interest, for the watch of Bundles to say and for those of sources to heed.
pub(super) fn channel() -> (channel::Sender<Interest>, channel::Receiver<Interest>) {
    channel::channel(Interest::default())
}

impl Interest {
    /// Returns true if every Bundle has been seen once.
    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Returns true if a Bundle reads this object.
    pub(super) fn reads(&self, kind: Kind, name: &ObjectName, labels: &Labels) -> bool {
        self.specs.values().any(|spec| reads(spec, kind, name, labels))
    }

    /// Takes in what the watch of Bundles is about to tell; says whether that changed anything.
    pub(super) fn note(&mut self, watch_event: &WatchEvent) -> bool {
        match watch_event {
            WatchEvent::Applied(ObjectKey::Bundle(name), WatchedObject::Bundle { raw, .. }) => {
                match validate::read(raw) {
                    Ok(mut spec) => {
                        // Inline text can be long, and is no object.
                        spec.sources
                            .retain(|source| matches!(source.from, SourceRef::Objects { .. }));
                        let before = self.specs.insert(name.clone(), spec);
                        let after = self.specs.get(name).map(|spec| &spec.sources);
                        before.as_ref().map(|spec| &spec.sources) != after
                    }
                    Err(_) => self.specs.remove(name).is_some(),
                }
            }
            WatchEvent::Deleted(ObjectKey::Bundle(name)) => self.specs.remove(name).is_some(),
            WatchEvent::Synced => !std::mem::replace(&mut self.complete, true),
            WatchEvent::Applied(..) | WatchEvent::Deleted(_) => false,
        }
    }
}

/// The objects of one kind whose data was dropped, by name, with the labels that selectors look at.
#[derive(Debug)]
pub(super) struct Withheld {
    kind: Kind,
    interest: channel::Receiver<Interest>,
    labels: BTreeMap<ObjectName, Labels>,
    /// The versions of objects that were fetched: the watch may still tell of older ones.
    fetched: BTreeMap<ObjectName, u64>,
}

impl Withheld {
    /// Returns an empty record.
    pub(super) fn new(kind: Kind, interest: channel::Receiver<Interest>) -> Self {
        Self { kind, interest, labels: BTreeMap::new(), fetched: BTreeMap::new() }
    }

    /// Waits until it is known what is read.
    pub(super) async fn begin(&mut self) {
        // Without a sender there is no controller any more.
        let _ = self.interest.wait_for(Interest::is_complete).await;
    }

    /// Waits until something else is read than before.
    pub(super) async fn changed(&mut self) {
        if self.interest.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The objects that were dropped and are read now.
    pub(super) fn wanted(&mut self) -> Vec<ObjectName> {
        let interest = self.interest.borrow_and_update();
        let reads =
            |(name, labels): &(&ObjectName, &Labels)| interest.reads(self.kind, name, labels);
        self.labels.iter().filter(reads).map(|(name, _)| name.clone()).collect()
    }

    /// An object was fetched in this version.
    pub(super) fn fetched(&mut self, name: ObjectName, version: Option<u64>) {
        if let Some(version) = version {
            self.fetched.insert(name, version);
        }
    }

    /// Prepares for a new list of everything.
    pub(super) fn forget_fetched(&mut self) {
        self.fetched.clear();
    }

    /// Returns true if a watch event is older than the version that was fetched.
    pub(super) fn is_old(&mut self, name: &ObjectName, version: Option<u64>) -> bool {
        let Some(fetched) = self.fetched.get(name) else { return false };
        let old = version.is_some_and(|version| version < *fetched);
        if !old {
            self.fetched.remove(name);
        }
        old
    }

    /// Notes what is told of the objects.
    pub(super) fn note(&mut self, watch_event: &WatchEvent) {
        match watch_event {
            WatchEvent::Applied(ObjectKey::Source(_, name), WatchedObject::Withheld(source)) => {
                self.labels.insert(name.clone(), source.labels.clone());
            }
            WatchEvent::Applied(ObjectKey::Source(_, name), _)
            | WatchEvent::Deleted(ObjectKey::Source(_, name)) => {
                self.labels.remove(name);
            }
            WatchEvent::Applied(..) | WatchEvent::Deleted(_) | WatchEvent::Synced => {}
        }
    }
}

/// A source as it is kept: whole if a Bundle reads it.
pub(super) fn kept(
    interest: &channel::Receiver<Interest>,
    (key, object): (ObjectKey, Option<WatchedObject>),
) -> (ObjectKey, Option<WatchedObject>) {
    match (key, object) {
        (ObjectKey::Source(kind, name), Some(WatchedObject::Source(source)))
            if !interest.borrow().reads(kind, &name, &source.labels) =>
        {
            let source = SourceObject { data: BTreeMap::new(), written: None, ..*source };
            (ObjectKey::Source(kind, name), Some(WatchedObject::Withheld(Box::new(source))))
        }
        told => told,
    }
}

/// The number of objects that are fetched one by one; if there are more, all are listed again.
pub(super) const FETCHES_MAX: usize = 20;
