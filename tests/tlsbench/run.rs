//! `tlsbench run` against servers of our own: what is counted, recorded and said.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use tlsbench_engine::testserver::{Answer, TestServer, TestServerConfig};
use tlsbench_engine::tls::{LabPki, Roots, Subject};

/// A server, the root that its chain leads to, and a folder for files.
struct Stage {
    server: TestServer,
    pki: LabPki,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(change: impl FnOnce(&mut TestServerConfig, &LabPki)) -> Self {
        let pki = LabPki::generate().unwrap();
        let issued = pki.issue(&Subject::server("localhost")).unwrap();
        let mut fake = TestServerConfig::tls(issued.identity, 100);
        change(&mut fake, &pki);
        let server = TestServer::start(fake).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca-bundle.crt"), pki.root_pem()).unwrap();
        Self { server, pki, folder }
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        let target = format!("https://localhost:{}/", self.server.address().port());
        let address = self.server.address().to_string();
        command.current_dir(self.folder.path()).args(["run", "--target"]).arg(target);
        command.args(["--connect-to", &address, "--record", "run.json", "-n", "4"]);
        if !flags.contains(&"--ca-bundle") && !flags.contains(&"--verify=off") {
            command.args(["--ca-bundle", "ca-bundle.crt"]);
        }
        command.args(flags);
        command
    }

    /// Runs it: the summary as JSON, standard error, and the exit code.
    fn run(&self, flags: &[&str]) -> (Json, String, Option<i32>) {
        let output = self.command(flags).args(["-o", "json"]).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        let json: Json = serde_json::from_slice(&output.stdout).unwrap_or(Json::Null);
        // How steady a busy machine is, is not for a test to say; that the code says so is.
        let judged = if json["valid"] == true { Some(0) } else { Some(1) };
        assert!(json.is_null() || output.status.code() == judged, "{json:#}");
        (json, err, output.status.code())
    }

    fn record(&self) -> Json {
        let text = fs::read_to_string(self.folder.path().join("run.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

fn sum(record: &Json, of: &[&str]) -> u64 {
    let rounds = record["targets"][0]["rounds"].as_array().unwrap();
    let value = |round: &Json| of.iter().fold(round.clone(), |v, key| v[key].clone()).as_u64();
    rounds.iter().map(|round| value(round).unwrap_or_default()).sum()
}

#[test]
fn requests_are_counted_as_the_server_counts_them() {
    let stage = Stage::new(|_, _| {});
    // Without a warm-up, what is measured is all that the server sees.
    let (json, err, code) =
        stage.run(&["--round-count", "200", "--warm-up", "0s", "--requests-per-connection", "4"]);
    assert_ne!(code, Some(2), "{err}");
    let record = stage.record();
    assert_eq!(json["record"], record);
    assert_eq!(sum(&record, &["succeeded"]), 2_000);
    let seen = stage.server.wait_until(|seen| seen.requests >= 2_000);
    assert_eq!(seen.requests, 2_000);
    assert_eq!(sum(&record, &["shape", "full"]), seen.full);
    assert_eq!(sum(&record, &["connections"]), seen.connections);
    assert_eq!(record["complete"], true);
}

#[test]
fn half_of_the_handshakes_resume_when_half_should() {
    let stage = Stage::new(|_, _| {});
    let flags =
        ["--handshakes-only", "--resume", "0.5", "--round-count", "200", "--warm-up", "50ms"];
    let (_, err, code) = stage.run(&flags);
    assert_ne!(code, Some(2), "{err}");
    let record = stage.record();
    let (full, resumed) = (sum(&record, &["shape", "full"]), sum(&record, &["shape", "resumed"]));
    assert_eq!(sum(&record, &["succeeded"]), 2_000);
    // Within two points; a handshake under way at an edge may count on its other side.
    assert!((full + resumed).abs_diff(2_000) <= 4, "{full} + {resumed}");
    assert!(resumed.abs_diff(1_000) <= 40, "{resumed} of 2,000");
    let seen = stage.server.wait_until(|seen| seen.full + seen.resumed >= 2_000);
    assert!(seen.resumed >= resumed, "the server saw {} resumed, not {resumed}", seen.resumed);
}

#[test]
fn a_server_that_wants_a_certificate_gives_no_success_without_one() {
    let stage = Stage::new(|fake, pki| {
        let roots = Roots::from_pem(pki.root_pem().as_bytes()).unwrap();
        fake.tls.as_mut().unwrap().client_roots = Some(roots.into());
    });
    let (json, err, code) =
        stage.run(&["--handshakes-only", "--round", "50ms", "--warm-up", "50ms"]);
    assert_eq!(code, Some(1), "{err}");
    assert_eq!(sum(&stage.record(), &["succeeded"]), 0);
    assert_eq!(json["valid"], false);

    let client = stage.pki.issue(&Subject::client("client")).unwrap();
    fs::write(stage.folder.path().join("client.pem"), client.chain_pem).unwrap();
    fs::write(stage.folder.path().join("client.key"), client.key_pem).unwrap();
    let with = ["--handshakes-only", "--round-count", "200", "--client-certificate", "client.pem"];
    let (_, err, code) = stage.run(&[&with[..], &["--client-key", "client.key"]].concat());
    assert_ne!(code, Some(2), "{err}");
    assert_eq!(sum(&stage.record(), &["succeeded"]), 2_000);
}

#[test]
fn rounds_too_short_to_be_timed_still_count() {
    let stage = Stage::new(|_, _| {});
    let output = stage.command(&["--round-count", "4", "--warm-up", "0s"]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let record = stage.record();
    assert_eq!(sum(&record, &["succeeded"]), 40, "{out}");
    let rounds = record["targets"][0]["rounds"].as_array().unwrap();
    let untimed = rounds.iter().filter(|round| round["wall_ns"] == 0).count();
    let said = format!("{untimed} of 10 rounds were too short to be timed");
    assert!(untimed == 0 || out.contains(&said), "{untimed}: {out}");
}

#[test]
fn a_chain_that_does_not_verify_is_a_failure_of_its_own_name() {
    let stage = Stage::new(|_, _| {});
    let stranger = LabPki::generate().unwrap();
    fs::write(stage.folder.path().join("ca-bundle.crt"), stranger.root_pem()).unwrap();
    let (_, err, code) = stage.run(&["--round", "50ms", "--warm-up", "50ms"]);
    assert_eq!(code, Some(1), "{err}");
    let record = stage.record();
    // On a busy machine nothing may end in a round as short as these.
    let rounds = record["targets"][0]["rounds"].as_array().unwrap();
    let failed = rounds.iter().flat_map(|round| round["failed"].as_object().unwrap().keys());
    let failed: std::collections::BTreeSet<_> = failed.collect();
    assert!(failed.iter().eq(["certificate_unknown_ca"].iter()), "{failed:?}");
    let (_, err, code) = stage.run(&["--round", "50ms", "--warm-up", "50ms", "--verify=off"]);
    assert_ne!(code, Some(2), "{err}");
    assert!(sum(&stage.record(), &["succeeded"]) > 0);
}

#[test]
fn a_truncated_response_is_counted_and_a_run_still_ends() {
    let stage = Stage::new(|fake, _| fake.answer = Answer::Truncated { promised: 100, sent: 10 });
    let (_, err, code) = stage.run(&["--round", "50ms", "--warm-up", "50ms"]);
    assert_eq!(code, Some(1), "{err}");
    let record = stage.record();
    assert!(sum(&record, &["failed", "response_truncated"]) > 0, "{record:#}");
    assert_eq!(sum(&record, &["succeeded"]), 0);
}

#[test]
fn an_interrupted_run_keeps_and_marks_what_was_measured() {
    let stage = Stage::new(|_, _| {});
    let mut run = stage.command(&["--round", "1s", "--rounds", "60", "--warm-up", "0s"]);
    let child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Without a warm-up, what the server has seen is measured; it is long before the last round.
    stage.server.wait_until(|seen| seen.requests > 50);
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "it ended by itself");
    let record = stage.record();
    assert_eq!(record["complete"], false);
    assert_eq!(record["interrupted"], "it was asked to stop");
    assert!(sum(&record, &["succeeded"]) > 0);
    let rounds = record["targets"][0]["rounds"].as_array().unwrap();
    assert!(rounds.len() < 60, "rounds that never began are no rounds");
    // Of those that passed before a busy machine ran the generator nothing is known but that.
    assert!(rounds.last().unwrap()["wall_ns"] != 0, "{rounds:#?}");
}

#[test]
fn records_of_two_generators_add_up_and_strangers_do_not() {
    let stage = Stage::new(|_, _| {});
    let file = |name: &str| stage.folder.path().join(name);
    for name in ["a.json", "b.json"] {
        stage.run(&["--round-count", "40", "--warm-up", "0s"]);
        fs::rename(file("run.json"), file(name)).unwrap();
    }
    let merge = |records: &[&str]| {
        let mut merge = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        merge.current_dir(stage.folder.path()).arg("merge").args(records);
        merge.args(["--record", "run.json"]).output().unwrap()
    };
    // One was measured after the other: their rates never were there together.
    let err = String::from_utf8(merge(&["a.json", "b.json"]).stderr).unwrap();
    assert!(err.contains("cannot add `b.json` to `a.json`: record 2 began "), "{err}");
    assert!(err.contains("do not overlap"), "{err}");
    let json = |name: &str| -> Json {
        serde_json::from_str(&fs::read_to_string(file(name)).unwrap()).unwrap()
    };
    let mut beside = json("b.json");
    beside["started"] = json("a.json")["started"].clone();
    fs::write(file("b.json"), beside.to_string()).unwrap();
    let output = merge(&["a.json", "b.json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2 records, 20 rounds: run.json\n");
    assert_eq!(sum(&stage.record(), &["succeeded"]), 800);

    stage.run(&["--round-count", "20", "--warm-up", "0s"]);
    fs::rename(file("run.json"), file("other.json")).unwrap();
    let output = merge(&["a.json", "other.json"]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("record 2 has another scenario"), "{err}");
    // No record is lost, and none counts twice.
    fs::copy(file("b.json"), file("run.json")).unwrap();
    for (records, fault) in [
        (["a.json", "./run.json"], "`./run.json` is a record of this sum"),
        (["a.json", "./a.json"], "`./a.json` is named twice"),
    ] {
        let output = merge(&records);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err.contains(fault)), (Some(2), true), "{err}");
    }
    assert_eq!(fs::read(file("run.json")).unwrap(), fs::read(file("b.json")).unwrap());
    fs::copy(file("a.json"), file("copy.json")).unwrap();
    let err = String::from_utf8(merge(&["a.json", "copy.json"]).stderr).unwrap();
    assert!(err.contains("record 2 is a copy of another"), "{err}");
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/report/placements.json");
    let err = String::from_utf8(merge(&["a.json", lab]).stderr).unwrap();
    assert!(err.contains("is a record of placements"), "{err}");
    fs::write(file("odd.json"), "{}").unwrap();
    let err = String::from_utf8(merge(&["a.json", "odd.json"]).stderr).unwrap();
    assert!(err.contains("`odd.json`"), "{err}");
}

#[test]
fn the_defaults_that_help_names_are_those_of_a_printed_scenario() {
    let tlsbench = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        let output = command.arg("run").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    // However wide the terminal is.
    let help = tlsbench(&["--help"]).split_whitespace().collect::<Vec<_>>().join(" ");
    let said: Vec<(&str, &str)> = help
        .split(" --")
        .filter_map(|part| {
            let default = part.split_once("[default: ")?.1;
            Some((part.split(' ').next()?, default.split([']', ';']).next()?))
        })
        .filter(|(flag, _)| !NOT_OF_THE_SCENARIO.contains(flag))
        .collect();
    assert_eq!(said.len(), 25, "{said:?}");
    let print = |flags: &[&str]| {
        let target = ["--print-scenario", "--target", "https://localhost/"];
        tlsbench(&[&target[..], flags].concat())
    };
    let random = ["--rate", "5", "--spread", "poisson"];
    let printed = [&[][..], &["--rate", "5"], &random, &["--protocol", "h2"]].map(print).concat();
    for (flag, default) in said {
        let key = match flag {
            "max-wait" => "wait_max".to_owned(),
            "timeout" => "operation".to_owned(),
            "connect-timeout" => "connect".to_owned(),
            "handshake-timeout" => "handshake".to_owned(),
            "first-byte-timeout" => "first_byte".to_owned(),
            "tls-version" => "version".to_owned(),
            flag => flag.replace('-', "_"),
        };
        let forms = [default.to_owned(), format!("\"{default}\""), format!("{default}.0")];
        let is_there = |form: &String| printed.contains(&format!("\n{key} = {form}\n"));
        assert!(forms.iter().any(is_there), "--{flag}: {default}, and not in\n{printed}");
    }
}

/// Flags whose defaults are another matter: files, the platform, what counts as anything, placements.
const NOT_OF_THE_SCENARIO: [&str; 12] = [
    "ipv4",
    "record",
    "output",
    "ca-bundle",
    "expect-status",
    "placement",
    "upstream-pool",
    "workload",
    "engine",
    "pass",
    "idle",
    "key",
];

#[test]
fn a_printed_scenario_is_one_that_can_be_read() {
    let stage = Stage::new(|_, _| {});
    let print = |flags: &[&str]| {
        let output = stage.command(flags).arg("--print-scenario").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let first = print(&["--resume", "0.25", "--verify", "same-chain", "--method", "HEAD"]);
    assert!(first.contains("resume = 0.25"), "{first}");
    fs::write(stage.folder.path().join("scenario.toml"), &first).unwrap();
    let mut again = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    again.current_dir(stage.folder.path());
    let output = again.args(["run", "-c", "scenario.toml", "--print-scenario"]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), first);
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_cure() {
    let stage = Stage::new(|_, _| {});
    let refused = |flags: &[&str], word: &str| {
        let output = stage.command(flags).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {err}");
        assert!(err.contains(word), "{flags:?}: {err}");
        assert!(!stage.folder.path().join("run.json").exists(), "{flags:?}");
    };
    refused(&["--groups", "x25519mlkem768"], "aws-lc-rs");
    refused(&["--resume", "1.5"], "tls.resume");
    refused(&["--ca-bundle", "absent.pem"], "");
    refused(&["-c", "absent.toml"], "absent.toml");
    fs::write(stage.folder.path().join("odd.toml"), "[tls]\nresum = 1\n").unwrap();
    refused(&["-c", "odd.toml"], "line 2");
    fs::write(stage.folder.path().join("odd.toml"), "[tls]\n\nresume = 1.5\n").unwrap();
    refused(&["-c", "odd.toml"], "scenario `odd.toml` cannot be measured:\nline 3: `tls.resume`");
    refused(&["-c", "odd.toml", "--resume", "1.4"], "cannot be measured:\n`tls.resume`: `1.4`");
    let sni = "[[target]]\nurl = 'https://localhost/'\nsni = '127.0.0.1'\n";
    fs::write(stage.folder.path().join("odd.toml"), sni).unwrap();
    let run = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        command.current_dir(stage.folder.path()).args(["run", "-c", "odd.toml"]).args(flags);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    assert!(run(&[]).contains("\nline 3: `target.sni`: `127.0.0.1`"), "{}", run(&[]));
    assert!(
        run(&["--sni", "127.0.0.2"]).contains("\n`target.sni`: `127.0.0.2`"),
        "{}",
        run(&["--sni", "127.0.0.2"])
    );
}

#[test]
fn a_run_that_is_killed_leaves_the_rounds_that_it_had_measured() {
    let stage = Stage::new(|_, _| {});
    let mut child = stage
        .command(&["--round", "500ms", "--rounds", "100"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let path = stage.folder.path().join("run.json");
    let written = (0..1_500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        path.exists()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(written, "no record within 30 s");
    let record = stage.record();
    assert_eq!(record["complete"], false);
    assert_eq!(record["interrupted"], "the run did not come to its end");
    let rounds = record["targets"][0]["rounds"].as_array().unwrap();
    assert!(!rounds.is_empty() && rounds.len() < 100);
    // On a busy machine nothing may come to its end in a round of half a second.
    assert!(sum(&record, &["succeeded"]) > 0, "{rounds:?}");
}

#[test]
fn secrets_of_a_request_are_nowhere_in_the_record() {
    let stage = Stage::new(|_, _| {});
    let (json, err, code) = stage.run(&[
        "--round-count",
        "20",
        "--header",
        "Authorization: Bearer hush-hush",
        "--data",
        "hush-hush",
    ]);
    assert_ne!(code, Some(2), "{err}");
    let text = fs::read_to_string(stage.folder.path().join("run.json")).unwrap();
    assert!(!text.contains("hush-hush") && !json.to_string().contains("hush-hush"));
    assert!(stage.record()["scenario"].as_str().unwrap().contains("Authorization"));
}

#[test]
fn a_replaced_ca_bundle_is_noted_in_the_record() {
    let stage = Stage::new(|_, _| {});
    let mut child = stage
        .command(&["--round", "400ms", "--rounds", "10"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let bundle = stage.folder.path().join("ca-bundle.crt");
    let next = stage.folder.path().join("next.crt");
    let more = LabPki::generate().unwrap().root_pem();
    fs::write(&next, format!("{}{more}", stage.pki.root_pem())).unwrap();
    stage.server.wait_until(|seen| seen.requests > 0);
    fs::rename(next, bundle).unwrap();
    child.wait().unwrap();
    let mut err = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
    let said = "CA bundle `ca-bundle.crt` was replaced: 2 roots now";
    let record = stage.record();
    assert_eq!(record["notes"][0]["text"], said, "{err}");
    assert!(err.contains(&format!("note: {said}")), "{err}");
    assert_eq!(sum(&record, &["failed", "certificate_unknown_ca"]), 0);
    let versions = &record["environments"][0]["versions"];
    for name in ["tlsbench", "rustls", "ring"] {
        assert!(versions[name].as_str().is_some_and(|version| version.contains('.')), "{versions}");
    }
}

#[test]
fn runs_that_begin_in_one_second_keep_records_of_their_own() {
    let stage = Stage::new(|_, _| {});
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        let target = format!("https://localhost:{}/", stage.server.address().port());
        let flags = ["--ca-bundle", "ca-bundle.crt", "-n", "1", "--round-count", "1"];
        let flags = [&flags[..], &["--rounds", "2", "--warm-up", "0s"]].concat();
        command.current_dir(stage.folder.path()).args(["run", "--target", &target]).args(flags);
        command.args(["--connect-to", &stage.server.address().to_string()]);
        command.output().unwrap()
    };
    for _ in 0..4 {
        run();
    }
    let runs = fs::read_dir(stage.folder.path().join("runs")).unwrap().count();
    assert_eq!(runs, 4);
}
