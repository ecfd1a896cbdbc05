//! Records: they read back, add up, and are documented field by field.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::tally::{Failed, Failure, Reason};

fn tally(times: std::ops::Range<u64>) -> Tally {
    let mut tally = Tally::new();
    (tally.connections, tally.bytes_read, tally.bytes_written) = (5, 6, 7);
    for time in times {
        tally.succeeded += 1;
        tally.scheduled += 1;
        for phase in Phase::ALL.iter().copied() {
            tally.record(phase, Nanos(time * 1_000));
        }
    }
    tally.fail(Failure::Timeout);
    tally.end_at(([127, 0, 0, 1], 443).into(), Ok(()));
    tally.end_at(([127, 0, 0, 1], 443).into(), Err(Failure::Timeout));
    tally.fail(Failed::new(Failure::Alert, Reason::Alert(112)));
    tally.status(200);
    tally.resent = 8;
    tally.missed = 1;
    tally.shape.full = 3;
    tally.shape.negotiated("TLS 1.3 aes-128-gcm x25519 ED25519 http/1.1");
    tally.shape.streams(8);
    tally
}

fn record(times: std::ops::Range<u64>) -> RunRecord {
    record_with(times, 30)
}

/// A record whose generator took so much CPU time.
fn record_with(times: std::ops::Range<u64>, cpu: u64) -> RunRecord {
    let scenario = "[load]\nrate = 5\n[[target]]\nname = 'a'\nurl = 'https://127.0.0.1/'\n";
    let scenario = Draft::from_toml(scenario).unwrap().finish().unwrap();
    let mut target = TargetRecord::new("a");
    target.push(&Measured {
        round: 2,
        tally: &tally(times.clone()),
        lap: &Lap {
            wall: Nanos::from_millis(500),
            cpu: Cpu { total: Nanos(cpu), user: Nanos(20), system: Nanos(10) },
            busiest_thread: Nanos(17),
            seconds: vec![Second::default()],
            under_way: UnderWay::default(),
        },
        wait_max: Nanos::from_millis(5_000),
    });
    target.push_addresses(&tally(times));
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
            meanwhile: Some(HostEvents {
                had_ns: Nanos(9),
                stolen_ns: Some(Nanos(1)),
                throttled: Some(2),
                others_ns: Some(Nanos(3)),
                others_top: Some("cc1".into()),
            }),
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
    assert_eq!((round.failed["timeout"], round.failures()), (1, 2));
    assert_eq!(round.reasons["alert"]["unrecognized_name"], 1);
    assert_eq!((round.statuses[&200], round.resent), (1, 8));
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
fn a_record_of_a_program_that_knew_no_reasons_is_read() {
    let mut old: Value = serde_json::from_str(&record(1..50).to_json().unwrap()).unwrap();
    let round = old["targets"][0]["rounds"][0].as_object_mut().unwrap();
    for field in ["reasons", "statuses", "resent"] {
        round.remove(field).unwrap();
    }
    old["targets"][0].as_object_mut().unwrap().remove("addresses").unwrap();
    let scenario = old["scenario"].as_str().unwrap().replace("1.2,1.3", "1.3");
    old["scenario"] = scenario.into();
    let read = RunRecord::from_json(&old.to_string()).unwrap();
    let round = &read.targets[0].rounds[0];
    assert!(round.reasons.is_empty() && round.statuses.is_empty() && round.resent == 0);
    assert_eq!(read.scenario().unwrap().tls.version, crate::scenario::Version::Tls13.into());
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
    let ended = &parts.targets[0].addresses[&([127, 0, 0, 1], 443).into()];
    assert_eq!((ended.succeeded, ended.failed["timeout"]), (3, 3));
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
    let mut early = record_with(1..10, 31);
    early.started = "2026-01-02T03:04:04.8Z".into();
    (early.complete, early.interrupted) = (true, None);
    let merged = merge([record(1..10), early.clone()]).unwrap();
    assert_eq!(
        (merged.started.as_str(), merged.ended.as_str()),
        ("2026-01-02T03:04:04.8Z", "2026-01-02T03:04:15Z")
    );
    assert_eq!(
        (merged.complete, merged.interrupted.as_deref()),
        (false, Some("errors above 10 %"))
    );
    let mut other = early.clone();
    other.targets = record_with(1..10, 32).targets;
    assert!(merge([early, other]).unwrap().complete);
    let both = merge([record(1..10), record_with(1..10, 31)]).unwrap();
    assert_eq!(both.interrupted.as_deref(), Some("errors above 10 %; errors above 10 %"));
}

#[test]
fn only_records_of_one_scenario_add_up() {
    assert!(matches!(merge([]), Err(RecordError::Empty)));
    let with = |edit: fn(&mut RunRecord)| {
        let mut other = record_with(1..10, 31);
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

#[test]
fn records_of_another_time_and_copies_do_not_add_up() {
    let began = |cpu, started: &str| {
        let mut record = record_with(1..10, cpu);
        record.started = started.into();
        record
    };
    let first = || began(1, "2026-01-02T03:04:05Z");
    // Rounds are half a second long.
    assert!(merge([first(), began(2, "2026-01-02T03:04:05.499Z")]).is_ok());
    for started in ["2026-01-02T03:04:05.5Z", "2026-01-02T03:04:04.5Z", "2025-01-02T03:04:05Z"] {
        let apart = merge([first(), began(2, started)]);
        assert!(matches!(apart, Err(RecordError::Apart { index: 1, .. })), "{started}: {apart:?}");
    }
    assert!(matches!(merge([first(), first()]), Err(RecordError::Copy { index: 1 })));
    let sum = merge([first(), began(2, "2026-01-02T03:04:05.1Z")]).unwrap();
    assert!(matches!(merge([first(), sum]), Err(RecordError::Copy { index: 1 })));
}

/// A V2 deflate histogram with these bytes within.
fn deflated(plain: &[u8]) -> String {
    use base64::Engine as _;
    let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut to, plain).unwrap();
    let inner = to.finish().unwrap();
    let length = u32::try_from(inner.len()).unwrap().to_be_bytes();
    let bytes = [&[0x1c, 0x84, 0x93, 0x14], &length[..], &inner].concat();
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

#[test]
fn a_histogram_takes_no_more_memory_than_one_of_our_own() {
    let read = |text: &str| serde_json::from_value::<Series>(text.into()).map(|_| ());
    // 64 MB of zeros in 64 KB, within a head that says so.
    let mut bomb = vec![0; 64 << 20];
    let mut put = |at: usize, bytes: &[u8]| bomb[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0x1c, 0x84, 0x93, 0x13]);
    put(4, &((64_u32 << 20) - 40).to_be_bytes());
    put(12, &3_u32.to_be_bytes());
    put(16, &1_u64.to_be_bytes());
    put(24, &u64::MAX.to_be_bytes());
    put(32, &1.0_f64.to_be_bytes());
    let error = read(&deflated(&bomb)).unwrap_err().to_string();
    assert!(error.contains("larger than any"), "{error}");
    for (digits, is_read) in [(3, true), (5, false)] {
        let mut small = bomb[..40].to_vec();
        small[4..8].copy_from_slice(&[0; 4]);
        small[15] = digits;
        small[24..32].copy_from_slice(&((1_u64 << 39) - 1).to_be_bytes());
        assert_eq!(read(&deflated(&small)).is_ok(), is_read, "{digits}");
    }
    // All counts of ours, each as large as can be.
    let mut full = Series::default();
    let mut at = 1;
    while at <= crate::tally::LONGEST.0 {
        full.0.record_n(at, u64::MAX / 100_000).unwrap();
        at = full.0.next_non_equivalent(at);
    }
    let text = serde_json::to_value(&full).unwrap();
    assert_eq!(serde_json::from_value::<Series>(text).unwrap(), full);
    for broken in ["", "AAAA", "HISTFAAAAAA="] {
        assert!(read(broken).is_err());
    }
}

/// A record from before there were limits, the same as it would be written now, and with a limit.
fn old_and_new() -> [RunRecord; 3] {
    let text = include_str!("../../../../tests/fixtures/report/closed.json");
    let old = RunRecord::from_json(text).unwrap();
    let scenario = old.scenario().unwrap();
    let with = |scenario| {
        let mut other = RunRecord { scenario, ..old.clone() };
        // Another generator, and no copy.
        let rounds = other.targets.iter_mut().flat_map(|target| &mut target.rounds);
        rounds.for_each(|round| round.cpu.total.0 += 1);
        other
    };
    // Every key said, as records were written for a while.
    let new = with(scenario.to_toml().unwrap());
    assert!(!old.scenario.contains("[timeout]") && new.scenario.contains("[timeout]"));
    let limited = with(format!("{}\n[timeout]\nconnect = '2s'\n", old.scenario));
    [old, new, limited]
}

#[test]
fn a_record_from_before_there_were_limits_has_the_default_ones() {
    let [old, new, limited] = old_and_new();
    assert_eq!(old.scenario().unwrap().to_record().unwrap(), old.scenario);
    assert!(merge([old.clone(), new.clone()]).is_ok());
    assert!(matches!(
        merge([old.clone(), limited.clone()]),
        Err(RecordError::Scenario { index: 1 })
    ));
    // A report of a record prints what the record said.
    let written = limited.scenario().unwrap().to_record().unwrap();
    assert!(written.contains("connect = \"2s\""), "{written}");
}

/// Maps whose keys are data.
const MAPS: &[&str] = &[
    "addresses",
    "failed",
    "histograms",
    "negotiated",
    "quantiles",
    "reasons",
    "statuses",
    "streams",
    "sysctls",
    "versions",
];

fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
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
    for name in
        Phase::ALL.iter().map(|of| of.as_str()).chain(Failure::ALL.iter().map(|of| of.as_str()))
    {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
