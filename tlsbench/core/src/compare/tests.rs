use super::*;
use crate::random::SplitMix64;

fn comparison(rounds: Vec<(f64, f64)>) -> Comparison {
    let margin = Some(Share::from_percent(5));
    let (name, against) = ("b".to_owned(), "a".to_owned());
    Comparison { name, against, rounds, declared: true, spoiled: false, margin }
}

fn verdict(comparison: &Comparison) -> Verdict {
    compare(std::slice::from_ref(comparison), 1)[0].verdict
}

/// Eight rounds whose second value is `ratio` times the first, more or less by `noise`.
fn rounds(ratio: f64, noise: f64) -> Vec<(f64, f64)> {
    // In no order, and of sum zero.
    const OFF: [f64; 8] = [0.5, -1.0, 1.0, -0.5, -0.75, 0.75, 0.25, -0.25];
    let base = (0..8).map(|n| 100.0 + f64::from(n % 3));
    base.zip(OFF).map(|(base, off)| (base, base * ratio * (1.0 + noise * off))).collect()
}

#[test]
fn words_need_certainty_and_size() {
    assert_eq!(verdict(&comparison(rounds(1.10, 0.01))), Verdict::CostsMore);
    assert_eq!(verdict(&comparison(rounds(0.90, 0.01))), Verdict::CostsLess);
    // Certain, and too small to matter.
    let small = compare(&[comparison(rounds(1.01, 0.001))], 1).remove(0);
    assert!(small.chance.unwrap() < 0.001);
    assert_eq!(small.verdict, Verdict::Equal { within: 0.05 });
    // Large, and uncertain.
    let Verdict::CannotTell { visible } = verdict(&comparison(rounds(1.10, 0.30))) else {
        panic!()
    };
    assert!((0.1..0.3).contains(&visible), "{visible}");
}

#[test]
fn equality_needs_the_whole_interval_and_a_margin() {
    assert_eq!(verdict(&comparison(rounds(1.0, 0.02))), Verdict::Equal { within: 0.05 });
    assert!(matches!(verdict(&comparison(rounds(1.0, 0.2))), Verdict::CannotTell { .. }));
    let without = Comparison { margin: None, ..comparison(rounds(1.0, 0.02)) };
    assert!(matches!(verdict(&without), Verdict::CannotTell { .. }));
}

#[test]
fn nothing_is_said_of_what_was_not_asked_or_is_too_little_or_drifts() {
    let undeclared = Comparison { declared: false, ..comparison(rounds(1.5, 0.01)) };
    let finding = compare(&[undeclared], 1).remove(0);
    assert_eq!(finding.verdict, Verdict::Inconclusive { reason: InconclusiveReason::Undeclared });
    assert_eq!(finding.chance, None);
    assert!(finding.ratio.unwrap().low > 1.4, "intervals are for all");

    let spoiled = Comparison { spoiled: true, ..comparison(rounds(1.5, 0.01)) };
    assert_eq!(verdict(&spoiled), Verdict::Inconclusive { reason: InconclusiveReason::Spoiled });

    let few = comparison(rounds(1.5, 0.01)[..5].to_vec());
    assert_eq!(verdict(&few), Verdict::Inconclusive { reason: InconclusiveReason::TooLittle });
    let zero = comparison(vec![(0.0, 1.0); 8]);
    assert_eq!(verdict(&zero), Verdict::Inconclusive { reason: InconclusiveReason::TooLittle });
    let drifts = (0..12).map(|n| (100.0, 110.0 + 3.0 * f64::from(n))).collect();
    assert_eq!(
        verdict(&comparison(drifts)),
        Verdict::Inconclusive { reason: InconclusiveReason::Drifting }
    );
}

#[test]
fn more_comparisons_ask_for_more_certainty() {
    let close = comparison(rounds(1.05, 0.06));
    let alone = compare(std::slice::from_ref(&close), 1).remove(0);
    assert_eq!(alone.verdict, Verdict::CostsMore);
    let other = comparison(rounds(1.0, 0.2));
    let mut many = vec![other; 10];
    many.push(close);
    let among = compare(&many, 1).pop().unwrap();
    let (alone, among_all) = (alone.chance.unwrap(), among.chance.unwrap());
    assert!((among_all - 11.0 * alone).abs() < 1e-12, "{alone} {among_all}");
    // One that was not declared takes no certainty away.
    many.insert(0, Comparison { declared: false, ..comparison(rounds(1.0, 0.2)) });
    assert_eq!(compare(&many, 1).pop().unwrap().chance, Some(among_all));
}

#[test]
fn findings_say_what_they_are_in_words_and_in_json() {
    let words = [
        (Verdict::CostsMore, "costs more", r#"{"is":"costs-more"}"#),
        (Verdict::Equal { within: 0.05 }, "equal within 5 %", r#"{"is":"equal","within":0.05}"#),
        (
            Verdict::CannotTell { visible: 0.123 },
            "cannot tell (smallest visible effect 12.3 %)",
            r#"{"is":"cannot-tell","visible":0.123}"#,
        ),
        (
            Verdict::Inconclusive { reason: InconclusiveReason::Undeclared },
            "no verdict: not declared before the run",
            r#"{"is":"none","why":"undeclared"}"#,
        ),
    ];
    for (verdict, text, json) in words {
        assert_eq!(verdict.to_string(), text);
        assert_eq!(serde_json::to_string(&verdict).unwrap(), json);
        assert_eq!(serde_json::from_str::<Verdict>(json).unwrap(), verdict);
    }
}

struct Noise(SplitMix64);

impl Noise {
    /// Box and Muller, 1958.
    fn gauss(&mut self) -> f64 {
        let radius = (-2.0 * (-self.0.unit()).ln_1p()).sqrt();
        radius * (std::f64::consts::TAU * self.0.unit()).cos()
    }

    /// Rounds of two things, of which the second is `ratio` times the first. In one round of ten
    /// the host is busy with something else, for one of them.
    fn rounds(&mut self, count: usize, ratio: f64) -> Vec<(f64, f64)> {
        let mut value = |mean: f64| {
            let spike = if self.0.unit() < 0.1 { 15.0 } else { 0.0 };
            mean + 3.0 * self.gauss() + spike
        };
        (0..count).map(|_| (value(100.0), value(100.0 * ratio))).collect()
    }
}

/// Share of the experiments with at least one such verdict.
fn share_with(is: impl Fn(&Verdict) -> bool, rounds: usize, ratio: f64) -> f64 {
    let mut noise = Noise(SplitMix64::new(17));
    let hits = (0..EXPERIMENTS).filter(|seed| {
        let all: Vec<Comparison> =
            (0..11).map(|_| comparison(noise.rounds(rounds, ratio))).collect();
        compare(&all, *seed).iter().any(|finding| is(&finding.verdict))
    });
    hits.count() as f64 / EXPERIMENTS as f64
}

const EXPERIMENTS: u64 = 2_000;

#[test]
fn the_same_against_itself_seldom_is_said_to_differ() {
    let differs = |verdict: &Verdict| matches!(verdict, Verdict::CostsMore | Verdict::CostsLess);
    let share = share_with(differs, 8, 1.0);
    // Two standard errors of 2,000 experiments at 5 % are one point.
    assert!(share <= 0.05, "{share} of experiments have a false word, spikes and all");
}

#[test]
fn a_tenth_more_is_seen_by_eight_rounds() {
    let mut noise = Noise(SplitMix64::new(23));
    let seen = (0..EXPERIMENTS).filter(|seed| {
        let one = comparison(noise.rounds(8, 1.15));
        compare(&[one], *seed)[0].verdict == Verdict::CostsMore
    });
    let share = seen.count() as f64 / EXPERIMENTS as f64;
    assert!(share > 0.8, "{share}");
}
