//! Gates of a run over placements.

use super::counts;
use crate::lab::{Pass, Workload};
use crate::record::lab::{LabRecord, TrialRecord};
use crate::scenario::Draft;
use crate::warning::{Family, Gate, OTHERS_MAX, Warning, drift, judge_target};

/// All of them.
pub(super) fn gates(record: &LabRecord) -> Vec<Gate> {
    let mut gates: Vec<Gate> = Vec::new();
    let together = record.trials.len();
    for trial in &record.trials {
        // Each trial carries the scenario that the engine ran, so gates judge what was really run.
        let scenario = Draft::from_toml(&trial.scenario).ok().and_then(|draft| draft.finish().ok());
        // A record that was edited says nothing of what was asked, and is judged as it stands.
        let found =
            scenario.iter().flat_map(|scenario| judge_target(&trial.client, scenario, together));
        gates.extend(found.map(|gate| cured(gate, trial.pass)));
        let of_trial = scenario.as_ref().zip(record.placement(&trial.placement));
        gates.extend(
            of_trial.and_then(|(scenario, placement)| counts::gate(trial, placement, scenario)),
        );
    }
    gates.extend(machine(record));
    if let Some(others) = record.others.as_ref().filter(|others| others.share > OTHERS_MAX.as_f64())
    {
        gates.push(Gate {
            name: "others",
            target: None,
            warning: Warning {
                seen: format!("other processes used {:.1} % of the machine", others.share * 100.0),
                cause: format!("of `{}` most of all, for {}", others.top, others.top_ns),
                cure: "stop them, or measure when they rest".to_owned(),
            },
            spoils: &[Family::Cpu],
        });
    }
    gates
}

/// A run over placements chooses rate, pool and threads by itself, so nobody can turn to those.
fn cured(mut gate: Gate, pass: Pass) -> Gate {
    let is_of_generator = ["achieved", "generator-busy", "send-lag"].contains(&gate.name);
    if pass == Pass::Latency && is_of_generator {
        gate.warning.cure = CURE_OF_LATENCY.to_owned();
    }
    gate
}

/// Judges the machine by all closed loops together: what becomes slower in each of them by less
/// than their own noise shows in their mean. Whatever is compared within a round stands
/// nevertheless.
fn machine(record: &LabRecord) -> Option<Gate> {
    let cpu = record.trials.iter().filter(|trial| trial.pass == Pass::Cpu);
    // The mix is measured in some rounds only, and would lift or lower their mean.
    let fitted = cpu.filter(|trial| trial.workload != Workload::Mix);
    let speeds: Vec<Vec<f64>> =
        fitted.filter_map(|trial| speeds(trial, record.lab.rounds)).collect();
    let of_round = |round: usize| {
        let all: Vec<f64> = speeds.iter().filter_map(|trial| trial.get(round)).copied().collect();
        (all.iter().sum::<f64>() / all.len() as f64).exp()
    };
    let rounds: Vec<f64> = (0..speeds.first()?.len()).map(of_round).collect();
    Some(Gate {
        name: "machine-steady",
        target: None,
        warning: Warning {
            seen: drift("rate of all placements together", &rounds, 1)?,
            cause: "the machine was throttled, or its neighbours took from it".into(),
            cure: "measure again when it is left alone, and look with `tlsbench doctor`".into(),
        },
        spoils: &[Family::Capacity, Family::Money],
    })
}

/// Logarithms of a trial's rates, less their mean, in every round; `None` if one is missing.
fn speeds(trial: &TrialRecord, rounds: u32) -> Option<Vec<f64>> {
    let rate = |round| {
        let of_round = trial.client.rounds.iter().filter(|each| each.round == round);
        let rate: f64 = of_round.map(|each| each.operations_per_second).sum();
        (rate > 0.0).then(|| rate.ln())
    };
    let logs: Vec<f64> = (0..rounds).map(rate).collect::<Option<_>>()?;
    // Less the trial's mean, so that fast and slow placements weigh alike.
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    Some(logs.iter().map(|log| log - mean).collect())
}

const CURE_OF_LATENCY: &str = "stop what else runs, lower `latency.share` in a scenario file, or leave the \
                               pass out with `--pass cpu`";
