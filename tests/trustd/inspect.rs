//! `trustd inspect` on good, odd and wrong files, and on a real bundle beside openssl.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};

use crate::program::{Folder, openssl, repository, trustd, trustd_with_stdin};

fn certificate(name: &str) -> CertifiedKey<KeyPair> {
    generate_simple_self_signed([name.to_owned()]).unwrap()
}

/// The facts that both programs print about certificates: subject lines are counted, dates
/// compared.
type Facts = BTreeMap<String, (String, usize)>;

#[test]
fn a_real_bundle_shows_what_openssl_shows() {
    let bundle = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if !bundle.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} is missing", bundle.display());
        eprintln!("skipped: {} is missing; install ca-certificates", bundle.display());
        return;
    }
    let ran = trustd([Path::new("inspect"), bundle, Path::new("-ojson")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = ran.json();
    let rows = json["files"][0]["certificates"].as_array().unwrap();
    let ours: Facts = rows
        .iter()
        .map(|row| {
            let text = |field: &str| row[field].as_str().unwrap().to_owned();
            let line = usize::try_from(row["line"].as_u64().unwrap()).unwrap();
            (text("sha256"), (text("notAfter"), line))
        })
        .collect();
    let theirs = openssl_facts(bundle);
    assert!(theirs.len() > 100, "{}", theirs.len());
    assert_eq!(ours, theirs);
    assert_eq!(json["files"][0]["summary"]["problems"], 0);
}

/// Every certificate of a bundle, asked from openssl one by one.
fn openssl_facts(bundle: &Path) -> Facts {
    let text = std::fs::read_to_string(bundle).unwrap();
    let folder = Folder::new();
    let mut facts = Facts::new();
    for (index, line) in text.lines().enumerate() {
        if line != "-----BEGIN CERTIFICATE-----" {
            continue;
        }
        let rest: Vec<&str> = text.lines().skip(index).collect();
        let file = folder.file("one.pem", rest.join("\n"));
        let asked =
            ["x509", "-noout", "-fingerprint", "-sha256", "-enddate", "-dateopt", "iso_8601"];
        let ran = openssl(asked.map(Path::new).into_iter().chain([Path::new("-in"), &file]));
        assert_eq!(ran.code, 0, "{ran:?}");
        let value = |key: &str| {
            let found = ran.out.lines().find_map(|line| line.strip_prefix(key));
            found.unwrap_or_else(|| panic!("{key}: {ran:?}")).to_owned()
        };
        let sha256 = value("sha256 Fingerprint=").replace(':', "").to_lowercase();
        facts.insert(sha256, (value("notAfter=").replace(' ', "T"), index + 1));
    }
    facts
}

#[test]
fn a_table_has_one_line_for_each_certificate_and_a_summary() {
    let folder = Folder::new();
    let (a, b) = (certificate("a.example"), certificate("b.example"));
    let text = format!("# first\n{}{}{}", a.cert.pem(), b.cert.pem(), a.cert.pem());
    let ran = trustd([Path::new("inspect"), &folder.file("x.pem", &text)]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[0].starts_with("#") && lines[0].ends_with("SHA-256"), "{lines:#?}");
    for (line, number) in lines[1..4].iter().zip(["1 ", "2 ", "3 (= 1)"]) {
        assert!(line.starts_with(number), "{line}");
        assert_eq!(line.split_whitespace().last().unwrap().len(), 64, "{line}");
    }
    assert_eq!(lines[4..6], ["", "3 certificates, 1 duplicate, 0 problems"]);
    assert!(lines[6].starts_with("earliest expiry: 4096-01-01T00:00:00Z ("), "{lines:#?}");
    assert!(!ran.out.contains('\x1b'), "no colours for a pipe");
}

#[test]
fn json_has_every_field_under_its_documented_name() {
    let folder = Folder::new();
    let a = certificate("a.example");
    let path = folder.file("x.pem", format!("\n{}", a.cert.pem()));
    let ran = trustd([Path::new("inspect"), Path::new("-o=json"), &path]);
    let json = ran.json();
    let names = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let file = &json["files"][0];
    assert_eq!(names(file), ["certificates", "format", "path", "problems", "summary"]);
    let row = &file["certificates"][0];
    let fields = "alias ca daysLeft expired issuer key line notAfter notBefore number selfIssued \
                  serial sha256 subject version";
    assert_eq!(names(row).join(" "), fields);
    assert_eq!((&row["line"], &row["version"]), (&2.into(), &3.into()));
    assert_eq!(row["notBefore"], "1975-01-01T00:00:00Z");
    let sha256 = row["sha256"].as_str().unwrap();
    let alias = format!("{}|{}", &sha256[..8], row["subject"].as_str().unwrap());
    assert_eq!(row["alias"], alias.as_str());
    let fields = "certificates duplicates earliestNotAfter earliestNumber expired problems";
    assert_eq!(names(&file["summary"]).join(" "), fields);
}

#[test]
fn der_and_stdin_are_read_too() {
    let folder = Folder::new();
    let a = certificate("a.example");
    let path = folder.file("x.bin", a.cert.der());
    let from_file = trustd([Path::new("inspect"), &path, Path::new("-ojson")]).json();
    assert_eq!(from_file["files"][0]["format"], "der");
    assert_eq!(from_file["files"][0]["certificates"][0]["line"], serde_json::Value::Null);
    let pem = a.cert.pem();
    let from_stdin = trustd_with_stdin(["inspect", "-", "-ojson"], pem.as_bytes()).json();
    assert_eq!(from_stdin["files"][0]["path"], "-");
    let sha256 = |json: &serde_json::Value| json["files"][0]["certificates"][0]["sha256"].clone();
    assert_eq!(sha256(&from_file), sha256(&from_stdin));
}

#[test]
fn what_is_no_sound_certificate_is_named_with_its_line_and_never_quoted() {
    let folder = Folder::new();
    let a = certificate("a.example");
    let key = a.signing_key.serialize_pem();
    let truncated = &a.cert.pem()[..200];
    let text = format!("{}{key}{truncated}\n{}", a.cert.pem(), a.cert.pem());
    let path = folder.file("x.pem", &text);
    let line = |number: usize| text.lines().nth(number - 1).unwrap();
    for output in ["-otable", "-ojson"] {
        let ran = trustd([Path::new("inspect"), &path, Path::new(output)]);
        assert_eq!(ran.code, 1, "{ran:?}");
        quotes_nothing_of(&key, &ran.everything());
        quotes_nothing_of(truncated, &ran.everything());
    }
    let out = trustd([Path::new("inspect"), &path]).out;
    assert!(out.contains("2 certificates, 1 duplicate, 2 problems"), "{out}");
    let problems: Vec<&str> = out.lines().filter(|line| line.starts_with("line ")).collect();
    let [first, second] = problems[..] else { panic!("{out}") };
    let number = |problem: &str| problem[5..problem.find(':').unwrap()].parse().unwrap();
    assert!(first.contains("a private key (`PRIVATE KEY`)"), "{first}");
    assert_eq!(line(number(first)), "-----BEGIN PRIVATE KEY-----");
    assert!(second.contains("an unreadable `CERTIFICATE` block: it has no END line"), "{second}");
    assert_eq!(line(number(second)), "-----BEGIN CERTIFICATE-----");
}

/// No line of base64, nor any 16 characters of one, may be repeated.
fn quotes_nothing_of(secret: &str, printed: &str) {
    for line in secret.lines().filter(|line| !line.starts_with("-----")) {
        for start in 0..line.len().saturating_sub(16) {
            assert!(!printed.contains(&line[start..start + 16]), "{printed}");
        }
    }
}

#[test]
fn a_file_that_gives_nothing_ends_with_2_and_says_why() {
    let folder = Folder::new();
    let key = certificate("a.example").signing_key.serialize_pem();
    let random: Vec<u8> =
        (0..5000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let folder_itself = folder.path().to_owned();
    let cases = [
        (folder.path().join("missing"), "No such file or directory"),
        (folder_itself, "is a directory"),
        (folder.file("empty", ""), "is empty"),
        (folder.file("random", random), "is neither PEM nor a DER certificate"),
        (folder.file("text", "hello"), "is neither PEM nor a DER certificate"),
        (folder.file("key", &key), "holds no certificate: line 1: a private key"),
        (folder.file("cut", "-----BEGIN CERTIFICATE-----\nMIIB\n"), "it has no END line"),
        (folder.file("jks", b"\xfe\xed\xfe\xed\0\0\0\x02"), "is a JKS store, which comes with"),
        (
            folder.file("p12", b"\x30\x05\x02\x01\x03\x30\x00"),
            "is a PKCS#12 store, which comes with",
        ),
    ];
    for (path, message) in cases {
        let ran = trustd([Path::new("inspect"), &path]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        assert!(ran.err.starts_with("error: ") && ran.err.contains(message), "{ran:?}");
        quotes_nothing_of(&key, &ran.everything());
        let json = trustd([Path::new("inspect"), &path, Path::new("-ojson")]);
        let error = json.json()["files"][0]["error"].as_str().unwrap().to_owned();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_real_key_store_is_recognised() {
    let folder = Folder::new();
    let a = certificate("a.example");
    let (pem, store) = (folder.file("a.pem", a.cert.pem()), folder.path().join("a.p12"));
    let ran = openssl([
        "pkcs12",
        "-export",
        "-nokeys",
        "-passout",
        "pass:x",
        "-in",
        pem.to_str().unwrap(),
        "-out",
        store.to_str().unwrap(),
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = trustd([Path::new("inspect"), &store]);
    assert!(ran.code == 2 && ran.err.contains("is a PKCS#12 store"), "{ran:?}");
}

#[test]
fn one_bad_file_does_not_hide_the_others() {
    let folder = Folder::new();
    let good = folder.file("good.pem", certificate("a.example").cert.pem());
    let ran = trustd([Path::new("inspect"), Path::new("/nowhere"), &good]);
    assert_eq!(ran.code, 2);
    assert!(ran.out.contains("a.example") || ran.out.contains("CN="), "{ran:?}");
    assert!(ran.out.starts_with(&format!("{}:\n", good.display())), "{ran:?}");
    assert!(ran.err.contains("`/nowhere`"), "{ran:?}");
}

#[test]
fn names_cannot_play_tricks_with_the_terminal() {
    let folder = Folder::new();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "a\u{1b}[2J\u{202e}b\nc");
    let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let ran = trustd([Path::new("inspect"), &folder.file("x.pem", cert.pem())]);
    assert!(ran.out.contains("CN=a\\u{1b}[2J\\u{202e}b\\u{a}c"), "{ran:?}");
}

#[test]
fn every_example_certificate_can_be_looked_at() {
    for file in ["payments.crt", "orders-chain.pem"] {
        let path = repository("deploy/examples/internal-ca").join(file);
        assert_eq!(trustd([Path::new("inspect"), &path]).code, 0, "{file}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::new();
    // Far more than the 64 KiB that a pipe holds.
    let path = folder.file("x.pem", certificate("a.example").cert.pem().repeat(1000));
    let mut child = Command::new(env!("CARGO_BIN_EXE_trustd"))
        .args([Path::new("inspect"), &path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaints.as_str()), (Some(0), ""));
    assert!(line.starts_with('#'), "{line}");
}
