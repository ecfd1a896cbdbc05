//! Writes: one target at a time, with a [`Leadership`] in hand, exactly as the plan says and onto no
//! other object than the one that was seen.
//!
//! Requests are made by hand: the data of a target is serialised once per content, and answers are
//! asked for as metadata only. Nothing is tried twice here; whoever asked decides what follows.

mod body;
mod fault;
mod request;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use kube::api::ObjectMeta;
use serde_json::{Value as Json, json};
use trustd_api::labels;
use trustd_api::object;
use trustd_core::names::DataKey;
use trustd_core::plan::{Ownership, Seen, Write};
use trustd_core::spec::Spec;
use trustd_core::world::Observed;

pub(super) use body::Body;
pub(super) use fault::{Consequence, Fault};
pub(super) use request::{Answer, Requests};

use super::lease::Leadership;
use super::queue::Unit;
use super::watch::observed;

#[cfg(test)]
mod tests;

/// A write to be carried out.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// The target.
    pub(super) unit: Unit,
    /// What to do with it.
    pub(super) write: Write,
    /// The metadata that an apply of ours carries: of a target that is ours, and of a shared one.
    pub(super) marks: Option<Marks>,
    /// Its data, serialised.
    pub(super) body: Option<Arc<Body>>,
}

/// The metadata of a target, for either way in which it may be held.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    ours: Box<ObjectMeta>,
    shared: Box<ObjectMeta>,
}

impl Marks {
    /// Those of this target.
    pub(super) fn new(spec: &Spec, unit: &Unit, rendered: &trustd_core::format::Rendered) -> Self {
        let of = |ownership| {
            Box::new(object::target_metadata(spec, &unit.namespace, rendered, ownership))
        };
        Self { ours: of(Ownership::Ours), shared: of(Ownership::Shared) }
    }
}

/// What came of a write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Landed {
    /// The object is as it was to be, and looks like this.
    As(Box<Observed>),
    /// There is no object any more.
    Gone,
    /// Nothing was written: where nothing was expected stands this object.
    Met(Box<Observed>),
}

/// Carries out writes.
#[derive(Clone)]
pub(super) struct Writer {
    requests: Requests,
}

impl Writer {
    /// A writer that sends its requests here.
    pub(super) const fn new(requests: Requests) -> Self {
        Self { requests }
    }

    /// Carries out one write.
    ///
    /// # Errors
    /// When it was not carried out, or nobody knows whether it was.
    pub(super) async fn carry_out(
        &self,
        job: &Job,
        leadership: &Leadership,
    ) -> Result<Landed, Fault> {
        match &job.write {
            Write::Create(_) => self.create(job, leadership).await,
            Write::Update { seen, ownership, force, by_patch, .. } => {
                let seen = match self.take_out(job, seen, by_patch, leadership).await? {
                    TakenOut::Of(seen) => seen,
                    TakenOut::Not(landed) => return Ok(landed),
                };
                let apply = Apply { seen: Some(&seen), ownership: *ownership, force: *force };
                let answer = self.apply(job, &apply, leadership).await?;
                Ok(Landed::As(Box::new(answer.observed())))
            }
            Write::Delete(seen) => self.delete(job, seen, leadership).await,
            Write::Release { seen, by_patch } => {
                self.release(job, seen, by_patch, leadership).await
            }
            Write::Keep | Write::Refuse(_) => Err(Fault::Nothing),
        }
    }

    /// First contact: looks, applies without force, and steps back where it met somebody after all.
    async fn create(&self, job: &Job, leadership: &Leadership) -> Result<Landed, Fault> {
        if let Some(met) = self.look(&job.unit).await? {
            return Ok(Landed::Met(Box::new(met.observed())));
        }
        let apply = Apply { seen: None, ownership: Ownership::Ours, force: false };
        let made = self.apply(job, &apply, leadership).await?;
        let observed = made.observed();
        let others = observed.managed.as_ref().is_some_and(|managed| !managed.others.is_empty());
        if made.status == StatusCode::CREATED && !others {
            return Ok(Landed::As(Box::new(observed)));
        }
        // Somebody was quicker: it is theirs, and our owner reference must not take it down with us.
        let seen = made.seen();
        let apply = Apply { seen: Some(&seen), ownership: Ownership::Shared, force: false };
        let shared = self.apply(job, &apply, leadership).await?;
        Ok(Landed::As(Box::new(shared.observed())))
    }

    /// The metadata of the target as it is now, if it is there.
    async fn look(&self, unit: &Unit) -> Result<Option<Answer>, Fault> {
        match self.requests.get(unit, WRITE_TIMEOUT).await {
            Ok(answer) => Ok(Some(answer)),
            Err(fault) if fault.is_not_found() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// What stands at the place of a target now.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub(super) async fn look_again(&self, unit: &Unit) -> Result<Option<Observed>, Fault> {
        Ok(self.look(unit).await?.map(|answer| answer.observed()))
    }

    async fn apply(
        &self,
        job: &Job,
        apply: &Apply<'_>,
        leadership: &Leadership,
    ) -> Result<Answer, Fault> {
        let (Some(marks), Some(body)) = (&job.marks, &job.body) else { return Err(Fault::Nothing) };
        let metadata = match apply.ownership {
            Ownership::Ours => &marks.ours,
            Ownership::Shared => &marks.shared,
        };
        let body = match apply.seen {
            None => body.with(metadata),
            Some(seen) => body.with(&pinned(metadata.as_ref().clone(), seen)),
        };
        let permit = leadership.permit(WRITE_TIMEOUT)?;
        self.requests.apply(&job.unit, body?, apply.force, &permit).await
    }

    /// Deletes what a fresh look shows to be empty but for what is ours; takes ours out of the rest.
    async fn delete(
        &self,
        job: &Job,
        seen: &Seen,
        leadership: &Leadership,
    ) -> Result<Landed, Fault> {
        let Some(fresh) = self.look(&job.unit).await? else { return Ok(Landed::Gone) };
        let observed = fresh.observed();
        let others = observed.managed.as_ref().is_some_and(|managed| !managed.others.is_empty());
        if observed.uid != seen.uid || observed.shared || others {
            return Ok(Landed::Met(Box::new(observed)));
        }
        let permit = leadership.permit(WRITE_TIMEOUT)?;
        let preconditions = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {
                "uid": observed.uid.as_ref().map(ToString::to_string),
                "resourceVersion": observed.resource_version.as_ref().map(ToString::to_string),
            },
        });
        match self.requests.delete(&job.unit, &preconditions, &permit).await {
            Ok(()) => Ok(Landed::Gone),
            Err(fault) if fault.is_not_found() => Ok(Landed::Gone),
            Err(fault) => Err(fault),
        }
    }

    /// Takes out by a patch those keys that an apply would leave behind, if there are any.
    async fn take_out(
        &self,
        job: &Job,
        seen: &Seen,
        keys: &[DataKey],
        leadership: &Leadership,
    ) -> Result<TakenOut, Fault> {
        if keys.is_empty() {
            return Ok(TakenOut::Of(seen.clone()));
        }
        // A fresh look, for the patch must know under which field each key stands.
        let Some(fresh) = self.look(&job.unit).await? else {
            return Ok(TakenOut::Not(Landed::Gone));
        };
        if fresh.seen().uid != seen.uid {
            return Ok(TakenOut::Not(Landed::Met(Box::new(fresh.observed()))));
        }
        let patch = removal(&fresh.metadata, keys);
        let permit = leadership.permit(WRITE_TIMEOUT)?;
        Ok(TakenOut::Of(self.requests.patch(&job.unit, &patch, &permit).await?.seen()))
    }

    /// Gives up every field of ours, and with a patch those keys that an apply would leave behind.
    async fn release(
        &self,
        job: &Job,
        seen: &Seen,
        by_patch: &[DataKey],
        leadership: &Leadership,
    ) -> Result<Landed, Fault> {
        let version = match self.take_out(job, seen, by_patch, leadership).await? {
            TakenOut::Of(seen) => seen,
            TakenOut::Not(landed) => return Ok(landed),
        };
        let mut bare = ObjectMeta {
            name: Some(job.unit.bundle.to_string()),
            namespace: Some(job.unit.namespace.to_string()),
            ..ObjectMeta::default()
        };
        // Name, namespace and uid only: with the uid a vanished object is not made anew.
        bare.uid = version.uid.as_ref().map(ToString::to_string);
        bare.resource_version = version.resource_version.as_ref().map(ToString::to_string);
        let body = Body::empty(job.unit.kind).with(&bare)?;
        let permit = leadership.permit(WRITE_TIMEOUT)?;
        match self.requests.apply(&job.unit, body, true, &permit).await {
            Ok(answer) => Ok(Landed::As(Box::new(answer.observed()))),
            Err(fault) if fault.is_not_found() => Ok(Landed::Gone),
            Err(fault) => Err(fault),
        }
    }
}

/// What came of taking keys out.
enum TakenOut {
    /// They are not in the object any more, which is this one now.
    Of(Seen),
    /// The object is not the one that was seen.
    Not(Landed),
}

/// How to apply.
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

/// A JSON patch that takes out these keys of ours, from an object at this version.
fn removal(metadata: &ObjectMeta, keys: &[DataKey]) -> Json {
    let test = json!({
        "op": "test", "path": "/metadata/resourceVersion", "value": metadata.resource_version,
    });
    let held = |part: &str, key: &DataKey| {
        let field = format!("f:{key}");
        metadata.managed_fields.iter().flatten().any(|entry| {
            entry.manager.as_deref() == Some(labels::FIELD_MANAGER)
                && entry.fields_v1.as_ref().is_some_and(|fields| {
                    fields.0.get(format!("f:{part}")).is_some_and(|held| held.get(&field).is_some())
                })
        })
    };
    let removals = keys.iter().flat_map(|key| {
        ["data", "binaryData"].into_iter().filter(move |part| held(part, key)).map(move |part| {
            let pointer = key.as_str().replace('~', "~0").replace('/', "~1");
            json!({ "op": "remove", "path": format!("/{part}/{pointer}") })
        })
    });
    Json::Array(std::iter::once(test).chain(removals).collect())
}

impl Answer {
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

/// How long one write may take, here and at the server. The lease must last longer.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
