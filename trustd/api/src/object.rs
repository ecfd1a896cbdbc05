//! Conversions between Kubernetes objects and the planner's values.
//!
//! Reading reduces an object to what planning needs; writing produces the fields that trustd
//! applies, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    ManagedFieldsEntry, ObjectMeta, OwnerReference,
};
use serde_json::Value as Json;
use trustd_core::format::{Rendered, Value};
use trustd_core::names::{
    self, BundleName, DataKey, FieldManager, Kind, ObjectName, ResourceVersion, Uid,
};
use trustd_core::plan::Ownership;
use trustd_core::selector::Labels;
use trustd_core::spec::Spec;
use trustd_core::world::{self, Managed, NamespaceState, Observed, SourceObject};

use crate::labels;

/// The values of an object by key.
type Data = BTreeMap<DataKey, Arc<[u8]>>;

/// Reduces a namespace to what planning needs.
#[must_use]
pub fn namespace(object: &Namespace) -> (names::Namespace, NamespaceState) {
    let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
    // Objects in files may have only one of the two fields.
    let state = NamespaceState {
        labels: map(object.metadata.labels.as_ref()),
        terminating: object.metadata.deletion_timestamp.is_some() || phase == Some("Terminating"),
    };
    (names::Namespace::from(name(&object.metadata)), state)
}

/// A ConfigMap or a Secret.
#[derive(Clone, Copy, Debug)]
pub enum Object<'o> {
    /// A ConfigMap.
    ConfigMap(&'o ConfigMap),
    /// A Secret, whose `stringData` has been folded into `data`.
    Secret(&'o Secret),
}

impl<'o> Object<'o> {
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::ConfigMap(_) => Kind::ConfigMap,
            Self::Secret(_) => Kind::Secret,
        }
    }

    #[must_use]
    pub const fn metadata(&self) -> &'o ObjectMeta {
        match self {
            Self::ConfigMap(object) => &object.metadata,
            Self::Secret(object) => &object.metadata,
        }
    }

    /// Returns the object as a source.
    #[must_use]
    pub fn source(&self) -> (ObjectName, SourceObject) {
        let metadata = self.metadata();
        let labels = map(metadata.labels.as_ref());
        let managed = managed(metadata.managed_fields.as_deref());
        let source = SourceObject {
            target_of: labels.get(labels::BUNDLE_LABEL).map(|name| name.as_str().into()),
            labels,
            tls: matches!(self, Self::Secret(s) if s.type_.as_deref() == Some(TLS_SECRET)),
            data: self.data(),
            written: managed.map(|managed| {
                managed.applied.into_iter().chain(managed.updated).collect::<BTreeSet<_>>()
            }),
        };
        (ObjectName::from(name(metadata)), source)
    }

    /// Returns the object as a target, with its values.
    #[must_use]
    pub fn observed(&self) -> Observed {
        let observed = observed(self.metadata());
        let applied = |key: &DataKey| observed.managed.iter().any(|m| m.applied.contains(key));
        let binary = match self {
            Self::ConfigMap(object) => object.binary_data.iter().flatten(),
            Self::Secret(_) => None.iter().flatten(),
        };
        let binary = binary.map(|(key, _)| DataKey::from(key.as_str()));
        let binary = binary.filter(|key| !applied(key)).collect();
        Observed { data: Some(self.data()), binary, ..observed }
    }

    fn data(&self) -> Data {
        let bytes = |(key, ByteString(bytes)): (&String, &ByteString)| {
            (DataKey::from(key.as_str()), Arc::from(bytes.as_slice()))
        };
        match self {
            Self::ConfigMap(object) => {
                let binary = object.binary_data.iter().flatten().map(bytes);
                let text =
                    object.data.iter().flatten().map(|(key, text)| {
                        (DataKey::from(key.as_str()), Arc::from(text.as_bytes()))
                    });
                // `data` comes last, and so takes precedence over `binaryData`.
                binary.chain(text).collect()
            }
            Self::Secret(object) => object.data.iter().flatten().map(bytes).collect(),
        }
    }
}

/// Reduces a target's metadata to what planning needs. The values of the target are not in it.
#[must_use]
pub fn observed(metadata: &ObjectMeta) -> Observed {
    let own_labels = map(metadata.labels.as_ref());
    let annotations = map(metadata.annotations.as_ref());
    let is_on = |key: &str| annotations.get(key).is_some_and(|value| value == labels::ON);
    Observed {
        uid: metadata.uid.as_deref().map(Uid::from),
        resource_version: metadata.resource_version.as_deref().map(ResourceVersion::from),
        deleting: metadata.deletion_timestamp.is_some(),
        label: own_labels.get(labels::BUNDLE_LABEL).map(|name| BundleName::from(name.as_str())),
        hash: annotations.get(labels::HASH_ANNOTATION).cloned(),
        digest: annotations.get(labels::CONTENT_ANNOTATION).cloned(),
        shared: is_on(labels::SHARED_ANNOTATION),
        allow_overwrite: is_on(labels::ALLOW_OVERWRITE_ANNOTATION),
        owner: owner(metadata),
        co_owned: is_co_owned(metadata),
        known: false,
        binary: binary(metadata),
        managed: Some(metadata).and_then(|metadata| {
            let managed = managed(metadata.managed_fields.as_deref())?;
            Some(Managed { owner_applied: is_owner_applied(metadata), ..managed })
        }),
        labels: own_labels,
        annotations,
        data: None,
    }
}

/// Returns the controlling owner reference, as far as it matters.
fn owner(metadata: &ObjectMeta) -> world::OwnerReference {
    let references = metadata.owner_references.iter().flatten();
    let mut controlling = references.filter(|reference| reference.controller == Some(true));
    let Some(reference) = controlling.next() else { return world::OwnerReference::None };
    if is_namesake(metadata, reference) {
        world::OwnerReference::Bundle(Uid::from(reference.uid.as_str()))
    } else {
        world::OwnerReference::OtherController
    }
}

/// Returns true if an owner reference other than the controlling one points to a Bundle of the
/// object's name. The garbage collector deletes an object once all of its owners are gone.
fn is_co_owned(metadata: &ObjectMeta) -> bool {
    let mut references = metadata.owner_references.iter().flatten();
    references
        .any(|reference| reference.controller != Some(true) && is_namesake(metadata, reference))
}

/// Returns true if an owner reference points to a Bundle of the object's own name.
#[must_use]
pub fn is_namesake(metadata: &ObjectMeta, reference: &OwnerReference) -> bool {
    // The version is not compared: a Bundle is the same object in every version of its API.
    let group = reference.api_version.split_once('/').map(|(group, _)| group);
    group == Some(labels::GROUP)
        && reference.kind == labels::KIND
        && Some(&reference.name) == metadata.name.as_ref()
}

/// Returns true if our Apply entry holds the owner references to the Bundle and no other entry
/// does.
fn is_owner_applied(metadata: &ObjectMeta) -> bool {
    let references = metadata.owner_references.iter().flatten();
    references.filter(|reference| is_namesake(metadata, reference)).all(|reference| {
        // managedFields name an item of a list of type `map` by its key, as JSON (`FieldsV1`):
        // https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/
        let item = format!("k:{{\"uid\":\"{}\"}}", reference.uid);
        let entries = metadata.managed_fields.iter().flatten();
        let mut holders = entries.filter(|entry| {
            let fields = entry.fields_v1.as_ref();
            let held =
                fields.and_then(|fields| fields.0.get("f:metadata")?.get("f:ownerReferences"));
            held.is_some_and(|held| held.get(&item).is_some())
        });
        holders.next().is_some_and(is_our_apply) && holders.next().is_none()
    })
}

/// Returns true if an entry of managedFields belongs to our server-side applies.
fn is_our_apply(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(labels::FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Apply")
}

/// The keys below `binaryData` that others hold, or we by an update.
fn binary(metadata: &ObjectMeta) -> BTreeSet<DataKey> {
    let entries = metadata.managed_fields.iter().flatten();
    let fields = entries.filter(|entry| !is_our_apply(entry)).filter_map(|e| e.fields_v1.as_ref());
    fields.flat_map(|fields| keys_below(&fields.0, "f:binaryData")).collect()
}

/// The data keys that an entry holds in this part of an object.
fn keys_below<'f>(fields: &'f Json, part: &str) -> impl Iterator<Item = DataKey> + 'f {
    let held = fields.get(part).and_then(Json::as_object).into_iter().flatten();
    // `.` stands for the map itself, and has no prefix `f:`.
    held.filter_map(|(key, _)| key.strip_prefix("f:")).map(DataKey::from)
}

/// Reads who manages the data keys, or `None` if the object has no managedFields.
fn managed(entries: Option<&[ManagedFieldsEntry]>) -> Option<Managed> {
    let mut managed = Managed::default();
    let (mut our_time, mut other_time) = (None, None);
    for entry in entries.filter(|entries| !entries.is_empty())? {
        let ours = entry.manager.as_deref() == Some(labels::FIELD_MANAGER);
        managed.any |= ours;
        // Times have a resolution of a second, so entries of the same second count as newer.
        let time = entry.time.as_ref();
        if ours {
            // Times have a resolution of one second, so a tie counts as newer (`>=` below).
            our_time = our_time.max(time);
        } else if let Some(manager) = &entry.manager
            && (managed.other.is_none() || time >= other_time)
        {
            managed.other = Some(FieldManager::from(manager.as_str()));
            other_time = time;
        }
        let applied = is_our_apply(entry);
        managed.any_applied |= applied;
        let keys = match (ours, applied) {
            (true, true) => &mut managed.applied,
            (true, false) => &mut managed.updated,
            (false, _) => &mut managed.others,
        };
        let Some(fields) = &entry.fields_v1 else { continue };
        // The API server moves `stringData` into `data`, but records a manager that applied it
        // under `f:stringData` only.
        for part in ["f:data", "f:binaryData", "f:stringData"] {
            keys.extend(keys_below(&fields.0, part));
        }
    }
    managed.other_is_newest = managed.other.is_some() && other_time >= our_time;
    Some(managed)
}

/// The object that trustd applies to a target: a ConfigMap or a Secret with only trustd's own
/// fields.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// A ConfigMap.
    ConfigMap(ConfigMap),
    /// A Secret.
    Secret(Secret),
}

/// The object that trustd applies for `spec` in this namespace.
#[must_use]
pub fn applied(
    spec: &Spec,
    namespace: &names::Namespace,
    rendered: &Rendered,
    ownership: Ownership,
) -> Applied {
    with_metadata(rendered, target_metadata(spec, namespace, rendered, ownership))
}

/// The data that every target of this content holds, with this metadata.
#[must_use]
pub fn with_metadata(rendered: &Rendered, metadata: ObjectMeta) -> Applied {
    let bytes = |value: &Value| ByteString(value.bytes().to_vec());
    match rendered.kind {
        Kind::ConfigMap => {
            let mut object = ConfigMap { metadata, ..ConfigMap::default() };
            for (key, value) in &rendered.data {
                let key = key.to_string();
                match value {
                    Value::Text(text) => {
                        object.data.get_or_insert_default().insert(key, text.as_ref().to_owned());
                    }
                    Value::Bytes(_) => {
                        object.binary_data.get_or_insert_default().insert(key, bytes(value));
                    }
                }
            }
            Applied::ConfigMap(object)
        }
        Kind::Secret => {
            let data = rendered.data.iter().map(|(key, value)| (key.to_string(), bytes(value)));
            Applied::Secret(Secret { metadata, data: Some(data.collect()), ..Secret::default() })
        }
    }
}

/// The metadata that trustd applies to a target.
#[must_use]
pub fn target_metadata(
    spec: &Spec,
    namespace: &names::Namespace,
    rendered: &Rendered,
    ownership: Ownership,
) -> ObjectMeta {
    // Our own label comes last: a template must not take a target out of our watch.
    let mut own_labels = rendered.labels.clone();
    own_labels.insert(labels::BUNDLE_LABEL.to_owned(), spec.name.to_string());
    let mut annotations = rendered.annotations.clone();
    annotations.insert(labels::HASH_ANNOTATION.to_owned(), rendered.hash.clone());
    annotations.insert(labels::CONTENT_ANNOTATION.to_owned(), rendered.digest.clone());
    let owner_references = match ownership {
        // A Bundle from a file has no uid, and an owner reference requires one.
        Ownership::Ours => spec.uid.as_ref().map(|uid| vec![owner_reference(spec, uid)]),
        Ownership::Shared => {
            annotations.insert(labels::SHARED_ANNOTATION.to_owned(), labels::ON.to_owned());
            None
        }
    };
    ObjectMeta {
        name: Some(spec.name.to_string()),
        namespace: Some(namespace.to_string()),
        labels: Some(own_labels),
        annotations: Some(annotations),
        owner_references,
        ..ObjectMeta::default()
    }
}

/// The reference that makes a target go when its Bundle goes.
fn owner_reference(spec: &Spec, uid: &Uid) -> OwnerReference {
    OwnerReference {
        api_version: labels::API_VERSION.to_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: labels::KIND.to_owned(),
        name: spec.name.to_string(),
        uid: uid.to_string(),
    }
}

fn name(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

fn map(labels: Option<&BTreeMap<String, String>>) -> Labels {
    labels.cloned().unwrap_or_default()
}

const TLS_SECRET: &str = "kubernetes.io/tls";

#[cfg(test)]
mod tests {
    use trustd_core::format::{ANNOTATION_BYTES_MAX, OWN_ANNOTATIONS_BYTES_MAX};

    use super::*;

    #[test]
    fn our_own_annotations_fit_into_what_the_planner_reserves_for_them() {
        let digest = "0".repeat(64);
        let own = [
            (labels::HASH_ANNOTATION, digest.as_str()),
            (labels::CONTENT_ANNOTATION, digest.as_str()),
            (labels::SHARED_ANNOTATION, labels::ON),
        ];
        let bytes: usize = own.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(bytes <= OWN_ANNOTATIONS_BYTES_MAX, "{bytes}");
        const { assert!(OWN_ANNOTATIONS_BYTES_MAX < ANNOTATION_BYTES_MAX) };
    }

    fn metadata(json: Json) -> ObjectMeta {
        serde_json::from_value(json).unwrap()
    }

    fn keys(keys: &[&str]) -> BTreeSet<DataKey> {
        keys.iter().map(|key| DataKey::from(*key)).collect()
    }

    #[test]
    fn managed_fields_are_reduced_to_who_holds_which_key() {
        let fields = |json| serde_json::json!(json);
        let entries = serde_json::json!({ "name": "b", "managedFields": [
            { "manager": "trust-manager", "operation": "Apply",
              "fieldsV1": { "f:data": { "f:ca.crt": {} }, "f:binaryData": { ".": {}, "f:a.jks": {} } } },
            { "manager": "trust-manager", "operation": "Update",
              "fieldsV1": { "f:data": { ".": {}, "f:old": {} } } },
            { "manager": "kubectl", "operation": "Apply",
              "fieldsV1": { "f:data": { "f:theirs": {} }, "f:metadata": {} } },
            { "manager": "flux", "operation": "Apply",
              "fieldsV1": { "f:stringData": { "f:password": {} } } },
            { "manager": "nobody", "operation": "Update" },
        ]});
        let observed = observed(&metadata(fields(entries)));
        assert_eq!(
            observed.managed,
            Some(Managed {
                any: true,
                any_applied: true,
                owner_applied: true,
                applied: keys(&["a.jks", "ca.crt"]),
                updated: keys(&["old"]),
                others: keys(&["password", "theirs"]),
                other: Some("nobody".into()),
                other_is_newest: true,
            })
        );
        assert_eq!(super::observed(&metadata(serde_json::json!({ "name": "b" }))).managed, None);
    }

    #[test]
    fn who_holds_the_owner_reference_and_binary_values_is_kept() {
        let item = |uid: &str| format!("k:{{\"uid\":\"{uid}\"}}");
        let entry = |manager: &str, operation: &str, fields: Json| serde_json::json!({ "manager": manager, "operation": operation, "fieldsV1": fields });
        let owns = |uid: &str| serde_json::json!({ "f:metadata": { "f:ownerReferences": { item(uid): {} } } });
        let applied = |entries: Vec<Json>| {
            let reference = serde_json::json!({ "apiVersion": labels::API_VERSION, "name": "b",
                "kind": "Bundle", "uid": "u", "controller": true });
            let object = serde_json::json!({ "name": "b", "managedFields": entries,
                                             "ownerReferences": [reference] });
            observed(&metadata(object)).managed.unwrap().owner_applied
        };
        let ours = || entry("trust-manager", "Apply", owns("u"));
        assert!(applied(vec![ours()]));
        assert!(applied(vec![ours(), entry("x", "Update", owns("another"))]));
        assert!(!applied(vec![ours(), entry("x", "Update", owns("u"))]), "held by both");
        assert!(!applied(vec![entry("trust-manager", "Update", owns("u"))]), "an update of ours");
        assert!(!applied(vec![entry("x", "Update", serde_json::json!({}))]), "held by nobody");

        let binary = serde_json::json!({ "f:binaryData": { ".": {}, "f:k": {} } });
        let binary = |manager: &str, operation: &str| {
            let entries = [entry(manager, operation, binary.clone())];
            let object = serde_json::json!({ "name": "b", "managedFields": entries });
            observed(&metadata(object)).binary
        };
        assert_eq!(binary("x", "Update"), keys(&["k"]));
        assert_eq!(binary("trust-manager", "Update"), keys(&["k"]), "an apply does not move it");
        assert_eq!(binary("trust-manager", "Apply"), keys(&[]));
    }

    #[test]
    fn the_other_manager_that_wrote_last_is_kept_by_name() {
        let last = |entries: &[(&str, &str)]| {
            let entries = entries.iter().map(|(manager, second)| {
                serde_json::json!({ "manager": manager, "operation": "Update", "fieldsV1": {},
                                    "time": format!("2026-11-30T10:00:{second}Z") })
            });
            let object =
                serde_json::json!({ "name": "b", "managedFields": entries.collect::<Vec<_>>() });
            let managed = observed(&metadata(object)).managed.unwrap();
            (managed.other.map(|name| name.to_string()), managed.other_is_newest)
        };
        let named = |name: &str, newest| (Some(name.to_owned()), newest);
        assert_eq!(last(&[("trust-manager", "01")]), (None, false));
        assert_eq!(last(&[("trust-manager", "02"), ("helm", "01")]), named("helm", false));
        assert_eq!(last(&[("trust-manager", "02"), ("helm", "02")]), named("helm", true));
        let three = [("script", "09"), ("helm", "03"), ("trust-manager", "04")];
        assert_eq!(last(&three), named("script", true));
    }

    #[test]
    fn only_a_controlling_namesake_of_our_group_is_the_owner() {
        let with = |api: &str, kind: &str, name: &str, controller: bool| {
            let reference = serde_json::json!({ "apiVersion": api, "kind": kind, "name": name,
                "uid": "u", "controller": controller });
            let object = serde_json::json!({ "name": "b", "ownerReferences": [reference] });
            let observed = observed(&metadata(object));
            (observed.owner, observed.co_owned)
        };
        let api = labels::API_VERSION;
        let ours = world::OwnerReference::Bundle("u".into());
        assert_eq!(with(api, "Bundle", "b", true), (ours, false));
        let other = (world::OwnerReference::OtherController, false);
        assert_eq!(with("apps/v1", "Bundle", "b", true), other);
        assert_eq!(with(api, "Bundle", "other", true), other);
        assert_eq!(with(api, "Bundle", "b", false), (world::OwnerReference::None, true));
        assert_eq!(with(api, "Bundle", "other", false), (world::OwnerReference::None, false));
    }

    #[test]
    fn data_wins_over_binary_data() {
        let object: ConfigMap = serde_json::from_value(serde_json::json!({
            "metadata": { "name": "c" }, "data": { "k": "text" }, "binaryData": { "k": "AAE=", "l": "AAE=" },
        }))
        .unwrap();
        let (_, source) = Object::ConfigMap(&object).source();
        assert_eq!(source.data[&DataKey::from("k")].as_ref(), b"text");
        assert_eq!(source.data[&DataKey::from("l")].as_ref(), [0, 1]);
    }
}
