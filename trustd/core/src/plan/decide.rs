//! One target: whose is it, is it as it should be, and what follows.

use std::sync::Arc;

use super::{Owner, Ownership, PatchRemovals, Prepared, Refusal, Seen, Write, is_placeholder};
use crate::format::{ANNOTATION_BYTES_MAX, DATA_BYTES_MAX, Rendered, Value};
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
    let owner = owner(spec, observed);
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

/// Whose the object is, for this Bundle, whose name it bears.
pub(super) fn owner(spec: &Spec, observed: Option<&Observed>) -> Owner {
    let Some(observed) = observed else { return Owner::Absent };
    let labelled = observed.label.as_ref() == Some(&spec.name);
    let owned = matches!(observed.owner, OwnerReference::Bundle(_));
    let applied = observed.managed.as_ref().is_none_or(|managed| !managed.applied.is_empty());
    if observed.shared {
        if labelled || owned { Owner::Shared } else { Owner::Foreign }
    } else if owned || labelled && applied || observed.known || is_on_record(spec, observed) {
        Owner::Ours
    } else {
        Owner::Foreign
    }
}

/// Whether managedFields still say that an object is ours, whose label and owner reference are gone: our
/// applies hold its key, or at least the hash, and others hold no key that we would not write.
///
/// Where they hold our key beside us it may be a shared object whose owner took the marks out.
fn is_on_record(spec: &Spec, observed: &Observed) -> bool {
    let Some(managed) = observed.managed.as_ref().filter(|managed| managed.any_applied) else {
        return false;
    };
    let holds_key = !managed.applied.is_empty() && managed.others.is_empty();
    let is_ours = |key: &DataKey| writes(spec, key);
    holds_key
        || observed.hash.is_some()
            && managed.applied.is_empty()
            && managed.others.iter().all(is_ours)
}

/// Whether a Bundle writes this key to targets of either kind.
fn writes(spec: &Spec, key: &DataKey) -> bool {
    spec.target.as_ref().is_some_and(|target| {
        Kind::ALL.into_iter().any(|kind| super::gather::writes(target, kind, key))
    })
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
                && !observed.co_owned
                && is_current(spec, rendered, observed)
        }
        Owner::Absent | Owner::Foreign => false,
    };
    if current {
        return Write::Keep;
    }
    let ours = owner == Owner::Ours;
    let may_overwrite = ours || observed.allow_overwrite;
    let binary = binary(rendered, observed);
    if let Some(refusal) = taken(rendered, observed, &binary).filter(|_| !may_overwrite) {
        return Write::Refuse(refusal);
    }
    let stays_ours = ours && !others_use(rendered, observed);
    Write::Update {
        seen: Seen::of(observed),
        rendered: Arc::clone(rendered),
        ownership: if stays_ours { Ownership::Ours } else { Ownership::Shared },
        force: may_overwrite || fills(rendered, observed),
        by_patch: PatchRemovals {
            keys: by_patch(observed, |key| rendered.data.contains_key(key)),
            binary,
            owner: !(stays_ours && owned_by(spec, observed)) && owner_stays(observed),
        },
    }
}

/// Keys of ours that should hold text, and where a binary value stands that no apply replaces.
fn binary(rendered: &Rendered, observed: &Observed) -> Vec<DataKey> {
    let is_text =
        |value: &Value| matches!(value, Value::Text(_)) && rendered.kind == Kind::ConfigMap;
    let texts = rendered.data.iter().filter(|(_, value)| is_text(value));
    texts.map(|(key, _)| key).filter(|key| observed.binary.contains(*key)).cloned().collect()
}

/// Whether the object has an owner reference to the Bundle, or to a namesake of it, that an apply
/// without it would leave there.
fn owner_stays(observed: &Observed) -> bool {
    (matches!(observed.owner, OwnerReference::Bundle(_)) || observed.co_owned)
        && !observed.managed.as_ref().is_some_and(|managed| managed.owner_applied)
}

/// Why our keys are not to be had without the leave of whoever holds them.
fn taken(rendered: &Rendered, observed: &Observed, binary: &[DataKey]) -> Option<Refusal> {
    let binary = binary.first().cloned().map(Refusal::Binary);
    binary.or_else(|| conflict(rendered, observed).cloned().map(Refusal::Conflict))
}

/// Whether one of our keys holds nothing but a placeholder, as far as is known.
fn fills(rendered: &Rendered, observed: &Observed) -> bool {
    observed.data.as_ref().is_some_and(|data| {
        let held = rendered.data.keys().filter_map(|key| data.get(key));
        held.into_iter().any(|held| is_placeholder(held))
    })
}

/// Whether others keep data in an object under keys that are not ours to write.
fn others_use(rendered: &Rendered, observed: &Observed) -> bool {
    let is_ours = |key: &DataKey| rendered.data.contains_key(key);
    observed.foreign_keys(&is_ours).into_iter().any(|key| !is_ours(key))
}

/// Whether a target is ours and others keep data in it.
pub(super) fn is_adopted(prepared: &Prepared<'_>, kind: Kind, observed: &Observed) -> bool {
    owner(prepared.spec, Some(observed)) == Owner::Ours
        && prepared.rendered(kind).is_some_and(|rendered| others_use(rendered, observed))
}

/// What follows for an object that should not be there.
fn unwanted(spec: &Spec, owner: Owner, observed: &Observed) -> Option<Write> {
    let was_ours = |key: &DataKey| writes(spec, key);
    match owner {
        Owner::Absent | Owner::Foreign => None,
        Owner::Shared => release(observed),
        // What the Bundle owned goes with it, by the cluster's garbage collector.
        Owner::Ours if spec.deleting => None,
        Owner::Ours if observed.foreign_keys(&was_ours).is_empty() => {
            Some(Write::Delete(Seen::of(observed)))
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
    held.then(|| Write::Release {
        seen: Seen::of(observed),
        by_patch: PatchRemovals {
            keys: ours_alone(observed),
            binary: Vec::new(),
            owner: owner_stays(observed),
        },
    })
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
    let digest = match &observed.digest {
        Some(digest) => *digest == rendered.digest,
        // Written by trust-manager, whose hash does not cover key names and formats: good while
        // its status vouches for it, or where the values themselves are there to be compared.
        None => spec.synced || observed.data.is_some(),
    };
    hash && digest
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
        let same = |key, value: &Value| data.get(key).is_some_and(|held| **held == *value.bytes());
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
        (theirs && **held != *value.bytes() && !is_placeholder(held)).then_some(key)
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
