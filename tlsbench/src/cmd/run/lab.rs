//! `tlsbench run` without an endpoint: placements on this machine, each beside its twin without TLS.

mod ask;
mod certificates;
mod engines;
mod keep;
mod limits;
mod passes;
mod place;
mod site;
mod standing;
mod table;

use std::sync::Arc;

use anyhow::Context as _;
use tlsbench_core::escape::printable;
use tlsbench_core::lab::{Lab, LabRequest};
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::verdicts::{Verdicts, verdicts};
use tlsbench_engine::run::{CutShort, Stop};

use super::keep::Kept;
use super::{free_path, refused, stop_on_signals};
use crate::cmd::answer::Answer;
use crate::cmd::{report, terminal};
use crate::exit::Exit;
use crate::progress::StepProgress;
use crate::settings::{Output, Run};

use engines::Engines;
use keep::Keeper;
use passes::Passes;
use place::Place;
use site::Site;

pub(super) use ask::asked;
pub(in crate::cmd) use ask::is_of_placements;
pub(in crate::cmd) use standing::{Standing, TrialPlan, Tried};

/// Measures placements, or shows them.
pub(super) fn answer(settings: &Run) -> anyhow::Result<Answer> {
    let asked = asked(settings)?;
    if settings.print_scenario {
        let text = asked.to_toml().context("cannot print the scenario")?;
        return Ok(Answer::new(text, Exit::Fine));
    }
    if settings.lab.show {
        let text = printable(&table::pictures(&asked.lab)).into_owned();
        return Ok(Answer::new(text, Exit::Fine));
    }
    let Kept { record, path, mut failed } = measured(&asked, settings)?;
    let judged = verdicts(&record);
    let page = report::page(&record, &path).unwrap_or_else(|error| {
        failed.get_or_insert(error);
        None
    });
    let text = match settings.output {
        Output::Json => table::json(&record, &judged, &path)?,
        Output::Table => {
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

/// Measures a lab.
pub(super) fn measured(asked: &LabRequest, settings: &Run) -> anyhow::Result<Kept<LabRecord>> {
    let lab = &asked.lab;
    // It may be another than was asked for, as a verb needs it.
    let problems = lab.problems();
    if !problems.is_empty() {
        return Err(refused("this", &problems));
    }
    let engines = Engines::find(lab)?;
    let started = jiff::Timestamp::now();
    let path = settings.record.clone().unwrap_or_else(|| free_path(started));
    let place = Place::prepare(path)?;
    let measured = measured_at(asked, engines, &place, started, settings);
    measured.inspect_err(|error| place.clear(error))
}

fn measured_at(
    asked: &LabRequest,
    engines: Engines,
    place: &Place,
    started: jiff::Timestamp,
    settings: &Run,
) -> anyhow::Result<Kept<LabRecord>> {
    let lab = &asked.lab;
    let site = Site::prepare(asked, &place.folder, engines)?.until(settings.flags.timeout.run);
    limits::open_files(lab, &site.files)?;
    let stop = Arc::new(Stop::new());
    stop_on_signals(&stop).context("cannot listen for signals")?;
    let mut keeper = Keeper::new(lab, started, place, &site);
    keeper.note_all(&site.notes());
    let passes = Passes {
        lab,
        site: &site,
        stop: &stop,
        shown: StepProgress::new("slices"),
        tells: settings.output == Output::Table,
    };
    let ran = passes.run(&mut keeper);
    if keeper.is_empty()
        && let Err(error) = ran
    {
        return Err(error);
    }
    place.keep();
    let kept = keeper.finish(interrupted(&ran));
    if let Err(error) = ran {
        if let Some(failed) = kept.failed {
            return Err(failed);
        }
        let path = place.record.display();
        return Err(error).with_context(|| format!("what was measured is in `{path}`"));
    }
    Ok(kept)
}

fn interrupted(ran: &anyhow::Result<Option<CutShort>>) -> Option<String> {
    match ran {
        Ok(None) => None,
        Ok(Some(CutShort::Stopped)) => Some("it was asked to stop".to_owned()),
        Ok(Some(CutShort::Errors)) => Some("too large a share of operations failed".to_owned()),
        // Only trials of a search have a goal, and they leave no record.
        Ok(Some(CutShort::Futile { .. })) => Some("its goal was out of reach".to_owned()),
        Ok(Some(CutShort::Time)) => Some("it took as long as `--max-time` allows".to_owned()),
        Err(error) => Some(format!("it failed: {error:#}")),
    }
}

fn exit(lab: &Lab, judged: &Verdicts) -> Exit {
    let has_all = judged.rows.iter().all(|row| row.operations > 0)
        && judged.latency.is_some() == lab.latency.is_some();
    if judged.gates.is_empty() && has_all { Exit::Fine } else { Exit::Negative }
}
