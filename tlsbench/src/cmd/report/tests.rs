//! Recorded runs as documents, held against committed ones.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::cmd::in_process::said_in;

/// Records and what is expected of them; `make.sh` there says how they were made.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/report")
}

fn fixture(name: &str) -> String {
    fs::read_to_string(fixtures().join(name)).unwrap()
}

/// Holds a text against the committed one, or commits it anew where `UPDATE_GOLDENS` says so.
fn assert_golden(seen: &str, name: &str) {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(fixtures().join(name), seen).unwrap();
    }
    assert!(seen == fixture(name), "{name}; UPDATE_GOLDENS=1 writes it anew, to be read: {seen}");
}

fn report(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    said_in(folder, &[&["report"], arguments].concat(), &["--format"])
}

/// A folder with the record `closed.json`, changed.
fn changed(change: impl FnOnce(&mut Json)) -> tempfile::TempDir {
    let mut record: Json = serde_json::from_str(&fixture("closed.json")).unwrap();
    change(&mut record);
    folder_with(&record.to_string())
}

fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("run.json"), text).unwrap();
    folder
}

/// Standard error of a report that cannot be made.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let (out, err, code) = report(folder, arguments);
    assert_eq!((out.as_str(), code), ("", Some(2)), "{err}");
    err
}

#[test]
fn two_records_give_the_committed_documents() {
    for (format, name) in
        [("md", "expected.md"), ("csv", "expected.csv"), ("json", "expected.json")]
    {
        let records = ["closed.json", "open.json", "--format", format];
        let (out, err, code) = report(&fixtures(), &records);
        assert_eq!(code, Some(0), "{err}");
        assert_golden(&out, name);
    }
    let (markdown, ..) = report(&fixtures(), &["closed.json", "open.json"]);
    assert_eq!(markdown, fixture("expected.md"), "Markdown is what comes unasked");
}

#[test]
fn a_run_over_placements_gives_the_committed_document() {
    let (out, err, code) = report(&fixtures(), &["placements.json"]);
    assert_eq!(code, Some(0), "{err}");
    assert_golden(&out, "placements.md");
}

#[test]
fn every_line_of_csv_has_the_columns_of_the_documented_header() {
    let csv = fixture("expected.csv");
    let header = csv.split("\r\n").next().unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report.md");
    let page = fs::read_to_string(page).unwrap();
    for column in header.split(',') {
        assert!(page.contains(&format!("`{column}`")), "{column}");
    }
    // No field of these records holds a comma or a quote.
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert!(lines.iter().all(|line| line.matches(',').count() == 14));
    let missed = "slow,corrected,max,ns,";
    let line = lines.iter().find(|line| line.contains(missed)).unwrap();
    assert!(line.ends_with(",,,true,,,,,"), "{line}");
}

#[test]
fn a_name_with_commas_and_quotes_is_one_field_of_csv() {
    let folder = changed(|record| record["targets"][1]["name"] = "a \"b\", c".into());
    let (out, err, code) = report(folder.path(), &["run.json", "--format", "csv"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains(",\"a \"\"b\"\", c\",,rounds,,10,,,false,,,,,\r\n"), "{out}");
}

#[test]
fn several_formats_land_beside_each_other_and_agree() {
    let folder = changed(|_| {});
    let arguments = ["run.json", "--format", "json,csv,md", "--out", "made/it"];
    let (out, err, code) = report(folder.path(), &arguments);
    assert_eq!((out.as_str(), code), ("made/it.csv\nmade/it.json\nmade/it.md\n", Some(0)), "{err}");
    let made =
        |ending: &str| fs::read_to_string(folder.path().join(format!("made/it.{ending}"))).unwrap();
    let json: Json = serde_json::from_str(&made("json")).unwrap();
    let succeeded = json["runs"][0]["targets"][0]["succeeded"].as_u64().unwrap();
    assert!(made("csv").contains(&format!("shop|tls,,succeeded,,{succeeded},,,false")));
    assert!(made("md").starts_with("# tlsbench report\n"));
}

#[test]
fn one_format_goes_to_the_file_that_was_named() {
    let folder = changed(|_| {});
    let (out, err, code) = report(folder.path(), &["run.json", "-o", "report.txt"]);
    assert_eq!((out.as_str(), code), ("report.txt\n", Some(0)), "{err}");
    let text = fs::read_to_string(folder.path().join("report.txt")).unwrap();
    assert!(text.starts_with("# tlsbench report\n"));
}

#[test]
fn a_record_is_never_written_over() {
    let folder = changed(|_| {});
    let before = fs::read(folder.path().join("run.json")).unwrap();
    for arguments in [
        &["run.json", "--format", "json", "--out", "./run.json"][..],
        &["run.json", "--format", "json,md", "--out", "run"],
    ] {
        let err = refused(folder.path(), arguments);
        assert!(err.contains("run.json` is a record of this report"), "{err}");
    }
    assert_eq!(fs::read(folder.path().join("run.json")).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn several_formats_without_a_place_are_refused_with_the_cure() {
    let folder = changed(|_| {});
    let err = refused(folder.path(), &["run.json", "--format", "md,csv"]);
    assert!(err.contains("--out PATH"), "{err}");
    let err = refused(folder.path(), &["run.json", "--format", "pdf"]);
    assert!(err.contains("pdf") && err.contains("csv, html, json, md, prom"), "{err}");
    let err = refused(folder.path(), &["run.json", "--out", "."]);
    assert!(err.contains("is a directory"), "{err}");
}

#[test]
fn a_record_without_rounds_makes_a_report_without_figures() {
    let folder = changed(|record| {
        for target in record["targets"].as_array_mut().unwrap() {
            target["rounds"] = Json::Array(Vec::new());
            target["histograms"] = Json::Object(serde_json::Map::new());
        }
        record["complete"] = false.into();
        record["interrupted"] = "it was asked to stop".into();
    });
    let (out, err, code) = report(folder.path(), &["run.json"]);
    assert_eq!(code, Some(0), "{err}");
    let row =
        "| run.json | plain | - | 0 | - | - | - | - | 0 | 0 | 0 | capacity, cpu, latency, money |";
    assert!(out.contains(row), "{out}");
    assert!(out.contains("no operation came to an end in 0 rounds"), "{out}");
    assert!(out.contains("**run.json ended before its time**: it was asked to stop."), "{out}");
    assert!(out.contains("Nothing was timed."), "{out}");
    let (out, ..) = report(folder.path(), &["run.json", "--format", "csv"]);
    assert!(out.contains(",plain,,succeeded,,0,,,false,,,,,\r\n"), "{out}");
    assert!(!out.contains("per_second"), "{out}");
}

#[test]
fn what_is_no_record_is_refused_by_file_and_field() {
    let absent = changed(|_| {});
    let err = refused(absent.path(), &["run.json", "absent.json"]);
    assert!(err.contains("cannot read `absent.json`"), "{err}");
    let err = refused(absent.path(), &["."]);
    assert!(err.contains("cannot read `.`"), "{err}");

    let newer = changed(|record| record["schema"] = 2.into());
    let err = refused(newer.path(), &["run.json"]);
    assert!(err.contains("`run.json` has schema 2, and this program reads schema 1"), "{err}");

    let missing = changed(|record| {
        record["targets"][0]["rounds"][3].as_object_mut().unwrap().remove("succeeded");
    });
    let err = refused(missing.path(), &["run.json"]);
    assert!(err.contains("`run.json`") && err.contains("targets[0].rounds[3]"), "{err}");
    assert!(err.contains("missing field `succeeded`"), "{err}");

    let wrong = changed(|record| record["targets"][1]["rounds"][0]["missed"] = "one".into());
    let err = refused(wrong.path(), &["run.json"]);
    assert!(err.contains("targets[1].rounds[0].missed"), "{err}");

    let histogram = changed(|record| record["targets"][0]["histograms"]["connect"] = "??".into());
    let err = refused(histogram.path(), &["run.json"]);
    assert!(err.contains("targets[0].histograms.connect"), "{err}");

    for text in ["", "{", "[]", "null", "not json", "{\"schema\": \"1\"}", "\u{feff}{}"] {
        let err = refused(folder_with(text).path(), &["run.json"]);
        assert!(err.contains("`run.json` is no record of `tlsbench run`"), "{text}: {err}");
    }
    let whole = fixture("closed.json");
    let err = refused(folder_with(&format!("{whole}x")).path(), &["run.json"]);
    assert!(err.contains("`run.json` is no record"), "{err}");
}

#[test]
fn a_secret_that_a_record_holds_does_not_reach_any_document() {
    let folder = changed(|record| {
        let scenario = record["scenario"].as_str().unwrap();
        let told =
            scenario.replace(r#"["Authorization", "redacted"]"#, r#"["Authorization", "hush"]"#);
        assert_ne!(told, scenario);
        record["scenario"] = told.into();
    });
    for format in ["md", "csv", "json", "html", "prom"] {
        let (out, err, code) = report(folder.path(), &["run.json", "--format", format]);
        assert_eq!(code, Some(0), "{err}");
        assert!(!out.contains("hush"), "{format}");
    }
}

#[test]
fn a_note_of_the_run_is_told() {
    let folder = changed(|record| {
        let note =
            serde_json::json!({ "at": "2026-01-02T03:04:06Z", "text": "the CA bundle changed" });
        record["notes"] = vec![note].into();
    });
    let (out, ..) = report(folder.path(), &["run.json"]);
    assert!(out.contains("At 2026-01-02T03:04:06Z: the CA bundle changed.\n"), "{out}");
}

#[test]
fn a_record_whose_scenario_was_edited_is_reported_and_spoils_everything() {
    let folder = changed(|record| record["scenario"] = "nonsense =".into());
    let (out, err, code) = report(folder.path(), &["run.json"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("the record's scenario cannot be read"), "{out}");
    assert!(out.contains("| capacity, cpu, latency, money |"), "{out}");
}
