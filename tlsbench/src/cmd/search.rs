//! `tlsbench search`: the highest rate that meets a goal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use comfy_table::{Table, presets};
use serde_json::json;
use tlsbench_core::escape::printable;
use tlsbench_core::placement::{Known, Placement};
use tlsbench_core::record::{Measured, TargetRecord};
use tlsbench_core::scenario::{Length, Load, Scenario, Target};
use tlsbench_core::search::{Bounds, Failing, Found, Goal, Search as Strategy, Seen, Step};
use tlsbench_core::tally::Failure;
use tlsbench_core::units::{Nanos, Rate};
use tlsbench_core::warning::cure;
use tlsbench_engine::run::{self as engine, CutShort, Inputs, Progress, Stop};

use super::{build, run};
use crate::exit::Exit;
use crate::progress::StepProgress;
use crate::settings::{Output, Search};

/// What was found of one endpoint or placement.
struct Searched {
    name: String,
    found: Found,
    tried: Vec<Tried>,
    /// It ended before it was over, by `--max-time`.
    out_of_time: bool,
}

/// One trial.
struct Tried {
    rate: f64,
    long: bool,
    failing: Option<Failing>,
    /// What operations failed by, and how many; those of the warm-up where it ended there.
    failures: BTreeMap<String, u64>,
    generator_busy: bool,
}

impl Tried {
    /// Why it did not meet the goal.
    fn why(&self) -> Option<String> {
        let failing = self.failing.as_ref()?;
        Some(match (failing, self.failed_by()) {
            (Failing::Errors { .. }, Some(by)) => format!("{failing}, most by {by}"),
            _ => failing.to_string(),
        })
    }

    /// What most operations failed by that did.
    fn failed_by(&self) -> Option<&str> {
        let most = self.failures.iter().max_by_key(|(_, count)| **count);
        most.map(|(name, _)| name.as_str())
    }

    /// Each failure with its count and what to do about it.
    fn reasons(&self) -> impl Iterator<Item = String> {
        self.failures.iter().map(|(name, count)| {
            let known = Failure::ALL.into_iter().find(|failure| failure.as_str() == name);
            let cure = known.map(|failure| format!(": {}", cure(failure))).unwrap_or_default();
            format!("{count} failed by {name}{cure}")
        })
    }
}

/// What it came to: the text, and the answer.
pub(super) fn search(settings: &Search) -> anyhow::Result<(String, Exit)> {
    let stop = Arc::new(Stop::new());
    run::stop_on_signals(&stop).context("cannot listen for signals")?;
    let names_endpoint =
        settings.run.flags.target.is_some() || !run::is_of_placements(&settings.run);
    let all = match names_endpoint {
        true => endpoints(settings, &stop)?,
        false => placements(settings, &stop)?,
    };
    let text = match settings.run.output {
        Output::Json => json(settings, &all),
        Output::Table => printable(&text(settings, &all, names_endpoint)).into_owned(),
    };
    let has_all = all.iter().all(|searched| searched.found.from.is_some());
    Ok((text, if has_all { Exit::Fine } else { Exit::Negative }))
}

fn endpoints(settings: &Search, stop: &Stop) -> anyhow::Result<Vec<Searched>> {
    if settings.run.lab != crate::settings::LabRun::default() {
        bail!(
            "--placement, --engine and --key are for placements on this machine, and an endpoint is \
             named; leave out one or the other"
        );
    }
    let start = settings.start.unwrap_or(START_ELSEWHERE);
    let scenario = run::open_scenario(&settings.run, start, settings.trial, settings.p99)?;
    let is_lab = scenario.targets.iter().all(Target::is_lab);
    if !is_lab && settings.max_rate.is_none() {
        bail!(
            "a target is not on this machine or in a private network, and a search asks for more and \
             more; say with --max-rate how much it may be"
        );
    }
    let start = settings.start.unwrap_or(if is_lab { START } else { START_ELSEWHERE });
    let bounds = bounds(settings, start)?;
    let until = scenario.timeout.run.map(|run| Instant::now() + Duration::from_nanos(run.0));
    engine::raise_open_files();
    let mut all = Vec::new();
    for target in &scenario.targets {
        let mut only = Scenario { targets: vec![target.clone()], ..scenario.clone() };
        let inputs = Inputs::gather(&only).context("cannot begin")?;
        inputs.notes(&only).iter().for_each(|note| eprintln!("note: {note}"));
        all.push(one(settings, bounds, &target.name, stop, |rate, times| {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            only.timeout.run =
                left.map(|left| Nanos(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)));
            trial(&only, &inputs, stop, rate, times)
        })?);
    }
    Ok(all)
}

fn placements(settings: &Search, stop: &Stop) -> anyhow::Result<Vec<Searched>> {
    let folder = tempfile::tempdir().context("cannot make a folder for what hops are told")?;
    let standing = run::Standing::prepare(&settings.run, folder.path(), stop)?;
    let bounds = bounds(settings, settings.start.unwrap_or(START))?;
    let timeout = run::patience(settings.p99);
    let (chosen, known) = (&settings.run.lab.placements, &standing.lab.placements);
    let is_chosen = |one: &Placement| match chosen.is_empty() {
        // Twins are there to be held against: they are no place where TLS ends.
        true => {
            let is_twin =
                |other: &Placement| other.name != one.name && other.twin().name == one.name;
            one.name == Known::Plaintext.as_str() || !known.iter().any(is_twin)
        }
        false => chosen.contains(&one.name),
    };
    let mut all = Vec::new();
    for placement in known.iter().filter(|one| is_chosen(one)) {
        let mut topology = standing.start(placement)?;
        all.push(one(settings, bounds, &placement.name, stop, |rate, times| {
            standing.trial(placement, &mut topology, rate, times, timeout)
        })?);
    }
    Ok(all)
}

fn bounds(settings: &Search, start: f64) -> anyhow::Result<Bounds> {
    let most = settings.max_rate.unwrap_or(MOST);
    let rate = |value: f64| Rate::per_second(value).context("a rate is a number above 0");
    Ok(Bounds { start: rate(start)?, most: rate(most)?, resolution: settings.resolution })
}

/// Searches one, whose trials are made by `trial` from a rate, a warm-up and a length.
fn one(
    settings: &Search,
    bounds: Bounds,
    name: &str,
    stop: &Stop,
    mut trial: impl FnMut(Rate, (Nanos, Nanos)) -> anyhow::Result<run::Tried>,
) -> anyhow::Result<Searched> {
    let goal = Goal { p99: settings.p99 };
    let shown = StepProgress::new("trials");
    let mut strategy = Strategy::new(bounds);
    let mut tried: Vec<Tried> = Vec::new();
    let (found, out_of_time) = loop {
        let (rate, long) = match strategy.next() {
            Step::Done(found) => break (found, false),
            Step::Try { rate, long } => (rate, long),
        };
        let length = if long { settings.confirm } else { settings.trial };
        let times = (Nanos(length.0 / WARM_UP_PART), length);
        let run::Tried { target, load, cut_short, early } =
            trial(rate, times).with_context(|| format!("cannot try `{name}`"))?;
        if stop.is_asked() {
            bail!("it was asked to stop, and nothing is found yet of `{name}`");
        }
        if cut_short == Some(CutShort::Time) {
            break (strategy.so_far(), true);
        }
        let seen = Seen::of(&target, &load);
        let failing = goal.failing(&seen);
        tried.push(Tried {
            rate: rate.as_f64(),
            long,
            failing,
            failures: failures(&target, &early),
            generator_busy: seen.is_generator_busy(),
        });
        match seen.succeeded {
            0 => strategy.told_dead(),
            _ => strategy.told(failing.is_none()),
        }
        let done = u32::try_from(tried.len()).unwrap_or(u32::MAX);
        shown.done(done, done.saturating_add(1));
    };
    shown.finish();
    Ok(Searched { name: name.to_owned(), found, tried, out_of_time })
}

/// What operations failed by, and how many. The warm-up counts where nothing was measured after it.
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

/// One trial of an endpoint.
fn trial(
    scenario: &Scenario,
    inputs: &Inputs,
    stop: &Stop,
    rate: Rate,
    times: (Nanos, Nanos),
) -> anyhow::Result<run::Tried> {
    let mut scenario = scenario.clone();
    let Load::Open { rate: asked, wait_max, .. } = &mut scenario.load else {
        bail!("a closed loop has no rate");
    };
    (*asked, scenario.timing.warm_up, scenario.timing.round) =
        (rate, times.0, Length::Time(times.1));
    let wait_max = *wait_max;
    let name = scenario.targets.first().map(|target| target.name.clone()).unwrap_or_default();
    let mut target = TargetRecord::new(name);
    let outcome = engine::run(&scenario, inputs, stop, |progress| {
        if let Progress::Slice(slice) = progress {
            let (tally, lap) = (&slice.tally, &slice.lap);
            target.push(&Measured { round: 0, tally, lap, wait_max });
        }
    })?;
    Ok(run::Tried {
        target,
        load: scenario.load,
        cut_short: outcome.cut_short,
        early: outcome.unmeasured.failed,
    })
}

impl Searched {
    /// Why the lowest rate that did not meet the goal did not.
    fn failing(&self) -> Option<&Tried> {
        let at = self.found.to?;
        let is_it = |tried: &&Tried| tried.failing.is_some() && (tried.rate - at).abs() < 1e-9 * at;
        self.tried.iter().rfind(is_it)
    }
}

fn text(settings: &Search, all: &[Searched], names_endpoint: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "meets the goal at", "no longer at", "for", "trials"]);
    let rate = |rate: Option<f64>, none: &str| {
        rate.map_or_else(|| none.to_owned(), |rate| format!("{rate:.0}/s"))
    };
    for searched in all {
        let failing = searched.failing().and_then(Tried::why);
        table.add_row([
            searched.name.clone(),
            rate(searched.found.from, "no rate"),
            rate(searched.found.to, "not tried"),
            failing.unwrap_or_else(|| "-".to_owned()),
            searched.found.trials.to_string(),
        ]);
    }
    let mut text = format!(
        "at most 0.1 % failed, at least 99 % achieved, p99 at most {}\n{}\n",
        settings.p99,
        table.trim_fmt()
    );
    for searched in all {
        if searched.failing().is_none() {
            continue;
        }
        // At the lowest rate nothing may have come to an end: an earlier trial then has the reason.
        let mut last = searched.failing().into_iter().chain(searched.tried.iter().rev());
        let Some(tried) = last.find(|tried| !tried.failures.is_empty()) else { continue };
        for reason in tried.reasons() {
            text.push_str(&format!("{} at {:.0}/s: {reason}\n", searched.name, tried.rate));
        }
    }
    for searched in all.iter().filter(|one| one.failing().is_some_and(|one| one.generator_busy)) {
        text.push_str(&format!(
            "{}: the generator was more than 85 % busy where it no longer met the goal, so that more \
             may be had; give it `--threads`, or another machine\n",
            searched.name
        ));
    }
    for searched in all.iter().filter(|searched| searched.out_of_time) {
        text.push_str(&format!(
            "{}: the search took as long as `--max-time` allows and was not over\n",
            searched.name
        ));
    }
    if !names_endpoint {
        text.push_str(
            "generator and hops share this machine: compare, and take no rate for granted\n",
        );
    }
    text.push_str(build::WARNING);
    text
}

fn json(settings: &Search, all: &[Searched]) -> String {
    let all: Vec<serde_json::Value> = all
        .iter()
        .map(|searched| {
            let tried = searched.tried.iter().map(|tried| {
                json!({
                    "rate": tried.rate,
                    "long": tried.long,
                    "failing": tried.failing,
                    "failed_by": tried.failed_by(),
                    "failures": tried.failures,
                    "generator_busy": tried.generator_busy,
                })
            });
            json!({
                "name": searched.name,
                "from": searched.found.from,
                "to": searched.found.to,
                "tried": tried.collect::<Vec<_>>(),
                "out_of_time": searched.out_of_time,
            })
        })
        .collect();
    let document = json!({ "schema": 1, "p99_ns": settings.p99, "found": all });
    format!("{document:#}\n")
}

/// A small load for what is near, and one that nobody minds for what is not.
const START: f64 = 100.0;
const START_ELSEWHERE: f64 = 10.0;
/// More starts in a second no generator makes.
const MOST: f64 = 1e6;
/// A quarter of a trial's length goes before it.
const WARM_UP_PART: u64 = 4;
