//! Comparisons of records that were made up from a real one.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::cmd::in_process::said_in;

/// Five records a side, of which the second costs `factor` times as much CPU time; those of the
/// first lie around the recorded one by a percent.
fn sides(factor: f64, change: impl Fn(&str, &mut Json)) -> TempDir {
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/report/closed.json");
    let recorded: Json = serde_json::from_str(&fs::read_to_string(fixture).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (side, factor) in [("old", 1.0), ("new", factor)] {
        for (index, off) in [0.99, 1.01, 1.0, 0.995, 1.005].into_iter().enumerate() {
            let name = format!("{side}-{index}.json");
            let mut record = recorded.clone();
            record["started"] = format!("2026-01-0{}T00:00:0{}Z", index + 1, side.len() % 2).into();
            record["ended"] = name.clone().into();
            // A target that succeeds in nothing, and one that drifts, fail gates of their own.
            record["targets"].as_array_mut().unwrap().retain(|target| target["name"] == "shop|tls");
            for round in record["targets"][0]["rounds"].as_array_mut().unwrap() {
                let cpu = round["cpu"]["total_ns"].as_f64().unwrap();
                round["cpu"]["total_ns"] = ((cpu * factor * off) as u64).into();
                round["operations_per_second"] = (1_000.0 * off).into();
            }
            change(&name, &mut record);
            fs::write(folder.path().join(name), record.to_string()).unwrap();
        }
    }
    folder
}

const NEW: [&str; 5] = ["new-0.json", "new-1.json", "new-2.json", "new-3.json", "new-4.json"];
const OLD: [&str; 5] = ["old-0.json", "old-1.json", "old-2.json", "old-3.json", "old-4.json"];

fn compare(
    folder: &TempDir,
    new: &[&str],
    old: &[&str],
    flags: &[&str],
) -> (String, String, Option<i32>) {
    let arguments = [&["compare"][..], new, &["--against"], old, flags].concat();
    said_in(folder.path(), &arguments, &["--axis", "--fail-if", "-o"])
}

#[test]
fn exit_codes_are_of_the_conditions() {
    let folder = sides(1.2, |_, _| {});
    for (conditions, wanted) in [
        (&[][..], 0),
        (&["--fail-if", "client_cpu > +5%"], 1),
        (&["--fail-if", "client_cpu > +30%"], 0),
        (&["--fail-if", "client_cpu > +20%"], 2),
        (&["--fail-if", "client_cpu > +20%", "--fail-if", "client_cpu>+5%"], 1),
        (&["--fail-if", "client_cpu > +30%", "--fail-if", "client_cpu>+20%"], 2),
        (&["--fail-if", "rate < -5%"], 0),
    ] {
        let (out, err, code) = compare(&folder, &NEW, &OLD, conditions);
        assert_eq!(code, Some(wanted), "{conditions:?}: {out}{err}");
        let lines = out.lines().filter(|line| line.starts_with("fail if ")).count();
        assert_eq!(lines, conditions.len() / 2, "{out}");
    }
    // Four records a side are numbers without a verdict.
    let (out, err, code) =
        compare(&folder, &NEW[1..], &OLD[1..], &["--fail-if", "client_cpu > +5%"]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(out.contains("no verdict: fewer than 5 records on a side"), "{out}");
    assert!(out.contains("cannot tell of shop|tls"), "{out}");
}

#[test]
fn the_object_says_the_same_as_the_table() {
    let folder = sides(1.2, |_, _| {});
    let flags = ["--fail-if", "client_cpu > +5%", "-o", "json"];
    let (out, err, code) = compare(&folder, &NEW, &OLD, &flags);
    assert_eq!(code, Some(1), "{err}");
    let json: Json = serde_json::from_str(&out).unwrap();
    assert_eq!(json["records"].as_array().unwrap().len(), 5);
    assert_eq!(json["conditions"][0]["outcome"], "fails");
    assert_eq!(json["conditions"][0]["subjects"]["shop|tls"], "fails");
    let changes = json["changes"].as_array().unwrap();
    let cpu = changes.iter().find(|change| change["metric"] == "client_cpu").unwrap();
    assert_eq!(cpu["verdict"]["is"], "costs-more", "{cpu}");
    assert!((cpu["ratio"]["value"].as_f64().unwrap() - 1.2).abs() < 1e-4, "{cpu}");
    let (out, ..) = compare(&folder, &NEW, &OLD, &[]);
    let line = out.lines().find(|line| line.contains("client_cpu")).unwrap();
    assert!(line.contains("1.200 ×") && line.ends_with(" more"), "{line}");
    assert!(out.contains("5 records against 5, not in pairs"), "{out}");
}

#[test]
fn what_did_not_measure_the_same_is_refused_unless_it_is_the_axis() {
    let folder = sides(1.0, |name, record| {
        if name.starts_with("new") {
            let scenario = record["scenario"].as_str().unwrap();
            let changed = scenario.replace("resume = 0.5", "resume = 0.25");
            assert_ne!(changed, scenario);
            record["scenario"] = changed.into();
        }
    });
    let (out, err, code) = compare(&folder, &NEW, &OLD, &[]);
    assert_eq!((out.as_str(), code), ("", Some(2)), "{err}");
    assert!(err.contains("tls.resume: `0.25` and `0.5`") && err.contains("--axis"), "{err}");
    let (out, err, code) = compare(&folder, &NEW, &OLD, &["--axis", "tls.resume"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("differs, as was said: tls.resume: `0.25` and `0.5`"), "{out}");
    let (_, err, code) = compare(&folder, &NEW, &OLD, &["--axis", "tls.resme"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("`tls.resme` is no parameter") && err.contains("tls.resume"), "{err}");
}

#[test]
fn what_makes_no_comparison_is_refused_with_the_cure() {
    let folder = sides(1.0, |name, record| {
        if name == "new-3.json" {
            record["complete"] = false.into();
            record["interrupted"] = "it was asked to stop".into();
        }
    });
    let refused = |new: &[&str], old: &[&str], flags: &[&str], wanted: &str| {
        let (out, err, code) = compare(&folder, new, old, flags);
        assert_eq!((out.as_str(), code), ("", Some(2)), "{err}");
        assert!(err.contains(wanted), "{wanted}: {err}");
    };
    refused(
        &NEW,
        &OLD,
        &[],
        "`new-3.json` ended before its time (it was asked to stop); leave it out",
    );
    refused(&["new-0.json", "./new-0.json"], &OLD, &[], "is named twice");
    refused(&NEW[..3], &OLD, &["--paired"], "3 records cannot be paired with 5");
    refused(&NEW[..3], &OLD, &["--fail-if", "lb_cpu > +5%"], "no record has a `lb_cpu`");
    refused(&NEW[..3], &OLD, &["--fail-if", "cpu > 5%"], "`5%` is no limit");
    refused(&["absent.json"], &OLD, &[], "cannot read `absent.json`");
    fs::copy(folder.path().join("new-0.json"), folder.path().join("copy.json")).unwrap();
    refused(&["new-0.json", "copy.json"], &OLD, &[], "are the same run");
}
