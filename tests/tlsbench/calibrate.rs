//! `tlsbench calibrate` on whatever machine runs the tests: what it prints, not what it finds.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value as Json;
use tlsbench_core::calibration::Calibration;

fn calibrate(folder: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    command.current_dir(folder).arg("calibrate").args(arguments).output().unwrap()
}

#[test]
fn a_table_and_the_document_beside_it_tell_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let output = calibrate(folder.path(), &["--out", "made/calibration.json"]);
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "stderr is no terminal, so there is no progress on it");
    let text = fs::read_to_string(folder.path().join("made/calibration.json")).unwrap();
    let made: Calibration = serde_json::from_str(&text).unwrap();
    let rows = out.lines().skip(1).take(made.primitives.len());
    let mut unsteady = 0;
    for (row, primitive) in rows.zip(&made.primitives) {
        assert!(row.trim_start().starts_with(&primitive.name), "{row}");
        assert_eq!(row.ends_with("not steady"), !primitive.steady, "{row}");
        let of = &primitive.ns;
        assert!(of.low <= of.value && of.value <= of.high && of.low > 0.0, "{primitive:?}");
        assert!(primitive.fastest_ns <= of.low, "{primitive:?}");
        assert!(of.runs >= 7 && primitive.operations >= 1, "{primitive:?}");
        assert_eq!(primitive.steady, primitive.spread <= 0.05, "{primitive:?}");
        unsteady += u32::from(!primitive.steady);
    }
    assert_eq!(output.status.code(), Some(i32::from(unsteady > 0)), "{out}");
    assert_eq!(out.contains(" are not steady"), unsteady > 0, "{out}");
    // RSA is dearer to make than to check on every machine: the figures are of what they say.
    let ns = |name: &str| {
        let of = made.primitives.iter().find(|primitive| primitive.name == name);
        of.map(|primitive| primitive.fastest_ns)
    };
    assert!(ns("rsa2048-sign") > ns("rsa2048-verify"), "{out}");
    for what in ["ecdsa-p256-sign", "x25519", "aes-128-gcm-seal", "system-call", "tcp-connection"] {
        assert!(ns(what).is_some(), "{what}");
    }
}

#[test]
fn json_has_a_version_and_says_which_machine_it_is_of() {
    let folder = tempfile::tempdir().unwrap();
    let output = calibrate(folder.path(), &["-o", "json"]);
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["machine"]["architecture"], std::env::consts::ARCH);
    assert!(json["machine"]["cores"].as_u64().unwrap() > 0);
    assert!(json["cpu_features"].is_array());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no file unless it is asked for");
}

#[test]
fn a_place_that_cannot_be_written_is_named_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    // With so few descriptors nothing can be measured, which would be said if it were tried.
    let run = "ulimit -n 4 && exec \"$0\" calibrate --out \"$1\"";
    let calibrate = |to: &str| {
        let mut command = Command::new("sh");
        command.current_dir(folder.path()).args(["-c", run, env!("CARGO_BIN_EXE_tlsbench"), to]);
        let output = command.output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{err}");
        err
    };
    let err = calibrate("file/calibration.json");
    assert!(err.contains("cannot write `file/calibration.json`"), "{err}");
    let err = calibrate("calibration.json");
    assert!(err.contains("cannot calibrate"), "{err}");
}
