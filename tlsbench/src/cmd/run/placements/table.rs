//! The summary of a run over placements.

mod cells;
mod cpu;
mod early;
mod idle;
mod latency;

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use tlsbench_core::lab::Lab;
use tlsbench_core::record::lab::{LabRecord, Receiving};
use tlsbench_core::scenario::ProtocolName;
use tlsbench_core::verdicts::Verdicts;
use tlsbench_core::warning::{Gate, Warning};

use crate::build;
use crate::cmd::flags;

pub(super) use early::{first, span};

/// The placements, drawn.
pub(super) fn pictures(lab: &Lab) -> String {
    let width = lab.placements.iter().map(|placement| placement.name.len()).max().unwrap_or(0);
    let line = |name: &str, picture: &str| format!("{name:width$}  {picture}\n");
    lab.placements.iter().map(|one| line(&one.name, &one.to_string())).collect()
}

/// The result for people, in tables of so many columns of characters at most.
pub(super) fn text(
    record: &LabRecord,
    judged: &Verdicts,
    path: &Path,
    columns: u16,
    has_file: bool,
) -> String {
    let mut text = pictures(&record.lab) + "\n";
    text.push_str(&cpu::text(record, judged, columns));
    if let Some(latency) = &judged.latency {
        text.push_str(&latency::text(record, latency, columns));
    }
    text.push_str(&idle::text(record, columns));
    // Gates before notes: they say which of the figures above mean nothing.
    text.push_str(&flags::named(&gates(&judged.gates), has_file));
    for note in &record.notes {
        text.push_str(&format!("note: {}\n", note.text));
    }
    for note in stand_ins(record) {
        text.push_str(&format!("note: {note}\n"));
    }
    text.push_str(CAVEAT_OF_LOOPS);
    text.push_str(caveat_of_receiving(record));
    if record.lab.protocol == ProtocolName::Http2 {
        text.push_str(CAVEAT_OF_HTTP2);
    }
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

/// Gates of one sort together, with what was seen of each target.
fn gates(gates: &[Gate]) -> String {
    let mut text = String::new();
    let mut sorts: Vec<&Gate> = Vec::new();
    for gate in gates {
        let is_known = |sort: &&Gate| is_alike(sort, gate);
        if !sorts.iter().any(is_known) {
            sorts.push(gate);
        }
    }
    for sort in sorts {
        let spoils: Vec<&str> = sort.spoils.iter().map(|family| family.as_str()).collect();
        let Warning { cause, cure, .. } = &sort.warning;
        text.push_str(&format!(
            "invalid ({}; no verdict on {}), likely because {cause}; {cure}\n",
            sort.name,
            spoils.join(", ")
        ));
        for gate in gates.iter().filter(|gate| is_alike(sort, gate)) {
            let of = gate.target.as_ref().map(|target| format!("{target}: ")).unwrap_or_default();
            text.push_str(&format!("  {of}{}\n", gate.warning.seen));
        }
    }
    text
}

fn is_alike(one: &Gate, other: &Gate) -> bool {
    let of = |gate: &Gate| (gate.name, gate.warning.cause.clone(), gate.warning.cure.clone());
    of(one) == of(other)
}

/// Lists engines that stand in for others, each note once, with the first hop that has it.
fn stand_ins(record: &LabRecord) -> Vec<String> {
    let mut notes: Vec<(String, &str)> = Vec::new();
    for trial in &record.trials {
        for hop in &trial.hops {
            for note in &hop.notes {
                if notes.iter().all(|(_, known)| known != note) {
                    notes.push((format!("{} of {}", hop.role, trial.target()), note));
                }
            }
        }
    }
    notes.into_iter().map(|(place, note)| format!("{place}: {note}")).collect()
}

/// Says whose CPU time the receiving of packets is.
fn caveat_of_receiving(record: &LabRecord) -> &'static str {
    match (record.lab.netns, record.receiving) {
        (true, Receiving::Receiver) => {
            "hops are in network namespaces: each is charged for the packets that it receives.\n"
        }
        (true, Receiving::Sender) => {
            "hops are in network namespaces, and the receiving of packets is charged to whoever sends them.\n"
        }
        (false, _) => {
            "on loopback the kernel charges the receiving of packets to whoever sends them.\n"
        }
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

/// The limits of figures over HTTP/2.
const CAVEAT_OF_HTTP2: &str =
    "clients speak HTTP/2 over TLS and else HTTP/1.1, so what TLS adds includes the protocol.\n";
/// The limits of figures of closed loops.
const CAVEAT_OF_LOOPS: &str =
    "CPU time per operation falls as hops have more to do: compare figures of one loop only.\n";

#[cfg(test)]
mod tests {
    use tlsbench_core::verdicts::verdicts;
    use tlsbench_core::warning::Family;

    use super::*;

    #[test]
    fn tables_are_as_wide_as_a_page_and_no_figure_is_broken() {
        let record = include_str!("../../../../../tests/fixtures/report/placements.json");
        let record = LabRecord::from_json(record).unwrap();
        let told = text(&record, &verdicts(&record), Path::new("run.json"), 120, true);
        // Targets of gates stand behind two spaces, and what a cell had no room for behind many.
        let rows = told.lines().filter(|line| line.starts_with(' '));
        let rows: Vec<&str> = rows.filter(|line| line.find(|c| c != ' ') != Some(2)).collect();
        assert!(rows.len() > 20, "{told}");
        for row in rows {
            assert!(row.chars().count() <= 120, "{row}");
            assert!(!row.starts_with("  "), "{row}\nin\n{told}");
        }
    }

    #[test]
    fn gates_of_one_sort_share_their_cause_and_cure() {
        let gate = |name, target: &str, cause: &str| Gate {
            name,
            target: Some(target.to_owned()),
            warning: Warning {
                seen: format!("{target} is late"),
                cause: cause.to_owned(),
                cure: "wait".to_owned(),
            },
            spoils: &[Family::Latency],
        };
        let all =
            [gate("lag", "a", "noise"), gate("steady", "a", "heat"), gate("lag", "b", "noise")];
        let told = gates(&all);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "invalid (lag; no verdict on latency), likely because noise; wait",
                "  a: a is late",
                "  b: b is late",
                "invalid (steady; no verdict on latency), likely because heat; wait",
                "  a: a is late",
            ]
        );
        assert_eq!(gates(&[]), "");
    }
}
