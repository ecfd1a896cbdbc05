//! The record of a run over placements as it grows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tlsbench_core::cost::held_out;
use tlsbench_core::lab::{EngineName, Lab, Mix, Pass, Workload};
use tlsbench_core::placement::Placement;
use tlsbench_core::record::lab::{
    HopRecord, HopRound, IdleHop, IdleRecord, LabRecord, MadeRound, OtherProcesses, PilotRecord,
    TrialRecord,
};
use tlsbench_core::record::{Measured, Note, SCHEMA, TargetRecord};
use tlsbench_core::scenario::{ClientCertificate, Load, Scenario};
use tlsbench_core::units::{Nanos, Rate};
use tlsbench_engine::probe::Other;
use tlsbench_engine::topology::RunningHop;
use tlsbench_engine::trial::{HopUse, Idle, IdleUse, Trial};

use super::run_dir::RunDir;
use super::testbed::Testbed;
use crate::record_file::{KeptRecord, RecordFile, UNFINISHED};
use crate::{build, environment};

/// A slice that was measured, with what it was measured of.
pub(super) struct MeasuredSlice<'a> {
    pub(super) placement: &'a Placement,
    pub(super) workload: Workload,
    pub(super) pass: Pass,
    pub(super) rate: Option<Rate>,
    pub(super) round: u32,
    /// The scenario of the load, without the address of this round.
    pub(super) scenario: Option<Scenario>,
    pub(super) trial: Trial,
    pub(super) hops: &'a [RunningHop],
}

/// Keeps what a run measures.
pub(super) struct LabRecordWriter {
    record: LabRecord,
    file: RecordFile,
    /// The run's folder.
    folder: PathBuf,
    started: jiff::Timestamp,
}

impl LabRecordWriter {
    pub(super) fn new(
        lab: &Lab,
        started: jiff::Timestamp,
        run_dir: &RunDir,
        testbed: &Testbed,
    ) -> Self {
        // Records are read on other machines, where a `usize` may be smaller.
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
            interrupted: Some(UNFINISHED.to_owned()),
            lab: lab.clone(),
            environment: environment::of_process(),
            notes: Vec::new(),
            generator_cores: numbers(&testbed.generator_cores),
            hop_cores: numbers(&testbed.hop_cores),
            receiving: testbed.receiving,
            others: None,
            pilot: Vec::new(),
            trials: Vec::new(),
            held_out: None,
            idle: Vec::new(),
        };
        let (path, folder) = (run_dir.record.clone(), run_dir.folder.clone());
        Self { record, file: RecordFile::new(path), folder, started }
    }

    /// Returns true if nothing was measured yet.
    pub(super) fn is_empty(&self) -> bool {
        self.record.trials.iter().all(|trial| trial.client.rounds.is_empty())
    }

    /// Takes what was seen of a placement before the rounds.
    pub(super) fn take_pilot(&mut self, seen: PilotRecord) {
        self.record.pilot.push(seen);
    }

    /// Returns the results of the pilot.
    pub(super) fn pilot(&self) -> &[PilotRecord] {
        &self.record.pilot
    }

    /// The slowest placement so far, and the connections that it makes per second.
    pub(super) fn ceiling(&self) -> Option<(String, f64)> {
        self.record.ceiling()
    }

    /// Takes what idle connections came to.
    pub(super) fn take_idle(
        &mut self,
        (placement, round): (&str, u32),
        idle: &Idle,
        hops: &[RunningHop],
    ) {
        // No connection was held where all were refused; the difference is then what the hop itself
        // grew by.
        let count = f64::from(idle.connections.max(1));
        let of_hop = |(hop, IdleUse { before, after, rest }): (&RunningHop, &IdleUse)| IdleHop {
            role: hop.role,
            before_bytes: before.resident_bytes,
            after_bytes: after.resident_bytes,
            bytes_per_connection: (after.resident_bytes as f64 - before.resident_bytes as f64)
                / count,
            rest: *rest,
        };
        self.record.idle.push(IdleRecord {
            placement: placement.to_owned(),
            round,
            connections: idle.connections,
            hops: hops.iter().zip(&idle.hops).map(of_hop).collect(),
        });
    }

    /// Fits what was measured so far, and writes down the mix that it chooses for this round and
    /// those after it before that is measured.
    pub(super) fn hold_out(&mut self, round: u32) -> anyhow::Result<Mix> {
        let chosen = held_out(&self.record, round);
        let mix = chosen.mix;
        (self.record.lab.mix, self.record.held_out) = (mix, Some(chosen));
        self.write()?;
        Ok(mix)
    }

    /// Takes a slice.
    pub(super) fn take(&mut self, taken: &MeasuredSlice<'_>) -> anyhow::Result<()> {
        let Some(slice) = &taken.trial.slice else { return Ok(()) };
        // Missed starts enter the corrected quantiles as longer than this. Closed loops miss none.
        let wait_max = match taken.scenario.as_ref().map(|scenario| &scenario.load) {
            Some(Load::Open { wait_max, .. }) => *wait_max,
            Some(Load::Closed { .. }) | None => Nanos::default(),
        };
        let (round, used) = (taken.round, &taken.trial.hops);
        let (made, failed) = (taken.trial.made, taken.trial.failed);
        let unanswered = taken.trial.unanswered;
        let trial = self.trial(taken)?;
        let (tally, lap) = (&slice.tally, &slice.lap);
        trial.client.push(&Measured { round, tally, lap, wait_max });
        trial.client.unanswered.add(&unanswered);
        trial.made.push(MadeRound { round, made, failed });
        for (hop, used) in trial.hops.iter_mut().zip(used) {
            let HopUse { usage, memory, counted, .. } = *used;
            hop.rounds.push(HopRound { round, usage, memory, counted });
        }
        Ok(())
    }

    fn trial(&mut self, taken: &MeasuredSlice<'_>) -> anyhow::Result<&mut TrialRecord> {
        let MeasuredSlice { placement, workload, pass, rate, .. } = *taken;
        let LabRecord { trials, lab, .. } = &mut self.record;
        let is_it = |trial: &TrialRecord| {
            (&trial.placement, trial.workload, trial.pass) == (&placement.name, workload, pass)
        };
        // A search by name is enough: a run has a few hundred trials at most, and a slice takes
        // longer than that.
        let index = match trials.iter().position(is_it) {
            Some(index) => index,
            None => {
                let scenario = taken.scenario.as_ref().context("a slice without a scenario")?;
                let scenario = beside(&self.folder, scenario.clone());
                let name = scenario.targets.first().map(|target| target.name.clone());
                // The address is of one round only, and no part of what was asked.
                trials.push(TrialRecord {
                    placement: placement.name.clone(),
                    workload,
                    pass,
                    rate: rate.map(Rate::as_f64),
                    scenario: scenario.to_record().context("cannot write a scenario")?,
                    client: TargetRecord::new(name.unwrap_or_default()),
                    made: Vec::new(),
                    hops: taken.hops.iter().map(|hop| hop_record(hop, lab)).collect(),
                });
                trials.len() - 1
            }
        };
        trials.get_mut(index).context("a trial is missing")
    }

    /// Takes a note of something that happens now.
    pub(super) fn note_now(&mut self, text: &str) {
        let at = jiff::Timestamp::now().to_string();
        self.record.notes.push(Note { at, text: text.to_owned() });
    }

    /// Takes notes of what holds for the whole run.
    pub(super) fn note_all(&mut self, texts: &[String]) {
        let at = self.started.to_string();
        let notes = texts.iter().map(|text| Note { at: at.clone(), text: text.clone() });
        self.record.notes.extend(notes);
    }

    /// Returns the time since the run began; zero if the clock was set back since.
    pub(super) fn passed(&self) -> Duration {
        let passed = jiff::Timestamp::now().duration_since(self.started);
        Duration::try_from(passed).unwrap_or_default()
    }

    /// Takes down who else used the CPUs, the busiest first.
    pub(super) fn note_others(&mut self, others: &[Other]) {
        let Some(top) = others.first() else { return };
        let passed = self.passed().as_secs_f64();
        // The share is of all CPUs, as a process on one of them slows those on the others too
        // (shared caches, turbo).
        let had = passed * f64::from(self.record.environment.cores.max(1));
        let used: f64 = others.iter().map(|other| other.cpu.as_secs_f64()).sum();
        let share = if had > 0.0 { used / had } else { 0.0 };
        self.record.others = Some(OtherProcesses { share, top: top.name.clone(), top_ns: top.cpu });
    }

    /// Writes what there is, where it can be written again later.
    pub(super) fn write(&mut self) -> anyhow::Result<()> {
        if !self.file.is_rewritable() {
            return Ok(());
        }
        self.stamp();
        self.file.write(&self.record.to_json()?)
    }

    fn stamp(&mut self) {
        self.record.ended = jiff::Timestamp::now().to_string();
    }

    /// Writes the record of a run that ended, or was cut short for a reason.
    pub(super) fn finish(mut self, interrupted: Option<String>) -> KeptRecord<LabRecord> {
        let order = &self.record.lab;
        let place = |trial: &TrialRecord| {
            let of_placement = order.placements.iter().position(|p| p.name == trial.placement);
            (trial.pass, of_placement, trial.workload)
        };
        let mut trials = std::mem::take(&mut self.record.trials);
        // Slices come in shuffled order; reports show placements in the order in which they were
        // asked for.
        trials.sort_by_key(place);
        self.record.trials = trials;
        self.record.complete = interrupted.is_none();
        self.record.interrupted = interrupted;
        self.stamp();
        let json = self.record.to_json();
        self.file.keep(self.record, json)
    }
}

/// The scenario with files of the run's folder named as they lie beside the record: whoever
/// publishes it need not tell where that was.
fn beside(folder: &Path, mut scenario: Scenario) -> Scenario {
    let Some(folder) = folder.parent() else { return scenario };
    let shorten = |path: &mut PathBuf| {
        if let Ok(short) = path.strip_prefix(folder) {
            *path = short.to_owned();
        }
    };
    scenario.tls.ca_bundle.iter_mut().for_each(shorten);
    if let Some(ClientCertificate { chain, key }) = &mut scenario.tls.client_certificate {
        [chain, key].into_iter().for_each(shorten);
    }
    scenario
}

fn hop_record(hop: &RunningHop, lab: &Lab) -> HopRecord {
    let engine = hop.engine.parse().unwrap_or(EngineName::Builtin);
    let asked = lab.engines.get(&hop.role).copied().unwrap_or(EngineName::Builtin);
    let mut notes: Vec<String> = hop.notes.iter().map(|note| (*note).to_owned()).collect();
    if engine != asked {
        notes.push(format!(
            "{engine} stands in for {asked}, which cannot answer with so many bytes; what ends TLS \
             here is another engine than elsewhere"
        ));
    }
    HopRecord { role: hop.role, kind: hop.kind, engine, notes, rounds: Vec::new() }
}
