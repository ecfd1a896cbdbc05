use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Places in which our CRD is stricter or richer than trust-manager's, with the reason. A path
/// covers everything below it; `{selector}`, `{source}` and `{template}` stand for each place of
/// that kind. Nothing that trust-manager's CRD says is changed or left out.
const MORE: [(&str, &str); 23] = [
    ("x-kubernetes-validations", "no Bundle reads its own target; trust-manager's webhook says it"),
    ("spec.sources.x-kubernetes-validations", "some source, default CAs once; webhook"),
    ("{source}.x-kubernetes-validations[!has(self.key)", "a key or all keys; webhook"),
    ("{source}.x-kubernetes-validations[has(self.key)", "a key or all keys; webhook"),
    ("{selector}.matchLabels.x-kubernetes-validations", "keys of labels; webhook"),
    ("{selector}.matchLabels.maxProperties", "a bound on the cost of that rule"),
    ("{selector}.matchLabels{}.maxLength", "values of labels; webhook"),
    ("{selector}.matchLabels{}.pattern", "values of labels; webhook"),
    ("{selector}.matchExpressions.maxItems", "a bound on the cost of rules"),
    ("{selector}.matchExpressions[].x-kubernetes-validations", "values or none; webhook"),
    ("{selector}.matchExpressions[].key.maxLength", "keys of labels; webhook"),
    ("{selector}.matchExpressions[].key.pattern", "keys of labels; webhook"),
    ("{selector}.matchExpressions[].operator.enum", "known operators; webhook"),
    ("{selector}.matchExpressions[].values.maxItems", "a bound on the cost of rules"),
    ("{selector}.matchExpressions[].values[]", "values of labels; webhook"),
    ("spec.target.x-kubernetes-validations[!has(self.additionalFormats)", "unique keys; webhook"),
    ("{template}.annotations.x-kubernetes-validations", "keys, reserved prefixes; webhook"),
    ("{template}.annotations.maxProperties", "a bound on the cost of those rules"),
    ("{template}.labels.x-kubernetes-validations", "keys, reserved prefixes; webhook"),
    ("{template}.labels.maxProperties", "a bound on the cost of those rules"),
    ("{template}.labels{}", "values of labels; webhook"),
    ("status.certificates", "trustd's own: how many, and when the first one expires"),
    ("status.targets", "trustd's own: targets by state"),
];

const PLACES: [(&str, &[&str]); 3] = [
    (
        "{selector}",
        &[
            "spec.sources[].configMap.selector",
            "spec.sources[].secret.selector",
            "spec.target.namespaceSelector",
        ],
    ),
    ("{source}", &["spec.sources[].configMap", "spec.sources[].secret"]),
    ("{template}", &["spec.target.configMap.metadata", "spec.target.secret.metadata"]),
];

fn expand(path: &str) -> Vec<String> {
    let place = PLACES.iter().find(|(name, _)| path.starts_with(name));
    match place {
        None => vec![path.to_owned()],
        Some((name, places)) => places.iter().map(|at| path.replace(name, at)).collect(),
    }
}

/// Every leaf of a CRD's `spec` with its path. Paths in the schema are those of the fields; items
/// of lists are named by what names them; descriptions are left out.
fn leaves(value: &Value, path: &str, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                let below = match name.as_str() {
                    "description" if field.is_string() => continue,
                    "openAPIV3Schema" => String::new(),
                    "properties" => path.to_owned(),
                    "items" => format!("{path}[]"),
                    "additionalProperties" => format!("{path}{{}}"),
                    _ if path.is_empty() => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                leaves(field, &below, out);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                let name = ["name", "rule"].iter().find_map(|name| item.get(*name)?.as_str());
                leaves(item, &format!("{path}[{}]", name.unwrap_or("?")), out);
            }
        }
        Value::Number(number) => drop(out.insert(path.to_owned(), number.as_f64().into())),
        leaf => assert_eq!(out.insert(path.to_owned(), leaf.clone()), None, "{path} twice"),
    }
}

#[test]
fn differs_from_the_peer_only_where_it_is_written_down() {
    let peer = include_str!("../../../../../tests/fixtures/peer/crd-v0.25.0.json");
    let peer: Value = serde_json::from_str(peer).unwrap();
    let ours = serde_json::to_value(super::crd()).unwrap();
    let (mut theirs_at, mut ours_at) = (BTreeMap::new(), BTreeMap::new());
    leaves(&peer, "", &mut theirs_at);
    leaves(&ours["spec"], "", &mut ours_at);
    assert!(theirs_at.len() > 150, "{}", theirs_at.len());

    let changed: Vec<_> =
        theirs_at.iter().filter(|(path, leaf)| ours_at.get(*path) != Some(leaf)).collect();
    assert!(changed.is_empty(), "changed or left out: {changed:#?}");

    let allowed: Vec<String> = MORE.iter().flat_map(|(path, _)| expand(path)).collect();
    let covers = |path: &str, prefix: &str| {
        path.strip_prefix(prefix).is_some_and(|rest| {
            rest.is_empty()
                || rest.starts_with(['.', '[', '{'])
                || prefix.contains("[has(")
                || prefix.contains("[!has(")
        })
    };
    let mut needed = BTreeSet::new();
    for path in ours_at.keys().filter(|path| !theirs_at.contains_key(*path)) {
        let entry = allowed.iter().find(|entry| covers(path, entry));
        needed.insert(entry.unwrap_or_else(|| panic!("{path} is not written down")));
    }
    let idle: Vec<_> = allowed.iter().filter(|entry| !needed.contains(*entry)).collect();
    assert!(idle.is_empty(), "written down, but no difference: {idle:#?}");
}

#[test]
fn every_field_is_described_and_nothing_may_be_null() {
    fn walk(schema: &Value, path: &str) {
        assert!(schema.get("nullable").is_none(), "{path}");
        assert!(schema["type"].is_string(), "{path} has no type");
        let values = schema.get("enum").and_then(Value::as_array);
        assert!(values.into_iter().flatten().all(Value::is_string), "{path}");
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let below = format!("{path}.{name}");
            let is_described = field["description"].as_str().is_some_and(|text| text.len() > 10);
            assert!(is_described || below == ".metadata", "{below}");
            walk(field, &below);
        }
        for part in ["items", "additionalProperties"] {
            if let Some(below) = schema.get(part) {
                walk(below, &format!("{path}.{part}"));
            }
        }
    }
    walk(&serde_json::to_value(super::schema()).unwrap(), "");
}
