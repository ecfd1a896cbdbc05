//! The passes, workloads and axes of `tlsbench run` over placements, as their records show them.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::servers::installed;
use crate::slices::{SOME_RESUMED, long_enough, record_of};

fn run_in(folder: &TempDir, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    command.current_dir(folder.path()).args(["run", "--record", "run.json"]).args(flags);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{output:?}");
    output
}

/// A run of the CPU pass, with slices that are long enough.
fn measured_enough(flags: &[&str]) -> (Output, Json) {
    measured_enough_in(&tempfile::tempdir().unwrap(), flags)
}

fn measured_enough_in(folder: &TempDir, flags: &[&str]) -> (Output, Json) {
    let flags = [flags, &["--pass", "cpu", "--rounds", "1"]].concat();
    let (output, record) = long_enough(SOME_RESUMED, |times| {
        record_of(&folder.path().join("run.json"), || run_in(folder, &[&flags[..], times].concat()))
    });
    assert!(matches!(output.status.code(), Some(0 | 1)), "{flags:?} {output:?}");
    (output, record)
}

/// A run that measures; a busy machine may shut a gate, and then it says so and measures all the same.
fn measured(flags: &[&str]) -> (Output, Json) {
    let folder = tempfile::tempdir().unwrap();
    let output = run_in(&folder, flags);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    (output, record(&folder))
}

fn record(folder: &TempDir) -> Json {
    serde_json::from_str(&fs::read_to_string(folder.path().join("run.json")).unwrap()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn trials(record: &Json) -> &[Json] {
    record["trials"].as_array().unwrap()
}

/// What a count adds up to over a trial's rounds.
fn sum(trial: &Json, pointer: &str) -> u64 {
    let rounds = trial["client"]["rounds"].as_array().unwrap();
    rounds.iter().map(|round| round.pointer(pointer).unwrap().as_u64().unwrap()).sum()
}

/// How many connections its loop keeps at a time.
fn connections(trial: &Json) -> u64 {
    let scenario = trial["scenario"].as_str().unwrap();
    let load = scenario.lines().find_map(|line| line.strip_prefix("connections = "));
    load.unwrap_or_else(|| panic!("{scenario}")).parse().unwrap()
}

/// What the handshakes of a trial negotiated, as `TLS 1.3 aes-128-gcm x25519 … -`.
fn negotiated(trial: &Json) -> BTreeSet<String> {
    let rounds = trial["client"]["rounds"].as_array().unwrap().iter();
    rounds.flat_map(|r| r["shape"]["negotiated"].as_object().unwrap().keys().cloned()).collect()
}

#[test]
fn the_latency_pass_asks_every_placement_for_the_same_share_of_the_slowest() {
    let flags = ["--placement", "lb-terminate", "--pass", "latency"];
    let times = ["--rounds", "2", "--round", "1s", "--warm-up", "100ms"];
    let (output, record) = measured(&[&flags[..], &times].concat());
    let said = stdout(&output);
    assert_eq!(record["complete"], true, "{said}");
    let slowest = record["pilot"].as_array().unwrap().iter();
    let slowest = slowest.map(|seen| seen["operations_per_second"].as_f64().unwrap());
    let rate = slowest.fold(f64::INFINITY, f64::min) * 0.35;
    let names: Vec<&str> =
        trials(&record).iter().map(|t| t["placement"].as_str().unwrap()).collect();
    assert_eq!(names, ["lb-terminate", "plaintext"]);
    for trial in trials(&record) {
        assert_eq!((&trial["pass"], &trial["workload"]), (&"latency".into(), &"full".into()));
        let asked = trial["rate"].as_f64().unwrap();
        assert!((asked - rate).abs() < 1e-6, "{asked}, not {rate}");
        assert!(trial["scenario"].as_str().unwrap().contains("loop = \"open\""), "{trial}");
        // Every start that should have been is counted, whether it came to its end or not.
        let scheduled = sum(trial, "/scheduled") as f64;
        assert!((scheduled - 2.0 * rate).abs() <= 4.0, "{scheduled} of {rate} in 2 s");
        let timed = trial["client"]["histograms"].as_object().unwrap();
        assert_eq!(timed.contains_key("handshake"), trial["placement"] != "plaintext");
        for phase in ["connect", "first_byte", "last_byte", "corrected"] {
            assert!(timed.contains_key(phase), "{phase}");
        }
        assert_eq!(trial["hops"].as_array().unwrap().len(), 3);
    }
    assert!(said.contains("p99: the 99th percentile of the whole, not judged"), "{said}");
    assert!(said.contains("TLS adds to the medians of the baseline"), "{said}");
}

#[test]
fn people_get_a_first_table_early_and_programs_one_document() {
    let flags = ["--placement", "upstream-tls", "--workload", "full", "--rounds", "1"];
    let times = ["--round", "600ms", "--warm-up", "50ms"];
    let (output, record) = measured(&[&flags[..], &times].concat());
    let early = stderr(&output);
    let (span, first) = (early.find("this takes about"), early.find("no verdicts yet"));
    assert!(span.is_some() && span < first, "{early}");
    assert!(early.contains("upstream-tls") && early.contains("plaintext"), "{early}");
    let (_, after) = early.split_once("first look after ").unwrap();
    let after = after.split_once(" s, one slice of 300 ms each").unwrap().0;
    // Two slices of 300 ms each are seen by then.
    assert!(after.parse::<f64>().unwrap() >= 0.6, "{early}");
    assert_eq!(record["pilot"].as_array().unwrap().len(), 2);
    let passes: Vec<&str> = trials(&record).iter().map(|t| t["pass"].as_str().unwrap()).collect();
    assert_eq!(passes, ["cpu", "cpu", "latency", "latency"]);

    let (output, record) = measured(&[&flags[..], &times, &["-o", "json"]].concat());
    let printed: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["record"]["trials"], record["trials"]);
    assert_eq!(printed["verdicts"]["latency"]["rate"], record["trials"][2]["rate"]);
    assert_eq!(stderr(&output), "");
}

#[test]
fn bulk_and_mixed_workloads_have_their_own_responses_and_a_backend_that_can_give_them() {
    let builtin: &[&str] = &[];
    let mut engines = vec![(builtin, "builtin", "builtin")];
    if installed("nginx", "nginx").is_some() && installed("haproxy", "haproxy").is_some() {
        engines.push((&["--engine", "haproxy"], "haproxy", "nginx"));
    }
    for (engine, usual, of_bulk) in engines {
        let flags = ["--placement", "ingress-terminate", "--workload", "bulk-64k,mix"];
        let (output, record) = measured_enough(&[&flags[..], engine].concat());
        let said = stdout(&output);
        assert_eq!(trials(&record).len(), 4, "{said}");
        for trial in trials(&record) {
            let is_bulk = trial["workload"] == "bulk-64k";
            let (bytes, backend) = if is_bulk { (65_536, of_bulk) } else { (8_192, usual) };
            let succeeded = sum(trial, "/succeeded");
            assert!(succeeded > 0, "{said}");
            // Each connection may have begun the first response of the round while it warmed up:
            // the round then has its end and not all of its bytes.
            let whole = succeeded.saturating_sub(connections(trial));
            assert!(sum(trial, "/bytes_read") > whole * bytes, "{trial}");
            let hops = trial["hops"].as_array().unwrap();
            let seen: Vec<&str> = hops.iter().map(|hop| hop["engine"].as_str().unwrap()).collect();
            assert_eq!(seen, [usual, usual, backend]);
            assert_eq!(hops[2]["notes"].as_array().unwrap().is_empty(), backend == usual);
            if !is_bulk && trial["placement"] == "ingress-terminate" {
                let (full, resumed) = (sum(trial, "/shape/full"), sum(trial, "/shape/resumed"));
                assert!(full > 0 && resumed > 0, "{full} full, {resumed} resumed");
            }
        }
        assert!(said.contains("Gbit/s per core"), "{said}");
        assert_eq!(said.contains("nginx stands in for haproxy"), usual != of_bulk, "{said}");
    }
}

#[test]
fn axes_of_tls_are_those_that_were_asked_for_with_certificates_of_either_origin() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_tlsbench"))
        .args(["pki", "lab"])
        .current_dir(folder.path())
        .output();
    assert!(made.unwrap().status.success());
    let mut ways: Vec<&[&str]> = vec![&[], &["--pki", "lab"]];
    if installed("nginx", "nginx").is_some() && installed("haproxy", "haproxy").is_some() {
        ways.extend([&["--engine", "nginx"][..], &["--engine", "haproxy", "--pki", "lab"]]);
    }
    let old = ["--tls-version", "1.2", "--key", "rsa2048", "--suites", "aes-256-gcm"];
    let new = ["--groups", "p256", "--key", "ecdsa-p384", "--suites", "chacha20-poly1305"];
    for (axes, wanted) in [
        (old, ["1.2", "aes-256-gcm", "x25519", "RSA"]),
        (new, ["1.3", "chacha20-poly1305", "p256", "ECDSA_NISTP384"]),
    ] {
        for way in &ways {
            let flags = ["--placement", "mtls", "--workload", "full,resumed"];
            let flags = [&flags[..], &axes, way].concat();
            let (output, record) = measured_enough_in(&folder, &flags);
            for trial in &trials(&record)[..2] {
                assert!(sum(trial, "/succeeded") > 0, "{flags:?}: {output:?}");
                for seen in negotiated(trial) {
                    // A resumed handshake signs nothing, and in TLS 1.2 it has no group.
                    let words: Vec<&str> = seen.split(' ').skip(1).collect();
                    let mut pairs = words.iter().zip(&wanted);
                    let is_it = pairs.all(|(seen, asked)| seen.contains(asked) || *seen == "-");
                    assert!(is_it && words.len() == 5, "{flags:?}: {seen}");
                }
            }
            assert!(sum(&trials(&record)[0], "/shape/full") > 0, "{flags:?}");
            let resumed = sum(&trials(&record)[1], "/shape/resumed");
            assert!(resumed > 0, "{flags:?}");
        }
    }
}

#[test]
fn requests_over_http_2_reach_whoever_ends_the_clients_tls() {
    let flags = ["--placement", "lb-terminate,passthrough", "--workload", "full,keep-alive,mix"];
    let builtin: &[&str] = &[];
    let mut engines = vec![builtin];
    if installed("nginx", "nginx").is_some() && installed("haproxy", "haproxy").is_some() {
        engines.push(&["--lb", "haproxy", "--ingress", "nginx"]);
    }
    for engine in engines {
        let flags = [&flags[..], &["--protocol", "h2"], engine].concat();
        let (output, record) = measured_enough(&flags);
        over_http_2(&stdout(&output), &record);
    }
}

fn over_http_2(said: &str, record: &Json) {
    assert_eq!(trials(record).len(), 12, "{said}");
    for trial in trials(record) {
        let is_plain = trial["placement"].as_str().unwrap().starts_with("plaintext");
        assert!(sum(trial, "/succeeded") > 0, "{}: {said}", trial["placement"]);
        let seen = negotiated(trial);
        assert!(seen.iter().all(|seen| seen.ends_with(" h2")), "{seen:?}");
        // Connections that are kept may all have been made in the warm-up.
        if trial["workload"] != "keep-alive" {
            assert_eq!(seen.is_empty(), is_plain, "{seen:?}");
        }
    }
    assert!(said.contains("HTTP/1.1, so what TLS adds includes the protocol"), "{said}");
}

#[test]
fn idle_connections_take_memory_where_tls_ends() {
    let flags = ["--placement", "passthrough", "--pass", "cpu", "--workload", "keep-alive"];
    let times = ["--rounds", "2", "--round", "300ms", "--warm-up", "50ms", "--idle", "200"];
    let (output, record) = measured(&[&flags[..], &times].concat());
    let said = stdout(&output);
    let idle = record["idle"].as_array().unwrap();
    let of = |round: u64, name: &str| {
        let is_it = |idle: &&Json| idle["placement"] == name && idle["round"] == round;
        let found = idle.iter().find(is_it).unwrap();
        assert_eq!(found["connections"], 200);
        let hops = found["hops"].as_array().unwrap().iter();
        hops.map(|hop| hop["bytes_per_connection"].as_f64().unwrap()).collect::<Vec<f64>>()
    };
    for round in 0..2 {
        let (with, without) = (of(round, "passthrough"), of(round, "plaintext-l4l4"));
        assert_eq!((with.len(), without.len(), idle.len()), (3, 3, 4), "{said}");
        // Keys, buffers and a session: kilobytes, where the twin has a socket.
        assert!(with[2] > without[2] + 1_000.0, "{with:?} {without:?}");
    }
    // At rest nobody asks for anything: what each of these connections asked for once before takes more.
    let of = |role: &str| {
        let keeps =
            trials(&record).iter().find(|trial| trial["placement"] == "passthrough").unwrap();
        let hops = keeps["hops"].as_array().unwrap();
        let hop = hops.iter().find(|hop| hop["role"] == role).unwrap();
        let rounds = hop["rounds"].as_array().unwrap().iter();
        let all: u64 = rounds.map(|round| round["total_ns"].as_u64().unwrap()).sum();
        200 * all / sum(keeps, "/succeeded")
    };
    for hop in idle.iter().flat_map(|idle| idle["hops"].as_array().unwrap()) {
        let (wall, cpu) = (hop["rest"]["wall_ns"].as_u64(), hop["rest"]["cpu_ns"].as_u64());
        assert!(wall.unwrap() >= 1_000_000_000, "{hop}");
        assert!(cpu.unwrap() < of(hop["role"].as_str().unwrap()), "{hop}");
    }
    let told = "idle connections: resident memory for each, KiB; 95 % intervals\n";
    let (_, table) = said.split_once(told).unwrap();
    let row = table.lines().find(|line| line.trim_start().starts_with("passthrough")).unwrap();
    assert_eq!(row.matches(" ± ").count(), 4, "three hops and all: {row}");
    let words: Vec<&str> = row.split_whitespace().collect();
    assert!(words.ends_with(&["200", "2"]), "connections and readings: {row}");
}

/// A file that describes a placement; a test holds the page's own example to be one that can be read.
fn example() -> String {
    let page = include_str!("../../docs/placements.md");
    page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn the_example_of_the_page_is_drawn_and_printed_so_that_it_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lab.toml"), example()).unwrap();
    let output = run_in(&folder, &["-c", "lab.toml", "--show"]);
    let drawn = stdout(&output);
    let edge = "client ══TLS═▶ lb http ═mTLS═▶ (sidecar relay) ═mTLS═▶ backend";
    assert!(drawn.contains(edge), "{drawn} {output:?}");
    assert!(drawn.contains("edge-plain") && drawn.contains("mtls "), "{drawn}");

    let first = stdout(&run_in(&folder, &["-c", "lab.toml", "--print-scenario"]));
    assert!(first.contains("key = \"rsa2048\"") && first.contains("share = 0.2"), "{first}");
    fs::write(folder.path().join("again.toml"), &first).unwrap();
    let again = stdout(&run_in(&folder, &["-c", "again.toml", "--print-scenario"]));
    assert_eq!(again, first);
    let flags = ["--key", "ed25519", "--placement", "edge", "--seed", "9"];
    let changed =
        run_in(&folder, &[&["-c", "again.toml", "--print-scenario"][..], &flags].concat());
    let changed = stdout(&changed);
    assert!(changed.contains("placements = [\"edge\"]"), "{changed}");
    assert!(changed.contains("key = \"ed25519\"\nseed = 9\n"), "{changed}");
    let usual = stdout(&run_in(&folder, &["--thorough", "--print-scenario"]));
    assert!(usual.contains("idle_connections = 500") && usual.contains("bulk-1m"), "{usual}");
}

#[test]
fn a_placement_of_ones_own_is_measured_beside_its_twin() {
    let folder = tempfile::tempdir().unwrap();
    let file = example().replace("engine = \"nginx\"", "engine = \"builtin\"");
    fs::write(folder.path().join("lab.toml"), file).unwrap();
    let flags = ["-c", "lab.toml", "--placement", "edge", "--workload", "full"];
    let (_, record) = measured_enough_in(&folder, &flags);
    let names: Vec<&str> =
        trials(&record).iter().map(|t| t["placement"].as_str().unwrap()).collect();
    assert_eq!(names, ["edge", "edge-plain"]);
    // Where it ran is nobody's business who reads the record.
    let text = record.to_string();
    assert!(text.contains("run/ca-bundle.crt"), "{text}");
    assert!(!text.contains(folder.path().to_str().unwrap()), "{text}");
    for trial in trials(&record) {
        assert!(sum(trial, "/succeeded") > 0, "{trial}");
        let roles: Vec<&str> =
            trial["hops"].as_array().unwrap().iter().map(|h| h["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["lb", "sidecar", "backend"]);
    }
    let versions = negotiated(&trials(&record)[0]);
    assert!(versions.iter().all(|seen| seen.starts_with("TLS 1.2 ")), "{versions:?}");
    assert_eq!(record["lab"]["placements"][0]["hops"][1]["delay_ns"], 2_000_000);
}

#[test]
fn a_file_that_cannot_be_measured_is_refused_with_line_and_cure() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, wanted) in [
        (
            "role = \"sidecar\"",
            "role = \"lb\"",
            "line 27: `placement[0].hops[1].role`: `lb` stands",
        ),
        (
            "kind = \"relay\"",
            "kind = \"tunnel\"",
            "line 28: `placement.hops.kind`: `tunnel` is none",
        ),
        ("dial = \"mtls\"", "dial = \"tls\"", "line 25: `placement[0].hops[0].dial`: it dials tls"),
        ("share = 0.2", "share = 0", "line 17: `latency.share`"),
        ("rounds = 8", "runs = 8", "line 13: `timing.runs`: no such key"),
        (
            "key = \"rsa2048\"",
            "[[target]]\nurl = 'http://a.test/'",
            "an endpoint, in a scenario of",
        ),
    ] {
        fs::write(folder.path().join("lab.toml"), example().replacen(from, to, 1)).unwrap();
        let output = run_in(&folder, &["-c", "lab.toml"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{to}: {output:?}");
        assert!(said.contains(wanted) && said.contains("hint: "), "{to}: {said}");
        assert!(said.contains("scenario `lab.toml`"), "{said}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
