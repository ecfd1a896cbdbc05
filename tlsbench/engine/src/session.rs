//! One connection's life, as a machine of states: connect, shake hands, ask, close.
//!
//! It moves when the socket is ready and never waits; what a connection does is decided here, when
//! it does it by `drive`. A handshake is over when the server has confirmed it, not before.

use std::net::TcpStream;

use tlsbench_core::tally::{Failed, Failure, Reason};
use tlsbench_core::units::Nanos;

use crate::clock::Clock;
use crate::tls::Wanted;
use crate::wire::ResponseReader;

mod closing;
mod connection;
pub(crate) mod dial;
mod handshake;
mod http1;
mod http2;
mod state;
mod streams;
mod transport;

pub(crate) use connection::{Connection, Route, Step, StepContext};
pub(crate) use streams::slot_count;

use state::{Http1State, State};
use streams::Streams;
use transport::{FedBytes, Transport, Unasked};

/// A connection over a socket, or the slot of one. The reader and the streams keep their memory
/// from one connection to the next.
#[derive(Debug)]
pub(crate) struct Session {
    /// The socket, with TLS on it; `None` in a vacant slot.
    transport: Option<Transport>,
    marks: Marks,
    state: State,
    /// The server has confirmed the handshake.
    confirmed: bool,
    wanted: Wanted,
    reader: ResponseReader,
    /// The streams of HTTP/2, instead of the reader.
    streams: Option<Box<Streams>>,
}

/// The moments of a connection that its times are measured between.
#[derive(Clone, Copy, Debug)]
struct Marks {
    began: Nanos,
    connected: Nanos,
    sent: Nanos,
    last_response_at: Nanos,
    /// The time when the current state has taken too long.
    deadline: Nanos,
    /// The time when the operation under way has taken too long as a whole; with several, each has
    /// its own.
    until: Nanos,
}

impl Marks {
    const NONE: Self = Self {
        began: Nanos(0),
        connected: Nanos(0),
        sent: Nanos(0),
        last_response_at: Nanos(0),
        deadline: NEVER,
        until: NEVER,
    };
}

impl Session {
    const fn new() -> Self {
        Self {
            transport: None,
            marks: Marks::NONE,
            state: State::Vacant,
            confirmed: false,
            wanted: Wanted::Full,
            reader: ResponseReader::new(),
            streams: None,
        }
    }

    /// Begins to connect. The socket is then to be watched for everything, by edges.
    pub(crate) fn open(
        &mut self,
        route: Route,
        context: &mut StepContext<'_>,
    ) -> Result<(), Failure> {
        let now = Clock::Monotonic.now();
        let (tls, wanted) = match &mut context.tls {
            Some(client) => {
                let (tls, wanted) = client.connect(route.resume).map_err(|_| Failure::TlsOther)?;
                (Some(Box::new(tls)), wanted)
            }
            None => (None, Wanted::Full),
        };
        let socket = dial::dial(route.to, route.from)?;
        // Tables and buffers of the last connection are used again: a new connection allocates
        // nothing.
        let mut streams = self.streams.take();
        if let Some((rendered, wanted)) =
            context.request.and_then(|rendered| Some((rendered, rendered.streams()?)))
        {
            let streams = streams.get_or_insert_with(|| Box::new(Streams::new()));
            streams.begin(wanted, rendered.head);
        }
        let until = now + context.timeout.operation;
        *self = Self {
            transport: Some(Transport::new(socket, tls)),
            marks: Marks {
                began: now,
                deadline: until.min(now + context.timeout.connect),
                until,
                ..Marks::NONE
            },
            state: State::Connecting { last: route.last },
            confirmed: false,
            wanted,
            reader: std::mem::take(&mut self.reader),
            streams,
        };
        Ok(())
    }

    /// The socket, to be watched.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        self.transport.as_ref().map(|transport| &transport.socket)
    }

    fn or_failed(&mut self, result: Result<Step, Failed>) -> Step {
        result.unwrap_or_else(|failed| {
            self.drop_link();
            Step::Failed(failed)
        })
    }

    /// Gives bytes that were read to TLS, and what they hold to whoever reads the protocol.
    fn feed(&mut self, input: &[u8], context: &StepContext<'_>) -> Result<FedBytes, Failed> {
        let Some(transport) = &mut self.transport else { return Ok(FedBytes::default()) };
        let fed = match &mut self.streams {
            _ if context.request.is_none() => transport.feed(input, &mut Unasked),
            Some(streams) => transport.feed(input, &mut **streams),
            None => transport.feed(input, &mut self.reader),
        };
        fed.map_err(|failed| {
            let refusal = context.tls.as_ref().and_then(|client| client.take_refusal());
            Failed { reason: refusal.map(Reason::Detail).or(failed.reason), ..failed }
        })
    }

    fn is_hung_up(&self) -> bool {
        self.transport.as_ref().is_some_and(|transport| transport.hung_up)
    }
}

impl Connection for Session {
    fn vacant() -> Self {
        Self::new()
    }

    fn is_vacant(&self) -> bool {
        self.state == State::Vacant
    }

    fn is_idle(&self) -> bool {
        match self.state {
            State::Http1(http1) => !http1.is_requesting,
            State::Http2 { .. } => !self.is_busy(),
            _ => false,
        }
    }

    fn is_busy(&self) -> bool {
        match (self.state, &self.streams) {
            (State::Http1(http1), None) => http1.is_requesting,
            (State::Http2 { .. }, Some(streams)) => streams.open() > 0,
            _ => false,
        }
    }

    fn free_slot(&self) -> Option<u32> {
        match (self.state, &self.streams) {
            (State::Http1(http1), None) if !http1.is_requesting => Some(0),
            (State::Http2 { .. }, Some(streams)) if !self.is_hung_up() => streams.free_slot(),
            _ => None,
        }
    }

    fn completed_slot(&self) -> Option<u32> {
        self.streams.as_ref().and_then(|streams| streams.completed_slot())
    }

    fn last_response_at(&self) -> Nanos {
        self.marks.last_response_at
    }

    fn deadline(&self) -> Nanos {
        self.marks.deadline
    }

    fn is_reusable(&self) -> bool {
        let reusable = match (&self.streams, self.state) {
            (Some(streams), _) => streams.is_reusable(),
            (None, State::Http1(http1)) => http1.reusable,
            (None, _) => false,
        };
        reusable && !self.is_hung_up()
    }

    fn step(&mut self, hung_up: bool, context: &mut StepContext<'_>) -> Step {
        if let Some(transport) = &mut self.transport {
            transport.hung_up |= hung_up;
        }
        let result = match self.state {
            State::Vacant => Ok(Step::Waits),
            State::Connecting { last } => self.on_connect(last, context),
            State::Handshaking { .. } => self.on_handshake(context),
            State::Confirming => self.on_confirming(context),
            State::Http1(http1) if http1.is_requesting => self.on_response(context),
            // Bytes of a server between two requests are not a response: a timeout notice, a ticket
            // or the end.
            State::Http1(_) => self.on_idle(context),
            State::Http2 { .. } => {
                // The wake-up says that there is something to read.
                if let Some(transport) = &mut self.transport {
                    transport.drained = false;
                }
                self.on_streams(context)
            }
            State::Closing(_) => Ok(self.on_closing(context)),
        };
        self.or_failed(result)
    }

    fn resume(&mut self, context: &mut StepContext<'_>) -> Option<Step> {
        if !matches!(self.state, State::Http2 { .. }) {
            return None;
        }
        let result = self.on_streams(context);
        Some(self.or_failed(result))
    }

    fn expire(&mut self, context: &mut StepContext<'_>) -> Step {
        match self.state {
            State::Http2 { .. } => {
                self.expire_streams(context.timeout);
                Step::Waits
            }
            State::Closing(_) => self.close_first(context),
            _ => {
                self.drop_link();
                Step::Failed(Failure::Timeout.into())
            }
        }
    }

    fn request(
        &mut self,
        last: bool,
        now: Nanos,
        context: &mut StepContext<'_>,
    ) -> Result<(), Step> {
        if self.streams.is_none() {
            return self.request_next(last, now, context);
        }
        let before = self.state;
        if !matches!(before, State::Http2 { .. }) {
            self.state = State::Http2 { settled: false };
            self.marks.deadline = NEVER;
        }
        self.request_stream(before, now, context);
        Ok(())
    }

    fn rest(&mut self, context: &mut StepContext<'_>) {
        match &mut self.state {
            State::Http2 { .. } => return,
            State::Http1(http1) => http1.is_requesting = false,
            state => *state = State::Http1(Http1State::default()),
        }
        self.marks.deadline = NEVER;
        if let Some(transport) = &mut self.transport {
            // A connection that broke here shows it when it is read.
            let _ = transport.flush(context.tally);
        }
    }

    fn close(&mut self, context: &mut StepContext<'_>) -> Step {
        self.begin_to_close(context)
    }

    fn abandon(&mut self) {
        self.drop_link();
    }

    fn leave(&mut self, context: &mut StepContext<'_>) {
        self.say_goaway(context);
        if let Some(transport) = &mut self.transport {
            transport.say_goodbye(context.tally);
        }
        self.drop_link();
    }
}

const NEVER: Nanos = Nanos(u64::MAX);
