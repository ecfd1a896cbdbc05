//! One stage of a run on all shards.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tlsbench_core::pace::Shard;
use tlsbench_core::scenario::{Futility, Scenario};
use tlsbench_core::tally::Tally;
use tlsbench_core::units::{Nanos, Share};
use tlsbench_core::usage::UnderWay;

use super::collect::Collector;
use super::error::RunError;
use super::inputs::Inputs;
use super::progress::{CutShort, Progress};
use super::round_clock::RoundClock;
use super::shard_monitor::ShardMonitor;
use super::stage::{self, Stage};
use crate::clock::Clock;
use crate::load::{AddressBook, LoadLoop, ShardContext, ShardPlan, Sockets};
use crate::shard::{self, Live, Stop};
use crate::tls::TlsClient;

/// State that a shard keeps from stage to stage: sessions of each target.
#[derive(Debug)]
pub(super) struct ShardState {
    pub(super) shard: Shard,
    /// TLS clients by target; `None` for plain HTTP.
    pub(super) tls: Vec<Option<TlsClient>>,
}

/// A stage of a run, with what it needs.
pub(super) struct StageRun<'p> {
    pub(super) scenario: &'p Scenario,
    pub(super) inputs: &'p Inputs,
    pub(super) addresses: &'p Arc<AddressBook>,
    pub(super) stop: &'p Stop,
    pub(super) stage: Stage,
    /// The time when the whole run has taken too long.
    pub(super) until: Option<Nanos>,
}

impl StageRun<'_> {
    /// Runs it on all shards; what ended it before its time, other than being asked to.
    pub(super) fn run(
        &self,
        shards: &mut [ShardState],
        cores: Option<&[usize]>,
        unmeasured: &mut Tally,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Option<CutShort>, RunError> {
        // One beginning for all shards, a little ahead, so that their rounds have the same edges.
        let begin = Nanos(Clock::Monotonic.now().0.saturating_add(HEAD_START.0));
        let end = Arc::new(Stop::new());
        // A shard for which nothing is left of the stage is no part of it.
        let parts: Vec<_> = shards
            .iter_mut()
            .filter_map(|state| Some((self.shard_plan(state.shard, begin)?, state)))
            .collect();
        let lives: Vec<Arc<Live>> = parts.iter().map(|_| Arc::default()).collect();
        let mut collector = Collector::new(self.stage, parts.len());
        let items = parts
            .into_iter()
            .zip(&lives)
            .map(|((plan, state), live)| {
                let stops = [self.stop, &*end];
                (
                    plan,
                    state,
                    ShardMonitor { live: Arc::clone(live), stops, rounds: collector.sender() },
                )
            })
            .collect();
        let mut watch = RoundClock::new(self.scenario.timing.round, self.stage, begin);
        let mut cut_short = None;
        let results = shard::on_each(
            items,
            cores,
            |(plan, state, look): (ShardPlan, &mut ShardState, ShardMonitor<'_>)| {
                drive(&plan, state, self.stage.target, look)
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
        .map_err(|source| RunError::Thread { source })?;
        // The last round's end is told before the results are added up: whoever meters the hops
        // reads their clocks now.
        watch.finish(progress);
        while let Some(slice) = collector.next(true) {
            progress(Progress::Slice(Box::new(slice)));
        }
        let (target, mut unanswered) = (self.stage.target, UnderWay::default());
        for result in results {
            let (tally, left) = result.map_err(|source| RunError::Poll { source })?;
            unmeasured.add(&tally);
            unanswered.add(&left);
        }
        progress(Progress::StageEnds { target, unanswered });
        Ok(cut_short)
    }

    fn shard_plan(&self, shard: Shard, begin: Nanos) -> Option<ShardPlan> {
        let bundle = self.inputs.ca_bundle.as_ref();
        stage::shard_plan(self.scenario, self.addresses, bundle, self.stage, shard, begin)
    }

    fn counts(&self, lives: &[Arc<Live>]) -> Progress {
        Progress::Counts {
            target: self.stage.target,
            succeeded: sum(lives, |live| &live.succeeded),
            failed: sum(lives, |live| &live.failed),
            missed: sum(lives, |live| &live.missed),
        }
    }

    /// Returns how many operations are late if the goal is out of reach; 0 if failures decide it.
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

/// Drives one shard through its part of a stage; what it did outside of rounds, and what had not
/// ended.
fn drive(
    plan: &ShardPlan,
    state: &mut ShardState,
    target: usize,
    mut look: ShardMonitor<'_>,
) -> io::Result<(Tally, UnderWay)> {
    let tls = state.tls.get_mut(target).and_then(Option::as_mut);
    let mut drive = LoadLoop::new(ShardContext::new(plan, tls), Sockets::new()?);
    drive.run(&mut look)?;
    look.tell(0, drive.counts);
    Ok(drive.ended())
}

/// Returns whether failures are more than the share at which a run ends by itself.
fn too_many(failed: u64, succeeded: u64, above: Share) -> bool {
    let all = failed.saturating_add(succeeded);
    all >= JUDGED_FROM && failed as f64 > above.as_f64() * all as f64
}

/// Threads are started and TLS is configured within this.
const HEAD_START: Nanos = Nanos::from_millis(5);
/// Among fewer operations than this a share of failures says little.
const JUDGED_FROM: u64 = 100;
