//! Placements that are put up for trials at a rate, and leave no record.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

use tlsbench_core::lab::{Lab, LatencyPass};
use tlsbench_core::placement::Placement;
use tlsbench_core::record::{Measured, TargetRecord};
use tlsbench_core::scenario::{Load, Timeout};
use tlsbench_core::search::Goal;
use tlsbench_core::tally::Failure;
use tlsbench_core::units::{Nanos, Rate};
use tlsbench_core::usage::UnderWay;
use tlsbench_engine::run::{CutShort, Stop};
use tlsbench_engine::topology::Topology;
use tlsbench_engine::trial::Trial;

use super::engines::EngineSet;
use super::request::asked;
use super::testbed::Testbed;
use crate::scenario::{refused, trial_timeouts};
use crate::settings::RunSettings;

/// The outcome of a trial at a rate.
pub(crate) struct TrialOutcome {
    pub(crate) target: TargetRecord,
    pub(crate) load: Load,
    /// The reason why it ended before its time.
    pub(crate) cut_short: Option<CutShort>,
    /// Failures in the warm-up of an endpoint.
    pub(crate) early: BTreeMap<Failure, u64>,
    /// Operations without an answer when it ended.
    pub(crate) unanswered: UnderWay,
}

/// A trial that is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateTrial {
    pub(crate) rate: Rate,
    pub(crate) warm_up: Nanos,
    pub(crate) length: Nanos,
    /// The longest that it may take.
    pub(crate) left: Nanos,
    pub(crate) goal: Goal,
}

/// A testbed on which placements are put up for trials.
pub(crate) struct RateTrials<'a> {
    pub(crate) lab: Lab,
    testbed: Testbed,
    stop: &'a Stop,
}

impl<'a> RateTrials<'a> {
    /// Prepares the testbed, in a folder for the hops' configuration.
    pub(crate) fn prepare(
        settings: &RunSettings,
        folder: &Path,
        stop: &'a Stop,
    ) -> anyhow::Result<Self> {
        let asked = asked(settings)?;
        let problems = asked.lab.problems();
        if !problems.is_empty() {
            return Err(refused("this", &problems));
        }
        // Checked before the testbed is made, which writes files.
        let engines = EngineSet::find(&asked.lab)?;
        let testbed = Testbed::prepare(&asked, folder, engines)?.until(settings.flags.timeout.run);
        Ok(Self { lab: asked.lab, testbed, stop })
    }

    /// Puts one up.
    pub(crate) fn start(&self, placement: &Placement) -> anyhow::Result<Topology> {
        self.testbed.start(placement, self.lab.response_bytes)
    }

    /// Makes one trial: connections at a rate, each with a full handshake and a request.
    pub(crate) fn trial(
        &self,
        placement: &Placement,
        topology: &mut Topology,
        plan: RateTrial,
    ) -> anyhow::Result<TrialOutcome> {
        let RateTrial { rate, warm_up, length, left, goal } = plan;
        let pass = LatencyPass { rounds: 1, slice_ns: length, warm_up_ns: warm_up, share: 1.0 };
        let mut scenario = self.lab.latency_scenario(placement, rate, &pass, &self.testbed.files);
        if let Ok(scenario) = &mut scenario {
            scenario.timeout = Timeout { run: Some(left), ..trial_timeouts(goal.p99) };
            // Without it, each operation that hangs would hold the trial for the whole timeout.
            scenario.futility = goal.futility(&scenario.load, length);
        }
        let wait_max = match scenario.as_ref().map(|scenario| &scenario.load) {
            Ok(Load::Open { wait_max, .. }) => *wait_max,
            _ => Nanos(0),
        };
        let load = scenario.as_ref().map(|scenario| scenario.load.clone());
        let load = load.unwrap_or(Load::Closed {
            connections: NonZeroU32::MIN,
            requests_per_connection: None,
        });
        let trial = self.testbed.measure(scenario, topology, self.stop)?;
        let mut target = TargetRecord::new(&placement.name);
        if let Some(slice) = &trial.slice {
            let (tally, lap) = (&slice.tally, &slice.lap);
            target.push(&Measured { round: 0, tally, lap, wait_max });
        }
        let Trial { cut_short, unanswered, .. } = trial;
        Ok(TrialOutcome { target, load, cut_short, early: BTreeMap::new(), unanswered })
    }
}
