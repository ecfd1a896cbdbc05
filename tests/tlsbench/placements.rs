//! `tlsbench run` without an endpoint: placements on this machine, as a user has them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tempfile::TempDir;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::verdicts::verdicts;

use crate::servers::{installed, within};
use crate::slices::{MOST_RESUMED, SOME_RESUMED, long_enough, record_of};

use std::time::Duration;

/// A run of one round.
const SHORT: [&str; 6] = ["--pass", "cpu", "--rounds", "1", "--record", "run.json"];

fn command(folder: &TempDir, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    command.current_dir(folder.path()).arg("run").args(flags).stdin(Stdio::null());
    command
}

fn run(flags: &[&str]) -> (Output, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let output = command(&folder, flags).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    (output, folder)
}

fn record(folder: &TempDir) -> Json {
    serde_json::from_str(&fs::read_to_string(folder.path().join("run.json")).unwrap()).unwrap()
}

/// Runs two placements with their twins, and holds the record against what was asked.
fn measured(engines: &[&str], wanted: [&str; 3]) {
    let chosen = ["--placement", "lb-terminate,passthrough", "--workload", "full,resumed"];
    let flags = [&SHORT[..], &chosen, engines].concat();
    let ((output, folder), record) = long_enough(MOST_RESUMED, |times| {
        let (output, folder) = run(&[&flags[..], times].concat());
        let record = fs::read_to_string(folder.path().join("run.json")).unwrap_or_default();
        ((output, folder), serde_json::from_str(&record).unwrap_or_default())
    });
    // A busy machine may shut a gate: then it says so, and measures all the same.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(record["complete"], true, "{said}");
    let trials = record["trials"].as_array().unwrap();
    let names: Vec<String> = trials
        .iter()
        .map(|trial| format!("{}/{}", text(&trial["placement"]), text(&trial["workload"])))
        .collect();
    assert_eq!(
        names,
        [
            "lb-terminate/full",
            "lb-terminate/resumed",
            "passthrough/full",
            "passthrough/resumed",
            "plaintext/full",
            "plaintext-l4l4/full"
        ]
    );
    for (trial, name) in trials.iter().zip(&names) {
        let hops = trial["hops"].as_array().unwrap();
        let engines: Vec<&str> = hops.iter().map(|hop| text(&hop["engine"])).collect();
        assert_eq!(engines, wanted, "{name}");
        for hop in hops {
            for round in hop["rounds"].as_array().unwrap() {
                assert!(round["total_ns"].as_u64().unwrap() > 0, "{name} {hop}");
                assert!(round["resident_bytes"].as_u64().unwrap() > 100_000, "{name} {hop}");
            }
        }
        let rounds = trial["client"]["rounds"].as_array().unwrap();
        assert_eq!(rounds.len(), hops[0]["rounds"].as_array().unwrap().len(), "{name}");
        let sum = |of: &dyn Fn(&Json) -> &Json| -> u64 {
            rounds.iter().map(|round| of(round).as_u64().unwrap_or_default()).sum()
        };
        assert!(sum(&|round| &round["succeeded"]) > 0, "{name}: {said}");
        let (full, resumed) =
            (sum(&|round| &round["shape"]["full"]), sum(&|round| &round["shape"]["resumed"]));
        match name.rsplit('/').next() {
            _ if name.starts_with("plaintext") => assert_eq!((full, resumed), (0, 0), "{name}"),
            Some("full") => assert!(full > 0 && resumed == 0, "{name}: {full} {resumed}"),
            _ => assert!(resumed > full, "{name}: {full} {resumed}"),
        }
    }
    assert_counts_agree(&LabRecord::from_json(&record.to_string()).unwrap());
    assert!(said.contains("passthrough beside lb-terminate"), "{said}");
    assert!(said.contains("\nreport: run.html\n"), "{said}");
    let page = fs::read_to_string(folder.path().join("run.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("passthrough"));
    // Nothing is left running.
    let pids = Command::new("pgrep").arg("-f").arg(folder.path()).output();
    assert!(pids.is_err() || pids.is_ok_and(|pids| pids.stdout.is_empty()));
}

/// Client and hops counted the same, but for what was under way at the end.
fn assert_counts_agree(judged: &LabRecord) {
    for trial in &judged.trials {
        let hops = &judged.placement(&trial.placement).unwrap().hops;
        let edge = hops.iter().position(|hop| hop.kind.speaks_http()).unwrap();
        let (made, counted) = (trial.made[0].made, trial.hops[edge].rounds[0].counted.unwrap());
        assert!(made.connections >= trial.client.rounds[0].connections, "{made:?}");
        for (one, other) in [
            (made.connections, counted.connections),
            (made.full, counted.full),
            (made.resumed, counted.resumed),
        ] {
            assert!(one.abs_diff(other) <= 16, "{}: {made:?} {counted:?}", trial.client.name);
        }
    }
    let gates = verdicts(judged).gates;
    assert!(gates.iter().all(|gate| gate.name != "counts"), "{gates:?}");
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap()
}

#[test]
fn builtin_hops_are_measured_with_nothing_installed() {
    measured(&[], ["builtin"; 3]);
}

#[test]
fn nginx_and_haproxy_are_measured_also_mixed() {
    if installed("nginx", "nginx").is_none() || installed("haproxy", "haproxy").is_none() {
        return;
    }
    measured(&["--engine", "nginx"], ["nginx"; 3]);
    measured(&["--engine", "haproxy"], ["haproxy"; 3]);
    measured(&["--lb", "haproxy", "--ingress", "nginx"], ["haproxy", "nginx", "nginx"]);
}

#[test]
fn what_the_hops_were_told_is_kept_beside_the_record() {
    if installed("nginx", "nginx").is_none() {
        return;
    }
    let chosen = ["--placement", "ingress-reencrypt", "--workload", "keep-alive"];
    let rest = ["--engine", "nginx", "--round", "600ms", "--warm-up", "50ms"];
    let (output, folder) = run(&[&SHORT[..], &chosen, &rest].concat());
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let file = |path: &str| fs::read_to_string(folder.path().join("run").join(path)).unwrap();
    assert!(file("ingress-reencrypt/ingress/nginx.conf").contains("proxy_pass https://next"));
    assert!(file("plaintext-l4/lb/nginx.conf").contains("stream {"));
    assert!(text(&record(&folder)["notes"][0]["text"]).starts_with("nginx 1."));
}

#[test]
fn placements_are_drawn_without_measuring() {
    let (output, folder) = run(&["--show", "--placement", "passthrough"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let drawn = "client ══TLS═▶ (lb relay) ══TLS═▶ (ingress sni-relay) ══TLS═▶ backend";
    assert!(said.contains(drawn) && said.contains("plaintext-l4l4"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn certificates_of_pki_are_used_and_a_bundle_that_trusts_them_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let tlsbench = env!("CARGO_BIN_EXE_tlsbench");
    let made = Command::new(tlsbench).args(["pki", "lab"]).current_dir(folder.path()).output();
    assert!(made.unwrap().status.success());
    // As when something else distributes the root under another name.
    fs::rename(folder.path().join("lab/ca-bundle.crt"), folder.path().join("trusted.crt")).unwrap();
    let flags = ["--placement", "mtls", "--workload", "full", "--pki", "lab"];
    let flags = [&SHORT[..], &flags, &["--ca-bundle", "trusted.crt"]].concat();
    let (output, record) = long_enough(SOME_RESUMED, |times| {
        let mut command = command(&folder, &[&flags[..], times].concat());
        record_of(&folder.path().join("run.json"), || command.output().unwrap())
    });
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let mtls = &record["trials"][0];
    assert!(text(&mtls["scenario"]).contains("trusted.crt"), "{mtls}");
    let rounds = mtls["client"]["rounds"].as_array().unwrap();
    assert!(rounds.iter().any(|round| round["succeeded"].as_u64() > Some(0)), "{mtls}");

    let others = tempfile::tempdir().unwrap();
    let stranger = Command::new(tlsbench).args(["pki", "lab"]).current_dir(others.path()).output();
    assert!(stranger.unwrap().status.success());
    fs::copy(others.path().join("lab/ca-bundle.crt"), folder.path().join("trusted.crt")).unwrap();
    let times = ["--round", "600ms", "--warm-up", "50ms"];
    let output = command(&folder, &[&flags[..], &times].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("certificate_unknown_ca"));
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_leaves_no_hop_behind() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--placement", "lb-terminate", "--workload", "full", "--rounds", "500"];
    let mut child =
        command(&folder, &[&flags[..], &["--round", "50ms", "--record", "run.json"]].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    let record_is_there =
        within(Duration::from_secs(60), || folder.path().join("run.json").exists());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(record_is_there, "no round ended within a minute");
    let ended = within(Duration::from_secs(60), || child.try_wait().unwrap().is_some());
    if !ended {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(ended && output.status.code() == Some(130), "{output:?}");
    let record = record(&folder);
    assert_eq!(record["complete"], false);
    assert_eq!(record["interrupted"], "it was asked to stop");
    assert!(!record["trials"].as_array().unwrap().is_empty());
}

#[test]
fn a_proxy_that_is_missing_is_named_with_its_package() {
    let folder = tempfile::tempdir().unwrap();
    // Of all engines only Caddy lies where this leads: others are looked for in /usr/sbin, too.
    let mut command = command(&folder, &["--engine", "caddy", "--placement", "lb-terminate"]);
    let output = command.env("PATH", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let wanted = "`caddy` is not on PATH; install it (in Debian caddy), or use --engine builtin";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn an_nginx_without_its_stream_module_is_told_with_the_package() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("nginx");
    let said = "nginx version: nginx/1.22.1\nconfigure arguments: --with-http_ssl_module";
    fs::write(&program, format!("#!/bin/sh\nprintf '{said}\\n' >&2\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = command(&folder, &["--engine", "nginx", "--placement", "ingress-terminate"]);
    let output = command.env("PATH", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    for wanted in ["nginx has no stream module", "the lb of `", "libnginx-mod-stream", "--lb"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!folder.path().join("runs").exists());
}

/// Names of what lies in a folder.
fn left(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn of_a_proxy_that_does_not_start_its_configuration_is_left_and_named_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    // It tells its version like any other, and then does not take its configuration.
    let script = "#!/bin/sh\n[ \"$1\" = -V ] && exec echo 'nginx version: nginx/1.22.1' >&2\n\
                  echo 'it is broken' >&2\nexit 1\n";
    let program = folder.path().join("bin/nginx");
    fs::create_dir(folder.path().join("bin")).unwrap();
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = command(&folder, &["--engine", "nginx", "--placement", "lb-terminate"]);
    let path = std::env::join_paths([folder.path().join("bin"), "/usr/bin".into(), "/bin".into()]);
    let output = command.env("PATH", path.unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(said.contains("it is broken"), "{said}");
    let named = said.split('`').find(|part| part.contains("/runs/")).unwrap();
    let named = Path::new(named);
    assert!(fs::read_to_string(named.join("nginx.conf")).unwrap().contains("server"), "{said}");
    assert!(fs::read_to_string(named.join("stderr.log")).unwrap().contains("it is broken"));
    assert!(named.ends_with("lb-terminate/backend"), "the first that is put up: {said}");
    let run = named.ancestors().nth(2).unwrap();
    assert_eq!(left(run.parent().unwrap()).len(), 1, "no record of nothing");
}

#[test]
fn what_was_there_before_stays_where_nothing_came_to_be_measured() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("old/run")).unwrap();
    fs::create_dir(folder.path().join("runs")).unwrap();
    fs::write(folder.path().join("old/run/mine"), "mine").unwrap();
    for record in [&["--record", "old/run.json"][..], &["--record", "new/er/run.json"], &[]] {
        // Found out only when the folder is made.
        let flags = [&["--pki", "nowhere"][..], record].concat();
        let output = command(&folder, &flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    assert_eq!(left(folder.path()), ["old", "runs"]);
    assert_eq!(left(&folder.path().join("runs")), [""; 0]);
    assert_eq!(left(&folder.path().join("old")), ["run"]);
    assert_eq!(fs::read_to_string(folder.path().join("old/run/mine")).unwrap(), "mine");
}

#[test]
fn what_cannot_be_measured_is_refused_with_a_cure() {
    for (flags, wanted) in [
        (&["--placement", "somewhere"][..], "`somewhere` is none of `plaintext`"),
        (&["--engine", "envoy"], "`envoy` is none of `builtin`"),
        (&["--engine", "caddy", "--placement", "passthrough"], "Caddy speaks HTTP only"),
        (&["--workload", "all"], "`all` is none of `full`"),
        (&["--rounds", "0"], "write 1 to 1,000"),
        (&["-n", "4"], "--target"),
        (&["--resume", "0.5"], "--target"),
        (&["--pass", "cpu,money"], "`money` is none of `cpu`, `latency`"),
        (&["--sni", "a.test"], "--target"),
        (&["--ca-bundle", "ca.crt"], "--pki DIR"),
        (&["--pki", "nowhere"], "nowhere/"),
        (&["--engine", "nginx", "--target", "http://127.0.0.1:1/"], "an endpoint is named"),
        (&["--netns", "--target", "http://127.0.0.1:1/"], "an endpoint is named"),
    ] {
        let (output, folder) = run(flags);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {output:?}");
        assert!(said.contains(wanted), "{flags:?}: {said}");
        assert_eq!(left(folder.path()), [""; 0], "{flags:?}");
    }
}
