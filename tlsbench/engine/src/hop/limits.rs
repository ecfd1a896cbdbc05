//! Time limits and caps of a hop: what bounds the memory and descriptors that one client can hold.
//!
//! Limits on idleness are restarted by bytes that moved, never by a poll that moved nothing.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tlsbench_core::hop::HopKind;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Time limits of one hop. Tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Wait for a TCP connection to the next hop, its PROXY protocol header included.
    pub(super) connect: Duration,
    /// Wait for each of a PROXY protocol header, a ClientHello, a TLS handshake and the preface of
    /// HTTP/2.
    pub(super) handshake: Duration,
    /// Wait for a whole request head, and for the first byte of a new connection.
    pub(super) head: Duration,
    /// Wait for the head of a response after the last byte of the request left.
    pub(super) response: Duration,
    /// Pause between two bytes of a body, in either direction and on either side.
    pub(super) body: Duration,
    /// Pause of a kept client connection between two requests, and of HTTP/2 without a stream.
    pub(super) keep_alive: Duration,
    /// The same while the hop runs short of connections.
    pub(super) keep_alive_pressed: Duration,
    /// Pause of a relayed connection in which no byte moves in either direction.
    pub(super) relay: Duration,
    /// Wait for a client to take our last bytes before its connection is closed.
    pub(super) close: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Ten times the first two retransmissions of a SYN, and a hundred times what a
            // handshake takes on a busy machine.
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            // One minute each, as nginx waits (client_header_timeout, proxy_read_timeout,
            // client_body_timeout, send_timeout).
            head: Duration::from_secs(60),
            response: Duration::from_secs(60),
            body: Duration::from_secs(60),
            // Four times nginx's keepalive_timeout: low rates over kept connections are measured.
            keep_alive: Duration::from_secs(300),
            keep_alive_pressed: Duration::from_secs(5),
            // nginx's proxy_timeout of streams.
            relay: Duration::from_secs(600),
            // Several round trips around the earth.
            close: Duration::from_secs(1),
        }
    }
}

/// A limit on idleness that costs next to nothing while bytes move.
///
/// One timer serves all waits of a connection. Movement is not noted when it happens: when the
/// timer is due and bytes have moved since it was set, it is set once more. So a wait ends between
/// one and two limits after the last byte.
#[derive(Debug)]
pub(super) struct IdleTimeout {
    /// `None` until something has to be waited for.
    sleep: Option<Pin<Box<Sleep>>>,
    /// True if the timer was polled since it was set, and so will wake the task.
    armed: bool,
    idle: IdleWindow,
}

impl IdleTimeout {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            sleep: None,
            armed: false,
            idle: IdleWindow { since: Instant::now(), limit, moved: 0 },
        }
    }

    /// Begins a wait of at most this long, in which nothing has moved yet.
    pub(super) fn begin(&mut self, limit: Duration) {
        self.idle = IdleWindow { since: Instant::now(), limit, moved: 0 };
        let due = self.idle.since + limit;
        // One that is due sooner finds out then that there is time left.
        if let Some(sleep) = &mut self.sleep
            && sleep.deadline() > due
        {
            sleep.as_mut().reset(due);
            self.armed = false;
        }
    }

    /// Ready once nothing has moved for as long as the limit. `moved` is how many bytes did since
    /// the wait began.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>, moved: u64) -> Poll<()> {
        let due = self.idle.since + self.idle.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            // The task of a connection is always the same, and so is its waker.
            if self.armed && !sleep.is_elapsed() {
                return Poll::Pending;
            }
            // A task that did much at once would be told "pending" without being registered.
            self.armed = true;
            ready!(pin!(unconstrained(sleep.as_mut())).poll(cx));
            self.armed = false;
            match self.idle.due(Instant::now(), moved) {
                None => return Poll::Ready(()),
                Some(due) => sleep.as_mut().reset(due),
            }
        }
    }

    /// Waits for one step of a transfer; `None` if it did not happen within the limit.
    pub(super) async fn within<T>(
        &mut self,
        limit: Duration,
        step: impl Future<Output = T>,
    ) -> Option<T> {
        let (mut step, mut waits) = (pin!(step), false);
        poll_fn(|cx| {
            if let Poll::Ready(done) = step.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            // Most steps are done at once, and then the clock is not read.
            if !waits {
                waits = true;
                self.begin(limit);
            }
            self.poll_idle(cx, 0).map(|()| None)
        })
        .await
    }

    /// Waits for one more step within what is left of the limit.
    pub(super) async fn rest<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        let mut step = pin!(step);
        poll_fn(|cx| match step.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_idle(cx, 0).map(|()| None),
        })
        .await
    }
}

/// A wait, as of the last time that it was looked at.
#[derive(Clone, Copy, Debug)]
struct IdleWindow {
    since: Instant,
    limit: Duration,
    moved: u64,
}

impl IdleWindow {
    /// Returns when to look again; `None` once nothing has moved for as long as the limit.
    fn due(&mut self, now: Instant, moved: u64) -> Option<Instant> {
        if moved != self.moved {
            self.moved = moved;
            self.since = now;
        }
        let due = self.since + self.limit;
        (due > now).then_some(due)
    }
}

/// Connections that one worker holds at a time, others wait in the kernel's queue: its part of the
/// process's descriptors, of which a hop that goes on somewhere needs two for each. The kernel
/// spreads connections unevenly, so each of several workers may hold twice its part.
pub(super) fn connections_max(kind: HopKind, workers: u32) -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(DESCRIPTORS_MAX);
    let each = if kind == HopKind::Backend { 1 } else { 2 };
    let free = descriptors.min(DESCRIPTORS_MAX).saturating_sub(DESCRIPTORS_OTHER);
    let all = free / each;
    let part = (2 * all / u64::from(workers.max(1))).clamp(1, all.max(1));
    usize::try_from(part).unwrap_or(usize::MAX)
}

/// 10,000 connections with an upstream connection each, three times over.
pub(super) const DESCRIPTORS_MAX: u64 = 65_536;
/// Listeners, event loops, 32 pipes and standard streams.
const DESCRIPTORS_OTHER: u64 = 128;
/// Handshakes under way in one worker: 4,096 × 20 KiB of buffers are 80 MiB. As many again wait in
/// the kernel's queue.
pub(super) const HANDSHAKES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_wait_is_restarted_by_bytes_and_not_by_polls() {
        let begun = Instant::now();
        let at = |seconds: u32| begun + seconds * SECOND;
        let mut idle = IdleWindow { since: begun, limit: 60 * SECOND, moved: 0 };
        for seconds in [1, 30, 59] {
            assert_eq!(idle.due(at(seconds), 0), Some(at(60)));
        }
        assert_eq!(idle.due(at(60), 0), None);
        // Bytes that moved since the last look begin it again, as often as there are any.
        assert_eq!(idle.due(at(60), 1), Some(at(120)));
        assert_eq!(idle.due(at(120), 2), Some(at(180)));
        assert_eq!(idle.due(at(179), 2), Some(at(180)));
        assert_eq!(idle.due(at(180), 2), None);
    }

    /// A timer that is due sooner or later than a wait neither ends it nor holds it up.
    #[test]
    fn one_timer_serves_waits_of_any_length() {
        let (short, long) = (Duration::from_millis(10), Duration::from_secs(3_600));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut idle = IdleTimeout::new(long);
            for _ in 0..3 {
                assert_eq!(idle.within(short, std::future::pending::<()>()).await, None);
                // The timer is due by now, and this wait is not over.
                idle.begin(long);
                let mut ticks = 0;
                let step = poll_fn(|cx| {
                    ticks += 1;
                    cx.waker().wake_by_ref();
                    if ticks > 100 { Poll::Ready(ticks) } else { Poll::Pending }
                });
                assert_eq!(idle.rest(step).await, Some(101));
            }
        });
    }

    #[test]
    fn workers_share_the_descriptors_of_their_process() {
        let backend = connections_max(HopKind::Backend, 1);
        assert_eq!(connections_max(HopKind::Http, 1), backend / 2);
        assert_eq!(connections_max(HopKind::Relay, 2), backend / 2);
        assert_eq!(connections_max(HopKind::Relay, 4), backend / 4);
        assert_eq!(connections_max(HopKind::Relay, u32::MAX), 1);
    }
}
