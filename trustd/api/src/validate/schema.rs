//! Types and bounds, as the CRD's schema states them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Value};

use super::field::{FieldError, Node, quoted};
use super::syntax;

/// Checks a Bundle, `metadata` and `status` excepted: the API server has its own rules for the
/// one, and drops the other when a user writes it.
pub(super) fn check(schema: &JSONSchemaProps, bundle: &Node<'_>, errors: &mut Vec<FieldError>) {
    match (schema.properties.iter().flatten().find(|(name, _)| *name == "spec"), bundle.get("spec"))
    {
        (Some((_, schema)), Some(spec)) => value(schema, &spec, errors),
        _ => errors.push(FieldError::new("spec", "Required value")),
    }
}

fn value(schema: &JSONSchemaProps, node: &Node<'_>, errors: &mut Vec<FieldError>) {
    let found = type_of(node.value);
    let wanted = schema.type_.as_deref().unwrap_or(found);
    if found != wanted && !(found == "integer" && wanted == "number") {
        let path = &node.path;
        let detail = format!("{path} in body must be of type {wanted}: \"{found}\"");
        errors.push(FieldError::invalid(path, found, &detail));
        return;
    }
    if let Some(allowed) = &schema.enum_
        && !allowed.iter().any(|one| one.0 == *node.value)
    {
        let allowed: Vec<String> = allowed.iter().map(|one| one.0.to_string()).collect();
        let message =
            format!("Unsupported value: {}: supported values: {}", node.value, allowed.join(", "));
        errors.push(FieldError::new(&node.path, message));
    }
    match node.value {
        Value::String(text_) => text(schema, node, text_, errors),
        Value::Array(items) => {
            count(node, items.len(), (schema.min_items, schema.max_items), "items", errors);
            if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
                node.items().iter().for_each(|item| value(each, item, errors));
            }
        }
        Value::Object(fields) => object(schema, node, fields, errors),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn object(
    schema: &JSONSchemaProps,
    node: &Node<'_>,
    fields: &Map<String, Value>,
    errors: &mut Vec<FieldError>,
) {
    let bounds = (schema.min_properties, schema.max_properties);
    count(node, fields.len(), bounds, "properties", errors);
    for name in schema.required.iter().flatten() {
        if !fields.contains_key(name) {
            errors.push(FieldError::new(node.path_of(name), "Required value"));
        }
    }
    for (name, property) in schema.properties.iter().flatten() {
        if let Some(field) = node.get(name) {
            value(property, &field, errors);
        }
    }
    if let Some(JSONSchemaPropsOrBool::Schema(each)) = &schema.additional_properties {
        for field in fields.keys().filter_map(|name| node.get(name)) {
            value(each, &field, errors);
        }
    }
}

fn text(schema: &JSONSchemaProps, node: &Node<'_>, text: &str, errors: &mut Vec<FieldError>) {
    let path = &node.path;
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(least) = schema.min_length.filter(|least| length < *least) {
        let detail = format!("{path} in body should be at least {least} chars long");
        errors.push(FieldError::invalid(path, text, &detail));
    }
    if let Some(most) = schema.max_length.filter(|most| length > *most) {
        // The API server says bytes and counts characters.
        errors.push(FieldError::new(path, format!("Too long: may not be more than {most} bytes")));
    } else if let Some(pattern) = &schema.pattern
        && !syntax::matches(pattern, text)
    {
        let message =
            format!("Invalid value: {}: {path} in body should match '{pattern}'", quoted(text));
        errors.push(FieldError::new(path, message));
    }
}

fn count(
    node: &Node<'_>,
    count: usize,
    (least, most): (Option<i64>, Option<i64>),
    what: &str,
    errors: &mut Vec<FieldError>,
) {
    let path = &node.path;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    if let Some(least) = least.filter(|least| count < *least) {
        let message =
            format!("Invalid value: {count}: {path} in body should have at least {least} {what}");
        errors.push(FieldError::new(path, message));
    }
    if let Some(most) = most.filter(|most| count > *most) {
        let message = format!("Too many: {count}: must have at most {most} items");
        errors.push(FieldError::new(path, message));
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Object(_) => "object",
        Value::String(_) => "string",
    }
}
