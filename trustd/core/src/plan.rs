//! The planner: which targets to write, and how, so that the cluster matches a Bundle's spec.
//!
//! Pure: the same spec, world and time give the same plan, in the same order. The unit is one
//! target, (Bundle, kind, namespace). Targets are planned independently of each other, so a failing
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

/// The writes for one Bundle, and everything that its status reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub bundle: BundleName,
    /// The content of its targets. While that is blocked, targets keep what they have.
    pub content: BundleContent,
    /// True if the Bundle asks for Secret targets and they are disabled.
    pub secrets_off: bool,
    pub paused: bool,
    /// Number of targets that should exist.
    pub desired: usize,
    /// Steps, sorted by kind and namespace. A target without a step is left alone.
    pub steps: Vec<Step>,
}

/// The reason for which a Bundle has no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// A cycle: the Bundle reads, directly or through others, its own output. The Bundles on the
    /// cycle, beginning with itself.
    Ring(Vec<BundleName>),
    /// Problems of its sources, in the order of `spec.sources`.
    Sources(Vec<SourceProblem>),
    /// Trust stores that trustd cannot write yet, by their keys.
    Stores(Vec<DataKey>),
}

/// The decision for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub kind: Kind,
    /// The target's namespace; the target's name is the Bundle's.
    pub namespace: Namespace,
    pub write: Write,
}

/// A decision about a target, before it is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Creates the missing object. An object that the API server turns out to hold nevertheless is
    /// [`Owner::Foreign`].
    Create(Arc<Rendered>),
    /// Deletes an object of ours that is no longer wanted and in which others keep no data.
    Delete(Seen),
    /// Leaves the object as it is: it is up to date, or the desired content is not known now.
    Keep,
    /// Rejects the write, because a retry would not help.
    Refuse(Refusal),
    /// Removes our fields from an object that is no longer wanted and that others use too.
    Release {
        seen: Seen,
        /// Keys that only we manage, and the owner reference if it is ours. An apply without these
        /// keys would leave behind those that an Update under our field manager wrote, and with the
        /// last applied key it would remove fields that no manager is on record for.
        by_patch: PatchRemovals,
    },
    /// Applies the desired content over an object that differs from it.
    Update {
        seen: Seen,
        rendered: Arc<Rendered>,
        ownership: Ownership,
        /// Forces the apply, so that conflicting fields of other managers are overwritten.
        force: bool,
        /// Fields to remove that an apply would leave behind.
        by_patch: PatchRemovals,
    },
}

/// Fields to remove by JSON patch (RFC 6902): server-side apply removes only fields that its own
/// entry in managedFields holds, not those that an Update under our field manager wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchRemovals {
    /// Keys that an Update under our field manager wrote.
    pub keys: Vec<DataKey>,
    /// Keys of ours below `binaryData`. The API server rejects the same key below `data`.
    pub binary: Vec<DataKey>,
    /// Removes owner references to the Bundle, or to a namesake from before a restore.
    pub owner: bool,
}

impl PatchRemovals {
    /// Returns true if there is nothing to remove.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.binary.is_empty() && !self.owner
    }
}

/// The version of an object that a decision was based on; writes carry it as preconditions, so that
/// a newer version, or another object of the same name, is not hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `metadata.uid`; `None` if the object was read from a file.
    pub uid: Option<Uid>,
    /// `metadata.resourceVersion`; `None` if the object was read from a file.
    pub resource_version: Option<ResourceVersion>,
}

impl Seen {
    /// Returns the version of `observed`.
    #[must_use]
    pub fn of(observed: &Observed) -> Self {
        Self { uid: observed.uid.clone(), resource_version: observed.resource_version.clone() }
    }
}

/// The ownership of a target after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ownership {
    /// Owned by the Bundle, and garbage collected with it.
    Ours,
    /// Owned by somebody else, with keys of ours in it; marked as shared and never deleted by us.
    Shared,
}

/// The ownership of an object, as observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// No such object exists.
    Absent,
    /// Owned by somebody else, and never written by us.
    Foreign,
    /// Owned by the Bundle.
    Ours,
    /// Owned by somebody else, with keys of ours in it.
    Shared,
}

/// The reason for which a target is not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another manager holds our key below `binaryData`, where no text can be applied over it.
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
    AnnotationsTooLarge { bytes: usize, max: usize },
    /// Annotations that, together with those of other managers, exceed the API server's limit.
    #[error(
        "its annotations, {ours} bytes of the Bundle and those that others keep in the object, are \
         more than the {max} that the API server takes"
    )]
    AnnotationsTooLargeTogether {
        /// Bytes of the Bundle's own annotations.
        ours: usize,
        /// The limit on all annotations of the object.
        max: usize,
    },
    /// The API server takes no request, or stores no object, of this size.
    #[error(
        "the API server does not take it, with {data} bytes of data and all that others keep in it"
    )]
    RequestTooLarge {
        /// Bytes of the Bundle's own data.
        data: usize,
    },
    /// More data than the API server takes.
    #[error("its data is {bytes} bytes, and the API server takes {max}")]
    TooLarge { bytes: usize, max: usize },
    /// Data that, together with that of other managers, exceeds the API server's limit.
    #[error(
        "its data, {ours} bytes of the Bundle and what others keep in the object, is more than the \
         {max} bytes that the API server takes"
    )]
    TooLargeTogether {
        /// Bytes of the Bundle's own data.
        ours: usize,
        /// The limit on all data of the object.
        max: usize,
    },
}

impl Refusal {
    /// Returns true if the content is too large, which no retry cures.
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

/// Plans one Bundle over all namespaces.
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
                // Others' data in our targets is not touched, but the author should know about it.
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

/// Decides about an object with the label of a Bundle that no longer exists. Objects that the
/// Bundle owned are left to the cluster's garbage collector.
#[must_use]
pub fn orphaned(bundle: &BundleName, observed: &Observed) -> Option<Write> {
    decide::orphaned(bundle, observed)
}

/// Returns the ownership of an object that has the Bundle's name.
#[must_use]
pub fn owner(spec: &Spec, observed: &Observed) -> Owner {
    decide::owner(spec, Some(observed))
}

/// Returns true if a value under our key is a placeholder, such as GitOps tools commit for a value
/// that is filled in later: only whitespace and comments.
///
/// Any other text is somebody's data, perhaps a password under a key that was chosen by mistake. So
/// is a certificate that was commented out.
#[must_use]
pub fn is_placeholder(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let is_empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    text.lines().all(is_empty) && !text.to_ascii_uppercase().contains("BEGIN")
}

/// The content of a Bundle's targets, the same for all of them. It is built once, and kept until
/// one of its inputs changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleContent {
    /// The reason for which no content could be built, if any.
    pub blocked: Option<Blocked>,
    /// The certificates, and those that were left out.
    pub certificates: TrustBundle,
    /// Identity of the default CA package, if the Bundle uses it.
    pub default_cas: Option<Arc<str>>,
    /// Hints for the author of the Bundle.
    pub notes: Vec<Note>,
    /// The desired content per kind, for kinds whose content is known and may be written.
    pub rendered: BTreeMap<Kind, Arc<Rendered>>,
    /// Time of the next build without a watch event: a certificate expires and will be filtered.
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
            // The status names what filters dropped: that may be the reason for an empty bundle.
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
            // No partial content: a target without its Java store would break the pods that mount
            // it.
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

/// A Bundle with its content, from which single targets are planned.
#[derive(Debug)]
pub struct Prepared<'w> {
    spec: &'w Spec,
    settings: &'w Settings,
    content: Arc<BundleContent>,
}

impl<'w> Prepared<'w> {
    /// Builds the content of a Bundle.
    #[must_use]
    pub fn new(spec: &'w Spec, world: &'w World, now: Timestamp) -> Self {
        Self::of(spec, &world.settings, Arc::new(BundleContent::new(spec, world, now)))
    }

    /// Reuses content that was built before from the same spec and settings.
    #[must_use]
    pub const fn of(spec: &'w Spec, settings: &'w Settings, content: Arc<BundleContent>) -> Self {
        Self { spec, settings, content }
    }

    #[must_use]
    pub const fn content(&self) -> &Arc<BundleContent> {
        &self.content
    }

    /// Returns true if the Bundle's writes are paused by annotation.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.spec.paused
    }

    /// Returns the desired content of targets of `kind`; `None` if the Bundle does not ask for
    /// them, must not write them, or has no content.
    #[must_use]
    pub fn rendered(&self, kind: Kind) -> Option<&Arc<Rendered>> {
        self.content.rendered.get(&kind)
    }

    /// Returns true if a kept target of `kind` counts as synced: the desired content is known, and
    /// writes are not paused.
    #[must_use]
    pub fn is_judged(&self, kind: Kind) -> bool {
        !self.spec.paused && self.content.rendered.contains_key(&kind)
    }

    /// Returns true if a target of `kind` should exist in this namespace.
    #[must_use]
    pub fn wants(&self, kind: Kind, namespace: &Namespace, state: &NamespaceState) -> bool {
        let allowed = &self.settings.target_namespaces;
        // A Bundle that is being deleted wants no targets, so its shared targets are released.
        !self.spec.deleting
            && !state.terminating
            && (allowed.is_empty() || allowed.contains(namespace))
            && self.spec.target.as_ref().is_some_and(|target| {
                target.template(kind).is_some() && target.namespaces.matches(&state.labels)
            })
    }

    /// Plans one target; `None` leaves it alone.
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

    /// Returns true if a target is ours and others keep data in it: their data would be garbage
    /// collected with the Bundle. The next write that is due anyway marks the target as shared.
    #[must_use]
    pub fn is_adopted(&self, kind: Kind, observed: &Observed) -> bool {
        decide::is_adopted(self, kind, observed)
    }

    /// Returns the plan with these steps.
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

    /// Returns true if the Bundle asks for Secret targets and they are disabled.
    #[must_use]
    pub fn secrets_off(&self) -> bool {
        let wants_secrets = self.spec.target.as_ref().is_some_and(|t| t.secret.is_some());
        wants_secrets && !self.settings.secret_targets
    }
}
