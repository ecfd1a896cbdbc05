//! What a run over placements says of itself at its end.

use std::path::Path;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde_json::json;
use tlsbench_core::plan::lab::{Lab, Workload};
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::stats::Estimate;
use tlsbench_core::verdicts::{Row, Verdicts, WorkloadFinding};

use crate::cmd::build;

/// The placements, drawn.
pub(super) fn pictures(lab: &Lab) -> String {
    let width = lab.placements.iter().map(|placement| placement.name.len()).max().unwrap_or(0);
    let line = |name: &str, picture: &str| format!("{name:width$}  {picture}\n");
    lab.placements.iter().map(|one| line(&one.name, &one.to_string())).collect()
}

/// The result for people.
pub(super) fn text(record: &LabRecord, judged: &Verdicts, path: &Path) -> String {
    let mut text = String::new();
    for workload in &record.lab.workloads {
        let rows: Vec<&Row> = judged.rows.iter().filter(|row| row.workload == *workload).collect();
        if rows.is_empty() {
            continue;
        }
        let operation = workload.operation();
        text.push_str(&format!("{workload}: CPU time per {operation}, µs, with 95 % intervals\n"));
        text.push_str(&table(&rows, record, judged, *workload).trim_fmt());
        text.push('\n');
        for finding in in_pairs(judged, *workload, record) {
            let pair = &finding.finding;
            let words = format!("{} beside {}", pair.name, pair.against);
            text.push_str(&format!("{words}: {} ({})\n", ratio(finding), pair.verdict));
        }
        text.push('\n');
    }
    for gate in &judged.gates {
        let of = gate.target.as_ref().map(|target| format!(" of {target}")).unwrap_or_default();
        let spoils: Vec<&str> = gate.spoils.iter().map(|family| family.as_str()).collect();
        let spoils = spoils.join(", ");
        text.push_str(&format!(
            "invalid{of} ({}; no verdict on {spoils}): {}\n",
            gate.name, gate.warning
        ));
    }
    text.push_str(CAVEATS);
    if record.generator_cores.is_empty() {
        text.push_str("generator and hops share one core, so rates say nothing\n");
    }
    text.push_str(build::WARNING);
    if let Some(why) = &record.interrupted {
        text.push_str(&format!("ended before its time: {why}; what was measured is kept\n"));
    }
    text.push_str(&format!("record: {}\n", path.display()));
    text
}

fn table(rows: &[&Row], record: &LabRecord, judged: &Verdicts, workload: Workload) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let longest = rows.iter().max_by_key(|row| row.hops.len());
    let roles: Vec<String> = longest
        .into_iter()
        .flat_map(|row| row.hops.iter().map(|hop| hop.role.to_string()))
        .collect();
    let mut header = vec!["placement".to_owned(), "hops".to_owned()];
    header.extend(roles);
    header.extend(["all hops", "client", "TLS adds", "verdict"].map(str::to_owned));
    table.set_header(header);
    for row in rows {
        let kinds: Vec<&str> = row.hops.iter().map(|hop| hop.kind.as_str()).collect();
        let mut cells = vec![row.placement.clone(), kinds.join(" · ")];
        cells.extend(row.hops.iter().map(|hop| micros(hop.cost.as_ref())));
        cells.extend([micros(row.total.as_ref()), micros(row.client.as_ref())]);
        let twin = record.placement(&row.placement).map(|placement| placement.twin().name);
        let finding = judged.findings.iter().find(|finding| {
            finding.workload == workload
                && finding.finding.name == row.placement
                && Some(&finding.finding.against) == twin.as_ref()
        });
        match finding {
            Some(finding) => {
                let pair = &finding.finding;
                cells.push(micros(pair.difference.as_ref()));
                cells.push(format!("{} ({})", pair.verdict, ratio(finding)));
            }
            None => cells.extend(["-".to_owned(), "is a twin".to_owned()]),
        }
        table.add_row(cells);
    }
    table
}

/// Findings of two placements with TLS.
fn in_pairs<'a>(
    judged: &'a Verdicts,
    workload: Workload,
    record: &LabRecord,
) -> Vec<&'a WorkloadFinding> {
    let is_pair = |finding: &&WorkloadFinding| {
        let against = record.placement(&finding.finding.against);
        finding.workload == workload && against.is_some_and(|placement| !placement.is_plain())
    };
    judged.findings.iter().filter(is_pair).collect()
}

fn ratio(finding: &WorkloadFinding) -> String {
    match &finding.finding.ratio {
        Some(Estimate { value, low, high, .. }) => format!("{value:.2} ×, {low:.2} to {high:.2}"),
        None => "-".to_owned(),
    }
}

fn micros(estimate: Option<&Estimate>) -> String {
    match estimate {
        Some(Estimate { value, low, high, .. }) => {
            format!("{value:.1} ± {:.1}", (high - low) / 2.0)
        }
        None => "-".to_owned(),
    }
}

/// The result for programs.
pub(super) fn json(record: &LabRecord, judged: &Verdicts, path: &Path) -> anyhow::Result<String> {
    let gates = judged.gates.iter().map(|gate| {
        json!({
            "name": gate.name,
            "target": gate.target,
            "seen": gate.warning.seen,
            "cause": gate.warning.cause,
            "cure": gate.warning.cure,
            "spoils": gate.spoils,
        })
    });
    let all = json!({
        "path": path,
        "verdicts": judged,
        "gates": gates.collect::<Vec<_>>(),
        "record": record,
    });
    let text = serde_json::to_string_pretty(&all).context("cannot write JSON")?;
    Ok(text + "\n")
}

/// What a reader has to know to use these figures.
const CAVEATS: &str = "\
closed loops at a fixed number of connections: CPU time per operation falls as hops have more to do.
on loopback the kernel charges the receiving of packets to whoever sends them.
";
