//! Times of operations at one rate, phase by phase.

use tlsbench_core::compare::Verdict;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::report::ADDED_TO_MEDIANS;
use tlsbench_core::tally::Phase;
use tlsbench_core::verdicts::{Latency, LatencyRow};

use super::cells::{NOTHING, micros, percent, ratio, signed, table};

/// Medians of all phases, what TLS adds to each of them, and what is found of whole operations.
pub(super) fn text(record: &LabRecord, latency: &Latency, columns: u16) -> String {
    let mut text = format!(
        "latency at {:.0} connections per second, evenly spread, of all placements: medians, µs, with \
         95 % intervals\n",
        latency.rate
    );
    let mut header = vec!["placement".to_owned()];
    header.extend(PHASES.map(|(_, name)| name.to_owned()));
    header.extend(["p99", "busy"].map(str::to_owned));
    let mut medians = table(header, columns);
    for row in &latency.rows {
        let mut cells = vec![row.placement.clone()];
        cells.extend(PHASES.map(|(phase, _)| median(row, phase)));
        let whole = row.phases.iter().find(|time| time.phase == WHOLE.as_str());
        let p99 = whole.and_then(|time| time.p99_not_judged);
        cells.push(p99.map_or_else(|| NOTHING.to_owned(), |p99| format!("{p99:.0}")));
        cells.push(percent(row.busy));
        medians.add_row(cells);
    }
    text.push_str(&medians.trim_fmt());
    text.push_str(&format!(
        "\np99: the 99th percentile of the whole, not judged, because generator and hops share a \
         machine; busy: all hops\n\n{ADDED_TO_MEDIANS}\n"
    ));
    text.push_str(&added(record, latency, columns));
    text.push('\n');
    for found in latency.findings.iter().filter(|found| found.phase == WHOLE.as_str()) {
        let pair = &found.finding;
        let words = format!("{} beside {}", pair.name, pair.against);
        let ratio = ratio(pair.ratio.as_ref());
        text.push_str(&format!("{words}: {ratio} ({})\n", word(pair.verdict)));
    }
    text.push('\n');
    text
}

fn median(row: &LatencyRow, phase: Phase) -> String {
    let time = row.phases.iter().find(|time| time.phase == phase.as_str());
    micros(time.and_then(|time| time.p50.as_ref()))
}

fn added(record: &LabRecord, latency: &Latency, columns: u16) -> String {
    let mut header = vec!["placement".to_owned()];
    header.extend(PHASES.map(|(_, name)| name.to_owned()));
    let mut table = table(header, columns);
    for row in &latency.rows {
        let twin = record.placement(&row.placement).map(|placement| placement.twin().name);
        let found = |phase: Phase| {
            latency.findings.iter().find(|found| {
                found.phase == phase.as_str()
                    && found.finding.name == row.placement
                    && Some(&found.finding.against) == twin.as_ref()
            })
        };
        if found(WHOLE).is_none() {
            continue;
        }
        let difference = |phase| found(phase).and_then(|found| found.finding.difference);
        let mut cells = vec![row.placement.clone()];
        cells.extend(PHASES.map(|(phase, _)| signed(difference(phase).as_ref())));
        table.add_row(cells);
    }
    table.trim_fmt()
}

/// Words a verdict on times.
fn word(verdict: Verdict) -> String {
    match verdict {
        Verdict::CostsLess => "takes less time".to_owned(),
        Verdict::CostsMore => "takes longer".to_owned(),
        Verdict::CannotTell { .. } | Verdict::Equal { .. } | Verdict::Inconclusive { .. } => {
            verdict.to_string()
        }
    }
}

/// The phases, as people call them.
const PHASES: [(Phase, &str); 6] = [
    (Phase::Connect, "TCP connect"),
    (Phase::Handshake, "TLS"),
    (Phase::Confirmed, "confirmed"),
    (Phase::FirstByte, "first byte"),
    (Phase::LastByte, "last byte"),
    (WHOLE, "whole"),
];
const WHOLE: Phase = Phase::Corrected;
