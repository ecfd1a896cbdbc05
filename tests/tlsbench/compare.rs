//! `tlsbench compare`, over records that are measured here.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;

use crate::slices::{SOME_RESUMED, long_enough, record_of};

fn tlsbench(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    output
}

fn said(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn compare(folder: &TempDir, new: &[&str], old: &[&str]) -> (String, String, Option<i32>) {
    said(&tlsbench(folder.path(), &[&["compare"][..], new, &["--against"], old].concat()))
}

#[test]
fn records_of_placements_are_compared_and_not_with_others() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["run", "--placement", "lb-terminate", "--workload", "full", "--rounds", "1"];
    // With slices of one length, or they did not measure the same.
    let (outputs, _) = long_enough(SOME_RESUMED, |times| {
        let [(one, a), (other, b)] = ["a.json", "b.json"].map(|name| {
            let flags = [&flags[..], &["--record", name], times].concat();
            record_of(&folder.path().join(name), || tlsbench(folder.path(), &flags))
        });
        let trials =
            [&a, &b].map(|record| record["trials"].as_array().cloned().unwrap_or_default());
        let complete = a["complete"] == true && b["complete"] == true;
        ([one, other], json!({ "complete": complete, "trials": trials.concat() }))
    });
    for output in outputs {
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    }
    let (out, err, code) = compare(&folder, &["a.json"], &["b.json"]);
    assert_eq!(code, Some(0), "{err}");
    for metric in ["cpu", "lb_cpu", "ingress_cpu", "backend_cpu", "handshake_cpu", "client_cpu"] {
        let is_it = |line: &&str| line.contains("lb-terminate/full") && line.contains(metric);
        assert!(out.lines().any(|line| is_it(&line)), "{metric}: {out}");
    }
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/report/closed.json");
    let (_, err, code) = compare(&folder, &["a.json"], &[fixture.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(err.contains("kind: `placements` and `endpoints`"), "{err}");
}
