//! The planner: what to write where, so that the world becomes what a Bundle asks for.
//!
//! Pure: the same spec, world and time give the same plan, in the same order. The unit is one
//! target, (Bundle, kind, namespace); what one target gets never depends on another, so a failing
//! namespace cannot hold up the rest, and a change in one namespace is planned alone
//! ([`Prepared::decide`]).

mod decide;
mod dependents;
mod gather;
mod rings;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bundle::TrustBundle;
use crate::format::{self, Rendered};
use crate::names::{BundleName, DataKey, Kind, Namespace, ResourceVersion, Uid};
use crate::spec::{Spec, Target};
use crate::time::Timestamp;
use crate::world::{NamespaceState, Observed, Settings, Targets, World};

pub use dependents::{Change, Work, dependents, reads};
pub use gather::{Note, SourceProblem};
pub use rings::rings;

#[cfg(test)]
mod tests;

/// What to do for one Bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The Bundle.
    pub bundle: BundleName,
    /// The content of its targets. While that is blocked, targets keep what they have.
    pub content: BundleContent,
    /// Whether the Bundle wants Secrets and they are switched off.
    pub secrets_off: bool,
    /// Whether the Bundle's writes are paused.
    pub paused: bool,
    /// How many targets there should be.
    pub desired: usize,
    /// What to do, sorted by kind and namespace. A target that is not listed is left alone.
    pub steps: Vec<Step>,
}

/// Why a Bundle has no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// It reads what it helps to write: the Bundles on the ring, beginning with itself.
    Ring(Vec<BundleName>),
    /// Its sources, in their order.
    Sources(Vec<SourceProblem>),
    /// It asks for stores that trustd cannot write yet, under these keys.
    Stores(Vec<DataKey>),
}

/// What to do with one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The target's kind.
    pub kind: Kind,
    /// The target's namespace; its name is the Bundle's.
    pub namespace: Namespace,
    /// What to do.
    pub write: Write,
}

/// What to do with a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// There is none: make one. What a look at the server finds instead is [`Owner::Foreign`].
    Create(Arc<Rendered>),
    /// It is ours and no longer wanted, and holds nothing of others.
    Delete(Seen),
    /// It is as it should be, or its content is not known at present.
    Keep,
    /// It cannot be written, and trying would not help.
    Refuse(Refusal),
    /// It is no longer wanted and others use it too: take out what is ours.
    Release {
        /// What was seen.
        seen: Seen,
        /// The keys that are ours alone, and perhaps the owner reference. An apply without the keys
        /// would leave those behind that were written by an update under our name, and with the last
        /// of them take along what nobody is on record for.
        by_patch: PatchRemovals,
    },
    /// It is there and not as it should be.
    Update {
        /// What was seen.
        seen: Seen,
        /// What it should hold.
        rendered: Arc<Rendered>,
        /// Whose it is after the write.
        ownership: Ownership,
        /// Whether fields of other managers are overwritten.
        force: bool,
        /// What it should not hold and an apply would leave behind.
        by_patch: PatchRemovals,
    },
}

/// What a JSON patch takes out of an object because server-side apply leaves it there: fields that
/// another entry of managedFields holds than that of our applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchRemovals {
    /// Keys of ours that were written by an update under our name.
    pub keys: Vec<DataKey>,
    /// Keys of ours below `binaryData`. The API server takes no text under such a key.
    pub binary: Vec<DataKey>,
    /// Whether owner references to the Bundle, or to a namesake from before a restore, go.
    pub owner: bool,
}

impl PatchRemovals {
    /// Whether there is nothing to take out.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.binary.is_empty() && !self.owner
    }
}

/// The object that a decision is about, so that no other one is hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its identity, where a server gave it one.
    pub uid: Option<Uid>,
    /// Its version, likewise.
    pub resource_version: Option<ResourceVersion>,
}

impl Seen {
    /// The version that was seen.
    #[must_use]
    pub fn of(observed: &Observed) -> Self {
        Self { uid: observed.uid.clone(), resource_version: observed.resource_version.clone() }
    }
}

/// Whose a target is after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ownership {
    /// The Bundle's: it goes when the Bundle goes.
    Ours,
    /// Somebody else's, with keys of ours in it; marked as shared and never deleted by us.
    Shared,
}

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// There is no object.
    Absent,
    /// Somebody else's, and we have not been there.
    Foreign,
    /// The Bundle's.
    Ours,
    /// Somebody else's, with keys of ours in it.
    Shared,
}

/// Why a target is not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another manager holds our key as a binary value, in whose place no text can be applied.
    #[error(
        "key \"{0}\" holds another manager's binary value (binaryData); remove it there, or allow \
         it to be overwritten with the annotation trust.cert-manager.io/allow-overwrite: \"true\""
    )]
    Binary(DataKey),
    /// Another manager holds our key with another value.
    #[error(
        "key \"{0}\" holds another manager's value; remove it there, or allow it to be overwritten \
         with the annotation trust.cert-manager.io/allow-overwrite: \"true\""
    )]
    Conflict(DataKey),
    /// Another manager holds labels, annotations or several fields of ours with other values. The
    /// fields as the API server names them, such as `.metadata.labels.team`.
    #[error(
        "{0} is held by another manager with another value; remove it there, or allow it to be \
         overwritten with the annotation trust.cert-manager.io/allow-overwrite: \"true\""
    )]
    Held(String),
    /// More annotations than the API server takes.
    #[error("its annotations are {bytes} bytes, and the API server takes {max}")]
    AnnotationsTooLarge {
        /// How many bytes it would be.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// More annotations than the API server takes, with those that others keep in the object.
    #[error(
        "its annotations, {ours} bytes of the Bundle and those that others keep in the object, are \
         more than the {max} that the API server takes"
    )]
    AnnotationsTooLargeTogether {
        /// How many bytes are the Bundle's.
        ours: usize,
        /// How many there may be in all.
        max: usize,
    },
    /// The server takes no request, or stores no object, of this size.
    #[error(
        "the API server does not take it, with {data} bytes of data and all that others keep in it"
    )]
    RequestTooLarge {
        /// How many bytes of data are the Bundle's.
        data: usize,
    },
    /// More data than the API server takes.
    #[error("its data is {bytes} bytes, and the API server takes {max}")]
    TooLarge {
        /// How many bytes it would be.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// More data than the API server takes, with that which others keep in the object.
    #[error(
        "its data, {ours} bytes of the Bundle and what others keep in the object, is more than the \
         {max} bytes that the API server takes"
    )]
    TooLargeTogether {
        /// How many bytes are the Bundle's.
        ours: usize,
        /// How many there may be in all.
        max: usize,
    },
}

impl Refusal {
    /// Whether the content is too large, which no retry cures.
    #[must_use]
    pub const fn is_size(&self) -> bool {
        match self {
            Self::AnnotationsTooLarge { .. }
            | Self::AnnotationsTooLargeTogether { .. }
            | Self::RequestTooLarge { .. }
            | Self::TooLarge { .. }
            | Self::TooLargeTogether { .. } => true,
            Self::Binary(_) | Self::Conflict(_) | Self::Held(_) => false,
        }
    }
}

/// Plans one Bundle over the whole world.
#[must_use]
pub fn plan(spec: &Spec, world: &World, now: Timestamp) -> Plan {
    let prepared = Prepared::new(spec, world, now);
    let none = Targets::new();
    let targets = world.targets.get(&spec.name).unwrap_or(&none);
    let mut steps = Vec::new();
    let mut adopted = Vec::new();
    let mut desired = 0;
    for kind in Kind::ALL {
        for (namespace, state) in &world.namespaces {
            desired += usize::from(prepared.wants(kind, namespace, state));
            let observed = targets.get(&(kind, namespace.clone()));
            if let Some(write) = prepared.decide(kind, namespace, state, observed) {
                if write == Write::Keep && observed.is_some_and(|o| prepared.is_adopted(kind, o)) {
                    adopted.push(Note::Adopted { kind, namespace: namespace.clone() });
                }
                steps.push(Step { kind, namespace: namespace.clone(), write });
            }
        }
    }
    let mut plan = prepared.into_plan(steps, desired);
    plan.content.notes.append(&mut adopted);
    plan
}

/// What to do with an object that bears the label of a Bundle which is not there any more. What the
/// Bundle owned is left to the cluster's garbage collector.
#[must_use]
pub fn orphaned(bundle: &BundleName, observed: &Observed) -> Option<Write> {
    decide::orphaned(bundle, observed)
}

/// Whose an object of a Bundle's name is.
#[must_use]
pub fn owner(spec: &Spec, observed: &Observed) -> Owner {
    decide::owner(spec, Some(observed))
}

/// Whether a value under our key waits to be filled, as one that a GitOps tool keeps in its place:
/// nothing but blanks and comments.
///
/// Any other text is somebody's data, a password perhaps under a key that was chosen by mistake, and so
/// is a certificate that was commented out.
#[must_use]
pub fn is_placeholder(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let is_empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    text.lines().all(is_empty) && !text.to_ascii_uppercase().contains("BEGIN")
}

/// The content of a Bundle's targets, the same for all of them. It is computed once and kept for as long
/// as its inputs stay the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleContent {
    /// Why no content could be made, if so.
    pub blocked: Option<Blocked>,
    /// The certificates, and what was left out of them.
    pub certificates: TrustBundle,
    /// Identity of the default CA package, where the Bundle uses it.
    pub default_cas: Option<Arc<str>>,
    /// What its author may want to know.
    pub notes: Vec<Note>,
    /// What targets of each kind should hold, as far as that is known and may be written.
    pub rendered: BTreeMap<Kind, Arc<Rendered>>,
    /// When to make it again although nothing changed: a certificate expires and will be filtered.
    pub again_at: Option<Timestamp>,
}

impl BundleContent {
    /// Gathers the sources and renders the content.
    #[must_use]
    pub fn new(spec: &Spec, world: &World, now: Timestamp) -> Self {
        let settings = &world.settings;
        let mut content = Self::default();
        if let Some(ring) = world.rings.get(&spec.name) {
            content.blocked = Some(Blocked::Ring(ring.clone()));
            return content;
        }
        let gathered = gather::gather(spec, world, now);
        content.notes = gathered.notes;
        content.default_cas = gathered.default_cas;
        if !gathered.problems.is_empty() {
            // What was left out may be why nothing is left.
            content.certificates = gathered.certificates.without_members();
            content.blocked = Some(Blocked::Sources(gathered.problems));
            return content;
        }
        if settings.filters.expired {
            content.again_at = gathered.certificates.next_expiry(now).map(Timestamp::next);
        }
        content.certificates = gathered.certificates;
        if let Some(target) = &spec.target {
            content.render(target, settings);
        }
        content
    }

    fn render(&mut self, target: &Target, settings: &Settings) {
        let unsupported = format::unsupported(target);
        if !unsupported.is_empty() {
            let keys = unsupported.into_iter().cloned().collect();
            self.blocked = Some(Blocked::Stores(keys));
            return;
        }
        let pem: Arc<str> = self.certificates.to_pem().into();
        for kind in Kind::ALL {
            let may = kind != Kind::Secret || settings.secret_targets;
            let rendered = Rendered::new(kind, target, &pem).filter(|_| may);
            self.rendered.extend(rendered.map(|rendered| (kind, Arc::new(rendered))));
        }
    }
}

/// A Bundle with its content, ready for its targets to be planned one by one.
#[derive(Debug)]
pub struct Prepared<'w> {
    spec: &'w Spec,
    settings: &'w Settings,
    content: Arc<BundleContent>,
}

impl<'w> Prepared<'w> {
    /// Makes the content of a Bundle.
    #[must_use]
    pub fn new(spec: &'w Spec, world: &'w World, now: Timestamp) -> Self {
        Self::of(spec, &world.settings, Arc::new(BundleContent::new(spec, world, now)))
    }

    /// Takes content that was made before, of the same spec and settings.
    #[must_use]
    pub const fn of(spec: &'w Spec, settings: &'w Settings, content: Arc<BundleContent>) -> Self {
        Self { spec, settings, content }
    }

    /// The content.
    #[must_use]
    pub const fn content(&self) -> &Arc<BundleContent> {
        &self.content
    }

    /// Whether the Bundle's writes are paused.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.spec.paused
    }

    /// What targets of `kind` should hold, where the Bundle wants them, may have them, and its
    /// content is known.
    #[must_use]
    pub fn rendered(&self, kind: Kind) -> Option<&Arc<Rendered>> {
        self.content.rendered.get(&kind)
    }

    /// Whether a target of `kind` that is to be kept can be compared with what it should hold: the
    /// content is known, and writes are not paused.
    #[must_use]
    pub fn is_judged(&self, kind: Kind) -> bool {
        !self.spec.paused && self.content.rendered.contains_key(&kind)
    }

    /// Whether there should be a target of `kind` in this namespace.
    #[must_use]
    pub fn wants(&self, kind: Kind, namespace: &Namespace, state: &NamespaceState) -> bool {
        let allowed = &self.settings.target_namespaces;
        !self.spec.deleting
            && !state.terminating
            && (allowed.is_empty() || allowed.contains(namespace))
            && self.spec.target.as_ref().is_some_and(|target| {
                target.template(kind).is_some() && target.namespaces.matches(&state.labels)
            })
    }

    /// Plans one target. Nothing means: leave it alone.
    #[must_use]
    pub fn decide(
        &self,
        kind: Kind,
        namespace: &Namespace,
        state: &NamespaceState,
        observed: Option<&Observed>,
    ) -> Option<Write> {
        decide::decide(self, kind, namespace, state, observed)
    }

    /// Whether a target is ours and others keep data in it: it would go with the Bundle, and takes
    /// the mark of a shared object with the next write that is due anyway.
    #[must_use]
    pub fn is_adopted(&self, kind: Kind, observed: &Observed) -> bool {
        decide::is_adopted(self, kind, observed)
    }

    /// The plan with these steps.
    #[must_use]
    pub fn into_plan(self, steps: Vec<Step>, desired: usize) -> Plan {
        let secrets_off = self.secrets_off();
        Plan {
            bundle: self.spec.name.clone(),
            content: Arc::unwrap_or_clone(self.content),
            secrets_off,
            paused: self.spec.paused,
            desired,
            steps,
        }
    }

    /// Whether the Bundle wants Secrets and they are switched off.
    #[must_use]
    pub fn secrets_off(&self) -> bool {
        let wants_secrets = self.spec.target.as_ref().is_some_and(|t| t.secret.is_some());
        wants_secrets && !self.settings.secret_targets
    }
}
