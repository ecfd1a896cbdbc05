//! A report as CSV (RFC 4180): one line for each figure. `docs/report.md` describes the columns.

use std::borrow::Cow;

use anyhow::Context as _;
use csv::{Terminator, Writer, WriterBuilder};
use tlsbench_core::escape::printable_line;
use tlsbench_core::report::{
    BytesEach, EffectReport, GateReport, LabReport, PhaseReport, Report, RunReport, TargetReport,
    TrialReport,
};
use tlsbench_core::stats::Estimate;

/// The report as CSV.
pub(super) fn write(report: &Report) -> anyhow::Result<String> {
    let mut lines = CsvLines {
        to: WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new()),
        of: Default::default(),
        within: Default::default(),
        pass: "",
    };
    // Always with a header, and with the same columns whatever is in the report: programs join such
    // files.
    lines.to.write_record(HEADER)?;
    for lab in &report.labs {
        add_lab(&mut lines, lab)?;
    }
    for run in &report.runs {
        add_run(&mut lines, run)?;
    }
    let bytes = lines.to.into_inner().context("cannot write CSV")?;
    String::from_utf8(bytes).context("cannot write CSV")
}

fn add_lab(lines: &mut CsvLines, lab: &LabReport) -> csv::Result<()> {
    lines.of = [lab.record.clone(), lab.started.clone(), String::new()];
    (lines.within, lines.pass) = (Default::default(), "");
    add_gates(lines, &lab.gates, None)?;
    for trial in &lab.trials {
        lines.of[2].clone_from(&trial.client.name);
        let workload = trial.workload.to_string();
        lines.within = [trial.placement.clone(), workload, String::new(), String::new()];
        lines.pass = trial.pass.as_str();
        add_target(lines, &trial.client, &lab.gates)?;
        add_costs(lines, trial)?;
    }
    for effect in &lab.effects {
        add_effect(lines, effect)?;
    }
    lines.pass = "";
    for row in lab.model.iter().flat_map(|model| &model.rows) {
        lines.of[2].clone_from(&row.placement);
        let (placement, role) = (row.placement.clone(), row.role.to_string());
        lines.within = [placement, String::new(), role, String::new()];
        lines.estimate("model.predicted_cores", "", row.predicted_cores)?;
        lines.figure("", "model.measured_cores", "", &row.measured_cores.to_string(), false)?;
        lines.count("", "model.holds", u64::from(row.holds))?;
    }
    for idle in &lab.idle {
        lines.of[2].clone_from(&idle.placement);
        for hop in &idle.hops {
            let role = hop.role.to_string();
            lines.within = [idle.placement.clone(), String::new(), role, String::new()];
            lines.count("", "idle.connections", idle.connections.into())?;
            lines.count("", "idle.readings", idle.readings.into())?;
            for (statistic, value) in
                [("idle.before_bytes", hop.before_bytes), ("idle.after_bytes", hop.after_bytes)]
            {
                lines.figure("", statistic, "bytes", &value.to_string(), false)?;
            }
            let BytesEach { bytes_per_connection, interval } = hop.each;
            let statistic = "idle.bytes_per_connection";
            match interval {
                Some(_) => lines.estimate(statistic, "bytes", interval)?,
                None => {
                    let each = bytes_per_connection.to_string();
                    lines.figure("", statistic, "bytes", &each, false)?;
                }
            }
        }
    }
    Ok(())
}

/// Adds the costs of hops. A line without a hop is of all together.
fn add_costs(lines: &mut CsvLines, trial: &TrialReport) -> csv::Result<()> {
    lines.estimate("hops.cpu_ns_per_operation", "ns", trial.cpu_ns_per_operation)?;
    lines.estimate("cores_at_1000_per_second", "", trial.cores_at_1000_per_second)?;
    lines.estimate("gbit_per_core", "Gbit/s", trial.gbit_per_core)?;
    lines.share("hops.busy", trial.busy)?;
    lines.share("client_busy", trial.client_busy)?;
    for median in &trial.medians {
        lines.estimate_of(median.phase, "median", "ns", median.p50_ns)?;
    }
    for hop in &trial.hops {
        hop.role.as_str().clone_into(&mut lines.within[2]);
        lines.estimate("cpu_ns_per_operation", "ns", hop.cpu_ns_per_operation)?;
        for (statistic, share) in [("busy", hop.busy), ("user_share", hop.user_share)] {
            lines.share(statistic, share)?;
        }
        lines.figure("", "peak_bytes", "bytes", &hop.peak_bytes.to_string(), false)?;
    }
    lines.within[2].clear();
    Ok(())
}

fn add_effect(lines: &mut CsvLines, effect: &EffectReport) -> csv::Result<()> {
    let EffectReport { placement, workload, against, .. } = effect;
    lines.of[2] = format!("{placement}/{workload}");
    lines.within = [placement.clone(), workload.to_string(), String::new(), against.clone()];
    lines.pass = effect.pass.as_str();
    let phase = effect.phase.unwrap_or_default();
    lines.estimate_of(phase, "difference_ns", "ns", effect.difference_ns)?;
    lines.estimate_of(phase, "ratio", "", effect.ratio)?;
    for (statistic, value) in [
        ("chance", effect.chance),
        ("sign_flip", effect.sign_flip),
        ("autocorrelation", effect.autocorrelation),
    ] {
        if let Some(value) = value {
            lines.figure(phase, statistic, "", &value.to_string(), false)?;
        }
    }
    lines.count(phase, &format!("verdict.{}", effect.verdict), 1)
}

fn add_run(lines: &mut CsvLines, run: &RunReport) -> csv::Result<()> {
    lines.of = [run.record.clone(), run.started.clone(), String::new()];
    (lines.within, lines.pass) = (Default::default(), "");
    add_gates(lines, &run.gates, None)?;
    for target in &run.targets {
        lines.of[2].clone_from(&target.name);
        add_target(lines, target, &run.gates)?;
    }
    Ok(())
}

fn add_gates(lines: &mut CsvLines, gates: &[GateReport], of: Option<&String>) -> csv::Result<()> {
    for gate in gates.iter().filter(|gate| gate.target.as_ref() == of) {
        lines.count("", &format!("gate.{}", gate.name), 1)?;
    }
    Ok(())
}

fn add_target(
    lines: &mut CsvLines,
    target: &TargetReport,
    gates: &[GateReport],
) -> csv::Result<()> {
    add_estimates(lines, target)?;
    add_counts(lines, target)?;
    add_gates(lines, gates, Some(&target.name))?;
    for family in &target.spoiled {
        lines.count("", &format!("spoiled.{}", family.as_str()), 1)?;
    }
    for phase in &target.phases {
        add_phase(lines, phase)?;
    }
    Ok(())
}

fn add_estimates(lines: &mut CsvLines, target: &TargetReport) -> csv::Result<()> {
    lines.estimate("operations_per_second", "1/s", target.operations_per_second)?;
    lines.estimate("connections_per_second", "1/s", target.connections_per_second)?;
    lines.estimate("cpu_ns_per_operation", "ns", target.cpu_ns_per_operation)
}

fn add_counts(lines: &mut CsvLines, target: &TargetReport) -> csv::Result<()> {
    let TargetReport { shape, .. } = target;
    for (statistic, count) in [
        ("rounds", u64::from(target.rounds)),
        ("untimed_rounds", u64::from(target.untimed_rounds)),
        ("succeeded", target.succeeded),
        ("failed", target.failed),
        ("missed", target.missed),
        ("resent", target.resent),
        ("unanswered", target.unanswered.operations),
        ("scheduled", target.scheduled),
        ("connections", target.connections),
        ("closed_by_client", target.closed_by_client),
        ("shape.full", shape.full),
        ("shape.resumed", shape.resumed),
        ("shape.retried", shape.retried),
        ("shape.wanted_ticket", shape.wanted_ticket),
        ("shape.early_data", shape.early_data),
    ] {
        lines.count("", statistic, count)?;
    }
    lines.figure("", "bytes_read", "bytes", &target.bytes_read.to_string(), false)?;
    lines.figure("", "bytes_written", "bytes", &target.bytes_written.to_string(), false)?;
    for (why, count) in &target.failures {
        lines.count("", &format!("failures.{why}"), *count)?;
    }
    for (why, reasons) in &target.reasons {
        for (reason, count) in reasons {
            lines.count("", &format!("reasons.{why}.{reason}"), *count)?;
        }
    }
    for (status, count) in &target.statuses {
        lines.count("", &format!("statuses.{status}"), *count)?;
    }
    // Counts of a single address would only repeat those of the target.
    for (address, ended) in target.by_address() {
        lines.count("", &format!("addresses.{address}.succeeded"), ended.succeeded)?;
        lines.count("", &format!("addresses.{address}.failed"), ended.failed)?;
        for (why, count) in &ended.failures {
            lines.count("", &format!("addresses.{address}.failures.{why}"), *count)?;
        }
    }
    for (what, count) in &shape.negotiated {
        lines.count("", &format!("negotiated.{what}"), *count)?;
    }
    Ok(())
}

fn add_phase(lines: &mut CsvLines, phase: &PhaseReport) -> csv::Result<()> {
    lines.count(phase.phase, "count", phase.count)?;
    for at in &phase.quantiles {
        lines.figure(phase.phase, at.quantile, "ns", &at.ns.0.to_string(), at.at_least)?;
    }
    Ok(())
}

/// The lines so far, and what the next ones are of.
struct CsvLines {
    to: Writer<Vec<u8>>,
    of: [String; 3],
    /// Placement, workload, hop, and what it is compared with.
    within: [String; 4],
    pass: &'static str,
}

impl CsvLines {
    fn count(&mut self, phase: &str, statistic: &str, count: u64) -> csv::Result<()> {
        self.figure(phase, statistic, "", &count.to_string(), false)
    }

    fn estimate(
        &mut self,
        statistic: &str,
        unit: &str,
        estimate: Option<Estimate>,
    ) -> csv::Result<()> {
        self.estimate_of("", statistic, unit, estimate)
    }

    fn share(&mut self, statistic: &str, share: Option<f64>) -> csv::Result<()> {
        match share {
            Some(share) => self.figure("", statistic, "", &share.to_string(), false),
            None => Ok(()),
        }
    }

    fn estimate_of(
        &mut self,
        phase: &str,
        statistic: &str,
        unit: &str,
        estimate: Option<Estimate>,
    ) -> csv::Result<()> {
        // A figure that there is none of has no line.
        let Some(Estimate { value, low, high, .. }) = estimate else { return Ok(()) };
        let numbers = [value, low, high].map(|number| number.to_string());
        self.line([phase, statistic, unit], &numbers, false)
    }

    fn figure(
        &mut self,
        phase: &str,
        statistic: &str,
        unit: &str,
        value: &str,
        at_least: bool,
    ) -> csv::Result<()> {
        let numbers = [value.to_owned(), String::new(), String::new()];
        self.line([phase, statistic, unit], &numbers, at_least)
    }

    fn line(&mut self, what: [&str; 3], numbers: &[String], at_least: bool) -> csv::Result<()> {
        let at_least = if at_least { "true" } else { "false" };
        let words = |text| Cow::Owned(cell(text));
        let of = self.of.iter().map(|text| words(text));
        let numbers = numbers.iter().map(|number| Cow::Borrowed(number.as_str()));
        let within = self.within.iter().map(|text| words(text));
        let what = what.map(|text| Cow::Owned(cell(text)));
        let last = [self.pass].map(Cow::Borrowed);
        let numbers = numbers.chain([Cow::Borrowed(at_least)]);
        let line: Vec<Cow<'_, str>> =
            of.chain(what).chain(numbers).chain(within).chain(last).collect();
        self.to.write_record(line.iter().map(|cell| cell.as_bytes()))
    }
}

/// A cell of words that no spreadsheet takes for a formula: an apostrophe in front makes it text.
/// Numbers do not come here.
fn cell(text: &str) -> String {
    let text = printable_line(text);
    let apostrophe = if text.starts_with(['=', '+', '-', '@', ' ']) { "'" } else { "" };
    format!("{apostrophe}{text}")
}

const HEADER: [&str; 15] = [
    "record",
    "started",
    "target",
    "phase",
    "statistic",
    "unit",
    "value",
    "low",
    "high",
    "at_least",
    "placement",
    "workload",
    "hop",
    "against",
    "pass",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula() {
        for (given, shown) in [
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(1)", "'@SUM(1)"),
            ("\t=1", "' =1"),
            ("\r=1", "' =1"),
            ("a=1\u{202e}", "a=1\\u{202e}"),
            ("", ""),
        ] {
            assert_eq!(cell(given), shown);
        }
    }
}
