//! Rates that are steady, and rates that are not.

use super::{record, verdict, verdicts};
use crate::compare::Verdict;
use crate::record::lab::LabRecord;
use crate::warning::Family;

/// Rates of each trial's rounds, by its place and the round.
fn at_rates(rate: impl Fn(usize, u32) -> f64) -> LabRecord {
    let mut record = record();
    for (place, trial) in record.trials.iter_mut().enumerate() {
        for round in &mut trial.client.rounds {
            round.operations_per_second = rate(place, round.round);
        }
    }
    record
}

fn names(record: &LabRecord) -> Vec<(&'static str, Option<String>)> {
    verdicts(record).gates.into_iter().map(|gate| (gate.name, gate.target)).collect()
}

/// Up and down by a tenth, no two trials in step.
fn wobble(place: usize, round: u32) -> f64 {
    1.0 + 0.1 * (f64::from(round) * 2.0 + place as f64).sin()
}

#[test]
fn a_machine_that_slows_down_a_little_shows_in_all_placements_together() {
    let steady = at_rates(|place, round| 1_000.0 * (1 + place) as f64 * wobble(place, round));
    assert_eq!(names(&steady), []);
    let drifting = |to: f64| {
        at_rates(move |place, round| {
            let part = if round < 4 { 1.0 } else { to };
            1_000.0 * (1 + place) as f64 * part * wobble(place, round)
        })
    };
    // Too little for any of them by itself.
    assert_eq!(names(&drifting(0.88)), [("machine-steady", None)]);
    assert_eq!(names(&drifting(1.12)), [("machine-steady", None)]);
    let slower = drifting(0.88);
    let judged = verdicts(&slower);
    assert_eq!(judged.gates[0].spoils, [Family::Capacity, Family::Money]);
    // What is compared within a round stands.
    assert_eq!(verdict(&judged, "lb-terminate", "plaintext"), Verdict::CostsMore);
}

#[test]
fn a_trial_without_one_of_its_rounds_says_nothing_of_the_machine() {
    let mut record = at_rates(|_, round| if round < 4 { 1_000.0 } else { 900.0 });
    record.trials.truncate(1);
    assert!(names(&record).contains(&("machine-steady", None)));
    record.trials[0].client.rounds.remove(3);
    assert!(!names(&record).contains(&("machine-steady", None)));
    record.trials.clear();
    assert_eq!(names(&record), []);
}
