//! A validated Bundle: a [`Spec`] can be planned as it is.
//!
//! Outside of tests only `trustd-api` builds one, from a raw Bundle, and names every invalid field.

use crate::names::{BundleName, DataKey, Kind, ObjectName, Uid};
use crate::selector::{Labels, Selector};

/// Annotations of an object.
pub type Annotations = Labels;

/// A valid Bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// `metadata.name`, which is also the name of its targets.
    pub name: BundleName,
    /// `metadata.uid`; `None` if the Bundle was read from a file.
    pub uid: Option<Uid>,
    /// True if the Bundle is being deleted; then nothing is created or updated for it.
    pub deleting: bool,
    /// True if writes are paused (annotation `trust.cert-manager.io/paused`).
    pub paused: bool,
    /// True if the status says that the current generation is synced. A target that trust-manager
    /// wrote is then compared by trust-manager's hash alone.
    pub synced: bool,
    /// Sources of certificates; at least one.
    pub sources: Vec<Source>,
    /// The targets. Without them nothing is written, and existing targets are cleaned up.
    pub target: Option<Target>,
}

/// One item of `spec.sources` that has an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Position in `spec.sources`, from 0, for messages.
    pub index: usize,
    pub from: SourceRef,
}

/// The place that a source reads certificates from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceRef {
    /// The default CA package.
    DefaultCas,
    /// A text in the Bundle itself.
    InLine(String),
    /// Objects of the trust namespace.
    Objects { kind: Kind, pick: Pick, keys: Keys },
}

/// The objects that a source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// One object, which must exist.
    Named(ObjectName),
    /// All objects that match, perhaps none.
    Selected(Selector),
}

/// The keys of an object that a source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Every key (`includeAllKeys`).
    All,
    /// One key, which must exist.
    One(DataKey),
}

/// The targets that a bundle is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The ConfigMap, if any.
    pub config_map: Option<Template>,
    /// The Secret, if any. At least one of the two is set.
    pub secret: Option<Template>,
    /// Trust stores in addition to the PEM, in every kind of target.
    pub stores: Vec<Store>,
    /// Selector of the target namespaces.
    pub namespaces: Selector,
}

impl Target {
    /// Returns the template of this kind, if the Bundle asks for it.
    #[must_use]
    pub const fn template(&self, kind: Kind) -> Option<&Template> {
        match kind {
            Kind::ConfigMap => self.config_map.as_ref(),
            Kind::Secret => self.secret.as_ref(),
        }
    }
}

/// The template of the targets of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The key of the PEM text.
    pub key: DataKey,
    /// Labels in addition to trustd's own.
    pub labels: Labels,
    /// Annotations in addition to trustd's own.
    pub annotations: Annotations,
}

/// A requested trust store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A Java key store.
    Jks {
        key: DataKey,
        /// Password, never empty.
        password: String,
    },
    /// A PKCS#12 store.
    Pkcs12 {
        key: DataKey,
        /// Password; empty means neither encryption nor MAC.
        password: String,
        /// Algorithms; `None` means [`Profile::LegacyRc2`].
        profile: Option<Profile>,
    },
}

impl Store {
    /// Returns the key that the store is written to.
    #[must_use]
    pub const fn key(&self) -> &DataKey {
        match self {
            Self::Jks { key, .. } | Self::Pkcs12 { key, .. } => key,
        }
    }
}

/// Algorithms of a PKCS#12 store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Triple DES and SHA-1, for old Java and OpenSSL.
    LegacyDes,
    /// RC2-40 and SHA-1, for the oldest.
    LegacyRc2,
    /// AES-256 and SHA-256.
    Modern2023,
}

impl Profile {
    /// The profile as the API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LegacyDes => "LegacyDES",
            Self::LegacyRc2 => "LegacyRC2",
            Self::Modern2023 => "Modern2023",
        }
    }
}
