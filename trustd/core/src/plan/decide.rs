//! One target: whose is it, is it as it should be, and what follows.

use std::sync::Arc;

use super::{Owner, Ownership, Prepared, Refusal, Seen, Write};
use crate::format::{ANNOTATION_BYTES_MAX, DATA_BYTES_MAX, Rendered};
use crate::names::{BundleName, DataKey, Kind, Namespace};
use crate::spec::Spec;
use crate::world::{Managed, NamespaceState, Observed, OwnerReference};

/// What to do with one target; nothing means: leave it alone.
pub(super) fn decide(
    prepared: &Prepared<'_>,
    kind: Kind,
    namespace: &Namespace,
    state: &NamespaceState,
    observed: Option<&Observed>,
) -> Option<Write> {
    let spec = prepared.spec;
    // A namespace or an object on its way out is nobody's to write; when it is gone, it is absent.
    if state.terminating || observed.is_some_and(|o| o.deleting) {
        return None;
    }
    let owner = owner(&spec.name, observed);
    if prepared.wants(kind, namespace, state) {
        match prepared.rendered(kind).filter(|_| !spec.paused) {
            Some(rendered) => Some(wanted(spec, rendered, owner, observed)),
            None => matches!(owner, Owner::Ours | Owner::Shared).then_some(Write::Keep),
        }
    } else {
        let locked = kind == Kind::Secret && !prepared.settings.secret_targets;
        let allowed = &prepared.settings.target_namespaces;
        let outside = !allowed.is_empty() && !allowed.contains(namespace);
        if spec.paused || locked || outside { None } else { unwanted(spec, owner, observed?) }
    }
}

/// Whose the object is, for the Bundle of this name.
fn owner(bundle: &BundleName, observed: Option<&Observed>) -> Owner {
    let Some(observed) = observed else { return Owner::Absent };
    let labelled = observed.label.as_ref() == Some(bundle);
    let owned = matches!(observed.owner, OwnerReference::Bundle(_));
    let applied = observed.managed.as_ref().is_none_or(|managed| !managed.applied.is_empty());
    if observed.shared && (labelled || owned) {
        Owner::Shared
    } else if owned || (labelled && applied) {
        Owner::Ours
    } else {
        Owner::Foreign
    }
}

fn wanted(
    spec: &Spec,
    rendered: &Arc<Rendered>,
    owner: Owner,
    observed: Option<&Observed>,
) -> Write {
    // What others keep in a shared object counts too; there the server's answer decides.
    let refusal = too_large(rendered).filter(|_| matches!(owner, Owner::Absent | Owner::Ours));
    if let Some(refusal) = refusal {
        return Write::Refuse(refusal);
    }
    let Some(observed) = observed else { return Write::Create(Arc::clone(rendered)) };
    let current = match owner {
        Owner::Ours => owned_by(spec, observed) && is_current(spec, rendered, observed),
        Owner::Shared => {
            !matches!(observed.owner, OwnerReference::Bundle(_))
                && is_current(spec, rendered, observed)
        }
        Owner::Absent | Owner::Foreign => false,
    };
    if current {
        return Write::Keep;
    }
    let ours = owner == Owner::Ours;
    let conflict = conflict(rendered, observed).filter(|_| !ours && !observed.allow_overwrite);
    if let Some(key) = conflict {
        return Write::Refuse(Refusal::Conflict(key.clone()));
    }
    let stays_ours = ours && !others_use(rendered, observed);
    Write::Update {
        seen: seen(observed),
        rendered: Arc::clone(rendered),
        ownership: if stays_ours { Ownership::Ours } else { Ownership::Shared },
        force: ours || observed.allow_overwrite,
        by_patch: by_patch(observed, |key| rendered.data.contains_key(key)),
    }
}

/// Whether others keep data in an object under keys that are not ours to write.
fn others_use(rendered: &Rendered, observed: &Observed) -> bool {
    let is_ours = |key: &DataKey| rendered.data.contains_key(key);
    observed.foreign_keys(&is_ours).into_iter().any(|key| !is_ours(key))
}

/// Whether a target is ours and others keep data in it.
pub(super) fn is_adopted(prepared: &Prepared<'_>, kind: Kind, observed: &Observed) -> bool {
    owner(&prepared.spec.name, Some(observed)) == Owner::Ours
        && prepared.rendered(kind).is_some_and(|rendered| others_use(rendered, observed))
}

/// What follows for an object that should not be there.
fn unwanted(spec: &Spec, owner: Owner, observed: &Observed) -> Option<Write> {
    let target = spec.target.as_ref();
    let was_ours = |key: &DataKey| {
        target.is_some_and(|target| {
            Kind::ALL.into_iter().any(|kind| super::gather::writes(target, kind, key))
        })
    };
    match owner {
        Owner::Absent | Owner::Foreign => None,
        Owner::Shared => release(observed),
        // What the Bundle owned goes with it, by the cluster's garbage collector.
        Owner::Ours if spec.deleting => None,
        Owner::Ours if observed.foreign_keys(&was_ours).is_empty() => {
            Some(Write::Delete(seen(observed)))
        }
        Owner::Ours => release(observed),
    }
}

/// What to do with what a Bundle left behind: no more than taking ours out of what others own.
pub(super) fn orphaned(bundle: &BundleName, observed: &Observed) -> Option<Write> {
    let ours = observed.shared && observed.label.as_ref() == Some(bundle) && !observed.deleting;
    ours.then(|| release(observed)).flatten()
}

/// Gives up what is ours. There is nothing to give up in a copy that somebody made of a target, marks
/// and all.
fn release(observed: &Observed) -> Option<Write> {
    let held = observed.managed.as_ref().is_none_or(Managed::is_held);
    held.then(|| Write::Release { seen: seen(observed), by_patch: ours_alone(observed) })
}

/// Whether the Bundle itself, and not a namesake from before a restore, is the controlling owner.
fn owned_by(spec: &Spec, observed: &Observed) -> bool {
    match (&observed.owner, &spec.uid) {
        (OwnerReference::Bundle(uid), Some(own)) => uid == own,
        // Read from files, a Bundle has no identity to compare.
        (OwnerReference::Bundle(_) | OwnerReference::None, None) => true,
        _ => false,
    }
}

/// Whether keys, values, marks and metadata are what they should be.
fn is_current(spec: &Spec, rendered: &Rendered, observed: &Observed) -> bool {
    observed.label.as_ref() == Some(&spec.name)
        && marks_are_current(spec, rendered, observed)
        && keys_are_current(rendered, observed)
        && values_are_current(rendered, observed)
        && rendered.labels.iter().all(|(key, value)| observed.labels.get(key) == Some(value))
        && rendered
            .annotations
            .iter()
            .all(|(key, value)| observed.annotations.get(key) == Some(value))
}

fn marks_are_current(spec: &Spec, rendered: &Rendered, observed: &Observed) -> bool {
    let hash = observed.hash.as_deref().is_some_and(|hash| rendered.is_hash(hash));
    let content = match &observed.content {
        Some(content) => *content == rendered.content,
        // Written by trust-manager, whose hash does not cover key names and formats: good while
        // its status vouches for it, or where the values themselves are there to be compared.
        None => spec.synced || observed.data.is_some(),
    };
    hash && content
}

/// Whether the keys under our manager are exactly those that should be.
fn keys_are_current(rendered: &Rendered, observed: &Observed) -> bool {
    match (&observed.managed, &observed.data) {
        (Some(managed), _) => {
            let ours = |key| managed.applied.contains(key) || managed.updated.contains(key);
            // What came by an update and is held by others too, they keep.
            let ours_alone = managed.updated.difference(&managed.others);
            let mut held = managed.applied.iter().chain(ours_alone);
            rendered.data.keys().all(ours) && held.all(|key| rendered.data.contains_key(key))
        }
        (None, Some(data)) => rendered.data.keys().all(|key| data.contains_key(key)),
        (None, None) => false,
    }
}

fn values_are_current(rendered: &Rendered, observed: &Observed) -> bool {
    observed.data.as_ref().is_none_or(|data| {
        let same = |key, value: &crate::format::Value| {
            data.get(key).is_some_and(|held| **held == *value.bytes())
        };
        rendered.data.iter().all(|(key, value)| same(key, value))
    })
}

/// A key of ours that another manager alone holds, with another value as far as is known.
///
/// Where only metadata was seen, the value is not known: then the server is asked, by an apply
/// without force.
fn conflict<'r>(rendered: &'r Rendered, observed: &Observed) -> Option<&'r DataKey> {
    let data = observed.data.as_ref()?;
    rendered.data.iter().find_map(|(key, value)| {
        let held = data.get(key)?;
        let theirs = match &observed.managed {
            Some(managed) => !managed.applied.contains(key) && !managed.updated.contains(key),
            None => !observed.shared,
        };
        (theirs && **held != *value.bytes()).then_some(key)
    })
}

fn too_large(rendered: &Rendered) -> Option<Refusal> {
    let data = rendered.data_bytes();
    let annotations = rendered.annotation_bytes();
    if data > DATA_BYTES_MAX {
        Some(Refusal::TooLarge { bytes: data, max: DATA_BYTES_MAX })
    } else if annotations > ANNOTATION_BYTES_MAX {
        Some(Refusal::AnnotationsTooLarge { bytes: annotations, max: ANNOTATION_BYTES_MAX })
    } else {
        None
    }
}

/// Keys of ours that came by an update, but for those that stay.
fn by_patch(observed: &Observed, stays: impl Fn(&DataKey) -> bool) -> Vec<DataKey> {
    let managed = observed.managed.iter();
    let updated = managed.flat_map(|managed| managed.updated.difference(&managed.others));
    updated.filter(|key| !stays(key)).cloned().collect()
}

/// All keys that we hold and nobody else does.
fn ours_alone(observed: &Observed) -> Vec<DataKey> {
    let others = |key: &&DataKey| observed.managed.iter().any(|m| m.others.contains(*key));
    observed.ours().into_iter().filter(|key| !others(key)).cloned().collect()
}

fn seen(observed: &Observed) -> Seen {
    Seen { uid: observed.uid.clone(), resource_version: observed.resource_version.clone() }
}
