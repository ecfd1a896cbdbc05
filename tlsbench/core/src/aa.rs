//! Placements against themselves: a difference that is seen there is none, so that it tells how far
//! the words of this machine and this way of measuring can be trusted.

use serde::Serialize;

use crate::compare::{CHANCE_MAX, CPU_MARGIN, Comparison, InconclusiveReason, Verdict, compare};
use crate::lab::Workload;
use crate::placement::Placement;
use crate::record::lab::LabRecord;
use crate::stats::{Estimate, most_by_chance};
use crate::verdicts::{costs, is_spoiled, paired_rounds, verdicts};
use crate::warning::Family;

/// The result of comparing placements with themselves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AaReport {
    /// The version of this format, [`SCHEMA`].
    pub schema: u32,
    /// Each comparison.
    pub comparisons: Vec<AaPair>,
    /// Comparisons with a verdict.
    pub judged: u32,
    /// Verdicts that are wrong.
    pub wrong: u32,
    /// The most that chance alone explains.
    pub wrong_max: u32,
    /// The result: it passes if there are enough verdicts, and not too many of them wrong.
    pub answer: AaAnswer,
}

/// Result of an A/A run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AaAnswer {
    /// No more are wrong than chance explains.
    Passes,
    /// Too few comparisons have a verdict.
    TooFew,
    /// More are wrong than chance explains.
    Fails,
}

/// A placement against itself under one workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AaPair {
    /// The run's record.
    pub record: String,
    /// The placement.
    pub placement: String,
    /// The workload.
    pub workload: Workload,
    /// CPU time of all hops per operation in microseconds, in each round: of the one, of the other.
    pub rounds: Vec<(f64, f64)>,
    /// Ratio of the second to the first.
    pub ratio: Option<Estimate>,
    /// The word for it, judged by itself.
    pub verdict: Verdict,
}

/// Placements, each followed by itself under another name. Baselines without TLS are compared with
/// themselves too.
#[must_use]
pub fn doubled(placements: &[Placement]) -> Vec<Placement> {
    let again = |placement: &Placement| Placement {
        name: format!("{}{AGAIN}", placement.name),
        ..placement.clone()
    };
    placements.iter().flat_map(|placement| [placement.clone(), again(placement)]).collect()
}

/// Every placement of a record that was measured against itself, under each workload.
#[must_use]
pub fn within(name: &str, record: &LabRecord) -> Vec<(Workload, Comparison, String)> {
    let gates = verdicts(record).gates;
    let mut found = Vec::new();
    for placement in &record.lab.placements {
        let again = format!("{}{AGAIN}", placement.name);
        // A placement of the user's own may end in the suffix and be another.
        let is_same = |other: &Placement| other.hops == placement.hops;
        if !record.placement(&again).is_some_and(is_same) {
            continue;
        }
        for workload in &record.lab.workloads {
            let (Some(one), Some(other)) =
                (record.trial(&placement.name, *workload), record.trial(&again, *workload))
            else {
                continue;
            };
            let comparison = Comparison {
                name: again.clone(),
                against: placement.name.clone(),
                rounds: paired_rounds(costs(one), costs(other)),
                declared: true,
                spoiled: [one, other].iter().any(|trial| is_spoiled(&gates, Family::Cpu, trial)),
                margin: Some(CPU_MARGIN),
            };
            found.push((*workload, comparison, name.to_owned()));
        }
    }
    found
}

impl AaReport {
    /// Judges comparisons of things with themselves, each alone: one in twenty may be wrong, where
    /// all of a run together may be in one run of twenty.
    #[must_use]
    pub fn of(comparisons: Vec<(Workload, Comparison, String)>, seed: u64) -> Self {
        let comparisons: Vec<AaPair> = comparisons
            .into_iter()
            .flat_map(|(workload, comparison, record)| {
                // Alone, without Holm: the question is how often one word is wrong, not whether any
                // is.
                let found = compare(std::slice::from_ref(&comparison), seed);
                let Comparison { against: placement, rounds, .. } = comparison;
                found.into_iter().map(move |finding| AaPair {
                    record: record.clone(),
                    placement: placement.clone(),
                    workload,
                    rounds: rounds.clone(),
                    ratio: finding.ratio,
                    verdict: finding.verdict,
                })
            })
            .collect();
        let count = |is: fn(&AaPair) -> bool| {
            u32::try_from(comparisons.iter().filter(|one| is(one)).count()).unwrap_or(u32::MAX)
        };
        let judged = count(|one| !matches!(one.verdict, Verdict::Inconclusive { .. }));
        let wrong = count(AaPair::is_wrong);
        let wrong_max = most_by_chance(judged, CHANCE_MAX);
        let answer = match judged {
            ..JUDGED_MIN => AaAnswer::TooFew,
            _ if wrong <= wrong_max => AaAnswer::Passes,
            _ => AaAnswer::Fails,
        };
        Self { schema: SCHEMA, comparisons, judged, wrong, wrong_max, answer }
    }
}

impl AaPair {
    /// Returns true if the verdict is a difference, where there is none.
    #[must_use]
    pub const fn is_wrong(&self) -> bool {
        matches!(self.verdict, Verdict::CostsLess | Verdict::CostsMore)
    }

    /// Reason why there is no verdict, if there is none.
    #[must_use]
    pub const fn silence(&self) -> Option<InconclusiveReason> {
        match self.verdict {
            Verdict::Inconclusive { reason } => Some(reason),
            _ => None,
        }
    }
}

/// Suffix of the name under which a placement is measured a second time.
pub const AGAIN: &str = "-again";
/// The version of the format that is written here.
pub const SCHEMA: u32 = 1;
/// The fewest comparisons with a verdict: of 20, one is wrong on average, and four seldom are.
pub const JUDGED_MIN: u32 = 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::placement::KnownPlacement;
    use crate::random::SplitMix64;

    fn comparison(rounds: Vec<(f64, f64)>) -> (Workload, Comparison, String) {
        let (name, against) = ("lb-terminate-again".to_owned(), "lb-terminate".to_owned());
        let margin = Some(CPU_MARGIN);
        let comparison =
            Comparison { name, against, rounds, declared: true, spoiled: false, margin };
        (Workload::Full, comparison, "run.json".to_owned())
    }

    /// Eight rounds, the second of which is `ratio` times the first, more or less.
    fn rounds(ratio: f64, bits: &mut SplitMix64) -> Vec<(f64, f64)> {
        let mut value = |mean: f64| {
            let sum: f64 = (0..12).map(|_| bits.unit()).sum();
            mean * (1.0 + 0.03 * (sum - 6.0))
        };
        (0..8).map(|_| (value(100.0), value(100.0 * ratio))).collect()
    }

    #[test]
    fn things_that_are_the_same_pass_and_things_that_differ_do_not() {
        let mut bits = SplitMix64::new(3);
        let mut all = |ratio: f64, count: usize| {
            AaReport::of((0..count).map(|_| comparison(rounds(ratio, &mut bits))).collect(), 1)
        };
        let same = all(1.0, 30);
        assert_eq!(same.answer, AaAnswer::Passes);
        assert!(same.wrong <= same.wrong_max && (20..=30).contains(&same.judged), "{same:?}");
        let differ = all(1.2, 30);
        assert_eq!((differ.answer, differ.wrong), (AaAnswer::Fails, differ.judged));
        assert_eq!(all(1.0, 19).answer, AaAnswer::TooFew);
    }

    #[test]
    fn what_has_no_verdict_does_not_count() {
        let mut bits = SplitMix64::new(4);
        let all = (0..25).map(|index| {
            let (workload, comparison, record) = comparison(rounds(1.0, &mut bits));
            (workload, Comparison { spoiled: index < 6, ..comparison }, record)
        });
        let trust = AaReport::of(all.collect(), 1);
        assert_eq!(trust.answer, AaAnswer::TooFew);
        assert_eq!(trust.comparisons[0].silence(), Some(InconclusiveReason::Spoiled));
        let judged = trust.comparisons.iter().filter(|one| one.silence().is_none()).count();
        assert!(trust.judged as usize == judged && judged <= 19, "{judged}");
    }

    #[test]
    fn one_word_in_twenty_is_wrong_at_most_where_nothing_differs() {
        let mut bits = SplitMix64::new(5);
        let all = (0..2_000).map(|_| comparison(rounds(1.0, &mut bits)));
        let trust = AaReport::of(all.collect(), 1);
        assert!(f64::from(trust.wrong) / f64::from(trust.judged) <= 0.05, "{}", trust.wrong);
        assert_eq!(trust.answer, AaAnswer::Passes);
    }

    #[test]
    fn what_was_recorded_of_things_beside_themselves_passes() {
        let (mut judged, mut wrong) = (0, 0);
        for text in [
            include_str!("../../../tests/fixtures/aa/2026-11-21.tsv"),
            include_str!("../../../tests/fixtures/aa/2026-11-22.tsv"),
        ] {
            let trust = AaReport::of(recorded(text), 1);
            assert_eq!(trust.answer, AaAnswer::Passes);
            // Judged together, as a run judges its own, none of them has a false word.
            let all: Vec<Comparison> =
                trust.comparisons.iter().map(|one| comparison(one.rounds.clone()).1).collect();
            let found = compare(&all, 1);
            let differs = |verdict| matches!(verdict, Verdict::CostsLess | Verdict::CostsMore);
            assert!(!found.iter().any(|finding| differs(finding.verdict)));
            (judged, wrong) = (judged + trust.judged, wrong + trust.wrong);
        }
        // One comparison of the second has no verdict: its neighbouring rounds are alike.
        assert_eq!(judged, 51);
        assert!(wrong * 20 <= judged, "{wrong} of {judged}");
    }

    /// The comparisons of a recorded run.
    fn recorded(text: &str) -> Vec<(Workload, Comparison, String)> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let recorded = lines.map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let numbers: Vec<f64> = fields[2..].iter().map(|text| text.parse().unwrap()).collect();
            let rounds = numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect();
            let (_, found, record) = comparison(rounds);
            let found = Comparison { against: fields[0].to_owned(), ..found };
            (fields[1].parse().unwrap(), found, record)
        });
        recorded.collect()
    }

    #[test]
    fn a_doubled_placement_is_the_same_under_another_name() {
        let both = doubled(&[
            KnownPlacement::Passthrough.placement(),
            KnownPlacement::Plaintext.placement(),
        ]);
        let names: Vec<&str> = both.iter().map(|placement| placement.name.as_str()).collect();
        assert_eq!(names, ["passthrough", "passthrough-again", "plaintext", "plaintext-again"]);
        assert_eq!(both[0].hops, both[1].hops);
        assert!(both.iter().all(|placement| placement.problems().is_empty()));
    }

    #[test]
    fn the_page_names_every_field_and_no_other() {
        let rounds = (0..8).map(|round| (100.0, 100.0 + f64::from(round % 2) / 10.0));
        let trust = AaReport::of(vec![comparison(rounds.collect())], 1);
        assert!(matches!(trust.comparisons[0].verdict, Verdict::Equal { .. }), "{trust:?}");
        let mut written = BTreeSet::new();
        paths(&serde_json::to_value(&trust).unwrap(), "", &mut written);
        let page = include_str!("../../../docs/aa.md");
        let names = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        assert_eq!(names.map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>(), written);
    }

    fn paths(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
        use serde_json::Value::{Array, Object};
        match value {
            Object(fields) => {
                for (name, value) in fields {
                    let dot = if path.is_empty() { "" } else { "." };
                    paths(value, &format!("{path}{dot}{name}"), found);
                }
            }
            Array(all) => all.iter().for_each(|value| paths(value, &format!("{path}[]"), found)),
            _ => drop(found.insert(path.to_owned())),
        }
    }
}
