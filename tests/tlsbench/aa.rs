//! `tlsbench aa`: that a placement is measured beside itself, and what is made of the record.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

use crate::slices::{SOME_RESUMED, long_enough, record_of};

fn aa(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    let output = command.current_dir(folder).arg("aa").args(arguments).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    output
}

#[test]
fn a_placement_is_measured_beside_itself_and_the_record_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--placement", "lb-terminate", "--workload", "full", "--rounds", "1"];
    let rest = ["--record", "run.json", "-o", "json"];
    let (output, record) = long_enough(SOME_RESUMED, |times| {
        let flags = [&flags[..], &rest, times].concat();
        record_of(&folder.path().join("run.json"), || aa(folder.path(), &flags))
    });
    // Two comparisons of one round: too few for an answer.
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["answer"], "too-few", "{json:#}");
    let compared: Vec<&str> = json["comparisons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["placement"].as_str().unwrap())
        .collect();
    assert_eq!(compared, ["lb-terminate", "plaintext"]);
    let of = |name: &str| {
        let mut placements = record["lab"]["placements"].as_array().unwrap().iter();
        placements.find(|placement| placement["name"] == name).unwrap()["hops"].clone()
    };
    assert_eq!(of("lb-terminate"), of("lb-terminate-again"));

    let again = aa(folder.path(), &["run.json", "-o", "json"]);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    assert_eq!(serde_json::from_slice::<Json>(&again.stdout).unwrap(), json);
    let table = aa(folder.path(), &["run.json"]);
    let said = String::from_utf8(table.stdout).unwrap();
    assert!(said.contains("2 comparisons, 0 with a verdict, 0 of them wrong"), "{said}");
    assert!(said.contains("cannot tell: a verdict on words takes 20 comparisons"), "{said}");
}

#[test]
fn what_is_no_record_of_things_beside_themselves_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/report/closed.json");
    let fixture = fixture.to_str().unwrap();
    for (arguments, wanted) in [
        (&[fixture][..], "is a record of endpoints; name one of `tlsbench aa`"),
        (&["absent.json"], "cannot read `absent.json`"),
        (&[fixture, "--rounds", "3"], "cannot be used with"),
        (&["--placement", "nowhere"], "`nowhere` is none of"),
    ] {
        let output = aa(folder.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
}
