//! `trustd render` from outside: what is read, what is printed, what is written, and when.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::program::{Folder, Ran, openssl, repository, trustd, trustd_with_stdin};

mod real;
mod watch;

pub(crate) const NAMESPACES: &str = "\
apiVersion: v1
kind: Namespace
metadata: { name: cert-manager }
---
apiVersion: v1
kind: Namespace
metadata: { name: prod, labels: { env: prod } }
---
apiVersion: v1
kind: Namespace
metadata: { name: dev }
";

/// Reads ConfigMap `source`, writes a ConfigMap in `prod`.
pub(crate) const BUNDLE: &str = "\
apiVersion: trust.cert-manager.io/v1alpha1
kind: Bundle
metadata: { name: roots }
spec:
  sources: [{ configMap: { name: source, key: ca.crt } }]
  target:
    configMap: { key: ca-bundle.crt }
    namespaceSelector: { matchLabels: { env: prod } }
";

/// The same with a Secret beside it.
pub(crate) fn both_kinds() -> String {
    BUNDLE.replace("    namespaceSelector", "    secret: { key: trust.pem }\n    namespaceSelector")
}

/// The text of fixture certificates, as files have it.
pub(crate) fn pem(names: &[&str]) -> String {
    let read = |name: &&str| {
        fs::read_to_string(repository(&format!("tests/fixtures/peer/ca/{name}.pem"))).unwrap()
    };
    names.iter().map(read).collect()
}

/// ConfigMap `source` of the trust namespace.
pub(crate) fn source(text: &str) -> String {
    config_map("source", "cert-manager", "ca.crt", text)
}

pub(crate) fn config_map(name: &str, namespace: &str, key: &str, text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: {namespace} }}\n\
         data:\n  {key}: |\n{lines}"
    )
}

/// A folder of manifests with one Bundle, one source (alpha) and three namespaces.
pub(crate) fn manifests() -> Folder {
    let folder = Folder::new();
    folder.file("bundle.yaml", BUNDLE);
    folder.file("namespaces.yaml", NAMESPACES);
    folder.file("source.yaml", source(&pem(&["alpha"])));
    folder
}

pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// One text of manifests, rendered to JSON.
fn render(text: &str, flags: &[&str]) -> Ran {
    let arguments = [&["render", "-o", "json", "-f", "-"], flags].concat();
    trustd_with_stdin(arguments, text.as_bytes())
}

fn documents(parts: &[&str]) -> String {
    parts.join("---\n")
}

/// `Kind namespace/name` of every object that was printed.
fn printed(ran: &Ran) -> Vec<String> {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let list = ran.json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&"List".into(), &"v1".into()));
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let [namespace, name] =
                ["namespace", "name"].map(|field| text(&item["metadata"][field]));
            format!("{} {namespace}/{name}", text(&item["kind"]))
        })
        .collect()
}

// What is printed.

#[test]
fn a_config_map_holds_text_and_a_secret_base64_under_the_marks_of_the_bundle() {
    let text = documents(&[&both_kinds(), NAMESPACES, &source(&pem(&["beta", "alpha"]))]);
    let ran = render(&text, &["--secret-targets-enabled"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert_eq!(printed(&ran), ["ConfigMap prod/roots", "Secret prod/roots"]);
    let bundle = format!("{}{}", pem(&["alpha"]), pem(&["beta"]));
    let bundle = bundle.trim_end();
    let items = ran.json()["items"].clone();
    assert_eq!(items[0]["data"], serde_json::json!({ "ca-bundle.crt": bundle }));
    assert_eq!(items[1]["data"].as_object().unwrap().len(), 1);
    let folder = Folder::new();
    let encoded =
        folder.file("secret", format!("{}\n", items[1]["data"]["trust.pem"].as_str().unwrap()));
    assert_eq!(openssl(["base64", "-d", "-A", "-in", arg(&encoded)]).out, bundle);
    let digest = folder.file("pem", bundle);
    let digest = openssl(["dgst", "-sha256", "-r", arg(&digest)]).out;
    for item in items.as_array().unwrap() {
        let metadata = &item["metadata"];
        let labels = serde_json::json!({ "trust.cert-manager.io/bundle": "roots" });
        assert_eq!(metadata["labels"], labels);
        assert_eq!(metadata["annotations"]["trust.cert-manager.io/hash"], digest[..64]);
        assert_eq!(metadata.get("ownerReferences"), None, "without a UID there is no owner");
    }
}

#[test]
fn yaml_says_the_same_as_json() {
    let folder = manifests();
    folder.file("bundle.yaml", both_kinds());
    let flags = ["-f", arg(folder.path()), "--secret-targets-enabled=true"];
    let json = trustd([&["render", "-o", "json"][..], &flags].concat());
    let yaml = trustd([&["render"][..], &flags].concat());
    assert_eq!(yaml.out.lines().filter(|line| *line == "---").count(), 2, "{}", yaml.out);
    assert!(
        yaml.out.contains("  ca-bundle.crt: |-\n    -----BEGIN CERTIFICATE-----\n"),
        "{}",
        yaml.out
    );
    // Read back as targets, both are the same to the planner, and differ in nothing.
    for (name, text) in [("printed.yaml", &yaml.out), ("printed.json", &json.out)] {
        let elsewhere = Folder::new();
        let printed = elsewhere.file(name, text);
        let diff = trustd([&["diff", "--against", arg(&printed)][..], &flags].concat());
        assert_eq!(diff.code, 0, "{name}: {diff:?}");
        assert!(diff.out.ends_with("0 changes, 2 kept\n"), "{name}: {}", diff.out);
    }
}

// What is read.

#[test]
fn files_directories_lists_and_stdin_are_all_the_same() {
    let folder = manifests();
    let wanted = trustd(["render", "-f", arg(folder.path())]);
    assert_eq!((wanted.code, wanted.err.as_str()), (0, ""), "{wanted:?}");
    assert!(wanted.out.contains("namespace: prod"), "{}", wanted.out);

    let [bundle, namespaces, source] =
        ["bundle.yaml", "namespaces.yaml", "source.yaml"].map(|name| folder.path().join(name));
    let several =
        trustd(["render", "-f", arg(&source), "-f", arg(&namespaces), "-f", arg(&bundle)]);
    assert_eq!(several.out, wanted.out, "several -f");
    let at_once = trustd(["render", "-f", arg(&source), arg(&namespaces), arg(&bundle)]);
    assert_eq!(at_once.out, wanted.out, "one -f with several paths");
    let twice = trustd(["render", "-f", arg(folder.path()), "-f", arg(&source)]);
    assert_eq!(
        (twice.code, &twice.out),
        (0, &wanted.out),
        "a file named twice is one file: {twice:?}"
    );

    let text = documents(&[&self::source(&pem(&["alpha"])), BUNDLE, NAMESPACES]);
    assert_eq!(trustd_with_stdin(["render", "-f", "-"], text.as_bytes()).out, wanted.out, "stdin");
    let rest = documents(&[BUNDLE, NAMESPACES]);
    let mixed = trustd_with_stdin(["render", "-f", "-", "-f", arg(&source)], rest.as_bytes());
    assert_eq!(mixed.out, wanted.out, "stdin beside a file");

    // As `kubectl get -o json` prints it, also below a directory of its own.
    let elsewhere = Folder::new();
    fs::create_dir_all(elsewhere.path().join("a/b")).unwrap();
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
          "metadata": { "name": "roots" },
          "spec": { "sources": [{ "configMap": { "name": "source", "key": "ca.crt" } }],
                    "target": { "configMap": { "key": "ca-bundle.crt" },
                                "namespaceSelector": { "matchLabels": { "env": "prod" } } } } },
        { "apiVersion": "v1", "kind": "ConfigMap",
          "metadata": { "name": "source", "namespace": "cert-manager" },
          "data": { "ca.crt": pem(&["alpha"]) } } ] });
    elsewhere.file("a/b/list.json", list.to_string());
    elsewhere.file("a/namespaces.yml", NAMESPACES);
    elsewhere.file("a/README.md", "no manifest");
    let nested = trustd(["render", "-f", arg(elsewhere.path())]);
    assert_eq!((nested.code, &nested.out), (0, &wanted.out), "{nested:?}");
}

#[test]
fn what_is_passed_over_or_looks_like_a_mistake_is_noted() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: shop }\n";
    let source = source(&pem(&["alpha"]));
    let ran = render(&documents(&[BUNDLE, NAMESPACES, &source, deployment]), &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    assert!(ran.err.starts_with("note: -:") && ran.err.contains("Deployment shop"), "{ran:?}");

    let ran = render(&documents(&[BUNDLE, &source]), &[]);
    assert!(ran.err.contains("note: there is no Namespace among the files"), "{ran:?}");
    assert_eq!(printed(&ran), [""; 0]);

    // Without a namespace, as `kubectl apply -n` takes it: it lands in `default`.
    let homeless = source.replace(", namespace: cert-manager", "");
    let ran = render(&documents(&[BUNDLE, NAMESPACES, &homeless]), &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("is in the trust namespace `cert-manager`"), "{ran:?}");
    assert!(ran.err.contains("--trust-namespace"), "what to do: {ran:?}");
    let ran = render(&documents(&[BUNDLE, NAMESPACES, &homeless]), &["-n", "cert-manager"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn an_object_that_is_there_twice_is_an_error_that_names_both_places() {
    let folder = manifests();
    folder.file("again.yaml", format!("# first line\n---\n{}", source(&pem(&["beta"]))));
    let ran = trustd(["render", "-f", arg(folder.path())]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(ran.err.contains("ConfigMap cert-manager/source"), "{ran:?}");
    assert!(ran.err.contains("again.yaml:3") && ran.err.contains("source.yaml:1"), "{ran:?}");
}

#[test]
fn a_broken_document_is_an_error_that_names_file_and_document() {
    let folder = manifests();
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: { name: s }\nstringData:\n  k: [hunter2\n";
    folder.file("broken.yaml", documents(&[NAMESPACES, secret]));
    let ran = trustd(["render", "-f", arg(folder.path())]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(ran.err.contains("broken.yaml") && ran.err.contains("document 4"), "{ran:?}");
    assert!(!ran.err.contains("hunter2"), "values are not quoted: {ran:?}");
}

#[test]
fn files_that_cannot_be_used_at_all_are_errors() {
    let folder = Folder::new();
    let missing = folder.path().join("missing.yaml");
    let ran = trustd(["render", "-f", arg(&missing)]);
    assert!(ran.code == 2 && ran.err.contains("missing.yaml"), "{ran:?}");
    let ran = trustd(["render", "-f", arg(folder.path())]);
    assert!(ran.code == 2 && ran.err.contains("ends with .yaml"), "{ran:?}");
    let ran = render(NAMESPACES, &[]);
    assert!(ran.code == 2 && ran.err.contains("there is no Bundle among the files"), "{ran:?}");
}

#[test]
fn every_error_of_an_invalid_bundle_is_told_and_the_other_bundles_are_rendered() {
    let invalid = "\
apiVersion: trust.cert-manager.io/v1alpha1
kind: Bundle
metadata: { name: wrong }
spec:
  sources:
    - {}
    - configMap: { name: source }
  target:
    configMap: { key: a/b, metadata: { labels: { trust.cert-manager.io/x: y } } }
";
    let source = source(&pem(&["alpha"]));
    let ran = render(&documents(&[invalid, BUNDLE, NAMESPACES, &source]), &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(printed(&ran), ["ConfigMap prod/roots"]);
    assert!(ran.err.contains("-:1: Bundle wrong is invalid"), "{ran:?}");
    for path in [
        "  spec.sources[0]: Invalid value",
        "  spec.sources[1].configMap: Invalid value",
        "  spec.target.configMap.key: Invalid value",
        "  spec.target.configMap.metadata.labels: Invalid value",
    ] {
        assert!(ran.err.contains(path), "{path}: {}", ran.err);
    }
}

#[test]
fn a_private_key_is_named_and_never_shown() {
    // Not a key: the test would not like to see one printed either.
    let body = "YW4gb2J2aW91c2x5IG1hZGUtdXAga2V5LCBmb3IgdGhlIHRlc3Rz";
    let key = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let text = format!("{}{key}", pem(&["alpha"]));
    let folder = manifests();
    folder.file("source.yaml", source(&text));
    let out = folder.path().join("out");
    let files = arg(folder.path());
    for arguments in [
        vec!["render", "-f", files],
        vec!["render", "-o", "json", "-f", files],
        vec!["render", "--out", arg(&out), "-f", files],
        vec!["diff", "-f", files],
        vec!["diff", "-o", "json", "-f", files],
    ] {
        let ran = trustd(&arguments);
        assert_eq!(ran.code, 1, "{arguments:?}: {ran:?}");
        let place = "ConfigMap cert-manager/source at key \"ca.crt\", line 11";
        assert!(ran.err.contains(place), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains("`PRIVATE KEY`"), "{arguments:?}: {ran:?}");
        for part in [&body[..8], &body[20..30]] {
            assert!(!ran.everything().contains(part), "{arguments:?}: {ran:?}");
        }
        assert!(!ran.out.contains("BEGIN CERTIFICATE"), "nothing of that text: {ran:?}");
    }
    assert!(!out.exists(), "nothing was written");
}

// Flags.

#[test]
fn booleans_are_written_as_the_peers_flags_take_them() {
    let text = documents(&[&both_kinds(), NAMESPACES, &source(&pem(&["alpha"]))]);
    // Without a value, and all that Go's `strconv.ParseBool` takes.
    let ons = ["", "=1", "=t", "=T", "=true", "=TRUE", "=True"];
    for on in ons {
        let ran = render(&text, &[&format!("--secret-targets-enabled{on}")]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{on}: {ran:?}");
        assert_eq!(printed(&ran), ["ConfigMap prod/roots", "Secret prod/roots"], "{on}");
    }
    for off in ["=0", "=f", "=F", "=false", "=FALSE", "=False"] {
        let ran = render(&text, &[&format!("--secret-targets-enabled{off}")]);
        assert_eq!(ran.code, 1, "{off}: {ran:?}");
        assert!(ran.err.contains("SecretTargetsDisabled"), "{off}: {ran:?}");
        assert_eq!(printed(&ran), ["ConfigMap prod/roots"], "{off}");
    }
    for bad in ["=yes", "=on", "="] {
        assert_eq!(render(&text, &[&format!("--secret-targets-enabled{bad}")]).code, 2, "{bad}");
    }
}

#[test]
fn flags_of_a_run_mean_the_same_here() {
    let text = documents(&[&both_kinds(), NAMESPACES, &source(&pem(&["alpha"]))]);
    let both = ["ConfigMap prod/roots", "Secret prod/roots"];
    for on in ["--secret-targets-enabled", "--secret-targets-enabled=true"] {
        assert_eq!(printed(&render(&text, &[on])), both, "{on}");
    }
    let ran = render(&text, &["--secret-targets-enabled=false"]);
    assert_eq!((ran.code, printed(&ran)), (1, vec!["ConfigMap prod/roots".to_owned()]), "{ran:?}");
    assert!(ran.err.contains("SecretTargetsDisabled"), "{ran:?}");

    let everywhere = BUNDLE.replace("    namespaceSelector: { matchLabels: { env: prod } }\n", "");
    let text = documents(&[&everywhere, NAMESPACES, &source(&pem(&["alpha"]))]);
    let two = ["ConfigMap dev/roots", "ConfigMap prod/roots"];
    for flags in [
        &["--target-namespaces=dev,prod"][..],
        &["--target-namespaces", "prod,dev"],
        &["--target-namespaces=dev", "--target-namespaces=prod"],
    ] {
        assert_eq!(printed(&render(&text, flags)), two, "{flags:?}");
    }
    let ran = render(&text, &["--trust-namespace=dev"]);
    assert!(ran.err.contains("ConfigMap dev/source not found"), "{ran:?}");

    let odd = documents(&[BUNDLE, NAMESPACES, &source(&pem(&["alpha", "expired", "leaf"]))]);
    let total = |flags: &[&str]| {
        let ran = render(&odd, flags);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.matches("BEGIN CERTIFICATE").count()
    };
    assert_eq!(total(&[]), 3);
    assert_eq!(total(&["--filter-expired-certificates"]), 2);
    assert_eq!(total(&["--filter-non-ca-certs=true"]), 2);
    assert_eq!(total(&["--filter-non-ca-certs", "--filter-expired-certificates=true"]), 1);
    assert_eq!(total(&["--filter-non-ca-certs=false"]), 3);
}

// Files.

#[test]
fn files_are_replaced_whole_and_only_when_they_change() {
    let folder = manifests();
    let out = folder.path().join("deep/out");
    let file = out.join("prod/roots/ca-bundle.crt");
    let render = || trustd(["render", "-f", arg(folder.path()), "--out", arg(&out)]);
    let ran = render();
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.starts_with(&format!("written    {}\n", file.display())), "{}", ran.out);
    let certificates =
        "Bundle roots: 1 certificate, earliest expiry 2124-01-01T00:00:00Z, 1 target";
    assert!(ran.out.contains(certificates), "{}", ran.out);
    assert_eq!(fs::read_to_string(&file).unwrap(), pem(&["alpha"]).trim_end());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);

    let state = || {
        let data = fs::metadata(&file).unwrap();
        (data.ino(), data.mtime(), data.mtime_nsec())
    };
    let before = state();
    assert!(render().out.starts_with("unchanged"), "nothing changed");
    assert_eq!(state(), before, "and nothing was touched");

    let mut held_open = File::open(&file).unwrap();
    folder.file("source.yaml", source(&pem(&["beta"])));
    assert!(render().out.starts_with("written"));
    let mut old = String::new();
    held_open.read_to_string(&mut old).unwrap();
    assert_eq!(old, pem(&["alpha"]).trim_end(), "who reads it has the old one, whole");
    assert_eq!(fs::read_to_string(&file).unwrap(), pem(&["beta"]).trim_end());
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left lying");
}

#[test]
fn what_was_written_is_told_as_json_when_asked() {
    let folder = manifests();
    let out = folder.path().join("out");
    let arguments = ["render", "-f", arg(folder.path()), "--out", arg(&out), "-o", "json"];
    for changed in [true, false] {
        let answer = trustd(arguments).json();
        let path = out.join("prod/roots/ca-bundle.crt").display().to_string();
        let files = serde_json::json!([{ "path": path, "changed": changed }]);
        assert_eq!(answer["files"], files);
        assert_eq!(answer["bundles"][0]["reason"], "Synced");
        assert_eq!(answer["bundles"][0]["certificates"]["total"], 1);
    }
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let everywhere = BUNDLE.replace("    namespaceSelector: { matchLabels: { env: prod } }\n", "");
    let source = source(&pem(&["alpha"]));
    let namespaces = |name: &str| NAMESPACES.replace("name: prod", &format!("name: \"{name}\""));
    let named = |name: &str| everywhere.replace("name: roots", &format!("name: \"{name}\""));
    let keyed = |key: &str| everywhere.replace("key: ca-bundle.crt", &format!("key: \"{key}\""));
    let mut worlds: Vec<String> = Vec::new();
    for evil in ["../evil", "..", "a/../../evil", "/tmp/evil-of-trustd", ".", ""] {
        worlds.push(documents(&[&everywhere, &namespaces(evil), &source]));
        worlds.push(documents(&[&named(evil), NAMESPACES, &source]));
        worlds.push(documents(&[&keyed(evil), NAMESPACES, &source]));
    }
    for world in worlds {
        let folder = Folder::new();
        let out = folder.path().join("top/out");
        let arguments = ["render", "-f", "-", "--out", arg(&out)];
        let ran = trustd_with_stdin(arguments, world.as_bytes());
        assert_eq!(ran.code, 2, "{world}{ran:?}");
        let top = |path: PathBuf| {
            let entries = fs::read_dir(path).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
        };
        assert!(top(folder.path().into()).iter().all(|name| name == "top"), "{world}");
        assert!(top(folder.path().join("top")).iter().all(|name| name == "out"), "{world}");
    }
    assert!(!Path::new("/tmp/evil-of-trustd").exists());
}

/// Runs as root in a mount namespace of its own, so that the machine's devices stay as they are.
#[test]
fn a_device_and_a_link_among_the_files_stay_what_they_are() {
    let (manifests, scratch) = (manifests(), Folder::new());
    let run = |words: &str| {
        let setup = "mkdir -p out/prod/roots && mount -t tmpfs tmpfs out/prod/roots && cd out/prod/roots \
                     && mknod -m 666 null c 1 3 && ln -s null ca-bundle.crt && cd ../../..";
        let mut command = std::process::Command::new("unshare");
        command.args(["-m", "sh", "-c", &format!("{{ {setup}; }} || exit 77; {words}")]);
        command.current_dir(scratch.path()).env("TRUSTD", env!("CARGO_BIN_EXE_trustd"));
        command.env("MANIFESTS", manifests.path()).output().unwrap()
    };
    let can = run("true > out/prod/roots/null");
    if !can.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&can.stderr));
        return;
    }
    let output =
        run("$TRUSTD render -f $MANIFESTS --out out && cd out/prod/roots && test -c null && \
         test -L ca-bundle.crt && ls");
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && out.ends_with("ca-bundle.crt\nnull\n"), "{output:?}");
}
