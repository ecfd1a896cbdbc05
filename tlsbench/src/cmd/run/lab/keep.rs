//! The record of a run over placements as it grows.

use std::path::PathBuf;

use anyhow::Context as _;
use tlsbench_core::plan::lab::{ClientFiles, EngineName, Lab, Pass, Workload};
use tlsbench_core::plan::placement::Placement;
use tlsbench_core::record::lab::{HopRecord, HopRound, LabRecord, Others, TrialRecord};
use tlsbench_core::record::{Measured, Note, SCHEMA, TargetRecord};
use tlsbench_core::units::Nanos;
use tlsbench_engine::probe::Other;
use tlsbench_engine::topology::StandingHop;
use tlsbench_engine::trial::Trial;

use super::super::environment;
use super::Site;
use crate::cmd::build;
use crate::store;

/// Keeps what a run measures.
pub(super) struct Keeper {
    record: LabRecord,
    path: PathBuf,
    started: jiff::Timestamp,
    files: ClientFiles,
}

impl Keeper {
    pub(super) fn new(lab: &Lab, started: jiff::Timestamp, path: PathBuf, site: &Site) -> Self {
        let numbers = |cores: &[usize]| {
            cores.iter().filter_map(|core| u32::try_from(*core).ok()).collect::<Vec<u32>>()
        };
        let record = LabRecord {
            schema: SCHEMA,
            kind: LabRecord::KIND.to_owned(),
            program: build::PROGRAM.to_owned(),
            started: started.to_string(),
            ended: started.to_string(),
            complete: false,
            interrupted: Some("the run did not come to its end".to_owned()),
            lab: lab.clone(),
            environment: environment::of_process(),
            notes: Vec::new(),
            generator_cores: numbers(&site.generator_cores),
            hop_cores: numbers(&site.hop_cores),
            others: None,
            pilot: Vec::new(),
            trials: Vec::new(),
            idle: Vec::new(),
        };
        Self { record, path, started, files: site.files.clone() }
    }

    /// Whether nothing was measured yet.
    pub(super) fn is_empty(&self) -> bool {
        self.record.trials.iter().all(|trial| trial.client.rounds.is_empty())
    }

    /// Takes a slice.
    pub(super) fn take(
        &mut self,
        placement: &Placement,
        workload: Workload,
        round: u32,
        measured: &Trial,
        hops: &[StandingHop],
    ) -> anyhow::Result<()> {
        let Some(slice) = &measured.slice else { return Ok(()) };
        let trial = self.trial(placement, workload, hops)?;
        trial.client.push(&Measured {
            round,
            tally: &slice.tally,
            lap: &slice.lap,
            wait_max: Nanos::default(),
        });
        for (hop, used) in trial.hops.iter_mut().zip(&measured.hops) {
            hop.rounds.push(HopRound { round, usage: used.usage, memory: used.memory });
        }
        Ok(())
    }

    fn trial(
        &mut self,
        placement: &Placement,
        workload: Workload,
        hops: &[StandingHop],
    ) -> anyhow::Result<&mut TrialRecord> {
        let LabRecord { trials, lab, .. } = &mut self.record;
        let is_it =
            |trial: &TrialRecord| trial.placement == placement.name && trial.workload == workload;
        let index = match trials.iter().position(is_it) {
            Some(index) => index,
            None => {
                let hops = hops.iter().map(|hop| HopRecord {
                    role: hop.role,
                    kind: hop.kind,
                    engine: hop.engine.parse().unwrap_or(EngineName::Builtin),
                    notes: hop.notes.iter().map(|note| (*note).to_owned()).collect(),
                    rounds: Vec::new(),
                });
                let scenario = lab.scenario(placement, workload, &self.files).ok();
                let scenario = scenario.and_then(|scenario| scenario.redacted().to_toml().ok());
                trials.push(TrialRecord {
                    placement: placement.name.clone(),
                    workload,
                    pass: Pass::Cpu,
                    rate: None,
                    scenario: scenario.context("cannot write a scenario down")?,
                    client: TargetRecord::new(format!("{}/{workload}", placement.name)),
                    hops: hops.collect(),
                });
                trials.len() - 1
            }
        };
        trials.get_mut(index).context("a trial is missing")
    }

    /// Takes notes of what holds for the whole run.
    pub(super) fn note_all(&mut self, texts: &[String]) {
        let at = self.started.to_string();
        let notes = texts.iter().map(|text| Note { at: at.clone(), text: text.clone() });
        self.record.notes.extend(notes);
    }

    /// Takes down who else used the CPUs, the busiest first.
    pub(super) fn note_others(&mut self, others: &[Other]) {
        let Some(top) = others.first() else { return };
        let passed = jiff::Timestamp::now().duration_since(self.started).as_secs_f64();
        let had = passed * f64::from(self.record.environment.cores.max(1));
        let used: f64 = others.iter().map(|other| other.cpu.as_secs_f64()).sum();
        let share = if had > 0.0 { used / had } else { 0.0 };
        self.record.others = Some(Others { share, top: top.name.clone(), top_ns: top.cpu });
    }

    /// Writes what there is.
    pub(super) fn write(&mut self) -> anyhow::Result<()> {
        self.record.ended = jiff::Timestamp::now().to_string();
        Ok(store::write(&self.path, &self.record.to_json()?)?)
    }

    /// Writes the record of a run that ended, or was cut short for a reason.
    pub(super) fn finish(mut self, interrupted: Option<String>) -> anyhow::Result<LabRecord> {
        let order = &self.record.lab;
        let place = |trial: &TrialRecord| {
            let of_placement = order.placements.iter().position(|p| p.name == trial.placement);
            (of_placement, trial.workload)
        };
        let mut trials = std::mem::take(&mut self.record.trials);
        trials.sort_by_key(place);
        self.record.trials = trials;
        self.record.complete = interrupted.is_none();
        self.record.interrupted = interrupted;
        self.write()?;
        Ok(self.record)
    }
}
