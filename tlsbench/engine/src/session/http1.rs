//! A connection that carries one request at a time: HTTP/1.1.

use std::io::Write as _;

use tlsbench_core::scenario::Close;
use tlsbench_core::tally::{Detail, Failed, Failure, Phase, Reason, Tally};
use tlsbench_core::units::Nanos;

use super::link::Received;
use super::{NEVER, Session, Stage, Step, StepContext};
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
        let early = std::mem::take(&mut self.early) && self.accepted_early();
        self.reader.begin(rendered.head);
        self.stage = Stage::Requesting;
        self.last = if early { self.last } else { last };
        self.taken = 0;
        self.first_byte = false;
        self.reusable = false;
        if !std::mem::take(&mut self.fresh) {
            self.until = now + context.timeout.operation;
        }
        self.deadline = self.until.min(now + context.timeout.first_byte);
        if !early {
            self.sent = now;
        }
        let bytes = request_bytes(rendered, self.last, context.close);
        self.send(bytes, early, context.tally).map_err(|failure| {
            let lost = self.lost(failure, rendered);
            self.or_failed(lost)
        })
    }

    pub(super) fn on_idle(&mut self, context: &mut StepContext<'_>) -> Result<Step, Failed> {
        loop {
            let Some(link) = &mut self.link else { return Ok(Step::Over) };
            let length = match link.recv(context.buffer, context.tally) {
                Received::Nothing => return Ok(Step::Waits),
                // A server may close what is not used.
                Received::End | Received::Reset => return Ok(self.over()),
                Received::Bytes(length) => length,
            };
            let input = context.buffer.get(..length).unwrap_or_default();
            let fed = link.feed(input, &mut self.reader)?;
            let word = fed.goodbye || link.tickets() > 0;
            self.confirm(word, Clock::Monotonic.now(), context);
            if fed.goodbye {
                return Ok(self.over());
            }
            if self.is_drained(length, context) {
                return Ok(Step::Waits);
            }
        }
    }

    pub(super) fn on_response(&mut self, context: &mut StepContext<'_>) -> Result<Step, Failed> {
        let Some(rendered) = context.request else { return Ok(Step::Waits) };
        if self.has_unsent(rendered, context.close)
            && let Err(failure) =
                self.send(request_bytes(rendered, self.last, context.close), false, context.tally)
        {
            return self.lost(failure, rendered);
        }
        loop {
            let Some(link) = &mut self.link else { return Ok(Step::Over) };
            let length = match link.recv(context.buffer, context.tally) {
                Received::Nothing => return Ok(Step::Waits),
                // TLS has an end of its own; without it anybody may have cut the response short.
                Received::End if link.tls.is_some() && self.confirmed => {
                    return self.lost(Failure::ResponseTruncated, rendered);
                }
                Received::End => return self.on_end(rendered, context),
                Received::Reset if self.confirmed => {
                    return self.lost(Failure::ResponseTruncated, rendered);
                }
                Received::Reset => return Err(Failure::ResetInHandshake.into()),
                Received::Bytes(length) => length,
            };
            let now = Clock::Monotonic.now();
            let input = context.buffer.get(..length).unwrap_or_default();
            let fed = link.feed(input, &mut self.reader)?;
            let word = fed.data || fed.goodbye || link.tickets() > 0;
            self.goodbye |= fed.goodbye;
            let drained = self.is_drained(length, context);
            self.confirm(word, now, context);
            if fed.data && !self.first_byte {
                self.first_byte = true;
                self.deadline = self.until;
                context.tally.record(Phase::FirstByte, now - self.sent);
            }
            if let Some(answer) = fed.answer {
                self.hung_up |= fed.goodbye;
                return Ok(self.answered(answer, now, rendered, context));
            }
            if fed.goodbye {
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
        self.hung_up = true;
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
        if !self.answered || failed.reason != Some(Reason::Detail(Detail::NoAnswer)) {
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
        context.tally.record(Phase::LastByte, now - self.sent);
        self.stage = Stage::Idle;
        self.last_response_at = now;
        self.deadline = NEVER;
        self.reusable = answer.reusable;
        self.answered = true;
        Step::Answered { slot: 0, result: rendered.outcome(&answer) }
    }

    /// Whether something of the request is still ours to send.
    fn has_unsent(&self, rendered: &Rendered, close: Close) -> bool {
        match self.link.as_ref().and_then(|link| link.tls.as_ref()) {
            Some(tls) if tls.wants_write() => true,
            _ => self.taken < request_bytes(rendered, self.last, close).len(),
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
pub(super) fn request_bytes(rendered: &Rendered, last: bool, close: Close) -> &[u8] {
    match &rendered.bytes {
        RequestBytes::Http1 { last: bytes, .. } if last && close == Close::Server => bytes,
        RequestBytes::Http1 { keep, .. } => keep,
        RequestBytes::Http2 { .. } => &[],
    }
}
