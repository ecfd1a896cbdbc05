//! Rounds of a target, the parts of several generators put together, and estimates from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{RoundRecord, TargetRecord};
use crate::stats::{Estimate, mean, ratio_of_sums};
use crate::units::Nanos;

/// A target's rounds. Those that were not timed, or not by every generator, enter no estimate.
pub(super) struct TargetRounds {
    rounds: Vec<RoundTotals>,
}

/// One round over all generators.
#[derive(Default)]
struct RoundTotals {
    parts: usize,
    untimed: bool,
    operations_per_second: f64,
    connections_per_second: f64,
    cpu: f64,
    succeeded: f64,
}

impl TargetRounds {
    pub(super) fn of(target: &TargetRecord) -> Self {
        let generators: BTreeSet<u32> = target.rounds.iter().map(|round| round.generator).collect();
        let mut by_round: BTreeMap<u32, RoundTotals> = BTreeMap::new();
        for part in &target.rounds {
            by_round.entry(part.round).or_default().add(part);
        }
        for round in by_round.values_mut() {
            // A round that one generator did not finish lacks its part of the rate.
            round.untimed |= round.parts < generators.len();
        }
        Self { rounds: by_round.into_values().collect() }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.rounds.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn untimed(&self) -> u32 {
        self.count().saturating_sub(u32::try_from(self.timed().count()).unwrap_or(u32::MAX))
    }

    /// Operations per second, round by round. Rates of generators that ran at the same time add up.
    pub(super) fn rates(&self) -> Vec<f64> {
        self.timed().map(|round| round.operations_per_second).collect()
    }

    pub(super) fn operations_per_second(&self) -> Option<Estimate> {
        mean(&self.rates())
    }

    pub(super) fn connections_per_second(&self) -> Option<Estimate> {
        mean(&self.timed().map(|round| round.connections_per_second).collect::<Vec<_>>())
    }

    pub(super) fn cpu_ns_per_operation(&self) -> Option<Estimate> {
        // A ratio of sums: the mean of ratios would weigh a round with few operations as much as
        // any.
        let pairs: Vec<_> = self.timed().map(|round| (round.cpu, round.succeeded)).collect();
        ratio_of_sums(&pairs)
    }

    fn timed(&self) -> impl Iterator<Item = &RoundTotals> {
        self.rounds.iter().filter(|round| !round.untimed)
    }
}

impl RoundTotals {
    fn add(&mut self, part: &RoundRecord) {
        self.parts += 1;
        // An interrupted round has no length.
        self.untimed |= part.wall_ns == Nanos(0);
        self.operations_per_second += part.operations_per_second;
        self.connections_per_second += part.connections_per_second;
        self.cpu += part.cpu.total.0 as f64;
        self.succeeded += part.succeeded as f64;
    }
}
