//! The program from outside, over executables that are shell scripts.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn messages(folder: &Path, scripts: &[(&str, &str)]) -> String {
    let mut lines = String::new();
    for (name, text) in scripts {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let message = serde_json::json!({
            "reason": "compiler-artifact",
            "manifest_path": folder.join("Cargo.toml"),
            "target": {"name": name, "kind": ["lib"]},
            "profile": {"test": true},
            "executable": path,
        });
        lines.push_str(&format!("{message}\n"));
    }
    lines
}

fn run(scripts: &[(&str, &str)], arguments: &[&str]) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages");
    std::fs::write(&file, messages(folder.path(), scripts)).unwrap();
    let program = env!("CARGO_BIN_EXE_runner");
    let output = Command::new(program).arg(&file).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

#[test]
fn the_sum_stands_on_the_last_line_and_the_exit_code_says_the_same() {
    let good = ("good", "echo 'test a ... ok <0.1s>'");
    let (output, text) = run(&[good], &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(text.ends_with("\n1 passed, 0 failed, 0 skipped\n"), "{text}");

    let bad = ("bad", "echo 'test b ... FAILED <0.1s>'; echo the reason; exit 101");
    let (output, text) = run(&[good, bad], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("the reason"), "{text}");
    assert!(text.ends_with("failed:\n  bad b\n\n1 passed, 1 failed, 0 skipped\n"), "{text}");
}

#[test]
fn the_longest_start_first_and_arguments_are_passed_on() {
    let say = "echo \"test $5 ... ok <0.1s>\"";
    let arguments = ["--jobs", "1", "--first", "b", "--", "part"];
    let (_, text) = run(&[("a", say), ("b", say)], &arguments);
    let place = |name: &str| text.find(&format!("] {name}: 1 passed")).unwrap();
    assert!(place("b") < place("a"), "{text}");
    assert!(text.contains("a part\n"), "{text}");
}

#[test]
fn a_list_without_a_test_executable_is_an_error() {
    let (output, _) = run(&[], &[]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("names no test executable"), "{errors}");
}

#[test]
fn a_name_that_no_test_has_is_an_error_that_says_so() {
    let (output, _) = run(&[("a", "true")], &["--", "nobody"]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("holds `nobody`"), "{errors}");
}
