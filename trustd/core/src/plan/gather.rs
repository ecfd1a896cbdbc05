//! Collects the certificates of a Bundle from its sources, or everything that is wrong with them.

use std::fmt;
use std::sync::Arc;

use crate::bundle::{Collector, Nature, Rejected, TrustBundle, nature};
use crate::names::{BundleName, DataKey, Kind, Namespace, ObjectName, Origin};
use crate::spec::{Keys, Pick, SourceRef, Spec, Target};
use crate::time::Timestamp;
use crate::world::{DefaultCas, SourceObject, World};

/// A problem with a source of a Bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceProblem {
    /// `includeAllKeys` on a Secret whose type says that it holds a private key.
    #[error(
        "includeAllKeys is not supported for TLS Secrets such as {namespace}/{name}; name a key"
    )]
    AllKeysOfTls { namespace: Namespace, name: ObjectName },
    /// A missing key.
    #[error("no data found in {kind} {namespace}/{name} at key \"{key}\"")]
    KeyNotFound { kind: Kind, namespace: Namespace, name: ObjectName, key: DataKey },
    /// Every source was found, and none holds a certificate.
    #[error("couldn't find any valid certificates in bundle")]
    NoCertificates,
    /// The Bundle uses default CAs, and no package is loaded.
    #[error("spec.sources[{index}]: no default CA package is loaded; default CAs not available")]
    NoDefaultCas {
        /// Position in `spec.sources`.
        index: usize,
    },
    /// A missing object.
    #[error("{kind} {namespace}/{name} not found")]
    ObjectNotFound { kind: Kind, namespace: Namespace, name: ObjectName },
    /// A text that must not be distributed.
    #[error(transparent)]
    Rejected(#[from] Rejected),
}

impl SourceProblem {
    /// Returns true if something is missing rather than wrong.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        !matches!(self, Self::AllKeysOfTls { .. } | Self::Rejected(_))
    }
}

/// A hint for a Bundle's author: no fault, but probably not intended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A target of ours in which others keep data, such as an object that trust-manager adopted.
    Adopted { kind: Kind, namespace: Namespace },
    /// A value without a PEM block among all the keys of an object (`includeAllKeys`), or an empty
    /// default CA package.
    NoPem(Origin),
    /// A selector that no object matches.
    NothingSelected {
        /// Position in `spec.sources`.
        index: usize,
        kind: Kind,
    },
    /// A key that this Bundle itself wrote. It is no source, because a CA that was removed at its
    /// origin would then stay in the bundle for ever.
    OwnTarget(Origin),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopted { kind, namespace } => write!(
                f,
                "others keep data in its {kind} in {namespace}, which would go with the Bundle; it \
                 becomes shared with the next write"
            ),
            Self::NoPem(origin) => write!(f, "{origin} holds no PEM block"),
            Self::NothingSelected { index, kind } => {
                write!(f, "spec.sources[{index}]: its selector matches no {kind}")
            }
            Self::OwnTarget(origin) => {
                write!(f, "{origin} was written by this Bundle and is not read back as a source")
            }
        }
    }
}

/// The result of reading the sources.
pub(super) struct Gathered {
    /// The certificates, and those that were left out.
    pub(super) certificates: TrustBundle,
    /// Problems; if there are any, the certificates are incomplete and not used.
    pub(super) problems: Vec<SourceProblem>,
    pub(super) default_cas: Option<Arc<str>>,
    pub(super) notes: Vec<Note>,
}

/// Reads every source, and collects all problems instead of only the first.
pub(super) fn gather(spec: &Spec, world: &World, now: Timestamp) -> Gathered {
    let mut reader = SourceReader {
        spec,
        world,
        collector: Collector::new(world.settings.filters, now),
        problems: Vec::new(),
        notes: Vec::new(),
    };
    let mut default_cas = None;
    for source in &spec.sources {
        match &source.from {
            SourceRef::DefaultCas => match &world.settings.default_cas {
                None => reader.problems.push(SourceProblem::NoDefaultCas { index: source.index }),
                Some(DefaultCas { identity, pem }) => {
                    default_cas = Some(Arc::clone(identity));
                    let origin = Origin::DefaultCas { package: Arc::clone(identity) };
                    reader.read_any(origin, pem.as_bytes());
                }
            },
            SourceRef::InLine(text) => {
                reader.read_named(&Origin::InLine { index: source.index }, text.as_bytes());
            }
            SourceRef::Objects { kind, pick, keys } => {
                reader.objects(source.index, *kind, pick, keys);
            }
        }
    }
    reader.finish(default_cas)
}

struct SourceReader<'w> {
    spec: &'w Spec,
    world: &'w World,
    collector: Collector,
    problems: Vec<SourceProblem>,
    notes: Vec<Note>,
}

impl<'w> SourceReader<'w> {
    fn objects(&mut self, index: usize, kind: Kind, pick: &Pick, keys: &Keys) {
        let world = self.world;
        match pick {
            Pick::Named(name) => match world.sources.get(&(kind, name.clone())) {
                Some(object) => self.object(kind, name, object, keys),
                None => self.problems.push(SourceProblem::ObjectNotFound {
                    kind,
                    namespace: world.settings.trust_namespace.clone(),
                    name: name.clone(),
                }),
            },
            Pick::Selected(selector) => {
                let mut selected = world
                    .sources
                    .iter()
                    .filter(|((k, _), object)| *k == kind && selector.matches(&object.labels))
                    .peekable();
                if selected.peek().is_none() {
                    self.notes.push(Note::NothingSelected { index, kind });
                }
                for ((_, name), object) in selected {
                    self.object(kind, name, object, keys);
                }
            }
        }
    }

    fn object(&mut self, kind: Kind, name: &ObjectName, object: &'w SourceObject, keys: &Keys) {
        let namespace = self.world.settings.trust_namespace.clone();
        let origin = |key: &DataKey| Origin::Object {
            kind,
            namespace: namespace.clone(),
            name: name.clone(),
            key: key.clone(),
        };
        match keys {
            // `tls.key` is a private key, which no bundle may hold. trust-manager refuses this too.
            Keys::All if object.tls => {
                let name = name.clone();
                self.problems.push(SourceProblem::AllKeysOfTls { namespace, name });
            }
            Keys::All => {
                for (key, text) in &object.data {
                    if let Some(origin) = self.key(origin(key), kind, object, key) {
                        self.read_any(origin, text);
                    }
                }
            }
            Keys::One(key) => match object.data.get(key) {
                Some(text) => {
                    if let Some(origin) = self.key(origin(key), kind, object, key) {
                        self.read_named(&origin, text);
                    }
                }
                None => self.problems.push(SourceProblem::KeyNotFound {
                    kind,
                    namespace,
                    name: name.clone(),
                    key: key.clone(),
                }),
            },
        }
    }

    /// Returns the origin of a key's value; `None` if this Bundle itself wrote it.
    fn key(
        &mut self,
        origin: Origin,
        kind: Kind,
        object: &SourceObject,
        key: &DataKey,
    ) -> Option<Origin> {
        if wrote(self.spec, kind, object, key) {
            self.notes.push(Note::OwnTarget(origin));
            return None;
        }
        Some(origin)
    }

    /// Reads a value in which its author expects certificates.
    fn read_named(&mut self, origin: &Origin, text: &[u8]) {
        if let Err(rejected) = self.collector.add_named(origin, text) {
            self.problems.extend(rejected.into_iter().map(Into::into));
        }
    }

    /// Reads a value that may hold certificates. A certificate in DER is only reported:
    /// trust-manager ignores it, so reading it would make the bundles of the two differ.
    fn read_any(&mut self, origin: Origin, text: &[u8]) {
        match self.collector.add(&origin, text) {
            Ok(0) if nature(text) == Nature::DerCertificate => {
                self.collector.report_none(&origin, Nature::DerCertificate);
            }
            Ok(0) => self.notes.push(Note::NoPem(origin)),
            Ok(_) => {}
            Err(rejected) => self.problems.extend(rejected.into_iter().map(Into::into)),
        }
    }

    fn finish(self, default_cas: Option<Arc<str>>) -> Gathered {
        let Self { collector, mut problems, mut notes, .. } = self;
        let certificates = collector.finish();
        if problems.is_empty() && certificates.is_empty() {
            problems.push(SourceProblem::NoCertificates);
        }
        notes.sort();
        notes.dedup();
        problems.dedup();
        Gathered { certificates, problems, default_cas, notes }
    }
}

/// Returns true if this Bundle wrote that key of that object, which is then no source of it.
fn wrote(spec: &Spec, kind: Kind, object: &SourceObject, key: &DataKey) -> bool {
    object.target_of.as_ref() == Some(&spec.name)
        && match &object.written {
            Some(written) => written.contains(key),
            // A manifest in a file has no managedFields. A key that the Bundle writes counts as
            // written by it.
            None => spec.target.as_ref().is_some_and(|target| writes(target, kind, key)),
        }
}

/// Returns true if targets of `kind` have `key`.
pub(super) fn writes(target: &Target, kind: Kind, key: &DataKey) -> bool {
    target.template(kind).is_some_and(|template| {
        template.key == *key || target.stores.iter().any(|store| store.key() == key)
    })
}

/// Returns true if `spec` reads an object of this kind, name and labels; a source that names a key
/// reads it if `has_key` returns true for the key.
pub(super) fn reads(
    spec: &Spec,
    kind: Kind,
    name: &BundleName,
    labels: &crate::selector::Labels,
    has_key: &dyn Fn(&DataKey) -> bool,
) -> bool {
    spec.sources.iter().any(|source| match &source.from {
        SourceRef::Objects { kind: k, pick, keys } if *k == kind => {
            let picked = match pick {
                Pick::Named(named) => named.as_str() == name.as_str(),
                Pick::Selected(selector) => selector.matches(labels),
            };
            picked
                && match keys {
                    Keys::All => true,
                    Keys::One(key) => has_key(key),
                }
        }
        _ => false,
    })
}
