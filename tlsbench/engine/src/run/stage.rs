//! Stages: which targets' rounds come one after the other, and each shard's part of them.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use tlsbench_core::pace::Shard;
use tlsbench_core::scenario::{Length, Load, Scenario};
use tlsbench_core::units::Nanos;

use crate::load::{AddressBook, ShardPlan, Work};
use crate::tls::ReloadingRoots;
use crate::wire::Rendered;

/// Rounds of one target that follow one another on the same connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    /// Index of the target.
    pub(super) target: usize,
    /// The first round, from 0.
    pub(super) first: u32,
    /// Rounds.
    pub(super) rounds: NonZeroU32,
    /// Time before the first of them.
    pub(super) warm_up: Nanos,
    /// Time over which the load rises.
    pub(super) ramp: Nanos,
}

/// The stages of a scenario: one target in one go; several take turns, round by round.
pub(super) fn stages(scenario: &Scenario) -> Vec<Stage> {
    let timing = scenario.timing;
    let (warm_up, ramp) = (timing.warm_up, timing.ramp);
    if scenario.targets.len() == 1 {
        return vec![Stage { target: 0, first: 0, rounds: timing.rounds, warm_up, ramp }];
    }
    let mut stages = Vec::new();
    for first in 0..timing.rounds.get() {
        for target in 0..scenario.targets.len() {
            // Connections are new in each stage; once a target is warm, that takes less time.
            let (warm_up, ramp) =
                if first == 0 { (warm_up, ramp) } else { (warm_up.min(SETTLE), Nanos(0)) };
            stages.push(Stage { target, first, rounds: NonZeroU32::MIN, warm_up, ramp });
        }
    }
    stages
}

/// One shard's part of a stage that begins at a moment. `None` if nothing is left for it: there
/// are fewer connections, or operations, than shards.
pub(super) fn shard_plan(
    scenario: &Scenario,
    addresses: &Arc<AddressBook>,
    ca_bundle: Option<&Arc<ReloadingRoots>>,
    stage: Stage,
    shard: Shard,
    begin: Nanos,
) -> Option<ShardPlan> {
    let target = scenario.targets.get(stage.target)?;
    let work = match scenario.load {
        Load::Closed { connections, requests_per_connection } => {
            NonZeroU64::new(shard.part(connections.get().into()))?;
            Work::Closed { connections, requests: requests_per_connection }
        }
        Load::Open { arrivals, rate, spread, pool, wait_max } => {
            let part = u32::try_from(shard.part(pool.get().into())).ok()?;
            Work::Open { arrivals, rate, spread, pool: NonZeroU32::new(part)?, wait_max }
        }
    };
    let length = match scenario.timing.round {
        Length::Count(count) => Length::Count(NonZeroU64::new(shard.part(count.get()))?),
        Length::Time(span) => Length::Time(span),
    };
    Some(ShardPlan {
        addresses: Arc::clone(addresses),
        ca_bundle: ca_bundle.map(Arc::clone),
        sources: scenario.sources.clone(),
        request: scenario.request.as_ref().map(|request| Rendered::new(request, target)),
        close: scenario.close,
        timeout: scenario.timeout,
        late_after: scenario.futility.map(|futility| futility.late_after),
        resume: scenario.tls.resume,
        work,
        shard,
        begin,
        warm_up: stage.warm_up,
        ramp: stage.ramp,
        length,
        rounds: stage.rounds,
    })
}

/// Handshakes and first requests of a thousand connections fit, and 20 rounds of it are 2 s.
const SETTLE: Nanos = Nanos::from_millis(100);
