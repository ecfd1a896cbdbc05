//! Conversions that the API server makes to ConfigMaps, Namespaces and Secrets before validation,
//! and its rules for their names and keys.

use serde_json::{Map, Value};

use super::ManifestErrorKind;
use crate::validate::syntax;

/// Takes `null` for empty, line breaks out of base64, and refuses names and keys that no object of
/// this kind can have.
pub(super) fn prepare(
    kind: &str,
    object: &mut Map<String, Value>,
) -> Result<(), ManifestErrorKind> {
    let name = super::name(object).map(str::to_owned);
    let fault = |field: &str, message: &str| ManifestErrorKind::Type {
        object: format!("{kind} {}", name.as_deref().unwrap_or_default()),
        field: field.to_owned(),
        message: message.to_owned(),
    };
    let check = if kind == "Namespace" { syntax::dns_label_fault } else { syntax::subdomain_fault };
    if let Some(message) = name.as_deref().and_then(check) {
        return Err(fault("metadata.name", message));
    }
    let namespace = object.get("metadata").and_then(|metadata| metadata.get("namespace"));
    let namespace = namespace.and_then(Value::as_str).filter(|name| !name.is_empty());
    if let Some(message) =
        namespace.filter(|_| kind != "Namespace").and_then(syntax::dns_label_fault)
    {
        return Err(fault("metadata.namespace", message));
    }
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        empty_for_null(metadata, "labels");
        empty_for_null(metadata, "annotations");
    }
    for field in ["data", "binaryData", "stringData"] {
        empty_for_null(object, field);
        let Some(Value::Object(pairs)) = object.get_mut(field) else { continue };
        let in_base64 = field == "binaryData" || (field == "data" && kind == "Secret");
        for (key, value) in pairs {
            if let Some(message) = syntax::data_key_fault(key) {
                return Err(fault(&format!("{field}.{key}"), message));
            }
            // Go's base64 decoder ignores CR and LF, and the Rust decoder does not.
            if let Value::String(text) = value
                && in_base64
            {
                text.retain(|c| c != '\n' && c != '\r');
            }
        }
    }
    let keys = |field: &str| object.get(field).and_then(Value::as_object);
    if let (Some(data), Some(binary)) = (keys("data"), keys("binaryData"))
        && let Some(key) = data.keys().find(|key| binary.contains_key(*key))
    {
        return Err(fault(&format!("data.{key}"), "duplicate of key present in binaryData"));
    }
    Ok(())
}

/// A map of `null` is none; a value of `null` is an empty text.
fn empty_for_null(object: &mut Map<String, Value>, field: &str) {
    match object.get_mut(field) {
        Some(Value::Null) => drop(object.remove(field)),
        Some(Value::Object(pairs)) => {
            for value in pairs.values_mut().filter(|value| value.is_null()) {
                *value = Value::String(String::new());
            }
        }
        _ => {}
    }
}
