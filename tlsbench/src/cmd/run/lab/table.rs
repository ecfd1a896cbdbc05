//! What a run over placements says of itself.

mod cells;
mod cpu;
mod early;
mod idle;
mod latency;

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use tlsbench_core::plan::lab::Lab;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::verdicts::Verdicts;

use crate::cmd::build;

pub(super) use early::{first, span};

/// The placements, drawn.
pub(super) fn pictures(lab: &Lab) -> String {
    let width = lab.placements.iter().map(|placement| placement.name.len()).max().unwrap_or(0);
    let line = |name: &str, picture: &str| format!("{name:width$}  {picture}\n");
    lab.placements.iter().map(|one| line(&one.name, &one.to_string())).collect()
}

/// The result for people.
pub(super) fn text(record: &LabRecord, judged: &Verdicts, path: &Path) -> String {
    let mut text = cpu::text(record, judged);
    if let Some(latency) = &judged.latency {
        text.push_str(&latency::text(record, latency));
    }
    text.push_str(&idle::text(record));
    for gate in &judged.gates {
        let of = gate.target.as_ref().map(|target| format!(" of {target}")).unwrap_or_default();
        let spoils: Vec<&str> = gate.spoils.iter().map(|family| family.as_str()).collect();
        let spoils = spoils.join(", ");
        text.push_str(&format!(
            "invalid{of} ({}; no verdict on {spoils}): {}\n",
            gate.name, gate.warning
        ));
    }
    for note in &record.notes {
        text.push_str(&format!("note: {}\n", note.text));
    }
    for note in stand_ins(record) {
        text.push_str(&format!("note: {note}\n"));
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

/// What hops do in another way than was asked for, each once, with the first hop that does it.
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
CPU time per operation falls as hops have more to do: compare figures of one loop only.
on loopback the kernel charges the receiving of packets to whoever sends them.
";
