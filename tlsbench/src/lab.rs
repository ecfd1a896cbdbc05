//! Placements on this machine: put up, measured and recorded, for every verb that needs it.

mod certificates;
mod engines;
mod limits;
mod passes;
mod rate_trial;
mod request;
mod run_dir;
mod testbed;
mod writer;

use std::sync::Arc;

use anyhow::Context as _;
use tlsbench_core::lab::LabRequest;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_engine::run::{CutShort, Stop};

use crate::progress::StepProgress;
use crate::record_file::{KeptRecord, free_path};
use crate::scenario::refused;
use crate::settings::RunSettings;
use crate::signals::stop_on_signals;

use engines::EngineSet;
use passes::{LabPasses, MilestoneText};
use run_dir::RunDir;
use testbed::Testbed;
use writer::LabRecordWriter;

pub(crate) use passes::Milestone;
pub(crate) use rate_trial::{RateTrial, RateTrials, TrialOutcome};
pub(crate) use request::{asked, is_of_placements};

/// Measures a lab.
pub(crate) fn measured(
    asked: &LabRequest,
    settings: &RunSettings,
    tell: MilestoneText<'_>,
) -> anyhow::Result<KeptRecord<LabRecord>> {
    let lab = &asked.lab;
    // It may be another than was asked for, as a verb needs it.
    let problems = lab.problems();
    if !problems.is_empty() {
        return Err(refused("this", &problems));
    }
    let engines = EngineSet::find(lab)?;
    let started = jiff::Timestamp::now();
    let path = settings.record.clone().unwrap_or_else(|| free_path(started));
    let run_dir = RunDir::prepare(path)?;
    let measured = measured_in(asked, engines, &run_dir, started, (settings, tell));
    measured.inspect_err(|error| run_dir.clear(error))
}

fn measured_in(
    asked: &LabRequest,
    engines: EngineSet,
    run_dir: &RunDir,
    started: jiff::Timestamp,
    (settings, tell): (&RunSettings, MilestoneText<'_>),
) -> anyhow::Result<KeptRecord<LabRecord>> {
    let lab = &asked.lab;
    let testbed =
        Testbed::prepare(asked, &run_dir.folder, engines)?.until(settings.flags.timeout.run);
    limits::open_files(lab, &testbed.files)?;
    let stop = Arc::new(Stop::new());
    stop_on_signals(&stop).context("cannot listen for signals")?;
    let mut writer = LabRecordWriter::new(lab, started, run_dir, &testbed);
    writer.note_all(&testbed.notes());
    let passes =
        LabPasses { lab, testbed: &testbed, stop: &stop, shown: StepProgress::new("slices"), tell };
    let ran = passes.run(&mut writer);
    if writer.is_empty()
        && let Err(error) = ran
    {
        return Err(error);
    }
    run_dir.keep();
    let kept = writer.finish(interrupted(&ran));
    if let Err(error) = ran {
        if let Some(failed) = kept.failed {
            return Err(failed);
        }
        let path = run_dir.record.display();
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
