//! Manifests with mistakes that the API server takes without a word, and names that it refuses.

use crate::program::{Folder, Ran, trustd, trustd_with_stdin};
use crate::render::{BUNDLE, NAMESPACES, arg, pem, source};

fn run(verb: &str, bundle: &str, flags: &[&str]) -> Ran {
    let text = [bundle, NAMESPACES, &source(&pem(&["alpha"]))].join("---\n");
    trustd_with_stdin([&[verb, "-o", "json", "-f", "-"], flags].concat(), text.as_bytes())
}

const BELOW_THE_SELECTOR: &str = "warning: Bundle roots: unknown field \
    `spec.target.namespaceSelector.kubernetes.io/metadata.name`, which the API server drops; did you \
    mean `spec.target.namespaceSelector.matchLabels`? (-:1)\n";
const EVERYWHERE: &str =
    "note: Bundle roots: spec.target.namespaceSelector is empty and selects every namespace\n";

#[test]
fn a_label_that_stands_beside_match_labels_is_told_and_so_is_the_empty_selector() {
    let bundle = BUNDLE.replace("matchLabels: { env: prod }", "kubernetes.io/metadata.name: prod");
    for (verb, code) in [("render", 0), ("diff", 1)] {
        let ran = run(verb, &bundle, &[]);
        assert_eq!(ran.code, code, "{ran:?}");
        assert_eq!(ran.err, format!("{BELOW_THE_SELECTOR}{EVERYWHERE}"));
    }
    // The document for programs says it too.
    let json = run("diff", &bundle, &[]).json();
    let [warning, note] = ["warnings", "notes"].map(|field| json["bundles"][0][field][0].clone());
    assert!(BELOW_THE_SELECTOR.contains(warning.as_str().unwrap()), "{warning}");
    assert!(EVERYWHERE.contains(note.as_str().unwrap()), "{note}");
    assert_eq!(run("render", BUNDLE, &[]).err, "");
}

#[test]
fn unknown_fields_are_a_no_under_strict() {
    let bundle = BUNDLE.replace("key: ca.crt }", "key: ca.crt, namespace: elsewhere }");
    let warning = "warning: Bundle roots: unknown field `spec.sources[0].configMap.namespace`, which \
                   the API server drops; sources are read from the trust namespace alone \
                   (--trust-namespace) (-:1)\n";
    let ran = run("render", &bundle, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, warning));
    let ran = run("render", &bundle, &["--strict"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.starts_with(warning), "{ran:?}");
    assert_eq!(run("render", BUNDLE, &["--strict"]).code, 0);
    // In other objects as well: this namespace has no labels.
    let namespaces = NAMESPACES.replace("labels:", "lables:");
    let text = [BUNDLE, &namespaces, &source(&pem(&["alpha"]))].join("---\n");
    let ran = trustd_with_stdin(["render", "--strict", "-f", "-"], text.as_bytes());
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = "Namespace prod: unknown field `metadata.lables`, which the API server drops; did you \
                mean `metadata.labels`?";
    assert!(ran.err.contains(told), "{ran:?}");
}

#[test]
fn an_invalid_bundle_says_which_of_its_fields_are_unknown_too() {
    let bundle = BUNDLE.replace("sources:", "source:");
    let ran = run("render", &bundle, &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("spec.sources: Required value"), "{ran:?}");
    assert!(ran.err.contains("unknown field `spec.source`"), "{ran:?}");
    assert!(ran.err.contains("did you mean `spec.sources`?"), "{ran:?}");
}

#[test]
fn what_control_bytes_a_field_has_reaches_no_screen() {
    let bundle = BUNDLE.replace("spec:", "\"\\e[2J\\u202e\": 1\nspec:");
    let ran = run("render", &bundle, &[]);
    assert!(ran.err.contains("`\\u{1b}[2J\\u{202e}`"), "{ran:?}");
}

#[test]
fn other_kinds_of_our_group_are_passed_over_with_a_warning() {
    let other = "apiVersion: trust.cert-manager.io/v1alpha2\nkind: ClusterBundle\n\
                 metadata: { name: new }\n---\n";
    let ran = run("render", &format!("{other}{BUNDLE}"), &[]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            0,
            "warning: -:1: ClusterBundle new (trust.cert-manager.io/v1alpha2) is ignored; trustd \
             reads Bundle of trust.cert-manager.io/v1alpha1\n"
        )
    );
}

#[test]
fn a_bundle_as_a_cluster_has_it_is_warned_of_nothing() {
    let metadata = "metadata: { name: roots, uid: u, generation: 3, resourceVersion: \"7\", \
        creationTimestamp: \"2026-01-01T00:00:00Z\", managedFields: [{ manager: kubectl, \
        operation: Apply, fieldsType: FieldsV1, fieldsV1: { \"f:spec\": { \"f:sources\": {} } } }] }";
    let bundle = BUNDLE.replace("metadata: { name: roots }", metadata)
        + "status: { conditions: [], fieldOfAnotherVersion: 1 }\n";
    assert_eq!(run("render", &bundle, &["--strict"]).err, "");
}

#[test]
fn no_target_is_written_for_a_namespace_without_a_name() {
    for name in ["null", "\"\"", "12", "Prod", "a.b", "../prod"] {
        let namespaces = NAMESPACES.replace("name: prod,", &format!("name: {name},"));
        let folder = Folder::new();
        let file = folder.file("namespaces.yaml", namespaces);
        folder.file("bundle.yaml", BUNDLE);
        folder.file("source.yaml", source(&pem(&["alpha"])));
        let ran = trustd(["render", "-f", arg(folder.path())]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name}: {ran:?}");
        let start = format!("error: `{}`: document 2 (line 5): ", file.display());
        assert!(ran.err.starts_with(&start) && ran.err.contains("`metadata.name`"), "{ran:?}");
    }
}

#[test]
fn flags_that_name_namespaces_are_read_as_strictly() {
    for flag in ["--namespace", "--trust-namespace", "--target-namespaces"] {
        for name in ["Prod", "a.b", "../prod", "a b"] {
            let ran = run("render", BUNDLE, &[flag, name]);
            assert_eq!(ran.code, 2, "{flag} {name}: {ran:?}");
            assert!(ran.err.contains("RFC 1123 label"), "{ran:?}");
        }
    }
}
