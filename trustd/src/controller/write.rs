//! Writes: one target at a time, with a [`Leadership`] in hand, exactly as the plan says and onto
//! no other object than the one that was seen.
//!
//! Requests are made by hand: the data of a target is serialised once per content, and answers are
//! asked for as metadata only. Nothing is tried twice here; whoever asked decides what follows.

mod body;
mod error;
mod request;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use kube::api::ObjectMeta;
use serde_json::{Value as Json, json};
use trustd_api::labels;
use trustd_api::object;
use trustd_core::names::DataKey;
use trustd_core::plan::{Ownership, PatchRemovals, Seen, Write, is_placeholder};
use trustd_core::spec::Spec;
use trustd_core::world::Observed;

pub(super) use body::Body;
pub(super) use error::{Consequence, Large, WriteError};
pub(super) use request::{ApiClient, ApiResponse};

use super::lease::Leadership;
use super::queue::TargetRef;
use super::watch::observed;

#[cfg(test)]
mod tests;

/// A write to be carried out.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// The target.
    pub(super) unit: TargetRef,
    pub(super) write: Write,
    /// The metadata that an apply of ours carries: of a target that is ours, and of a shared one.
    pub(super) metadata: Option<TargetMetadata>,
    /// The serialised data.
    pub(super) body: Option<Arc<Body>>,
}

/// The metadata of a target, for either way in which it may be held.
#[derive(Clone, Debug)]
pub(super) struct TargetMetadata {
    ours: Box<ObjectMeta>,
    shared: Box<ObjectMeta>,
}

impl TargetMetadata {
    /// Those of this target.
    pub(super) fn new(
        spec: &Spec,
        unit: &TargetRef,
        rendered: &trustd_core::format::Rendered,
    ) -> Self {
        let of = |ownership| {
            Box::new(object::target_metadata(spec, &unit.namespace, rendered, ownership))
        };
        Self { ours: of(Ownership::Ours), shared: of(Ownership::Shared) }
    }
}

/// The outcome of a write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum WriteOutcome {
    /// The object is as it was to be, and looks like this.
    Applied(Box<Observed>),
    /// There is no object any more.
    Absent,
    /// The object was read, and nothing was to be written.
    Read(Box<Observed>),
    /// This object stands where none was expected, so nothing was written.
    Conflicting(Box<Observed>),
}

/// Carries out writes.
#[derive(Clone)]
pub(super) struct Writer {
    api: ApiClient,
}

impl Writer {
    /// A writer that sends its requests here.
    pub(super) const fn new(api: ApiClient) -> Self {
        Self { api }
    }

    /// Carries out one write.
    ///
    /// # Errors
    /// When it was not carried out, or nobody knows whether it was.
    pub(super) async fn carry_out(
        &self,
        job: &Job,
        leadership: &Leadership,
    ) -> Result<WriteOutcome, WriteError> {
        match &job.write {
            Write::Create(_) => self.create(job, leadership).await,
            Write::Update { seen, ownership, force, by_patch, .. } => {
                let seen = match self.remove_by_patch(job, seen, by_patch, leadership).await? {
                    Removal::Removed(seen) => seen,
                    Removal::Superseded(succeeded) => return Ok(succeeded),
                };
                let apply = Apply { seen: Some(&seen), ownership: *ownership, force: *force };
                let answer = match self.apply(job, &apply, leadership).await {
                    Err(fault) if !force && fault.is_conflict_over_data() => {
                        self.fill(job, &apply, fault, leadership).await?
                    }
                    answered => answered?,
                };
                Ok(WriteOutcome::Applied(Box::new(answer.observed())))
            }
            Write::Delete(seen) => self.delete(job, seen, leadership).await,
            Write::Release { seen, by_patch } => {
                self.release(job, seen, by_patch, leadership).await
            }
            Write::Keep | Write::Refuse(_) => Err(WriteError::Nothing),
        }
    }

    /// First contact: looks, applies without force, and steps back where it met somebody after all.
    async fn create(&self, job: &Job, leadership: &Leadership) -> Result<WriteOutcome, WriteError> {
        if let Some(met) = self.look(&job.unit).await? {
            return Ok(WriteOutcome::Conflicting(Box::new(met.observed())));
        }
        // Without force, so that an object which another client creates between the GET and this
        // apply is not overwritten where it holds our keys.
        let apply = Apply { seen: None, ownership: Ownership::Ours, force: false };
        let made = self.apply(job, &apply, leadership).await?;
        let observed = made.observed();
        let others = observed.managed.as_ref().is_some_and(|managed| !managed.others.is_empty());
        if made.status == StatusCode::CREATED && !others {
            return Ok(WriteOutcome::Applied(Box::new(observed)));
        }
        // Somebody was quicker: it is theirs, and our owner reference must not take it down with
        // us.
        let seen = made.seen();
        let apply = Apply { seen: Some(&seen), ownership: Ownership::Shared, force: false };
        let shared = self.apply(job, &apply, leadership).await?;
        Ok(WriteOutcome::Applied(Box::new(shared.observed())))
    }

    /// The metadata of the target as it is now, if it is there.
    async fn look(&self, unit: &TargetRef) -> Result<Option<ApiResponse>, WriteError> {
        match self.api.get(unit, WRITE_TIMEOUT).await {
            Ok(answer) => Ok(Some(answer)),
            Err(fault) if fault.is_not_found() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Reads the object at the place of a target.
    ///
    /// # Errors
    ///
    /// If the server does not answer.
    pub(super) async fn look_again(
        &self,
        unit: &TargetRef,
    ) -> Result<Option<Observed>, WriteError> {
        Ok(self.look(unit).await?.map(|answer| answer.observed()))
    }

    /// The target with its values.
    ///
    /// # Errors
    /// When it is not there, or the server does not say.
    pub(super) async fn read(&self, unit: &TargetRef) -> Result<Observed, WriteError> {
        self.api.get_whole(unit, WRITE_TIMEOUT).await
    }

    /// Applies by force where others hold our keys with nothing but placeholders; otherwise the
    /// conflict stays one.
    async fn fill(
        &self,
        job: &Job,
        apply: &Apply<'_>,
        conflict: WriteError,
        leadership: &Leadership,
    ) -> Result<ApiResponse, WriteError> {
        let Write::Update { rendered, .. } = &job.write else { return Err(conflict) };
        let found = self.read(&job.unit).await?;
        let held = |key: &DataKey| found.data.as_ref()?.get(key);
        let free = |key: &DataKey| held(key).is_none_or(|value| is_placeholder(value));
        let same = apply.seen.is_some_and(|seen| seen.uid == found.uid);
        if !same || !rendered.data.keys().all(free) {
            return Err(conflict);
        }
        // The version that was read, so that nothing but the placeholder is overwritten.
        let seen = Seen { uid: found.uid, resource_version: found.resource_version };
        let apply = Apply { seen: Some(&seen), ownership: apply.ownership, force: true };
        self.apply(job, &apply, leadership).await
    }

    async fn apply(
        &self,
        job: &Job,
        apply: &Apply<'_>,
        leadership: &Leadership,
    ) -> Result<ApiResponse, WriteError> {
        let (Some(metadata), Some(body)) = (&job.metadata, &job.body) else {
            return Err(WriteError::Nothing);
        };
        let metadata = match apply.ownership {
            Ownership::Ours => &metadata.ours,
            Ownership::Shared => &metadata.shared,
        };
        let body = match apply.seen {
            None => body.with(metadata),
            Some(seen) => body.with(&pinned(metadata.as_ref().clone(), seen)),
        };
        let permit = leadership.permit(WRITE_TIMEOUT)?;
        self.api.apply(&job.unit, body?, apply.force, &permit).await
    }

    /// Deletes what a fresh look shows to be empty but for what is ours; takes ours out of the
    /// rest.
    async fn delete(
        &self,
        job: &Job,
        seen: &Seen,
        leadership: &Leadership,
    ) -> Result<WriteOutcome, WriteError> {
        let Some(fresh) = self.look(&job.unit).await? else { return Ok(WriteOutcome::Absent) };
        // The cache may lag behind: a key that another client added a moment ago must not be
        // deleted with the object.
        let observed = fresh.observed();
        let others = observed.managed.as_ref().is_some_and(|managed| !managed.others.is_empty());
        if observed.uid != seen.uid || observed.shared || others {
            return Ok(WriteOutcome::Conflicting(Box::new(observed)));
        }
        let permit = leadership.permit(WRITE_TIMEOUT)?;
        // Both preconditions: the UID alone would allow to delete a later version with data of
        // others.
        let preconditions = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {
                "uid": observed.uid.as_ref().map(ToString::to_string),
                "resourceVersion": observed.resource_version.as_ref().map(ToString::to_string),
            },
        });
        match self.api.delete(&job.unit, &preconditions, &permit).await {
            Ok(()) => Ok(WriteOutcome::Absent),
            Err(fault) if fault.is_not_found() => Ok(WriteOutcome::Absent),
            Err(fault) => Err(fault),
        }
    }

    /// Takes out by a patch what an apply would leave behind, if there is anything.
    async fn remove_by_patch(
        &self,
        job: &Job,
        seen: &Seen,
        by_patch: &PatchRemovals,
        leadership: &Leadership,
    ) -> Result<Removal, WriteError> {
        if by_patch.is_empty() {
            return Ok(Removal::Removed(seen.clone()));
        }
        // A fresh look, for the patch must know where each field stands.
        let Some(fresh) = self.look(&job.unit).await? else {
            return Ok(Removal::Superseded(WriteOutcome::Absent));
        };
        if fresh.seen().uid != seen.uid {
            return Ok(Removal::Superseded(WriteOutcome::Conflicting(Box::new(fresh.observed()))));
        }
        let stays = match &job.write {
            Write::Update { ownership: Ownership::Ours, .. } => job.metadata.as_ref(),
            _ => None,
        };
        let patch = removal(&fresh.metadata, by_patch, stays.map(|metadata| &*metadata.ours));
        let permit = leadership.permit(WRITE_TIMEOUT)?;
        Ok(Removal::Removed(self.api.patch(&job.unit, &patch, &permit).await?.seen()))
    }

    /// Gives up every field of ours, and with a patch those keys that an apply would leave behind.
    async fn release(
        &self,
        job: &Job,
        seen: &Seen,
        by_patch: &PatchRemovals,
        leadership: &Leadership,
    ) -> Result<WriteOutcome, WriteError> {
        let version = match self.remove_by_patch(job, seen, by_patch, leadership).await? {
            Removal::Removed(seen) => seen,
            Removal::Superseded(succeeded) => return Ok(succeeded),
        };
        let mut bare = ObjectMeta {
            name: Some(job.unit.bundle.to_string()),
            namespace: Some(job.unit.namespace.to_string()),
            ..ObjectMeta::default()
        };
        // Name, namespace and uid only: with the uid a deleted object is not created again.
        bare.uid = version.uid.as_ref().map(ToString::to_string);
        bare.resource_version = version.resource_version.as_ref().map(ToString::to_string);
        let body = Body::empty(job.unit.kind).with(&bare)?;
        let permit = leadership.permit(WRITE_TIMEOUT)?;
        match self.api.apply(&job.unit, body, true, &permit).await {
            Ok(answer) => Ok(WriteOutcome::Applied(Box::new(answer.observed()))),
            Err(fault) if fault.is_not_found() => Ok(WriteOutcome::Absent),
            Err(fault) => Err(fault),
        }
    }
}

/// The result of removing fields by patch.
enum Removal {
    /// The fields are no longer in the object, which has this version now.
    Removed(Seen),
    /// The object is not the one that was seen.
    Superseded(WriteOutcome),
}

/// The options of an apply.
struct Apply<'s> {
    /// The object that must still be there; none where nothing is expected.
    seen: Option<&'s Seen>,
    ownership: Ownership,
    force: bool,
}

/// Metadata that no other object, and no other version of this one, answers to.
fn pinned(mut metadata: ObjectMeta, seen: &Seen) -> ObjectMeta {
    metadata.uid = seen.uid.as_ref().map(ToString::to_string);
    metadata.resource_version = seen.resource_version.as_ref().map(ToString::to_string);
    metadata
}

/// A JSON patch that takes these fields out of an object at this version, but for the owner
/// reference in `stays`.
fn removal(metadata: &ObjectMeta, by_patch: &PatchRemovals, stays: Option<&ObjectMeta>) -> Json {
    let test = json!({
        "op": "test", "path": "/metadata/resourceVersion", "value": metadata.resource_version,
    });
    let held = |part: &str, key: &DataKey, by_us: bool| {
        let field = format!("f:{key}");
        metadata.managed_fields.iter().flatten().any(|entry| {
            (!by_us || entry.manager.as_deref() == Some(labels::FIELD_MANAGER))
                && entry.fields_v1.as_ref().is_some_and(|fields| {
                    fields.0.get(format!("f:{part}")).is_some_and(|held| held.get(&field).is_some())
                })
        })
    };
    let remove = |part: &str, key: &DataKey| {
        let pointer = key.as_str().replace('~', "~0").replace('/', "~1");
        json!({ "op": "remove", "path": format!("/{part}/{pointer}") })
    };
    let mut patch = vec![test];
    for key in &by_patch.keys {
        let parts = ["data", "binaryData"].into_iter().filter(|part| held(part, key, true));
        patch.extend(parts.map(|part| remove(part, key)));
    }
    let taken = by_patch.binary.iter().filter(|key| held("binaryData", key, false));
    patch.extend(taken.map(|key| remove("binaryData", key)));
    if by_patch.owner {
        patch.extend(owner_removal(metadata, stays));
    }
    Json::Array(patch)
}

/// The part of a patch that takes out owner references to Bundles of the object's name.
fn owner_removal(metadata: &ObjectMeta, stays: Option<&ObjectMeta>) -> Vec<Json> {
    let kept = stays.iter().filter_map(|stays| stays.owner_references.as_ref()).flatten();
    let kept: Vec<&str> = kept.map(|reference| reference.uid.as_str()).collect();
    let references = metadata.owner_references.iter().flatten().enumerate();
    let mut going: Vec<(usize, &str)> = references
        .filter(|(_, reference)| object::is_namesake(metadata, reference))
        .map(|(at, reference)| (at, reference.uid.as_str()))
        .filter(|(_, uid)| !kept.contains(uid))
        .collect();
    // From the end, so that the places of the others stay.
    going.reverse();
    going
        .into_iter()
        .flat_map(|(at, uid)| {
            let path = format!("/metadata/ownerReferences/{at}");
            [
                json!({ "op": "test", "path": format!("{path}/uid"), "value": uid }),
                json!({ "op": "remove", "path": path }),
            ]
        })
        .collect()
}

impl ApiResponse {
    /// The object as the answer shows it.
    pub(super) fn observed(&self) -> Observed {
        observed(self.metadata.clone())
    }

    fn seen(&self) -> Seen {
        Seen {
            uid: self.metadata.uid.as_deref().map(Into::into),
            resource_version: self.metadata.resource_version.as_deref().map(Into::into),
        }
    }
}

/// The time limit of one write, here and at the server. The lease must last longer.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
