//! `tlsbench doctor` on whatever machine runs the tests: what it prints, not what it finds.

use assert_cmd::Command;

fn tlsbench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    command.args(arguments);
    command
}

/// Standard output, standard error and the exit code.
fn run(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = tlsbench(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn doctor_prints_a_table_and_its_exit_code_agrees() {
    let (out, err, code) = run(&["doctor"]);
    assert_eq!(err, "");
    for word in [
        "value",
        "limit",
        "verdict",
        "cores of hardware",
        "CPU features",
        "turbo",
        "power",
        "frequency drift",
        "steal since boot",
        "CPU quota",
        "wake-up lateness",
        "in TIME_WAIT now",
        "loopback ceiling",
        "proxies",
    ] {
        assert!(out.contains(word), "{word}: {out}");
    }
    let last = out.lines().last().unwrap();
    let expected = if last.starts_with("this machine is fit:") { 0 } else { 1 };
    assert_eq!(code, Some(expected), "{last}");
    let warnings = out.lines().filter(|line| line.starts_with("warning: ")).count();
    assert_eq!(warnings == 0, expected == 0, "{out}");
}

#[test]
fn doctor_prints_json_and_its_exit_code_agrees() {
    let (out, err, code) = run(&["doctor", "-o", "json"]);
    assert_eq!(err, "");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let lines = json["lines"].as_array().unwrap();
    assert!(lines.len() >= 24, "{out}");
    let mut fit = true;
    for line in lines {
        match line["verdict"].as_str().unwrap() {
            "unfit" => {
                fit = false;
                assert!(line["cure"].is_string() && line["cause"].is_string(), "{line}");
            }
            "unknown" => assert_eq!(line["value"], "unknown", "{line}"),
            word => assert_eq!(word, "fit"),
        }
        assert!(line["value"].is_string() && line["limit"].is_string(), "{line}");
    }
    assert_eq!(json["fit"], fit);
    assert_eq!(code, Some(if fit { 0 } else { 1 }));
}

#[test]
fn doctor_lists_the_proxies_on_the_path_with_their_versions() {
    let folder = tempfile::tempdir().unwrap();
    let caddy = folder.path().join("caddy");
    std::fs::write(&caddy, "#!/bin/sh\necho v2.7.6 h1:x\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&caddy, executable).unwrap();
    let output = tlsbench(&["doctor", "-o", "json"]).env("PATH", folder.path()).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = json["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["name"] == "proxies").unwrap();
    assert_eq!((&line["value"], &line["verdict"]), (&"caddy 2.7.6".into(), &"fit".into()));
}

#[test]
fn one_allowed_cpu_is_unfit() {
    let output = Command::new("taskset")
        .args(["-c", "0", env!("CARGO_BIN_EXE_tlsbench"), "doctor", "-o", "json"])
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["lines"][0]["name"], "cores");
    assert_eq!(json["lines"][0]["verdict"], "unfit");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_wrong_argument_fails_and_names_it() {
    for arguments in [&["doctor", "--colour"][..], &["doctor", "-o", "xml"], &["dance"], &[]] {
        let (out, err, code) = run(arguments);
        assert_eq!((out.as_str(), code), ("", Some(2)), "{arguments:?}");
        if let Some(wrong) = arguments.last() {
            assert!(err.contains(wrong), "{err}");
        }
    }
}

#[test]
fn help_lists_the_verbs_that_work_and_the_exit_codes() {
    let (out, _, code) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("doctor") && out.contains("Linux") && out.contains("Exit codes"), "{out}");
}

#[test]
fn a_reader_that_stops_early_is_no_failure() {
    let script =
        format!("'{}' doctor | true; echo ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_tlsbench"));
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let code = String::from_utf8(output.stdout).unwrap();
    assert!(["0", "1"].contains(&code.trim()), "{code}");
    assert!(output.stderr.is_empty());
}
