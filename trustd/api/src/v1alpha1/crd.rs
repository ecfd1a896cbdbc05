//! The CRD: what the derive makes, put right where Kubernetes would read it otherwise.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;
use serde_json::Value;

use super::Bundle;
use crate::labels;

/// The CustomResourceDefinition of Bundles.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = Bundle::crd();
    let none = |list: &mut Option<Vec<String>>| {
        if list.as_ref().is_some_and(Vec::is_empty) {
            *list = None;
        }
    };
    none(&mut crd.spec.names.short_names);
    none(&mut crd.spec.names.categories);
    crd.spec.names.list_kind = Some(format!("{}List", labels::KIND));
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            mend(schema);
            schema.title = None;
            schema.properties.get_or_insert_default().extend(envelope());
        }
    }
    crd
}

/// The schema of a Bundle, as in [`crd`].
#[must_use]
pub fn schema() -> &'static JSONSchemaProps {
    static SCHEMA: LazyLock<JSONSchemaProps> = LazyLock::new(|| {
        let versions = crd().spec.versions.into_iter();
        versions.filter_map(|v| v.schema?.open_api_v3_schema).next().unwrap_or_default()
    });
    &SCHEMA
}

/// The fields that every object has and the derive omits.
fn envelope() -> BTreeMap<String, JSONSchemaProps> {
    let property = |name: &str, type_: &str, description: Option<&str>| {
        let schema = JSONSchemaProps {
            type_: Some(type_.to_owned()),
            description: description.map(str::to_owned),
            ..JSONSchemaProps::default()
        };
        (name.to_owned(), schema)
    };
    BTreeMap::from([
        property("apiVersion", "string", Some("The group and version of the kind.")),
        property("kind", "string", Some("The kind of the object.")),
        property("metadata", "object", None),
    ])
}

/// An optional field is one that may be left out, not one that may be `null`.
fn mend(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| value.0 != Value::Null);
    }
    for property in schema.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        mend(property);
    }
    match schema.items.as_mut() {
        Some(JSONSchemaPropsOrArray::Schema(items)) => mend(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(mend),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        mend(values);
    }
}

#[cfg(test)]
mod tests;
