//! The results: as a Markdown table, or as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::Size;

/// One runner at one size.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) namespaces: usize,
    pub(crate) certificates: usize,
    pub(crate) runner: &'static str,
    /// Rotations of which the other values are medians.
    pub(crate) rounds: usize,
    /// Targets that were written, each once, when time was up or all were.
    pub(crate) written: usize,
    /// Targets a second, from the change of the source to the last answer.
    pub(crate) rate: f64,
    /// The rate divided by that of the bare loop.
    pub(crate) rate_to_bare: f64,
    /// CPU time of the runner for each target written, in milliseconds.
    pub(crate) cpu_per_target_ms: f64,
    /// CPU time of the runner for each namespace that was annotated, in milliseconds.
    pub(crate) cpu_per_annotation_ms: Option<f64>,
    /// The most memory resident, in bytes.
    pub(crate) memory_peak: Option<u64>,
}

impl Row {
    /// The medians of these rounds; the rate to the bare loop's is still to be filled in.
    pub(crate) fn of(size: Size, runner: &'static str, rounds: &[Round]) -> Self {
        let median_of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value).collect());
        let annotations: Vec<f64> = rounds.iter().filter_map(|round| round.annotation_ms).collect();
        Self {
            namespaces: size.namespaces,
            certificates: size.certificates,
            runner,
            rounds: rounds.len(),
            written: rounds.iter().map(|round| round.written).min().unwrap_or_default(),
            rate: median_of(&|round| round.written as f64 / round.wall.as_secs_f64()),
            rate_to_bare: f64::NAN,
            cpu_per_target_ms: median_of(&|round| {
                round.cpu.as_secs_f64() * 1000.0 / round.written as f64
            }),
            cpu_per_annotation_ms: (!annotations.is_empty()).then(|| median(annotations)),
            memory_peak: rounds.iter().filter_map(|round| round.memory_peak).max(),
        }
    }
}

/// One rotation by one runner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) written: usize,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) annotation_ms: Option<f64>,
    pub(crate) memory_peak: Option<u64>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        at(middle)
    } else {
        f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
    }
}

/// The table.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text =
        "| namespaces × certificates | runner | targets/s | to the bare loop | CPU per target | \
                    CPU per annotated namespace | memory, peak |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    let mut limited = false;
    for row in rows {
        let stopped = row.written < row.namespaces;
        limited |= stopped;
        let mark = if stopped { "*" } else { "" };
        let annotation =
            row.cpu_per_annotation_ms.map_or("–".to_owned(), |value| format!("{value:.2} ms"));
        let memory = row
            .memory_peak
            .map_or("–".to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6));
        // Writing into a text never fails.
        let _ = writeln!(
            text,
            "| {} × {} | {} | {:.1}{mark} | {:.3} | {:.3} ms{mark} | {annotation} | {memory} |",
            row.namespaces,
            row.certificates,
            row.runner,
            row.rate,
            row.rate_to_bare,
            row.cpu_per_target_ms,
        );
    }
    if limited {
        text +=
            "\n\\* stopped at the time limit: extrapolated from the targets written until then (";
        let written: Vec<String> = rows
            .iter()
            .filter(|row| row.written < row.namespaces)
            .map(|row| format!("{} of {}", row.written, row.namespaces))
            .collect();
        text += &written.join(", ");
        text += ")\n";
    }
    text
}

/// The same as JSON.
pub(crate) fn json(rows: &[Row]) -> Result<String> {
    Ok(serde_json::to_string_pretty(rows)? + "\n")
}
