//! Fields that the API server does not know. It drops them without a word unless it is asked to be
//! strict (KEP-2885), and with them whatever they were meant to say: a label directly below
//! `namespaceSelector` leaves a selector that selects everything.
//!
//! Known fields are read from the CRD's own schema and from those of the core objects.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use super::field::Node;
use crate::{labels, v1alpha1};

/// A field that its object does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// The path of the field: `spec.target.namespaceSelector.env`.
    pub path: String,
    /// The field that was probably meant, or why there is none; `None` if nothing is near.
    pub hint: Option<String>,
}

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown field `{}`, which the API server drops", self.path)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// The unknown fields of a Bundle, ConfigMap, Namespace or Secret, in the order of the text. The
/// status of a Bundle is not looked at: users do not write it.
#[must_use]
pub fn unknown_fields(object: &Map<String, Value>, kind: &str) -> Vec<UnknownField> {
    let mut found = Vec::new();
    let root = match kind {
        labels::KIND => {
            let schema = v1alpha1::schema();
            let known = schema.properties.iter().flatten().map(|(name, _)| name.clone()).collect();
            if let Some(spec) = schema.properties.as_ref().and_then(|all| all.get("spec"))
                && let Some(value) = object.get("spec")
            {
                walk(spec, &Node { path: "spec".to_owned(), value }, &mut found);
            }
            known
        }
        "ConfigMap" => names_of::<ConfigMap>(),
        "Namespace" => names_of::<Namespace>(),
        "Secret" => names_of::<Secret>(),
        _ => return found,
    };
    let mut among = |known: &BTreeSet<String>, within: &str, fields: &Map<String, Value>| {
        for name in fields.keys().filter(|name| !known.contains(*name)) {
            let path = format!("{within}{name}");
            let near = nearest(name, known.iter().map(String::as_str));
            let hint = near.map(|near| did_you_mean(&[format!("{within}{near}")]));
            found.push(UnknownField { path, hint });
        }
    };
    among(&root, "", object);
    if let Some(metadata) = object.get("metadata").and_then(Value::as_object) {
        static METADATA: LazyLock<BTreeSet<String>> = LazyLock::new(names_of::<ObjectMeta>);
        among(&METADATA, "metadata.", metadata);
    }
    found
}

/// The selectors of a Bundle that are there and empty, and so select everything, each as a
/// sentence. One of which only unknown fields were written is empty; to leave one out is to ask for
/// everything.
#[must_use]
pub fn empty_selectors(bundle: &Value) -> Vec<String> {
    let is_empty = |selector: &Value| {
        let has = |field: &str| match selector.get(field) {
            Some(Value::Object(labels)) => !labels.is_empty(),
            Some(Value::Array(expressions)) => !expressions.is_empty(),
            _ => false,
        };
        selector.is_object() && !has("matchLabels") && !has("matchExpressions")
    };
    let mut empty = Vec::new();
    if bundle.pointer("/spec/target/namespaceSelector").is_some_and(is_empty) {
        empty.push("spec.target.namespaceSelector is empty and selects every namespace".to_owned());
    }
    let sources = bundle.pointer("/spec/sources").and_then(Value::as_array);
    for (index, source) in sources.into_iter().flatten().enumerate() {
        for (field, kind) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
            if source.get(field).and_then(|object| object.get("selector")).is_some_and(is_empty) {
                empty.push(format!(
                    "spec.sources[{index}].{field}.selector is empty and selects every {kind} of \
                     the trust namespace"
                ));
            }
        }
    }
    empty
}

fn walk(schema: &JSONSchemaProps, node: &Node<'_>, found: &mut Vec<UnknownField>) {
    match node.value {
        Value::Array(_) => {
            if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
                node.items().iter().for_each(|item| walk(each, item, found));
            }
        }
        // The keys of a map are the user's.
        Value::Object(fields) if schema.additional_properties.is_none() => {
            for name in fields.keys() {
                let Some(field) = node.get(name) else { continue };
                match schema.properties.as_ref().and_then(|known| known.get(name)) {
                    Some(known) => walk(known, &field, found),
                    None => {
                        let hint = hint(schema, node, name, field.value);
                        found.push(UnknownField { path: field.path, hint });
                    }
                }
            }
        }
        _ => {}
    }
}

/// Suggests what was meant by a field that `node` does not have.
fn hint(schema: &JSONSchemaProps, node: &Node<'_>, name: &str, value: &Value) -> Option<String> {
    let siblings = || schema.properties.iter().flatten();
    if let Some(near) = nearest(name, siblings().map(|(name, _)| name.as_str())) {
        return Some(did_you_mean(&[node.path_of(near)]));
    }
    let is_source = siblings().any(|(name, _)| name == "includeAllKeys");
    if is_source && name == "namespace" {
        let all = "sources are read from the trust namespace alone (--trust-namespace)";
        return Some(all.to_owned());
    }
    // A label or annotation next to the map that it belongs into.
    let is_map = |schema: &JSONSchemaProps| {
        matches!(&schema.additional_properties, Some(JSONSchemaPropsOrBool::Schema(_)))
    };
    let maps = siblings().filter(|(_, schema)| value.is_string() && is_map(schema));
    let maps: Vec<String> = maps.map(|(name, _)| node.path_of(name)).collect();
    if !maps.is_empty() {
        return Some(did_you_mean(&maps));
    }
    let elsewhere = elsewhere(&node.path, name);
    (!elsewhere.is_empty()).then(|| did_you_mean(&elsewhere))
}

/// The fields of this name in other places, those fewest steps away, as far as they are few.
fn elsewhere(parent: &str, name: &str) -> Vec<String> {
    static FIELDS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
        let mut fields = Vec::new();
        if let Some(spec) = v1alpha1::schema().properties.as_ref().and_then(|p| p.get("spec")) {
            collect(spec, &mut vec!["spec".to_owned()], &mut fields);
        }
        fields
    });
    // Parents are fields of the schema, whose names have no dots.
    let here: Vec<&str> = parent.split('.').collect();
    let without_index = |step: &str| step.split('[').next().unwrap_or_default().to_owned();
    let steps = |field: &[String]| {
        let shared = here.iter().zip(field).take_while(|(a, b)| without_index(a) == **b).count();
        (shared, here.len() + field.len() - 2 * shared)
    };
    let same = FIELDS.iter().filter_map(|field| {
        let (last, parents) = field.split_last()?;
        let (shared, steps) = steps(parents);
        is_alike(last, name).then(|| {
            let rest = field.get(shared..).unwrap_or_default().iter().map(String::as_str);
            let path: Vec<&str> = here.iter().take(shared).copied().chain(rest).collect();
            (steps, path.join("."))
        })
    });
    let mut same: Vec<(usize, String)> = same.collect();
    same.sort();
    let nearest = same.first().map(|(steps, _)| *steps);
    let paths = same.into_iter().take_while(|(steps, _)| Some(*steps) == nearest);
    let paths: Vec<String> = paths.map(|(_, path)| path).collect();
    if paths.len() <= SUGGESTED_MAX { paths } else { Vec::new() }
}

/// Every field below a schema, as the names on the way to it.
fn collect(schema: &JSONSchemaProps, path: &mut Vec<String>, fields: &mut Vec<Vec<String>>) {
    let schema = match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(each)) => each,
        _ => schema,
    };
    for (name, property) in schema.properties.iter().flatten() {
        path.push(name.clone());
        fields.push(path.clone());
        collect(property, path, fields);
        path.pop();
    }
}

fn did_you_mean(paths: &[String]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
    format!("did you mean {}?", paths.join(" or "))
}

/// The known name that a misspelt one is nearest to.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // The edit distance takes time proportional to the product of both lengths.
    if name.len() > NAME_MAX {
        return None;
    }
    let distance = |known: &str| {
        if is_alike(known, name) { 0 } else { strsim::osa_distance(known, name) }
    };
    let near = known.map(|known| (distance(known), known)).min()?;
    // A third of the letters may be wrong, and two at most.
    (near.0 <= (name.chars().count() / 3).min(2)).then_some(near.1)
}

/// Returns true if two names differ at most in case, dashes and underscores.
fn is_alike(known: &str, name: &str) -> bool {
    let letters = |name: &str| -> Vec<char> {
        let kept = name.chars().filter(|c| !matches!(c, '-' | '_')).take(NAME_MAX + 1);
        kept.map(|c| c.to_ascii_lowercase()).collect()
    };
    letters(known) == letters(name)
}

/// The fields of a core object's type.
fn names_of<T: JsonSchema>() -> BTreeSet<String> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let properties = schema.as_value().get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// More suggestions than that are no help.
const SUGGESTED_MAX: usize = 3;
/// The longest name that is compared with known ones; the longest known one has 26 bytes.
const NAME_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(object: &Value, kind: &str) -> Vec<String> {
        let fields = unknown_fields(object.as_object().unwrap(), kind);
        fields.iter().map(ToString::to_string).collect()
    }

    /// The path and the hint of the one unknown field of a Bundle with this spec.
    fn only(spec: &Value) -> (String, Option<String>) {
        let bundle = json!({ "apiVersion": labels::API_VERSION, "kind": "Bundle", "spec": spec });
        let mut found = unknown_fields(bundle.as_object().unwrap(), "Bundle");
        assert_eq!(found.len(), 1, "{found:?}");
        let field = found.remove(0);
        (field.path, field.hint)
    }

    #[test]
    fn a_label_below_a_selector_belongs_into_match_labels() {
        let spec =
            json!({ "target": { "namespaceSelector": { "kubernetes.io/metadata.name": "a" } } });
        let bundle = json!({ "spec": spec });
        assert_eq!(
            told(&bundle, "Bundle"),
            [
                "unknown field `spec.target.namespaceSelector.kubernetes.io/metadata.name`, which the \
              API server drops; did you mean `spec.target.namespaceSelector.matchLabels`?"
            ]
        );
    }

    #[test]
    fn a_field_that_is_near_is_named() {
        let cases = [
            (json!({ "source": [] }), "spec.source", Some("spec.sources")),
            (
                json!({ "namespaceSelector": {} }),
                "spec.namespaceSelector",
                Some("spec.target.namespaceSelector"),
            ),
            (
                json!({ "sources": [{ "useDefaultCAs": true }, { "configmap": {} }] }),
                "spec.sources[1].configmap",
                Some("spec.sources[1].configMap"),
            ),
            (
                json!({ "sources": [{ "use_default_cas": true }] }),
                "spec.sources[0].use_default_cas",
                Some("spec.sources[0].useDefaultCAs"),
            ),
            (
                json!({ "sources": [{}, {}, { "key": "a" }] }),
                "spec.sources[2].key",
                Some("spec.sources[2].configMap.key` or `spec.sources[2].secret.key"),
            ),
            (
                json!({ "target": { "configMap": { "labels": { "a": "b" } } } }),
                "spec.target.configMap.labels",
                Some("spec.target.configMap.metadata.labels"),
            ),
            (
                json!({ "target": { "configMap": { "metadata": { "team": "a" } } } }),
                "spec.target.configMap.metadata.team",
                Some(
                    "spec.target.configMap.metadata.annotations` or \
                   `spec.target.configMap.metadata.labels",
                ),
            ),
            (
                json!({ "target": { "pkcs12": {} } }),
                "spec.target.pkcs12",
                Some("spec.target.additionalFormats.pkcs12"),
            ),
            (json!({ "weather": "fine" }), "spec.weather", None),
            (json!({ "retention": { "period": "1h" } }), "spec.retention", None),
            (json!({ "x": 1 }), "spec.x", None),
        ];
        for (spec, path, meant) in cases {
            let hint = meant.map(|meant| format!("did you mean `{meant}`?"));
            assert_eq!(only(&spec), (path.to_owned(), hint), "{spec}");
        }
    }

    #[test]
    fn a_source_in_another_namespace_is_told_where_sources_are_read() {
        let spec =
            json!({ "sources": [{ "secret": { "name": "a", "key": "b", "namespace": "x" } }] });
        let (path, hint) = only(&spec);
        assert_eq!(path, "spec.sources[0].secret.namespace");
        assert!(hint.unwrap().contains("--trust-namespace"));
    }

    #[test]
    fn fields_of_the_api_servers_own_are_known() {
        let bundle = json!({
            "apiVersion": labels::API_VERSION, "kind": "Bundle",
            "metadata": {
                "name": "b", "uid": "u", "generation": 2, "resourceVersion": "3",
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": { "a.b/c": "d" },
                "annotations": { "any": "thing" },
                "managedFields": [{ "manager": "m", "fieldsV1": { "f:spec": { "f:any": {} } } }],
            },
            "spec": {
                "sources": [{ "secret": { "selector": { "matchLabels": { "own": "key" } }, "key": "a" } }],
                "target": { "configMap": { "key": "k", "metadata": { "labels": { "own": "x" } } } },
            },
            "status": { "conditions": [], "ofAnotherVersion": {} },
        });
        assert_eq!(told(&bundle, "Bundle"), [""; 0]);
    }

    #[test]
    fn a_selector_is_empty_when_nothing_that_is_known_is_in_it() {
        let of = |selector: Value| {
            let spec = json!({
                "sources": [{ "configMap": { "selector": selector } }, { "secret": { "name": "s" } }],
                "target": { "namespaceSelector": selector },
            });
            empty_selectors(&json!({ "spec": spec })).len()
        };
        let unknown = json!({ "kubernetes.io/metadata.name": "a", "matchLabels": {} });
        for empty in [json!({}), unknown, json!({ "matchLabels": null, "matchExpressions": [] })] {
            assert_eq!(of(empty.clone()), 2, "{empty}");
        }
        let expression = json!({ "matchExpressions": [{ "key": "a", "operator": "Exists" }] });
        for other in [json!({ "matchLabels": { "a": "" } }), expression, json!(null), json!("text")]
        {
            assert_eq!(of(other.clone()), 0, "{other}");
        }
        assert_eq!(empty_selectors(&json!({ "spec": { "target": {} } })), [""; 0]);
    }

    #[test]
    fn core_objects_are_looked_at_too() {
        let object = json!({ "stringdata": {}, "metadata": { "name": "s", "lables": {} } });
        assert_eq!(
            told(&object, "Secret"),
            [
                "unknown field `stringdata`, which the API server drops; did you mean `stringData`?",
                "unknown field `metadata.lables`, which the API server drops; did you mean \
                 `metadata.labels`?",
            ]
        );
        assert_eq!(told(&json!({ "data": {}, "immutable": true }), "ConfigMap"), [""; 0]);
        assert_eq!(
            told(&json!({ "spec": { "finalizers": [] }, "status": {} }), "Namespace"),
            [""; 0]
        );
    }

    #[test]
    fn what_is_of_the_wrong_type_or_very_long_is_no_panic() {
        let long = "n".repeat(100_000);
        for spec in [json!([1]), json!(null), json!({ "sources": { "0": 1 } }), json!({ long: 1 })]
        {
            told(&json!({ "spec": spec, "metadata": [] }), "Bundle");
        }
    }
}
