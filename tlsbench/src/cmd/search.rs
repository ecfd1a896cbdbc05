//! `tlsbench search`: the highest rate that meets a goal.

mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use tlsbench_core::escape::printable;
use tlsbench_core::placement::{KnownPlacement, Placement};
use tlsbench_core::record::{Measured, TargetRecord};
use tlsbench_core::scenario::{Length, Load, Scenario, Target, Timeout};
use tlsbench_core::search::{
    Goal, MissedGoal, RateBounds, Search as Strategy, SearchStep, TrialResult,
};
use tlsbench_core::tally::Failure;
use tlsbench_core::units::{Nanos, Rate};
use tlsbench_core::usage::UnderWay;
use tlsbench_engine::run::{self as engine, CutShort, Inputs, Progress, Stop};

use super::answer::Answer;
use super::flags;
use crate::exit::Exit;
use crate::lab::{RateTrial, RateTrials, TrialOutcome, is_of_placements};
use crate::progress::StepProgress;
use crate::scenario::open_scenario;
use crate::settings::{OutputFormat, SearchSettings};
use crate::signals::stop_on_signals;

use table::{JudgedTrial, SearchEnd, SearchLimits, TargetSearch};

/// Searches all that is named.
pub(super) fn answer(settings: &SearchSettings) -> anyhow::Result<Answer> {
    let stop = Arc::new(Stop::new());
    stop_on_signals(&stop).context("cannot listen for signals")?;
    let names_endpoint = settings.run.flags.target.is_some() || !is_of_placements(&settings.run);
    let (limits, all) = match names_endpoint {
        true => endpoints(settings, &stop)?,
        false => placements(settings, &stop)?,
    };
    let text = match settings.run.output {
        OutputFormat::Json => table::json(settings.p99, limits, &all),
        OutputFormat::Table => {
            let text = table::text(settings.p99, limits, &all, names_endpoint);
            printable(&flags::named(&text, settings.run.scenario.is_some())).into_owned()
        }
    };
    let has_all = all.iter().all(|searched| searched.found.from.is_some());
    Ok(Answer::new(text, if has_all { Exit::Fine } else { Exit::Negative }))
}

fn endpoints(
    settings: &SearchSettings,
    stop: &Stop,
) -> anyhow::Result<(SearchLimits, Vec<TargetSearch>)> {
    if settings.run.lab != crate::settings::LabSettings::default() {
        bail!(
            "--placement, --engine and --key are for placements on this machine, and an endpoint is \
             named; leave out one or the other"
        );
    }
    // Whether a target is in the lab is known only once the scenario is checked; until then the
    // careful rate holds.
    let start = settings.start.unwrap_or(START_ELSEWHERE);
    let scenario = open_scenario(&settings.run, start, settings.trial, settings.p99)?;
    let is_lab = scenario.targets.iter().all(Target::is_lab);
    if !is_lab && settings.max_rate.is_none() {
        bail!(
            "a target is not on this machine or in a private network, and a search asks for more and \
             more; say with --max-rate how much it may be"
        );
    }
    let start = settings.start.unwrap_or(if is_lab { START } else { START_ELSEWHERE });
    let bounds = bounds(settings, start)?;
    let limits = limits(settings, bounds, scenario.timeout.run);
    limits.tell();
    // Taken once, before the first target: `--max-time` is for all of them together.
    let until = limits.until();
    engine::raise_open_files();
    let mut all = Vec::new();
    for target in &scenario.targets {
        let only = Scenario { targets: vec![target.clone()], ..scenario.clone() };
        // Names are resolved once for each target, and all of its trials go to the same addresses.
        let inputs = Inputs::gather(&only).context("cannot begin")?;
        inputs.notes(&only).iter().for_each(|note| eprintln!("note: {note}"));
        let until = until.unwrap_or_else(|| limits.of_one());
        all.push(one(settings, (bounds, until), &target.name, stop, |plan| {
            trial(&only, &inputs, stop, plan)
        })?);
    }
    Ok((limits, all))
}

fn placements(
    settings: &SearchSettings,
    stop: &Stop,
) -> anyhow::Result<(SearchLimits, Vec<TargetSearch>)> {
    let folder = tempfile::tempdir().context("cannot make a folder for what hops are told")?;
    let trials = RateTrials::prepare(&settings.run, folder.path(), stop)?;
    let bounds = bounds(settings, settings.start.unwrap_or(START))?;
    let limits = limits(settings, bounds, settings.run.flags.timeout.run);
    limits.tell();
    let until = limits.until();
    let (chosen, known) = (&settings.run.lab.placements, &trials.lab.placements);
    let is_chosen = |one: &Placement| match chosen.is_empty() {
        // Twins are there to be held against: they are no place where TLS ends.
        true => {
            let is_twin =
                |other: &Placement| other.name != one.name && other.twin().name == one.name;
            one.name == KnownPlacement::Plaintext.as_str() || !known.iter().any(is_twin)
        }
        false => chosen.contains(&one.name),
    };
    let mut all = Vec::new();
    for placement in known.iter().filter(|one| is_chosen(one)) {
        // Hops stay up over all trials of a placement, as a server does whose highest rate is
        // wanted.
        let mut topology = trials.start(placement)?;
        let until = until.unwrap_or_else(|| limits.of_one());
        all.push(one(settings, (bounds, until), &placement.name, stop, |plan| {
            trials.trial(placement, &mut topology, plan)
        })?);
    }
    Ok((limits, all))
}

/// Returns the limits of a search: what its trials can need, or the time that `--max-time` gives to
/// all.
fn limits(settings: &SearchSettings, bounds: RateBounds, asked: Option<Nanos>) -> SearchLimits {
    // A trial ends once everything that it began was answered, or is later than the goal allows.
    let whole = |length: Nanos| warm_up(length) + length + settings.p99 + BESIDE_TRIAL;
    SearchLimits {
        trials: bounds.trials_max(),
        time: asked.unwrap_or(bounds.time_max(whole(settings.trial), whole(settings.confirm))),
        is_asked: asked.is_some(),
    }
}

const fn warm_up(length: Nanos) -> Nanos {
    Nanos(length.0 / WARM_UP_PART)
}

fn bounds(settings: &SearchSettings, start: f64) -> anyhow::Result<RateBounds> {
    let most = settings.max_rate.unwrap_or(MOST);
    let rate = |value: f64| Rate::per_second(value).context("a rate is a number above 0");
    Ok(RateBounds { start: rate(start)?, most: rate(most)?, resolution: settings.resolution })
}

/// Searches one, whose trials are made by `trial`.
fn one(
    settings: &SearchSettings,
    (bounds, until): (RateBounds, Instant),
    name: &str,
    stop: &Stop,
    mut trial: impl FnMut(RateTrial) -> anyhow::Result<TrialOutcome>,
) -> anyhow::Result<TargetSearch> {
    let goal = Goal { p99: settings.p99 };
    let shown = StepProgress::new("trials");
    let mut strategy = Strategy::new(bounds);
    let mut tried: Vec<JudgedTrial> = Vec::new();
    let mut unanswered = UnderWay::default();
    let ended = loop {
        let (rate, long) = match strategy.next() {
            SearchStep::Done(_) if strategy.is_exhausted() => break SearchEnd::Trials,
            SearchStep::Done(_) => break SearchEnd::Found,
            SearchStep::Try { rate, long } => (rate, long),
        };
        let length = if long { settings.confirm } else { settings.trial };
        let plan = RateTrial { rate, warm_up: warm_up(length), length, left: left(until), goal };
        let made = trial(plan).with_context(|| format!("cannot try `{name}`"))?;
        // A trial that was interrupted would count as a miss.
        if stop.is_asked() {
            bail!("it was asked to stop, and nothing is found yet of `{name}`");
        }
        if made.cut_short == Some(CutShort::Time) {
            unanswered = made.unanswered;
            break SearchEnd::Time;
        }
        let (one, is_dead) = judged(goal, plan, long, &made);
        match is_dead {
            true => strategy.record_dead(),
            false => strategy.record_result(one.failing.is_none()),
        }
        tried.push(one);
        let done = u32::try_from(tried.len()).unwrap_or(u32::MAX);
        shown.done(done, done.saturating_add(1));
    };
    shown.finish();
    let (found, met) = (strategy.so_far(), strategy.met());
    Ok(TargetSearch { name: name.to_owned(), found, met, tried, ended, unanswered })
}

/// Holds a trial against the goal; with it, whether nothing at all came to a good end.
fn judged(goal: Goal, plan: RateTrial, long: bool, made: &TrialOutcome) -> (JudgedTrial, bool) {
    let seen = TrialResult::of(&made.target, &made.load);
    let failures = failures(&made.target, &made.early);
    let failing = match made.cut_short {
        // Nobody waited for them: they would have failed in time, or been too late for the goal.
        Some(CutShort::Futile { late: late @ 1.. }) => {
            Some(MissedGoal::Unanswered { operations: late, longer_than_ns: goal.p99 })
        }
        _ => goal.failing(&seen),
    };
    // A trial that was decided early has hardly begun what might have succeeded.
    let is_futile = matches!(made.cut_short, Some(CutShort::Futile { .. }));
    let is_dead = seen.succeeded == 0 && (!is_futile || seen.scheduled >= DEAD_MIN);
    let generator_busy = seen.is_generator_busy();
    let rate = plan.rate.as_f64();
    (JudgedTrial { rate, long, failing, failures, generator_busy }, is_dead)
}

fn left(until: Instant) -> Nanos {
    let left = until.saturating_duration_since(Instant::now());
    Nanos(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
}

/// Counts failed operations by name. Those of the warm-up count if nothing was measured after it.
fn failures(target: &TargetRecord, early: &BTreeMap<Failure, u64>) -> BTreeMap<String, u64> {
    if target.rounds.is_empty() {
        return early.iter().map(|(failure, n)| (failure.as_str().to_owned(), *n)).collect();
    }
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in target.rounds.iter().flat_map(|round| &round.failed) {
        let sum = all.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    all
}

/// Makes one trial of an endpoint.
fn trial(
    scenario: &Scenario,
    inputs: &Inputs,
    stop: &Stop,
    plan: RateTrial,
) -> anyhow::Result<TrialOutcome> {
    let RateTrial { rate, warm_up, length, left, goal } = plan;
    let mut scenario = scenario.clone();
    scenario.timeout = Timeout { run: Some(left), ..scenario.timeout };
    let Load::Open { rate: asked, wait_max, .. } = &mut scenario.load else {
        bail!("a closed loop has no rate");
    };
    (*asked, scenario.timing.warm_up, scenario.timing.round) =
        (rate, warm_up, Length::Time(length));
    let wait_max = *wait_max;
    scenario.futility = goal.futility(&scenario.load, length);
    let name = scenario.targets.first().map(|target| target.name.clone()).unwrap_or_default();
    let mut target = TargetRecord::new(name);
    let mut unanswered = UnderWay::default();
    let outcome = engine::run(&scenario, inputs, stop, |progress| match progress {
        Progress::Slice(slice) => {
            let (tally, lap) = (&slice.tally, &slice.lap);
            target.push(&Measured { round: 0, tally, lap, wait_max });
        }
        Progress::StageEnds { unanswered: left, .. } => unanswered.add(&left),
        _ => {}
    })?;
    Ok(TrialOutcome {
        target,
        load: scenario.load,
        cut_short: outcome.cut_short,
        early: outcome.unmeasured.failed,
        unanswered,
    })
}

/// A small load for what is near, and one that nobody minds for what is not.
const START: f64 = 100.0;
const START_ELSEWHERE: f64 = 10.0;
/// More starts in a second no generator makes.
const MOST: f64 = 1e6;
/// A quarter of a trial's length goes before it.
const WARM_UP_PART: u64 = 4;
/// Threads and namespaces begin and end, and connections close, within this.
const BESIDE_TRIAL: Nanos = Nanos::from_millis(1_100);
/// Among fewer operations than this, none that succeeded says little.
const DEAD_MIN: u64 = 10;

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use tlsbench_core::scenario::{Arrivals, Spread};
    use tlsbench_core::tally::Tally;
    use tlsbench_core::usage::Lap;

    use super::*;

    const GOAL: Goal = Goal { p99: Nanos::from_millis(100) };

    /// Judges a trial at 100 per second that scheduled and succeeded so often.
    fn judged_after(
        scheduled: u64,
        succeeded: u64,
        cut_short: Option<CutShort>,
    ) -> (JudgedTrial, bool) {
        let rate = Rate::per_second(100.0).unwrap();
        let mut tally = Tally::new();
        (tally.scheduled, tally.succeeded) = (scheduled, succeeded);
        let mut target = TargetRecord::new("shop");
        let (lap, wait_max) = (Lap::default(), Nanos(0));
        target.push(&Measured { round: 0, tally: &tally, lap: &lap, wait_max });
        let load = Load::Open {
            arrivals: Arrivals::Connections { requests: NonZeroU64::MIN },
            rate,
            spread: Spread::Even,
            pool: NonZeroU32::MIN,
            wait_max,
        };
        let (early, unanswered) = (BTreeMap::new(), UnderWay::default());
        let made = TrialOutcome { target, load, cut_short, early, unanswered };
        let length = Nanos::from_millis(1_000);
        let plan = RateTrial { rate, warm_up: Nanos(0), length, left: length, goal: GOAL };
        judged(GOAL, plan, false, &made)
    }

    #[test]
    fn a_trial_that_was_ended_for_late_operations_missed_the_goal_by_them() {
        let (trial, is_dead) = judged_after(100, 95, Some(CutShort::Futile { late: 5 }));
        let wanted = MissedGoal::Unanswered { operations: 5, longer_than_ns: GOAL.p99 };
        assert_eq!((trial.failing, is_dead), (Some(wanted), false));
        assert!(trial.failures.is_empty(), "nobody waited until they failed");
    }

    #[test]
    fn a_server_is_dead_if_nothing_succeeded_of_enough_or_of_a_whole_trial() {
        let is_dead = |scheduled, cut_short| judged_after(scheduled, 0, cut_short).1;
        let futile = Some(CutShort::Futile { late: 2 });
        assert!(is_dead(20, futile) && !is_dead(2, futile), "two operations are few");
        assert!(is_dead(2, None), "a trial at a low rate has no more");
        assert!(!judged_after(20, 1, futile).1);
    }

    #[test]
    fn the_time_of_a_search_counts_warm_ups_and_what_is_waited_for() {
        let time = |millis| Nanos::from_millis(millis);
        let bounds = RateBounds {
            start: Rate::per_second(1.0).unwrap(),
            most: Rate::per_second(1.0).unwrap(),
            resolution: 1.0,
        };
        let settings = settings(time(400), time(800));
        // A quarter for the warm-up, the goal's limit, and what lies beside a trial.
        let (short, long) = (time(400 + 100 + 100 + 1_100), time(800 + 200 + 100 + 1_100));
        let limits = limits(&settings, bounds, None);
        assert_eq!(limits.time, bounds.time_max(short, long));
        assert!(!limits.is_asked);
        let asked = super::limits(&settings, bounds, Some(time(7)));
        assert_eq!((asked.time, asked.is_asked), (time(7), true));
    }

    fn settings(trial: Nanos, confirm: Nanos) -> SearchSettings {
        use clap::Parser as _;
        let words = ["tlsbench", "search", "--p99", "100ms"];
        let settings = crate::cli::Cli::try_parse_from(words).unwrap().settings();
        let crate::settings::Settings::Search(settings) = settings else { panic!() };
        SearchSettings { trial, confirm, ..*settings }
    }
}
