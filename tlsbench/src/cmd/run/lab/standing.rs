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

use super::super::{patience, refused};
use super::asked;
use super::engines::Engines;
use super::site::Site;
use crate::settings::Run;

/// What came of a trial at a rate.
pub(in crate::cmd) struct Tried {
    pub(in crate::cmd) target: TargetRecord,
    pub(in crate::cmd) load: Load,
    /// Why it ended before its time.
    pub(in crate::cmd) cut_short: Option<CutShort>,
    /// What failed in the warm-up of an endpoint.
    pub(in crate::cmd) early: BTreeMap<Failure, u64>,
    /// Operations without an answer when it ended.
    pub(in crate::cmd) unanswered: UnderWay,
}

/// A trial that is asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::cmd) struct TrialPlan {
    pub(in crate::cmd) rate: Rate,
    pub(in crate::cmd) warm_up: Nanos,
    pub(in crate::cmd) length: Nanos,
    /// How long it may take at most.
    pub(in crate::cmd) left: Nanos,
    pub(in crate::cmd) goal: Goal,
}

/// Where placements can be put up.
pub(in crate::cmd) struct Standing<'a> {
    pub(in crate::cmd) lab: Lab,
    site: Site,
    stop: &'a Stop,
}

impl<'a> Standing<'a> {
    /// In a folder for what hops are told.
    pub(in crate::cmd) fn prepare(
        settings: &Run,
        folder: &Path,
        stop: &'a Stop,
    ) -> anyhow::Result<Self> {
        let asked = asked(settings)?;
        let problems = asked.lab.problems();
        if !problems.is_empty() {
            return Err(refused("this", &problems));
        }
        let engines = Engines::find(&asked.lab)?;
        let site = Site::prepare(&asked, folder, engines)?.until(settings.flags.timeout.run);
        Ok(Self { lab: asked.lab, site, stop })
    }

    /// Puts one up.
    pub(in crate::cmd) fn start(&self, placement: &Placement) -> anyhow::Result<Topology> {
        self.site.start(placement, self.lab.response_bytes)
    }

    /// Makes one trial: connections at a rate, each with a full handshake and a request.
    pub(in crate::cmd) fn trial(
        &self,
        placement: &Placement,
        topology: &mut Topology,
        plan: TrialPlan,
    ) -> anyhow::Result<Tried> {
        let TrialPlan { rate, warm_up, length, left, goal } = plan;
        let pass = LatencyPass { rounds: 1, slice_ns: length, warm_up_ns: warm_up, share: 1.0 };
        let mut scenario = self.lab.latency_scenario(placement, rate, &pass, &self.site.files);
        if let Ok(scenario) = &mut scenario {
            scenario.timeout = Timeout { run: Some(left), ..patience(goal.p99) };
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
        let trial = self.site.measure(scenario, topology, self.stop)?;
        let mut target = TargetRecord::new(&placement.name);
        if let Some(slice) = &trial.slice {
            let (tally, lap) = (&slice.tally, &slice.lap);
            target.push(&Measured { round: 0, tally, lap, wait_max });
        }
        let Trial { cut_short, unanswered, .. } = trial;
        Ok(Tried { target, load, cut_short, early: BTreeMap::new(), unanswered })
    }
}
