//! A run: every target's rounds on all shards, what was measured, and what measuring cost.
//!
//! It judges nothing. What goes wrong with a connection is counted in a tally; errors are only what
//! keeps a run from being one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use rustix::process::{Resource, getrlimit, setrlimit};
use thiserror::Error;
use tlsbench_core::pace::Shard;
use tlsbench_core::scenario::{Futility, Load, Pin, Protocol, Scenario, Scheme, Target};
use tlsbench_core::tally::Tally;
use tlsbench_core::units::{Nanos, Share};
use tlsbench_core::usage::{Cpu, Lap, UnderWay};

use crate::clock::Clock;
use crate::drive::{AddressBook, Counts, Course, Drive, Kit, Sockets, Watch};
use crate::shard::{self, Live};
use crate::tls::{Alpn, ReloadingRoots, TlsClient, TlsError};

mod collect;
mod edges;
mod inputs;
mod reach;
mod resolver;
mod stage;

pub use crate::shard::Stop;
pub use inputs::{Inputs, InputsError, resolve};
pub use reach::LeftOut;

use collect::{Collector, Part};
use edges::Edges;
use resolver::Resolver;
use stage::Stage;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was made outside of rounds: in warm-ups, and after the last round.
    pub unmeasured: Tally,
    /// CPU time of this process over the whole run.
    pub cpu: Cpu,
    /// Time that the whole run took.
    pub wall: Nanos,
    /// How many threads made the load.
    pub shards: usize,
    /// Whether each shard had a core of its own.
    pub pinned: bool,
    /// Why it ended before its time.
    pub cut_short: Option<CutShort>,
}

/// One target in one round, all shards together.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Index of the target.
    pub target: usize,
    /// The round, from 0.
    pub round: u32,
    /// What was counted and timed.
    pub tally: Tally,
    /// How long it took, and what measuring cost.
    pub lap: Lap,
}

/// Why a run ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutShort {
    /// Too large a share of operations failed.
    Errors,
    /// Its goal was out of reach, by `Scenario::futility`.
    Futile {
        /// Operations that were late then; 0 if failures decided it.
        late: u64,
    },
    /// It was asked to.
    Stopped,
    /// It took as long as it may, by `timeout.run`.
    Time,
}

/// What a run tells while it goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Something that whoever reads the numbers should know, such as a CA bundle that was replaced.
    Note(String),
    /// A round was measured. This is the only time that it is told, so that a run of any length
    /// keeps only what goes on.
    Slice(Box<Slice>),
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
    /// All rounds of a target that follow one another are over, and what was under way has been waited for.
    StageEnds {
        /// Index of the target.
        target: usize,
        /// What had not ended by then.
        unanswered: UnderWay,
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
    let (began, used) = (Clock::Monotonic.now(), process_cpu());
    let mut shards = shards(scenario, inputs)?;
    let resolver =
        Resolver::start(scenario, inputs).map_err(|source| RunError::Shard { source })?;
    let cores = match scenario.pin {
        Pin::Always => shard::cores(shards.len(), 0),
        Pin::Auto => shard::cores(shards.len(), CORES_TO_SPARE),
        Pin::Never => None,
    };
    if scenario.pin == Pin::Always && cores.is_none() {
        progress(Progress::Note(format!(
            "not pinned: {} threads, and fewer CPUs that this process may use; lower `threads`",
            shards.len()
        )));
    }
    let mut bundle = BundleWatch::new(inputs);
    bundle.tell_left_out(&mut progress);
    inputs.notes(scenario).into_iter().for_each(|note| progress(Progress::Note(note)));
    let (mut cut_short, mut unmeasured) = (None, Tally::new());
    for stage in stage::stages(scenario) {
        let Some(addresses) = resolver.book(stage.target) else { continue };
        let until = scenario.timeout.run.map(|run| began + run);
        let part = Turn { scenario, inputs, addresses, stop, stage, until };
        let mut tell = |told| {
            bundle.look(&mut progress);
            resolver.notes().for_each(|note| progress(Progress::Note(note)));
            progress(told);
        };
        cut_short = part.run(&mut shards, cores.as_deref(), &mut unmeasured, &mut tell)?;
        if cut_short.is_none() && stop.is_asked() {
            cut_short = Some(CutShort::Stopped);
        }
        if cut_short.is_some() {
            break;
        }
    }
    Ok(Outcome {
        unmeasured,
        cpu: process_cpu() - used,
        wall: Clock::Monotonic.now() - began,
        shards: shards.len(),
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
}

fn shards(scenario: &Scenario, inputs: &Inputs) -> Result<Vec<ShardState>, RunError> {
    let client = |target: &Target| {
        let roots = inputs.roots.as_ref().filter(|_| target.scheme == Scheme::Https);
        let Some(roots) = roots else { return Ok(None) };
        let alpn = scenario.request.as_ref().map(|request| match request.protocol {
            Protocol::Http1 => Alpn::Http1,
            Protocol::Http2 { .. } => Alpn::Http2,
        });
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
            Ok(ShardState { shard, tls })
        })
        .collect()
}

/// Tells once of each time that the CA bundle was replaced.
struct BundleWatch<'w> {
    bundle: Option<&'w ReloadingRoots>,
    generation: u64,
}

impl<'w> BundleWatch<'w> {
    fn new(inputs: &'w Inputs) -> Self {
        let bundle = inputs.ca_bundle.as_deref();
        let generation = bundle.map(|bundle| bundle.current().generation()).unwrap_or_default();
        Self { bundle, generation }
    }

    /// Tells what of the bundle is no root.
    fn tell_left_out(&self, progress: &mut impl FnMut(Progress)) {
        let Some(bundle) = self.bundle else { return };
        let (path, roots) = (bundle.path().display(), bundle.current());
        for left_out in roots.left_out().iter().take(LEFT_OUT_MAX) {
            progress(Progress::Note(format!("CA bundle `{path}`: {left_out}")));
        }
        let more = roots.left_out().len().saturating_sub(LEFT_OUT_MAX);
        if more > 0 {
            progress(Progress::Note(format!("CA bundle `{path}`: {more} more are left out")));
        }
    }

    fn look(&mut self, progress: &mut impl FnMut(Progress)) {
        let Some(bundle) = self.bundle else { return };
        if let Some(newer) = bundle.newer_than(self.generation, Clock::Monotonic.now()) {
            self.generation = newer.generation();
            let path = bundle.path().display();
            let roots = newer.usable();
            progress(Progress::Note(format!("CA bundle `{path}` was replaced: {roots} roots now")));
            self.tell_left_out(progress);
        }
        if let Some(warning) = bundle.take_warning() {
            progress(Progress::Note(warning));
        }
    }
}

/// A stage of a run, with what it needs.
struct Turn<'p> {
    scenario: &'p Scenario,
    inputs: &'p Inputs,
    addresses: &'p Arc<AddressBook>,
    stop: &'p Stop,
    stage: Stage,
    /// When the whole run has taken too long.
    until: Option<Nanos>,
}

impl Turn<'_> {
    /// Runs it on all shards; what ended it before its time, other than being asked to.
    fn run(
        &self,
        shards: &mut [ShardState],
        cores: Option<&[usize]>,
        unmeasured: &mut Tally,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Option<CutShort>, RunError> {
        let begin = Nanos(Clock::Monotonic.now().0.saturating_add(HEAD_START.0));
        let end = Arc::new(Stop::new());
        // A shard for which nothing is left of the stage is no part of it.
        let parts: Vec<_> = shards
            .iter_mut()
            .filter_map(|state| Some((self.course(state.shard, begin)?, state)))
            .collect();
        let lives: Vec<Arc<Live>> = parts.iter().map(|_| Arc::default()).collect();
        let mut collector = Collector::new(self.stage, parts.len());
        let items = parts
            .into_iter()
            .zip(&lives)
            .map(|((course, state), live)| {
                let stops = [self.stop, &*end];
                (course, state, Look { live: Arc::clone(live), stops, rounds: collector.sender() })
            })
            .collect();
        let mut watch = Edges::new(self.scenario.timing.round, self.stage, begin);
        let mut cut_short = None;
        let results = shard::on_each(
            items,
            cores,
            |(course, state, look): (Course, &mut ShardState, Look<'_>)| {
                drive(&course, state, self.stage.target, look)
            },
            || {
                let counts = self.counts(&lives);
                if let Progress::Counts { succeeded, failed, .. } = counts
                    && too_many(failed, succeeded, self.scenario.abort_errors_above)
                {
                    cut_short = Some(CutShort::Errors);
                    end.ask();
                } else if let Some(late) = self.futile(&lives) {
                    cut_short = Some(CutShort::Futile { late });
                    end.ask();
                } else if self.until.is_some_and(|until| Clock::Monotonic.now() >= until) {
                    cut_short = Some(CutShort::Time);
                    end.ask();
                }
                progress(counts);
                while let Some(slice) = collector.next(false) {
                    progress(Progress::Slice(Box::new(slice)));
                }
                let reached = lives.iter().map(|live| live.round.load(Ordering::Relaxed)).max();
                watch.look(Clock::Monotonic.now(), reached.unwrap_or_default(), progress)
            },
        )
        .map_err(|source| RunError::Shard { source })?;
        watch.finish(progress);
        while let Some(slice) = collector.next(true) {
            progress(Progress::Slice(Box::new(slice)));
        }
        let (target, mut unanswered) = (self.stage.target, UnderWay::default());
        for result in results {
            let (tally, left) = result.map_err(|source| RunError::Shard { source })?;
            unmeasured.add(&tally);
            unanswered.add(&left);
        }
        progress(Progress::StageEnds { target, unanswered });
        Ok(cut_short)
    }

    fn course(&self, shard: Shard, begin: Nanos) -> Option<Course> {
        let bundle = self.inputs.ca_bundle.as_ref();
        stage::course(self.scenario, self.addresses, bundle, self.stage, shard, begin)
    }

    fn counts(&self, lives: &[Arc<Live>]) -> Progress {
        Progress::Counts {
            target: self.stage.target,
            succeeded: sum(lives, |live| &live.succeeded),
            failed: sum(lives, |live| &live.failed),
            missed: sum(lives, |live| &live.missed),
        }
    }

    /// How many operations are late where the goal is out of reach; 0 if it is so by failures.
    fn futile(&self, lives: &[Arc<Live>]) -> Option<u64> {
        let Futility { failed_max, late_max, .. } = self.scenario.futility?;
        if sum(lives, |live| &live.failed_in_rounds) > failed_max {
            return Some(0);
        }
        Some(sum(lives, |live| &live.late)).filter(|late| *late > late_max)
    }
}

fn sum(lives: &[Arc<Live>], of: fn(&Live) -> &AtomicU64) -> u64 {
    lives.iter().map(|live| of(live).load(Ordering::Relaxed)).sum()
}

/// Drives one shard through its part of a stage; what it did outside of rounds, and what had not ended.
fn drive(
    course: &Course,
    state: &mut ShardState,
    target: usize,
    mut look: Look<'_>,
) -> io::Result<(Tally, UnderWay)> {
    let tls = state.tls.get_mut(target).and_then(Option::as_mut);
    let mut drive = Drive::new(Kit::new(course, tls), Sockets::new()?);
    drive.run(&mut look)?;
    look.tell(0, drive.counts);
    Ok(drive.ended())
}

/// What a shard does a hundred times a second besides its work, and where its rounds go.
struct Look<'l> {
    live: Arc<Live>,
    stops: [&'l Stop; 2],
    rounds: Sender<Part>,
}

impl Look<'_> {
    fn tell(&self, round: u32, counts: Counts) {
        self.live.succeeded.store(counts.succeeded, Ordering::Relaxed);
        self.live.failed.store(counts.failed, Ordering::Relaxed);
        self.live.missed.store(counts.missed, Ordering::Relaxed);
        self.live.failed_in_rounds.store(counts.failed_in_rounds, Ordering::Relaxed);
        self.live.late.store(counts.late, Ordering::Relaxed);
        self.live.round.store(round.into(), Ordering::Relaxed);
    }
}

impl Watch for Look<'_> {
    fn look(&mut self, round: u32, counts: Counts) -> bool {
        self.tell(round, counts);
        !self.stops.iter().any(|stop| stop.is_asked())
    }

    fn take(&mut self, round: u32, tally: Tally, lap: Lap) {
        // Whoever collects goes only after the threads, so somebody takes it.
        let _ = self.rounds.send(Part { round, tally, lap });
    }
}

/// Whether failures are more than the share at which a run ends by itself.
fn too_many(failed: u64, succeeded: u64, above: Share) -> bool {
    let all = failed.saturating_add(succeeded);
    all >= JUDGED_FROM && failed as f64 > above.as_f64() * all as f64
}

/// CPU time of this process; its split is the kernel's, of 10 ms.
pub fn process_cpu() -> Cpu {
    let total = Clock::ProcessCpu.now();
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (user, system) = shard::split(&text);
    Cpu { total, user, system }
}

/// Raises this process's soft limit of open files to the hard one: each connection takes one.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What is refused leaves the limit as it was, and connections beyond it fail by their own name.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// For the thread that looks on, and for what the kernel and others do.
const CORES_TO_SPARE: usize = 2;
/// Certificates of a bundle that are named where they are left out: whoever sees that many looks at the
/// file.
const LEFT_OUT_MAX: usize = 10;
/// Threads are started and TLS is configured within this.
const HEAD_START: Nanos = Nanos::from_millis(5);
/// Among fewer operations than this a share of failures says little.
const JUDGED_FROM: u64 = 100;

#[cfg(test)]
mod tests;
