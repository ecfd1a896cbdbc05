//! CPU time per operation, workload by workload.

use comfy_table::Table;
use tlsbench_core::lab::Workload;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::report::IS_BASELINE;
use tlsbench_core::verdicts::{HopCost, Verdicts, WorkloadCost, WorkloadFinding};

use super::cells::{NOTHING, micros, percent, ratio, table};

/// All workloads, each with what its loop was, its tables and what is found between placements.
pub(super) fn text(record: &LabRecord, judged: &Verdicts, columns: u16) -> String {
    let mut text = String::new();
    for workload in &record.lab.workloads {
        let rows: Vec<&WorkloadCost> =
            judged.rows.iter().filter(|row| row.workload == *workload).collect();
        let Some(first) = rows.first() else { continue };
        text.push_str(&format!(
            "{workload}: CPU time per {}, µs, with 95 % intervals, and how busy each hop kept the \
             cores of hops\n{}\n",
            workload.operation(),
            first.load
        ));
        text.push_str(&of_hops(&rows, *workload, columns).trim_fmt());
        text.push_str("\n\n");
        text.push_str(&beside_twins(&rows, record, judged, columns).trim_fmt());
        text.push('\n');
        for finding in in_pairs(judged, *workload, record) {
            let pair = &finding.finding;
            let words = format!("{} beside {}", pair.name, pair.against);
            let ratio = ratio(pair.ratio.as_ref());
            text.push_str(&format!("{words}: {ratio} ({})\n", pair.verdict));
        }
        text.push('\n');
    }
    text
}

/// Tabulates the cost of each hop.
fn of_hops(rows: &[&WorkloadCost], workload: Workload, columns: u16) -> Table {
    let longest = rows.iter().max_by_key(|row| row.hops.len());
    let roles = longest.into_iter().flat_map(|row| row.hops.iter().map(|hop| hop.role.to_string()));
    let mut header = vec!["placement".to_owned()];
    header.extend(roles);
    let hops = header.len() - 1;
    header.push("all hops".to_owned());
    if workload.is_bulk() {
        header.push("Gbit/s per core".to_owned());
    }
    let mut table = table(header, columns);
    for row in rows {
        let mut cells = vec![row.placement.clone()];
        cells.extend(row.hops.iter().map(of_hop));
        cells.resize(1 + hops, NOTHING.to_owned());
        cells.push(beside(&micros(row.total.as_ref()), row.busy));
        if workload.is_bulk() {
            cells.push(row.gbit_per_core.as_ref().map_or_else(
                || NOTHING.to_owned(),
                |gbit| format!("{:.2} ± {:.2}", gbit.value, (gbit.high - gbit.low) / 2.0),
            ));
        }
        table.add_row(cells);
    }
    table
}

/// Tabulates the cost of the client, and what TLS adds to all hops.
fn beside_twins(
    rows: &[&WorkloadCost],
    record: &LabRecord,
    judged: &Verdicts,
    columns: u16,
) -> Table {
    let header = ["placement", "client", "TLS adds", "ratio", "verdict"];
    let mut table = table(header.map(str::to_owned).to_vec(), columns);
    for row in rows {
        let mut cells = vec![row.placement.clone()];
        cells.push(beside(&micros(row.client.as_ref()), row.client_busy));
        cells.extend(adds(row, record, judged));
        table.add_row(cells);
    }
    table
}

/// Formats the cost of a hop, and how busy it was.
pub(super) fn of_hop(hop: &HopCost) -> String {
    beside(&micros(hop.cost.as_ref()), hop.busy)
}

fn beside(cost: &str, busy: Option<f64>) -> String {
    format!("{cost} · {}", percent(busy))
}

fn adds(row: &WorkloadCost, record: &LabRecord, judged: &Verdicts) -> [String; 3] {
    let twin = record.placement(&row.placement).map(|placement| placement.twin().name);
    let finding = judged.findings.iter().find(|finding| {
        finding.workload == row.workload
            && finding.finding.name == row.placement
            && Some(&finding.finding.against) == twin.as_ref()
    });
    match finding.map(|finding| &finding.finding) {
        Some(pair) => {
            [micros(pair.difference.as_ref()), ratio(pair.ratio.as_ref()), pair.verdict.to_string()]
        }
        None => [NOTHING, NOTHING, IS_BASELINE].map(str::to_owned),
    }
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
