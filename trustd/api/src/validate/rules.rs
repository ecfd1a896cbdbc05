//! The CEL rules of the CRD, and the API server's checks of every object's metadata.
//!
//! Each rule looks only at fields that are present and of the right type; `schema` reports the
//! others.

use serde_json::Value;

use super::field::{FieldError, Node};
use super::syntax;
use crate::labels;

/// The name of the Bundle, and its labels and annotations.
pub(super) fn metadata(bundle: &Node<'_>, errors: &mut Vec<FieldError>) {
    let metadata = bundle.get("metadata");
    let name = metadata.as_ref().and_then(|metadata| metadata.text("name")).unwrap_or_default();
    if name.is_empty() {
        let message = "Required value: name or generateName is required";
        errors.push(FieldError::new("metadata.name", message));
    } else if let Some(fault) = syntax::subdomain_fault(name) {
        errors.push(FieldError::invalid("metadata.name", name, fault));
    }
}

/// Every rule of the CRD, and those of the objects that will be written.
pub(super) fn check(bundle: &Node<'_>, errors: &mut Vec<FieldError>) {
    let Some(spec) = bundle.get("spec") else { return };
    let name = bundle.get("metadata").and_then(|metadata| metadata.text("name"));
    if let Some(list) = spec.get("sources").filter(|list| list.value.is_array()) {
        sources(&list, errors);
        for kind in KINDS {
            let key = spec.get("target").and_then(|target| target.get(kind)?.text("key"));
            let is_own = |source: &Node<'_>| {
                source.get(kind).is_some_and(|object| {
                    let at = (object.text("name"), object.text("key"));
                    at.0.is_some() && at.1.is_some() && at == (name, key)
                })
            };
            if list.items().iter().any(is_own) {
                let message = "Forbidden: cannot define the same source as target";
                errors.push(FieldError::new(&list.path, message));
            }
        }
    }
    if let Some(node) = spec.get("target").filter(|target| target.value.is_object()) {
        target(&node, errors);
    }
}

fn sources(list: &Node<'_>, errors: &mut Vec<FieldError>) {
    let items = list.items();
    let counts = |item: &Node<'_>| {
        let said = item.get("useDefaultCAs");
        said.is_none_or(|said| *said.value != Value::Bool(false))
    };
    if !items.iter().any(counts) {
        let message = "Forbidden: must define at least one source";
        errors.push(FieldError::new(&list.path, message));
    }
    let requests = items.iter().filter(|item| item.has("useDefaultCAs")).count();
    if requests > 1 {
        // The CRD cannot state the number: the CEL rule would exceed the API server's cost limit.
        // https://kubernetes.io/docs/reference/using-api/cel/#resource-constraints
        let number = if requests == 2 { "2" } else { "more than 2" };
        let message = format!(
            "Forbidden: must request default CAs either once or not at all but got {number} requests"
        );
        errors.push(FieldError::new(&list.path, message));
    }
    for item in items.iter().filter(|item| item.value.is_object()) {
        let types = ["configMap", "secret", "inLine", "useDefaultCAs"];
        if types.iter().filter(|name| item.has(name)).count() != 1 {
            exactly_one(item, "configMap secret inLine useDefaultCAs", errors);
        }
        for kind in KINDS {
            if let Some(object) = item.get(kind).filter(|object| object.value.is_object()) {
                object_keys(kind, &object, errors);
            }
        }
    }
}

fn object_keys(kind: &str, object: &Node<'_>, errors: &mut Vec<FieldError>) {
    if object.has("name") == object.has("selector") {
        exactly_one(object, "name selector", errors);
    }
    let all = object.is_true("includeAllKeys");
    if !object.has("key") && !all {
        let message = format!(
            "Invalid value: \"key: ' ', includeAllKeys: false\": \
             source {kind} key must be defined when includeAllKeys is false"
        );
        errors.push(FieldError::new(&object.path, message));
    }
    if let Some(key) = object.text("key").filter(|_| all) {
        let message = format!(
            "Invalid value: \"key: {key}, includeAllKeys: true\": \
             source {kind} key cannot be defined when includeAllKeys is true"
        );
        errors.push(FieldError::new(&object.path, message));
    }
    if let Some(found) = object.get("selector") {
        selector(&found, errors);
    }
}

fn target(target: &Node<'_>, errors: &mut Vec<FieldError>) {
    if !KINDS.iter().any(|kind| target.has(kind)) {
        at_least_one(target, "configMap secret", errors);
    }
    for kind in KINDS {
        let Some(template) = target.get(kind) else { continue };
        data_key(&template, errors);
        let metadata = template.get("metadata");
        for what in ["labels", "annotations"] {
            if let Some(pairs) = metadata.as_ref().and_then(|metadata| metadata.get(what)) {
                template_keys(&pairs, what, errors);
            }
        }
    }
    if let Some(formats) = target.get("additionalFormats").filter(|f| f.value.is_object()) {
        stores(target, &formats, errors);
    }
    if let Some(found) = target.get("namespaceSelector") {
        selector(&found, errors);
    }
}

fn stores(target: &Node<'_>, formats: &Node<'_>, errors: &mut Vec<FieldError>) {
    let stores = ["jks", "pkcs12"].map(|name| formats.get(name));
    if stores.iter().all(Option::is_none) {
        at_least_one(formats, "jks pkcs12", errors);
    }
    let key_of = |kind: &str| target.get(kind).and_then(|template| template.text("key"));
    let mut taken: Vec<&str> = KINDS.iter().filter_map(|kind| key_of(kind)).collect();
    for store in stores.iter().flatten() {
        data_key(store, errors);
        let Some(key) = store.text("key") else { continue };
        if taken.contains(&key) {
            let detail = "key must be unique across all target output keys";
            errors.push(bare(&store.path_of("key"), key, detail));
        }
        taken.push(key);
    }
}

/// The key must be one that ConfigMaps and Secrets can have. The CRD leaves that to the moment of
/// writing, as trust-manager's does; to say it earlier is better where it can be said.
fn data_key(holder: &Node<'_>, errors: &mut Vec<FieldError>) {
    let Some(key) = holder.text("key") else { return };
    if let Some(fault) = syntax::data_key_fault(key)
        && (1..=DATA_KEY_MAX).contains(&key.chars().count())
    {
        errors.push(FieldError::invalid(holder.path_of("key"), key, fault));
    }
}

fn template_keys(pairs: &Node<'_>, what: &str, errors: &mut Vec<FieldError>) {
    let keys = || pairs.object().into_iter().flatten().map(|(key, _)| key.as_str());
    let is_reserved = |key: &&str| labels::RESERVED_PREFIXES.iter().any(|p| key.starts_with(p));
    if let Some(key) = keys().find(is_reserved) {
        let [first, second] = labels::RESERVED_PREFIXES;
        let prefix = if keys().any(|key| key.starts_with(first)) { first } else { second };
        errors.push(bare(&pairs.path, key, &format!("{prefix}* {what} are not allowed")));
    }
    // Kubernetes converts the keys of annotations to lower case before it validates them.
    let lowers = what == "annotations";
    bad_key(pairs, |key| if lowers { key.to_ascii_lowercase() } else { key.to_owned() }, errors);
}

fn selector(selector: &Node<'_>, errors: &mut Vec<FieldError>) {
    if let Some(labels) = selector.get("matchLabels") {
        bad_key(&labels, str::to_owned, errors);
    }
    let expressions = selector.get("matchExpressions");
    for expression in expressions.iter().flat_map(Node::items) {
        let given =
            expression.get("values").and_then(|values| Some(values.value.as_array()?.len()));
        let message = match (expression.text("operator"), given) {
            (Some("In" | "NotIn"), None | Some(0)) => {
                "Required value: must be specified when `operator` is 'In' or 'NotIn'"
            }
            (Some("Exists" | "DoesNotExist"), Some(1..)) => {
                "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            }
            _ => continue,
        };
        errors.push(FieldError::new(expression.path_of("values"), message));
    }
}

/// The first key that no label can have.
fn bad_key(pairs: &Node<'_>, form: impl Fn(&str) -> String, errors: &mut Vec<FieldError>) {
    let keys = pairs.object().into_iter().flatten().map(|(key, _)| key);
    let fault = keys.filter_map(|key| Some((key, syntax::label_key_fault(&form(key))?))).next();
    if let Some((key, fault)) = fault {
        errors.push(bare(&pairs.path, key, fault));
    }
}

fn exactly_one(node: &Node<'_>, fields: &str, errors: &mut Vec<FieldError>) {
    let message = format!("Invalid value: exactly one of the fields in [{fields}] must be set");
    errors.push(FieldError::new(&node.path, message));
}

fn at_least_one(node: &Node<'_>, fields: &str, errors: &mut Vec<FieldError>) {
    let message = format!("Invalid value: at least one of the fields in [{fields}] must be set");
    errors.push(FieldError::new(&node.path, message));
}

/// Formats an error as the CRD's rules do, which quote a value without escaping it.
fn bare(path: &str, value: &str, detail: &str) -> FieldError {
    FieldError::new(path, format!("Invalid value: \"{value}\": {detail}"))
}

const KINDS: [&str; 2] = ["configMap", "secret"];
/// Longer keys, and empty ones, are refused by the schema already.
const DATA_KEY_MAX: usize = 253;
