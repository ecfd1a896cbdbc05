//! Every form of a report carries the same numbers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use tlsbench_core::report::number;
use tlsbench_core::units::Nanos;

use crate::python::python;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tlsbench/report_prometheus.py");
/// What no fixture measured.
const UNUSED: [&str; 9] = [
    "tlsbench_address_failures",
    "tlsbench_address_operations",
    "tlsbench_failure_reasons",
    "tlsbench_responses",
    "tlsbench_idle_connection_bytes",
    "tlsbench_gigabits_per_core",
    "tlsbench_model_predicted_cores",
    "tlsbench_model_measured_cores",
    "tlsbench_model_holds",
];

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

fn trials(json: &Json) -> &[Json] {
    list(&json["labs"][0]["trials"])
}

fn effects(json: &Json) -> &[Json] {
    list(&json["labs"][0]["effects"])
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap()
}

/// Value, low and high.
fn numbers(estimate: &Json) -> [f64; 3] {
    ["value", "low", "high"].map(|name| estimate[name].as_f64().unwrap())
}

/// Nanoseconds as tables of microseconds have them.
fn micros(estimate: &Json) -> String {
    if estimate.is_null() {
        return "-".to_owned();
    }
    let [value, low, high] = numbers(estimate);
    format!("{:.1} ± {:.1}", value / 1e3, (high - low) / 2e3)
}

fn ratio(estimate: &Json) -> String {
    if estimate.is_null() {
        return "-".to_owned();
    }
    let [value, low, high] = numbers(estimate);
    format!("{value:.2} ×, {low:.2} to {high:.2}")
}

/// The workload, and the rate where there was one.
fn under(trial: &Json) -> String {
    let workload = text(&trial["workload"]);
    match trial["rate"].as_f64() {
        Some(rate) => format!("{workload} at {}/s", number(rate.round() as u64)),
        None => workload.to_owned(),
    }
}

/// Text as HTML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[test]
fn documents_for_people_carry_the_costs_of_every_hop() {
    let (json, markdown, html) = (json(), report("md"), report("html"));
    for trial in trials(&json) {
        let hops = list(&trial["hops"]).iter().map(|hop| micros(&hop["cpu_ns_per_operation"]));
        let mut costs: Vec<String> = hops.collect();
        costs.push(micros(&trial["cpu_ns_per_operation"]));
        costs.push(format!("{:.0} %", trial["busy"].as_f64().unwrap() * 100.0));
        costs.push(micros(&trial["client"]["cpu_ns_per_operation"]));
        let (placement, under) = (text(&trial["placement"]), under(trial));
        let row = format!("| {under} | {placement} | {} |", costs.join(" | "));
        assert!(markdown.contains(&row), "{row}");
        let cells: String =
            costs.iter().map(|cost| format!("<td class=\"n\">{cost}</td>")).collect();
        let row =
            format!("<th scope=\"row\">{placement}</th><td class=\"name\">{under}</td>{cells}");
        assert!(html.contains(&row), "{row}");
    }
}

#[test]
fn documents_for_people_carry_every_effect_and_its_verdict() {
    let (json, markdown, html) = (json(), report("md"), report("html"));
    for effect in effects(&json) {
        let [placement, against, says] =
            ["placement", "against", "says"].map(|field| text(&effect[field]));
        let within = match effect["phase"].as_str() {
            Some(phase) => format!("latency, {phase}"),
            None => text(&effect["workload"]).to_owned(),
        };
        let (more, ratio) = (micros(&effect["difference_ns"]), ratio(&effect["ratio"]));
        let plain = within.replace('_', "\\_");
        let row = format!("| {plain} | {placement} | {against} | {more} | {ratio} | ");
        let line = markdown.lines().find(|line| line.starts_with(&row));
        let line = line.unwrap_or_else(|| panic!("{row}"));
        assert!(line.ends_with(&format!("| {says} |")), "{line}");
        let row = format!(
            "<th scope=\"row\">{placement}</th><td>{against}</td><td class=\"name\">{within}</td>\
             <td class=\"n\">{more}</td><td class=\"n\">{ratio}</td>"
        );
        assert!(html.contains(&row), "{row}");
    }
}

#[test]
fn documents_for_people_carry_every_quantile_and_gate() {
    let (json, markdown, html) = (json(), report("md"), report("html"));
    let runs = list(&json["runs"]).iter().flat_map(|run| list(&run["targets"]));
    let targets = trials(&json).iter().map(|trial| &trial["client"]).chain(runs);
    for phase in targets.flat_map(|target| list(&target["phases"])) {
        let times = list(&phase["quantiles"]).iter().map(|at| {
            let ns = Nanos(at["ns"].as_u64().unwrap());
            format!("{}{ns}", if at["at_least"] == true { "> " } else { "" })
        });
        let times: Vec<String> = times.collect();
        assert!(markdown.contains(&times.join(" | ")), "{times:?}");
        let cell = |time: &String| format!("\">{}</td>", escaped(time));
        assert!(times.iter().map(cell).all(|cell| html.contains(&cell)), "{times:?}");
    }
    let all = ["labs", "runs"].into_iter().flat_map(|kind| list(&json[kind]));
    let gates: Vec<&Json> = all.flat_map(|run| list(&run["gates"])).collect();
    assert!(!gates.is_empty(), "the fixtures have a gate that is shut");
    for gate in gates {
        let seen = escaped(text(&gate["seen"]));
        assert!(html.contains(&seen) || seen.contains('`'), "{seen}");
    }
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
    // Placement, workload, hop, against and pass; then phase and statistic.
    let find = |of: [&str; 5], phase: &str, statistic: &str| {
        let is_it =
            |line: &&Vec<&str>| line[10..] == of && line[3] == phase && line[4] == statistic;
        let line = lines.iter().find(is_it);
        let line = line.unwrap_or_else(|| panic!("{of:?} {phase} {statistic}"));
        [6, 7, 8].map(|column| line[column].parse::<f64>().unwrap_or(f64::NAN))
    };
    for trial in trials(&json) {
        let [placement, workload, pass] =
            ["placement", "workload", "pass"].map(|field| text(&trial[field]));
        let of = |hop| [placement, workload, hop, "", pass];
        let all = find(of(""), "", "hops.cpu_ns_per_operation");
        assert_near(all, numbers(&trial["cpu_ns_per_operation"]));
        let (busy, want) = (find(of(""), "", "hops.busy")[0], trial["busy"].as_f64().unwrap());
        assert_near([busy; 3], [want; 3]);
        for median in list(&trial["medians"]) {
            let seen = find(of(""), text(&median["phase"]), "median");
            assert_near(seen, numbers(&median["p50_ns"]));
        }
        for hop in list(&trial["hops"]) {
            let of = of(text(&hop["role"]));
            assert_near(
                find(of, "", "cpu_ns_per_operation"),
                numbers(&hop["cpu_ns_per_operation"]),
            );
            assert_eq!(find(of, "", "peak_bytes")[0], hop["peak_bytes"].as_f64().unwrap());
        }
    }
    for effect in effects(&json) {
        let of = ["placement", "workload", "", "against", "pass"];
        let of = of.map(|field| effect[field].as_str().unwrap_or(""));
        let phase = effect["phase"].as_str().unwrap_or("");
        if !effect["ratio"].is_null() {
            assert_near(find(of, phase, "ratio"), numbers(&effect["ratio"]));
        }
        assert_near(find(of, phase, "difference_ns"), numbers(&effect["difference_ns"]));
        let word = format!("verdict.{}", text(&effect["verdict"]));
        assert_eq!(find(of, phase, &word)[0], 1.0);
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
    let names = page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0));
    let gauges = names.filter(|name| name.starts_with("tlsbench_") && !UNUSED.contains(name));
    assert_eq!(written, gauges.map(str::to_owned).collect());
}

/// Samples as Prometheus' own library reads them.
struct Samples(Vec<Json>);

impl Samples {
    /// The value of the one sample with that name and those labels.
    fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let is_it = |sample: &&Json| {
            let has = |(label, value): &(&str, &str)| sample["labels"][*label] == **value;
            sample["name"] == name && labels.iter().all(has)
        };
        let found: Vec<&Json> = self.0.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        found[0]["value"].as_f64().unwrap()
    }

    fn assert(&self, name: &str, labels: &[(&str, &str)], want: f64) {
        let seen = self.one(name, labels);
        assert!((seen - want).abs() <= 1e-9 * want.abs(), "{name} {labels:?}: {seen}, not {want}");
    }

    /// An estimate in nanoseconds.
    fn assert_times(&self, name: &str, labels: &[(&str, &str)], estimate: &Json) {
        let seen = ["", "_low", "_high"].map(|end| self.one(&format!("{name}{end}"), labels));
        for (seen, want) in seen.into_iter().zip(numbers(estimate)) {
            assert!((seen - want / 1e9).abs() <= 1e-9 * seen.abs(), "{name} {labels:?}: {seen}");
        }
    }
}

#[test]
fn what_prometheus_reads_are_the_same_numbers_in_base_units() {
    let text_of = report("prom");
    let read = python(SCRIPT, "prometheus_client", "prometheus-client", &text_of);
    let Some(read) = read else { return };
    let samples = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (samples, json) = (Samples(samples), json());
    assert!(samples.0.iter().all(|sample| text(&sample["name"]).starts_with("tlsbench_")));
    for trial in trials(&json) {
        let of = ["placement", "workload", "pass"].map(|field| (field, text(&trial[field])));
        let all = &trial["cpu_ns_per_operation"];
        samples.assert_times("tlsbench_hops_cpu_seconds_per_operation", &of, all);
        for hop in list(&trial["hops"]) {
            let of = [&of[..], &[("hop", text(&hop["role"]))]].concat();
            let cost = &hop["cpu_ns_per_operation"];
            samples.assert_times("tlsbench_hop_cpu_seconds_per_operation", &of, cost);
        }
        for median in list(&trial["medians"]) {
            let of = [&of[..], &[("phase", text(&median["phase"]))]].concat();
            samples.assert_times("tlsbench_median_seconds", &of, &median["p50_ns"]);
        }
        for phase in list(&trial["client"]["phases"]) {
            let of = [&of[..], &[("phase", text(&phase["phase"])), ("quantile", "0.99")]].concat();
            let p99 = list(&phase["quantiles"]).iter().find(|at| at["quantile"] == "p99").unwrap();
            samples.assert("tlsbench_phase_seconds", &of, p99["ns"].as_f64().unwrap() / 1e9);
        }
    }
    for effect in effects(&json) {
        let of = ["placement", "workload", "against", "pass", "phase"];
        let of = of.map(|field| (field, effect[field].as_str().unwrap_or("")));
        samples.assert_times("tlsbench_effect_seconds", &of, &effect["difference_ns"]);
        if !effect["ratio"].is_null() {
            samples.assert("tlsbench_effect_ratio", &of, numbers(&effect["ratio"])[0]);
        }
        let of = [&of[..], &[("verdict", text(&effect["verdict"]))]].concat();
        samples.assert("tlsbench_effect_verdict", &of, 1.0);
    }
    let shop = &json["runs"][0]["targets"][0];
    let of = [("record", "closed.json"), ("target", "shop|tls"), ("outcome", "succeeded")];
    samples.assert("tlsbench_operations", &of, shop["succeeded"].as_f64().unwrap());
    let started = text(&json["runs"][0]["started"]);
    let seconds = started.parse::<jiff::Timestamp>().unwrap().as_second() as f64;
    let of = [("record", "closed.json")];
    samples.assert("tlsbench_run_started_timestamp_seconds", &of, seconds);
}

#[test]
fn memory_of_idle_connections_has_its_interval_in_every_form_where_it_was_read_again() {
    let text = fs::read_to_string(fixtures().join("placements.json")).unwrap();
    let mut record: Json = serde_json::from_str(&text).unwrap();
    let idle = |placement: &str, round: u32, each: f64| {
        let hop = serde_json::json!({"role": "lb", "before_bytes": 1_000_000,
            "after_bytes": 2_000_000, "bytes_per_connection": each});
        serde_json::json!({"placement": placement, "round": round, "connections": 10, "hops": [hop]})
    };
    record["idle"] = vec![
        idle("lb-terminate", 0, 1_900.0),
        idle("lb-terminate", 1, 2_100.0),
        idle("plaintext", 0, 55.5),
    ]
    .into();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("run.json"), record.to_string()).unwrap();
    let of = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        command.current_dir(folder.path()).args(["report", "run.json", "--format", format]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // Student's t for one degree of freedom, 12.706, times a standard error of 100.
    for (format, lines) in [
        ("json", ["\"low\": 729.", "\"high\": 3270.", "\"interval\": null"]),
        (
            "csv",
            [
                "idle.bytes_per_connection,bytes,2000,729.",
                "idle.bytes_per_connection,bytes,55.5,,,false,plaintext,,lb,,",
                "idle.readings,,2,,,false,lb-terminate,,lb,,",
            ],
        ),
        (
            "prom",
            [
                "placement=\"lb-terminate\",hop=\"lb\"} 3270.",
                "placement=\"lb-terminate\",hop=\"lb\"} 2000",
                "placement=\"plaintext\",hop=\"lb\"} 55.5",
            ],
        ),
        (
            "md",
            [
                "| 10 | 2 | 1.0 MB | 2.0 MB | 2000 ± 1271 B |",
                "| 10 | 1 | 1.0 MB | 2.0 MB | 56 B |",
                "### Idle connections",
            ],
        ),
    ] {
        let text = of(format);
        for line in lines {
            assert!(text.contains(line), "{format}: no `{line}` in {text}");
        }
    }
}
