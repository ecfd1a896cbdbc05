//! Threads that share nothing: one for each shard, on a core of its own where there are enough.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tlsbench_core::units::{NANOS_PER_SECOND, Nanos};
use tlsbench_core::usage::Cpu;

use crate::affinity;
use crate::clock::Clock;

/// Asks a run to end now; what was measured until then is kept.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Creates a flag that nobody has raised yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether it was asked.
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
    pub(crate) failed_in_rounds: AtomicU64,
    pub(crate) late: AtomicU64,
    /// The round that the shard is in; 0 before the first and after the last.
    pub(crate) round: AtomicU64,
}

/// Reads the CPU time of the thread that made it.
#[derive(Debug)]
pub(crate) struct ThreadMeter {
    /// Held open, so that a reading allocates nothing; `None` if `/proc` is not there.
    stat: Option<File>,
}

impl ThreadMeter {
    pub(crate) fn of_this_thread() -> Self {
        Self { stat: File::open("/proc/thread-self/stat").ok() }
    }

    /// CPU time until now; its split is the kernel's, of 10 ms, and zero where that is not told.
    pub(crate) fn now(&self) -> Cpu {
        let mut text = [0; STAT_BYTES];
        let length = self.stat.as_ref().and_then(|file| file.read_at(&mut text, 0).ok());
        let text = text.get(..length.unwrap_or_default()).unwrap_or_default();
        let (user, system) = split(std::str::from_utf8(text).unwrap_or_default());
        Cpu { total: Clock::ThreadCpu.now(), user, system }
    }
}

/// User and system time from the text of a `stat` file below `/proc`.
pub(crate) fn split(stat: &str) -> (Nanos, Nanos) {
    // The name in parentheses may hold anything; after it, user and system are fields 12 and 13.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut ticks = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || {
        let ticks = ticks.next().and_then(Result::ok).unwrap_or_default();
        Nanos(ticks.saturating_mul(NANOS_PER_SECOND) / rustix::param::clock_ticks_per_second())
    };
    (next(), next())
}

/// Cores for this many shards: the last ones, since interrupts mostly come to the first. `None` if
/// there are not enough with those that are to stay free.
#[must_use]
pub(crate) fn cores(shards: usize, free: usize) -> Option<Vec<usize>> {
    let allowed = affinity::allowed().ok()?;
    let others = allowed.len().checked_sub(shards).filter(|others| *others >= free)?;
    Some(allowed.into_iter().skip(others).collect())
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

/// 52 fields of at most 20 digits, and a name of at most 64 bytes, come to 1,156 bytes.
const STAT_BYTES: usize = 1_280;

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
        let all = allowed.len();
        assert_eq!(cores(all, 0), Some(allowed.clone()));
        assert_eq!(cores(all + 1, 0), None);
        assert_eq!(cores(1, all - 1), Some(vec![*allowed.last().unwrap()]));
        assert_eq!(cores(1, all), None);
    }

    #[test]
    fn a_thread_s_time_is_its_own_and_its_split_is_of_the_same_time() {
        let meter = ThreadMeter::of_this_thread();
        let before = meter.now();
        thread::spawn(|| {
            let begin = Clock::ThreadCpu.now();
            while Clock::ThreadCpu.now() - begin < Nanos::from_millis(30) {}
        })
        .join()
        .unwrap();
        let between = meter.now();
        assert!((between - before).total < Nanos::from_millis(15), "{before:?} {between:?}");
        while (meter.now() - between).total < Nanos::from_millis(60) {}
        let used = meter.now() - between;
        let split = used.user + used.system;
        let off = split.0.abs_diff(used.total.0);
        assert!(off < Nanos::from_millis(35).0, "{used:?}");
    }

    #[test]
    fn the_split_is_found_behind_any_name() {
        let stat = "7 (a) (b c) R 1 2 3 4 5 6 7 8 9 10 250 100 0 0 20 0 1 0 5 6";
        let tick = NANOS_PER_SECOND / rustix::param::clock_ticks_per_second();
        assert_eq!(split(stat), (Nanos(250 * tick), Nanos(100 * tick)));
        assert_eq!(split(""), (Nanos(0), Nanos(0)));
    }
}
