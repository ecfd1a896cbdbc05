//! CPU time of hops at rest, read while idle connections were open and nothing was requested.
//!
//! By itself and not by least squares: it is of a second, of which operations have no fixed number.

use std::collections::BTreeMap;

use super::flow::{Term, TermCounts};
use crate::hop::HopKind;
use crate::placement::Role;
use crate::record::lab::LabRecord;
use crate::stats::mean;
use crate::usage::Rest;

/// CPU time of one sort of hop at rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AtRest {
    /// CPU time in microseconds per second.
    readings: Vec<f64>,
    /// Mean of the readings; zero if there are too few.
    each: f64,
}

impl AtRest {
    fn of(readings: Vec<f64>) -> Self {
        let each = mean(&readings).map_or(0.0, |each| each.value);
        Self { readings, each }
    }

    pub(super) fn readings(&self) -> &[f64] {
        &self.readings
    }

    /// CPU time over the seconds of these counts in microseconds.
    pub(super) fn over(&self, counts: &TermCounts) -> f64 {
        self.each * counts.get(&Term::Rest).copied().unwrap_or_default()
    }
}

/// Readings of each sort of hop.
pub(super) type Readings = BTreeMap<(Role, HopKind), AtRest>;

/// CPU time of each placement in microseconds per second, by which record and which round of it.
type OfRounds = BTreeMap<(usize, u32), Vec<f64>>;

/// All readings of some records. What placements of a round have in common stays within it, as in
/// slices: one reading is the mean over them.
pub(super) fn readings(records: &[&LabRecord]) -> Readings {
    let mut all: BTreeMap<(Role, HopKind), OfRounds> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        for idle in &record.idle {
            let Some(placement) = record.placement(&idle.placement) else { continue };
            for (station, hop) in placement.hops.iter().zip(&idle.hops) {
                let Some(each) = hop.rest.and_then(per_second) else { continue };
                let of_sort = all.entry((station.role, station.kind)).or_default();
                // By record and round: readings of two records never share one.
                of_sort.entry((index, idle.round)).or_default().push(each);
            }
        }
    }
    let one = |all: &Vec<f64>| all.iter().sum::<f64>() / all.len() as f64;
    let of_sort = |rounds: OfRounds| AtRest::of(rounds.values().map(one).collect());
    all.into_iter().map(|(sort, rounds)| (sort, of_sort(rounds))).collect()
}

/// Microseconds per second; `None` of no time.
fn per_second(rest: Rest) -> Option<f64> {
    let seconds = rest.wall.as_secs_f64();
    (seconds > 0.0).then(|| rest.cpu.as_micros_f64() / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::tests::{World, shared, truth};
    use crate::cost::{CostFit, WithheldReason, check, held_out};
    use crate::lab::Workload;
    use crate::record::lab::{IdleHop, IdleRecord, TrialRecord};
    use crate::units::Nanos;

    /// CPU time of a sort of hop in microseconds per second: a few hundredths of a core, and more
    /// than there will be.
    fn at_rest(role: Role, kind: HopKind) -> f64 {
        20_000.0 * (1.0 + 0.1 * f64::from(role as u8) + 0.03 * f64::from(kind as u8))
    }

    /// Lets hops take what they take at rest in slices, too.
    fn burden(trials: &mut [TrialRecord]) {
        for trial in trials {
            for hop in &mut trial.hops {
                for (used, round) in hop.rounds.iter_mut().zip(&trial.client.rounds) {
                    let more = at_rest(hop.role, hop.kind) * 1e3 * round.wall_ns.as_secs_f64();
                    used.usage.cpu.total = used.usage.cpu.total + Nanos(more as u64);
                }
            }
        }
    }

    /// Readings of each placement, of spans of their own; they stray by a hundredth or two.
    fn read(record: &mut LabRecord, rounds: u32) {
        for round in 0..rounds {
            for (index, placement) in record.lab.placements.iter().enumerate() {
                let stray = 1.0 + 0.01 * (f64::from(round % 3) - 1.0);
                let wall = Nanos::from_millis(1_000 + 10 * index as u64);
                let hops = placement.hops.iter().map(|hop| IdleHop {
                    role: hop.role,
                    before_bytes: 1,
                    after_bytes: 1,
                    bytes_per_connection: 0.0,
                    rest: Some(Rest {
                        wall,
                        cpu: Nanos(
                            (at_rest(hop.role, hop.kind) * stray * 1e3 * wall.as_secs_f64()) as u64,
                        ),
                    }),
                });
                record.idle.push(IdleRecord {
                    placement: placement.name.clone(),
                    round,
                    connections: 5,
                    hops: hops.collect(),
                });
            }
        }
    }

    fn world() -> World {
        World { noise: 0.0, ..World::new() }
    }

    fn rested(rounds: u32) -> LabRecord {
        let mut record = world().record();
        burden(&mut record.trials);
        read(&mut record, rounds);
        record
    }

    #[test]
    fn rest_is_read_by_itself_and_taken_out_of_what_hops_take_for_all_else() {
        let record = rested(3);
        let fit = CostFit::of(&[&record]);
        let plain = CostFit::of(&[&world().record()]);
        assert!(fit.blocks.len() > 3 && fit.blocks.len() == plain.blocks.len());
        for (block, without) in fit.blocks.iter().zip(&plain.blocks) {
            let name = format!("{} {}", block.role, block.kind);
            let rest = block.cost(Term::Rest).unwrap();
            let micros = rest.micros.unwrap();
            let want = at_rest(block.role, block.kind);
            assert!((micros.value - want).abs() < 1e-6 * want, "{name}: {micros:?} {want}");
            assert!(micros.low < want && want < micros.high && micros.runs == 3, "{micros:?}");
            assert!(!rest.at_bound && rest.withheld.is_none(), "{name}");
            assert!(block.misfit.unwrap() < 0.001, "{name}: {:?}", block.misfit);
            assert_eq!((block.rank, block.condition.is_some()), (without.rank, true), "{name}");
            for (cost, alone) in block.terms.iter().zip(&without.terms) {
                let (Some(cost), Some(alone)) = (cost.micros, alone.micros) else {
                    assert!(cost.term == Term::Rest || cost.withheld == alone.withheld);
                    continue;
                };
                let near = (cost.value - alone.value).abs() < 0.001 * alone.value;
                assert!(near, "{name}: {cost:?} {alone:?}");
            }
        }
        // Where it was not read it is in all else, which then takes more.
        let mut unread = record.clone();
        unread.idle.clear();
        let unread = CostFit::of(&[&unread]);
        let of = |fit: &CostFit| fit.blocks[0].cost(Term::Full).unwrap().micros.unwrap().value;
        assert!(of(&unread) > 1.01 * of(&fit), "{} {}", of(&unread), of(&fit));
        let full = shared(8) * truth(fit.blocks[0].role, fit.blocks[0].kind, Term::Full);
        assert!((of(&fit) - full).abs() < 0.01 * full);
    }

    #[test]
    fn rest_that_was_read_once_or_not_at_all_is_withheld_and_changes_nothing() {
        let mut unread = rested(2);
        for hop in unread.idle.iter_mut().flat_map(|idle| &mut idle.hops) {
            hop.rest = None;
        }
        let of_nothing = Rest { wall: Nanos(0), cpu: Nanos(7) };
        let mut empty = unread.clone();
        empty.idle[0].hops[0].rest = Some(of_nothing);
        let fits = [&unread, &empty, &rested(1)].map(|record| CostFit::of(&[record]));
        for (fit, why) in fits.iter().zip([
            WithheldReason::NotMeasured,
            WithheldReason::NotMeasured,
            WithheldReason::TooFewRounds,
        ]) {
            for (block, first) in fit.blocks.iter().zip(&fits[0].blocks) {
                let rest = block.cost(Term::Rest).unwrap();
                assert_eq!((rest.micros, rest.withheld), (None, Some(why)));
                let all = |block: &crate::cost::CostModel| {
                    let others = block.terms.iter().filter(|cost| cost.term != Term::Rest);
                    others.cloned().collect::<Vec<_>>()
                };
                assert_eq!(all(block), all(first));
            }
        }
    }

    #[test]
    fn a_reading_is_of_all_placements_of_a_round_of_a_record() {
        let (one, other) = (rested(3), rested(2));
        let fit = CostFit::of(&[&one, &other]);
        let runs =
            |block: &crate::cost::CostModel| block.cost(Term::Rest)?.micros.map(|of| of.runs);
        assert!(fit.blocks.iter().all(|block| runs(block) == Some(5)));

        // One of several placements of a round took nothing, and one of them has no readings.
        let mut uneven = rested(2);
        let is_http = |idle: &&mut IdleRecord| {
            let placement = World::new().lab.placements;
            let placement = placement.iter().find(|known| known.name == idle.placement);
            placement.is_some_and(|known| known.hops[0].kind == HopKind::Http)
        };
        let mut of_round: Vec<&mut IdleRecord> =
            uneven.idle.iter_mut().filter(is_http).filter(|idle| idle.round == 1).collect();
        let left = of_round.len() as f64 - 1.0;
        assert!(left > 1.0);
        of_round[0].hops[0].rest = None;
        of_round[1].hops[0].rest = Some(Rest { wall: Nanos(1), cpu: Nanos(0) });
        let fit = CostFit::of(&[&uneven]);
        let lb = fit.block(Role::Lb, HopKind::Http).unwrap().cost(Term::Rest).unwrap();
        // The first reading strays to 0.99, the second to 1.
        let each = at_rest(Role::Lb, HopKind::Http);
        let want = each * (0.99 + (left - 1.0) / left) / 2.0;
        let seen = lb.micros.unwrap().value;
        assert!((seen - want).abs() < 1e-6 * want, "{seen} {want}");
    }

    #[test]
    fn a_mix_that_costs_chose_with_rest_is_predicted_with_it() {
        let mut record = rested(3);
        let chosen = held_out(&record, 2);
        let mut world = world();
        (world.lab.mix, record.lab.mix) = (chosen.mix, chosen.mix);
        record.held_out = Some(chosen.clone());
        let placements = world.lab.placements.iter();
        let mut mixed: Vec<TrialRecord> =
            placements.map(|placement| world.trial(placement, Workload::Mix)).collect();
        burden(&mut mixed);
        record.trials.extend(mixed);
        let found = check(&CostFit::of(&[&record]), &[&record]);
        assert_eq!((found.unchecked, found.rows.len()), (None, 30));
        for row in found.rows {
            let predicted = row.predicted.unwrap().value;
            let near = (predicted - row.measured).abs() < 0.003 * row.measured;
            assert!(near, "{} {}: {predicted} {}", row.placement, row.role, row.measured);
        }
        // It was chosen before hops were left alone.
        record.idle.clear();
        assert_eq!(held_out(&record, 2), chosen);
    }
}
