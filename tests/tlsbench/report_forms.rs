//! Every form of a report carries the same numbers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::python::python;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tlsbench/report_prometheus.py");

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/report")
}

/// A report of one run over placements and two of endpoints.
fn report(format: &str) -> String {
    let records = ["placements.json", "closed.json", "open.json"];
    let output = Command::new(env!("CARGO_BIN_EXE_tlsbench"))
        .current_dir(fixtures())
        .arg("report")
        .args(records)
        .args(["--format", format])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json() -> Json {
    serde_json::from_str(&report("json")).unwrap()
}

fn list(value: &Json) -> &[Json] {
    value.as_array().unwrap()
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap()
}

/// Nanoseconds as tables of microseconds have them.
fn micros(estimate: &Json) -> String {
    let of = |name: &str| estimate[name].as_f64().unwrap();
    format!("{:.1} ± {:.1}", of("value") / 1e3, (of("high") - of("low")) / 2e3)
}

fn ratio(estimate: &Json) -> String {
    let of = |name: &str| estimate[name].as_f64().unwrap();
    format!("{:.2} ×, {:.2} to {:.2}", of("value"), of("low"), of("high"))
}

/// Text as HTML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[test]
fn documents_for_people_carry_the_costs_of_every_hop() {
    let (json, markdown, html) = (json(), report("md"), report("html"));
    for trial in list(&json["labs"][0]["trials"]) {
        let costs: Vec<String> = list(&trial["hops"])
            .iter()
            .map(|hop| &hop["cpu_ns_per_operation"])
            .chain([&trial["cpu_ns_per_operation"], &trial["client"]["cpu_ns_per_operation"]])
            .map(micros)
            .collect();
        let of = (text(&trial["placement"]), text(&trial["workload"]));
        let row = format!("| {} | {} | {} |", of.1, of.0, costs.join(" | "));
        assert!(markdown.contains(&row), "{row}");
        let cells: String =
            costs.iter().map(|cost| format!("<td class=\"n\">{cost}</td>")).collect();
        let row = format!("<th scope=\"row\">{}</th><td class=\"name\">{}</td>{cells}", of.0, of.1);
        assert!(html.contains(&row), "{row}");
    }
}

#[test]
fn documents_for_people_carry_every_effect_and_its_verdict() {
    let (json, markdown, html) = (json(), report("md"), report("html"));
    for effect in list(&json["labs"][0]["effects"]) {
        let [placement, against, workload, says] =
            ["placement", "against", "workload", "says"].map(|field| text(&effect[field]));
        let (more, ratio) = (micros(&effect["difference_ns"]), ratio(&effect["ratio"]));
        let row = format!("| {workload} | {placement} | {against} | {more} | {ratio} | ");
        let line = markdown.lines().find(|line| line.starts_with(&row));
        assert!(
            line.unwrap_or_else(|| panic!("{row}")).ends_with(&format!("| {says} |")),
            "{line:?}"
        );
        let row = format!(
            "<th scope=\"row\">{placement}</th><td>{against}</td><td>{workload}</td><td class=\"n\">\
             {more}</td><td class=\"n\">{ratio}</td>"
        );
        assert!(html.contains(&row), "{row}");
    }
}

#[test]
fn documents_for_people_carry_every_quantile_and_gate() {
    let (json, markdown, html) = (json(), report("md"), report("html"));
    let labs = list(&json["labs"]).iter().flat_map(|lab| list(&lab["trials"]));
    let runs = list(&json["runs"]).iter().flat_map(|run| list(&run["targets"]));
    let targets: Vec<&Json> = labs.map(|trial| &trial["client"]).chain(runs).collect();
    assert_eq!(targets.len(), 16);
    for phase in targets.iter().flat_map(|target| list(&target["phases"])) {
        let times = list(&phase["quantiles"]).iter().map(|at| {
            let ns = tlsbench_core::units::Nanos(at["ns"].as_u64().unwrap());
            format!("{}{ns}", if at["at_least"] == true { "> " } else { "" })
        });
        let times: Vec<String> = times.collect();
        assert!(markdown.contains(&times.join(" | ")), "{times:?}");
        let cells: Vec<String> = times.iter().map(|time| format!("\">{}", escaped(time))).collect();
        assert!(cells.iter().all(|cell| html.contains(cell)), "{cells:?}");
    }
    let gates =
        ["labs", "runs"].map(|kind| list(&json[kind]).iter().flat_map(|run| list(&run["gates"])));
    let mut seen = 0;
    for gate in gates.into_iter().flatten() {
        let words = text(&gate["seen"]);
        assert!(html.contains(&escaped(words)) || words.contains('`'), "{words}");
        seen += 1;
    }
    assert!(seen > 0, "the fixtures have a gate that is shut");
}

/// Equal but for the last digit, which serde_json reads in its own way.
fn assert_near(seen: [f64; 3], want: [f64; 3]) {
    for (seen, want) in seen.into_iter().zip(want) {
        assert!((seen - want).abs() <= 1e-12 * want.abs(), "{seen}, not {want}");
    }
}

#[test]
fn csv_carries_the_numbers_of_every_trial_and_effect() {
    let (json, csv) = (json(), report("csv"));
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    // Placement, workload, hop and against; then the statistic.
    let find = |of: [&str; 4], statistic: &str| {
        let line = lines.iter().find(|line| line[10..14] == of && line[4] == statistic);
        let line = line.unwrap_or_else(|| panic!("{of:?} {statistic}"));
        [6, 7, 8].map(|column| line[column].parse::<f64>().unwrap_or(f64::NAN))
    };
    let numbers =
        |estimate: &Json| ["value", "low", "high"].map(|name| estimate[name].as_f64().unwrap());
    for trial in list(&json["labs"][0]["trials"]) {
        let (placement, workload) = (text(&trial["placement"]), text(&trial["workload"]));
        let all = find([placement, workload, "", ""], "hops.cpu_ns_per_operation");
        assert_near(all, numbers(&trial["cpu_ns_per_operation"]));
        for hop in list(&trial["hops"]) {
            let of = [placement, workload, text(&hop["role"]), ""];
            assert_near(find(of, "cpu_ns_per_operation"), numbers(&hop["cpu_ns_per_operation"]));
            assert_eq!(find(of, "peak_bytes")[0], hop["peak_bytes"].as_f64().unwrap());
        }
    }
    for effect in list(&json["labs"][0]["effects"]) {
        let of = ["placement", "workload", "", "against"]
            .map(|field| effect[field].as_str().unwrap_or(""));
        assert_near(find(of, "ratio"), numbers(&effect["ratio"]));
        assert_near(find(of, "difference_ns"), numbers(&effect["difference_ns"]));
        let word = format!("verdict.{}", text(&effect["verdict"]));
        assert_eq!(find(of, &word)[0], 1.0);
    }
}

#[test]
fn the_documentation_names_every_gauge_and_no_other() {
    let written: BTreeSet<String> = report("prom")
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '))
        .filter(|(_, help)| !help.ends_with("end of the 95 % interval."))
        .map(|(name, _)| name.to_owned())
        .collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report.md");
    let page = fs::read_to_string(page).unwrap();
    let documented = page.lines().filter_map(|line| {
        Some(line.strip_prefix("| `")?.split_once('`')?.0)
            .filter(|name| name.starts_with("tlsbench_"))
    });
    // No fixture held idle connections.
    let documented: BTreeSet<String> = documented
        .filter(|name| *name != "tlsbench_idle_connection_bytes")
        .map(str::to_owned)
        .collect();
    assert_eq!(written, documented);
}

#[test]
fn what_prometheus_reads_are_the_same_numbers_in_base_units() {
    let Some(read) = python(SCRIPT, "prometheus_client", "prometheus-client", &report("prom"))
    else {
        return;
    };
    let samples: Vec<Json> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names = |sample: &Json| text(&sample["name"]).starts_with("tlsbench_");
    assert!(samples.iter().all(names));
    let near = |name: &str, labels: &[(&str, &str)], want: f64| {
        let is_it = |sample: &&Json| {
            sample["name"] == name
                && labels.iter().all(|(label, value)| sample["labels"][label] == **value)
        };
        let found: Vec<&Json> = samples.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        let seen = found[0]["value"].as_f64().unwrap();
        assert!((seen - want).abs() <= 1e-9 * want.abs(), "{name} {labels:?}: {seen}, not {want}");
    };
    let json = json();
    for trial in list(&json["labs"][0]["trials"]) {
        let of = [
            ("placement", text(&trial["placement"])),
            ("workload", text(&trial["workload"])),
            ("pass", text(&trial["pass"])),
        ];
        for (suffix, field) in [("", "value"), ("_low", "low"), ("_high", "high")] {
            let ns = trial["cpu_ns_per_operation"][field].as_f64().unwrap();
            near(&format!("tlsbench_hops_cpu_seconds_per_operation{suffix}"), &of, ns / 1e9);
            for hop in list(&trial["hops"]) {
                let of = [&of[..], &[("hop", text(&hop["role"]))]].concat();
                let ns = hop["cpu_ns_per_operation"][field].as_f64().unwrap();
                near(&format!("tlsbench_hop_cpu_seconds_per_operation{suffix}"), &of, ns / 1e9);
            }
        }
        for phase in list(&trial["client"]["phases"]) {
            let of = [&of[..], &[("phase", text(&phase["phase"])), ("quantile", "0.99")]].concat();
            let p99 = list(&phase["quantiles"]).iter().find(|at| at["quantile"] == "p99").unwrap();
            near("tlsbench_phase_seconds", &of, p99["ns"].as_f64().unwrap() / 1e9);
        }
    }
    for effect in list(&json["labs"][0]["effects"]) {
        let of = ["placement", "workload", "against"].map(|field| (field, text(&effect[field])));
        near("tlsbench_effect_ratio", &of, effect["ratio"]["value"].as_f64().unwrap());
        let of = [&of[..], &[("verdict", text(&effect["verdict"]))]].concat();
        near("tlsbench_effect_verdict", &of, 1.0);
    }
    let shop = &json["runs"][0]["targets"][0];
    let of = [("record", "closed.json"), ("target", "shop|tls"), ("outcome", "succeeded")];
    near("tlsbench_operations", &of, shop["succeeded"].as_f64().unwrap());
    let started = json["runs"][0]["started"].as_str().unwrap();
    let seconds = started.parse::<jiff::Timestamp>().unwrap().as_second() as f64;
    near("tlsbench_run_started_timestamp_seconds", &[("record", "closed.json")], seconds);
}
