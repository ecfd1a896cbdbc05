//! What a Bundle asks for, checked: a [`Spec`] can be planned as it stands.
//!
//! Its only maker outside of tests is `trustd-api`, which reads a raw Bundle and names every field
//! that is wrong.

use crate::names::{BundleName, DataKey, Kind, ObjectName, Uid};
use crate::selector::{Labels, Selector};

/// Annotations of an object.
pub type Annotations = Labels;

/// A valid Bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name, which its targets bear too.
    pub name: BundleName,
    /// Its identity; unknown where it was read from a file that no server has seen.
    pub uid: Option<Uid>,
    /// Whether it is being deleted: then nothing is created or updated for it.
    pub deleting: bool,
    /// Whether its writes are paused (annotation `trust.cert-manager.io/paused`).
    pub paused: bool,
    /// Whether its status says that its present generation has been synced. Then a target that
    /// trust-manager wrote is judged by trust-manager's hash alone.
    pub synced: bool,
    /// Where certificates come from; at least one.
    pub sources: Vec<Source>,
    /// Where they go. Without it nothing is written, and what was is cleaned up.
    pub target: Option<Target>,
}

/// One item of `spec.sources` that has an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its position in `spec.sources`, from 0, for messages.
    pub index: usize,
    /// Where to look.
    pub from: SourceRef,
}

/// Where a source takes its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceRef {
    /// The default CA package.
    DefaultCas,
    /// The Bundle itself.
    InLine(String),
    /// Objects of the trust namespace.
    Objects {
        /// Their kind.
        kind: Kind,
        /// Which of them.
        pick: Pick,
        /// Which of their keys.
        keys: Keys,
    },
}

/// Which objects a source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// One, which must be there.
    Named(ObjectName),
    /// All that match, which may be none.
    Selected(Selector),
}

/// Which keys of an object a source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Every key (`includeAllKeys`).
    All,
    /// One, which must be there.
    One(DataKey),
}

/// Where a bundle is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The ConfigMap, if one is wanted.
    pub config_map: Option<Template>,
    /// The Secret, if one is wanted. At least one of the two is.
    pub secret: Option<Template>,
    /// Trust stores beside the PEM, in every kind of target.
    pub stores: Vec<Store>,
    /// Which namespaces get it.
    pub namespaces: Selector,
}

impl Target {
    /// What is wanted of this kind.
    #[must_use]
    pub const fn template(&self, kind: Kind) -> Option<&Template> {
        match kind {
            Kind::ConfigMap => self.config_map.as_ref(),
            Kind::Secret => self.secret.as_ref(),
        }
    }
}

/// What a target of one kind looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The key of the PEM text.
    pub key: DataKey,
    /// Labels that it bears besides trustd's own.
    pub labels: Labels,
    /// Annotations that it bears besides trustd's own.
    pub annotations: Annotations,
}

/// A trust store that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A Java key store.
    Jks {
        /// Its key.
        key: DataKey,
        /// Its password, never empty.
        password: String,
    },
    /// A PKCS#12 store.
    Pkcs12 {
        /// Its key.
        key: DataKey,
        /// Its password; empty means neither encryption nor MAC.
        password: String,
        /// Its algorithms, if the Bundle says; left out means [`Profile::LegacyRc2`].
        profile: Option<Profile>,
    },
}

impl Store {
    /// The key that it is written to.
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
