//! Clocks, and how good they are: what a reading costs, how fine it is, how late a wake-up comes.
//!
//! All spans are of the monotonic clock; nothing here tells the time of day.

use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroU32;
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use thiserror::Error;
use tlsbench_core::units::{NANOS_PER_SECOND, Nanos};

/// A clock that tlsbench measures with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Time that passes evenly.
    Monotonic,
    /// CPU time of this process, all threads, exited ones too.
    ProcessCpu,
    /// CPU time of the calling thread.
    ThreadCpu,
}

impl Clock {
    /// Reads the clock.
    #[must_use]
    pub fn now(self) -> Nanos {
        let id = match self {
            Self::Monotonic => ClockId::Monotonic,
            Self::ProcessCpu => ClockId::ProcessCPUTime,
            Self::ThreadCpu => ClockId::ThreadCPUTime,
        };
        nanos(clock_gettime(id))
    }

    /// Measures the clock by reading it over and over.
    #[must_use]
    pub fn quality(self) -> Quality {
        let cost = (0..BATCHES).map(|_| self.cost_of_batch()).min().unwrap_or_default();
        Quality { cost, step: self.smallest_step() }
    }

    fn cost_of_batch(self) -> Nanos {
        let begin = Clock::Monotonic.now();
        for _ in 0..READINGS_PER_BATCH {
            std::hint::black_box(self.now());
        }
        let span = Clock::Monotonic.now() - begin;
        Nanos(span.0 / READINGS_PER_BATCH)
    }

    fn smallest_step(self) -> Option<Nanos> {
        let mut before = self.now();
        let mut smallest: Option<Nanos> = None;
        for _ in 0..READINGS_PER_BATCH * BATCHES {
            let now = self.now();
            if now > before {
                let step = now - before;
                smallest = Some(smallest.map_or(step, |known| known.min(step)));
            }
            before = now;
        }
        smallest
    }
}

/// Reads the CPU clock of another process: all its threads, exited ones too, in user and kernel
/// mode. It needs no privilege. Its own children count only as far as they are read themselves.
///
/// # Errors
/// `ESRCH` when there is no such process in this PID namespace.
#[allow(unsafe_code, reason = "rustix has no clock of another process")]
pub fn cpu_of_process(pid: u32) -> io::Result<Nanos> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    let (mut clock, mut time) = (MaybeUninit::uninit(), MaybeUninit::<libc::timespec>::uninit());
    // SAFETY: the pointers are to places of the right types, and what is there is read only after
    // the call that wrote it has succeeded. The first returns its error, the second leaves it in
    // errno.
    let time = unsafe {
        match libc::clock_getcpuclockid(pid, clock.as_mut_ptr()) {
            0 => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
        if libc::clock_gettime(clock.assume_init(), time.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        time.assume_init()
    };
    Ok(nanos(Timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_nsec }))
}

/// The quality of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// The time that one reading takes: the best of several batches, free of interruptions.
    pub cost: Nanos,
    /// The smallest advance seen between two readings; `None` if it stood still.
    pub step: Option<Nanos>,
}

/// The lateness of wake-ups: how much later than asked this process woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    /// Half of the wake-ups were at most this late.
    pub p50: Nanos,
    /// 99 of 100 wake-ups were at most this late.
    pub p99: Nanos,
    /// The latest wake-up.
    pub max: Nanos,
}

/// The reason why a wake-up could not be measured.
#[derive(Debug, Error)]
pub enum LatenessError {
    /// The kernel gave no timer.
    #[error("cannot create a timerfd")]
    Create(#[source] io::Error),
    /// The timer could not be set.
    #[error("cannot set a timerfd")]
    Set(#[source] io::Error),
    /// The timer could not be waited for.
    #[error("cannot read a timerfd")]
    Wait(#[source] io::Error),
}

/// Sleeps until a series of moments, `pause` apart, and measures how late each wake-up comes.
///
/// # Errors
/// Fails when the kernel refuses a timer.
pub fn lateness(wakeups: NonZeroU32, pause: Duration) -> Result<Lateness, LatenessError> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)
        .map_err(|errno| LatenessError::Create(errno.into()))?;
    let mut late: Vec<Nanos> = Vec::new();
    for _ in 0..wakeups.get() {
        let due = Nanos(Clock::Monotonic.now().0.saturating_add(Nanos::from(pause).0));
        let once = Itimerspec { it_interval: timespec(Nanos(0)), it_value: timespec(due) };
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &once)
            .map_err(|errno| LatenessError::Set(errno.into()))?;
        let mut expirations = [MaybeUninit::uninit(); size_of::<u64>()];
        rustix::io::retry_on_intr(|| rustix::io::read(&timer, &mut expirations).map(drop))
            .map_err(|errno| LatenessError::Wait(errno.into()))?;
        late.push(Clock::Monotonic.now() - due);
    }
    late.sort_unstable();
    Ok(Lateness {
        p50: quantile(&late, 50),
        p99: quantile(&late, 99),
        max: late.last().copied().unwrap_or_default(),
    })
}

/// The smallest value that this many hundredths of the sorted values do not exceed.
fn quantile(sorted: &[Nanos], percent: usize) -> Nanos {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn nanos(time: Timespec) -> Nanos {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let rest = u64::try_from(time.tv_nsec).unwrap_or_default();
    Nanos(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(rest))
}

fn timespec(span: Nanos) -> Timespec {
    let seconds = i64::try_from(span.0 / NANOS_PER_SECOND).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: (span.0 % NANOS_PER_SECOND) as _ }
}

/// The best of five batches: an interruption spoils one or two, not all.
const BATCHES: u64 = 5;
/// 2,000 readings at 20 ns to 1 µs take 40 µs to 2 ms: shorter than a time slice, mostly.
const READINGS_PER_BATCH: u64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_advance_and_a_reading_costs_less_than_a_millisecond() {
        for clock in [Clock::Monotonic, Clock::ProcessCpu] {
            let quality = clock.quality();
            assert!(quality.cost < Nanos::from_millis(1), "{clock:?}: {quality:?}");
            assert!(quality.step.is_some(), "{clock:?}");
        }
    }

    #[test]
    fn cpu_time_advances_while_computing() {
        let begin = (Clock::Monotonic.now(), Clock::ProcessCpu.now());
        while Clock::ProcessCpu.now().0 - begin.1.0 < 2_000_000 {
            let waited = Clock::Monotonic.now().0 - begin.0.0;
            assert!(waited < 30 * NANOS_PER_SECOND, "2 ms of CPU time did not pass in 30 s");
        }
    }

    #[test]
    fn wake_ups_are_never_early_and_quantiles_are_in_order() {
        let late = lateness(NonZeroU32::new(20).unwrap(), Duration::from_micros(200)).unwrap();
        assert!(late.p50 <= late.p99 && late.p99 <= late.max, "{late:?}");
        assert!(late.max > Nanos(0));
    }

    #[test]
    fn a_quantile_is_the_value_at_its_rank() {
        let sorted: Vec<Nanos> = (1..=200).map(Nanos).collect();
        assert_eq!(quantile(&sorted, 50), Nanos(100));
        assert_eq!(quantile(&sorted, 99), Nanos(198));
        assert_eq!(quantile(&sorted[..1], 99), Nanos(1));
        assert_eq!(quantile(&[], 99), Nanos(0));
    }

    #[test]
    fn times_survive_the_way_to_the_kernel_and_back() {
        for time in [0, 1, 999_999_999, 1_000_000_000, 12_345_678_901_234] {
            assert_eq!(nanos(timespec(Nanos(time))), Nanos(time));
        }
    }
}
