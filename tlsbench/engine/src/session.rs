//! One connection's life, as a machine of states: connect, shake hands, ask, close.
//!
//! It moves when the socket is ready and never waits; what a connection does is decided here, when
//! it does it by `drive`. A handshake is over when the server has confirmed it, not before.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};

use tlsbench_core::plan::Close;
use tlsbench_core::tally::{Failure, Phase, Tally};
use tlsbench_core::units::Nanos;

use crate::clock::Clock;
use crate::tls::{TlsClient, Wanted};
use crate::wire::{Answer, Reader, Rendered, Unexpected};

mod dial;
mod handshake;
mod link;

use link::{Got, Link};

/// What a session works with, lent for each step.
pub(crate) struct Hands<'h> {
    /// Where bytes are read into; its contents mean nothing between steps.
    pub(crate) buffer: &'h mut [u8],
    /// Where text is made.
    pub(crate) text: &'h mut String,
    /// Where it is counted and timed.
    pub(crate) tally: &'h mut Tally,
    /// What is asked; nothing in a handshake-only run.
    pub(crate) request: Option<&'h Rendered>,
    /// How the connection ends.
    pub(crate) close: Close,
    /// Who begins TLS; nothing for plain HTTP.
    pub(crate) tls: Option<&'h mut TlsClient>,
}

/// Where a connection goes, and how it is to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// The server.
    pub(crate) to: SocketAddr,
    /// The source address.
    pub(crate) from: Option<IpAddr>,
    /// Whether a session is to be resumed.
    pub(crate) resume: bool,
    /// Whether the first request is the last as well, for early data.
    pub(crate) last: bool,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A response ended, good or not.
    Answered(Result<(), Unexpected>),
    /// The server confirmed the handshake of a handshake-only run.
    Confirmed,
    /// It failed and is closed.
    Failed(Failure),
    /// It is closed, as it should be.
    Over,
    /// It can take a request, its first.
    Ready,
    /// It waits for the socket.
    Waits,
}

/// A connection, or the place of one.
#[derive(Debug)]
pub(crate) struct Session {
    stage: Stage,
    link: Option<Link>,
    reader: Reader,
    wanted: Wanted,
    began: Nanos,
    connected: Nanos,
    sent: Nanos,
    moment: Nanos,
    deadline: Nanos,
    /// Bytes of the request that the socket has taken, and whether it is the connection's last.
    taken: usize,
    last: bool,
    early: bool,
    first_byte: bool,
    confirmed: bool,
    reusable: bool,
    /// The kernel said that the server's side is shut, so reading goes on to the end.
    hung_up: bool,
    /// The last reading emptied the socket.
    drained: bool,
    /// Our goodbye is out.
    parted: bool,
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
    Vacant,
}

impl Session {
    pub(crate) const fn new() -> Self {
        Self {
            stage: Stage::Vacant,
            link: None,
            reader: Reader::new(),
            wanted: Wanted::Full,
            began: Nanos(0),
            connected: Nanos(0),
            sent: Nanos(0),
            moment: Nanos(0),
            deadline: NEVER,
            taken: 0,
            last: false,
            early: false,
            first_byte: false,
            confirmed: false,
            reusable: false,
            hung_up: false,
            drained: true,
            parted: false,
        }
    }

    /// Begins to connect. The socket is then to be watched for everything, by edges.
    pub(crate) fn open(&mut self, route: Route, hands: &mut Hands<'_>) -> Result<(), Failure> {
        let now = Clock::Monotonic.now();
        let (tls, wanted) = match &mut hands.tls {
            Some(client) => {
                let (tls, wanted) = client.connect(route.resume).map_err(|_| Failure::TlsOther)?;
                (Some(Box::new(tls)), wanted)
            }
            None => (None, Wanted::Full),
        };
        let socket = dial::dial(route.to, route.from)?;
        *self = Self {
            stage: Stage::Connecting,
            link: Some(Link { socket, tls }),
            reader: std::mem::take(&mut self.reader),
            wanted,
            began: now,
            deadline: after(now, CONNECT_MAX),
            last: route.last,
            ..Self::new()
        };
        Ok(())
    }

    /// The socket, to be watched.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        self.link.as_ref().map(|link| &link.socket)
    }

    /// Whether there is no connection.
    pub(crate) fn is_vacant(&self) -> bool {
        self.stage == Stage::Vacant
    }

    /// Whether it stands and nothing is asked.
    pub(crate) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// When the last response ended.
    pub(crate) const fn moment(&self) -> Nanos {
        self.moment
    }

    /// When the current stage has taken too long.
    pub(crate) const fn deadline(&self) -> Nanos {
        self.deadline
    }

    /// Whether another request may be made after the response that ended.
    pub(crate) const fn is_reusable(&self) -> bool {
        self.reusable && !self.hung_up
    }

    /// Goes on as far as the socket lets it; `hung_up` when the kernel says that no more will come.
    pub(crate) fn step(&mut self, hung_up: bool, hands: &mut Hands<'_>) -> Step {
        self.hung_up |= hung_up;
        let result = match self.stage {
            Stage::Vacant => Ok(Step::Waits),
            Stage::Connecting => self.on_connect(hands),
            Stage::Handshaking => self.on_handshake(hands),
            Stage::Confirming => self.on_confirming(hands),
            Stage::Idle => self.on_idle(hands),
            Stage::Requesting => self.on_response(hands),
            Stage::Closing => Ok(self.on_closing(hands)),
        };
        result.unwrap_or_else(|failure| {
            self.drop_link();
            Step::Failed(failure)
        })
    }

    /// The stage took too long.
    pub(crate) fn expire(&mut self) -> Step {
        let closing = self.stage == Stage::Closing;
        self.drop_link();
        if closing { Step::Over } else { Step::Failed(Failure::Timeout) }
    }

    /// Sends a request, at `now`; the last of the connection says so when the server is to close.
    pub(crate) fn request(
        &mut self,
        last: bool,
        now: Nanos,
        hands: &mut Hands<'_>,
    ) -> Result<(), Failure> {
        let Some(rendered) = hands.request else { return Ok(()) };
        let early = std::mem::take(&mut self.early) && self.accepted_early();
        self.reader.begin(rendered.head);
        self.stage = Stage::Requesting;
        self.last = if early { self.last } else { last };
        self.taken = 0;
        self.first_byte = false;
        self.reusable = false;
        self.deadline = after(now, RESPONSE_MAX);
        if !early {
            self.sent = now;
        }
        let bytes = wording(rendered, self.last, hands.close);
        self.send(bytes, early, hands.tally).inspect_err(|_| self.drop_link())
    }

    /// Nothing is to be asked for the time being.
    pub(crate) fn rest(&mut self, hands: &mut Hands<'_>) {
        self.stage = Stage::Idle;
        self.deadline = NEVER;
        if let Some(link) = &mut self.link {
            // A connection that broke here shows it when it is read.
            let _ = link.flush(hands.tally);
        }
    }

    /// Closes as the run closes; what is left to wait for, if anything, comes by `step`.
    pub(crate) fn close(&mut self, hands: &mut Hands<'_>) -> Step {
        let Some(link) = &mut self.link else { return Step::Over };
        match hands.close {
            Close::Rst => {
                dial::reset_on_close(&link.socket);
                self.drop_link();
                return Step::Over;
            }
            Close::Fin if !self.parted => {
                link.say_goodbye(hands.tally);
                link.shut();
            }
            // Without TLS and without a request there is nothing to ask the server by.
            Close::Server if hands.request.is_none() && link.tls.is_none() => link.shut(),
            Close::Fin | Close::Server => {}
        }
        self.stage = Stage::Closing;
        self.deadline = after(Clock::Monotonic.now(), CLOSE_MAX);
        if self.drained && !self.hung_up { Step::Waits } else { self.on_closing(hands) }
    }

    /// Leaves a connection on which nothing is under way.
    pub(crate) fn leave(&mut self, hands: &mut Hands<'_>) {
        if let Some(link) = &mut self.link {
            link.say_goodbye(hands.tally);
        }
        self.drop_link();
    }

    /// Ends at once, whatever is under way.
    pub(crate) fn drop_link(&mut self) {
        self.link = None;
        self.stage = Stage::Vacant;
        self.deadline = NEVER;
    }

    fn over(&mut self) -> Step {
        self.drop_link();
        Step::Over
    }

    /// Notes whether a reading emptied the socket. Readiness comes by edges, so what was left there
    /// has to be read without being told, and so has an end that was announced already.
    fn is_drained(&mut self, length: usize, hands: &Hands<'_>) -> bool {
        self.drained = length < hands.buffer.len() && !self.hung_up;
        self.drained
    }

    fn on_idle(&mut self, hands: &mut Hands<'_>) -> Result<Step, Failure> {
        loop {
            let Some(link) = &mut self.link else { return Ok(Step::Over) };
            let length = match link.recv(hands.buffer, hands.tally) {
                Got::Nothing => return Ok(Step::Waits),
                // A server may close what is not used.
                Got::End | Got::Reset => return Ok(self.over()),
                Got::Bytes(length) => length,
            };
            let input = hands.buffer.get(..length).unwrap_or_default();
            let fed = link.feed(input, &mut self.reader)?;
            let word = fed.goodbye || link.tickets() > 0;
            self.confirm(word, Clock::Monotonic.now(), hands);
            if fed.goodbye {
                return Ok(self.over());
            }
            if self.is_drained(length, hands) {
                return Ok(Step::Waits);
            }
        }
    }

    fn on_response(&mut self, hands: &mut Hands<'_>) -> Result<Step, Failure> {
        let Some(rendered) = hands.request else { return Ok(Step::Waits) };
        if self.has_unsent(rendered, hands.close) {
            self.send(wording(rendered, self.last, hands.close), false, hands.tally)?;
        }
        loop {
            let Some(link) = &mut self.link else { return Ok(Step::Over) };
            let length = match link.recv(hands.buffer, hands.tally) {
                Got::Nothing => return Ok(Step::Waits),
                // TLS has an end of its own; without it anybody may have cut the response short.
                Got::End if link.tls.is_some() && self.confirmed => {
                    return Err(Failure::ResponseTruncated);
                }
                Got::End => return self.on_end(rendered, hands),
                Got::Reset if self.confirmed => return Err(Failure::ResponseTruncated),
                Got::Reset => return Err(Failure::ResetInHandshake),
                Got::Bytes(length) => length,
            };
            let now = Clock::Monotonic.now();
            let input = hands.buffer.get(..length).unwrap_or_default();
            let fed = link.feed(input, &mut self.reader)?;
            let word = fed.data || fed.goodbye || link.tickets() > 0;
            let drained = self.is_drained(length, hands);
            self.confirm(word, now, hands);
            if fed.data && !self.first_byte {
                self.first_byte = true;
                hands.tally.record(Phase::FirstByte, now - self.sent);
            }
            if let Some(answer) = fed.answer {
                self.hung_up |= fed.goodbye;
                return Ok(self.answered(answer, now, rendered, hands));
            }
            if fed.goodbye {
                return self.on_end(rendered, hands);
            }
            if drained {
                self.deadline = after(now, RESPONSE_MAX);
                return Ok(Step::Waits);
            }
        }
    }

    /// The server closed while a response was awaited.
    fn on_end(&mut self, rendered: &Rendered, hands: &mut Hands<'_>) -> Result<Step, Failure> {
        self.hung_up = true;
        if !self.confirmed {
            return Err(Failure::Unconfirmed);
        }
        match self.reader.end() {
            Ok(Some(answer)) => Ok(self.answered(answer, Clock::Monotonic.now(), rendered, hands)),
            Ok(None) => Err(Failure::ResponseTruncated),
            Err(_) => Err(Failure::ResponseMalformed),
        }
    }

    fn answered(
        &mut self,
        answer: Answer,
        now: Nanos,
        rendered: &Rendered,
        hands: &mut Hands<'_>,
    ) -> Step {
        hands.tally.record(Phase::LastByte, now - self.sent);
        self.stage = Stage::Idle;
        self.moment = now;
        self.deadline = NEVER;
        self.reusable = answer.reusable;
        Step::Answered(rendered.judge(&answer))
    }

    /// Waits for the server's end; what comes before it is of no interest any more.
    fn on_closing(&mut self, hands: &mut Hands<'_>) -> Step {
        loop {
            let Some(link) = &mut self.link else { return Step::Over };
            match link.recv(hands.buffer, hands.tally) {
                Got::Nothing => return Step::Waits,
                Got::End | Got::Reset => return self.over(),
                Got::Bytes(length) => {
                    // Tickets that come late are taken all the same.
                    if hands.request.is_none() {
                        let input = hands.buffer.get(..length).unwrap_or_default();
                        let _ = link.feed(input, &mut self.reader);
                    }
                }
            }
        }
    }

    /// Whether something of the request is still ours to send.
    fn has_unsent(&self, rendered: &Rendered, close: Close) -> bool {
        match self.link.as_ref().and_then(|link| link.tls.as_ref()) {
            Some(tls) if tls.wants_write() => true,
            _ => self.taken < wording(rendered, self.last, close).len(),
        }
    }

    /// Sends what is left of the request, as far as the socket takes it.
    fn send(&mut self, bytes: &[u8], early: bool, tally: &mut Tally) -> Result<(), Failure> {
        let broken =
            if self.confirmed { Failure::ResponseTruncated } else { Failure::ResetInHandshake };
        let Some(link) = &mut self.link else { return Err(broken) };
        if let Some(tls) = &mut link.tls {
            if early {
                self.taken = bytes.len();
            }
            // TLS keeps what the socket does not take, up to a limit of its own.
            if let Some(rest) = bytes.get(self.taken..) {
                self.taken += tls.writer().write(rest).map_err(|_| broken)?;
            }
            while link.flush(tally).map_err(|_| broken)? {
                let Some(rest) = bytes.get(self.taken..).filter(|rest| !rest.is_empty()) else {
                    break;
                };
                let Some(tls) = &mut link.tls else { break };
                self.taken += tls.writer().write(rest).map_err(|_| broken)?;
            }
            return Ok(());
        }
        while let Some(rest) = bytes.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match link.send(rest, tally) {
                Ok(0) => return Ok(()),
                Ok(length) => self.taken += length,
                Err(_) => return Err(broken),
            }
        }
        Ok(())
    }

    fn accepted_early(&self) -> bool {
        let tls = self.link.as_ref().and_then(|link| link.tls.as_ref());
        tls.is_some_and(|tls| tls.is_early_data_accepted())
    }
}

/// The bytes of a request: the last one asks the server to close when that is its part.
fn wording(rendered: &Rendered, last: bool, close: Close) -> &[u8] {
    if last && close == Close::Server { &rendered.last } else { &rendered.keep }
}

const fn after(now: Nanos, span: Nanos) -> Nanos {
    Nanos(now.0.saturating_add(span.0))
}

const NEVER: Nanos = Nanos(u64::MAX);
/// Two lost SYNs (1 s and 2 s of retransmission) and a slow path still fit.
const CONNECT_MAX: Nanos = Nanos::from_millis(5_000);
/// A hundred times an RSA-4096 handshake on a machine that is 10 times overloaded.
const HANDSHAKE_MAX: Nanos = Nanos::from_millis(10_000);
/// Without a byte: longer would only measure patience.
const RESPONSE_MAX: Nanos = Nanos::from_millis(30_000);
/// A server that does not close within this is closed.
const CLOSE_MAX: Nanos = Nanos::from_millis(2_000);
