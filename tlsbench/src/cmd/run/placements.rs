//! `tlsbench run` without an endpoint: placements on this machine, each beside its twin without
//! TLS.

mod table;

use anyhow::Context as _;
use tlsbench_core::escape::printable;
use tlsbench_core::lab::Lab;
use tlsbench_core::verdicts::{Verdicts, verdicts};

use crate::cmd::answer::Answer;
use crate::cmd::{report, terminal};
use crate::exit::Exit;
use crate::lab::{self, Milestone};
use crate::record_file::KeptRecord;
use crate::settings::{OutputFormat, RunSettings};

/// Measures placements, or shows them.
pub(super) fn answer(settings: &RunSettings) -> anyhow::Result<Answer> {
    let asked = lab::asked(settings)?;
    if settings.print_scenario {
        let text = asked.to_toml().context("cannot print the scenario")?;
        return Ok(Answer::new(text, Exit::Fine));
    }
    if settings.lab.show {
        let text = printable(&table::pictures(&asked.lab)).into_owned();
        return Ok(Answer::new(text, Exit::Fine));
    }
    let KeptRecord { record, path, mut failed } =
        lab::measured(&asked, settings, &milestones(settings.output))?;
    let judged = verdicts(&record);
    // A page that cannot be written takes the table with it as little as a record does.
    let page = report::page(&record, &path).unwrap_or_else(|error| {
        failed.get_or_insert(error);
        None
    });
    let text = match settings.output {
        OutputFormat::Json => table::json(&record, &judged, &path)?,
        OutputFormat::Table => {
            let (columns, has_file) = (terminal::columns(), settings.scenario.is_some());
            let mut text = table::text(&record, &judged, &path, columns, has_file);
            if let Some(page) = page {
                text.push_str(&format!("report: {}\n", page.display()));
            }
            printable(&text).into_owned()
        }
    };
    let answer = Answer::new(text, exit(&asked.lab, &judged));
    Ok(answer.beside(settings.record.as_deref()).failing(failed))
}

/// The words for people at a milestone, where they read along.
pub(in crate::cmd) fn milestones(output: OutputFormat) -> impl Fn(Milestone<'_>) -> Option<String> {
    move |milestone| match (output, milestone) {
        (OutputFormat::Json, _) => None,
        (OutputFormat::Table, Milestone::Begins { lab }) => Some(table::span(lab)),
        (OutputFormat::Table, Milestone::Piloted { lab, pilot, after }) => {
            Some(table::first(lab, pilot, after, terminal::columns()))
        }
    }
}

fn exit(lab: &Lab, judged: &Verdicts) -> Exit {
    let has_all = judged.rows.iter().all(|row| row.operations > 0)
        && judged.latency.is_some() == lab.latency.is_some();
    if judged.gates.is_empty() && has_all { Exit::Fine } else { Exit::Negative }
}
