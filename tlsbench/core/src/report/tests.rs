//! Reports: what records hold comes out in them, put together and documented field by field.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::record::lab::{IdleHop, IdleRecord, OtherProcesses};
use crate::record::{RoundRecord, Series};

/// A round of a generator: so many operations in a second, 10 µs of CPU time each.
fn round(generator: u32, round: u32, succeeded: u64) -> RoundRecord {
    serde_json::from_value(json!({
        "generator": generator, "round": round, "wall_ns": 1_000_000_000_u64,
        "succeeded": succeeded, "failed": { "timeout": 2 },
        "reasons": { "timeout": { "a": 1 } }, "statuses": { "200": 9 }, "resent": 1, "missed": 1, "scheduled": succeeded + 3,
        "connections": 5,
        "shape": { "full": 4, "resumed": 1, "retried": 1, "wanted_ticket": 2, "early_data": 1,
            "negotiated": { "TLS 1.3 aes-128-gcm x25519 ED25519 -": 5 } },
        "bytes_read": 60, "bytes_written": 7,
        "cpu": { "total_ns": succeeded * 10_000, "user_ns": 0, "system_ns": 0 },
        "busiest_thread_ns": 0, "operations_per_second": succeeded as f64,
        "connections_per_second": 5.0, "quantiles": {},
    }))
    .unwrap()
}

fn series(times: impl IntoIterator<Item = u64>) -> Series {
    let mut series = Series::default();
    for time in times {
        series.0.saturating_record(time);
    }
    series
}

fn target(rounds: Vec<RoundRecord>) -> TargetRecord {
    TargetRecord { rounds, ..TargetRecord::new("a") }
}

fn record(target: TargetRecord) -> RunRecord {
    serde_json::from_value(json!({
        "schema": 1, "program": "tlsbench 0.1.0", "started": "2026-01-02T03:04:05Z",
        "ended": "2026-01-02T03:04:15Z", "complete": false, "interrupted": "it was asked to stop",
        "scenario": "[load]\nrate = 5\nwait_max = '2s'\n[[target]]\nname = 'a'\n\
                     url = 'https://127.0.0.1/'\n",
        "environments": [{ "kernel": "6.1", "architecture": "x86_64", "cpu_model": "EPYC",
            "cores": 2, "governor": "performance", "smt": true, "versions": { "rustls": "1" },
            "sysctls": { "net.core.somaxconn": "1" }, "command": ["tlsbench", "run"] }],
        "notes": [{ "at": "2026-01-02T03:04:06Z", "text": "the CA bundle was replaced" }],
        "targets": [serde_json::to_value(target).unwrap()],
    }))
    .unwrap()
}

fn of(target: &TargetRecord) -> TargetReport {
    TargetReport::new(target, Nanos(0), &[])
}

#[test]
fn statuses_are_notable_unless_all_are_one_and_the_same_good_one() {
    let of = |statuses: Value| {
        let mut round = round(0, 0, 1);
        round.statuses = serde_json::from_value(statuses).unwrap();
        of(&target(vec![round])).notable_statuses().collect::<Vec<_>>()
    };
    assert_eq!(of(json!({ "200": 9 })), []);
    assert_eq!(of(json!({ "204": 9 })), []);
    assert_eq!(of(json!({ "404": 9 })), [(404, 9)]);
    assert_eq!(of(json!({ "200": 8, "206": 1 })), [(200, 8), (206, 1)]);
    assert_eq!(of(json!({ "200": 8, "500": 1 })), [(200, 8), (500, 1)]);
    assert_eq!(of(json!({})), []);
}

#[test]
fn counts_are_added_up_over_rounds() {
    let report = of(&target(vec![round(0, 0, 100), round(0, 1, 300)]));
    assert_eq!((report.rounds, report.untimed_rounds), (2, 0));
    assert_eq!((report.succeeded, report.scheduled, report.missed), (400, 406, 2));
    assert_eq!((report.failed, report.failures["timeout"]), (4, 4));
    assert_eq!((report.connections, report.bytes_read, report.bytes_written), (10, 120, 14));
    assert_eq!((report.shape.full, report.shape.resumed), (8, 2));
    assert_eq!(report.shape.negotiated.values().copied().collect::<Vec<_>>(), [10]);
}

#[test]
fn the_round_is_the_unit_and_generators_of_one_round_add_up() {
    let alone = of(&target(vec![round(0, 0, 100), round(0, 1, 300)]));
    let rate = alone.operations_per_second.unwrap();
    assert_eq!((rate.value, rate.runs), (200.0, 2));
    assert_eq!(alone.cpu_ns_per_operation.unwrap().value, 10_000.0);
    assert_eq!(alone.connections_per_second.unwrap().value, 5.0);
    let parts = [round(0, 0, 100), round(0, 1, 300), round(1, 0, 50), round(1, 1, 150)];
    let both = of(&target(parts.to_vec()));
    let rate = both.operations_per_second.unwrap();
    assert_eq!((rate.value, rate.runs), (300.0, 2));
    assert_eq!(both.connections_per_second.unwrap().value, 10.0);
    assert_eq!(both.rounds, 2);
}

#[test]
fn a_round_without_time_or_without_one_of_its_generators_enters_no_estimate() {
    let mut untimed = round(0, 2, 900);
    untimed.wall_ns = Nanos(0);
    let report = of(&target(vec![round(0, 0, 100), round(0, 1, 300), untimed]));
    assert_eq!((report.rounds, report.untimed_rounds, report.succeeded), (3, 1, 1_300));
    assert_eq!(report.operations_per_second.unwrap().value, 200.0);
    let parts = [round(0, 0, 100), round(0, 1, 300), round(1, 0, 50)];
    let report = of(&target(parts.to_vec()));
    assert_eq!((report.rounds, report.untimed_rounds), (2, 1));
    assert_eq!(report.operations_per_second, None);
}

#[test]
fn a_target_without_rounds_has_counts_of_zero_and_no_estimate() {
    let report = RunReport::new("a.json", &record(TargetRecord::new("a")));
    let target = &report.targets[0];
    assert_eq!((target.rounds, target.succeeded, target.phases.len()), (0, 0, 0));
    assert_eq!((target.operations_per_second, target.cpu_ns_per_operation), (None, None));
}

#[test]
fn missed_starts_are_the_longest_of_the_corrected_series_alone() {
    let mut slow = target(vec![round(0, 0, 100); 2]);
    for phase in [Phase::Corrected, Phase::Uncorrected] {
        slow.histograms.insert(phase.as_str().to_owned(), series((1..=98).map(|n| n * 1_000)));
    }
    let report = RunReport::new("a.json", &record(slow));
    let at = |phase, name| *report.targets[0].phase(phase).unwrap().quantile(name).unwrap();
    let wait_max = Nanos::from_millis(2_000);
    assert_eq!(report.targets[0].phase(Phase::Corrected).unwrap().count, 98);
    assert!(!at(Phase::Corrected, "p90").at_least);
    // 98 of 100 were timed, and the two that were missed waited longer than 2 s.
    for name in ["p99", "p99.9", "max"] {
        assert_eq!(
            (at(Phase::Corrected, name).at_least, at(Phase::Corrected, name).ns).1,
            wait_max
        );
        assert!(at(Phase::Corrected, name).at_least && !at(Phase::Uncorrected, name).at_least);
    }
    assert!(at(Phase::Uncorrected, "max").ns < Nanos(99_000));
    assert_eq!(report.targets[0].phase(Phase::Connect), None);
}

#[test]
fn gates_are_judged_anew_and_name_the_families_that_they_spoil() {
    let mut failing = round(0, 0, 100);
    failing.failed.insert("reset_in_handshake".into(), 50);
    let report = RunReport::new("a.json", &record(target(vec![failing])));
    assert!(!report.valid);
    let gate = report.gates.iter().find(|gate| gate.name == "errors").unwrap();
    assert_eq!(gate.seen, "52 of 152 operations failed");
    assert!(gate.cause.contains("reset_in_handshake") && !gate.cure.is_empty());
    assert!(report.targets[0].spoiled.contains(&Family::Money));
}

#[test]
fn a_gate_of_another_target_spoils_nothing_here_and_one_of_the_run_does() {
    let mut edited = record(target(vec![round(0, 0, 100)]));
    edited.scenario = "nothing".into();
    let gates = judge(&edited);
    let report = TargetReport::new(&edited.targets[0], Nanos(0), &gates);
    assert_eq!(report.spoiled.len(), 4, "{gates:?}");
    let elsewhere = Gate { target: Some("b".into()), ..gates[0].clone() };
    let report = TargetReport::new(&edited.targets[0], Nanos(0), &[elsewhere]);
    assert_eq!(report.spoiled.len(), 0);
}

#[test]
fn latency_is_of_the_series_that_knows_when_operations_should_have_begun_if_there_is_one() {
    let mut closed = target(vec![round(0, 0, 100)]);
    closed.rounds[0].missed = 0;
    closed.histograms.insert("uncorrected".to_owned(), series([5]));
    assert_eq!(of(&closed).latency().unwrap().phase, "uncorrected");
    closed.histograms.insert("corrected".to_owned(), series([7]));
    assert_eq!(of(&closed).latency().unwrap().phase, "corrected");
}

#[test]
fn secrets_of_a_record_do_not_reach_a_report() {
    let mut record = record(TargetRecord::new("a"));
    record.scenario.push_str("[request]\nheaders = [['Authorization', 'Bearer hush']]\n");
    let report = RunReport::new("a.json", &record);
    assert!(report.scenario.contains("Authorization") && !report.scenario.contains("hush"));
    let command = &mut record.environments[0].command;
    *command = vec!["tlsbench".into(), "run".into(), "-H=Authorization: hush".into()];
    let report = RunReport::new("a.json", &record);
    assert_eq!(report.environments[0].command[2], "-H=Authorization: redacted");
    // What cannot be read cannot be redacted.
    record.scenario = "no scenario, Authorization: hush".into();
    let report = RunReport::new("a.json", &record);
    assert!(report.scenario.starts_with("# no scenario that"), "{}", report.scenario);
}

/// Maps whose keys are data.
const MAPS: &[&str] =
    &["addresses", "failures", "negotiated", "reasons", "statuses", "sysctls", "versions"];

/// Names that are documented once, with their own fields elsewhere.
const ELSEWHERE: &[&str] =
    &["labs[].environment", "labs[].gates[]", "labs[].notes[]", "labs[].trials[].client"];

fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let is_estimate = value.get("runs").is_some() && value.get("low").is_some();
    if ELSEWHERE.contains(&path) || (path.starts_with("labs[]") && is_estimate) {
        found.insert(path.to_owned());
        return;
    }
    match value {
        Value::Object(fields) => {
            let is_map = path.rsplit('.').next().is_some_and(|last| MAPS.contains(&last))
                || path.ends_with("reasons.*");
            for (key, value) in fields {
                let key = if is_map { "*" } else { key };
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                paths(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| {
            paths(item, &format!("{path}[]"), found);
        }),
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_documentation_names_every_field_and_no_other() {
    let mut full = target(vec![round(0, 0, 100), round(0, 1, 10)]);
    full.histograms.insert("connect".to_owned(), series([1]));
    let failed = BTreeMap::from([("timeout".to_owned(), 1)]);
    let ended = crate::record::AddressRecord { succeeded: 2, failed };
    full.addresses.insert(([127, 0, 0, 1], 443).into(), ended);
    let record = record(full);
    let mut report = Report::new("tlsbench 0.1.0");
    report.add_run("a.json", &record);
    let mut lab = placements::tests::record();
    lab.trials[0].hops[0].notes.push("it is slow".to_owned());
    lab.notes.push(Note { at: "2026-01-02T03:04:06Z".to_owned(), text: "nginx 1.22.1".to_owned() });
    lab.trials[0].rate = Some(100.0);
    lab.trials[1].workload = crate::lab::Workload::Bulk64k;
    let mut latency = lab.trials[0].clone();
    latency.pass = crate::lab::Pass::Latency;
    lab.trials.push(latency);
    let hop = IdleHop {
        role: crate::placement::Role::Lb,
        before_bytes: 1,
        after_bytes: 2,
        bytes_per_connection: 0.5,
        rest: None,
    };
    let idle = |round| {
        let (placement, hops) = ("a".to_owned(), vec![hop]);
        IdleRecord { placement, round, connections: 2, hops }
    };
    lab.idle = vec![idle(0), idle(1)];
    lab.others = Some(OtherProcesses { share: 0.5, top: "cc".to_owned(), top_ns: Nanos(1) });
    report.add_lab("b.json", &placements::tests::with_held_out(lab));
    let mut written = BTreeSet::new();
    paths(&serde_json::to_value(report).unwrap(), "", &mut written);
    let page = include_str!("../../../../docs/report.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        // The gauges of Prometheus' text have a test of their own.
        .filter(|field| !field.starts_with("tlsbench_"))
        .collect();
    let missing: Vec<_> = written.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&written).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
    for (name, _) in QUANTILES {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
