//! The world as it was observed: what a plan is made from. Values only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bundle::Filters;
use crate::names::{
    BundleName, DataKey, FieldManager, Kind, Namespace, ObjectName, ResourceVersion, Uid,
};
use crate::selector::Labels;
use crate::spec::Annotations;

/// Everything that was observed, and how the process is set up.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// How the process is set up.
    pub settings: Settings,
    /// ConfigMaps and Secrets of the trust namespace.
    pub sources: BTreeMap<(Kind, ObjectName), SourceObject>,
    /// Every namespace.
    pub namespaces: BTreeMap<Namespace, NamespaceState>,
    /// For each Bundle, the objects of its name, and those that bear its label.
    pub targets: BTreeMap<BundleName, Targets>,
    /// Bundles that feed one another, with the ring they are on ([`crate::plan::rings`]).
    pub rings: BTreeMap<BundleName, Vec<BundleName>>,
}

/// Objects that bear the name of a Bundle, by kind and namespace.
pub type Targets = BTreeMap<(Kind, Namespace), Observed>;

/// How the process is set up: the flags that planning heeds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespace that sources are read from (`--trust-namespace`).
    pub trust_namespace: Namespace,
    /// If not empty, the only namespaces that are written to (`--target-namespaces`).
    pub target_namespaces: BTreeSet<Namespace>,
    /// Whether Secrets may be written (`--secret-targets-enabled`).
    pub secret_targets: bool,
    /// Which certificates are left out.
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
    /// Its identity, `name-version-hash`, which the status repeats.
    pub identity: Arc<str>,
    /// Its certificates, as PEM.
    pub pem: Arc<str>,
}

/// A ConfigMap or Secret of the trust namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceObject {
    /// Its labels.
    pub labels: Labels,
    /// Whether it is a Secret of type `kubernetes.io/tls`, which holds a private key.
    pub tls: bool,
    /// Its values. Where `data` and `binaryData` both had a key, that of `data`.
    pub data: BTreeMap<DataKey, Arc<[u8]>>,
    /// The Bundle whose target it is, by its label.
    pub target_of: Option<BundleName>,
    /// The keys that trustd (or trust-manager) wrote to it. Nothing where the object does not say,
    /// as in files without managedFields.
    pub written: Option<BTreeSet<DataKey>>,
}

/// What matters about a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceState {
    /// Its labels.
    pub labels: Labels,
    /// Whether it is being deleted; then nothing is written to it.
    pub terminating: bool,
}

/// An object that bears the name of a Bundle, as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Its identity; unknown in files that no server has seen.
    pub uid: Option<Uid>,
    /// Its version; unknown likewise.
    pub resource_version: Option<ResourceVersion>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The Bundle that its label names.
    pub label: Option<BundleName>,
    /// Its hash annotation.
    pub hash: Option<String>,
    /// Its content annotation.
    pub digest: Option<String>,
    /// Whether it is marked as shared.
    pub shared: bool,
    /// Whether its owner allows that its keys are overwritten.
    pub allow_overwrite: bool,
    /// Its controlling owner reference, as far as it matters.
    pub owner: OwnerReference,
    /// Whether a Bundle of its name is an owner too, but not the controlling one. The garbage
    /// collector makes no difference between the two.
    pub co_owned: bool,
    /// Whether this process saw it as ours before, by its uid. Nothing that the object itself says.
    pub known: bool,
    /// Keys below `binaryData` of a ConfigMap that an apply of ours does not take out.
    pub binary: BTreeSet<DataKey>,
    /// All labels.
    pub labels: Labels,
    /// All annotations.
    pub annotations: Annotations,
    /// Who manages its data keys, where the object says (managedFields).
    pub managed: Option<Managed>,
    /// Its values, where the whole object was seen and not only its metadata.
    pub data: Option<BTreeMap<DataKey, Arc<[u8]>>>,
}

/// What the owner references of an object say about a Bundle of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnerReference {
    /// A Bundle of its name is its controlling owner.
    Bundle(Uid),
    /// Something else is its controlling owner.
    OtherController,
    /// It has no controlling owner.
    #[default]
    None,
}

/// Who manages the data keys of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// Whether our field manager holds anything at all, be it in the metadata.
    pub any: bool,
    /// Whether it holds anything by an Apply entry.
    pub any_applied: bool,
    /// Whether the owner reference to the Bundle goes with an apply that leaves it out: our Apply
    /// entry holds it, and no other entry does.
    pub owner_applied: bool,
    /// Keys that an Apply entry under our field manager holds.
    pub applied: BTreeSet<DataKey>,
    /// Keys that another entry under our field manager holds (an edit under our name).
    pub updated: BTreeSet<DataKey>,
    /// Keys that other managers hold.
    pub others: BTreeSet<DataKey>,
    /// The other manager that wrote last, if any is on record.
    pub other: Option<FieldManager>,
    /// Whether that manager wrote in the same second as ours, or later.
    pub other_is_newest: bool,
}

impl Managed {
    /// Whether there is something of ours in the object that could be given up.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.any || !self.applied.is_empty() || !self.updated.is_empty()
    }
}

impl Observed {
    /// The keys under our field manager, however they came there.
    #[must_use]
    pub fn ours(&self) -> BTreeSet<&DataKey> {
        self.managed.iter().flat_map(|m| m.applied.union(&m.updated)).collect()
    }

    /// The data keys that another manager holds. Where the object does not say who manages it, all
    /// its keys but `wanted`.
    #[must_use]
    pub fn foreign_keys(&self, wanted: &dyn Fn(&DataKey) -> bool) -> BTreeSet<&DataKey> {
        match (&self.managed, &self.data) {
            (Some(managed), _) => managed.others.iter().collect(),
            (None, Some(data)) => data.keys().filter(|key| !wanted(key)).collect(),
            (None, None) => BTreeSet::new(),
        }
    }
}
