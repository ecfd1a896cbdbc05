//! `tlsbench pki`: what it writes, as openssl and a run read it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

const KINDS: [&str; 5] = ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa2048", "rsa3072"];

fn pki(folder: &Path, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    command.arg("pki").arg(folder).args(flags).output().unwrap()
}

fn openssl(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "openssl {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn openssl_verifies_every_certificate_for_its_purpose_and_names() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("lab");
    let made = pki(&folder, &["--name", "shop.example", "--name", "192.0.2.7", "--days", "5"]);
    assert!(made.status.success(), "{made:?}");
    for kind in KINDS {
        for (who, purpose) in [("server", "sslserver"), ("client", "sslclient")] {
            let file = format!("{who}-{kind}.crt");
            let verify =
                ["verify", "-CAfile", "ca-bundle.crt", "-untrusted", &file, "-purpose", purpose];
            openssl(&folder, &[&verify[..], &[&file]].concat());
            let key = openssl(&folder, &["pkey", "-in", &format!("{who}-{kind}.key"), "-pubout"]);
            assert_eq!(openssl(&folder, &["x509", "-in", &file, "-noout", "-pubkey"]), key);
        }
        let server = format!("server-{kind}.crt");
        for (flag, name) in [
            ("-verify_hostname", "localhost"),
            ("-verify_hostname", "ingress.lab.test"),
            ("-verify_hostname", "shop.example"),
            ("-verify_ip", "127.0.0.1"),
            ("-verify_ip", "::1"),
            ("-verify_ip", "192.0.2.7"),
        ] {
            let verify =
                ["verify", "-CAfile", "ca-bundle.crt", "-untrusted", &server, flag, name, &server];
            openssl(&folder, &verify);
        }
        // It ends in five days, not sooner and not later.
        let soon = (5 * 86_400 - 60).to_string();
        openssl(&folder, &["x509", "-in", &server, "-noout", "-checkend", &soon]);
        let late = ["x509", "-in", &server, "-noout", "-checkend", "432001"];
        let late = Command::new("openssl").args(late).current_dir(&folder).output().unwrap();
        assert!(!late.status.success());
    }
}

#[test]
fn keys_are_for_their_owner_only_and_manifests_hold_what_the_files_hold() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("lab");
    assert!(pki(&folder, &["--namespace", "trust"]).status.success());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.join("ca-bundle.crt")), 0o644);
    for kind in KINDS {
        let [crt, key] = ["crt", "key"].map(|end| folder.join(format!("server-{kind}.{end}")));
        let manifest = folder.join(format!("manifests/server-{kind}.yaml"));
        assert_eq!((mode(&crt), mode(&key), mode(&manifest)), (0o644, 0o600, 0o600));
        let secret: Json = serde_saphyr::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
        assert_eq!(secret["type"], "kubernetes.io/tls");
        assert_eq!(secret["metadata"]["namespace"], "trust");
        assert_eq!(secret["metadata"]["name"], format!("tlsbench-server-{kind}"));
        for (name, file) in
            [("tls.crt", &crt), ("tls.key", &key), ("ca.crt", &folder.join("ca-bundle.crt"))]
        {
            let data = STANDARD.decode(secret["data"][name].as_str().unwrap()).unwrap();
            assert_eq!(data, fs::read(file).unwrap(), "{name}");
        }
    }
    let root = fs::read_to_string(folder.join("manifests/root.yaml")).unwrap();
    let root: Json = serde_saphyr::from_str(&root).unwrap();
    assert_eq!(root["data"].as_object().unwrap().len(), 1, "the root has no key here");
}

#[test]
fn a_root_that_was_handed_out_is_not_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    assert!(pki(scratch.path(), &[]).status.success());
    let before = fs::read(scratch.path().join("ca-bundle.crt")).unwrap();
    let again = pki(scratch.path(), &[]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(2));
    assert!(said.contains("ca-bundle.crt` is there already"), "{said}");
    assert_eq!(fs::read(scratch.path().join("ca-bundle.crt")).unwrap(), before);
}

#[test]
fn what_cannot_be_made_or_written_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    for (folder, flags, wanted) in [
        (scratch.path().join("a"), &["--name", "a b"][..], "write a DNS name"),
        (scratch.path().join("a"), &["--days", "0"], "--days"),
        (scratch.path().join("a"), &["--namespace", "-"], "--namespace"),
        (file.join("a"), &[], "cannot make the directory"),
    ] {
        let made = pki(&folder, flags);
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert_eq!(made.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "{said}");
        assert!(!folder.exists());
    }
}
