use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value as Json, json};
use trustd_core::world::OwnerReference;

use super::*;

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap()
}

fn told(known: &mut Known, event: Event<ConfigMap>) -> Vec<String> {
    let reduce = |object: ConfigMap| reduce::source(&Whole::ConfigMap(&object));
    let sightings = known.take(event, &reduce).into_iter();
    sightings
        .map(|sighting| match sighting {
            Sighting::Is(Place::Source(_, name), _) => format!("is {name}"),
            Sighting::Gone(Place::Source(_, name)) => format!("gone {name}"),
            Sighting::Synced => "synced".to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_new_list_tells_what_vanished_and_says_synced_once() {
    let mut known = Known::default();
    for name in ["a", "b"] {
        assert_eq!(told(&mut known, Event::InitApply(config_map(name))), [format!("is {name}")]);
    }
    assert_eq!(told(&mut known, Event::InitDone), ["synced"]);
    assert_eq!(told(&mut known, Event::Apply(config_map("c"))), ["is c"]);
    assert_eq!(told(&mut known, Event::Delete(config_map("a"))), ["gone a"]);
    // A list that breaks off half-way counts for nothing.
    told(&mut known, Event::Init);
    told(&mut known, Event::InitApply(config_map("b")));
    told(&mut known, Event::Init);
    told(&mut known, Event::InitApply(config_map("c")));
    assert_eq!(told(&mut known, Event::InitDone), ["gone b"]);
}

#[test]
fn a_bundle_is_kept_raw_however_odd_it_is() {
    let raw = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": { "name": "b", "managedFields": [{ "manager": "m" }] },
        "spec": { "sources": "none", "later": 1 }, "status": [],
    });
    let (place, object) = reduce::bundle(serde_json::from_value(raw).unwrap());
    assert_eq!(place, Place::Bundle("b".into()));
    let Some(Object::Bundle(kept)) = object else { panic!("{object:?}") };
    assert_eq!(kept["spec"]["sources"], "none");
    assert_eq!(kept["metadata"].get("managedFields"), None::<&Json>);
}

#[test]
fn a_target_is_reduced_to_what_ownership_needs() {
    let raw = json!({ "metadata": {
        "name": "b", "namespace": "n", "uid": "u", "resourceVersion": "7",
        "labels": { "trust.cert-manager.io/bundle": "b" },
        "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "huge", "a": "1" },
        "managedFields": [{ "manager": "trust-manager", "operation": "Apply",
                            "fieldsV1": { "f:data": { "f:k": {} } } }],
    }});
    let object: PartialObjectMeta<ConfigMap> = serde_json::from_value(raw).unwrap();
    let (place, object) = reduce::target(Kind::ConfigMap)(object);
    assert_eq!(place, Place::Target(Kind::ConfigMap, "n".into(), "b".into()));
    let Some(Object::Target(observed)) = object else { panic!("{object:?}") };
    assert_eq!(observed.annotations.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(observed.managed.as_ref().unwrap().applied.len(), 1);
    assert_eq!(observed.owner, OwnerReference::None);
}
