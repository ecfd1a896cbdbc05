//! CPU time per operation, workload by workload.

use comfy_table::Table;
use tlsbench_core::plan::lab::Workload;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::verdicts::{HopCost, Row, Verdicts, WorkloadFinding};

use super::cells::{NOTHING, micros, percent, ratio, table};

/// All workloads, each with what its loop was, its table and what is found between placements.
pub(super) fn text(record: &LabRecord, judged: &Verdicts) -> String {
    let mut text = String::new();
    for workload in &record.lab.workloads {
        let rows: Vec<&Row> = judged.rows.iter().filter(|row| row.workload == *workload).collect();
        let Some(first) = rows.first() else { continue };
        text.push_str(&format!(
            "{workload}: CPU time per {}, µs, with 95 % intervals, and how busy each hop kept the \
             cores of hops; {}\n",
            workload.operation(),
            first.load
        ));
        text.push_str(&of_workload(&rows, record, judged, *workload).trim_fmt());
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

fn of_workload(rows: &[&Row], record: &LabRecord, judged: &Verdicts, workload: Workload) -> Table {
    let longest = rows.iter().max_by_key(|row| row.hops.len());
    let roles = longest.into_iter().flat_map(|row| row.hops.iter().map(|hop| hop.role.to_string()));
    let mut header = vec!["placement".to_owned(), "hops".to_owned()];
    header.extend(roles);
    header.extend(["all hops", "client"].map(str::to_owned));
    if workload.is_bulk() {
        header.push("Gbit/s per core".to_owned());
    }
    header.extend(["TLS adds", "verdict"].map(str::to_owned));
    let hops = longest.map_or(0, |row| row.hops.len());
    let mut table = table(header);
    for row in rows {
        let kinds: Vec<&str> = row.hops.iter().map(|hop| hop.kind.as_str()).collect();
        let mut cells = vec![row.placement.clone(), kinds.join(" · ")];
        cells.extend(row.hops.iter().map(of_hop));
        cells.resize(2 + hops, NOTHING.to_owned());
        cells.push(beside(&micros(row.total.as_ref()), row.busy));
        cells.push(beside(&micros(row.client.as_ref()), row.client_busy));
        if workload.is_bulk() {
            cells.push(row.gbit_per_core.as_ref().map_or_else(
                || NOTHING.to_owned(),
                |gbit| format!("{:.2} ± {:.2}", gbit.value, (gbit.high - gbit.low) / 2.0),
            ));
        }
        cells.extend(adds(row, record, judged));
        table.add_row(cells);
    }
    table
}

/// What a hop costs, and how busy it was.
pub(super) fn of_hop(hop: &HopCost) -> String {
    beside(&micros(hop.cost.as_ref()), hop.busy)
}

fn beside(cost: &str, busy: Option<f64>) -> String {
    format!("{cost} · {}", percent(busy))
}

fn adds(row: &Row, record: &LabRecord, judged: &Verdicts) -> [String; 2] {
    let twin = record.placement(&row.placement).map(|placement| placement.twin().name);
    let finding = judged.findings.iter().find(|finding| {
        finding.workload == row.workload
            && finding.finding.name == row.placement
            && Some(&finding.finding.against) == twin.as_ref()
    });
    match finding.map(|finding| &finding.finding) {
        Some(pair) => {
            let word = format!("{} ({})", pair.verdict, ratio(pair.ratio.as_ref()));
            [micros(pair.difference.as_ref()), word]
        }
        None => [NOTHING.to_owned(), "is a twin".to_owned()],
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
