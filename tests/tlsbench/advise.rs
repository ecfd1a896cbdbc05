//! `tlsbench advise`, over a record that is measured here: what it says, not what it finds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value as Json;

use crate::slices::{SOME_RESUMED, long_enough, record_of};

fn tlsbench(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    output
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/lab").join(name)
}

/// A thorough run of one placement, as short as can be.
fn measured(folder: &Path) -> Json {
    let what = ["run", "--thorough", "--placement", "lb-terminate", "--pass", "cpu", "--idle", "9"];
    let how = ["--rounds", "2", "--record", "run.json"];
    let (output, record) = long_enough(SOME_RESUMED, |times| {
        let flags = [&what[..], &how, times].concat();
        record_of(&folder.join("run.json"), || tlsbench(folder, &flags))
    });
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    record
}

#[test]
fn a_thorough_run_measures_the_mix_that_its_costs_chose_and_advice_tells_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let record = measured(folder.path());
    assert_eq!(record["held_out"]["fit_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(record["held_out"]["mix"], record["lab"]["mix"]);
    let mixed: Vec<&Json> = record["trials"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|trial| trial["workload"] == "mix")
        .collect();
    assert_eq!(mixed.len(), 2, "the placement and its twin");
    // The first round chose it, and the other measured it beside all else.
    assert_eq!(record["held_out"]["from_round"], 1);
    let rounds = |trial: &Json| -> Vec<u64> {
        let rounds = trial["client"]["rounds"].as_array().unwrap().iter();
        rounds.map(|round| round["round"].as_u64().unwrap()).collect()
    };
    assert_eq!(mixed.iter().map(|trial| rounds(trial)).collect::<Vec<_>>(), [[1], [1]]);
    assert_eq!(rounds(&record["trials"][0]), [0, 1]);
    let requests = record["lab"]["mix"]["requests"].as_u64().unwrap();
    let scenario = mixed[0]["scenario"].as_str().unwrap();
    assert!(scenario.contains(&format!("requests_per_connection = {requests}")), "{scenario}");

    let (profile, prices) = (example("shop.toml"), example("prices.toml"));
    let files = ["--profile", profile.to_str().unwrap(), "--prices", prices.to_str().unwrap()];
    let advise = |flags: &[&str]| {
        tlsbench(folder.path(), &[&["advise", "run.json"][..], &files, flags].concat())
    };
    let output = advise(&["-o", "json"]);
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = json["placements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|placed| placed["placement"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["lb-terminate", "plaintext"]);
    assert_eq!(json["currency"], "USD");
    // Nobody said which machine is priced, and tests are debug builds.
    let withheld = json["money_withheld"].to_string();
    assert!(withheld.contains("--same-machine"), "{withheld}");
    assert!(json["placements"][0]["money"].as_array().unwrap().is_empty());
    assert_eq!(json["check"]["rows"].as_array().unwrap().len(), 6, "{}", json["check"]);
    assert_eq!(json["check"]["unchecked"]["is"], "too-few-rounds");
    for block in json["fit"]["blocks"].as_array().unwrap() {
        let terms = block["terms"].as_array().unwrap();
        let rest = terms.iter().find(|term| term["term"] == "rest").unwrap();
        assert_eq!(
            (&rest["micros"]["runs"], &rest["withheld"]),
            (&2.into(), &Json::Null),
            "{rest}"
        );
    }
    // There is one placement to take, if its costs can be told at all from so little.
    let is_told = json["placements"][0]["cores"].is_object();
    assert_eq!(output.status.code(), Some(if is_told { 0 } else { 1 }), "{json:#}");

    let output = advise(&["--same-machine"]);
    let said = String::from_utf8(output.stdout).unwrap();
    for wanted in ["lb (http)", "rank ", "condition ", "private keys: `lb`", "no money is told: "] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn what_cannot_be_judged_is_refused_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/report/closed.json");
    fs::write(folder.path().join("bad.toml"), "[traffic]\nconnections_per_secnd = 1\n").unwrap();
    let (endpoints, prices) = (fixture.to_str().unwrap(), example("prices.toml"));
    let (shop, prices) = (example("shop.toml"), prices.to_str().unwrap());
    let shop = shop.to_str().unwrap();
    for (record, profile, flags, wanted) in [
        (endpoints, shop, &[][..], "is a record of endpoints"),
        ("absent.json", shop, &[], "cannot read `absent.json`"),
        ("absent.json", shop, &["--measured", "x.json"], "--priced"),
        (
            "absent.json",
            shop,
            &["--same-machine", "--measured", "x", "--priced", "y"],
            "--measured",
        ),
    ] {
        let arguments = ["advise", record, "--profile", profile, "--prices", prices];
        let output = tlsbench(folder.path(), &[&arguments[..], flags].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{record} {flags:?}: {said}");
        assert!(said.contains(wanted), "{record} {flags:?}: {said}");
    }
    let flags = ["--rounds", "1", "--pass", "cpu", "--record", "run.json"];
    let what = ["run", "--placement", "plaintext", "--workload", "keep-alive"];
    let (output, record) = long_enough(SOME_RESUMED, |times| {
        let flags = [&what[..], &flags, times].concat();
        record_of(&folder.path().join("run.json"), || tlsbench(folder.path(), &flags))
    });
    assert_eq!(record["complete"], true, "{output:?}");
    let advise = |files: &[&str]| {
        let output = tlsbench(folder.path(), &[&["advise", "run.json"][..], files].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = advise(&["--profile", "bad.toml", "--prices", prices]);
    assert!(said.contains("profile `bad.toml` cannot be used:\nline 2:"), "{said}");
    assert!(said.contains("hint: did you mean `connections_per_second`?"), "{said}");
    let said = advise(&["./run.json", "--profile", shop, "--prices", prices]);
    assert!(said.contains("is named twice"), "{said}");
    fs::write(folder.path().join("cal.json"), "{}").unwrap();
    let calibrated = ["--measured", "cal.json", "--priced", "cal.json"];
    let said = advise(&[&["--profile", shop, "--prices", prices][..], &calibrated].concat());
    assert!(said.contains("`cal.json` is no calibration"), "{said}");
}
