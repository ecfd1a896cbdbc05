//! Defaulting, as the API server does it before validation, following the schema.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Value};

/// Drops `null` where the schema does not allow it, then fills in defaults, all the way down.
pub(super) fn apply(schema: &JSONSchemaProps, value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, property) in schema.properties.iter().flatten() {
                field(property, name, object);
            }
            if let Some(JSONSchemaPropsOrBool::Schema(each)) = &schema.additional_properties {
                object.retain(|_, value| !value.is_null());
                object.values_mut().for_each(|value| apply(each, value));
            }
        }
        Value::Array(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
                items.iter_mut().for_each(|item| apply(each, item));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn field(schema: &JSONSchemaProps, name: &str, object: &mut Map<String, Value>) {
    // The API server prunes `null` before it fills in defaults ("Defaulting and nullable" in the
    // documentation of CustomResourceDefinitions).
    if object.get(name).is_some_and(Value::is_null) {
        object.remove(name);
    }
    if let Some(default) = &schema.default
        && !object.contains_key(name)
    {
        object.insert(name.to_owned(), default.0.clone());
    }
    if let Some(value) = object.get_mut(name) {
        apply(schema, value);
    }
}
