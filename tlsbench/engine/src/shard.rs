//! Threads that share nothing: one for each shard, on a core of its own where there are enough.

use std::io;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tlsbench_core::units::Nanos;

use crate::affinity;
use crate::clock::Clock;

/// Asks a run to end now; what was measured until then is kept.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Nothing is asked yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts of one shard that others may read while it runs; up to 10 ms old.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) missed: AtomicU64,
    /// The round that the shard is in; 0 before the first and after the last.
    pub(crate) round: AtomicU64,
}

/// CPU time and time of a thread over a part of its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// CPU time.
    pub cpu: Nanos,
    /// Time.
    pub wall: Nanos,
}

/// Measures how busy the calling thread is, from the first look to the last.
#[derive(Debug, Default)]
pub(crate) struct BusyMeter {
    first: Option<Busy>,
    last: Busy,
}

impl BusyMeter {
    pub(crate) fn look(&mut self) {
        let now = Busy { cpu: Clock::ThreadCpu.now(), wall: Clock::Monotonic.now() };
        self.first.get_or_insert(now);
        self.last = now;
    }

    pub(crate) fn busy(&self) -> Busy {
        let first = self.first.unwrap_or(self.last);
        Busy { cpu: self.last.cpu - first.cpu, wall: self.last.wall - first.wall }
    }
}

/// Cores for so many shards: the last ones, since interrupts mostly come to the first. Nothing when
/// there are not enough.
#[must_use]
pub(crate) fn cores(shards: usize) -> Option<Vec<usize>> {
    let allowed = affinity::allowed().ok()?;
    let spare = allowed.len().checked_sub(shards)?;
    Some(allowed.into_iter().skip(spare).collect())
}

/// Works on each item in a thread of its own, pinned if there are cores, and meanwhile calls
/// `look`, which says when it wants to be called again.
pub(crate) fn on_each<T: Send, R: Send>(
    items: Vec<T>,
    cores: Option<&[usize]>,
    work: impl Fn(T) -> R + Sync,
    mut look: impl FnMut() -> Duration,
) -> io::Result<Vec<R>> {
    let (work, caller) = (&work, thread::current());
    thread::scope(|scope| {
        let mut threads = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let core = cores.and_then(|cores| cores.get(index)).copied();
            let caller = caller.clone();
            let builder = thread::Builder::new().name(format!("shard-{index}"));
            threads.push(builder.spawn_scoped(scope, move || {
                if let Some(core) = core {
                    // A core that was taken away meanwhile costs precision, not the run.
                    let _ = affinity::pin(core);
                }
                let result = work(item);
                caller.unpark();
                result
            })?);
        }
        while threads.iter().any(|thread| !thread.is_finished()) {
            thread::park_timeout(look());
        }
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panicked) => panic::resume_unwind(panicked),
        });
        Ok(joined.collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_and_results_keep_their_order() {
        let mut looks = 0;
        let work = |item: u64| {
            thread::sleep(Duration::from_millis(5 * (3 - item)));
            item * 2
        };
        let results = on_each(vec![0, 1, 2], None, work, || {
            looks += 1;
            Duration::from_millis(1)
        });
        assert_eq!(results.unwrap(), [0, 2, 4]);
        assert!(looks > 0);
    }

    #[test]
    fn shards_have_cores_only_when_there_are_enough() {
        let allowed = affinity::allowed().unwrap();
        assert_eq!(cores(allowed.len()), Some(allowed.clone()));
        assert_eq!(cores(allowed.len() + 1), None);
        assert_eq!(cores(1), Some(vec![*allowed.last().unwrap()]));
    }

    #[test]
    fn a_sleeping_thread_is_not_busy() {
        let mut meter = BusyMeter::default();
        meter.look();
        thread::sleep(Duration::from_millis(20));
        meter.look();
        let busy = meter.busy();
        assert!(
            busy.wall >= Nanos::from_millis(20) && busy.cpu < Nanos::from_millis(15),
            "{busy:?}"
        );
    }
}
