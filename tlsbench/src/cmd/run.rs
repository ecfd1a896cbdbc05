//! `tlsbench run`: measures endpoints and leaves a record of it.

mod meanwhile;
mod placements;
mod table;
mod writer;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use tlsbench_core::escape::printable;
use tlsbench_core::record::RunRecord;
use tlsbench_core::scenario::{Load, Scenario};
use tlsbench_core::tally::Tally;
use tlsbench_core::warning::{self, Gate, judge};
use tlsbench_engine::run::{self, CutShort, Inputs, Progress, Stop};

use super::answer::Answer;
use super::terminal;
use crate::exit::Exit;
use crate::lab::is_of_placements;
use crate::progress::RunProgress;
use crate::record_file::{KeptRecord, free_path};
use crate::scenario::scenario;
use crate::settings::{LabSettings, OutputFormat, RunSettings};
use crate::signals::stop_on_signals;
use crate::store;

use meanwhile::HostWatch;
use writer::RunRecordWriter;

pub(super) use placements::milestones;

/// Measures what the settings say, or prints it.
pub(super) fn answer(settings: &RunSettings) -> anyhow::Result<Answer> {
    if settings.flags.target.is_none() && is_of_placements(settings) {
        return placements::answer(settings);
    }
    if settings.lab != LabSettings::default() {
        bail!(
            "--placement, --workload, --engine and what else is listed under \"Placements\" are for \
             placements on this machine, and an endpoint is named; leave out one or the other"
        );
    }
    let scenario = scenario(settings, |_| ())?;
    if settings.print_scenario {
        let text = scenario.to_toml().context("cannot print the scenario")?;
        return Ok(Answer::new(text, Exit::Fine));
    }
    let inputs = Inputs::gather(&scenario).context("cannot begin")?;
    let started = jiff::Timestamp::now();
    let path = settings.record.clone().unwrap_or_else(|| free_path(started));
    // A record that cannot be written is found out before anything is measured.
    store::prepare(&path)?;
    let stop = Arc::new(Stop::new());
    stop_on_signals(&stop).context("cannot listen for signals")?;
    let KeptRecord { record, path, failed } =
        measure(&scenario, &inputs, &stop, RunRecordWriter::new(&scenario, started, path)?)?;
    let gates = judge(&record);
    let text = match settings.output {
        OutputFormat::Json => table::json(&record, &gates, &path)?,
        OutputFormat::Table => {
            let (columns, has_file) = (terminal::columns(), settings.scenario.is_some());
            let text = table::text(&scenario, &record, &gates, &path, columns, has_file);
            printable(&text).into_owned()
        }
    };
    let answer = Answer::new(text, exit(&record, &gates));
    Ok(answer.beside(settings.record.as_deref()).failing(failed))
}

/// Measures, and keeps what is measured as it comes.
fn measure(
    scenario: &Scenario,
    inputs: &Inputs,
    stop: &Stop,
    mut writer: RunRecordWriter,
) -> anyhow::Result<KeptRecord<RunRecord>> {
    let names = scenario.targets.iter().map(|target| target.name.clone()).collect();
    let mut shown = RunProgress::new(names, scenario.timing.rounds.get());
    // Thousands of connections need as many descriptors, and the soft limit is often 1,024.
    run::raise_open_files();
    // Begun after the inputs are gathered: resolving names and probing addresses is no part of the
    // run.
    let watch = HostWatch::begin(inputs);
    let ran = run::run(scenario, inputs, stop, |progress| {
        shown.notice(&progress);
        match progress {
            Progress::Slice(slice) => {
                // A full disk may have room again at the end; nothing is lost by going on.
                if let Err(error) = writer.take(&slice) {
                    shown.say(&format!("warning: {error:#}; it is tried again at the end"));
                }
            }
            Progress::Note(text) => {
                shown.say(&format!("note: {text}"));
                writer.note(text);
            }
            Progress::StageEnds { target, unanswered } => {
                writer.take_unanswered(target, unanswered);
            }
            Progress::Counts { .. } | Progress::RoundBegins { .. } | Progress::RoundEnds { .. } => {
            }
        }
    });
    writer.note_meanwhile(&watch.end());
    if matches!(scenario.load, Load::Closed { .. }) {
        for note in writer.busy_generators() {
            writer.note(note);
        }
    }
    shown.finish();
    match ran {
        Ok(outcome) => {
            let why = outcome.cut_short.map(|cut| cut_short(cut, &outcome.unmeasured, &writer));
            Ok(writer.finish(why.as_deref()))
        }
        Err(error) if writer.is_empty() => Err(error).context("cannot measure"),
        Err(error) => {
            let why = format!("it failed: {:#}", anyhow::Error::msg(error.to_string()));
            let KeptRecord { path, failed, .. } = writer.finish(Some(&why));
            if let Some(failed) = failed {
                return Err(failed);
            }
            let path = path.display();
            Err(error).with_context(|| format!("cannot go on; what was measured is in `{path}`"))
        }
    }
}

/// Says why a run ended before its time, and what failed where the rounds do not tell it.
fn cut_short(cut: CutShort, unmeasured: &Tally, writer: &RunRecordWriter) -> String {
    let (why, tells) = match cut {
        CutShort::Errors => ("too large a share of operations failed", true),
        // Only trials of a search have a goal, and they leave no record.
        CutShort::Futile { .. } => ("its goal was out of reach", writer.is_empty()),
        CutShort::Stopped => ("it was asked to stop", writer.is_empty()),
        CutShort::Time => ("it took as long as `--max-time` allows", writer.is_empty()),
    };
    let failed = unmeasured.failed.values().copied().fold(0, u64::saturating_add);
    let most = unmeasured.failed.iter().max_by_key(|(_, count)| **count);
    let Some((failure, count)) = most.filter(|_| tells) else { return why.to_owned() };
    let all = failed.saturating_add(unmeasured.succeeded);
    format!(
        "{why}; in the warm-up {failed} of {all} failed, {count} by `{}`: {}",
        failure.as_str(),
        warning::cure(*failure)
    )
}

fn exit(record: &RunRecord, gates: &[Gate]) -> Exit {
    let succeeded: u64 =
        record.targets.iter().flat_map(|target| &target.rounds).map(|round| round.succeeded).sum();
    if gates.is_empty() && succeeded > 0 { Exit::Fine } else { Exit::Negative }
}
