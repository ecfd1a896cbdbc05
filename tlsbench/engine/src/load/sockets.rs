//! The world of sockets: epoll over them and two timers, by the monotonic clock.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tlsbench_core::tally::Failure;
use tlsbench_core::units::{NANOS_PER_SECOND, Nanos};

use super::shard_io::{ConnectionId, Io, Wake};
use crate::clock::Clock;
use crate::session::{Route, Session, StepContext};

/// Epoll, a timer that ticks, and one that is set.
pub(crate) struct Sockets {
    epoll: OwnedFd,
    tick: OwnedFd,
    pace: OwnedFd,
    pace_at: Nanos,
    events: Vec<epoll::Event>,
}

impl Sockets {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = || {
            timerfd_create(
                TimerfdClockId::Monotonic,
                TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
            )
        };
        // Timers are descriptors, so that one epoll_wait covers sockets and time; its own timeout
        // has a resolution of milliseconds only.
        let (tick, pace) = (timer()?, timer()?);
        let every = Itimerspec { it_interval: timespec(TICK), it_value: timespec(TICK) };
        timerfd_settime(&tick, TimerfdTimerFlags::empty(), &every)?;
        for (timer, token) in [(&tick, TICK_TOKEN), (&pace, PACE_TOKEN)] {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&epoll, timer, epoll::EventData::new_u64(token), flags)?;
        }
        let events = Vec::with_capacity(EVENTS);
        Ok(Self { epoll, tick, pace, pace_at: Nanos(0), events })
    }

    /// Watches a new socket, by edges.
    fn watch(&self, socket: &TcpStream, name: ConnectionId) -> io::Result<()> {
        // The slot's generation is part of the token: events of a connection that was closed within
        // the same batch must not reach its successor.
        let token = u64::from(name.number) << 32 | u64::from(name.slot);
        let data = epoll::EventData::new_u64(token);
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        epoll::add(&self.epoll, socket, data, flags)?;
        Ok(())
    }
}

impl Io for Sockets {
    type Connection = Session;

    fn now(&self) -> Nanos {
        Clock::Monotonic.now()
    }

    fn open(
        &mut self,
        session: &mut Session,
        name: ConnectionId,
        route: Route,
        step_context: &mut StepContext<'_>,
    ) -> Result<(), Failure> {
        session.open(route, step_context)?;
        let watched = session.socket().is_some_and(|socket| self.watch(socket, name).is_ok());
        if !watched {
            session.drop_link();
            return Err(Failure::ConnectOther);
        }
        Ok(())
    }

    fn wake_at(&mut self, moment: Nanos) -> io::Result<()> {
        if moment != self.pace_at {
            let once = Itimerspec { it_interval: timespec(Nanos(0)), it_value: timespec(moment) };
            timerfd_settime(&self.pace, TimerfdTimerFlags::ABSTIME, &once)?;
            self.pace_at = moment;
        }
        Ok(())
    }

    fn wait(&mut self) -> io::Result<usize> {
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(self.events.len()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn event(&self, index: usize) -> Option<Wake> {
        let event = self.events.get(index)?;
        // Copied out, because the kernel's structure is packed.
        let (data, flags) = (event.data, event.flags);
        Some(match data.u64() {
            TICK_TOKEN => Wake::Tick,
            PACE_TOKEN => Wake::Pace,
            token => Wake::Connection {
                name: ConnectionId {
                    slot: (token & u64::from(u32::MAX)) as u32,
                    number: (token >> 32) as u32,
                },
                hung_up: flags.intersects(
                    epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR,
                ),
            },
        })
    }

    fn heard_tick(&self) {
        // A timer that repeats is an edge again only after it was read.
        let mut expirations = [0; size_of::<u64>()];
        // Nothing to read means that it was heard before.
        let _ = rustix::io::read(&self.tick, &mut expirations);
    }
}

fn timespec(span: Nanos) -> Timespec {
    let seconds = i64::try_from(span.0 / NANOS_PER_SECOND).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: (span.0 % NANOS_PER_SECOND) as _ }
}

/// Timeouts are seconds and a stop should be felt at once: 100 looks a second are enough of both,
/// and cost nothing.
const TICK: Nanos = Nanos::from_millis(10);
/// Sockets served between two checks for what is due.
const EVENTS: usize = 256;
/// No slot has these numbers: they are beyond the largest pool.
const TICK_TOKEN: u64 = u64::MAX;
const PACE_TOKEN: u64 = u64::MAX - 1;
