//! The HTML report as a person sees it: in a real browser, narrow and wide, light, dark and on paper.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use tempfile::TempDir;
use tlsbench_core::cost::held_out;
use tlsbench_core::lab::{Pass, Workload};
use tlsbench_core::placement::Role;
use tlsbench_core::record::lab::{IdleHop, IdleRecord, LabRecord};

use crate::browser::Browser;

/// What is seen of a page.
const LOOK: &str = include_str!("report_page.js");

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/report")
}

/// A page of records.
fn page(folder: &Path, records: &[&str]) -> (PathBuf, TempDir) {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("report.html");
    let output = Command::new(env!("CARGO_BIN_EXE_tlsbench"))
        .current_dir(folder)
        .arg("report")
        .args(records)
        .args(["--format", "html", "--out"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    (path, out)
}

fn list(value: &Json) -> &[Json] {
    value.as_array().unwrap()
}

/// Opens a page in each width and scheme, and sees that nothing is amiss.
fn assert_readable(browser: &mut Browser, page: &Path, figures: usize) {
    for width in [360, 800, 1280] {
        for scheme in ["light", "dark"] {
            let what = format!("{} at {width} px, {scheme}", page.display());
            browser.look(width, "screen", scheme);
            browser.open(page);
            let seen = browser.evaluate(LOOK);
            assert_eq!(seen["client"], width, "{what}");
            assert!(seen["scroll"].as_u64() <= seen["client"].as_u64(), "{what}: {}", seen["wide"]);
            for none in ["wide", "pale", "twice", "broken", "patterns"] {
                assert_eq!(list(&seen[none]), [] as [Json; 0], "{what}: {none}");
            }
            assert_eq!(seen["foreign"], 0, "{what}");
            let ground = seen["ground"].as_f64().unwrap();
            assert!(
                if scheme == "dark" { ground < 0.05 } else { ground > 0.9 },
                "{what}: {ground}"
            );
            assert_eq!(list(&seen["figures"]).len(), figures, "{what}");
            for figure in list(&seen["figures"]) {
                assert_figure(figure, width, &what);
            }
            assert_eq!(browser.complaints(), [] as [&Json; 0], "{what}");
            let asked = browser.requests();
            assert!(
                asked.iter().all(|url| url.starts_with("file:///") || *url == "data:,"),
                "{asked:?}"
            );
        }
    }
}

fn assert_figure(figure: &Json, width: u32, what: &str) {
    let of = |name: &str| figure[name].as_f64().unwrap();
    assert_eq!(figure["role"], "img", "{what}: {figure}");
    assert!(of("width") > 250.0 && of("width") <= f64::from(width), "{what}: {figure}");
    assert!(of("height") > 60.0 && of("marks") >= 3.0, "{what}: {figure}");
    assert_eq!(list(&figure["outside"]), [] as [Json; 0], "{what}: {figure}");
    assert!(of("smallest") >= 8.0, "{what}: too small to read, {figure}");
    let words = |name: &str| figure[name].as_str().unwrap().len();
    assert!(words("id") > 2 && words("says") > 20, "{what}: {figure}");
}

#[test]
fn a_run_over_placements_is_readable_on_a_phone_and_a_wide_screen_by_day_and_night() {
    let Some(mut browser) = Browser::start() else { return };
    let (page, _folder) = page(&fixtures(), &["placements.json"]);
    // Effects under two workloads and of latency, CPU under two, six placements, and the latency of
    // three with TLS.
    assert_readable(&mut browser, &page, 3 + 2 + 6 + 3);
}

#[test]
fn runs_over_endpoints_are_readable_beside_one_over_placements() {
    let Some(mut browser) = Browser::start() else { return };
    let (page, _folder) = page(&fixtures(), &["closed.json", "open.json", "placements.json"]);
    // Rounds of four targets, and curves of those whose operations succeeded.
    assert_readable(&mut browser, &page, 14 + 4 + 3);
}

#[test]
fn the_check_of_the_model_and_idle_connections_are_readable_too() {
    let Some(mut browser) = Browser::start() else { return };
    let text = fs::read_to_string(fixtures().join("placements.json")).unwrap();
    let mut record = LabRecord::from_json(&text).unwrap();
    let chosen = held_out(&record, record.lab.mixed_from());
    record.lab.mix = chosen.mix;
    // Nobody else was there: then words are said, each in a colour of its own.
    record.others = None;
    record.held_out = Some(chosen);
    let mut mixes = record.trials.clone();
    mixes.retain(|trial| (trial.workload, trial.pass) == (Workload::KeepAlive, Pass::Cpu));
    mixes.iter_mut().for_each(|trial| trial.workload = Workload::Mix);
    record.trials.extend(mixes);
    let idle = |(round, bytes_per_connection)| {
        let (before_bytes, after_bytes) = (20_000_000, 90_000_000);
        let role = Role::Lb;
        let hop = IdleHop { role, before_bytes, after_bytes, bytes_per_connection, rest: None };
        let placement = "lb-terminate".to_owned();
        IdleRecord { placement, round, connections: 1_000, hops: vec![hop] }
    };
    record.idle = [(0, 69_900.0), (1, 70_000.0), (2, 70_100.0)].map(idle).to_vec();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("run.json"), record.to_json().unwrap()).unwrap();
    let (page, _folder) = page(folder.path(), &["run.json"]);
    // CPU time under the mix, of which no comparison was declared, and the check.
    assert_readable(&mut browser, &page, 14 + 1 + 1);
    let read = browser.evaluate("document.body.textContent");
    let read = read.as_str().unwrap();
    assert!(read.contains("costs more"), "{read}");
    assert!(read.contains("Model check") && read.contains("70000 ± 248 B"), "{read}");
}

#[test]
fn on_paper_everything_is_there_and_dark_is_light() {
    let Some(mut browser) = Browser::start() else { return };
    let (page, _folder) = page(&fixtures(), &["placements.json"]);
    browser.look(800, "screen", "dark");
    browser.open(&page);
    let screen = browser.evaluate(LOOK);
    assert!(screen["tablesSeen"].as_u64() < screen["tables"].as_u64(), "some are folded away");
    browser.look(800, "print", "dark");
    let paper = browser.evaluate(LOOK);
    assert_eq!(paper["tablesSeen"], paper["tables"]);
    assert!(paper["tables"].as_u64() >= Some(4));
    assert_eq!(paper["nav"], 0);
    assert!(paper["ground"].as_f64() > Some(0.99), "{paper}");
    assert_eq!(list(&paper["pale"]), [] as [Json; 0]);
    browser.look(1280, "", "dark");
    assert!(browser.print().len() > 50_000, "a PDF with pictures");
}

#[test]
fn text_of_a_record_is_never_markup() {
    let Some(mut browser) = Browser::start() else { return };
    let hostile = "x\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;";
    let text = fs::read_to_string(fixtures().join("placements.json")).unwrap();
    let mut record: Json = serde_json::from_str(&text).unwrap();
    let note = serde_json::json!({ "at": hostile, "text": hostile });
    record["notes"] = vec![note].into();
    record["environment"]["command"] = serde_json::json!(["tlsbench", hostile]);
    record["environment"]["cpu_model"] = hostile.into();
    record["program"] = hostile.into();
    record["others"] = serde_json::json!({ "share": 0.5, "top": hostile, "top_ns": 1 });
    record["trials"][0]["hops"][0]["notes"] = serde_json::json!([hostile]);
    // A placement's name is in texts, in ids and in links between them.
    let renamed = record.to_string().replace("lb-terminate", &hostile.replace('"', "\\\""));
    let folder = tempfile::tempdir().unwrap();
    // A path without a place to break it, longer than a phone is wide.
    let name = format!("{}.json", "run".repeat(60));
    fs::write(folder.path().join(&name), renamed).unwrap();
    let (page, _folder) = page(folder.path(), &[&name]);
    browser.look(360, "screen", "light");
    browser.open(&page);
    let seen = browser.evaluate(LOOK);
    assert_eq!(seen["foreign"], 0);
    assert_eq!(browser.complaints(), [] as [&Json; 0]);
    assert!(seen["scroll"].as_u64() <= seen["client"].as_u64(), "{}", seen["wide"]);
    let read = browser.evaluate("document.body.textContent");
    assert!(read.as_str().unwrap().contains(hostile), "it is there, as text");
}
