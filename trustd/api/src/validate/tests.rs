#![allow(clippy::disallowed_methods, reason = "tests read fixtures")]

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use serde_json::json;
use trustd_core::names::Kind;
use trustd_core::spec::{Keys, Pick, Profile, SourceRef, Store};

use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures");

#[derive(serde::Deserialize)]
struct Recorded {
    schema: Value,
    cases: BTreeMap<String, Answer>,
}

#[derive(serde::Deserialize)]
struct Answer {
    accepted: bool,
    spec: Option<Value>,
    #[serde(default)]
    errors: Vec<(String, String)>,
}

fn cases() -> BTreeMap<String, Value> {
    let text = fs::read_to_string(format!("{FIXTURES}/admission/cases.yaml")).unwrap();
    let mut cases = BTreeMap::new();
    for document in text.split("\n---\n").skip(1) {
        let name = document.lines().next().unwrap().strip_prefix("# ").unwrap();
        let bundle = serde_saphyr::from_str(document).unwrap();
        assert!(cases.insert(name.to_owned(), bundle).is_none(), "two cases are called {name}");
    }
    cases
}

/// The admission rules of older API servers that differ at the moment of writing.
const EARLIER: [(&str, &[&str]); 2] = [
    ("key with characters that no key may have", &["spec.target.configMap.key"]),
    (
        "keys that are dots",
        &[
            "spec.target.additionalFormats.jks.key",
            "spec.target.additionalFormats.pkcs12.key",
            "spec.target.configMap.key",
        ],
    ),
];

/// Returns the schema without descriptions, and with every number as floating point.
fn bare(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, value)| name != "description" || !value.is_string())
            .map(|(name, value)| (name, bare(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(bare).collect(),
        Value::Number(number) => number.as_f64().into(),
        other => other,
    }
}

#[test]
fn the_recorded_answers_are_about_this_schema() {
    let text = fs::read_to_string(format!("{FIXTURES}/admission/answers.json")).unwrap();
    let recorded: Recorded = serde_json::from_str(&text).unwrap();
    let ours = serde_json::to_value(v1alpha1::schema()).unwrap();
    assert!(bare(ours) == bare(recorded.schema), "run tests/fixtures/admission/record.py");
}

#[test]
fn says_what_a_real_api_server_said() {
    let text = fs::read_to_string(format!("{FIXTURES}/admission/answers.json")).unwrap();
    let recorded: Recorded = serde_json::from_str(&text).unwrap();
    let cases = cases();
    assert!(recorded.cases.keys().eq(cases.keys()), "run tests/fixtures/admission/record.py");
    for (name, answer) in recorded.cases {
        let errors = read(&cases[&name]).err().map(|invalid| invalid.errors).unwrap_or_default();
        if let Some((_, paths)) = EARLIER.iter().find(|(earlier, _)| *earlier == name) {
            assert!(answer.accepted, "{name}");
            assert!(errors.iter().map(|e| e.path.as_str()).eq(paths.iter().copied()), "{name}");
            continue;
        }
        let ours: Vec<(String, String)> = errors.into_iter().map(|e| (e.path, e.message)).collect();
        // Where types or sizes are wrong, the API server does not get to its other rules.
        let (gave_up, wanted): (Vec<_>, Vec<_>) =
            answer.errors.into_iter().partition(|(path, _)| path == "<nil>");
        if gave_up.is_empty() {
            assert_eq!(ours, wanted, "{name}");
        } else {
            let missing: Vec<_> = wanted.iter().filter(|error| !ours.contains(error)).collect();
            assert!(missing.is_empty(), "{name}: {missing:#?} not in {ours:#?}");
        }
        assert_eq!(ours.is_empty(), answer.accepted, "{name}");
    }
}

/// Returns true if an error of the API server comes from this rule of its schema.
fn is_said_by(rule: &Value, place: &str, (path, message): &(String, String)) -> bool {
    let field = rule["fieldPath"].as_str().unwrap_or_default();
    // `a[3].b` is in the schema as `a[].b`.
    let path: String = path.chars().filter(|letter| !letter.is_ascii_digit()).collect();
    let place: String = place.chars().filter(|letter| !letter.is_ascii_digit()).collect();
    let place = place + &field.chars().filter(|it| !it.is_ascii_digit()).collect::<String>();
    let text: String = match rule["message"].as_str() {
        Some(message) => message.to_owned(),
        // Of an expression, the longest text in it.
        None => rule["messageExpression"]
            .as_str()
            .unwrap()
            .replace("\\'", "\0")
            .split('\'')
            .skip(1)
            .step_by(2)
            .map(|text| text.replace('\0', "'"))
            .max_by_key(String::len)
            .unwrap(),
    };
    path == place.trim_start_matches('.') && message.contains(&text)
}

fn each_rule(schema: &Value, place: &str, visit: &mut impl FnMut(&str, &Value)) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        visit(place, rule);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let dot = if place.is_empty() { "" } else { "." };
        each_rule(field, &format!("{place}{dot}{name}"), visit);
    }
    if schema["items"].is_object() {
        each_rule(&schema["items"], &format!("{place}[]"), visit);
    }
}

#[test]
fn every_rule_of_the_schema_has_refused_a_recorded_case() {
    let text = fs::read_to_string(format!("{FIXTURES}/admission/answers.json")).unwrap();
    let recorded: Recorded = serde_json::from_str(&text).unwrap();
    let errors: Vec<_> = recorded.cases.values().flat_map(|answer| &answer.errors).collect();
    let mut silent = Vec::new();
    let mut count = 0;
    each_rule(&recorded.schema, "", &mut |place, rule| {
        count += 1;
        if !errors.iter().any(|error| is_said_by(rule, place, error)) {
            silent.push(format!("{place}: {}", rule["rule"]));
        }
    });
    assert!(count > 30, "{count}");
    assert!(silent.is_empty(), "add cases for\n{}", silent.join("\n"));
}

#[test]
fn defaults_are_those_that_a_real_api_server_filled_in() {
    let text = fs::read_to_string(format!("{FIXTURES}/admission/answers.json")).unwrap();
    let recorded: Recorded = serde_json::from_str(&text).unwrap();
    let mut cases = cases();
    for (name, answer) in recorded.cases.into_iter().filter(|(_, answer)| answer.accepted) {
        let bundle = cases.get_mut(&name).unwrap();
        v1alpha1::apply_defaults(bundle);
        // The API server drops unknown fields on top; so do our types.
        let typed: Bundle = serde_json::from_value(bundle.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed.spec).unwrap(), answer.spec.unwrap(), "{name}");
    }
}

fn valid(spec: &Value) -> Value {
    json!({"metadata": {"name": "b"}, "spec": spec})
}

#[test]
fn everything_that_a_bundle_says_reaches_the_plan() {
    let bundle = json!({
        "metadata": {
            "name": "b", "uid": "u", "generation": 3, "deletionTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"trust.cert-manager.io/paused": "true"},
        },
        "spec": {
            "sources": [
                {"useDefaultCAs": false},
                {"configMap": {"name": "c", "key": "k"}},
                {"secret": {"selector": {"matchLabels": {"a": "b"}}, "includeAllKeys": true}},
                {"inLine": "text"},
            ],
            "target": {
                "configMap": {"key": "pem", "metadata": {
                    "labels": {"l": "1"}, "annotations": {"A": "2"}}},
                "additionalFormats": {
                    "pkcs12": {"key": "p", "profile": "LegacyDES"}, "jks": {"key": "j"}},
                "namespaceSelector": {"matchExpressions": [
                    {"key": "e", "operator": "NotIn", "values": ["y", "x"]},
                    {"key": "d", "operator": "DoesNotExist"}]},
            },
        },
        "status": {"conditions": [
            {"type": "Synced", "status": "True", "observedGeneration": 3}]},
    });
    let spec = read(&bundle).unwrap();
    assert_eq!((spec.name.as_str(), spec.uid.unwrap().as_str()), ("b", "u"));
    assert!(spec.deleting && spec.paused && spec.synced);
    let [named, selected, in_line] = spec.sources.as_slice() else { panic!("{:?}", spec.sources) };
    assert_eq!((named.index, selected.index, in_line.index), (1, 2, 3));
    assert_eq!(
        named.from,
        SourceRef::Objects {
            kind: Kind::ConfigMap,
            pick: Pick::Named("c".into()),
            keys: Keys::One("k".into())
        }
    );
    let SourceRef::Objects { kind: Kind::Secret, pick: Pick::Selected(labels), keys: Keys::All } =
        &selected.from
    else {
        panic!("{selected:?}")
    };
    assert_eq!(labels.to_string(), "a=b");
    assert_eq!(in_line.from, SourceRef::InLine("text".into()));
    let target = spec.target.unwrap();
    assert_eq!(target.namespaces.to_string(), "!d,e notin (x,y)");
    let template = target.config_map.unwrap();
    assert_eq!(template.key.as_str(), "pem");
    assert_eq!((template.labels["l"].as_str(), template.annotations["A"].as_str()), ("1", "2"));
    assert!(target.secret.is_none());
    assert_eq!(
        target.stores,
        [
            Store::Jks { key: "j".into(), password: "changeit".into() },
            Store::Pkcs12 {
                key: "p".into(),
                password: String::new(),
                profile: Some(Profile::LegacyDes)
            },
        ]
    );
}

#[test]
fn only_a_true_condition_of_this_generation_means_synced() {
    let synced = |generation: Value, conditions: Value| {
        let mut bundle = valid(&json!({"sources": [{"inLine": "x"}]}));
        bundle["metadata"]["generation"] = generation;
        bundle["status"] = json!({ "conditions": conditions });
        read(&bundle).unwrap().synced
    };
    let condition = |status: &str, observed: Value| json!([{"type": "Other"}, {"type": "Synced", "status": status, "observedGeneration": observed}]);
    assert!(synced(json!(2), condition("True", json!(2))));
    assert!(!synced(json!(3), condition("True", json!(2))));
    assert!(!synced(json!(2), condition("False", json!(2))));
    assert!(!synced(Value::Null, condition("True", Value::Null)));
    assert!(!synced(json!(2), json!("odd")));
}

#[test]
fn a_message_reads_as_that_of_the_api_server() {
    let one = read(&valid(&json!({"sources": [{}]}))).unwrap_err();
    assert_eq!(
        one.to_string(),
        "Bundle.trust.cert-manager.io \"b\" is invalid: spec.sources[0]: Invalid value: exactly one \
         of the fields in [configMap secret inLine useDefaultCAs] must be set"
    );
    let two = read(&json!({})).unwrap_err();
    assert_eq!(
        two.to_string(),
        "Bundle.trust.cert-manager.io \"\" is invalid: [metadata.name: Required value: name or \
         generateName is required, spec: Required value]"
    );
}

/// JSON that often has the names, and sometimes the types, of a Bundle's fields.
fn bundle_like() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("In".to_owned()),
        Just("Modern2023".to_owned()),
        Just("True".to_owned()),
        "[a-z./ä-]{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let field = prop::sample::select(vec![
        "metadata",
        "spec",
        "status",
        "name",
        "sources",
        "target",
        "secret",
        "configMap",
        "inLine",
        "useDefaultCAs",
        "selector",
        "key",
        "includeAllKeys",
        "matchLabels",
        "matchExpressions",
        "operator",
        "values",
        "additionalFormats",
        "jks",
        "pkcs12",
        "password",
        "profile",
        "namespaceSelector",
        "labels",
        "annotations",
        "conditions",
        "other",
    ]);
    leaf.prop_recursive(7, 60, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            4 => prop::collection::btree_map(field.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Values put in place of what stands somewhere in a good Bundle.
fn spoiled() -> impl Strategy<Value = Value> {
    let good = cases()["everything in the target"].clone();
    let mut places = Vec::new();
    fn walk(value: &Value, path: &str, places: &mut Vec<String>) {
        places.push(path.to_owned());
        match value {
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    walk(item, &format!("{path}/{at}"), places);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    walk(field, &format!("{path}/{}", name.replace('/', "~1")), places);
                }
            }
            _ => {}
        }
    }
    walk(&good, "", &mut places);
    (prop::sample::select(places), bundle_like()).prop_map(move |(place, value)| {
        let mut bundle = good.clone();
        *bundle.pointer_mut(&place).unwrap() = value;
        bundle
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_answered_and_schema_and_types_agree(
        raw in prop_oneof![
            bundle_like(),
            bundle_like().prop_map(|spec| json!({"metadata": {"name": "b"}, "spec": spec})),
            spoiled(),
        ]
    ) {
        if let Err(invalid) = read(&raw) {
            prop_assert!(!invalid.errors.is_empty());
            for error in &invalid.errors {
                // What `read` says when the schema lets pass what the types cannot hold.
                let fits = error.path != "spec" || error.message.contains("in body must be of type")
                    || error.message == "Required value";
                prop_assert!(fits, "{error}");
            }
        }
    }
}
