//! Newtypes of names, so that a namespace is never passed where a key is meant.
//!
//! Names are not validated here, but where objects come in (`trustd-api`), so that errors can name
//! a field path.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a Bundle; its targets bear the same name.
    BundleName
}
name! {
    /// The name of a namespace.
    Namespace
}
name! {
    /// The name of a ConfigMap or Secret in the trust namespace.
    ObjectName
}
name! {
    /// A key below `data` or `binaryData` of a ConfigMap or Secret.
    DataKey
}
name! {
    /// The identity of an object, assigned by the API server (`metadata.uid`).
    Uid
}
name! {
    /// The name of a field manager (`managedFields[].manager`).
    FieldManager
}
name! {
    /// An opaque version of an object (`metadata.resourceVersion`); only equality means anything.
    ResourceVersion
}

/// The kinds of object that sources are read from and targets are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A core/v1 ConfigMap: PEM in `data`, stores in `binaryData`.
    ConfigMap,
    /// A core/v1 Secret: everything in `data`.
    Secret,
}

impl Kind {
    /// Every kind, in the order in which plans list them.
    pub const ALL: [Self; 2] = [Self::ConfigMap, Self::Secret];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        })
    }
}

/// The place of a certificate (or a fault) in the inputs, in words that a user can act on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The default CA package, by its identity (`name-version-hash`).
    DefaultCas { package: Arc<str> },
    /// `spec.sources[index].inLine` of the Bundle itself.
    InLine {
        /// Position in `spec.sources`, from 0.
        index: usize,
    },
    /// A key of an object in the trust namespace.
    Object {
        kind: Kind,
        /// The trust namespace.
        namespace: Namespace,
        name: ObjectName,
        /// The key that held the text.
        key: DataKey,
    },
    /// A file (`trustd inspect`).
    Path {
        /// The path as the user gave it, or `-`.
        path: Arc<str>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultCas { package } => write!(f, "default CA package `{package}`"),
            Self::InLine { index } => write!(f, "spec.sources[{index}].inLine"),
            Self::Object { kind, namespace, name, key } => {
                write!(f, "{kind} {namespace}/{name} at key \"{key}\"")
            }
            Self::Path { path } => write!(f, "{path}"),
        }
    }
}

/// The label that says which Bundle an object is the target of.
pub const BUNDLE_LABEL: &str = "trust.cert-manager.io/bundle";
