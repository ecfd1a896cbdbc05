//! What cannot be measured at all: exit code 2, no record, and a text that names what is wrong.

use std::fs;
use std::process::Command;

use tlsbench_engine::testserver::{TestServer, TestServerConfig};

use crate::bench::Bench;
use crate::servers::installed;

/// The complaint about a run that measures nothing.
fn complaint(bench: &Bench, flags: &[&str]) -> String {
    let ran = bench.finish(bench.bare(flags));
    assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{flags:?}: {ran:#?}");
    ran.err
}

#[test]
fn a_url_that_is_none_is_named_with_the_cure() {
    let bench = Bench::new();
    for url in
        ["shop.example", "ftp://shop.example/", "https://", "https://a b/", "https://h:99999/"]
    {
        let err = complaint(&bench, &["--target", url]);
        assert!(err.contains("target.url"), "{url}: {err}");
    }
    // Without any it measures placements, of which these flags say nothing.
    assert!(complaint(&bench, &["-n", "4"]).contains("--target"));
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    let bench = Bench::new();
    let err = complaint(&bench, &["--target", "https://does-not-exist.invalid/"]);
    assert!(err.contains("cannot resolve `does-not-exist.invalid`"), "{err}");
}

#[test]
fn a_ca_bundle_that_is_of_no_use_is_named() {
    let bench = Bench::new();
    bench.write("empty.crt", "");
    bench.write("garbage.crt", "\u{0}\u{1} this is no PEM");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    bench.write("broken.crt", broken);
    bench.write("cut.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    fs::create_dir(bench.file("folder.crt")).unwrap();
    for file in ["absent.crt", "empty.crt", "garbage.crt", "broken.crt", "cut.crt", "folder.crt"] {
        let err = complaint(&bench, &["--target", "https://127.0.0.1/", "--ca-bundle", file]);
        assert!(err.contains(&format!("`{file}`")), "{file}: {err}");
    }
}

#[test]
fn a_client_certificate_that_is_of_no_use_is_named() {
    let bench = Bench::new();
    bench.client_certificate(&bench.pki);
    bench.write("other.key", &bench.certificate().key_pem);
    bench.write("empty.pem", "");
    bench.write("garbage.key", "no key");
    for (certificate, key, named) in [
        ("absent.pem", "client.key", "`absent.pem`"),
        ("empty.pem", "client.key", "`empty.pem`"),
        ("client.pem", "absent.key", "`absent.key`"),
        ("client.pem", "garbage.key", "`garbage.key`"),
        // Which of the two is the wrong one cannot be known.
        ("client.pem", "other.key", "client certificate"),
    ] {
        let flags = ["--target", "https://127.0.0.1/", "--ca-bundle", "ca-bundle.crt"];
        let files = ["--client-certificate", certificate, "--client-key", key];
        let err = complaint(&bench, &[&flags[..], &files].concat());
        assert!(err.contains(named), "{certificate} {key}: {err}");
    }
    let flags = ["--target", "https://127.0.0.1/", "--client-certificate", "client.pem"];
    assert!(complaint(&bench, &flags).contains("--client-key"));
}

#[test]
fn an_encrypted_key_is_named_with_how_to_decrypt_it() {
    let bench = Bench::new();
    let Some(openssl) = installed("openssl", "openssl") else { return };
    bench.client_certificate(&bench.pki);
    for (form, arguments) in [
        ("pkcs8", &["pkcs8", "-topk8", "-v2", "aes-256-cbc"][..]),
        ("traditional", &["pkey", "-traditional", "-aes256"]),
    ] {
        let mut command = Command::new(&openssl);
        command.args(arguments).args(["-in", "client.key", "-out", "locked.key"]);
        command.args(["-passout", "pass:secret"]).current_dir(bench.file(""));
        assert!(command.status().unwrap().success(), "{form}");
        let flags = ["--target", "https://127.0.0.1/", "--ca-bundle", "ca-bundle.crt"];
        let files = ["--client-certificate", "client.pem", "--client-key", "locked.key"];
        let err = complaint(&bench, &[&flags[..], &files].concat());
        assert!(err.contains("the key is encrypted") && err.contains("openssl pkey"), "{err}");
        assert!(err.contains("`locked.key`"), "{err}");
    }
}

#[test]
fn flags_of_curl_are_refused_with_the_name_that_they_have_here() {
    let bench = Bench::new();
    for (flags, named) in [
        (&["--insecure"][..], "--verify off"),
        (&["--cacert", "ca-bundle.crt"], "--ca-bundle"),
        (&["--cert", "client.pem"], "--client-certificate"),
        (&["--resolve", "a:443:127.0.0.1"], "--connect-to"),
    ] {
        let err = complaint(&bench, &[&["--target", "https://127.0.0.1/"][..], flags].concat());
        assert!(err.contains(named), "{flags:?}: {err}");
    }
}

#[test]
fn both_tls_versions_between_placements_are_refused() {
    let err = complaint(&Bench::new(), &["--tls-version", "1.2,1.3"]);
    assert!(err.contains("tls.version") && err.contains("name one"), "{err}");
}

#[test]
fn one_certificate_of_a_bundle_that_is_none_is_told_and_the_others_are_used() {
    let bench = Bench::new();
    let server =
        TestServer::start(TestServerConfig::tls(bench.certificate().identity, 10)).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    bench.write("mixed.crt", &format!("\u{feff}{broken}{}", bench.pki.root_pem()));
    let flags = ["--ca-bundle", "mixed.crt", "--round-count", "5"];
    let ran = bench.command(server.address(), &flags).output().unwrap();
    let err = String::from_utf8(ran.stderr).unwrap();
    assert!(err.contains("`mixed.crt`: certificate 1 (line 1) is left out"), "{err}");
    let out = String::from_utf8(ran.stdout).unwrap();
    assert!(!out.contains("failed:"), "{out}");
    let record = fs::read_to_string(bench.file("run.json")).unwrap();
    assert!(record.contains("certificate 1 (line 1) is left out"), "{out}");
}

#[test]
fn a_record_that_cannot_be_written_is_named_before_anything_is_measured() {
    let bench = Bench::new();
    let server = TestServer::start(TestServerConfig::plain(10)).unwrap();
    let target = format!("http://{}/", server.address());
    bench.write("file", "");
    fs::create_dir(bench.file("folder")).unwrap();
    for path in ["file/run.json", "folder"] {
        let mut command = bench.anywhere();
        command.args(["--record", path, "--target", &target, "--round-count", "1"]);
        let ran = bench.finish(command);
        assert_eq!(ran.code, Some(2), "{ran:#?}");
        assert!(ran.err.contains(&format!("cannot write `{path}`")), "{ran:#?}");
    }
    assert_eq!(server.seen().connections, 0);
}
