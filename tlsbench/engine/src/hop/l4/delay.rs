//! A direction of a relay in which bytes wait: each goes on so much later than it came.
//!
//! The wait is kept by a timerfd, because tokio's own timer counts milliseconds.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tlsbench_core::units::{NANOS_PER_SECOND, Nanos};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::pump::Direction;
use crate::clock::Clock;
use crate::hop::counters::Counter;
use crate::hop::stream::Stream;

/// Bytes that wait, oldest first.
#[derive(Debug)]
pub(super) struct Delayed {
    delay: Nanos,
    queue: VecDeque<Waiting>,
    queued_bytes: usize,
    moved: u64,
    timer: AsyncFd<OwnedFd>,
    /// The time that the timer is set to.
    set: Option<Nanos>,
    read_end: bool,
    ended: bool,
}

#[derive(Debug)]
struct Waiting {
    due: Nanos,
    /// The bytes; empty for the end.
    data: Vec<u8>,
    taken: usize,
}

impl Delayed {
    pub(super) fn new(delay: Nanos) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; an OwnedFd is ours alone, as asked"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self {
            delay,
            queue: VecDeque::new(),
            queued_bytes: 0,
            moved: 0,
            timer,
            set: None,
            read_end: false,
            ended: false,
        })
    }

    /// Reads while there is room for what waits.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        count: &Counter,
    ) -> Poll<io::Result<()>> {
        while !self.read_end && self.queued_bytes < QUEUE_BYTES {
            let mut buffer = [0; PIECE_BYTES];
            let mut read = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut read))?;
            let data = read.filled().to_vec();
            self.read_end = data.is_empty();
            self.queued_bytes += data.len();
            self.moved += data.len() as u64;
            count.add(data.len() as u64);
            // Due times are absolute, so a late wake-up delays one piece and not all that follow
            // it.
            let due = Clock::Monotonic.now() + self.delay;
            self.queue.push_back(Waiting { due, data, taken: 0 });
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what has waited long enough. Ready once the end was passed on.
    fn poll_drain(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        while let Some(first) = self.queue.front_mut() {
            let due = first.due;
            if Clock::Monotonic.now() < due {
                ready!(self.poll_timer(cx, due))?;
                continue;
            }
            if first.data.is_empty() {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            while let Some(rest) = first.data.get(first.taken..).filter(|rest| !rest.is_empty()) {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
                first.taken += written;
                self.moved += written as u64;
            }
            self.queued_bytes -= first.data.len();
            self.queue.pop_front();
        }
        ready!(Pin::new(to).poll_flush(cx))?;
        Poll::Pending
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, due: Nanos) -> Poll<io::Result<()>> {
        if self.set != Some(due) {
            let once = Itimerspec { it_interval: timespec(Nanos(0)), it_value: timespec(due) };
            timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
            self.set = Some(due);
        }
        ready!(self.timer.poll_read_ready(cx))?.clear_ready();
        // It is not read: setting it again makes it wait again.
        self.set = None;
        Poll::Ready(Ok(()))
    }
}

impl Direction for Delayed {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        _last: bool,
        count: &Counter,
    ) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        loop {
            let filled = self.poll_fill(cx, from, count)?;
            let before = self.queued_bytes;
            if self.poll_drain(cx, to)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            // Room that was made is used: nobody wakes us for it.
            if filled.is_pending() || self.read_end || self.queued_bytes == before {
                return Poll::Pending;
            }
        }
    }

    fn moved(&self) -> u64 {
        self.moved
    }
}

fn timespec(span: Nanos) -> Timespec {
    let seconds = i64::try_from(span.0 / NANOS_PER_SECOND).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: (span.0 % NANOS_PER_SECOND) as _ }
}

const PIECE_BYTES: usize = 16 << 10;
/// 16 MiB: 1 Gbit/s for 128 ms. What is faster over a longer delay is held back by it, as by a
/// window.
const QUEUE_BYTES: usize = 16 << 20;
