//! The passes of a run over placements, one after the other: a pilot, CPU time with the mix that
//! costs choose on the way, latency, and idle connections.

use std::borrow::Cow;
use std::cell::Cell;
use std::time::Duration;

use anyhow::Context as _;
use tlsbench_core::lab::{Lab, LatencyPass, Pass, Workload};
use tlsbench_core::record::lab::PilotRecord;
use tlsbench_core::units::{Nanos, Rate};
use tlsbench_core::warning::GENERATOR_BUSY_MAX;
use tlsbench_engine::hop::raise_descriptor_limit;
use tlsbench_engine::probe::Others;
use tlsbench_engine::run::{CutShort, Stop};
use tlsbench_engine::trial::{Trial, TrialError};

use super::testbed::Testbed;
use super::writer::{LabRecordWriter, MeasuredSlice};
use crate::progress::StepProgress;

/// The inputs that all passes share.
pub(super) struct LabPasses<'a> {
    pub(super) lab: &'a Lab,
    pub(super) testbed: &'a Testbed,
    pub(super) stop: &'a Stop,
    pub(super) shown: StepProgress,
    pub(super) tell: MilestoneText<'a>,
}

/// Words for people at a milestone; `None` if nobody reads along.
pub(super) type MilestoneText<'a> = &'a dyn Fn(Milestone<'_>) -> Option<String>;

/// A moment of a run at which people who read along learn something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Milestone<'a> {
    /// The run begins, and nothing is measured yet.
    Begins { lab: &'a Lab },
    /// Each placement was looked at for a moment.
    Piloted {
        lab: &'a Lab,
        pilot: &'a [PilotRecord],
        /// Since the run began.
        after: Duration,
    },
}

impl LabPasses<'_> {
    /// Runs all passes; what ended them before their time.
    pub(super) fn run(&self, writer: &mut LabRecordWriter) -> anyhow::Result<Option<CutShort>> {
        // Readings of other processes span all passes: a backup that starts in the middle shows as
        // well.
        let others = Others::begin().context("cannot see what others do")?;
        self.tell(Milestone::Begins { lab: self.lab });
        let done = Cell::new(0);
        let mut cut_short = self.pilot(writer)?;
        if cut_short.is_none() {
            let (lab, pilot, after) = (self.lab, writer.pilot(), writer.passed());
            self.tell(Milestone::Piloted { lab, pilot, after });
            // CPU time comes before latency, whose rate follows from what the slowest placement
            // could do.
            cut_short = self.cpu(writer, &done)?;
        }
        if cut_short.is_none()
            && let Some(pass) = &self.lab.latency
        {
            cut_short = self.latency(pass, writer, &done)?;
        }
        if cut_short.is_none() && self.lab.idle_connections > 0 {
            cut_short = self.idle(writer)?;
        }
        self.shown.finish();
        let own = std::process::id();
        writer.note_others(&others.since(|pid| pid == own).context("cannot see what others did")?);
        Ok(cut_short)
    }

    fn tell(&self, milestone: Milestone<'_>) {
        if let Some(text) = (self.tell)(milestone) {
            self.shown.say(text.trim_end());
        }
    }

    /// A short look at each placement: what it can do, and whether the generator can ask for that.
    fn pilot(&self, writer: &mut LabRecordWriter) -> anyhow::Result<Option<CutShort>> {
        let Lab { placements, response_bytes, .. } = self.lab;
        // A long list of placements has no full pilot: its rounds begin sooner than a pilot would
        // end.
        for placement in placements.iter().take(self.lab.piloted()) {
            let mut topology = self.testbed.start(placement, *response_bytes)?;
            let scenario = self.lab.pilot_scenario(placement, &self.testbed.files);
            let trial = match self.testbed.measure(scenario, &mut topology, self.stop) {
                // A slice that nobody saw the end of says nothing; the passes have longer ones.
                Err(error) if is_unread(&error) => continue,
                trial => trial?,
            };
            writer.take_pilot(pilot(&placement.name, &trial));
            if trial.cut_short.is_some() {
                return Ok(trial.cut_short);
            }
        }
        let busy = writer.pilot().iter().filter(|seen| seen.generator_share > GENERATOR_BUSY_MAX);
        let busy: Vec<String> = busy.map(|seen| format!("`{}`", seen.placement)).collect();
        if !busy.is_empty() {
            writer.note_now(&format!(
                "the generator was more than 85 % busy with {}: these placements can do more than it \
                 can ask for, and their hops have time to spare",
                busy.join(", ")
            ));
        }
        Ok(None)
    }

    /// CPU time in closed loops. What costs come to in the first rounds chooses a mix that they
    /// have not seen, which is then measured beside all else: under the same conditions, as
    /// machines change.
    fn cpu(
        &self,
        writer: &mut LabRecordWriter,
        done: &Cell<u32>,
    ) -> anyhow::Result<Option<CutShort>> {
        let mut lab = Cow::Borrowed(self.lab);
        for round in 0..self.lab.rounds {
            // The mix must be fixed, and on disk, before it is measured: a prediction that is
            // written down afterwards proves nothing (preregistration).
            if self.lab.hold_out && round == self.lab.mixed_from() {
                lab = Cow::Owned(self.lab.mixed(writer.hold_out(round)?));
            }
            for (index, bytes, workloads) in lab.topologies(round) {
                let Some(placement) = lab.placements.get(index) else { continue };
                // Hop processes are started afresh in each round. Kept up, identical nginx
                // instances differ significantly in a quarter of all A/A comparisons.
                let mut topology = self.testbed.start(placement, bytes)?;
                for workload in workloads {
                    let scenario = lab.scenario(placement, workload, &self.testbed.files);
                    let trial = self.testbed.measure(scenario.clone(), &mut topology, self.stop)?;
                    let cut_short = trial.cut_short;
                    let (pass, rate, hops) = (Pass::Cpu, None, topology.hops());
                    let scenario = scenario.ok();
                    let taken = MeasuredSlice {
                        placement,
                        workload,
                        pass,
                        rate,
                        round,
                        scenario,
                        trial,
                        hops,
                    };
                    writer.take(&taken)?;
                    self.step(done);
                    if cut_short.is_some() {
                        return Ok(cut_short);
                    }
                }
            }
            // A round is the unit of analysis, so that a killed run loses at most the one under
            // way.
            writer.write()?;
        }
        Ok(None)
    }

    fn latency(
        &self,
        pass: &LatencyPass,
        writer: &mut LabRecordWriter,
        done: &Cell<u32>,
    ) -> anyhow::Result<Option<CutShort>> {
        let ceiling = writer.ceiling();
        // One rate for all placements: latencies at different rates cannot be compared. It is a
        // share of the slowest ceiling, because queueing hides everything near saturation.
        let rate = ceiling.as_ref().and_then(|(_, rate)| Rate::per_second(rate * pass.share));
        let Some((rate, (slowest, _))) = rate.zip(ceiling) else {
            writer.note_now("no latency pass: not one connection of it came to its end before");
            return Ok(None);
        };
        writer.note_now(&format!(
            "the latency pass lets {:.0} connections arrive per second, {:.0} % of what `{slowest}` \
             can do",
            rate.as_f64(),
            pass.share * 100.0
        ));
        for round in 0..pass.rounds {
            // Orders that the CPU pass did not have.
            for (index, _) in self.lab.order(self.lab.rounds.saturating_add(round)) {
                let Some(placement) = self.lab.placements.get(index) else { continue };
                let mut topology = self.testbed.start(placement, self.lab.response_bytes)?;
                let files = &self.testbed.files;
                let scenario = self.lab.latency_scenario(placement, rate, pass, files);
                let trial = self.testbed.measure(scenario.clone(), &mut topology, self.stop)?;
                let cut_short = trial.cut_short;
                let taken = MeasuredSlice {
                    placement,
                    workload: Workload::Full,
                    pass: Pass::Latency,
                    rate: Some(rate),
                    round,
                    scenario: scenario.ok(),
                    trial,
                    hops: topology.hops(),
                };
                writer.take(&taken)?;
                self.step(done);
                if cut_short.is_some() {
                    return Ok(cut_short);
                }
            }
            writer.write()?;
        }
        Ok(None)
    }

    /// Measures idle connections, and hops at rest: they are started afresh, so that memory is
    /// theirs alone.
    fn idle(&self, writer: &mut LabRecordWriter) -> anyhow::Result<Option<CutShort>> {
        let Lab { placements, response_bytes, idle_connections, .. } = self.lab;
        // Idle connections are many at a time, and the default soft limit is 1,024.
        raise_descriptor_limit();
        for round in 0..self.lab.idle_rounds() {
            for (index, _) in self.lab.order(round) {
                let Some(placement) = placements.get(index) else { continue };
                let mut topology = self.testbed.start(placement, *response_bytes)?;
                let scenario =
                    self.lab.scenario(placement, Workload::KeepAlive, &self.testbed.files);
                let (count, stop) = (*idle_connections, self.stop);
                let idle = self.testbed.hold(scenario, count, &mut topology, stop)?;
                // Connections that were let go early have no time of rest to speak of.
                if stop.is_asked() {
                    return Ok(Some(CutShort::Stopped));
                }
                if self.testbed.left() == Some(Nanos(0)) {
                    return Ok(Some(CutShort::Time));
                }
                writer.take_idle((&placement.name, round), &idle, topology.hops());
            }
            writer.write()?;
        }
        Ok(None)
    }

    fn step(&self, done: &Cell<u32>) {
        done.set(done.get().saturating_add(1));
        self.shown.done(done.get(), self.lab.slices());
    }
}

fn is_unread(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<TrialError>().is_some_and(|error| matches!(error, TrialError::Unread))
    })
}

fn pilot(placement: &str, trial: &Trial) -> PilotRecord {
    let (succeeded, wall, busiest) = match &trial.slice {
        Some(slice) => (slice.tally.succeeded, slice.lap.wall, slice.lap.busiest_thread),
        None => Default::default(),
    };
    // A placement that answers nothing has no rate, and must not make it infinite.
    let of = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let hops = trial.hops.iter();
    PilotRecord {
        placement: placement.to_owned(),
        operations_per_second: of(succeeded as f64, wall.as_secs_f64()),
        generator_share: of(busiest.0 as f64, wall.0 as f64),
        hops_ns: hops.map(|hop| of(hop.usage.cpu.total.0 as f64, succeeded as f64)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use tlsbench_engine::topology::TopologyError;

    use super::*;

    #[test]
    fn a_slice_that_was_not_read_is_told_from_a_hop_that_is_missing() {
        let told = |error: TrialError| -> anyhow::Error {
            Err::<(), _>(error).context("cannot measure `a`").unwrap_err()
        };
        assert!(is_unread(&told(TrialError::Unread)));
        assert!(!is_unread(&told(TrialError::Topology(TopologyError::Ports { count: 3 }))));
        assert!(!is_unread(&anyhow::anyhow!("{}", TrialError::Unread)), "only the error itself");
    }
}
