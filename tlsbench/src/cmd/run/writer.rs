//! The record of a run as it grows, in memory and on disk.

use std::path::PathBuf;

use anyhow::Context as _;
use tlsbench_core::record::{HostEvents, Measured, Note, RunRecord, SCHEMA, TargetRecord};
use tlsbench_core::scenario::{Load, Scenario};
use tlsbench_core::units::Nanos;
use tlsbench_core::usage::UnderWay;
use tlsbench_core::warning::{generator_busy, remarks};
use tlsbench_engine::run::Slice;

use crate::record_file::{KeptRecord, RecordFile, UNFINISHED};
use crate::{build, environment};

/// Keeps what a run measures: a process that is killed leaves its rounds behind.
pub(super) struct RunRecordWriter {
    record: RunRecord,
    file: RecordFile,
    wait_max: Nanos,
}

impl RunRecordWriter {
    /// The record of a run that begins. Nothing is written before something is measured.
    pub(super) fn new(
        scenario: &Scenario,
        started: jiff::Timestamp,
        path: PathBuf,
    ) -> anyhow::Result<Self> {
        let wait_max = match scenario.load {
            Load::Open { wait_max, .. } => wait_max,
            Load::Closed { .. } => Nanos::default(),
        };
        let targets = scenario.targets.iter().map(|target| TargetRecord::new(&*target.name));
        let record = RunRecord {
            schema: SCHEMA,
            program: build::PROGRAM.to_owned(),
            started: started.to_string(),
            ended: started.to_string(),
            complete: false,
            interrupted: Some(UNFINISHED.to_owned()),
            scenario: scenario.to_record().context("cannot write the scenario down")?,
            environments: vec![environment::of_process()],
            notes: Vec::new(),
            targets: targets.collect(),
        };
        Ok(Self { record, file: RecordFile::new(path), wait_max })
    }

    /// Returns true if nothing was measured yet, so that there is nothing to leave behind.
    pub(super) fn is_empty(&self) -> bool {
        self.record.targets.iter().all(|target| target.rounds.is_empty())
    }

    /// Takes a round, and writes the record if that was long ago and it can be written again later.
    pub(super) fn take(&mut self, slice: &Slice) -> anyhow::Result<()> {
        let Some(target) = self.record.targets.get_mut(slice.target) else { return Ok(()) };
        target.push(&Measured {
            round: slice.round,
            tally: &slice.tally,
            lap: &slice.lap,
            wait_max: self.wait_max,
        });
        // Addresses are summed over rounds: with many of them a round has too few operations for
        // each.
        target.push_addresses(&slice.tally);
        if !self.file.is_due() {
            return Ok(());
        }
        self.stamp();
        self.file.write(&self.record.to_json()?)
    }

    /// Takes what had not ended when a target's rounds had.
    pub(super) fn take_unanswered(&mut self, target: usize, unanswered: UnderWay) {
        if let Some(target) = self.record.targets.get_mut(target) {
            target.unanswered.add(&unanswered);
        }
    }

    /// Takes down what happened to this machine.
    pub(super) fn note_meanwhile(&mut self, meanwhile: &HostEvents) {
        for environment in &mut self.record.environments {
            environment.meanwhile = Some(meanwhile.clone());
        }
    }

    /// Targets that can do more than a generator that is busy asks for: of a closed loop that is no
    /// fault, but the rate is the generator's.
    pub(super) fn busy_generators(&self) -> Vec<String> {
        let of_target = |target: &TargetRecord| {
            let warning = generator_busy(target)?;
            Some(format!(
                "{}: {}; the target can do more than it is asked for, and the rate is the generator's: \
                 raise `threads`, or use several machines",
                target.name, warning.seen
            ))
        };
        self.record.targets.iter().filter_map(of_target).collect()
    }

    /// Takes a note of something that happened now.
    pub(super) fn note(&mut self, text: String) {
        self.record.notes.push(Note { at: jiff::Timestamp::now().to_string(), text });
    }

    /// Writes the record of a run that ended, or was cut short for a reason.
    pub(super) fn finish(mut self, interrupted: Option<&str>) -> KeptRecord<RunRecord> {
        for text in remarks(&self.record) {
            self.note(text);
        }
        self.record.complete = interrupted.is_none();
        self.record.interrupted = interrupted.map(str::to_owned);
        self.stamp();
        let json = self.record.to_json();
        self.file.keep(self.record, json)
    }

    fn stamp(&mut self) {
        self.record.ended = jiff::Timestamp::now().to_string();
    }
}
