//! `tlsbench search`, at rates that any machine has: what is tried and said, not what is found.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value as Json;
use tempfile::TempDir;
use tlsbench_engine::testserver::{TestServer, TestServerConfig};
use tlsbench_engine::tls::{LabPki, Subject};

use crate::servers::free_address;

/// A server that anything can ask, and a folder with the root of its certificate.
fn stage() -> (TestServer, TempDir) {
    let pki = LabPki::generate().unwrap();
    let issued = pki.issue(&Subject::server("localhost")).unwrap();
    let server = TestServer::start(TestServerConfig::tls(issued.identity, 100)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca-bundle.crt"), pki.root_pem()).unwrap();
    (server, folder)
}

const SHORT: [&str; 4] = ["--trial", "400ms", "--confirm", "800ms"];

fn search(folder: &TempDir, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    let output = command.current_dir(folder.path()).arg("search").args(flags).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    output
}

fn endpoint(server: &TestServer) -> Vec<String> {
    let address = server.address();
    vec![
        "--target".to_owned(),
        format!("shop=https://localhost:{}/", address.port()),
        "--connect-to".to_owned(),
        address.to_string(),
        "--ca-bundle".to_owned(),
        "ca-bundle.crt".to_owned(),
    ]
}

#[test]
fn what_may_be_asked_for_is_reached_by_doubling_and_confirmed() {
    let (server, folder) = stage();
    let target = endpoint(&server);
    let target: Vec<&str> = target.iter().map(String::as_str).collect();
    // Any machine makes 40 handshakes in a second within a minute each.
    let flags = ["--start", "10", "--max-rate", "40", "--p99", "1m", "-o", "json"];
    let output = search(&folder, &[&target[..], &SHORT, &flags].concat());
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{json:#}");
    let found = &json["found"][0];
    assert_eq!((&found["name"], &found["from"]), (&"shop".into(), &40.0.into()), "{json:#}");
    assert!(found["to"].is_null(), "{json:#}");
    let tried: Vec<(f64, bool)> = found["tried"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|tried| tried["failing"].is_null())
        .map(|tried| (tried["rate"].as_f64().unwrap(), tried["long"].as_bool().unwrap()))
        .collect();
    assert_eq!(tried, [(10.0, false), (20.0, false), (40.0, false), (40.0, true)]);
    assert!(server.wait_until(|seen| seen.requests > 20).requests > 20);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a search leaves no record");
}

#[test]
fn a_goal_that_nothing_meets_is_a_negative_answer_with_its_reason() {
    let (server, folder) = stage();
    let target = endpoint(&server);
    let target: Vec<&str> = target.iter().map(String::as_str).collect();
    let flags = ["--start", "4", "--p99", "1ns", "--keep-alive"];
    let output = search(&folder, &[&target[..], &SHORT, &flags].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = said.lines().find(|line| line.contains("shop")).unwrap();
    assert!(line.contains("no rate") && line.contains("1/s"), "{line}");
}

#[test]
fn an_endpoint_that_nobody_serves_is_named_with_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let target = format!("gone=http://{}/", free_address());
    // At one a second, the least that is tried, a trial has one.
    let flags = ["--trial", "1s", "--confirm", "1s", "--start", "4"];
    let output = search(&folder, &[&["--target", &target][..], &flags].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = said.lines().find(|line| line.contains("gone")).unwrap();
    assert!(line.contains("100.00 % failed, most by connect_refused"), "{line}");
}

#[test]
fn a_placement_is_searched_without_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--placement", "lb-terminate", "--start", "10", "--max-rate", "20", "--p99", "1m"];
    let output = search(&folder, &[&SHORT[..], &flags].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let line = said.lines().find(|line| line.contains("lb-terminate")).unwrap();
    assert!(line.contains("20/s") && line.contains("not tried"), "{line}");
    assert_eq!(said.lines().filter(|line| line.contains("/s")).count(), 1, "no twin: {said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_searched_is_refused_with_the_cure() {
    let (_, folder) = stage();
    fs::write(folder.path().join("bad.toml"), "[load]\nrat = 1\n").unwrap();
    for (flags, wanted) in [
        (&["--target", "https://shop.example/"][..], "--max-rate"),
        (&["--target", "http://127.0.0.1:1/", "--placement", "mtls"], "an endpoint is named"),
        (&["--placement", "nowhere"], "`nowhere` is none of"),
        (&["--target", "http://127.0.0.1:1/", "--rate", "3"], "unexpected argument"),
        (&["--start", "0"], "write a number from 1"),
        (&["-c", "bad.toml"], "line 2: `load.rat`"),
    ] {
        let output = search(&folder, flags);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
        assert!(said.contains(wanted), "{flags:?}: {said}");
    }
}

#[test]
fn the_reasons_of_failed_trials_are_told_with_their_cures() {
    let folder = tempfile::tempdir().unwrap();
    let target = format!("shop=http://{}/", free_address());
    let flags = ["--target", &target, "--start", "20", "--max-rate", "20"];
    let output = search(&folder, &[&flags[..], &SHORT].concat());
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    let reason = "failed by connect_refused: see that the server runs";
    assert!(out.contains("shop at ") && out.contains(reason), "{out}");
    let output = search(&folder, &[&flags[..], &SHORT, &["-o", "json"]].concat());
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    let tried = &json["found"][0]["tried"][0];
    assert!(tried["failures"]["connect_refused"].as_u64().unwrap() > 0, "{json:#}");
}
