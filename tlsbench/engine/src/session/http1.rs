//! A connection that carries one request at a time: HTTP/1.1.

use std::io::Write as _;

use tlsbench_core::scenario::Close;
use tlsbench_core::tally::{Detail, Failed, Failure, Phase, Reason, Tally};
use tlsbench_core::units::Nanos;

use super::state::{Http1State, State};
use super::transport::Received;
use super::{NEVER, Session, Step, StepContext};
use crate::clock::Clock;
use crate::wire::{Rendered, RequestBytes, ResponseSummary};

impl Session {
    /// Sends a request, at `now`; the last of the connection says so when the server is to close.
    pub(super) fn request_next(
        &mut self,
        last: bool,
        now: Nanos,
        context: &mut StepContext<'_>,
    ) -> Result<(), Step> {
        let Some(rendered) = context.request else { return Ok(()) };
        // What the server did not take of early data is sent again, like any other request.
        let early = self.state.has_early_data() && self.accepted_early();
        self.reader.begin(rendered.head);
        if !self.state.is_fresh() {
            self.marks.until = now + context.timeout.operation;
        }
        let http1 = match self.state {
            State::Http1(http1) => {
                Http1State { last, taken: 0, first_byte: false, reusable: false, ..http1 }
            }
            State::Handshaking { last, .. } if early => {
                Http1State { last, ..Http1State::default() }
            }
            _ => Http1State { last, ..Http1State::default() },
        };
        self.state = State::Http1(Http1State { is_requesting: true, ..http1 });
        self.marks.deadline = self.marks.until.min(now + context.timeout.first_byte);
        if !early {
            self.marks.sent = now;
        }
        let bytes = request_bytes(rendered, http1.last, context.close);
        self.send(bytes, early, context.tally).map_err(|failure| {
            let lost = self.lost(failure, rendered);
            self.or_failed(lost)
        })
    }

    pub(super) fn on_idle(&mut self, context: &mut StepContext<'_>) -> Result<Step, Failed> {
        loop {
            let Some(transport) = &mut self.transport else { return Ok(Step::Over) };
            let length = match transport.recv(context.buffer, context.tally) {
                Received::Nothing => return Ok(Step::Waits),
                // A server may close what is not used.
                Received::End | Received::Reset => return Ok(self.over()),
                Received::Bytes(length) => length,
            };
            let input = context.buffer.get(..length).unwrap_or_default();
            let fed = transport.feed(input, &mut self.reader)?;
            let word = fed.goodbye || transport.tickets() > 0;
            let drained = transport.is_drained(length, context.buffer.len());
            self.confirm(word, Clock::Monotonic.now(), context);
            if fed.goodbye {
                return Ok(self.over());
            }
            if drained {
                return Ok(Step::Waits);
            }
        }
    }

    pub(super) fn on_response(&mut self, context: &mut StepContext<'_>) -> Result<Step, Failed> {
        let Some(rendered) = context.request else { return Ok(Step::Waits) };
        let State::Http1(http1) = self.state else { return Ok(Step::Waits) };
        if self.has_unsent(http1, rendered, context.close)
            && let Err(failure) =
                self.send(request_bytes(rendered, http1.last, context.close), false, context.tally)
        {
            return self.lost(failure, rendered);
        }
        loop {
            let Some(transport) = &mut self.transport else { return Ok(Step::Over) };
            let length = match transport.recv(context.buffer, context.tally) {
                Received::Nothing => return Ok(Step::Waits),
                // TLS has an end of its own; without it anybody may have cut the response short.
                Received::End if transport.tls.is_some() && self.confirmed => {
                    return self.lost(Failure::ResponseTruncated, rendered);
                }
                Received::End => return self.on_end(rendered, context),
                Received::Reset if self.confirmed => {
                    return self.lost(Failure::ResponseTruncated, rendered);
                }
                Received::Reset => return Err(Failure::ResetInHandshake.into()),
                Received::Bytes(length) => length,
            };
            // The clock is read before TLS decrypts the bytes: that they came is what is timed, not
            // what we did with them.
            let now = Clock::Monotonic.now();
            let input = context.buffer.get(..length).unwrap_or_default();
            let fed = transport.feed(input, &mut self.reader)?;
            let word = fed.data || fed.goodbye || transport.tickets() > 0;
            let drained = transport.is_drained(length, context.buffer.len());
            if fed.answer.is_some() {
                transport.hung_up |= fed.goodbye;
            }
            self.confirm(word, now, context);
            let State::Http1(http1) = &mut self.state else { return Ok(Step::Waits) };
            http1.goodbye |= fed.goodbye;
            if fed.data && !http1.first_byte {
                http1.first_byte = true;
                self.marks.deadline = self.marks.until;
                context.tally.record(Phase::FirstByte, now - self.marks.sent);
            }
            if let Some(answer) = fed.answer {
                return Ok(self.answered(answer, now, rendered, context));
            }
            if fed.goodbye {
                // A close_notify ends the response as FIN does without TLS.
                return self.on_end(rendered, context);
            }
            if drained {
                return Ok(Step::Waits);
            }
        }
    }

    /// The server closed while a response was awaited.
    fn on_end(
        &mut self,
        rendered: &Rendered,
        context: &mut StepContext<'_>,
    ) -> Result<Step, Failed> {
        if let Some(transport) = &mut self.transport {
            transport.hung_up = true;
        }
        if !self.confirmed {
            return Err(Failure::Unconfirmed.into());
        }
        match self.reader.end() {
            Ok(Some(answer)) => {
                Ok(self.answered(answer, Clock::Monotonic.now(), rendered, context))
            }
            Ok(None) => self.lost(Failure::ResponseTruncated, rendered),
            Err(malformed) => Err(malformed.into()),
        }
    }

    /// The connection ended before the response was whole. A server may close a kept connection
    /// just when a request is on its way: clients send that again, once, where no byte of a
    /// response came and the method is idempotent (RFC 9112, section 9.3.1).
    fn lost(&mut self, failure: Failure, rendered: &Rendered) -> Result<Step, Failed> {
        if failure != Failure::ResponseTruncated {
            return Err(failure.into());
        }
        let failed = Failed::of(failure, self.reader.missing());
        let was_kept = matches!(self.state, State::Http1(Http1State { answered: true, .. }));
        if !was_kept || failed.reason != Some(Reason::Detail(Detail::NoAnswer)) {
            return Err(failed);
        }
        if !rendered.idempotent {
            return Err(Failed::of(failure, Detail::NotSentAgain));
        }
        self.drop_link();
        Ok(Step::Untaken { slot: 0, failed, progressed: false })
    }

    fn answered(
        &mut self,
        answer: ResponseSummary,
        now: Nanos,
        rendered: &Rendered,
        context: &mut StepContext<'_>,
    ) -> Step {
        context.tally.record(Phase::LastByte, now - self.marks.sent);
        if let State::Http1(http1) = &mut self.state {
            http1.is_requesting = false;
            http1.reusable = answer.reusable;
            http1.answered = true;
        }
        self.marks.last_response_at = now;
        self.marks.deadline = NEVER;
        Step::Answered { slot: 0, result: rendered.outcome(&answer) }
    }

    /// Returns whether something of the request is still ours to send.
    fn has_unsent(&self, http1: Http1State, rendered: &Rendered, close: Close) -> bool {
        match self.transport.as_ref().and_then(|transport| transport.tls.as_ref()) {
            Some(tls) if tls.wants_write() => true,
            _ => http1.taken < request_bytes(rendered, http1.last, close).len(),
        }
    }

    /// Sends what is left of the request, as far as the socket takes it.
    fn send(&mut self, bytes: &[u8], early: bool, tally: &mut Tally) -> Result<(), Failure> {
        let broken =
            if self.confirmed { Failure::ResponseTruncated } else { Failure::ResetInHandshake };
        let (State::Http1(http1), Some(transport)) = (&mut self.state, &mut self.transport) else {
            return Err(broken);
        };
        if let Some(tls) = &mut transport.tls {
            if early {
                http1.taken = bytes.len();
            }
            // TLS keeps what the socket does not take, up to a limit of its own.
            if let Some(rest) = bytes.get(http1.taken..) {
                http1.taken += tls.writer().write(rest).map_err(|_| broken)?;
            }
            while transport.flush(tally).map_err(|_| broken)? {
                let Some(rest) = bytes.get(http1.taken..).filter(|rest| !rest.is_empty()) else {
                    break;
                };
                let Some(tls) = &mut transport.tls else { break };
                http1.taken += tls.writer().write(rest).map_err(|_| broken)?;
            }
            return Ok(());
        }
        while let Some(rest) = bytes.get(http1.taken..).filter(|rest| !rest.is_empty()) {
            match transport.send(rest, tally) {
                Ok(0) => return Ok(()),
                Ok(length) => http1.taken += length,
                Err(_) => return Err(broken),
            }
        }
        Ok(())
    }

    fn accepted_early(&self) -> bool {
        let tls = self.transport.as_ref().and_then(|transport| transport.tls.as_ref());
        tls.is_some_and(|tls| tls.is_early_data_accepted())
    }
}

/// The bytes of a request: the last one asks the server to close when that is its part.
pub(super) fn request_bytes(rendered: &Rendered, last: bool, close: Close) -> &[u8] {
    match &rendered.bytes {
        RequestBytes::Http1 { last: bytes, .. } if last && close == Close::Server => bytes,
        RequestBytes::Http1 { keep, .. } => keep,
        RequestBytes::Http2 { .. } => &[],
    }
}
