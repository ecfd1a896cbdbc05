//! Sources that are not what their authors take them for: nothing of them vanishes without a word,
//! in `render`, `diff`, `inspect` and `verify`; and reading them takes time in proportion to them.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustix::time::{ClockId, clock_gettime};

use crate::program::{Folder, Ran, trustd, trustd_with_stdin};
use crate::render::{BUNDLE, NAMESPACES, pem, source};

/// Reads ConfigMap `source`, key `ca.crt`, and an inline CA.
fn two_sources() -> String {
    let alpha: String = pem(&["alpha"]).lines().map(|line| format!("        {line}\n")).collect();
    BUNDLE.replace(
        "  sources: [{ configMap: { name: source, key: ca.crt } }]\n",
        &format!(
            "  sources:\n    - configMap: {{ name: source, key: ca.crt }}\n    - inLine: |\n{alpha}"
        ),
    )
}

fn binary(bytes: &[u8]) -> String {
    let value = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: source, namespace: cert-manager }}\n\
         binaryData: {{ ca.crt: \"{value}\" }}\n"
    )
}

fn secret(bytes: &[u8]) -> String {
    binary(bytes).replace("kind: ConfigMap", "kind: Secret").replace("binaryData", "data")
}

fn render(parts: &[&str], flags: &[&str]) -> Ran {
    let text = parts.join("---\n");
    trustd_with_stdin([&["render", "-f", "-"], flags].concat(), text.as_bytes())
}

#[test]
fn a_named_key_without_a_certificate_is_a_warning_and_strict_is_exit_code_1() {
    let beta = pem(&["beta"]);
    let utf16: Vec<u8> = beta.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let twice = base64::engine::general_purpose::STANDARD.encode(&beta);
    let holds = "ConfigMap cert-manager/source at key \"ca.crt\" holds no certificate: ";
    let line = "ConfigMap cert-manager/source at key \"ca.crt\", line 1: PEM block left out: ";
    for (value, start, why) in [
        (&b""[..], holds, "it is empty"),
        (&utf16, holds, "it is text in UTF-16; save it as UTF-8"),
        (b"<!DOCTYPE html><title>Sign in</title>", holds, "it is an HTML page"),
        (twice.as_bytes(), line, "it is base64 of PEM text; decode it once more"),
    ] {
        let parts = [&two_sources(), NAMESPACES, &binary(value)];
        let lax = render(&parts, &[]);
        assert_eq!(lax.code, 0, "{lax:?}");
        assert_eq!(lax.err, format!("warning: Bundle roots: {start}{why}\n"));
        assert_eq!(lax.out.matches("BEGIN CERTIFICATE").count(), 1, "{lax:?}");
        let strict = render(&parts, &["--strict"]);
        assert_eq!((strict.code, &strict.out, &strict.err), (1, &lax.out, &lax.err));
    }
}

#[test]
fn der_under_a_named_key_is_read_from_binary_data_and_from_a_secret() {
    let beta = pem(&["beta"]);
    let body: String = beta.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    let from_secret = two_sources().replace("- configMap", "- secret");
    for (bundle, object) in [(two_sources(), binary(&der)), (from_secret, secret(&der))] {
        let ran = render(&[&bundle, NAMESPACES, &object], &["--strict"]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        assert_eq!(ran.out.matches("BEGIN CERTIFICATE").count(), 2, "{ran:?}");
        let line = beta.lines().nth(1).unwrap();
        assert!(ran.out.contains(line), "{ran:?}");
    }
}

#[test]
fn near_misses_are_told_with_object_key_and_line() {
    let beta = pem(&["beta"]);
    let lines = beta.lines().count();
    let body: String = beta.lines().skip(1).take(lines - 2).map(|l| format!("{l}\n")).collect();
    let headless = format!("{body}-----END CERTIFICATE-----\n");
    for (text, line, why) in [
        (beta.replace("-----", "----"), 1, "its marker is misspelled"),
        (beta.replace("-----", "–––––"), 1, "its marker is misspelled"),
        (headless, lines - 1, "its END line has no BEGIN line before it"),
        (body, 1, "it is base64 without BEGIN and END lines around it"),
    ] {
        let gamma = pem(&["gamma"]);
        let ran = render(
            &[&two_sources(), NAMESPACES, &source(&format!("# old\n{text}{gamma}"))],
            &["--strict"],
        );
        let place = format!(
            "warning: Bundle roots: ConfigMap cert-manager/source at key \"ca.crt\", line {}: PEM \
             block left out: {why}",
            line + 1
        );
        assert!(ran.code == 1 && ran.err.starts_with(&place), "{ran:?}\n{place}");
        assert_eq!(ran.out.matches("BEGIN CERTIFICATE").count(), 2, "alpha and gamma: {ran:?}");

        let folder = Folder::new();
        let file = folder.file("x.pem", format!("# old\n{text}{gamma}"));
        let shown = trustd([Path::new("inspect"), &file]);
        let problem = format!("\nline {}: an unreadable `CERTIFICATE` block: {why}", line + 1);
        assert!(shown.code == 1 && shown.out.contains(&problem), "{shown:?}");
        let alone = folder.file("gamma.pem", &gamma);
        let verified =
            trustd([Path::new("verify"), Path::new("--roots"), &file, Path::new("--cert"), &alone]);
        assert!(verified.err.contains(&format!("line {}: ", line + 1)), "{verified:?}");
        assert!(verified.err.contains(why), "{verified:?}");
    }
}

#[test]
fn every_certificate_that_a_filter_took_is_told_when_none_is_left() {
    let text = [BUNDLE, NAMESPACES, &source(&pem(&["expired"]).repeat(12))].join("---\n");
    let flags = ["render", "-f", "-", "--filter-expired-certificates"];
    let ran = trustd_with_stdin(flags, text.as_bytes());
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = "certificates in bundle; left out: ConfigMap cert-manager/source at key \"ca.crt\"";
    assert!(ran.err.contains(told), "{ran:?}");
    let each: Vec<&str> = ran.err.lines().filter(|line| !line.contains("SourceNotFound")).collect();
    assert_eq!(each.len(), 12, "{ran:?}");
    for line in each {
        assert!(line.contains("(subject CN=") && line.contains("has expired"), "{line}");
    }
}

#[test]
fn the_subject_of_a_stranger_reaches_the_terminal_escaped() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "a\x1b[2J\r\nwarning: b\u{202e}c\0");
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let key = KeyPair::generate().unwrap();
    let text = params.self_signed(&key).unwrap().pem();
    let parts = [BUNDLE, NAMESPACES, &source(&text)];
    let ran = render(&parts, &["--filter-expired-certificates"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let shown = "CN=a\\u{1b}[2J\\u{d}\\u{a}warning: b\\u{202e}c\\u{0}";
    assert!(ran.err.contains(shown), "{ran:?}");
    assert!(ran.err.chars().all(|c| c == '\n' || !c.is_control()), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 2, "no line of its own: {ran:?}");
    let folder = Folder::new();
    let shown_too = trustd([Path::new("inspect"), &folder.file("x.pem", text)]);
    assert!(shown_too.out.contains(shown), "{shown_too:?}");
}

/// CPU time that this thread takes to read such a text of `bytes` bytes; the least of three.
fn reading(piece: &str, bytes: usize) -> Duration {
    let text = piece.repeat(bytes / piece.len());
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let once = || {
        let start = now();
        let items = trustd_core::pem::read(text.as_bytes());
        let spent = now() - start;
        assert!(items.len() < text.len());
        spent
    };
    (0..3).map(|_| once()).min().unwrap()
}

#[test]
fn the_time_to_read_grows_with_the_length_of_the_text() {
    for piece in [
        "-----BEGIN ",
        "-----BEGIN A-----\r",
        "-----BEGIN A-----\n",
        "\n-----END ",
        "\n-----END A-----",
        "-----BEGIN A-----\na:b\n-----END B:-----\n",
        "-----BEGIN A:-----\na:\n-----END A:-----x\n",
        "-----BEGIN A-----\n\n-----END A-----BEGIN ",
        "----BEGIN CERTIFICATE----\r",
        "----END CERTIFICATE----\n",
        "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKyw\n",
        "AAAA",
        "- - - ",
    ] {
        // Eight times the text: 8 if it is linear, 64 if it is quadratic.
        let (short, long) = (reading(piece, 64 * 1024), reading(piece, 512 * 1024));
        let floor = Duration::from_millis(1);
        let ratio = long.as_secs_f64() / short.max(floor).as_secs_f64();
        assert!(ratio < 24.0, "{piece:?}: {short:?}, then {long:?}");
    }
}
