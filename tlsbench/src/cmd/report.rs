//! `tlsbench report`: documents from recorded runs, and from nothing else.

mod csv;
mod html;
mod markdown;
mod prometheus;
mod read;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tlsbench_core::escape::printable;
use tlsbench_core::record::lab::{LabRecord, Receiving};
use tlsbench_core::report::{LabReport, Report};

use super::answer::Answer;
use crate::exit::Exit;
use crate::settings::{self, ReportFormat};
use crate::store;

/// Makes the documents; the answer is the document, or where files are.
pub(super) fn answer(settings: &settings::ReportSettings) -> anyhow::Result<Answer> {
    let places = places(settings)?;
    let report = read::report(PROGRAM, &settings.records)?;
    let mut said = String::new();
    // All places were checked before, so that no format is written while another is refused.
    for (format, place) in places {
        let text = document(&report, format)?;
        match place {
            Some(path) => {
                store::write(&path, &text)?;
                said.push_str(&format!("{}\n", path.display()));
            }
            None => said = text,
        }
    }
    Ok(Answer::new(said, Exit::Fine))
}

/// Writes the page of one run over placements beside its record, and says where. `None` if the
/// record is no file, which has no neighbours.
pub(in crate::cmd) fn page(record: &LabRecord, of: &Path) -> anyhow::Result<Option<PathBuf>> {
    if store::is_stream(of) {
        return Ok(None);
    }
    let mut path = of.with_extension(ReportFormat::Html.extension());
    // A record may be called `run.html`, and must not be replaced by its own page.
    if path == of {
        path.as_mut_os_string().push(".html");
    }
    // The page is made from the record alone, exactly as `tlsbench report` would make it later.
    let mut report = Report::new(PROGRAM);
    report.add_lab(of.display().to_string(), record);
    store::write(&path, &document(&report, ReportFormat::Html)?)?;
    Ok(Some(path))
}

fn document(report: &Report, format: ReportFormat) -> anyhow::Result<String> {
    Ok(match format {
        ReportFormat::Csv => csv::write(report)?,
        ReportFormat::Html => printable(&html::write(report)).into_owned(),
        ReportFormat::Json => {
            serde_json::to_string_pretty(report).context("cannot write JSON")? + "\n"
        }
        ReportFormat::Markdown => printable(&markdown::write(report)).into_owned(),
        ReportFormat::Prometheus => prometheus::write(report)?,
    })
}

/// Returns the place of each document; `None` is standard output.
fn places(
    settings: &settings::ReportSettings,
) -> anyhow::Result<Vec<(ReportFormat, Option<PathBuf>)>> {
    let is_single = settings.formats.len() == 1;
    let named = settings.out.as_deref().filter(|out| !store::is_stdout(out));
    let Some(out) = named else {
        if is_single {
            return Ok(settings.formats.iter().map(|format| (*format, None)).collect());
        }
        bail!("several formats need a place: add `--out PATH`, and each gets its ending there");
    };
    if !is_single && store::is_stream(out) {
        bail!("`{}` is no file, and takes one format only; name one", out.display());
    }
    let mut places = Vec::new();
    for &format in &settings.formats {
        let mut place = out.to_owned();
        if !is_single {
            place.as_mut_os_string().push(format!(".{}", format.extension()));
        }
        if settings.records.iter().any(|record| store::is_same(record, &place)) {
            bail!("`{}` is a record of this report; write to another file", place.display());
        }
        if place.is_dir() {
            bail!("`{}` is a directory; name a file in it", place.display());
        }
        places.push((format, Some(place)));
    }
    Ok(places)
}

/// A command line as a shell takes it.
fn shell(arguments: &[String]) -> String {
    // No argument of a process holds the byte 0, which is all that cannot be quoted.
    shlex::try_join(arguments.iter().map(String::as_str)).unwrap_or_else(|_| arguments.join(" "))
}

/// Says how a run over placements was measured.
fn lab_method(lab: &LabReport) -> String {
    let receiving = match (lab.netns, lab.receiving) {
        (true, Receiving::Receiver) => {
            "Each hop was in a network namespace of its own, joined to its neighbours by veth. Packets were \
             received by threads of the kernel, whose CPU time is part of the hop's or the client's that \
             they were for."
        }
        (true, Receiving::Sender) => {
            "Each hop was in a network namespace of its own, joined to its neighbours by veth, and the kernel \
             charged the receiving of packets to whoever sent them."
        }
        (false, _) => {
            "On the loopback interface the kernel charges the receiving of packets to whoever sends them."
        }
    };
    format!("{LAB_METHOD} {receiving}\n")
}

/// The columns of a trial's costs after those of its hops, in each form of the report.
const COST_HEADS: [&str; 7] = [
    "all hops, µs",
    "hops busy",
    "client, µs",
    "cores at 1,000/s",
    "Gbit/s per core",
    "per second",
    "succeeded",
];

/// The method of runs over endpoints.
const METHOD: &str = "\
A round is the unit of analysis: rates are means over rounds and CPU time per operation is a ratio of sums \
over rounds, each with the 95 % interval of Student's t. Rounds of several generators add up. Phases are \
timed in HDR histograms of three digits, all rounds together. In `corrected`, an operation counts from when \
it should have begun, and starts that were missed count as waits of more than was allowed (`>`); `uncorrected` \
counts from when it did begin. On the loopback interface, the receiver's part of the kernel's work is charged \
to the sender.\n";
/// The method of runs over placements.
const LAB_METHOD: &str = "\
A slice is one placement under one workload; a round holds every slice once, in an order of its own, with hops \
that were started afresh. The round is the unit of analysis. CPU time is that of the CPU clocks of all processes \
of a hop, exited threads included, per operation that succeeded: a ratio of sums over rounds. Placements are \
compared in pairs within rounds: the mean difference and the geometric mean of ratios, with 95 % intervals of \
Student's t, from 20 rounds on of the studentised bootstrap. Words follow a rule that was fixed before the run. \
Costs more and costs less need a chance below 5 %, all comparisons of the run taken together (Holm), and an effect \
of at least 2 %; equal within 5 % needs the whole interval there; else it is cannot tell, with the smallest effect \
that would have been seen. There is no verdict where a gate fails or where neighbouring rounds are correlated. \
Loops are closed, so CPU time per operation is that of hops under full load; it is higher under light load. Figures \
of built-in hops do not carry over to other proxies.";
const PROGRAM: &str = concat!("tlsbench ", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests;
