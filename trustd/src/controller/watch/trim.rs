//! Trimming of watched objects to what is kept of them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{ObjectMeta, PartialObjectMeta};
use kube::core::DynamicObject;
use serde_json::Value as Json;
use trustd_api::labels;
use trustd_api::object::{self, Object as Whole};
use trustd_core::names::{self, BundleName, FieldManager, Kind, ObjectName};
use trustd_core::world::{NamespaceState, Observed, SourceObject};

/// The key of a watched object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::controller) enum ObjectKey {
    /// A Bundle.
    Bundle(BundleName),
    /// A namespace.
    Namespace(names::Namespace),
    /// An object of the trust namespace.
    Source(Kind, ObjectName),
    /// An object that bears the label of targets.
    Target(Kind, names::Namespace, BundleName),
}

/// A watched object, trimmed.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::controller) enum WatchedObject {
    /// A Bundle.
    Bundle {
        /// The object as it is, without managedFields.
        raw: Arc<Json>,
        /// The field manager that wrote its status last, other than ours.
        status_writer: Option<FieldManager>,
    },
    /// A namespace.
    Namespace(NamespaceState),
    /// A source.
    Source(Box<SourceObject>),
    /// A target, by its metadata.
    Target(Box<Observed>),
    /// A source that no Bundle reads, without its data.
    Withheld(Box<SourceObject>),
}

/// A Bundle is kept raw: whether it is valid is not for a watch to say.
pub(super) fn bundle(mut bundle: DynamicObject) -> (ObjectKey, Option<WatchedObject>) {
    let status_writer = status_writer(bundle.metadata.managed_fields.take());
    let name = BundleName::from(bundle.metadata.name.as_deref().unwrap_or_default());
    // An object that came out of JSON goes back into it.
    let raw = serde_json::to_value(&bundle).ok().map(Arc::new);
    (ObjectKey::Bundle(name), raw.map(|raw| WatchedObject::Bundle { raw, status_writer }))
}

/// The newest entry for the status of an object that is not ours.
fn status_writer(entries: Option<Vec<ManagedFieldsEntry>>) -> Option<FieldManager> {
    let of_status = entries.into_iter().flatten().filter(|entry| {
        entry.subresource.as_deref() == Some("status")
            && entry.manager.as_deref() != Some(labels::FIELD_MANAGER)
    });
    let newest = of_status.max_by(|one, other| one.time.cmp(&other.time))?;
    newest.manager.as_deref().map(FieldManager::from)
}

pub(super) fn namespace(
    PartialObjectMeta { metadata, .. }: PartialObjectMeta<Namespace>,
) -> (ObjectKey, Option<WatchedObject>) {
    // The phase is not in the metadata; a namespace on its way out has a deletionTimestamp as well.
    let (name, state) = object::namespace(&Namespace { metadata, ..Namespace::default() });
    (ObjectKey::Namespace(name), Some(WatchedObject::Namespace(state)))
}

pub(super) fn source(object: &Whole<'_>) -> (ObjectKey, Option<WatchedObject>) {
    let (name, source) = object.source();
    (ObjectKey::Source(object.kind(), name), Some(WatchedObject::Source(Box::new(source))))
}

/// Targets of one kind.
pub(super) fn target<K>(
    kind: Kind,
) -> impl Fn(PartialObjectMeta<K>) -> (ObjectKey, Option<WatchedObject>) + Send + 'static {
    move |object| {
        let metadata = object.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default().into();
        let bundle = metadata.name.as_deref().unwrap_or_default().into();
        let observed = observed(metadata);
        (
            ObjectKey::Target(kind, namespace, bundle),
            Some(WatchedObject::Target(Box::new(observed))),
        )
    }
}

/// Trims the metadata of a target.
pub(in crate::controller) fn observed(mut metadata: ObjectMeta) -> Observed {
    if let Some(annotations) = &mut metadata.annotations {
        // As large as the object itself, and never asked for by a template.
        annotations.remove(LAST_APPLIED);
    }
    object::observed(&metadata)
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
