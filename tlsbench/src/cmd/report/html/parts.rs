//! Parts that chapters of both kinds of record have: tables, gates, the environment.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use tlsbench_core::record::{Environment, Note};
use tlsbench_core::report::{
    ALL_GATES_PASS, EffectReport, GateReport, QUANTILES, SPOILED_FIGURES, TargetReport, gates_fail,
    number,
};

use super::figure::Picture;

/// A table that scrolls by itself where the page is narrower.
pub(super) fn table(caption: &str, header: &[&str], rows: &[Vec<Cell>]) -> Markup {
    let is_number = |column: usize| {
        rows.iter().any(|row| matches!(row.get(column), Some(Cell::Number(_) | Cell::Faint(_))))
    };
    html! {
        div class="scroll stick" tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr {
                    @for (column, name) in header.iter().enumerate() {
                        th scope="col" class=[is_number(column).then_some("n")] { (name) }
                    }
                } }
                tbody { @for row in rows { tr { @for cell in row { (cell.markup()) } } } }
            }
        }
    }
}

/// A cell of a table.
pub(super) enum Cell {
    /// A figure of which nothing is to be concluded.
    Faint(String),
    /// The head of the row.
    Head(String),
    /// Long words.
    Long(String),
    /// A name, in one piece.
    Name(String),
    /// A figure.
    Number(String),
    /// A few words.
    Text(String),
}

impl Cell {
    fn markup(&self) -> Markup {
        html! {
            @match self {
                Self::Faint(text) => td class="n faint" { (text) },
                Self::Head(text) => th scope="row" { (text) },
                Self::Long(text) => td class="cause" { (prose(text)) },
                Self::Number(text) => td class="n" { (text) },
                Self::Name(text) => td class="name" { (text) },
                Self::Text(text) => td { (text) },
            }
        }
    }
}

/// Pictures beside each other, as many as fit.
pub(super) fn panels(pictures: &[Picture], class: &str) -> Markup {
    html! { div class=(class) { @for picture in pictures { (picture.figure()) } } }
}

/// A table that is shown when it is asked for, and always in print.
pub(super) fn folded(words: &str, table: &Markup) -> Markup {
    html! { details { summary { (words) } (table) } }
}

/// Names the figure of an effect: a workload's CPU time, or a phase of the latency pass.
pub(super) fn compared(effect: &EffectReport) -> String {
    match effect.phase {
        Some(phase) => format!("latency, {phase}"),
        None => effect.workload.to_string(),
    }
}

/// A line that says whether all gates pass.
pub(super) fn state(gates: &[GateReport], anchor: &str) -> Markup {
    html! {
        @if gates.is_empty() {
            p class="state open" { "✓ " (ALL_GATES_PASS) }
        } @else {
            p class="state shut" {
                "✗ " (gates_fail(gates.len())) ": figures that they spoil have no verdict. "
                a href=(format!("#{anchor}")) { "Why, and what to do" }
            }
        }
    }
}

/// Gates that fail, with reason and cure.
pub(super) fn gates(gates: &[GateReport]) -> Markup {
    if gates.is_empty() {
        return html! { p { (ALL_GATES_PASS) } };
    }
    let row = |gate: &GateReport| {
        let spoils: Vec<&str> = gate.spoils.iter().map(|family| family.as_str()).collect();
        vec![
            Cell::Head(gate.name.to_owned()),
            Cell::Name(gate.target.clone().unwrap_or_else(|| "all".to_owned())),
            Cell::Text(spoils.join(", ")),
            Cell::Long(gate.seen.clone()),
            Cell::Long(gate.cause.clone()),
            Cell::Long(gate.cure.clone()),
        ]
    };
    let rows: Vec<Vec<Cell>> = gates.iter().map(row).collect();
    let header = ["gate", "of", "no verdict on", "seen", "likely cause", "cure"];
    table(&format!("Gates that fail. {SPOILED_FIGURES}"), &header, &rows)
}

/// Quantiles of every phase of targets, each with a name. Where generator and hops shared a
/// machine, nothing is to be concluded from tails.
pub(super) fn quantiles<'a>(
    targets: impl IntoIterator<Item = (String, &'a TargetReport)>,
    is_shared: bool,
) -> Markup {
    let mut rows = Vec::new();
    for (name, target) in targets {
        let is_spoiled = target.spoiled.iter().any(|family| family.as_str() == "latency");
        for phase in &target.phases {
            let mut row = vec![
                Cell::Head(name.clone()),
                Cell::Text(phase.phase.to_owned()),
                Cell::Number(number(phase.count)),
            ];
            row.extend(phase.quantiles.iter().map(|at| {
                let is_tail = is_shared && !matches!(at.quantile, "p50" | "p90");
                let time = at.to_string();
                if is_spoiled || is_tail { Cell::Faint(time) } else { Cell::Number(time) }
            }));
            rows.push(row);
        }
    }
    let header = ["of", "phase", "count"].into_iter();
    let header: Vec<&str> = header.chain(QUANTILES.map(|(name, _)| name)).collect();
    if rows.is_empty() {
        return html! { p { "Nothing was timed." } };
    }
    let caption = match is_shared {
        true => {
            "Times by phase; greyed where a gate spoils latencies, and in tails, which are not \
                 judged: generator and hops share a machine."
        }
        false => "Times by phase; greyed where a gate spoils latencies.",
    };
    table(caption, &header, &rows)
}

/// Describes the machine of a run.
pub(super) fn environment(of: &Environment, more: &[(&str, String)]) -> Markup {
    let pairs = |all: &BTreeMap<String, String>, between: &str| {
        let pairs = all.iter().map(|(name, value)| format!("{name}{between}{value}"));
        pairs.collect::<Vec<_>>().join(", ")
    };
    let smt = match of.smt {
        Some(true) => "on",
        Some(false) => "off",
        None => "unknown",
    };
    html! {
        dl {
            dt { "CPU" } dd { (of.cpu_model) " (" (of.architecture) ")" }
            dt { "cores" } dd { (of.cores) ", SMT " (smt) }
            dt { "governor" } dd { (of.governor.as_deref().unwrap_or("unknown")) }
            dt { "kernel" } dd { (of.kernel) }
            dt { "versions" } dd { (pairs(&of.versions, " ")) }
            dt { "sysctls" } dd { (pairs(&of.sysctls, " = ")) }
            @for (name, value) in more { dt { (name) } dd { (value) } }
        }
    }
}

/// Lists the events of a run.
pub(super) fn notes(notes: &[Note], interrupted: Option<&String>) -> Markup {
    html! {
        @if let Some(why) = interrupted {
            p { strong { "It ended before its time: " } (why) ". What was measured until then is shown." }
        }
        @for note in notes { p class="note" { (moment(&note.at)) ": " (prose(&note.text)) "." } }
    }
}

/// Text whose figures keep their unit on their line.
pub(super) fn joined(text: &str) -> String {
    text.replace(" %", "\u{a0}%").replace(" ×", "\u{a0}×").replace(" µs", "\u{a0}µs")
}

/// Text with what stands between backticks as code.
pub(super) fn prose(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return html! { (text) };
    }
    html! {
        @for (index, part) in parts.iter().enumerate() {
            @if index.is_multiple_of(2) { (part) } @else { code { (part) } }
        }
    }
}

/// A time as RFC 3339 has it in UTC, to the minute; any other text as it is.
pub(super) fn moment(text: &str) -> String {
    let parts = text.split_once('T').filter(|(_, time)| time.ends_with('Z'));
    match parts.and_then(|(day, time)| Some((day, time.get(..5)?))) {
        Some((day, minute)) => format!("{day} {minute} UTC"),
        None => text.to_owned(),
    }
}

/// A command line as a shell takes it.
pub(super) fn command(arguments: &[String]) -> Markup {
    html! { pre { code { (super::super::shell(arguments)) } } }
}

/// A text as it stands.
pub(super) fn verbatim(text: &str) -> Markup {
    html! { pre { code { (text.trim_end()) } } }
}

/// The page's own style, which no text of a record is part of.
pub(super) fn style() -> Markup {
    html! { style { (PreEscaped(include_str!("style.css"))) } }
}
