//! Records: they read back, add up, and are documented field by field.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::tally::Failure;

fn tally(times: std::ops::Range<u64>) -> Tally {
    let mut tally = Tally::new();
    (tally.connections, tally.bytes_read, tally.bytes_written) = (5, 6, 7);
    for time in times {
        tally.succeeded += 1;
        tally.scheduled += 1;
        for phase in Phase::ALL {
            tally.record(phase, Nanos(time * 1_000));
        }
    }
    tally.fail(Failure::Timeout);
    tally.missed = 1;
    tally.shape.full = 3;
    tally.shape.negotiated("TLS 1.3 aes-128-gcm x25519 ED25519 http/1.1");
    tally.shape.streams(8);
    tally
}

fn record(times: std::ops::Range<u64>) -> RunRecord {
    let scenario = "[load]\nrate = 5\n[[target]]\nname = 'a'\nurl = 'https://127.0.0.1/'\n";
    let scenario = Draft::from_toml(scenario).unwrap().finish().unwrap();
    let mut target = TargetRecord::new("a");
    target.push(&Measured {
        round: 2,
        tally: &tally(times),
        lap: &Lap {
            wall: Nanos::from_millis(500),
            cpu: Cpu { total: Nanos(30), user: Nanos(20), system: Nanos(10) },
            busiest_thread: Nanos(17),
            seconds: vec![Second::default()],
        },
        wait_max: Nanos::from_millis(5_000),
    });
    let named = |name: &str| BTreeMap::from([(name.to_owned(), "1".to_owned())]);
    RunRecord {
        schema: SCHEMA,
        program: "tlsbench 0.1.0".into(),
        started: "2026-01-02T03:04:05Z".into(),
        ended: "2026-01-02T03:04:15Z".into(),
        complete: false,
        interrupted: Some("errors above 10 %".into()),
        scenario: scenario.redacted().to_toml().unwrap(),
        environments: vec![Environment {
            governor: Some("performance".into()),
            smt: Some(true),
            versions: named("rustls"),
            sysctls: named("net.core.somaxconn"),
            command: vec!["tlsbench".into()],
            ..Environment::default()
        }],
        notes: vec![Note { at: "2026-01-02T03:04:07Z".into(), text: "something".into() }],
        targets: vec![target],
    }
}

#[test]
fn a_round_says_what_was_measured() {
    let record = record(1..201);
    let round = &record.targets[0].rounds[0];
    assert_eq!((round.generator, round.round, round.succeeded), (0, 2, 200));
    assert_eq!(round.operations_per_second, 400.0);
    assert_eq!(round.connections_per_second, 10.0);
    assert_eq!((round.failed["timeout"], round.failures()), (1, 1));
    let micros = |quantiles: &Quantiles| (quantiles.p50_ns.0 / 1_000, quantiles.p99_ns.0 / 1_000);
    assert_eq!(micros(&round.quantiles["uncorrected"]), (100, 198));
    // A missed start is the longest of 201.
    assert_eq!(micros(&round.quantiles["corrected"]), (101, 199));
    assert!(!round.quantiles["corrected"].p99_at_least);
    let few = &self::record(1..50).targets[0].rounds[0].quantiles["corrected"];
    assert_eq!((few.p99_at_least, few.p99_ns), (true, Nanos::from_millis(5_000)));
    assert!(!few.p50_at_least);
}

#[test]
fn a_record_reads_back_equal() {
    let record = record(1..50);
    let again = RunRecord::from_json(&record.to_json().unwrap()).unwrap();
    assert_eq!(again, record);
    assert_eq!(again.scenario().unwrap().targets[0].name, "a");
}

#[test]
fn a_record_of_another_schema_is_named_as_that() {
    let error = RunRecord::from_json("{\"schema\": 2, \"else\": 0}").unwrap_err();
    assert!(matches!(error, RecordError::Schema { seen: 2 }), "{error}");
    assert!(matches!(RunRecord::from_json("{}").unwrap_err(), RecordError::Read(_)));
    let broken = record(1..50).to_json().unwrap().replace("HISTF", "HISTG");
    assert!(matches!(RunRecord::from_json(&broken).unwrap_err(), RecordError::Read(_)));
}

#[test]
fn histograms_of_rounds_and_generators_add_up_exactly() {
    let whole = record(1..3_000);
    let parts = merge([record(1..1_000), record(1_000..2_000), record(2_000..3_000)]).unwrap();
    assert_eq!(parts.targets[0].histograms, whole.targets[0].histograms);
    assert_eq!(parts.targets[0].sum(|round| round.succeeded), 2_999);
    let generators: Vec<u32> = parts.targets[0].rounds.iter().map(|r| r.generator).collect();
    assert_eq!((generators, parts.environments.len()), (vec![0, 1, 2], 3));
    let series = parts.targets[0].histogram(Phase::Connect).unwrap();
    assert_eq!(series.0.len(), 2_999);
    assert_eq!(
        parts.targets[0].quantile(Phase::Corrected, 1.0, Nanos(4_000_000)),
        Some(Quantile::AtLeast(Nanos(4_000_000)))
    );
    assert_eq!(TargetRecord::new("b").quantile(Phase::Connect, 0.5, Nanos(1)), None);
}

#[test]
fn merging_in_steps_is_merging_at_once() {
    let [a, b, mut c] = [record(1..10), record(10..20), record(20..30)];
    c.program = "tlsbench 0.1.0 (debug build)".into();
    let right = merge([b.clone(), c.clone()]).unwrap();
    let all = merge([a.clone(), b, c]).unwrap();
    assert_eq!(merge([a, right]).unwrap(), all);
    assert_eq!(all.program, "tlsbench 0.1.0; tlsbench 0.1.0 (debug build)");
}

#[test]
fn a_merged_record_spans_all_and_is_complete_if_all_are() {
    let mut early = record(1..10);
    early.started = "2026-01-02T03:04:00Z".into();
    (early.complete, early.interrupted) = (true, None);
    let merged = merge([record(1..10), early.clone()]).unwrap();
    assert_eq!(
        (merged.started.as_str(), merged.ended.as_str()),
        ("2026-01-02T03:04:00Z", "2026-01-02T03:04:15Z")
    );
    assert_eq!(
        (merged.complete, merged.interrupted.as_deref()),
        (false, Some("errors above 10 %"))
    );
    assert!(merge([early.clone(), early]).unwrap().complete);
    let both = merge([record(1..10), record(1..10)]).unwrap();
    assert_eq!(both.interrupted.as_deref(), Some("errors above 10 %; errors above 10 %"));
}

#[test]
fn only_records_of_one_scenario_add_up() {
    assert!(matches!(merge([]), Err(RecordError::Empty)));
    let with = |edit: fn(&mut RunRecord)| {
        let mut other = record(1..10);
        edit(&mut other);
        merge([record(1..10), other])
    };
    let sources = with(|r| r.scenario = r.scenario.replace("sources = []", "sources = ['::1']"));
    assert!(sources.is_ok());
    let rate = with(|r| r.scenario = r.scenario.replace("rate = 5", "rate = 6"));
    assert!(matches!(rate, Err(RecordError::Scenario { index: 1 })));
    let broken = with(|r| r.scenario = "no scenario".into());
    assert!(matches!(broken, Err(RecordError::Scenario { index: 1 })));
    let targets = with(|r| r.targets.clear());
    assert!(matches!(targets, Err(RecordError::Targets { index: 1 })));
    assert!(matches!(with(|r| r.schema = 2), Err(RecordError::Schema { seen: 2 })));
}

/// Maps whose keys are data.
const MAPS: &[&str] =
    &["failed", "histograms", "negotiated", "quantiles", "streams", "sysctls", "versions"];

fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let is_map = path.rsplit('.').next().is_some_and(|last| MAPS.contains(&last));
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
    let mut written = BTreeSet::new();
    paths(&serde_json::to_value(record(1..50)).unwrap(), "", &mut written);
    let page = include_str!("../../../../docs/record.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    let missing: Vec<_> = written.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&written).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
    for name in Phase::ALL.map(Phase::as_str).into_iter().chain(Failure::ALL.map(Failure::as_str)) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
