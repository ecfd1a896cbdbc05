//! A world without sockets: its clock goes on only while the loop waits, from one thing that
//! happens to the next, and what a server does is a script. So every latency is known to the
//! nanosecond.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::rc::Rc;

use tlsbench_core::scenario::Close;
use tlsbench_core::tally::{Failed, Failure, Phase};
use tlsbench_core::units::Nanos;

use crate::load::{ConnectionId, Io, Wake};
use crate::session::{Connection, Route, Step, StepContext};

/// The script of a world.
pub(super) struct Script {
    /// The time that the generator itself spends on beginning a connection.
    pub(super) dial: Nanos,
    /// The time from there until the connection stands.
    pub(super) connect: Nanos,
    /// The outcome of a request that is made at a moment.
    pub(super) serve: Box<dyn FnMut(Nanos) -> Served>,
    /// The time from the end of a connection's last response until the server has closed it.
    pub(super) close: Nanos,
    /// The span in which the generator's process does not run, though something happens.
    pub(super) suspended: std::ops::Range<Nanos>,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Served {
    /// The response ends then.
    At(Nanos),
    /// The response ends then, and the connection with it.
    Last(Nanos),
    /// The response ends then, and is not what was asked for.
    Wrong(Nanos, Failure),
    /// The connection breaks then.
    Broken(Nanos, Failure),
    /// The connection ends then, and the server has not taken the request.
    Untaken(Nanos),
    /// No answer at all.
    Never,
}

impl Script {
    /// A world in which nothing takes time but what `serve` says: how long after the request's
    /// moment its response ends.
    pub(super) fn serving(mut serve: impl FnMut(Nanos) -> Nanos + 'static) -> Self {
        Self::of(move |asked| Served::At(asked + serve(asked)))
    }

    /// A world in which nothing takes time but requests.
    pub(super) fn of(serve: impl FnMut(Nanos) -> Served + 'static) -> Self {
        Self {
            dial: Nanos(0),
            connect: Nanos(0),
            serve: Box::new(serve),
            close: Nanos(0),
            suspended: Nanos(0)..Nanos(0),
        }
    }
}

/// The world of a script.
pub(super) struct FakeWorld {
    world: Rc<RefCell<World>>,
    happened: Vec<Wake>,
}

struct World {
    script: Script,
    now: Nanos,
    /// Events of connections to come: when, in which order of those at one time, and of which
    /// connection.
    coming: BinaryHeap<Reverse<(Nanos, u64, u32, u32)>>,
    order: u64,
    pace: Option<Nanos>,
    tick: Nanos,
    heard: bool,
}

impl FakeWorld {
    pub(super) fn new(script: Script, now: Nanos) -> Self {
        let world = World {
            script,
            now,
            coming: BinaryHeap::new(),
            order: 0,
            pace: None,
            tick: now + TICK,
            heard: true,
        };
        Self { world: Rc::new(RefCell::new(world)), happened: Vec::new() }
    }
}

impl World {
    /// Something happens to a connection at a moment.
    fn come(&mut self, at: Nanos, name: ConnectionId) {
        self.order += 1;
        self.coming.push(Reverse((at, self.order, name.slot, name.number)));
    }

    /// Lets time pass until something happens.
    fn pass(&mut self, happened: &mut Vec<Wake>) {
        let tick = self.heard.then_some(self.tick);
        let coming = self.coming.peek().map(|Reverse((at, ..))| *at);
        let next = [tick, coming, self.pace].into_iter().flatten().min().unwrap();
        self.now = self.now.max(next);
        if self.script.suspended.contains(&self.now) {
            self.now = self.script.suspended.end;
        }
        while let Some(&Reverse((at, _, slot, number))) = self.coming.peek() {
            if at > self.now {
                break;
            }
            self.coming.pop();
            happened.push(Wake::Connection { name: ConnectionId { slot, number }, hung_up: false });
        }
        if self.pace.take_if(|pace| *pace <= self.now).is_some() {
            happened.push(Wake::Pace);
        }
        if self.heard && self.tick <= self.now {
            self.heard = false;
            happened.push(Wake::Tick);
        }
    }
}

impl Io for FakeWorld {
    type Connection = FakeConnection;

    fn now(&self) -> Nanos {
        self.world.borrow().now
    }

    fn open(
        &mut self,
        connection: &mut FakeConnection,
        name: ConnectionId,
        _: Route,
        _: &mut StepContext<'_>,
    ) -> Result<(), Failure> {
        let mut world = self.world.borrow_mut();
        let began = world.now;
        world.now = began + world.script.dial;
        let connected = world.now + world.script.connect;
        world.come(connected, name);
        let (deadline, world) = (began + PATIENCE, Some(Rc::clone(&self.world)));
        *connection = FakeConnection {
            world,
            name,
            stage: Stage::Connecting,
            since: began,
            deadline,
            ..*connection
        };
        Ok(())
    }

    fn wake_at(&mut self, moment: Nanos) -> io::Result<()> {
        self.world.borrow_mut().pace = Some(moment);
        Ok(())
    }

    fn wait(&mut self) -> io::Result<usize> {
        self.happened.clear();
        self.world.borrow_mut().pass(&mut self.happened);
        Ok(self.happened.len())
    }

    fn event(&self, index: usize) -> Option<Wake> {
        self.happened.get(index).copied()
    }

    fn heard_tick(&self) {
        let mut world = self.world.borrow_mut();
        world.heard = true;
        while world.tick <= world.now {
            world.tick = world.tick + TICK;
        }
    }
}

/// A connection to the server of the script, one request at a time.
pub(super) struct FakeConnection {
    world: Option<Rc<RefCell<World>>>,
    name: ConnectionId,
    stage: Stage,
    /// The time when the stage began.
    since: Nanos,
    moment: Nanos,
    deadline: Nanos,
    reusable: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Vacant,
    Connecting,
    Idle,
    Requesting(Served),
    Closing,
}

impl FakeConnection {
    fn now(&self) -> Nanos {
        self.world.as_ref().map_or(Nanos(0), |world| world.borrow().now)
    }

    fn go(&mut self, stage: Stage, until: Nanos) {
        (self.stage, self.since, self.deadline) = (stage, self.now(), until);
    }

    fn answered(
        &mut self,
        result: Result<u16, Failed>,
        reusable: bool,
        step_context: &mut StepContext<'_>,
    ) -> Step {
        (self.moment, self.reusable) = (self.now(), reusable);
        step_context.tally.record(Phase::LastByte, self.moment - self.since);
        self.go(Stage::Idle, NEVER);
        Step::Answered { slot: 0, result }
    }
}

impl Connection for FakeConnection {
    fn vacant() -> Self {
        Self {
            world: None,
            name: ConnectionId { slot: 0, number: 0 },
            stage: Stage::Vacant,
            since: Nanos(0),
            moment: Nanos(0),
            deadline: NEVER,
            reusable: false,
        }
    }

    fn is_vacant(&self) -> bool {
        matches!(self.stage, Stage::Vacant)
    }

    fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    fn is_busy(&self) -> bool {
        matches!(self.stage, Stage::Requesting(_))
    }

    fn is_reusable(&self) -> bool {
        self.reusable
    }

    fn free_slot(&self) -> Option<u32> {
        self.is_idle().then_some(0)
    }

    fn completed_slot(&self) -> Option<u32> {
        None
    }

    fn last_response_at(&self) -> Nanos {
        self.moment
    }

    fn deadline(&self) -> Nanos {
        self.deadline
    }

    fn step(&mut self, _: bool, step_context: &mut StepContext<'_>) -> Step {
        match self.stage {
            Stage::Connecting => {
                step_context.tally.connections += 1;
                step_context.tally.record(Phase::Connect, self.now() - self.since);
                if step_context.request.is_some() { Step::Ready } else { Step::Confirmed }
            }
            Stage::Requesting(Served::At(_)) => self.answered(Ok(200), true, step_context),
            Stage::Requesting(Served::Last(_)) => self.answered(Ok(200), false, step_context),
            Stage::Requesting(Served::Wrong(_, failure)) => {
                self.answered(Err(failure.into()), true, step_context)
            }
            Stage::Requesting(Served::Broken(_, failure)) => {
                self.go(Stage::Vacant, NEVER);
                Step::Failed(failure.into())
            }
            Stage::Requesting(Served::Untaken(_)) => {
                self.go(Stage::Vacant, NEVER);
                let failed = Failure::ResponseTruncated.into();
                Step::Untaken { slot: 0, failed, progressed: false }
            }
            Stage::Closing => {
                self.go(Stage::Vacant, NEVER);
                Step::Over
            }
            Stage::Vacant | Stage::Idle | Stage::Requesting(Served::Never) => Step::Waits,
        }
    }

    fn resume(&mut self, _: &mut StepContext<'_>) -> Option<Step> {
        None
    }

    fn expire(&mut self, _: &mut StepContext<'_>) -> Step {
        let closing = matches!(self.stage, Stage::Closing);
        self.go(Stage::Vacant, NEVER);
        if closing { Step::Over } else { Step::Failed(Failure::Timeout.into()) }
    }

    fn request(
        &mut self,
        _: bool,
        now: Nanos,
        step_context: &mut StepContext<'_>,
    ) -> Result<(), Step> {
        let Some(world) = &self.world else {
            return Err(Step::Failed(Failure::ConnectOther.into()));
        };
        let mut world = world.borrow_mut();
        assert_eq!(now, world.now, "a request is made when it is made");
        let served = (world.script.serve)(now);
        match served {
            Served::At(at)
            | Served::Last(at)
            | Served::Untaken(at)
            | Served::Wrong(at, _)
            | Served::Broken(at, _) => {
                world.come(at, self.name);
            }
            Served::Never => {}
        }
        drop(world);
        self.go(Stage::Requesting(served), now + step_context.timeout.operation);
        Ok(())
    }

    fn rest(&mut self, _: &mut StepContext<'_>) {}

    fn close(&mut self, step_context: &mut StepContext<'_>) -> Step {
        assert_eq!(step_context.close, Close::Server, "no other way of closing takes time");
        let Some(world) = &self.world else { return Step::Over };
        let mut world = world.borrow_mut();
        let at = world.now + world.script.close;
        world.come(at, self.name);
        drop(world);
        self.go(Stage::Closing, NEVER);
        Step::Waits
    }

    fn abandon(&mut self) {
        self.go(Stage::Vacant, NEVER);
    }

    fn leave(&mut self, _: &mut StepContext<'_>) {
        self.go(Stage::Vacant, NEVER);
    }
}

const NEVER: Nanos = Nanos(u64::MAX);
/// The interval of ticks, and the wait for a response.
const TICK: Nanos = Nanos::from_millis(10);
const PATIENCE: Nanos = Nanos::from_millis(30_000);
