//! Real certificates through `trustd render`: Debian's, and those of the examples.

use super::*;

#[test]
fn debians_roots_come_out_as_they_went_in() {
    let path = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if !path.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} is missing", path.display());
        eprintln!("skipped: there is no {}", path.display());
        return;
    }
    let text = fs::read_to_string(path).unwrap();
    let folder = manifests();
    folder.file("source.yaml", source(&text));
    let out = folder.path().join("out");
    let ran = trustd(["render", "-f", arg(folder.path()), "--out", arg(&out)]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let rendered = fs::read_to_string(out.join("prod/roots/ca-bundle.crt")).unwrap();
    let (before, after) = (fingerprints(&text), fingerprints(&rendered));
    assert!(before.len() > 50, "{}", before.len());
    let set = |list: &[String]| list.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(set(&before), set(&after));
    assert!(after.is_sorted_by(|a, b| a < b), "by digest, each once");
}

/// The SHA-256 fingerprint of every certificate, by openssl.
fn fingerprints(text: &str) -> Vec<String> {
    let folder = Folder::new();
    let blocks = text.split_inclusive("-----END CERTIFICATE-----").filter(|b| b.contains("BEGIN"));
    let print = |block: &str| {
        let file = folder.file("one.pem", block);
        let arguments = ["x509", "-noout", "-fingerprint", "-sha256", "-in", arg(&file)];
        openssl(arguments).out.split_once('=').unwrap().1.trim().to_owned()
    };
    blocks.map(print).collect()
}

#[test]
fn every_example_renders() {
    let examples = repository("deploy/examples");
    let package =
        format!("--default-package-location={}", examples.join("packages/example.json").display());
    let wanted = |name: &str| match name {
        "default-cas" => {
            &["ConfigMap cert-manager/public-and-proxy", "ConfigMap production/public-and-proxy"][..]
        }
        "internal-ca" => &["ConfigMap production/internal-ca-bundle"],
        "lab-ca" => &["ConfigMap production/lab-ca", "ConfigMap staging/lab-ca"],
        "selectors" => &["ConfigMap production/company-roots", "ConfigMap staging/company-roots"],
        other => panic!("what should example {other} render?"),
    };
    // What `tlsbench pki` makes anew for every lab.
    let folder = Folder::new();
    let root = fs::read(examples.join("internal-ca/secret.yaml")).unwrap();
    let root = String::from_utf8(root).unwrap().replace("internal-ca-secret", "tlsbench-root");
    let root = folder.file("root.yaml", &root);
    let mut seen = 0;
    for example in fs::read_dir(&examples).unwrap().map(|entry| entry.unwrap().path()) {
        let name = example.file_name().unwrap().to_str().unwrap().to_owned();
        if !example.is_dir() || name == "packages" {
            continue;
        }
        let more = if name == "lab-ca" { &["-f", arg(&root)][..] } else { &[] };
        let render = [&["render", "-o", "json", &package, "-f", arg(&example)][..], more].concat();
        let ran = trustd(render);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        assert!(!ran.err.contains("warning") && !ran.err.contains("error"), "{name}: {}", ran.err);
        assert_eq!(printed(&ran), wanted(&name));
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn openssl_verifies_with_what_the_first_example_renders() {
    let example = repository("deploy/examples/internal-ca");
    let folder = Folder::new();
    let ran = trustd(["render", "-f", arg(&example), "--out", arg(folder.path())]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let bundle = folder.path().join("production/internal-ca-bundle/ca-bundle.crt");
    let leaf = example.join("payments.crt");
    let verdict = openssl(["verify", "-CAfile", arg(&bundle), arg(&leaf)]);
    assert_eq!(verdict.out, format!("{}: OK\n", leaf.display()));
    // And not by anything else that openssl happens to trust.
    let other = repository("tests/fixtures/peer/ca/alpha.pem");
    assert_ne!(openssl(["verify", "-CAfile", arg(&other), arg(&leaf)]).code, 0);
}
