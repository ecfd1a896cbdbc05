//! Servers that leave requests unanswered: no run is silent about it, and every run ends.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tlsbench_engine::testserver::{Answer, Script, TestServer, TestServerConfig};
use tlsbench_engine::tls::Alpn;

use crate::bench::{Bench, Ran};

/// A server that leaves each fifth request unanswered, and says so in whichever protocol.
fn mute_now_and_then(bench: &Bench, protocol: &str) -> TestServer {
    let mut fake = TestServerConfig::tls(bench.certificate().identity, 10);
    fake.answer = Answer::StallEvery(5);
    if protocol == "h2" {
        fake.tls.as_mut().unwrap().alpn = vec![Alpn::Http2];
        fake.answer = Answer::Http2(Script { silent_every: 5, ..Script::plain() });
    }
    TestServer::start(fake).unwrap()
}

fn gates(ran: &Ran) -> Vec<&str> {
    ran.out.lines().filter(|line| line.starts_with("invalid")).collect()
}

#[test]
fn what_is_never_answered_is_counted_told_and_spoils_the_run() {
    for protocol in ["http/1.1", "h2"] {
        let bench = Bench::new();
        let server = mute_now_and_then(&bench, protocol);
        // Each connection hangs at its fifth request at the latest.
        let flags = ["--keep-alive", "--protocol", protocol, "--round", "600ms"];
        let ran = bench.run(server.address(), &flags);
        assert_eq!((ran.code, ran.failures()), (Some(1), vec![]), "{protocol}: {ran:#?}");
        let unanswered = &ran.record["targets"][0]["unanswered"];
        assert_eq!(unanswered["operations"], 4, "{protocol}: {ran:#?}");
        assert!(unanswered["oldest_ns"].as_u64().unwrap() > 1_000_000_000, "{protocol}: {ran:#?}");
        assert_eq!(ran.rounds()[1]["under_way"]["operations"], 4, "{protocol}: {ran:#?}");
        assert!(ran.out.contains("4 operations had no answer when the run ended"), "{ran:#?}");
        let gates = gates(&ran);
        assert!(gates.iter().any(|gate| gate.contains("(unanswered;")), "{protocol}: {ran:#?}");
    }
}

#[test]
fn a_limit_turns_the_unanswered_into_failures_and_the_rest_goes_on() {
    for (protocol, connections) in [("http/1.1", None), ("h2", Some(4))] {
        let bench = Bench::new();
        let server = mute_now_and_then(&bench, protocol);
        let flags = ["--keep-alive", "--protocol", protocol, "--timeout", "100ms"];
        let ran = bench.run(server.address(), &[&flags[..], &["--round-count", "40"]].concat());
        // Of 80 requests 16 have no answer; those that replace them may be among them.
        assert_eq!(ran.failures(), ["timeout"], "{protocol}: {ran:#?}");
        assert_eq!(ran.succeeded() + ran.sum(&["failed", "timeout"]), 80, "{protocol}: {ran:#?}");
        assert!(ran.succeeded() >= 60, "{protocol}: {ran:#?}");
        assert_eq!(ran.record["targets"][0]["unanswered"]["operations"], 0, "{ran:#?}");
        // Over HTTP/2 a stream is given up and not its connection.
        let seen = server.seen();
        if let Some(connections) = connections {
            assert_eq!((seen.connections, seen.resets > 0), (connections, true), "{seen:?}");
        }
    }
}

#[test]
fn a_body_that_drips_for_ever_is_given_up() {
    let bench = Bench::new();
    let fake = TestServerConfig {
        answer: Answer::Drip,
        ..TestServerConfig::tls(bench.certificate().identity, 10)
    };
    let server = TestServer::start(fake).unwrap();
    let flags = ["--round-count", "4", "--timeout", "300ms", "--first-byte-timeout", "300ms"];
    let ran = bench.run(server.address(), &flags);
    assert_eq!((ran.succeeded(), ran.failures()), (0, vec!["timeout".to_owned()]), "{ran:#?}");
    assert_eq!(ran.sum(&["failed", "timeout"]), 8, "{ran:#?}");
    assert!(ran.rounds()[0]["quantiles"]["first_byte"]["count"].as_u64() > Some(0), "{ran:#?}");
}

#[test]
fn a_run_ends_when_its_time_is_over_and_keeps_what_it_has() {
    let bench = Bench::new();
    let server = mute_now_and_then(&bench, "http/1.1");
    let flags = ["--keep-alive", "--round-count", "1000", "--max-time", "1500ms"];
    let ran = bench.run(server.address(), &flags);
    assert_eq!((ran.code, &ran.record["complete"]), (Some(1), &false.into()), "{ran:#?}");
    assert_eq!(ran.record["interrupted"], "it took as long as `--max-time` allows", "{ran:#?}");
    assert!(ran.succeeded() > 0, "{ran:#?}");
    assert_eq!(ran.record["targets"][0]["unanswered"]["operations"], 4, "{ran:#?}");
}

#[test]
fn a_server_that_closes_late_holds_up_no_connection() {
    let bench = Bench::new();
    let fake = TestServerConfig {
        answer: Answer::LateClose(300),
        ..TestServerConfig::tls(bench.certificate().identity, 10)
    };
    let server = TestServer::start(fake).unwrap();
    let ran = bench.run(server.address(), &["--close", "server", "--round", "600ms"]);
    // Four connections that waited for it would make four operations in 300 ms.
    assert!(ran.failures().is_empty() && ran.succeeded() > 32, "{ran:#?}");
    assert!(ran.sum(&["closed_by_client"]) > 0, "{ran:#?}");
    let closing = &ran.rounds()[1]["quantiles"]["closing"];
    assert!(closing["p50_ns"].as_u64() >= Some(299_000_000), "{closing:#}");
    assert!(ran.out.contains("were not closed by the server within 5.00 ms"), "{ran:#?}");
    // Who closes at once is not meant.
    let server =
        TestServer::start(TestServerConfig::tls(bench.certificate().identity, 10)).unwrap();
    let ran = bench.run(server.address(), &["--close", "fin", "--round-count", "20"]);
    ran.assert_all_succeeded(40);
    assert_eq!(ran.sum(&["closed_by_client"]), 0, "{ran:#?}");
}

#[test]
fn a_limit_of_a_part_above_that_of_the_whole_is_refused() {
    let bench = Bench::new();
    let flags = ["--timeout", "1s", "--connect-timeout", "2s"];
    let ran = bench.run("127.0.0.1:1".parse().unwrap(), &flags);
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    assert!(ran.err.contains("timeout.connect"), "{ran:#?}");
}

#[test]
fn a_search_against_a_server_that_hangs_ends_within_its_own_bound() {
    let server = TestServer::start(TestServerConfig {
        answer: Answer::Stall,
        ..TestServerConfig::plain(10)
    })
    .unwrap();
    let target = format!("mute=http://{}/", server.address());
    let search = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        command.args(["search", "--target", &target, "-o", "json"]);
        let output = command.args(flags).output().unwrap();
        let json: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{json:#}");
        json["found"][0].clone()
    };
    // Twice at the first rate, and twice at the least: halves of what is dead are not tried.
    let found = search(&["--timeout", "500ms", "--start", "100", "--trial", "1s"]);
    let rates: Vec<f64> = found["tried"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tried| tried["rate"].as_f64().unwrap())
        .collect();
    assert_eq!(rates, [100.0, 100.0, 1.0, 1.0], "{found:#}");
    assert_eq!((&found["tried"][0]["failed_by"], &found["from"]), (&"timeout".into(), &Json::Null));
    let found = search(&["--max-time", "1500ms", "--start", "100"]);
    assert_eq!((&found["out_of_time"], &found["from"]), (&true.into(), &Json::Null), "{found:#}");
}

/// Searches a server that never answers each 50th request, over one or the other protocol.
fn searched_past_the_mute(protocol: &str) {
    let bench = Bench::new();
    let mut fake = TestServerConfig::tls(bench.certificate().identity, 10);
    fake.answer = Answer::StallEvery(50);
    if protocol == "h2" {
        fake.tls.as_mut().unwrap().alpn = vec![Alpn::Http2];
        fake.answer = Answer::Http2(Script { silent_every: 50, ..Script::plain() });
    }
    let server = TestServer::start(fake).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    command.args(["search", "-o", "json", "--keep-alive", "--protocol", protocol, "--ca-bundle"]);
    command.arg(bench.file("ca-bundle.crt")).arg("--connect-to").arg(server.address().to_string());
    command.arg("--target").arg(format!("mute=https://localhost:{}/", server.address().port()));
    command.args(["--start", "50", "--max-rate", "100", "--trial", "500ms", "--confirm", "1s"]);
    let began = Instant::now();
    let output = command.args(["--resolution", "100"]).output().unwrap();
    let took = began.elapsed();
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    // Seven halvings from 50 to 1, each rate twice, and four long trials.
    assert_eq!(json["trials_max"], 14 + 4, "{json:#}");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("at most 18 trials and "), "{notes}");
    let found = &json["found"][0];
    let tried = found["tried"].as_array().unwrap();
    assert!(tried.len() <= 18 && found["out_of_time"] == false, "{json:#}");
    // The second trial, at 100 per second, has the 50th request.
    let failing = &tried[1]["failing"];
    assert_eq!((&failing["is"], &failing["operations"]), (&"unanswered".into(), &1.into()));
    assert_eq!(tried[1]["failed_by"], "timeout", "{json:#}");
    // No trial waits the five seconds after which an operation fails: that would be as many times five.
    let most = Duration::from_nanos(json["time_max_ns"].as_u64().unwrap());
    assert!(most < Duration::from_secs(40) && took < most, "{took:?} of {most:?}: {json:#}");
}

#[test]
fn a_search_past_a_server_that_hangs_now_and_then_ends_within_the_trials_that_it_says() {
    searched_past_the_mute("http/1.1");
}

#[test]
fn a_search_over_http2_past_a_server_that_hangs_now_and_then_ends_as_well() {
    searched_past_the_mute("h2");
}
