//! The summary of a run at its end: a table, or JSON.

use std::path::Path;

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;
use tlsbench_core::record::RunRecord;
use tlsbench_core::report::{GateReport, PhaseReport, TargetReport, per_second, time};
use tlsbench_core::scenario::{Load, SERVER_CLOSE_MAX, Scenario};
use tlsbench_core::tally::Phase;
use tlsbench_core::units::Nanos;
use tlsbench_core::usage::UnderWay;
use tlsbench_core::warning::{Gate, remarks};

use crate::build;
use crate::cmd::flags;

/// The summary for people, in a table of so many columns of characters at most.
pub(super) fn text(
    scenario: &Scenario,
    record: &RunRecord,
    gates: &[Gate],
    path: &Path,
    columns: u16,
    has_file: bool,
) -> String {
    let wait_max = match scenario.load {
        Load::Open { wait_max, .. } => wait_max,
        Load::Closed { .. } => Nanos::default(),
    };
    let targets: Vec<TargetReport> =
        record.targets.iter().map(|target| TargetReport::new(target, wait_max, gates)).collect();
    let mut text = format!("{}\n", summary(&targets, columns).trim_fmt());
    for target in &targets {
        for (why, count) in target.failures_in_detail() {
            let why = flags::named(&why, has_file);
            text.push_str(&format!("{}: {count} failed: {why}\n", target.name));
        }
    }
    text.push_str(&statuses(&targets));
    // The record holds them as notes as well, for whoever reads it later.
    for remark in remarks(record) {
        let remark = flags::named(&remark, has_file);
        text.push_str(&format!("note: {remark}\n"));
    }
    for target in &record.targets {
        let UnderWay { operations, oldest_ns } = target.unanswered;
        // Operations that had just begun are no fault of the server.
        if oldest_ns >= UNANSWERED_MIN {
            let were = if operations == 1 { "operation" } else { "operations" };
            text.push_str(&format!(
                "{}: {operations} {were} had no answer when the run ended, the oldest for \
                 {oldest_ns}\n",
                target.name
            ));
        }
    }
    for target in targets.iter().filter(|target| target.shape.retried > 0) {
        text.push_str(&format!(
            "{}: {} of {} full handshakes needed a HelloRetryRequest; where clients offer the \
             server's group first, name it first in `--groups`\n",
            target.name, target.shape.retried, target.shape.full
        ));
    }
    for target in targets.iter().filter(|target| target.closed_by_client > 0) {
        let closing = target.phase(Phase::Closing).and_then(|phase| phase.quantile("p50"));
        let took = closing.map_or_else(String::new, |p50| format!("; closing took {p50} (p50)"));
        text.push_str(&format!(
            "{}: {} of {} connections were not closed by the server within {SERVER_CLOSE_MAX}, and \
             closed by the client, which keeps their ports for 60 s{took}\n",
            target.name,
            target.closed_by_client,
            // Connections are counted where they begin: the first to close are the warm-up's.
            target.connections.max(target.closed_by_client),
        ));
    }
    for TargetReport { name, rounds, untimed_rounds, .. } in &targets {
        if *untimed_rounds > 0 {
            text.push_str(&format!(
                "{name}: {untimed_rounds} of {rounds} rounds were too short to be timed and enter \
                 no rate; give them more operations\n"
            ));
        }
    }
    text.push_str(&invalid(gates, has_file));
    text.push_str(build::WARNING);
    if let Some(why) = &record.interrupted {
        text.push_str(&format!("ended before its time: {why}; what was measured is kept\n"));
    }
    text.push_str(&format!("record: {}\n", path.display()));
    text
}

/// Each failed gate, with the families that have no verdict for it.
fn invalid(gates: &[Gate], has_file: bool) -> String {
    let mut text = String::new();
    for gate in gates {
        let of = gate.target.as_ref().map(|target| format!(" of {target}")).unwrap_or_default();
        let spoils: Vec<&str> = gate.spoils.iter().map(|family| family.as_str()).collect();
        let spoils = spoils.join(", ");
        text.push_str(&format!(
            "invalid{of} ({}; no verdict on {spoils}): {}\n",
            gate.name,
            flags::named(&gate.warning.to_string(), has_file)
        ));
    }
    text
}

/// Responses by status, where that is more than that all went well.
fn statuses(targets: &[TargetReport]) -> String {
    let mut text = String::new();
    for target in targets {
        let each = target.notable_statuses().map(|(status, count)| format!("{count} of {status}"));
        let listed: Vec<String> = each.collect();
        if !listed.is_empty() {
            text.push_str(&format!(
                "{}: responses by status: {}\n",
                target.name,
                listed.join(", ")
            ));
        }
    }
    text
}

fn summary(targets: &[TargetReport], columns: u16) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    table.set_header([
        "target",
        "per second (95 %)",
        "cpu/op (95 %)",
        "handshake p50",
        "p50",
        "p99",
        "full",
        "resumed",
        "failed",
        "missed",
    ]);
    for target in targets {
        let quantile = |phase: Option<&PhaseReport>, name| {
            let found = phase.and_then(|phase| phase.quantile(name));
            found.map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        table.add_row([
            target.name.clone(),
            per_second(target.operations_per_second.as_ref()),
            time(target.cpu_ns_per_operation.as_ref()),
            quantile(target.phase(Phase::Confirmed), "p50"),
            quantile(target.latency(), "p50"),
            quantile(target.latency(), "p99"),
            target.shape.full.to_string(),
            target.shape.resumed.to_string(),
            target.failed.to_string(),
            target.missed.to_string(),
        ]);
    }
    table
}

/// The summary for programs.
pub(super) fn json(record: &RunRecord, gates: &[Gate], path: &Path) -> anyhow::Result<String> {
    let failed: Vec<GateReport> = gates.iter().map(GateReport::from).collect();
    let document = json!({ "valid": gates.is_empty(), "gates": failed, "recordPath": path,
        "record": serde_json::to_value(record).context("cannot write the record")? });
    Ok(format!("{document:#}\n"))
}

/// The least age of an unanswered operation that is reported: a younger one had no time to be
/// answered.
const UNANSWERED_MIN: Nanos = Nanos::from_millis(1_000);

#[cfg(test)]
mod tests {
    use std::fs;

    use tlsbench_core::scenario::Draft;
    use tlsbench_core::warning::judge;

    use super::*;

    /// A record that is committed, and its summary.
    fn said(change: impl FnOnce(&mut RunRecord), has_file: bool) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/report");
        let text = fs::read_to_string(Path::new(folder).join("closed.json")).unwrap();
        let mut record = RunRecord::from_json(&text).unwrap();
        change(&mut record);
        let scenario = Draft::from_toml(&record.scenario).unwrap().finish().unwrap();
        text_of(&scenario, &record, has_file)
    }

    fn text_of(scenario: &Scenario, record: &RunRecord, has_file: bool) -> String {
        text(scenario, record, &judge(record), Path::new("run.json"), 120, has_file)
    }

    #[test]
    fn each_target_has_a_row_and_the_record_is_named_last() {
        let text = said(|_| {}, false);
        let rows = text.lines().skip(1).take(2).collect::<Vec<_>>();
        assert!(rows[0].contains("shop|tls") || rows[1].contains("shop|tls"), "{text}");
        assert!(text.ends_with("record: run.json\n"), "{text}");
        assert!(!text.contains("ended before its time"), "{text}");
        let text = said(|record| record.interrupted = Some("it was asked to stop".into()), false);
        assert!(text.contains("ended before its time: it was asked to stop; what"), "{text}");
    }

    #[test]
    fn unanswered_operations_are_told_from_a_second_on() {
        let unanswered = |operations, millis| {
            let oldest_ns = Nanos::from_millis(millis);
            said(|record| record.targets[0].unanswered = UnderWay { operations, oldest_ns }, false)
        };
        assert!(!unanswered(3, 999).contains("had no answer"));
        let text = unanswered(3, 1_000);
        assert!(
            text.contains("3 operations had no answer when the run ended, the oldest"),
            "{text}"
        );
        let text = unanswered(1, 2_000);
        assert!(text.contains("1 operation had no answer when the run ended"), "{text}");
    }

    #[test]
    fn gates_name_the_families_and_flags_or_keys() {
        let failed = |record: &mut RunRecord| {
            for round in &mut record.targets[0].rounds {
                round.failed.insert("certificate_unknown_ca".to_owned(), round.succeeded);
            }
        };
        let text = said(failed, false);
        let gate = text.lines().find(|line| line.contains("(errors;")).unwrap();
        assert!(gate.starts_with("invalid of ") && gate.contains("no verdict on "), "{gate}");
        assert!(text.contains("`--ca-bundle`") && !text.contains("`tls.ca_bundle`"), "{text}");
        let text = said(failed, true);
        assert!(text.contains("`tls.ca_bundle`") && !text.contains("`--ca-bundle`"), "{text}");
    }
}
