//! The scenario of endpoints that flags and a scenario file ask for.

use std::num::NonZeroU32;

use anyhow::{Context as _, anyhow};
use tlsbench_core::problem::Problem;
use tlsbench_core::scenario::{Draft, LoopName, Scenario, Timeout, TimingDraft};
use tlsbench_core::units::Nanos;

use crate::settings::RunSettings;
use crate::store;

/// Returns the scenario of file and flags. A problem names the line of the file that is to blame.
pub(crate) fn scenario(
    settings: &RunSettings,
    change: impl FnOnce(&mut Draft),
) -> anyhow::Result<Scenario> {
    let Some(path) = &settings.scenario else {
        let mut draft = draft(settings, Draft::default());
        change(&mut draft);
        let finished = draft.finish();
        return finished.map_err(|problems| refused("this", &problems));
    };
    let name = format!("scenario `{}`", path.display());
    let text = store::read_small(path)?;
    let file = Draft::from_toml(&text).with_context(|| format!("cannot use {name}"))?;
    let mut draft = draft(settings, file);
    change(&mut draft);
    draft.finish().map_err(|problems| {
        // `--sni` is laid over each target of the file, whose lines are not to blame then.
        let is_of_flags = |problem: &Problem| problem.key == "target.sni" && settings.sni.is_some();
        let placed = problems.into_iter().map(|problem| match is_of_flags(&problem) {
            true => problem,
            false => problem.in_file(&text, &settings.flags),
        });
        refused(&name, &placed.collect::<Vec<_>>())
    })
}

fn draft(settings: &RunSettings, file: Draft) -> Draft {
    let mut draft = settings.flags.clone().or(file);
    for target in draft.target.iter_mut().flatten() {
        target.sni = settings.sni.clone().or(target.sni.take());
        target.connect_to = settings.connect_to.clone().or(target.connect_to.take());
    }
    draft
}

pub(crate) fn refused(what: &str, problems: &[Problem]) -> anyhow::Error {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow!("{what} cannot be measured:\n{}", problems.join("\n"))
}

/// Returns the scenario of file and flags as an open load at a rate, whatever load and times they
/// say.
pub(crate) fn open_scenario(
    settings: &RunSettings,
    rate: f64,
    trial: Nanos,
    p99: Nanos,
) -> anyhow::Result<Scenario> {
    let mut scenario = scenario(settings, |draft| {
        let load = &mut draft.load;
        (load.kind, load.rate, load.connections) = (Some(LoopName::Open), Some(rate), None);
        draft.timing =
            TimingDraft { round: Some(trial), warm_up: Some(Nanos(0)), ..TimingDraft::default() };
        // What takes so much longer has missed the goal, and a trial waits for all that it began.
        draft.timeout.operation.get_or_insert(trial_timeouts(p99).operation);
    })?;
    // A trial is one round.
    scenario.timing.rounds = NonZeroU32::MIN;
    Ok(scenario)
}

/// Returns the time limits of a search's operations for this p99, where none are given.
pub(crate) fn trial_timeouts(p99: Nanos) -> Timeout {
    let operation = Nanos(p99.0.saturating_mul(TIMEOUT_FACTOR)).clamp(TIMEOUT_MIN, TIMEOUT_MAX);
    let Timeout { connect, handshake, .. } = Timeout::DEFAULT;
    Timeout {
        operation,
        // A part may not take longer than the whole, which `finish` refuses.
        connect: connect.min(operation),
        handshake: handshake.min(operation),
        first_byte: operation,
        run: None,
    }
}

/// The longest time of an operation of a search, in multiples of the goal's p99.
const TIMEOUT_FACTOR: u64 = 10;
/// One lost SYN (1 s) and a retransmission more say nothing of a server.
const TIMEOUT_MIN: Nanos = Nanos::from_millis(5_000);
/// The longest that an operation may take at all.
const TIMEOUT_MAX: Nanos = Nanos::from_millis(300_000);
