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

pub use dependents::{Change, Work, dependents};
pub use gather::{Note, SourceProblem};
pub use rings::rings;

#[cfg(test)]
mod tests;

/// What to do for one Bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The Bundle.
    pub bundle: BundleName,
    /// Why no content could be made, if so. Targets keep what they have.
    pub blocked: Option<Blocked>,
    /// Whether the Bundle wants Secrets and they are switched off.
    pub secrets_off: bool,
    /// Whether the Bundle's writes are paused.
    pub paused: bool,
    /// The certificates, and what was left out of them. Empty where no content could be made.
    pub certificates: TrustBundle,
    /// Identity of the default CA package, where the Bundle uses it.
    pub default_cas: Option<Arc<str>>,
    /// What its author may want to know.
    pub notes: Vec<Note>,
    /// What targets of each kind should hold, as far as that is known and may be written.
    pub rendered: BTreeMap<Kind, Arc<Rendered>>,
    /// How many targets there should be.
    pub desired: usize,
    /// What to do, sorted by kind and namespace. A target that is not listed is left alone.
    pub steps: Vec<Step>,
    /// When to plan again although nothing changed: a certificate expires and will be filtered.
    pub again_at: Option<Timestamp>,
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
        /// The keys that are ours alone. An apply without them would leave those behind that were
        /// written by an update under our name, and with the last of them take along what nobody is
        /// on record for.
        by_patch: Vec<DataKey>,
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
        /// Keys of ours that it should not hold and that an apply would leave behind, for they were
        /// written by an update under our name.
        by_patch: Vec<DataKey>,
    },
}

/// The object that a decision is about, so that no other one is hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its identity, where a server gave it one.
    pub uid: Option<Uid>,
    /// Its version, likewise.
    pub resource_version: Option<ResourceVersion>,
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
    /// Another manager holds our key with another value.
    #[error(
        "key \"{0}\" holds another manager's value; remove it there, or allow it to be overwritten"
    )]
    Conflict(DataKey),
    /// More annotations than the API server takes.
    #[error("its annotations are {bytes} bytes, and the API server takes {max}")]
    AnnotationsTooLarge {
        /// How many bytes it would be.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// More data than the API server takes.
    #[error("its data is {bytes} bytes, and the API server takes {max}")]
    TooLarge {
        /// How many bytes it would be.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
}

impl Refusal {
    /// Whether the content is too large, which no retry cures.
    #[must_use]
    pub const fn is_size(&self) -> bool {
        matches!(self, Self::AnnotationsTooLarge { .. } | Self::TooLarge { .. })
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
    plan.notes.append(&mut adopted);
    plan
}

/// What to do with an object that bears the label of a Bundle which is not there any more. What the
/// Bundle owned is left to the cluster's garbage collector.
#[must_use]
pub fn orphaned(bundle: &BundleName, observed: &Observed) -> Option<Write> {
    decide::orphaned(bundle, observed)
}

/// What a Bundle comes to, whatever its targets are like: made once per content and kept as long as
/// nothing that it was made from changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
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

impl Content {
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
        match gathered.certificates {
            Err(problems) => content.blocked = Some(Blocked::Sources(problems)),
            Ok(certificates) => {
                if settings.filters.expired {
                    content.again_at = certificates.next_expiry(now).map(Timestamp::next);
                }
                content.certificates = certificates;
                if let Some(target) = &spec.target {
                    content.render(target, settings);
                }
            }
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
    content: Arc<Content>,
}

impl<'w> Prepared<'w> {
    /// Makes the content of a Bundle.
    #[must_use]
    pub fn new(spec: &'w Spec, world: &'w World, now: Timestamp) -> Self {
        Self::of(spec, &world.settings, Arc::new(Content::new(spec, world, now)))
    }

    /// Takes content that was made before, of the same spec and settings.
    #[must_use]
    pub const fn of(spec: &'w Spec, settings: &'w Settings, content: Arc<Content>) -> Self {
        Self { spec, settings, content }
    }

    /// The content.
    #[must_use]
    pub const fn content(&self) -> &Arc<Content> {
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
        let content = Arc::unwrap_or_clone(self.content);
        Plan {
            bundle: self.spec.name.clone(),
            blocked: content.blocked,
            secrets_off,
            paused: self.spec.paused,
            certificates: content.certificates,
            default_cas: content.default_cas,
            notes: content.notes,
            rendered: content.rendered,
            desired,
            steps,
            again_at: content.again_at,
        }
    }

    /// Whether the Bundle wants Secrets and they are switched off.
    #[must_use]
    pub fn secrets_off(&self) -> bool {
        let wants_secrets = self.spec.target.as_ref().is_some_and(|t| t.secret.is_some());
        wants_secrets && !self.settings.secret_targets
    }
}
