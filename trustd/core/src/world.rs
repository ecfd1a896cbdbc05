//! The observed state of the cluster, and the settings: the inputs of the planner. Values only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bundle::Filters;
use crate::names::{
    BundleName, DataKey, FieldManager, Kind, Namespace, ObjectName, ResourceVersion, Uid,
};
use crate::selector::Labels;
use crate::spec::Annotations;

/// The observed state of the cluster, and the settings of the process.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub settings: Settings,
    /// ConfigMaps and Secrets of the trust namespace.
    pub sources: BTreeMap<(Kind, ObjectName), SourceObject>,
    pub namespaces: BTreeMap<Namespace, NamespaceState>,
    /// The objects with the name of a Bundle, and those with its label, per Bundle.
    pub targets: BTreeMap<BundleName, Targets>,
    /// Bundles on a cycle, with the Bundles of the cycle ([`crate::plan::rings`]).
    pub rings: BTreeMap<BundleName, Vec<BundleName>>,
}

/// Objects that have the name of a Bundle, by kind and namespace.
pub type Targets = BTreeMap<(Kind, Namespace), Observed>;

/// The flags that planning depends on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--trust-namespace`: the namespace that sources are read from.
    pub trust_namespace: Namespace,
    /// `--target-namespaces`: the only namespaces that are written to, unless it is empty.
    pub target_namespaces: BTreeSet<Namespace>,
    /// `--secret-targets-enabled`: Secrets may be written.
    pub secret_targets: bool,
    /// Filters that leave certificates out of every bundle.
    pub filters: Filters,
    /// The default CA package, if one is loaded.
    pub default_cas: Option<DefaultCas>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trust_namespace: Namespace::from("cert-manager"),
            target_namespaces: BTreeSet::new(),
            secret_targets: false,
            filters: Filters::default(),
            default_cas: None,
        }
    }
}

/// A loaded default CA package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultCas {
    /// Identity as `name-version-hash`, which the status repeats.
    pub identity: Arc<str>,
    /// The certificates, as PEM.
    pub pem: Arc<str>,
}

/// A ConfigMap or Secret of the trust namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceObject {
    pub labels: Labels,
    /// True for a Secret of type `kubernetes.io/tls`, which holds a private key.
    pub tls: bool,
    /// Values. A key of `data` shadows the same key of `binaryData`.
    pub data: BTreeMap<DataKey, Arc<[u8]>>,
    /// The Bundle that the label names; the object is a target of it.
    pub target_of: Option<BundleName>,
    /// Keys that trustd (or trust-manager) wrote; `None` without managedFields, as in files.
    pub written: Option<BTreeSet<DataKey>>,
}

/// The part of a namespace's state that planning depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceState {
    pub labels: Labels,
    /// True if the namespace is being deleted; then nothing is written to it.
    pub terminating: bool,
}

/// An object that has the name of a Bundle, as observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// `metadata.uid`; `None` if the object was read from a file.
    pub uid: Option<Uid>,
    /// `metadata.resourceVersion`; `None` if the object was read from a file.
    pub resource_version: Option<ResourceVersion>,
    /// True if `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The Bundle that the label names.
    pub label: Option<BundleName>,
    /// The hash annotation, which trust-manager writes too.
    pub hash: Option<String>,
    /// The annotation with trustd's own digest of the content.
    pub digest: Option<String>,
    /// True if the object is marked as shared.
    pub shared: bool,
    /// True if its owner allows that its keys are overwritten.
    pub allow_overwrite: bool,
    /// The controlling owner reference.
    pub owner: OwnerReference,
    /// True if a Bundle of its name is an owner, but not the controller. The garbage collector does
    /// not distinguish the two.
    pub co_owned: bool,
    /// True if this process saw the same uid as ours before. It is not read from the object.
    pub known: bool,
    /// Keys below `binaryData` of a ConfigMap that our applies do not hold, and so cannot remove.
    pub binary: BTreeSet<DataKey>,
    pub labels: Labels,
    pub annotations: Annotations,
    /// Managers of the data keys; `None` without managedFields.
    pub managed: Option<Managed>,
    /// Values; `None` if only metadata was seen.
    pub data: Option<BTreeMap<DataKey, Arc<[u8]>>>,
}

/// The controlling owner of an object, with regard to a Bundle of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnerReference {
    /// A Bundle of its name is the controller.
    Bundle(Uid),
    /// Another object is the controller.
    OtherController,
    /// The object has no controller.
    #[default]
    None,
}

/// The managers of an object's data keys, from its managedFields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// True if our field manager holds any field, including metadata.
    pub any: bool,
    /// True if an Apply entry of our field manager holds any field.
    pub any_applied: bool,
    /// True if an apply without the owner reference to the Bundle removes it: only our Apply entry
    /// holds it.
    pub owner_applied: bool,
    /// Keys that an Apply entry under our field manager holds.
    pub applied: BTreeSet<DataKey>,
    /// Keys that an Update entry of our field manager holds.
    pub updated: BTreeSet<DataKey>,
    /// Keys that other managers hold.
    pub others: BTreeSet<DataKey>,
    /// The other manager that wrote last.
    pub other: Option<FieldManager>,
    /// True if that manager wrote in the same second as ours, or later.
    pub other_is_newest: bool,
}

impl Managed {
    /// Returns true if the object has fields of ours that could be released.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.any || !self.applied.is_empty() || !self.updated.is_empty()
    }
}

impl Observed {
    /// Returns the keys under our field manager, applied or updated.
    #[must_use]
    pub fn ours(&self) -> BTreeSet<&DataKey> {
        self.managed.iter().flat_map(|m| m.applied.union(&m.updated)).collect()
    }

    /// Returns the data keys that another manager holds. Without managedFields, all keys that
    /// `wanted` does not accept.
    #[must_use]
    pub fn foreign_keys(&self, wanted: &dyn Fn(&DataKey) -> bool) -> BTreeSet<&DataKey> {
        match (&self.managed, &self.data) {
            (Some(managed), _) => managed.others.iter().collect(),
            (None, Some(data)) => data.keys().filter(|key| !wanted(key)).collect(),
            (None, None) => BTreeSet::new(),
        }
    }
}
