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
mod link;
mod streams;

pub(crate) use connection::{Connection, Route, Step, StepContext};
pub(crate) use streams::slot_count;

use link::{FedBytes, Transport, Unasked};
use streams::Streams;

/// A connection over a socket, or the place of one.
#[derive(Debug)]
pub(crate) struct Session {
    stage: Stage,
    link: Option<Transport>,
    reader: ResponseReader,
    /// What HTTP/2 has instead of a reader.
    streams: Option<Box<Streams>>,
    wanted: Wanted,
    began: Nanos,
    connected: Nanos,
    sent: Nanos,
    last_response_at: Nanos,
    deadline: Nanos,
    /// When the operation under way has taken too long as a whole; where there are several, each has
    /// its own.
    until: Nanos,
    /// The operation that the connection was opened for has not made its request yet.
    fresh: bool,
    /// Bytes of the request that the socket has taken, and whether it is the connection's last.
    taken: usize,
    last: bool,
    early: bool,
    first_byte: bool,
    confirmed: bool,
    reusable: bool,
    /// A response came to its end, so the connection is one that was kept.
    answered: bool,
    /// The kernel said that the server's side is shut, so reading goes on to the end.
    hung_up: bool,
    /// The last reading emptied the socket.
    drained: bool,
    /// The server said close_notify.
    goodbye: bool,
    /// Our goodbye is out.
    parted: bool,
    /// Our side is shut.
    shut: bool,
    /// The server has said how many requests it takes at a time.
    settled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Handshake-only: our close_notify is out, the server's word is awaited.
    Confirming,
    Connecting,
    /// The server is to close.
    Closing,
    Handshaking,
    /// It stands, and nothing was asked.
    Idle,
    /// A request is out.
    Requesting,
    /// It stands, by HTTP/2: any number of requests are out.
    Streaming,
    Vacant,
}

impl Session {
    const fn new() -> Self {
        Self {
            stage: Stage::Vacant,
            link: None,
            reader: ResponseReader::new(),
            streams: None,
            wanted: Wanted::Full,
            began: Nanos(0),
            connected: Nanos(0),
            sent: Nanos(0),
            last_response_at: Nanos(0),
            deadline: NEVER,
            until: NEVER,
            fresh: false,
            taken: 0,
            last: false,
            early: false,
            first_byte: false,
            confirmed: false,
            reusable: false,
            answered: false,
            hung_up: false,
            drained: true,
            goodbye: false,
            parted: false,
            shut: false,
            settled: false,
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
        let mut streams = self.streams.take();
        if let Some((rendered, wanted)) =
            context.request.and_then(|rendered| Some((rendered, rendered.streams()?)))
        {
            let streams = streams.get_or_insert_with(|| Box::new(Streams::new()));
            streams.begin(wanted, rendered.head);
        }
        let until = now + context.timeout.operation;
        *self = Self {
            stage: Stage::Connecting,
            link: Some(Transport { socket, tls }),
            reader: std::mem::take(&mut self.reader),
            streams,
            wanted,
            began: now,
            deadline: until.min(now + context.timeout.connect),
            until,
            fresh: true,
            last: route.last,
            ..Self::new()
        };
        Ok(())
    }

    /// The socket, to be watched.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        self.link.as_ref().map(|link| &link.socket)
    }

    fn or_failed(&mut self, result: Result<Step, Failed>) -> Step {
        result.unwrap_or_else(|failed| {
            self.drop_link();
            Step::Failed(failed)
        })
    }

    /// Gives bytes that were read to TLS, and what they hold to whoever reads the protocol.
    fn feed(&mut self, input: &[u8], context: &StepContext<'_>) -> Result<FedBytes, Failed> {
        let Some(link) = &mut self.link else { return Ok(FedBytes::default()) };
        let fed = match &mut self.streams {
            _ if context.request.is_none() => link.feed(input, &mut Unasked),
            Some(streams) => link.feed(input, &mut **streams),
            None => link.feed(input, &mut self.reader),
        };
        fed.map_err(|failed| {
            let refusal = context.tls.as_ref().and_then(|client| client.take_refusal());
            Failed { reason: refusal.map(Reason::Detail).or(failed.reason), ..failed }
        })
    }

    /// Notes whether a reading emptied the socket. Readiness comes by edges, so what was left there
    /// has to be read without being told, and so has an end that was announced already.
    fn is_drained(&mut self, length: usize, context: &StepContext<'_>) -> bool {
        self.drained = length < context.buffer.len() && !self.hung_up;
        self.drained
    }
}

impl Connection for Session {
    fn vacant() -> Self {
        Self::new()
    }

    fn is_vacant(&self) -> bool {
        self.stage == Stage::Vacant
    }

    fn is_idle(&self) -> bool {
        self.stage == Stage::Idle || (self.stage == Stage::Streaming && !self.is_busy())
    }

    fn is_busy(&self) -> bool {
        match &self.streams {
            Some(streams) => self.stage == Stage::Streaming && streams.open() > 0,
            None => self.stage == Stage::Requesting,
        }
    }

    fn free_slot(&self) -> Option<u32> {
        match (self.stage, &self.streams) {
            (Stage::Idle, None) => Some(0),
            (Stage::Streaming, Some(streams)) if !self.hung_up => streams.free_slot(),
            _ => None,
        }
    }

    fn completed_slot(&self) -> Option<u32> {
        self.streams.as_ref().and_then(|streams| streams.completed_slot())
    }

    fn last_response_at(&self) -> Nanos {
        self.last_response_at
    }

    fn deadline(&self) -> Nanos {
        self.deadline
    }

    fn is_reusable(&self) -> bool {
        let reusable = match &self.streams {
            Some(streams) => streams.is_reusable(),
            None => self.reusable,
        };
        reusable && !self.hung_up
    }

    fn step(&mut self, hung_up: bool, context: &mut StepContext<'_>) -> Step {
        self.hung_up |= hung_up;
        let result = match self.stage {
            Stage::Vacant => Ok(Step::Waits),
            Stage::Connecting => self.on_connect(context),
            Stage::Handshaking => self.on_handshake(context),
            Stage::Confirming => self.on_confirming(context),
            Stage::Idle => self.on_idle(context),
            Stage::Requesting => self.on_response(context),
            Stage::Streaming => {
                self.drained = false;
                self.on_streams(context)
            }
            Stage::Closing => Ok(self.on_closing(context)),
        };
        self.or_failed(result)
    }

    fn resume(&mut self, context: &mut StepContext<'_>) -> Option<Step> {
        if self.stage != Stage::Streaming {
            return None;
        }
        let result = self.on_streams(context);
        Some(self.or_failed(result))
    }

    fn expire(&mut self, context: &mut StepContext<'_>) -> Step {
        if self.stage == Stage::Streaming {
            self.expire_streams(context.timeout);
            return Step::Waits;
        }
        if self.stage == Stage::Closing {
            return self.close_first(context);
        }
        self.drop_link();
        Step::Failed(Failure::Timeout.into())
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
        if self.stage != Stage::Streaming {
            (self.stage, self.deadline) = (Stage::Streaming, NEVER);
        }
        self.request_stream(now, context);
        Ok(())
    }

    fn rest(&mut self, context: &mut StepContext<'_>) {
        if self.stage == Stage::Streaming {
            return;
        }
        self.stage = Stage::Idle;
        self.deadline = NEVER;
        if let Some(link) = &mut self.link {
            // A connection that broke here shows it when it is read.
            let _ = link.flush(context.tally);
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
        if let Some(link) = &mut self.link {
            link.say_goodbye(context.tally);
        }
        self.drop_link();
    }
}

const NEVER: Nanos = Nanos(u64::MAX);
