use proptest::prelude::*;
use serde_json::json;

use super::*;

fn all(text: &str) -> Vec<Manifest> {
    read(text.as_bytes()).unwrap().into_iter().map(|found| found.manifest).collect()
}

fn error(text: &str) -> String {
    read(text.as_bytes()).unwrap_err().to_string()
}

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";

#[test]
fn documents_are_split_counted_and_placed() {
    let text = format!(
        "# nothing but a comment\n---\n{CONFIG_MAP}---\n\n---\n# more\n{CONFIG_MAP}--- \n---\n"
    );
    let found = read(text.as_bytes()).unwrap();
    let places: Vec<_> = found.iter().map(|f| (f.document, f.line)).collect();
    assert_eq!(places, [(1, 3), (2, 10)]);
    assert_eq!(all(""), []);
    assert_eq!(all("\u{feff}---\n"), []);
}

#[test]
fn dashes_inside_a_block_of_text_split_nothing() {
    let pem = "-----BEGIN CERTIFICATE-----\n    AQID\n    -----END CERTIFICATE-----";
    let manifests = all(&format!("{CONFIG_MAP}data:\n  ca.crt: |\n    {pem}\n"));
    let [Manifest::ConfigMap(object)] = manifests.as_slice() else { panic!("{manifests:?}") };
    assert!(
        object.data.as_ref().unwrap()["ca.crt"].starts_with("-----BEGIN CERTIFICATE-----\nAQID")
    );
}

#[test]
fn what_the_api_server_would_add_is_added() {
    let manifests =
        all("apiVersion: v1\nkind: Namespace\nmetadata: {name: prod, labels: {a: b}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: AQ==, b: Ag==}\n\
         stringData: {b: text}\n---\n\
         apiVersion: trust.cert-manager.io/v1alpha1\nkind: Bundle\nmetadata: {name: b}\n\
         spec: {target: {additionalFormats: {jks: {key: k}}}}\n");
    let [Manifest::Namespace(namespace), Manifest::Secret(secret), Manifest::Bundle(bundle)] =
        manifests.as_slice()
    else {
        panic!("{manifests:?}")
    };
    let labels = namespace.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["kubernetes.io/metadata.name"], "prod");
    assert_eq!(labels["a"], "b");
    let data = secret.data.as_ref().unwrap();
    assert_eq!((data["a"].0.as_slice(), data["b"].0.as_slice()), (&[1][..], &b"text"[..]));
    assert_eq!(secret.string_data, None);
    assert_eq!(
        bundle.pointer("/spec/target/additionalFormats/jks/password"),
        Some(&json!("changeit"))
    );
}

#[test]
fn lists_are_taken_apart_with_and_without_types() {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } },
        { "apiVersion": "v1", "kind": "SecretList", "items": [ { "metadata": { "name": "b" } } ] },
        { "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" } },
    ]});
    // Two JSON documents, one after another.
    let manifests = all(&format!("{list}\n{list}"));
    assert_eq!(manifests.len(), 6);
    assert!(
        matches!(&manifests[1], Manifest::Secret(s) if s.metadata.name.as_deref() == Some("b"))
    );
    assert_eq!(
        manifests[2],
        Manifest::Ignored {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: "d".into(),
            meant: None,
        }
    );
    let mut nested = json!({ "metadata": { "name": "deep" } });
    for _ in 0..20 {
        nested = json!({ "apiVersion": "v1", "kind": "List", "items": [nested] });
    }
    assert!(matches!(all(&nested.to_string()).as_slice(), [Manifest::Ignored { .. }]));
}

#[test]
fn a_namesake_of_another_group_is_ignored_and_another_version_is_an_error() {
    let of = |api: &str| format!("apiVersion: {api}\nkind: Bundle\nmetadata: {{name: b}}\n");
    assert!(matches!(all(&of("fleet.cattle.io/v1alpha1")).as_slice(), [Manifest::Ignored { .. }]));
    assert_eq!(
        error(&of("trust.cert-manager.io/v1alpha9")),
        "document 1 (line 1): Bundle of apiVersion `trust.cert-manager.io/v1alpha9`; trustd reads \
         `trust.cert-manager.io/v1alpha1`"
    );
}

#[test]
fn braces_may_be_yaml_and_directives_say_nothing() {
    let flow = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n";
    assert_eq!(all(flow).len(), 1);
    let json = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}"#;
    assert_eq!(all(&format!("{json}\n---\n{json}\n")).len(), 2);
    assert_eq!(all(&format!("%YAML 1.1\n---\n{CONFIG_MAP}...\n---\n...\n")).len(), 1);
}

#[test]
fn core_objects_are_taken_as_the_api_server_takes_them() {
    let manifests = all(&format!(
        "{CONFIG_MAP}data: null\nbinaryData: {{a: null, b: \"AQ\\n==\"}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: d, labels: {{a: null}}}}\n\
         data: {{a: null}}\n"
    ));
    let [Manifest::ConfigMap(first), Manifest::ConfigMap(second)] = manifests.as_slice() else {
        panic!("{manifests:?}")
    };
    assert_eq!(first.data, None);
    let binary = first.binary_data.as_ref().unwrap();
    assert_eq!((binary["a"].0.as_slice(), binary["b"].0.as_slice()), (&[][..], &[1][..]));
    assert_eq!(second.data.as_ref().unwrap()["a"], "");
    assert_eq!(second.metadata.labels.as_ref().unwrap()["a"], "");
}

#[test]
fn names_and_keys_that_the_api_server_refuses_are_refused() {
    let cases = [
        (CONFIG_MAP.replace("name: c", "name: a_b"), "`metadata.name`: a lowercase RFC 1123 sub"),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}\n".to_owned(),
            "`metadata.name`: a lowercase RFC 1123 label",
        ),
        (format!("{CONFIG_MAP}data: {{a/b: x}}\n"), "`data.a/b`: a valid config key must"),
        (
            format!("{CONFIG_MAP}data: {{k: x}}\nbinaryData: {{k: AQ==}}\n"),
            "`data.k`: duplicate of key present in binaryData",
        ),
    ];
    for (text, part) in cases {
        assert!(error(&text).contains(part), "{}", error(&text));
    }
}

#[test]
fn more_than_the_parser_takes_by_default_is_read() {
    let item = "- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: b, c: d}}\n";
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}", item.repeat(20_000));
    assert_eq!(all(&list).len(), 20_000);
}

#[test]
fn the_shipped_crd_is_the_printed_one_and_reads_back_as_it_is() {
    let printed = crd().unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/crds/bundles.yaml");
    let shipped = std::fs::read_to_string(file).unwrap();
    assert!(shipped == printed, "cargo run -p trustd -- crd > deploy/crds/bundles.yaml");
    let read: Value = serde_saphyr::from_str(&printed).unwrap();
    let typed: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition =
        serde_json::from_value(read).unwrap();
    assert_eq!(typed, v1alpha1::crd());
    assert!(!printed.contains("0.0"), "a bound is printed as floating point");
}

#[test]
fn faults_are_named_with_document_line_and_field_and_never_quote_data() {
    let second = |text: &str| format!("{CONFIG_MAP}---\n{text}");
    let cases = [
        (second("just text"), "document 2 (line 5): not a Kubernetes object"),
        (second("a: [1"), "document 2 (line 5): not valid YAML: "),
        (second("kind: ConfigMap"), "document 2 (line 5): not a Kubernetes object"),
        (
            second("apiVersion: v1\nkind: Secret\n"),
            "document 2 (line 5): a Secret without `metadata.name`",
        ),
        (
            // YAML 1.1, which kubectl reads, takes `n` for false.
            CONFIG_MAP.replace("name: c", "name: n"),
            "document 1 (line 1): ConfigMap: `metadata.name`: must be a string",
        ),
        (
            format!("{CONFIG_MAP}data: {{a: x, b: 12}}\n"),
            "document 1 (line 1): ConfigMap c: `data.b`: values must be strings",
        ),
        (
            format!("{CONFIG_MAP}data: {{a: yes}}\n"),
            "document 1 (line 1): ConfigMap c: `data.a`: values must be strings",
        ),
        (
            CONFIG_MAP.replace("ConfigMap", "Secret") + "data: {a: hunter2!}\n",
            "document 1 (line 1): Secret c: `data.a`: values must be strings in base64",
        ),
        (
            format!("{CONFIG_MAP}data: {{a: x}}\ndata: {{b: y}}\n"),
            "document 1 (line 5): not valid YAML: key `data` is there twice; keep one of them",
        ),
        (
            format!("a: {}1{}", "{a: ".repeat(70), "}".repeat(70)),
            "document 1 (line 1): it has more than 64 levels, the most that is read",
        ),
        (
            (0..=50_000).map(|n| format!("k{n}: &n{n} x\n")).collect(),
            "document 1 (line 50001): it has more than 50000 anchors (`&name`), the most that is read",
        ),
        (
            r#"{"apiVersion": "v1", "kind": "ConfigMap", "kind": "Secret"}"#.to_owned(),
            "document 1 (line 1): not valid JSON: key `kind` is there twice",
        ),
        ("{\"a\":\n 1".to_owned(), "document 1 (line 2): not valid JSON: "),
    ];
    for (text, start) in cases {
        let message = error(&text);
        assert!(message.starts_with(start), "{text}\n{message}");
        assert!(!message.contains("hunter2"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let message = read(b"a: b\n\xff\n").unwrap_err().to_string();
    assert_eq!(message, "document 1 (line 2): not UTF-8 text; a manifest is YAML or JSON");
}

#[test]
fn what_is_printed_reads_back_as_it_was() {
    let values = [
        "yes",
        "no",
        "null",
        "~",
        "012",
        "1:30",
        "0x1f",
        "1e3",
        "=",
        "<<",
        "",
        " lead",
        "trail ",
        "a: b",
        "# c",
        "tab\there",
        "line\nline",
        "line\nline\n",
        "\n",
        "- x",
        "'",
        "\"",
        "\u{85}",
        "\u{feff}",
        "emoji 🔐",
        "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----",
    ];
    let data = values.iter().enumerate().map(|(n, v)| (format!("k{n}"), (*v).to_owned()));
    let object = ConfigMap {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: Some("c".into()),
            ..Default::default()
        },
        data: Some(data.chain([("yes".into(), "no".into())]).collect()),
        ..ConfigMap::default()
    };
    let text = to_yaml(&object).unwrap();
    assert_eq!(all(&text), [Manifest::ConfigMap(Box::new(object))], "{text}");
    assert!(text.contains("|-\n    -----BEGIN CERTIFICATE-----\n    AQID\n"), "{text}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text: String) {
        let _ = read(&bytes);
        let _ = read(text.as_bytes());
        let _ = read(format!("{CONFIG_MAP}data: {text}\n---\n{text}").as_bytes());
    }
}

#[test]
fn a_name_is_there_and_of_the_letters_that_the_api_server_takes() {
    let of = |kind: &str, metadata: &str| {
        error(&format!("---\napiVersion: v1\nkind: {kind}\nmetadata: {metadata}\n"))
    };
    for kind in ["ConfigMap", "Namespace", "Secret"] {
        let none = format!("document 1 (line 2): a {kind} without `metadata.name`; give it a name");
        for metadata in ["{name: null}", "{name: ~}", "{name: \"\"}", "{}", "null", "[]"] {
            assert_eq!(of(kind, metadata), none, "{metadata}");
        }
        for metadata in ["{name: 12}", "{name: true}", "{name: [a]}", "{name: {a: b}}"] {
            let text = of(kind, metadata);
            assert!(text.contains("`metadata.name`: must be a string"), "{text}");
        }
        for name in ["A", "a_b", "-a", "a/b", "../a", "a b", ".", "ä"] {
            let text = of(kind, &format!("{{name: \"{name}\"}}"));
            assert!(text.contains("`metadata.name`: a lowercase RFC 1123"), "{text}");
        }
    }
    assert!(of("Namespace", "{name: a.b}").contains("RFC 1123 label"));
    assert_eq!(all("apiVersion: v1\nkind: Secret\nmetadata: {name: a.b}\n").len(), 1);
    let bundle =
        "apiVersion: trust.cert-manager.io/v1alpha1\nkind: Bundle\nmetadata: {name: null}\n";
    assert!(error(bundle).contains("a Bundle without `metadata.name`"));
}

#[test]
fn the_namespace_of_an_object_is_a_label_too() {
    let of = |namespace: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: {namespace}}}\n")
    };
    for good in ["null", "\"\"", "a-1"] {
        assert_eq!(all(&of(good)).len(), 1, "{good}");
    }
    for bad in ["a.b", "A", "\"a/b\"", "\"..\"", &"n".repeat(64)] {
        let text = error(&of(bad));
        assert!(text.contains("Secret s: `metadata.namespace`: "), "{text}");
    }
}

#[test]
fn unknown_fields_come_with_the_object_that_has_them() {
    let text = "apiVersion: v1\nkind: List\nitems:\n\
        - {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, date: {}}\n\
        - {apiVersion: trust.cert-manager.io/v1alpha1, kind: Bundle, metadata: {name: b}, \
           spec: {sources: [{useDefaultCAs: true, new: null}]}, status: {}}\n";
    let found = read(text.as_bytes()).unwrap();
    let paths: Vec<&str> =
        found.iter().flat_map(|found| &found.unknown).map(|field| field.path.as_str()).collect();
    assert_eq!(paths, ["date", "spec.sources[0].new"]);
}

#[test]
fn a_key_that_is_there_twice_is_an_error_at_its_line() {
    let yaml = format!("{CONFIG_MAP}data:\n  a: \"1\"\n  a: \"2\"\n");
    let text = error(&yaml);
    assert!(text.starts_with("document 1 (line 6): ") && text.contains('a'), "{text}");
    let json =
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "name": "d"}}"#;
    let text = error(json);
    assert!(text.contains("key `name` is there twice"), "{text}");
}

/// A ConfigMap whose values are aliases, eight in each further level.
fn billion_laughs(levels: usize, text: &str) -> String {
    let mut yaml = format!("{CONFIG_MAP}x0: &x0 \"{text}\"\n");
    for level in 1..=levels {
        let list = vec![format!("*x{}", level - 1); 8].join(", ");
        yaml.push_str(&format!("x{level}: &x{level} [{list}]\n"));
    }
    yaml
}

#[test]
fn aliases_stand_for_as_much_as_a_limit_allows() {
    let limit = "stand for more than 250000 values or 16 MiB";
    // Many values, and few that are large.
    let text = error(&billion_laughs(12, "lol"));
    assert!(text.contains(limit) && !text.contains("lol"), "{text}");
    let text = error(&billion_laughs(3, &"l".repeat(300_000)));
    assert!(text.contains(limit) && !text.contains("lll"), "{text}");
    // What many documents stand for is counted together.
    let document = format!("---\n{}", billion_laughs(2, &"l".repeat(100_000)));
    assert_eq!(all(&document).len(), 1);
    assert!(error(&document.repeat(4)).contains(limit));
    // What people use aliases for is far from the limit.
    let pem = "l".repeat(220_000);
    let mut yaml = format!("{CONFIG_MAP}data: {{ca.crt: &ca \"{pem}\"}}\n");
    for index in 0..50 {
        let api = "apiVersion: v1\nkind: ConfigMap\n";
        let data = "data: {a: &a x, b: *a}\n";
        yaml.push_str(&format!("---\n{api}metadata: {{name: c{index}}}\n{data}"));
    }
    assert_eq!(all(&yaml).len(), 51);
}

#[test]
fn a_long_text_without_aliases_meets_no_limit_of_theirs() {
    // Escapes stand for more bytes than they have.
    let data = "\\L".repeat(9 << 20);
    assert_eq!(all(&format!("{CONFIG_MAP}data: {{a: \"{data}\"}}\n")).len(), 1);
    let empty = format!("{CONFIG_MAP}x: [{}]\n", "[],".repeat(50_000));
    assert_eq!(all(&empty).len(), 1);
}
