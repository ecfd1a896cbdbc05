//! `trustd diff` from outside: what would change, against the same files or others.

use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::Value as Json;

use crate::program::{Folder, Ran, repository, trustd, trustd_with_stdin};
use crate::render::{BUNDLE, NAMESPACES, arg, both_kinds, config_map, manifests, pem, source};

fn diff(folder: &Folder, flags: &[&str]) -> Ran {
    trustd([&["diff", "-f", arg(folder.path())], flags].concat())
}

#[test]
fn the_exit_code_tells_none_some_and_failed() {
    let folder = manifests();
    assert_eq!(diff(&folder, &[]).code, 1, "one target is to be created");
    let printed = trustd(["render", "-f", arg(folder.path())]);
    let target = folder.file("target.yaml", &printed.out);
    assert_eq!(diff(&folder, &[]).code, 0, "and now it is there");
    folder.file("target.yaml", printed.out.replace("name: roots", "name: other"));
    assert_eq!(diff(&folder, &[]).code, 1, "under the wrong name");
    folder.file("target.yaml", "not: [yaml");
    assert_eq!(diff(&folder, &[]).code, 2, "a file that is none");
    std::fs::remove_file(target).unwrap();
    folder.file("source.yaml", source("nothing"));
    let ran = diff(&folder, &[]);
    assert_eq!(ran.code, 1, "no change, and yet the Bundle would not be synced: {ran:?}");
    assert!(ran.out.ends_with("0 changes, 0 kept\n"), "{}", ran.out);
    folder.file("bundle.yaml", BUNDLE.replace("configMap: { name: source, key: ca.crt }", ""));
    assert_eq!(diff(&folder, &[]).code, 2, "an invalid Bundle");
    let missing = folder.path().join("missing");
    assert_eq!(diff(&folder, &["--against", arg(&missing)]).code, 2, "nothing to compare with");
}

#[test]
fn the_table_has_a_line_for_each_change_and_counts_them() {
    let folder = manifests();
    folder.file("bundle.yaml", both_kinds());
    let ran = diff(&folder, &["--secret-targets-enabled"]);
    let lines: Vec<Vec<&str>> =
        ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let wanted = [
        vec!["ACTION", "KIND", "NAMESPACE", "NAME", "WHY"],
        vec!["create", "ConfigMap", "prod", "roots"],
        vec!["create", "Secret", "prod", "roots"],
        vec!["2", "changes,", "0", "kept"],
    ];
    assert_eq!(lines, wanted, "{}", ran.out);
    assert!(ran.out.lines().all(|line| line == line.trim_end()), "{}", ran.out);
}

#[test]
fn certificates_that_come_and_go_are_named_with_digest_and_subject() {
    let folder = manifests();
    folder.file("source.yaml", source(&pem(&["alpha", "beta"])));
    let before = folder.file("target.yaml", trustd(["render", "-f", arg(folder.path())]).out);
    folder.file("source.yaml", source(&pem(&["alpha", "gamma"])));
    let ran = diff(&folder, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    // By `openssl x509 -fingerprint -sha256` over the fixtures.
    let gamma = "daf8b7783bad6d2a31dab48ab57ed95150365a082338fd3f37444be8ab0f21b7";
    let beta = "ed2161ed83d79f8f47db418235b2279a4f0c3766ea21082690eae641cc4c2b73";
    let line = |sign: &str, digest: &str| {
        let found = ran.out.lines().find(|l| l.starts_with(sign) && l.contains(digest));
        found.unwrap_or_else(|| panic!("{sign} {digest}: {}", ran.out)).to_owned()
    };
    assert!(line("+ roots", gamma).contains("Gamma"), "{}", ran.out);
    assert!(line("- roots", beta).contains("CN=Beta Test CA"), "{}", ran.out);
    assert_eq!(ran.out.lines().filter(|l| l.starts_with(['+', '-'])).count(), 2, "{}", ran.out);

    let json = diff(&folder, &["-o", "json"]).json();
    let bundle = &json["bundles"][0];
    let digests = |field: &str| -> Vec<Json> {
        let all = bundle[field].as_array().unwrap().iter();
        all.map(|certificate| certificate["sha256"].clone()).collect()
    };
    assert_eq!(digests("certificatesAdded"), [gamma]);
    assert_eq!(digests("certificatesRemoved"), [beta]);

    // Nothing of ours is written: the old target again, and nothing is left to say.
    std::fs::remove_file(before).unwrap();
    folder.file("source.yaml", source(&pem(&["alpha", "beta"])));
    assert_eq!(trustd(["diff", "-f", arg(folder.path())]).out.matches('\n').count(), 3);
}

#[test]
fn targets_are_looked_for_in_other_files_when_there_are_any() {
    let folder = manifests();
    let elsewhere = Folder::new();
    let printed = trustd(["render", "-f", arg(folder.path())]).out;
    let dump = elsewhere.file("dump.yaml", &printed);
    assert_eq!(diff(&folder, &["--against", arg(&dump)]).code, 0);
    assert_eq!(diff(&folder, &["--against", arg(elsewhere.path())]).code, 0, "a directory");
    let piped = ["diff", "-f", arg(folder.path()), "--against", "-"];
    assert_eq!(trustd_with_stdin(piped, printed.as_bytes()).code, 0, "stdin");

    // With --against, a target among the other files is none.
    folder.file("target.yaml", &printed);
    let empty = elsewhere.file("dump.yaml", NAMESPACES);
    let ran = diff(&folder, &["--against", arg(&empty)]);
    assert!(ran.code == 1 && ran.out.contains("create"), "{ran:?}");

    // Sources and namespaces of the dump do not count; they are what is asked for, not what is.
    let dump = documents(&[&printed, &source(&pem(&["beta"])), NAMESPACES]);
    let dump = elsewhere.file("dump.yaml", dump);
    assert_eq!(diff(&folder, &["--against", arg(&dump)]).code, 0);
}

#[test]
fn what_only_a_cluster_knows_makes_no_difference() {
    let folder = manifests();
    let elsewhere = Folder::new();
    let own = "metadata: { name: roots, uid: 3b0a2c1e-7d54-4f0e-9a35-0d5b8b9f6a01 }";
    // As dumped from a cluster: with an owner, a UID and a version that no file of ours has.
    folder.file("bundle.yaml", BUNDLE.replace("metadata: { name: roots }", own));
    let dumped = trustd(["render", "-f", arg(folder.path())]).out;
    assert!(dumped.contains("ownerReferences:"), "{dumped}");
    let dumped = dumped.replace(
        "  namespace: prod\n",
        "  namespace: prod\n  resourceVersion: '12'\n  uid: d5845e2b-0af4-44bc-b8f8-21dd25571799\n  \
         creationTimestamp: '2026-11-21T10:22:13Z'\n  generation: 3\n",
    );
    assert!(dumped.contains("resourceVersion"), "{dumped}");
    let dump = elsewhere.file("dump.yaml", dumped);
    folder.file("bundle.yaml", BUNDLE);
    let ran = diff(&folder, &["--against", arg(&dump)]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn what_is_rendered_is_up_to_date_by_the_next_diff_whatever_the_template_says() {
    let template = "key: ca-bundle.crt, metadata: { labels: { a: b, empty: \"\" }, \
                    annotations: { note: \"Zürich: – 東京 # 'x' \\\"y\\\"\", yes: \"no\" } }";
    for bundle in [BUNDLE.to_owned(), both_kinds()] {
        let folder = manifests();
        folder.file("bundle.yaml", bundle.replace("key: ca-bundle.crt", template));
        folder.file("source.yaml", source(&pem(&["alpha", "delta", "epsilon", "gamma", "zeta"])));
        let flags = ["--secret-targets-enabled"];
        for output in ["yaml", "json"] {
            let arguments = ["render", "-f", arg(folder.path()), "-o", output];
            let printed = trustd([&arguments[..], &flags].concat());
            assert_eq!(printed.code, 0, "{printed:?}");
            let elsewhere = Folder::new();
            let dump = elsewhere.file("dump", printed.out);
            let ran = diff(&folder, &["--against", arg(&dump), flags[0]]);
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{output}: {ran:?}");
        }
    }
}

#[test]
fn every_change_and_count_is_in_the_json() {
    let folder = manifests();
    let foreign = config_map("roots", "prod", "ca-bundle.crt", "what somebody else put here");
    folder.file("foreign.yaml", foreign);
    let ran = diff(&folder, &["-o", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let bundle = ran.json()["bundles"][0].clone();
    let why = "key \"ca-bundle.crt\" holds another manager's value; remove it there, or allow it to \
               be overwritten with the annotation trust.cert-manager.io/allow-overwrite: \"true\"";
    let change = serde_json::json!([{ "action": "refuse", "kind": "ConfigMap", "namespace": "prod",
                                      "name": "roots", "why": why }]);
    assert_eq!(bundle["changes"], change);
    let targets = serde_json::json!({ "desired": 1, "synced": 0, "failed": 0, "refused": 1 });
    assert_eq!(bundle["targets"], targets);
    let fields = [
        "name",
        "synced",
        "reason",
        "message",
        "certificates",
        "kept",
        "certificatesAdded",
        "certificatesRemoved",
        "warnings",
        "notes",
    ];
    for field in fields {
        assert!(bundle.get(field).is_some(), "{field}: {bundle}");
    }
}

#[test]
fn a_target_that_is_too_large_is_refused_before_it_is_written() {
    let folder = manifests();
    let key = KeyPair::generate().unwrap();
    let mut text = String::new();
    // A name of 60 characters makes about 700 bytes of PEM each; over a mebibyte in two sources.
    for number in 0..1_800 {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("{number:060}"));
        text.push_str(&params.self_signed(&key).unwrap().pem());
    }
    let half = text.len() / 2;
    let half = half + text[half..].find("-----BEGIN").unwrap();
    let second = source(&text[half..]).replace("name: source", "name: source-2");
    folder.file("source.yaml", documents(&[&source(&text[..half]), &second]));
    let one = "{ configMap: { name: source, key: ca.crt } }";
    let two = format!("{one}, {}", one.replace("source", "source-2"));
    folder.file("bundle.yaml", BUNDLE.replace(one, &two));
    let ran = diff(&folder, &["-o", "json"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let bundle = ran.json()["bundles"][0].clone();
    assert_eq!(bundle["reason"], "TargetTooLarge", "{bundle}");
    assert_eq!(bundle["certificates"]["total"], 1_800);
    assert_eq!(bundle["changes"][0]["action"], "refuse");
    let why = bundle["changes"][0]["why"].as_str().unwrap();
    let bytes = text.replace("\r\n", "\n").trim_end().len();
    assert_eq!(why, format!("its data is {bytes} bytes, and the API server takes 1048576"));
    let out = folder.path().join("out");
    let ran = trustd(["render", "-f", arg(folder.path()), "--out", arg(&out)]);
    assert!(ran.code == 1 && !out.exists(), "{}", ran.err);
}

#[test]
fn annotations_that_are_too_large_are_refused_before_they_are_written() {
    let folder = manifests();
    let annotated = |length: usize| {
        let value = "x".repeat(length);
        let template =
            format!("key: ca-bundle.crt, metadata: {{ annotations: {{ note: {value} }} }}");
        folder.file("bundle.yaml", BUNDLE.replace("key: ca-bundle.crt", &template));
        diff(&folder, &["-o", "json"])
    };
    let fits = annotated(200_000);
    assert_eq!(fits.json()["bundles"][0]["reason"], "Synced", "{}", fits.err);
    let ran = annotated(262_140);
    // What one annotation may hold is refused with the Bundle or with the target, but is refused.
    if ran.code == 1 {
        assert_eq!(ran.json()["bundles"][0]["reason"], "TargetTooLarge");
        assert_eq!(ran.json()["bundles"][0]["changes"][0]["action"], "refuse");
    } else {
        assert!(ran.code == 2 && ran.err.contains("annotations"), "{}", &ran.err[..200]);
    }
}

#[test]
fn a_package_that_is_none_ends_the_run() {
    let folder = manifests();
    let elsewhere = Folder::new();
    for (name, content) in [
        ("package.txt", "{\"name\":\"a\",\"version\":\"1\",\"bundle\":\"\"}".to_owned()),
        ("package.json", "{".to_owned()),
        ("no-name.json", "{\"version\":\"1\",\"bundle\":\"\"}".to_owned()),
        (
            "key.json",
            serde_json::json!({ "name": "a", "version": "1",
            "bundle": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" })
            .to_string(),
        ),
    ] {
        let path = elsewhere.file(name, content);
        let ran = diff(&folder, &["--default-package-location", arg(&path)]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name}: {ran:?}");
        assert!(ran.err.contains(name), "{name}: {}", ran.err);
    }
    let example = repository("deploy/examples/packages/example.json");
    assert_eq!(diff(&folder, &["--default-package-location", arg(&example)]).code, 1);
}

fn documents(parts: &[&str]) -> String {
    parts.join("---\n")
}
