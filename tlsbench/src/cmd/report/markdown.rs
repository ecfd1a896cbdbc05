//! A report as Markdown: a document that a team can publish as it is.

mod lab;
mod syntax;

use std::collections::BTreeMap;

use tlsbench_core::record::Environment;
use tlsbench_core::report::{
    ALL_GATES_PASS, GateReport, PhaseReport, QUANTILES, Report, RunReport, SPOILED_FIGURES,
    TargetReport, number, per_second, time,
};
use tlsbench_core::tally::Phase;

use super::{METHOD, shell};
use syntax::{MarkdownTable, code, fenced, plain};

/// The report as Markdown.
pub(super) fn write(report: &Report) -> String {
    let mut text = String::from("# tlsbench report\n");
    report.labs.iter().for_each(|lab| text.push_str(&lab::chapter(lab)));
    if !report.runs.is_empty() {
        text.push_str(if report.labs.is_empty() { "\n" } else { "\n## Endpoints\n\n" });
        text.push_str(&summary(report));
        text.push_str(&gates(report));
        text.push_str(&latency(report));
        text.push_str(&shape(report));
        text.push_str(&failures(report));
        text.push_str(&environment(report));
        text.push_str(&method(report));
    }
    text.push_str(&format!("\nMade by {} from {}.\n", plain(&report.program), files(report)));
    text
}

/// Each target of each run.
fn rows(report: &Report) -> impl Iterator<Item = (&RunReport, &TargetReport)> {
    report.runs.iter().flat_map(|run| run.targets.iter().map(move |target| (run, target)))
}

fn summary(report: &Report) -> String {
    let mut table = MarkdownTable::new([
        "record",
        "target",
        "per second (95 %)",
        "rounds",
        "CPU per operation (95 %)",
        "handshake p50",
        "p50",
        "p99",
        "failed",
        "missed",
        "unanswered",
        "no verdict on",
    ]);
    for (run, target) in rows(report) {
        let at = |phase: Option<&PhaseReport>, name| {
            let found = phase.and_then(|phase| phase.quantile(name));
            found.map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        let spoiled: Vec<&str> = target.spoiled.iter().map(|family| family.as_str()).collect();
        table.row([
            plain(&run.record),
            plain(&target.name),
            per_second(target.operations_per_second.as_ref()),
            rounds(target),
            time(target.cpu_ns_per_operation.as_ref()),
            at(target.phase(Phase::Confirmed), "p50"),
            at(target.latency(), "p50"),
            at(target.latency(), "p99"),
            number(target.failed),
            number(target.missed),
            number(target.unanswered.operations),
            if spoiled.is_empty() { "-".to_owned() } else { spoiled.join(", ") },
        ]);
    }
    let mut text = table.to_string();
    text.push_str(
        "\nCPU is that of the load generator. Latencies of open loops count from when an operation \
         should have begun.\n",
    );
    for run in &report.runs {
        if let Some(why) = run.interrupted.as_ref().filter(|_| !run.complete) {
            let (record, why) = (plain(&run.record), plain(why));
            text.push_str(&format!(
                "\n**{record} ended before its time**: {why}. What was measured until then is \
                 shown.\n"
            ));
        }
    }
    text
}

fn rounds(target: &TargetReport) -> String {
    match target.untimed_rounds {
        0 => target.rounds.to_string(),
        untimed => format!("{} of {}", target.rounds - untimed.min(target.rounds), target.rounds),
    }
}

fn gates(report: &Report) -> String {
    let mut text = String::from("\n## Gates\n\n");
    let mut table = MarkdownTable::new(["record"].into_iter().chain(GATES));
    for (run, gate) in report.runs.iter().flat_map(|run| run.gates.iter().map(move |g| (run, g))) {
        table.row([plain(&run.record)].into_iter().chain(gate_cells(gate)));
    }
    if table.is_empty() {
        text.push_str(&format!("{ALL_GATES_PASS}\n"));
    } else {
        text.push_str(&table.to_string());
        text.push_str(&format!("\n{SPOILED_FIGURES}\n"));
    }
    text
}

fn latency(report: &Report) -> String {
    let mut text = String::from("\n## Latency by phase\n\n");
    let header = ["record", "target", "phase", "count"];
    let mut table =
        MarkdownTable::new(header.into_iter().chain(QUANTILES.into_iter().map(|(name, _)| name)));
    for (run, target) in rows(report) {
        for phase in &target.phases {
            let fixed =
                [plain(&run.record), plain(&target.name), plain(phase.phase), number(phase.count)];
            table.row(fixed.into_iter().chain(phase.quantiles.iter().map(ToString::to_string)));
        }
    }
    text.push_str(&table.or("Nothing was timed.\n"));
    text
}

fn shape(report: &Report) -> String {
    let mut text = String::from("\n## Shape\n\n");
    let mut counts = MarkdownTable::new([
        "record",
        "target",
        "connections",
        "full",
        "resumed",
        "retried",
        "wanted a ticket",
        "early data",
        "bytes read",
        "bytes written",
    ]);
    let mut negotiated = MarkdownTable::new(["record", "target", "negotiated", "connections"]);
    let mut statuses = MarkdownTable::new(["record", "target", "status", "responses"]);
    let mut addresses =
        MarkdownTable::new(["record", "target", "address", "succeeded", "failed", "failed by"]);
    for (run, target) in rows(report) {
        let shape = &target.shape;
        let of = || [plain(&run.record), plain(&target.name)];
        let numbers = [
            target.connections,
            shape.full,
            shape.resumed,
            shape.retried,
            shape.wanted_ticket,
            shape.early_data,
            target.bytes_read,
            target.bytes_written,
        ];
        counts.row(of().into_iter().chain(numbers.map(number)));
        for (what, count) in &shape.negotiated {
            negotiated.row(of().into_iter().chain([plain(what), number(*count)]));
        }
        for (status, count) in target.notable_statuses() {
            statuses.row(of().into_iter().chain([status.to_string(), number(count)]));
        }
        for (address, ended) in target.by_address() {
            let numbers = [number(ended.succeeded), number(ended.failed), plain(&ended.why())];
            addresses.row(of().into_iter().chain([address.to_string()]).chain(numbers));
        }
    }
    text.push_str(&counts.to_string());
    for table in [negotiated, statuses, addresses].iter().filter(|table| !table.is_empty()) {
        text.push_str(&format!("\n{table}"));
    }
    text
}

fn failures(report: &Report) -> String {
    let mut text = String::from("\n## Failures\n\n");
    let mut table = MarkdownTable::new(["record", "target", "why", "operations"]);
    for (run, target) in rows(report) {
        for (why, count) in target.failures_in_detail() {
            table.row([plain(&run.record), plain(&target.name), plain(&why), number(count)]);
        }
    }
    text.push_str(&table.or("None.\n"));
    text
}

fn environment(report: &Report) -> String {
    let mut text = String::from("\n## Environment\n\n");
    let mut table = MarkdownTable::new(["record", "generator"].into_iter().chain(ENVIRONMENT));
    for run in &report.runs {
        for (index, of) in run.environments.iter().enumerate() {
            let fixed = [plain(&run.record), index.to_string()];
            table.row(fixed.into_iter().chain(environment_cells(of)));
        }
    }
    text.push_str(&table.or("Not recorded.\n"));
    text
}

fn environment_cells(of: &Environment) -> [String; 7] {
    let unknown = || "unknown".to_owned();
    let pairs = |all: &BTreeMap<String, String>, between: &str| {
        let pairs = all.iter().map(|(name, value)| format!("{name}{between}{value}"));
        plain(&pairs.collect::<Vec<_>>().join(", "))
    };
    [
        plain(&format!("{} ({})", of.cpu_model, of.architecture)),
        of.cores.to_string(),
        of.smt.map_or_else(unknown, |on| if on { "on" } else { "off" }.to_owned()),
        of.governor.as_deref().map_or_else(unknown, plain),
        plain(&of.kernel),
        pairs(&of.versions, " "),
        pairs(&of.sysctls, "="),
    ]
}

fn gate_cells(gate: &GateReport) -> [String; 6] {
    let spoils: Vec<&str> = gate.spoils.iter().map(|family| family.as_str()).collect();
    [
        gate.target.as_deref().map_or_else(|| "all".to_owned(), plain),
        gate.name.to_owned(),
        spoils.join(", "),
        plain(&gate.seen),
        plain(&gate.cause),
        plain(&gate.cure),
    ]
}

fn method(report: &Report) -> String {
    let mut text = format!("\n## Method\n\n{METHOD}");
    for run in &report.runs {
        text.push_str(&format!("\n### {}\n\n", plain(&run.record)));
        let (program, started, ended) =
            (plain(&run.program), plain(&run.started), plain(&run.ended));
        text.push_str(&format!("By {program}, from {started} to {ended}.\n\n"));
        for note in &run.notes {
            text.push_str(&format!("At {}: {}.\n\n", plain(&note.at), plain(&note.text)));
        }
        for of in &run.environments {
            text.push_str(&fenced("sh", &shell(&of.command)));
        }
        text.push_str("\nThe scenario, with every key said:\n\n");
        text.push_str(&fenced("toml", &run.scenario));
    }
    text
}

fn files(report: &Report) -> String {
    let labs = report.labs.iter().map(|lab| &lab.record);
    let names: Vec<String> =
        labs.chain(report.runs.iter().map(|run| &run.record)).map(|name| code(name)).collect();
    names.join(", ")
}

const GATES: [&str; 6] = ["target", "gate", "no verdict on", "seen", "cause", "cure"];
const ENVIRONMENT: [&str; 7] = ["CPU", "cores", "SMT", "governor", "kernel", "versions", "sysctls"];
