//! What a run says of itself at its end: a table, or JSON.

use std::path::Path;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde_json::json;
use tlsbench_core::plan::{Load, Scenario};
use tlsbench_core::record::{RoundRecord, RunRecord, TargetRecord};
use tlsbench_core::stats::{Estimate, mean};
use tlsbench_core::tally::{Phase, Quantile};
use tlsbench_core::units::Nanos;
use tlsbench_core::warning::Gate;

/// The summary for people.
pub(super) fn text(scenario: &Scenario, record: &RunRecord, gates: &[Gate], path: &Path) -> String {
    let wait_max = match scenario.load {
        Load::Open { wait_max, .. } => wait_max,
        Load::Closed { .. } => Nanos::default(),
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "target",
        "per second (95 %)",
        "cpu/op",
        "handshake p50",
        "p50",
        "p99",
        "full",
        "resumed",
        "failed",
        "missed",
    ]);
    for target in &record.targets {
        let quantile = |phase, q| match target.quantile(phase, q, wait_max) {
            None => "-".to_owned(),
            Some(Quantile::Is(time)) => time.to_string(),
            Some(Quantile::AtLeast(time)) => format!("> {time}"),
        };
        table.add_row([
            target.name.clone(),
            rate(target).map_or_else(|| "-".to_owned(), |rate| interval(&rate)),
            cpu_per_operation(target).map_or_else(|| "-".to_owned(), |cpu| cpu.to_string()),
            quantile(Phase::Confirmed, 0.5),
            quantile(Phase::Corrected, 0.5),
            quantile(Phase::Corrected, 0.99),
            target.sum(|round| round.shape.full).to_string(),
            target.sum(|round| round.shape.resumed).to_string(),
            target.sum(RoundRecord::failures).to_string(),
            target.sum(|round| round.missed).to_string(),
        ]);
    }
    let mut text = format!("{}\n", table.trim_fmt());
    for target in &record.targets {
        for (why, count) in failures(target) {
            text.push_str(&format!("{}: {count} failed: {why}\n", target.name));
        }
    }
    for target in &record.targets {
        let untimed = target.rounds.len() - timed(target).count();
        if untimed > 0 {
            let name = &target.name;
            text.push_str(&format!(
                "{name}: {untimed} of {} rounds were too short to be timed and enter no rate; give \
                 them more operations\n",
                target.rounds.len()
            ));
        }
    }
    for gate in gates {
        let of = gate.target.as_ref().map(|target| format!(" of {target}")).unwrap_or_default();
        let spoils: Vec<String> =
            gate.spoils.iter().map(|family| format!("{family:?}").to_lowercase()).collect();
        let spoils = spoils.join(", ");
        text.push_str(&format!(
            "invalid{of} ({}; no verdict on {spoils}): {}\n",
            gate.name, gate.warning
        ));
    }
    if let Some(why) = &record.interrupted {
        text.push_str(&format!("ended before its time: {why}; what was measured is kept\n"));
    }
    text.push_str(&format!("record: {}\n", path.display()));
    text
}

/// The summary for programs.
pub(super) fn json(record: &RunRecord, gates: &[Gate], path: &Path) -> anyhow::Result<String> {
    let gates: Vec<_> = gates
        .iter()
        .map(|gate| {
            json!({
                "name": gate.name,
                "target": gate.target,
                "seen": gate.warning.seen,
                "cause": gate.warning.cause,
                "cure": gate.warning.cure,
                "spoils": gate.spoils,
            })
        })
        .collect();
    let document = json!({ "valid": gates.is_empty(), "gates": gates, "recordPath": path,
        "record": serde_json::to_value(record).context("cannot write the record")? });
    Ok(format!("{document:#}\n"))
}

/// Rounds that were long enough to be timed.
fn timed(target: &TargetRecord) -> impl Iterator<Item = &RoundRecord> {
    target.rounds.iter().filter(|round| round.wall_ns > Nanos(0))
}

/// Operations per second; the round is the unit.
fn rate(target: &TargetRecord) -> Option<Estimate> {
    let rates: Vec<f64> = timed(target).map(|round| round.operations_per_second).collect();
    mean(&rates)
}

fn interval(estimate: &Estimate) -> String {
    let half = (estimate.high - estimate.low) / 2.0;
    format!("{:.0} ± {half:.0}", estimate.value)
}

/// CPU time of the generator for each operation that succeeded.
fn cpu_per_operation(target: &TargetRecord) -> Option<Nanos> {
    let operations: u64 = timed(target).map(|round| round.succeeded).sum();
    let cpu: u64 = timed(target).map(|round| round.cpu.total.0).sum();
    cpu.checked_div(operations).map(Nanos)
}

fn failures(target: &TargetRecord) -> std::collections::BTreeMap<&str, u64> {
    let mut all = std::collections::BTreeMap::new();
    for (why, count) in target.rounds.iter().flat_map(|round| &round.failed) {
        *all.entry(why.as_str()).or_default() += count;
    }
    all
}
