//! A run: every target's rounds on all shards, what was measured, and what measuring cost.
//!
//! It judges nothing. What goes wrong with a connection is counted in a tally; errors are only what
//! keeps a run from being one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use thiserror::Error;
use tlsbench_core::pace::Shard;
use tlsbench_core::plan::{Load, Protocol, Scenario, Scheme, Target};
use tlsbench_core::tally::Tally;
use tlsbench_core::units::{Nanos, Ratio};
use tlsbench_core::usage::Cpu;

use crate::clock::Clock;
use crate::drive::{AddressBook, Counts, Course, Drive, Kit, Watch};
use crate::shard::{self, BusyMeter, Live};
use crate::tls::{Alpn, TlsClient, TlsError};

mod edges;
mod inputs;
mod resolver;
mod stage;

pub use crate::shard::{Busy, Stop};
pub use inputs::{Inputs, InputsError, resolve};

use edges::Edges;
use resolver::Resolver;
use stage::Stage;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was measured, all shards together, in the order it was.
    pub slices: Vec<Slice>,
    /// CPU time of this process over the whole run.
    pub cpu: Cpu,
    /// Time that the whole run took.
    pub wall: Nanos,
    /// How busy each shard's thread was in measured rounds.
    pub shards: Vec<Busy>,
    /// Whether each shard had a core of its own.
    pub pinned: bool,
    /// Why it ended before its time.
    pub cut_short: Option<CutShort>,
}

/// One target in one round.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Index of the target.
    pub target: usize,
    /// The round, from 0.
    pub round: u32,
    /// What was counted and timed.
    pub tally: Tally,
}

/// Why a run ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutShort {
    /// Too large a share of operations failed.
    Errors,
    /// It was asked to.
    Stopped,
}

/// What a run tells while it goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// A measured round begins: whoever meters hops reads their clocks.
    RoundBegins {
        /// Index of the target.
        target: usize,
        /// The round, from 0.
        round: u32,
    },
    /// A measured round ended, before the load is taken away.
    RoundEnds {
        /// Index of the target.
        target: usize,
        /// The round, from 0.
        round: u32,
    },
    /// Counts of the target's current stage so far, warm-up included.
    Counts {
        /// Index of the target.
        target: usize,
        /// Operations that succeeded.
        succeeded: u64,
        /// Operations that failed.
        failed: u64,
        /// Starts that were missed.
        missed: u64,
    },
}

/// What keeps a run from being one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// HTTP/2 is not spoken yet.
    #[error("requests over HTTP/2 are not supported yet")]
    Http2,
    /// A thread, a timer or epoll could not be had.
    #[error("cannot run a shard")]
    Shard {
        /// What failed.
        source: io::Error,
    },
    /// TLS cannot be spoken as the scenario wants it.
    #[error("cannot speak TLS with `{target}`")]
    Tls {
        /// The target.
        target: String,
        /// What failed.
        source: TlsError,
    },
}

/// Runs a scenario to its end, or until it is asked to stop.
///
/// # Errors
/// Fails when the scenario cannot be run as it stands; connections that fail are counted instead.
pub fn run(
    scenario: &Scenario,
    inputs: &Inputs,
    stop: &Stop,
    mut progress: impl FnMut(Progress),
) -> Result<Outcome, RunError> {
    let asked = scenario.request.as_ref().map(|request| request.protocol);
    if matches!(asked, Some(Protocol::Http2 { .. })) {
        return Err(RunError::Http2);
    }
    let (began, used) = (Clock::Monotonic.now(), process_cpu());
    let mut shards = shards(scenario, inputs)?;
    let resolver =
        Resolver::start(scenario, inputs).map_err(|source| RunError::Shard { source })?;
    let cores = if scenario.pin { shard::cores(shards.len()) } else { None };
    let mut slices = Vec::new();
    let mut cut_short = None;
    for stage in stage::stages(scenario) {
        let Some(addresses) = resolver.book(stage.target) else { continue };
        let part = Part { scenario, addresses, stop, stage };
        let (tallies, errors) = part.run(&mut shards, cores.as_deref(), &mut progress)?;
        slices.extend((stage.first..).zip(tallies).map(|(round, tally)| Slice {
            target: stage.target,
            round,
            tally,
        }));
        if errors {
            cut_short = Some(CutShort::Errors);
        } else if stop.is_asked() {
            cut_short = Some(CutShort::Stopped);
        }
        if cut_short.is_some() {
            break;
        }
    }
    Ok(Outcome {
        slices,
        cpu: process_cpu() - used,
        wall: Clock::Monotonic.now() - began,
        shards: shards.iter().map(|shard| shard.busy).collect(),
        pinned: cores.is_some(),
        cut_short,
    })
}

/// What a shard keeps from stage to stage: sessions of each target.
#[derive(Debug)]
struct ShardState {
    shard: Shard,
    /// By target; nothing for plain HTTP.
    tls: Vec<Option<TlsClient>>,
    busy: Busy,
}

fn shards(scenario: &Scenario, inputs: &Inputs) -> Result<Vec<ShardState>, RunError> {
    let client = |target: &Target| {
        let roots = inputs.roots.as_ref().filter(|_| target.scheme == Scheme::Https);
        let Some(roots) = roots else { return Ok(None) };
        let alpn = scenario.request.as_ref().map(|_| Alpn::Http1);
        TlsClient::new(&scenario.tls, target, roots, alpn, inputs.identity.as_ref())
            .map(Some)
            .map_err(|source| RunError::Tls { target: target.name.clone(), source })
    };
    // A shard without a connection would owe its part of the rate.
    let of = scenario.shards.min(match scenario.load {
        Load::Closed { connections, .. } => connections,
        Load::Open { pool, .. } => pool,
    });
    (0..of.get())
        .filter_map(|index| Shard::new(index, of))
        .map(|shard| {
            let tls = scenario.targets.iter().map(client).collect::<Result<_, _>>()?;
            Ok(ShardState { shard, tls, busy: Busy::default() })
        })
        .collect()
}

/// A stage of a run.
struct Part<'p> {
    scenario: &'p Scenario,
    addresses: &'p Arc<AddressBook>,
    stop: &'p Stop,
    stage: Stage,
}

impl Part<'_> {
    /// Runs it on all shards: the tallies of its rounds, and whether too much failed.
    fn run(
        &self,
        shards: &mut [ShardState],
        cores: Option<&[usize]>,
        progress: &mut impl FnMut(Progress),
    ) -> Result<(Vec<Tally>, bool), RunError> {
        let begin = Nanos(Clock::Monotonic.now().0.saturating_add(HEAD_START.0));
        let lives: Vec<Arc<Live>> = shards.iter().map(|_| Arc::default()).collect();
        let end = Arc::new(Stop::new());
        let work = |(state, live): (&mut ShardState, Arc<Live>)| {
            let Some(course) =
                stage::course(self.scenario, self.addresses, self.stage, state.shard, begin)
            else {
                return Ok(Vec::new());
            };
            let look = Look { live, stops: [self.stop, &end], meter: BusyMeter::default() };
            drive(&course, state, self.stage.target, look)
        };
        let mut watch = Edges::new(self.scenario.timing.round, self.stage, begin);
        let mut errors = false;
        let results = shard::on_each(
            shards.iter_mut().zip(lives.iter().map(Arc::clone)).collect(),
            cores,
            work,
            || {
                let sum = |of: fn(&Live) -> u64| lives.iter().map(|live| of(live)).sum::<u64>();
                let succeeded = sum(|live| live.succeeded.load(Ordering::Relaxed));
                let failed = sum(|live| live.failed.load(Ordering::Relaxed));
                let missed = sum(|live| live.missed.load(Ordering::Relaxed));
                let target = self.stage.target;
                if too_many(failed, succeeded, self.scenario.abort_errors_above) {
                    errors = true;
                    end.ask();
                }
                progress(Progress::Counts { target, succeeded, failed, missed });
                let reached = lives.iter().map(|live| live.round.load(Ordering::Relaxed)).max();
                watch.look(reached.unwrap_or_default(), progress)
            },
        )
        .map_err(|source| RunError::Shard { source })?;
        watch.finish(progress);
        let rounds = usize::try_from(self.stage.rounds.get()).unwrap_or_default();
        let mut merged: Vec<Tally> = Vec::with_capacity(rounds);
        for result in results {
            let tallies = result.map_err(|source| RunError::Shard { source })?;
            for (index, tally) in tallies.into_iter().enumerate() {
                match merged.get_mut(index) {
                    Some(sum) => sum.add(&tally),
                    None => merged.push(tally),
                }
            }
        }
        Ok((merged, errors))
    }
}

/// Drives one shard through its part of a stage.
fn drive(
    course: &Course,
    state: &mut ShardState,
    target: usize,
    mut look: Look<'_>,
) -> io::Result<Vec<Tally>> {
    let tls = state.tls.get_mut(target).and_then(Option::as_mut);
    let mut drive = Drive::new(Kit::new(course, tls))?;
    drive.run(&mut look)?;
    look.tell(0, drive.counts);
    let busy = look.meter.busy();
    state.busy.cpu = state.busy.cpu + busy.cpu;
    state.busy.wall = state.busy.wall + busy.wall;
    Ok(drive.into_tallies())
}

/// What a shard does a hundred times a second besides its work.
struct Look<'l> {
    live: Arc<Live>,
    stops: [&'l Stop; 2],
    meter: BusyMeter,
}

impl Look<'_> {
    fn tell(&self, round: u32, counts: Counts) {
        self.live.succeeded.store(counts.succeeded, Ordering::Relaxed);
        self.live.failed.store(counts.failed, Ordering::Relaxed);
        self.live.missed.store(counts.missed, Ordering::Relaxed);
        self.live.round.store(round.into(), Ordering::Relaxed);
    }
}

impl Watch for Look<'_> {
    fn look(&mut self, round: u32, counts: Counts) -> bool {
        if round > 0 {
            self.meter.look();
        }
        self.tell(round, counts);
        !self.stops.iter().any(|stop| stop.is_asked())
    }
}

/// Whether failures are more than the share at which a run ends by itself.
fn too_many(failed: u64, succeeded: u64, above: Ratio) -> bool {
    let all = failed.saturating_add(succeeded);
    all >= JUDGED_FROM && failed as f64 > above.as_f64() * all as f64
}

/// CPU time of this process; its split is the kernel's, of 10 ms.
pub fn process_cpu() -> Cpu {
    let total = Clock::ProcessCpu.now();
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold anything; after it, user and system are fields 12 and 13.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let mut ticks = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || {
        let ticks = ticks.next().and_then(Result::ok).unwrap_or_default();
        Nanos(ticks.saturating_mul(1_000_000_000) / rustix::param::clock_ticks_per_second())
    };
    Cpu { total, user: next(), system: next() }
}

/// Threads are started and TLS is configured within this.
const HEAD_START: Nanos = Nanos::from_millis(5);
/// Among fewer operations than this a share of failures says little.
const JUDGED_FROM: u64 = 100;

#[cfg(test)]
mod tests;
