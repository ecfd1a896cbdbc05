//! Against scipy on fixed data, and against the truth on simulated data.

use super::super::{difference, mean, steadiness, welch};
use super::*;

const FIRST: [f64; 8] = [12.1, 11.8, 12.6, 12.3, 11.9, 12.4, 12.2, 12.0];
const SECOND: [f64; 8] = [13.3, 12.6, 13.9, 13.1, 13.2, 13.0, 13.6, 12.9];
const LITTLE: [f64; 9] = [0.4, -0.3, 0.5, 0.1, -0.2, 0.6, -0.1, 0.35, 0.05];
const DIFFERENCES: [f64; 8] = [1.2, 0.8, 1.3, 0.8, 1.3, 0.6, 1.4, 0.9];

/// Values by scipy; see `tests/fixtures/stats/make.py`.
fn recorded(name: &str) -> [f64; 2] {
    let text = include_str!("../../../../../tests/fixtures/stats/tests.tsv");
    let line = text.lines().find(|line| line.split('\t').next() == Some(name)).unwrap();
    let values: Vec<f64> = line.split('\t').skip(1).map(|v| v.parse().unwrap()).collect();
    values.try_into().unwrap()
}

fn assert_near(seen: Option<f64>, want: f64) {
    let seen = seen.unwrap();
    assert!((seen - want).abs() <= 1e-9 * want, "{seen} instead of {want}");
}

#[test]
fn chances_are_those_of_scipy() {
    assert_near(t_test(&DIFFERENCES), recorded("t_test")[0]);
    assert_near(t_test(&LITTLE), recorded("t_test")[1]);
    assert_near(sign_flip_test(&DIFFERENCES, 1), recorded("sign_flip")[0]);
    assert_near(sign_flip_test(&LITTLE, 1), recorded("sign_flip")[1]);
    let unpaired = |first: &[f64], second: &[f64]| welch(first, second).map(|(_, chance)| chance);
    assert_near(unpaired(&FIRST, &SECOND), recorded("welch")[0]);
    assert_near(unpaired(&DIFFERENCES, &LITTLE), recorded("welch")[1]);
    assert_near(unpaired(&LITTLE, &LITTLE), 1.0);
    assert_eq!((unpaired(&[1.0], &LITTLE), unpaired(&LITTLE, &[1.0, f64::NAN])), (None, None));
}

#[test]
fn many_sign_flips_come_near_what_all_of_them_give() {
    // Each value twice, halved: 18 values, of which not all ways are tried.
    let doubled: Vec<f64> = LITTLE.iter().flat_map(|value| [*value, *value]).collect();
    let sampled = sign_flip_test(&doubled, 7).unwrap();
    assert_eq!(sign_flip_test(&doubled, 7), Some(sampled));
    let normal = t_test(&doubled).unwrap();
    assert!((sampled - normal).abs() < 0.02, "{sampled} beside {normal} by t");
    let far: Vec<f64> = (0..20).map(|n| 10.0 + f64::from(n)).collect();
    assert_eq!(sign_flip_test(&far, 1), Some(1.0 / 20_001.0));
}

#[test]
fn differences_without_any_spread_are_certain_or_none() {
    assert_eq!((t_test(&[0.0; 4]), sign_flip_test(&[0.0; 4], 1)), (Some(1.0), Some(1.0)));
    assert_eq!((t_test(&[2.0; 4]), sign_flip_test(&[2.0; 4], 1)), (Some(0.0), Some(0.125)));
    let same = Estimate { value: 2.0, low: 2.0, high: 2.0, runs: 20 };
    assert_eq!(studentised_bootstrap(&[2.0; 20], 1), Some(same));
}

#[test]
fn too_little_gives_nothing() {
    for values in [&[][..], &[1.0], &[1.0, f64::NAN]] {
        assert_eq!((t_test(values), sign_flip_test(values, 1)), (None, None), "{values:?}");
    }
    assert_eq!(studentised_bootstrap(&[1.0; 19], 1), None);
    assert_eq!(studentised_bootstrap(&[f64::INFINITY; 20], 1), None);
}

#[test]
fn holm_multiplies_by_what_is_left_and_never_falls() {
    // By hand: sorted 0.01 0.02 0.03 0.04, times 4 3 2 1, each at least the one before.
    assert_eq!(holm(&[0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06]);
    assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    assert_eq!(holm(&[0.03]), [0.03]);
    assert_eq!(holm(&[]), [0.0; 0]);
}

#[test]
fn an_interval_of_drawn_again_values_is_reproducible_and_about_as_wide_as_by_t() {
    let mut noise = Noise::new(3);
    let values: Vec<f64> = (0..40).map(|_| 5.0 + noise.gauss()).collect();
    let drawn = studentised_bootstrap(&values, 11).unwrap();
    assert_eq!(studentised_bootstrap(&values, 11), Some(drawn));
    assert_ne!(studentised_bootstrap(&values, 12), Some(drawn));
    let by_t = mean(&values).unwrap();
    assert_eq!((drawn.value, drawn.runs), (by_t.value, 40));
    let widths = (drawn.high - drawn.low) / (by_t.high - by_t.low);
    assert!((0.85..1.2).contains(&widths), "{drawn:?} beside {by_t:?}");
}

/// Noise as rounds have it.
struct Noise(SplitMix64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// Box and Muller, 1958.
    fn gauss(&mut self) -> f64 {
        let radius = (-2.0 * (-self.0.unit()).ln_1p()).sqrt();
        radius * (std::f64::consts::TAU * self.0.unit()).cos()
    }

    /// Student's t with three degrees of freedom: far outliers, as a machine with neighbours has.
    fn t3(&mut self) -> f64 {
        let squares: f64 = (0..3).map(|_| self.gauss().powi(2)).sum();
        self.gauss() / (squares / 3.0).sqrt()
    }
}

const EXPERIMENTS: usize = 2_000;

/// Share of the experiments whose interval holds the true difference, 3.
fn coverage(
    rounds: usize,
    noise: fn(&mut Noise) -> f64,
    interval: impl Fn(&[(f64, f64)], u64) -> Estimate,
) -> f64 {
    let mut source = Noise::new(rounds as u64);
    let mut held = 0;
    for experiment in 0..EXPERIMENTS {
        let pairs: Vec<(f64, f64)> = (0..rounds)
            .map(|_| {
                // What both share in a round goes away with the difference.
                let round = 100.0 + 20.0 * source.gauss();
                (round + noise(&mut source), round + 3.0 + noise(&mut source))
            })
            .collect();
        let seen = interval(&pairs, experiment as u64);
        held += usize::from(seen.low <= 3.0 && 3.0 <= seen.high);
    }
    held as f64 / EXPERIMENTS as f64
}

#[test]
fn intervals_cover_what_they_say_at_few_rounds_and_with_outliers() {
    for noise in [Noise::gauss as fn(&mut Noise) -> f64, Noise::t3] {
        for rounds in [6, 8, 10, 20] {
            let share = coverage(rounds, noise, |pairs, _| difference(pairs).unwrap());
            // With outliers t errs to the safe side, by at most 2 points.
            assert!((0.93..=0.97).contains(&share), "{share} at {rounds} rounds");
        }
    }
}

#[test]
fn drawn_again_intervals_cover_what_they_say_from_20_rounds() {
    for noise in [Noise::gauss as fn(&mut Noise) -> f64, Noise::t3] {
        let share = coverage(20, noise, |pairs, seed| {
            let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
            studentised_bootstrap(&differences, seed).unwrap()
        });
        assert!((0.93..=0.97).contains(&share), "{share}");
    }
}

/// The limits that `docs/measuring.md` states: what intervals do not survive.
#[test]
fn neighbouring_rounds_that_are_alike_make_intervals_too_narrow() {
    let mut source = Noise::new(5);
    let mut held = 0;
    for _ in 0..EXPERIMENTS {
        let mut state = source.gauss();
        let values: Vec<f64> = (0..10)
            .map(|_| {
                // Autoregressive with 0.6, of variance 1.
                state = 0.6 * state + 0.8 * source.gauss();
                state
            })
            .collect();
        let seen = mean(&values).unwrap();
        held += usize::from(seen.low <= 0.0 && 0.0 <= seen.high);
    }
    let share = held as f64 / EXPERIMENTS as f64;
    assert!(share < 0.85, "{share}");
}

#[test]
fn of_many_series_that_do_not_change_few_runs_have_one_that_seems_to() {
    let mut source = Noise::new(7);
    let (series, experiments) = (70, 400);
    let (mut together, mut alone) = (0, 0);
    for _ in 0..experiments {
        let mut seems = [false; 2];
        for _ in 0..series {
            let values: Vec<f64> = (0..8).map(|_| (0.1 * source.gauss()).exp()).collect();
            for (seems, judged) in seems.iter_mut().zip([series, 1]) {
                let Estimate { low, high, .. } = steadiness(&values, judged).unwrap();
                *seems |= low > 1.0 || high < 1.0;
            }
        }
        together += usize::from(seems[0]);
        alone += usize::from(seems[1]);
    }
    // 5 % with two standard errors of that; Welch's interval is narrow by little for four values a
    // side.
    assert!(together <= 30, "{together} of {experiments}");
    assert!(alone >= 360, "{alone} of {experiments}");
}
