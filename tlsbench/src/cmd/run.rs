//! `tlsbench run`: measures endpoints and leaves a record of it.

pub(super) mod environment;
mod keep;
mod lab;
mod meanwhile;
mod table;

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tlsbench_core::escape::printable;
use tlsbench_core::lab::Lab;
use tlsbench_core::problem::Problem;
use tlsbench_core::record::RunRecord;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::scenario::{Draft, Load, LoopName, Scenario, Timeout, TimingDraft};
use tlsbench_core::tally::Tally;
use tlsbench_core::units::Nanos;
use tlsbench_core::warning::{self, Gate, judge};
use tlsbench_engine::run::{self, CutShort, Inputs, Progress, Stop};

use super::answer::Answer;
use super::terminal;
use crate::exit::{Exit, signal_seen};
use crate::progress::RunProgress;
use crate::settings::{LabRun, Output, Run};
use crate::store;

use keep::{Keeper, Kept};
pub(super) use lab::{Standing, TrialPlan, Tried, is_of_placements};
use meanwhile::Watch;

/// Measures what the settings say, or prints it.
pub(super) fn answer(settings: &Run) -> anyhow::Result<Answer> {
    if settings.flags.target.is_none() && is_of_placements(settings) {
        return lab::answer(settings);
    }
    if settings.lab != LabRun::default() {
        bail!(
            "--placement, --workload, --engine and what else is listed under \"Placements\" are for \
             placements on this machine, and an endpoint is named; leave out one or the other"
        );
    }
    let scenario = scenario(settings, |_| ())?;
    if settings.print_scenario {
        let text = scenario.to_toml().context("cannot print the scenario")?;
        return Ok(Answer::new(text, Exit::Fine));
    }
    let inputs = Inputs::gather(&scenario).context("cannot begin")?;
    let started = jiff::Timestamp::now();
    let path = settings.record.clone().unwrap_or_else(|| free_path(started));
    store::prepare(&path)?;
    let stop = Arc::new(Stop::new());
    stop_on_signals(&stop).context("cannot listen for signals")?;
    let Kept { record, path, failed } =
        measure(&scenario, &inputs, &stop, Keeper::new(&scenario, started, path)?)?;
    let gates = judge(&record);
    let text = match settings.output {
        Output::Json => table::json(&record, &gates, &path)?,
        Output::Table => {
            let (columns, has_file) = (terminal::columns(), settings.scenario.is_some());
            let text = table::text(&scenario, &record, &gates, &path, columns, has_file);
            printable(&text).into_owned()
        }
    };
    let answer = Answer::new(text, exit(&record, &gates));
    Ok(answer.beside(settings.record.as_deref()).failing(failed))
}

/// What the file and the flags come to as an open load of a rate, whatever load and times they say.
pub(super) fn open_scenario(
    settings: &Run,
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
        draft.timeout.operation.get_or_insert(patience(p99).operation);
    })?;
    // A trial is one round.
    scenario.timing.rounds = NonZeroU32::MIN;
    Ok(scenario)
}

/// How long operations of a search for this p99 may take where nothing is said.
pub(super) fn patience(p99: Nanos) -> Timeout {
    let operation = Nanos(p99.0.saturating_mul(PATIENCE)).clamp(PATIENCE_MIN, PATIENCE_MAX);
    let Timeout { connect, handshake, .. } = Timeout::DEFAULT;
    Timeout {
        operation,
        connect: connect.min(operation),
        handshake: handshake.min(operation),
        first_byte: operation,
        run: None,
    }
}

/// Measures placements as `answer` does, changed as a verb needs them.
pub(super) fn measured_lab(
    settings: &Run,
    change: impl FnOnce(&mut Lab),
) -> anyhow::Result<Kept<LabRecord>> {
    let mut asked = lab::asked(settings)?;
    change(&mut asked.lab);
    lab::measured(&asked, settings)
}

/// What the file and the flags come to. Lines of the file are named where it is to blame.
fn scenario(settings: &Run, change: impl FnOnce(&mut Draft)) -> anyhow::Result<Scenario> {
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
        let is_of_flags = |problem: &Problem| problem.key == "target.sni" && settings.sni.is_some();
        let placed = problems.into_iter().map(|problem| match is_of_flags(&problem) {
            true => problem,
            false => problem.in_file(&text, &settings.flags),
        });
        refused(&name, &placed.collect::<Vec<_>>())
    })
}

fn draft(settings: &Run, file: Draft) -> Draft {
    let mut draft = settings.flags.clone().or(file);
    for target in draft.target.iter_mut().flatten() {
        target.sni = settings.sni.clone().or(target.sni.take());
        target.connect_to = settings.connect_to.clone().or(target.connect_to.take());
    }
    draft
}

fn refused(what: &str, problems: &[Problem]) -> anyhow::Error {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow!("{what} cannot be measured:\n{}", problems.join("\n"))
}

/// Asks the run to end when the process is asked to. It takes a moment until all is written down,
/// and more signals change nothing meanwhile; one after that ends the process at once, as usual.
pub(super) fn stop_on_signals(stop: &Arc<Stop>) -> anyhow::Result<()> {
    let (asked, overdue) = (signal_seen(), Arc::new(AtomicBool::new(false)));
    for signal in STOP_SIGNALS.into_iter().filter(|signal| !is_ignored(*signal)) {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&overdue))?;
        let number = usize::try_from(signal)?;
        signal_hook::flag::register_usize(signal, Arc::clone(asked), number)?;
    }
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        while asked.load(Ordering::Relaxed) == 0 {
            thread::sleep(SIGNAL_PAUSE);
        }
        stop.ask();
        thread::sleep(STOP_MAX);
        overdue.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Whether this process was started with a signal ignored, as `nohup` does: it stays so.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    // Bit 0 stands for signal 1.
    let bit = u32::try_from(signal - 1).ok().and_then(|bit| 1_u64.checked_shl(bit));
    bit.is_some_and(|bit| mask & bit != 0)
}

/// Measures, and keeps what is measured as it comes.
fn measure(
    scenario: &Scenario,
    inputs: &Inputs,
    stop: &Stop,
    mut keeper: Keeper,
) -> anyhow::Result<Kept<RunRecord>> {
    let names = scenario.targets.iter().map(|target| target.name.clone()).collect();
    let mut shown = RunProgress::new(names, scenario.timing.rounds.get());
    run::raise_open_files();
    let watch = Watch::begin(inputs);
    let ran = run::run(scenario, inputs, stop, |progress| {
        shown.notice(&progress);
        match progress {
            Progress::Slice(slice) => {
                if let Err(error) = keeper.take(&slice) {
                    shown.say(&format!("warning: {error:#}; it is tried again at the end"));
                }
            }
            Progress::Note(text) => {
                shown.say(&format!("note: {text}"));
                keeper.note(text);
            }
            Progress::StageEnds { target, unanswered } => {
                keeper.take_unanswered(target, unanswered);
            }
            Progress::Counts { .. } | Progress::RoundBegins { .. } | Progress::RoundEnds { .. } => {
            }
        }
    });
    keeper.note_meanwhile(&watch.end());
    if matches!(scenario.load, Load::Closed { .. }) {
        for note in keeper.busy_generators() {
            keeper.note(note);
        }
    }
    shown.finish();
    match ran {
        Ok(outcome) => {
            let why = outcome.cut_short.map(|cut| cut_short(cut, &outcome.unmeasured, &keeper));
            Ok(keeper.finish(why.as_deref()))
        }
        Err(error) if keeper.is_empty() => Err(error).context("cannot measure"),
        Err(error) => {
            let why = format!("it failed: {:#}", anyhow::Error::msg(error.to_string()));
            let Kept { path, failed, .. } = keeper.finish(Some(&why));
            if let Some(failed) = failed {
                return Err(failed);
            }
            let path = path.display();
            Err(error).with_context(|| format!("cannot go on; what was measured is in `{path}`"))
        }
    }
}

/// Why a run ended before its time, with what failed where the rounds do not tell it.
fn cut_short(cut: CutShort, unmeasured: &Tally, keeper: &Keeper) -> String {
    let (why, tells) = match cut {
        CutShort::Errors => ("too large a share of operations failed", true),
        // Only trials of a search have a goal, and they leave no record.
        CutShort::Futile { .. } => ("its goal was out of reach", keeper.is_empty()),
        CutShort::Stopped => ("it was asked to stop", keeper.is_empty()),
        CutShort::Time => ("it took as long as `--max-time` allows", keeper.is_empty()),
    };
    let failed = unmeasured.failed.values().copied().fold(0, u64::saturating_add);
    let most = unmeasured.failed.iter().max_by_key(|(_, count)| **count);
    let Some((failure, count)) = most.filter(|_| tells) else { return why.to_owned() };
    let all = failed.saturating_add(unmeasured.succeeded);
    format!(
        "{why}; in the warm-up {failed} of {all} failed, {count} by `{}`: {}",
        failure.as_str(),
        warning::cure(*failure)
    )
}

fn exit(record: &RunRecord, gates: &[Gate]) -> Exit {
    let succeeded: u64 =
        record.targets.iter().flat_map(|target| &target.rounds).map(|round| round.succeeded).sum();
    if gates.is_empty() && succeeded > 0 { Exit::Fine } else { Exit::Negative }
}

/// `runs/20261121T120000Z.json`, with a number behind it where another run began in that second.
fn free_path(started: jiff::Timestamp) -> PathBuf {
    let name = started.strftime("%Y%m%dT%H%M%SZ").to_string();
    let path = |name: &str| Path::new("runs").join(name).with_extension("json");
    let numbered = (2..=RUNS_PER_SECOND_MAX).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !path(name).exists());
    path(free.as_deref().unwrap_or(&name))
}

/// How many times the goal's p99 an operation of a search may take before it counts as failed.
const PATIENCE: u64 = 10;
/// One lost SYN (1 s) and a retransmission more say nothing of a server.
const PATIENCE_MIN: Nanos = Nanos::from_millis(5_000);
/// The longest that an operation may take at all.
const PATIENCE_MAX: Nanos = Nanos::from_millis(300_000);
/// More runs do not begin in one folder within a second.
const RUNS_PER_SECOND_MAX: u32 = 1_000;
/// A terminal that closes, Ctrl-C, and what service managers and `kill` send.
const STOP_SIGNALS: [i32; 3] =
    [signal_hook::consts::SIGHUP, signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
/// How soon a signal is seen.
const SIGNAL_PAUSE: Duration = Duration::from_millis(20);
/// Shards stop within 10 ms, and the record of the most rounds that a run may have is written in
/// less than ten seconds: after thirty, something hangs.
const STOP_MAX: Duration = Duration::from_secs(30);
