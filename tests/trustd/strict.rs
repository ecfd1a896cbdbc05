//! `--strict` of `render` and `diff`: the same warnings and the same output, and exit code 1.

use crate::program::{Ran, trustd_with_stdin};
use crate::render::{BUNDLE, NAMESPACES, pem, source};

fn render(text: &str, flags: &[&str]) -> Ran {
    trustd_with_stdin([&["render", "-f", "-"], flags].concat(), text.as_bytes())
}

#[test]
fn a_warning_is_exit_code_1_under_strict_and_0_without() {
    let cut = format!("{}-----BEGIN CERTIFICATE-----\nAQID\n", pem(&["alpha"]));
    let retention = BUNDLE.replace("spec:\n", "spec:\n  retention: { period: 720h }\n");
    for (text, warning) in [
        (
            [BUNDLE, NAMESPACES, &source(&cut)].join("---\n"),
            "warning: Bundle roots: ConfigMap cert-manager/source at key \"ca.crt\", line",
        ),
        (
            [&retention, NAMESPACES, &source(&pem(&["alpha"]))].join("---\n"),
            "unknown field `spec.retention`, which the API server drops",
        ),
    ] {
        let lax = render(&text, &[]);
        assert_eq!(lax.code, 0, "{lax:?}");
        assert!(lax.err.contains(warning), "{lax:?}");
        let strict = render(&text, &["--strict"]);
        assert_eq!((strict.code, &strict.out, &strict.err), (1, &lax.out, &lax.err));

        // What `render` printed differs in nothing from what a run would want.
        let synced = format!("{text}---\n{}", lax.out);
        let diff = |flags: &[&str]| {
            trustd_with_stdin([&["diff", "-f", "-"], flags].concat(), synced.as_bytes())
        };
        let lax = diff(&[]);
        assert_eq!(lax.code, 0, "{lax:?}");
        let strict = diff(&["--strict"]);
        assert_eq!((strict.code, &strict.out, &strict.err), (1, &lax.out, &lax.err));
    }
}

#[test]
fn a_kind_that_is_nearly_one_that_trustd_reads_is_a_warning_that_names_it() {
    let manifest = source(&pem(&["alpha"]));
    let bundle = BUNDLE.replace("trust.cert-manager.io", "trust.certmanager.io");
    let list = "apiVersion: v1\nkind: SecretList\nitems: []\n";
    for (text, found, meant) in [
        (manifest.replace("kind: ConfigMap", "kind: Configmap"), "Configmap source", "`ConfigMap`"),
        (manifest.replace("kind: ConfigMap", "kind: Secrets"), "Secrets source", "`Secret`"),
        (
            NAMESPACES.replace("kind: Namespace\n", "kind: Namespaces\n"),
            "Namespaces",
            "`Namespace`",
        ),
        (BUNDLE.replace("kind: Bundle", "kind: Bundles"), "Bundles roots", "`Bundle`"),
        (bundle, "Bundle roots", "`Bundle` of `trust.cert-manager.io`"),
    ] {
        let text = [BUNDLE, NAMESPACES, &manifest, &text].join("---\n");
        // What is there under its right name is not there twice.
        let lax = render(&text, &[]);
        assert_eq!(lax.code, 0, "{lax:?}");
        let lines: Vec<&str> = lax.err.lines().collect();
        assert!(lines.iter().all(|line| line.starts_with("warning: -:")), "{lax:?}");
        assert!(lines.iter().all(|line| line.contains(found)), "{lax:?}");
        let hint = format!("is ignored; did you mean {meant}?");
        assert!(!lines.is_empty() && lines.iter().all(|line| line.ends_with(&hint)), "{lax:?}");
        assert_eq!(render(&text, &["--strict"]).code, 1);
    }
    // Kinds of others, however near in spelling to nothing of ours, and an empty list of ours.
    for kind in ["kind: Service\n", "kind: Node\n", "kind: Event\n"] {
        let other = format!("apiVersion: v1\n{kind}metadata: {{ name: o }}\n");
        let text = [BUNDLE, NAMESPACES, &manifest, &other, list].join("---\n");
        let ran = render(&text, &["--strict"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.err.starts_with("note: ") && ran.err.lines().count() == 1, "{ran:?}");
    }
}

#[test]
fn strict_without_a_warning_is_exit_code_0_and_a_note_is_no_warning() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: shop }\n";
    let text = [BUNDLE, NAMESPACES, &source(&pem(&["alpha"])), deployment].join("---\n");
    let ran = render(&text, &["--strict"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.starts_with("note: ") && ran.err.lines().count() == 1, "{ran:?}");
}
