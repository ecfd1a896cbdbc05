//! `tlsbench run`: measures endpoints and leaves a record of it.

mod environment;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tlsbench_core::plan::{Draft, Load, Scenario};
use tlsbench_core::record::{Measured, RunRecord, SCHEMA, TargetRecord};
use tlsbench_core::units::Nanos;
use tlsbench_core::usage::Cpu;
use tlsbench_core::warning::{Gate, judge};
use tlsbench_engine::clock::Clock;
use tlsbench_engine::run::{self, CutShort, Inputs, Outcome, Progress, Stop};

use crate::exit::Exit;
use crate::progress::RunProgress;
use crate::settings::{Output, Run};
use crate::store;

/// What a run leaves behind.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) exit: Exit,
}

/// Measures what the settings say, or prints it.
pub(super) fn answer(settings: &Run) -> anyhow::Result<Answer> {
    let draft = draft(settings)?;
    let scenario = match draft.finish() {
        Ok(scenario) => scenario,
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("this cannot be measured:\n{}", problems.join("\n"));
        }
    };
    if settings.print_scenario {
        let text = scenario.to_toml().context("cannot print the scenario")?;
        return Ok(Answer { text, exit: Exit::Fine });
    }
    let inputs = Inputs::gather(&scenario).context("cannot begin")?;
    let started = jiff::Timestamp::now();
    let stop = Arc::new(Stop::new());
    stop_on_signals(&stop).context("cannot listen for signals")?;
    let (outcome, meter) = measure(&scenario, &inputs, &stop)?;
    let record = record(&scenario, &outcome, &meter, started)?;
    let path = settings.record.clone().unwrap_or_else(|| default_path(started));
    store::write(&path, &record.to_json()?)?;
    let gates = judge(&record);
    let text = match settings.output {
        Output::Json => table::json(&record, &gates, &path)?,
        Output::Table => table::text(&scenario, &record, &gates, &path),
    };
    Ok(Answer { text, exit: exit(&record, &gates) })
}

fn draft(settings: &Run) -> anyhow::Result<Draft> {
    let mut draft = settings.flags.clone();
    if let Some(path) = &settings.scenario {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let file = Draft::from_toml(&text)
            .with_context(|| format!("cannot use scenario `{}`", path.display()))?;
        draft = draft.or(file);
    }
    for target in draft.target.iter_mut().flatten() {
        target.sni = settings.sni.clone().or(target.sni.take());
        target.connect_to = settings.connect_to.clone().or(target.connect_to.take());
    }
    Ok(draft)
}

/// Asks the run to end when the process is asked to; a second signal ends it at once, as usual.
fn stop_on_signals(stop: &Arc<Stop>) -> anyhow::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&asked))?;
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        while !asked.load(Ordering::Relaxed) {
            thread::sleep(SIGNAL_PAUSE);
        }
        stop.ask();
    });
    Ok(())
}

fn measure(
    scenario: &Scenario,
    inputs: &Inputs,
    stop: &Stop,
) -> anyhow::Result<(Outcome, Vec<RoundMeter>)> {
    let names = scenario.targets.iter().map(|target| target.name.clone()).collect();
    let mut shown = RunProgress::new(names, scenario.timing.rounds.get());
    let mut meters: Vec<RoundMeter> = Vec::new();
    let outcome = run::run(scenario, inputs, stop, |progress| {
        match progress {
            Progress::RoundBegins { target, round } => meters.push(RoundMeter {
                target,
                round,
                wall: Clock::Monotonic.now(),
                cpu: run::process_cpu(),
            }),
            Progress::RoundEnds { .. } => {
                if let Some(meter) = meters.last_mut() {
                    meter.wall = Clock::Monotonic.now() - meter.wall;
                    meter.cpu = run::process_cpu() - meter.cpu;
                }
            }
            Progress::Counts { .. } => {}
        }
        shown.notice(progress);
    });
    shown.finish();
    Ok((outcome.context("cannot measure")?, meters))
}

/// Wall and CPU time of a round: two readings until it ends, and their difference after.
struct RoundMeter {
    target: usize,
    round: u32,
    wall: Nanos,
    cpu: Cpu,
}

fn record(
    scenario: &Scenario,
    outcome: &Outcome,
    meters: &[RoundMeter],
    started: jiff::Timestamp,
) -> anyhow::Result<RunRecord> {
    let wait_max = match scenario.load {
        Load::Open { wait_max, .. } => wait_max,
        Load::Closed { .. } => Nanos::default(),
    };
    let mut targets: Vec<TargetRecord> =
        scenario.targets.iter().map(|target| TargetRecord::new(target.name.clone())).collect();
    for slice in &outcome.slices {
        let Some(target) = targets.get_mut(slice.target) else { continue };
        let of_slice = |m: &&RoundMeter| m.target == slice.target && m.round == slice.round;
        // A counted round may be over before its edges are seen: its counts stand, and it has no
        // time, so that it enters no rate.
        let (wall, cpu) = meters.iter().find(of_slice).map(|m| (m.wall, m.cpu)).unwrap_or_default();
        target.push(&Measured {
            round: slice.round,
            wall,
            tally: &slice.tally,
            cpu,
            busiest_thread: busiest_thread(outcome, wall),
            wait_max,
        });
    }
    let interrupted = outcome.cut_short.map(|cut| match cut {
        CutShort::Errors => "too large a share of operations failed".to_owned(),
        CutShort::Stopped => "it was asked to stop".to_owned(),
    });
    Ok(RunRecord {
        schema: SCHEMA,
        program: concat!("tlsbench ", env!("CARGO_PKG_VERSION")).to_owned(),
        started: started.to_string(),
        ended: jiff::Timestamp::now().to_string(),
        complete: interrupted.is_none(),
        interrupted,
        scenario: scenario.to_toml().context("cannot write the scenario down")?,
        environments: vec![environment::of_process()],
        targets,
    })
}

/// CPU time of the busiest thread in a round: threads are metered over all rounds, and this is the
/// round's part by time.
fn busiest_thread(outcome: &Outcome, wall: Nanos) -> Nanos {
    let share = |busy: &run::Busy| match busy.wall.0 {
        0 => 0.0,
        all => busy.cpu.0 as f64 / all as f64,
    };
    let busiest = outcome.shards.iter().map(share).fold(0.0, f64::max);
    Nanos((busiest * wall.0 as f64) as u64)
}

fn exit(record: &RunRecord, gates: &[Gate]) -> Exit {
    let succeeded: u64 =
        record.targets.iter().flat_map(|target| &target.rounds).map(|round| round.succeeded).sum();
    if gates.is_empty() && succeeded > 0 { Exit::Fine } else { Exit::Negative }
}

/// `runs/20261121T120000Z.json`.
fn default_path(started: jiff::Timestamp) -> PathBuf {
    let name = started.strftime("%Y%m%dT%H%M%SZ").to_string();
    Path::new("runs").join(name).with_extension("json")
}

/// How soon a signal is seen.
const SIGNAL_PAUSE: Duration = Duration::from_millis(20);
