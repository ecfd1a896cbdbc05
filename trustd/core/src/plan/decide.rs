//! The decision for one target: ownership, comparison with the desired content, and the write.

use std::sync::Arc;

use super::{Owner, Ownership, PatchRemovals, Prepared, Refusal, Seen, Write, is_placeholder};
use crate::format::{ANNOTATION_BYTES_MAX, DATA_BYTES_MAX, Rendered, Value};
use crate::names::{BundleName, DataKey, Kind, Namespace};
use crate::spec::Spec;
use crate::world::{Managed, NamespaceState, Observed, OwnerReference};

/// Decides about one target; `None` leaves it alone.
pub(super) fn decide(
    prepared: &Prepared<'_>,
    kind: Kind,
    namespace: &Namespace,
    state: &NamespaceState,
    observed: Option<&Observed>,
) -> Option<Write> {
    let spec = prepared.spec;
    // The API server rejects creates in a terminating namespace (admission plugin
    // NamespaceLifecycle), and an apply to an object that is being deleted would be lost. The watch
    // event of the deletion plans the target again.
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

/// Returns the ownership of an object that has the name of this Bundle.
pub(super) fn owner(spec: &Spec, observed: Option<&Observed>) -> Owner {
    let Some(observed) = observed else { return Owner::Absent };
    // A label alone proves nothing: people copy objects with `kubectl get -o yaml`, label and all.
    // A copy has no Apply entry of ours in its managedFields.
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

/// Returns true if managedFields still show that an object without label and owner reference is
/// ours: our applies hold its key, or at least the hash, and others hold no key that we would not
/// write.
///
/// If others co-own our key, it may be a shared object whose owner removed the marks.
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

/// Returns true if a Bundle writes this key to targets of either kind.
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
    // In a shared object the data of others counts towards the limit too, and metadata does not
    // show its size. There the API server's answer decides.
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
    // A binary value or a conflict is found before the write, so that the status can name the key.
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

/// Returns our text keys that exist below `binaryData`, where no apply replaces them.
fn binary(rendered: &Rendered, observed: &Observed) -> Vec<DataKey> {
    let is_text =
        |value: &Value| matches!(value, Value::Text(_)) && rendered.kind == Kind::ConfigMap;
    let texts = rendered.data.iter().filter(|(_, value)| is_text(value));
    texts.map(|(key, _)| key).filter(|key| observed.binary.contains(*key)).cloned().collect()
}

/// Returns true if the object has an owner reference to the Bundle, or to a namesake of it, that an
/// apply without it would leave behind.
fn owner_stays(observed: &Observed) -> bool {
    (matches!(observed.owner, OwnerReference::Bundle(_)) || observed.co_owned)
        && !observed.managed.as_ref().is_some_and(|managed| managed.owner_applied)
}

/// Returns the refusal if another manager holds one of our keys.
fn taken(rendered: &Rendered, observed: &Observed, binary: &[DataKey]) -> Option<Refusal> {
    let binary = binary.first().cloned().map(Refusal::Binary);
    binary.or_else(|| conflict(rendered, observed).cloned().map(Refusal::Conflict))
}

/// Returns true if one of our keys is known to hold only a placeholder.
fn fills(rendered: &Rendered, observed: &Observed) -> bool {
    observed.data.as_ref().is_some_and(|data| {
        let held = rendered.data.keys().filter_map(|key| data.get(key));
        held.into_iter().any(|held| is_placeholder(held))
    })
}

/// Returns true if others keep data in an object under keys that are not ours.
fn others_use(rendered: &Rendered, observed: &Observed) -> bool {
    let is_ours = |key: &DataKey| rendered.data.contains_key(key);
    observed.foreign_keys(&is_ours).into_iter().any(|key| !is_ours(key))
}

/// Returns true if a target is ours and others keep data in it.
pub(super) fn is_adopted(prepared: &Prepared<'_>, kind: Kind, observed: &Observed) -> bool {
    owner(prepared.spec, Some(observed)) == Owner::Ours
        && prepared.rendered(kind).is_some_and(|rendered| others_use(rendered, observed))
}

/// Decides about an object that should not exist.
fn unwanted(spec: &Spec, owner: Owner, observed: &Observed) -> Option<Write> {
    let was_ours = |key: &DataKey| writes(spec, key);
    match owner {
        Owner::Absent | Owner::Foreign => None,
        Owner::Shared => release(observed),
        // The garbage collector deletes it by its owner reference. Deleting it here as well would
        // break `kubectl delete --cascade=orphan`, which keeps targets on purpose.
        Owner::Ours if spec.deleting => None,
        Owner::Ours if observed.foreign_keys(&was_ours).is_empty() => {
            Some(Write::Delete(Seen::of(observed)))
        }
        Owner::Ours => release(observed),
    }
}

/// Decides about a target whose Bundle is gone: removes our fields from objects that others own.
pub(super) fn orphaned(bundle: &BundleName, observed: &Observed) -> Option<Write> {
    let ours = observed.shared && observed.label.as_ref() == Some(bundle) && !observed.deleting;
    ours.then(|| release(observed)).flatten()
}

/// Releases our fields. A copy that somebody made of a target, marks included, has none.
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

/// Returns true if the Bundle itself, and not a namesake from before a restore, is the controller
/// (`ownerReferences[].controller`).
fn owned_by(spec: &Spec, observed: &Observed) -> bool {
    match (&observed.owner, &spec.uid) {
        (OwnerReference::Bundle(uid), Some(own)) => uid == own,
        // A Bundle that was read from a file has no uid to compare.
        (OwnerReference::Bundle(_) | OwnerReference::None, None) => true,
        _ => false,
    }
}

/// Returns true if keys, values, marks and metadata match the desired content.
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
        // trust-manager wrote it, whose hash does not cover key names and formats. It is accepted
        // if trust-manager's status says synced, or if the values themselves can be compared.
        None => spec.synced || observed.data.is_some(),
    };
    hash && digest
}

/// Returns true if the keys under our field manager are exactly the desired ones.
fn keys_are_current(rendered: &Rendered, observed: &Observed) -> bool {
    match (&observed.managed, &observed.data) {
        (Some(managed), _) => {
            let ours = |key| managed.applied.contains(key) || managed.updated.contains(key);
            // A key that an Update wrote and that others hold too stays theirs.
            let ours_alone = managed.updated.difference(&managed.others);
            let mut held = managed.applied.iter().chain(ours_alone);
            rendered.data.keys().all(ours) && held.all(|key| rendered.data.contains_key(key))
        }
        (None, Some(data)) => rendered.data.keys().all(|key| data.contains_key(key)),
        (None, None) => false,
    }
}

fn values_are_current(rendered: &Rendered, observed: &Observed) -> bool {
    // Watches of targets fetch metadata only; there the hash annotation stands for the values.
    observed.data.as_ref().is_none_or(|data| {
        let same = |key, value: &Value| data.get(key).is_some_and(|held| **held == *value.bytes());
        rendered.data.iter().all(|(key, value)| same(key, value))
    })
}

/// Returns a key of ours that only another manager holds, with a different value.
///
/// `None` if only metadata was seen. Then an apply without force asks the API server, which answers
/// with a conflict (409) if another manager holds the field with a different value.
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

/// Returns the keys that only an Update of ours holds, except those that stay.
fn by_patch(observed: &Observed, stays: impl Fn(&DataKey) -> bool) -> Vec<DataKey> {
    let managed = observed.managed.iter();
    let updated = managed.flat_map(|managed| managed.updated.difference(&managed.others));
    updated.filter(|key| !stays(key)).cloned().collect()
}

/// Returns the keys that only we manage.
fn ours_alone(observed: &Observed) -> Vec<DataKey> {
    let others = |key: &&DataKey| observed.managed.iter().any(|m| m.others.contains(*key));
    observed.ours().into_iter().filter(|key| !others(key)).cloned().collect()
}
