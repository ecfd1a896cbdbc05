//! Objects that trust-manager wrote, planned and rendered again: a swap must find next to nothing
//! to do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::program::{Folder, Ran, repository, trustd};

const VERSIONS: [&str; 2] = ["v0.24.0", "v0.25.0"];

/// All that is not kept, and why. Whoever makes this list longer writes to somebody's cluster.
const CHANGES: [(&str, &str); 5] = [
    // `tenant` edited a template label and dropped an annotation; the peer never looks.
    ("update ConfigMap shop/drifted", "label team differs, annotation example.test/note differs"),
    // The peer took its keys out and stayed the controlling owner of `tenant`'s objects.
    ("release ConfigMap leaver/half-released", ""),
    ("release Secret leaver/half-released", ""),
    // The peer fails here, for it wants to own what is another's; trustd adds its key and does not.
    ("share ConfigMap shop/let", SOMEBODY_ELSE),
    // The peer fails here too. That the object is immutable is for the server to say.
    ("share ConfigMap shop/immutable", SOMEBODY_ELSE),
];
const SOMEBODY_ELSE: &str = "somebody else's object has this name; only our keys are added";

/// Bundles that ask for stores. Until trustd writes them, it keeps what is there and says so.
const WITH_STORES: [&str; 9] = [
    "all-formats",
    "jks-default",
    "jks-own",
    "p12-des",
    "p12-modern",
    "p12-open",
    "p12-open-profile",
    "p12-rc2",
    "p12-unset",
];

/// Bundles that name keys without a certificate. Where the peer says nothing of it, the message of
/// trustd goes on and names them (docs/decisions/0017).
const WITH_EMPTY_KEYS: [&str; 1] = ["empty-keys"];

/// Recorded as failed by the server's answer to a write, which no plan can know.
const FAILED_IN_WRITING: [&str; 2] = ["immutable", "let"];

#[test]
fn what_the_peer_synced_is_kept_except_for_a_short_list() {
    for version in VERSIONS {
        let diff = offline(version, &["diff", "-o", "json"]);
        assert_eq!(diff.code, 1, "{version}: {}", diff.err);
        let mut changes = BTreeMap::new();
        let mut kept = 0;
        for bundle in diff.json()["bundles"].as_array().unwrap() {
            kept += bundle["kept"].as_u64().unwrap();
            for change in bundle["changes"].as_array().unwrap() {
                let [action, kind, namespace, name] =
                    ["action", "kind", "namespace", "name"].map(|field| text(&change[field]));
                let why = change.get("why").map(text).unwrap_or_default();
                changes.insert(format!("{action} {kind} {namespace}/{name}"), why);
            }
        }
        let wanted = CHANGES.map(|(change, why)| (change.to_owned(), why.to_owned()));
        assert_eq!(changes, BTreeMap::from(wanted), "{version}");
        // Every other target that the peer left is kept; those of `frozen` and of stores too.
        let targets = targets(&recorded(version)).into_values().count() as u64;
        let touched = CHANGES.iter().filter(|(change, _)| !change.starts_with("share")).count();
        assert_eq!(kept, targets - touched as u64, "{version}");
    }
}

#[test]
fn what_is_rendered_is_what_the_peer_wrote() {
    for version in VERSIONS {
        let list = recorded(version);
        let rendered = offline(version, &["render", "-o", "json"]).json();
        let mut ours = by_place(rendered["items"].as_array().unwrap());
        let mut compared = 0;
        let left_out: BTreeSet<&str> =
            WITH_STORES.into_iter().chain(["frozen", "half-released"]).collect();
        for (place, theirs) in targets(&list) {
            let bundle = text(&theirs["metadata"]["name"]);
            if left_out.contains(bundle.as_str()) {
                continue;
            }
            let own = ours.remove(&place).unwrap_or_else(|| panic!("{version}: no {place}"));
            assert_same(&format!("{version}: {place}"), &own, &theirs);
            compared += 1;
        }
        assert!(compared >= 40, "{version}: only {compared} targets were compared");
        // What is left are the two that the peer failed to write.
        let left: BTreeSet<String> =
            ours.into_values().map(|o| text(&o["metadata"]["name"])).collect();
        assert_eq!(left, FAILED_IN_WRITING.map(str::to_owned).into(), "{version}");
    }
}

#[test]
fn the_status_says_what_the_peers_says() {
    for version in VERSIONS {
        let list = recorded(version);
        let diff = offline(version, &["diff", "-o", "json"]).json();
        let bundles = diff["bundles"].as_array().unwrap();
        let ours: BTreeMap<String, &Json> =
            bundles.iter().map(|bundle| (text(&bundle["name"]), bundle)).collect();
        let mut failed = 0;
        for bundle in items(&list, "Bundle") {
            let name = text(&bundle["metadata"]["name"]);
            let at = format!("{version}: {name}");
            let condition = &bundle["status"]["conditions"][0];
            let own = ours[&name];
            if WITH_STORES.contains(&name.as_str()) {
                assert_eq!(own["reason"], "AdditionalFormatsUnsupported", "{at}");
            } else if condition["status"] == "True" {
                assert_eq!(own["reason"], condition["reason"], "{at}");
                let message = text(&own["message"]);
                let behind = message.strip_prefix(condition["message"].as_str().unwrap());
                if WITH_EMPTY_KEYS.contains(&name.as_str()) {
                    assert!(
                        behind.is_some_and(|b| b.starts_with("; left out: ")),
                        "{at}: {message}"
                    );
                } else {
                    assert_eq!(behind, Some(""), "{at}: {message}");
                }
                let version = bundle["status"].get("defaultCAVersion");
                assert_eq!(own.get("defaultCaVersion"), version, "{at}");
            } else if FAILED_IN_WRITING.contains(&name.as_str()) {
                assert_eq!(condition["reason"], "SyncConfigMapTargetFailed", "{at}");
                assert_eq!(own["reason"], "Synced", "{at}: planned, the server has not been asked");
            } else {
                assert_eq!(own["reason"], condition["reason"], "{at}");
                failed += 1;
            }
        }
        assert_eq!(failed, 8, "{version}: Bundles with a fault in their sources");
    }
}

/// Plans the recorded objects with the flags that the peer was run with.
fn offline(version: &str, verb: &[&str]) -> Ran {
    let folder = Folder::new();
    let pem = |name: &str| {
        std::fs::read_to_string(repository(&format!("tests/fixtures/peer/ca/{name}.pem"))).unwrap()
    };
    let bundle = format!("# Beta\n{}# Epsilon\n{}", pem("beta"), pem("epsilon"));
    let package = serde_json::json!({ "name": "test-package", "version": "1.0", "bundle": bundle });
    let package = folder.file("package.json", package.to_string());
    let mut arguments: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
    arguments.push("-f".to_owned());
    arguments.push(objects(version).display().to_string());
    arguments.push("--secret-targets-enabled".to_owned());
    arguments.push(format!("--default-package-location={}", package.display()));
    trustd(arguments)
}

fn objects(version: &str) -> std::path::PathBuf {
    repository(&format!("tests/fixtures/peer/objects/{version}.json"))
}

fn recorded(version: &str) -> Json {
    serde_json::from_slice(&std::fs::read(objects(version)).unwrap()).unwrap()
}

fn items<'l>(list: &'l Json, kind: &str) -> Vec<&'l Json> {
    list["items"].as_array().unwrap().iter().filter(|item| item["kind"] == kind).collect()
}

/// The objects that bear the peer's label, by kind and place.
fn targets(list: &Json) -> BTreeMap<String, Json> {
    let all = list["items"].as_array().unwrap().iter();
    let labelled = all.filter(|item| item["metadata"]["labels"].get(LABEL).is_some());
    by_place(&labelled.cloned().collect::<Vec<_>>())
}

fn by_place(objects: &[Json]) -> BTreeMap<String, Json> {
    let place = |object: &Json| {
        let metadata = &object["metadata"];
        let [namespace, name] = ["namespace", "name"].map(|field| text(&metadata[field]));
        format!("{} {namespace}/{name}", text(&object["kind"]))
    };
    objects.iter().map(|object| (place(object), object.clone())).collect()
}

/// Everything that we render is there with the same value, and the peer applied nothing else.
fn assert_same(at: &str, ours: &Json, theirs: &Json) {
    let applied = theirs["metadata"]["managedFields"].as_array().unwrap().iter();
    let applied: Vec<&Json> = applied
        .filter(|entry| entry["manager"] == "trust-manager" && entry["operation"] == "Apply")
        .map(|entry| &entry["fieldsV1"])
        .collect();
    let [applied] = applied.as_slice() else { panic!("{at}: {applied:?}") };
    for (part, managed) in [
        ("/data", "/f:data"),
        ("/binaryData", "/f:binaryData"),
        ("/metadata/labels", "/f:metadata/f:labels"),
        ("/metadata/annotations", "/f:metadata/f:annotations"),
    ] {
        let mut own = ours.pointer(part).and_then(Json::as_object).cloned().unwrap_or_default();
        // trustd's own: where it is absent, the hash decides.
        let extra = own.remove("trust.cert-manager.io/content").is_some();
        assert_eq!(extra, part == "/metadata/annotations", "{at}: {part}");
        for (key, value) in &own {
            let held = theirs.pointer(part).and_then(|held| held.get(key));
            if at.ends_with("/drifted") && ["team", "example.test/note"].contains(&key.as_str()) {
                continue;
            }
            assert_eq!(Some(value), held, "{at}: {part}: {key}");
        }
        let keys: BTreeSet<String> = own.keys().map(|key| format!("f:{key}")).collect();
        let fields = applied.pointer(managed).and_then(Json::as_object).into_iter().flatten();
        let wanted: BTreeSet<String> =
            fields.map(|(key, _)| key.clone()).filter(|key| key != ".").collect();
        if !at.ends_with("/drifted") {
            assert_eq!(keys, wanted, "{at}: {part}");
        }
    }
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

const LABEL: &str = "trust.cert-manager.io/bundle";
