//! A connection that carries one request at a time: HTTP/1.1.

use std::io::Write as _;

use tlsbench_core::scenario::Close;
use tlsbench_core::tally::{Detail, Failed, Failure, Phase, Reason, Tally};
use tlsbench_core::units::Nanos;

use super::link::Got;
use super::{Hands, NEVER, Session, Stage, Step};
use crate::clock::Clock;
use crate::wire::{Answer, Rendered, Words};

impl Session {
    /// Sends a request, at `now`; the last of the connection says so when the server is to close.
    pub(super) fn request_next(
        &mut self,
        last: bool,
        now: Nanos,
        hands: &mut Hands<'_>,
    ) -> Result<(), Step> {
        let Some(rendered) = hands.request else { return Ok(()) };
        let early = std::mem::take(&mut self.early) && self.accepted_early();
        self.reader.begin(rendered.head);
        self.stage = Stage::Requesting;
        self.last = if early { self.last } else { last };
        self.taken = 0;
        self.first_byte = false;
        self.reusable = false;
        if !std::mem::take(&mut self.fresh) {
            self.until = now + hands.timeout.operation;
        }
        self.deadline = self.until.min(now + hands.timeout.first_byte);
        if !early {
            self.sent = now;
        }
        let bytes = wording(rendered, self.last, hands.close);
        self.send(bytes, early, hands.tally).map_err(|failure| {
            let lost = self.lost(failure, rendered);
            self.or_failed(lost)
        })
    }

    pub(super) fn on_idle(&mut self, hands: &mut Hands<'_>) -> Result<Step, Failed> {
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

    pub(super) fn on_response(&mut self, hands: &mut Hands<'_>) -> Result<Step, Failed> {
        let Some(rendered) = hands.request else { return Ok(Step::Waits) };
        if self.has_unsent(rendered, hands.close)
            && let Err(failure) =
                self.send(wording(rendered, self.last, hands.close), false, hands.tally)
        {
            return self.lost(failure, rendered);
        }
        loop {
            let Some(link) = &mut self.link else { return Ok(Step::Over) };
            let length = match link.recv(hands.buffer, hands.tally) {
                Got::Nothing => return Ok(Step::Waits),
                // TLS has an end of its own; without it anybody may have cut the response short.
                Got::End if link.tls.is_some() && self.confirmed => {
                    return self.lost(Failure::ResponseTruncated, rendered);
                }
                Got::End => return self.on_end(rendered, hands),
                Got::Reset if self.confirmed => {
                    return self.lost(Failure::ResponseTruncated, rendered);
                }
                Got::Reset => return Err(Failure::ResetInHandshake.into()),
                Got::Bytes(length) => length,
            };
            let now = Clock::Monotonic.now();
            let input = hands.buffer.get(..length).unwrap_or_default();
            let fed = link.feed(input, &mut self.reader)?;
            let word = fed.data || fed.goodbye || link.tickets() > 0;
            self.goodbye |= fed.goodbye;
            let drained = self.is_drained(length, hands);
            self.confirm(word, now, hands);
            if fed.data && !self.first_byte {
                self.first_byte = true;
                self.deadline = self.until;
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
                return Ok(Step::Waits);
            }
        }
    }

    /// The server closed while a response was awaited.
    fn on_end(&mut self, rendered: &Rendered, hands: &mut Hands<'_>) -> Result<Step, Failed> {
        self.hung_up = true;
        if !self.confirmed {
            return Err(Failure::Unconfirmed.into());
        }
        match self.reader.end() {
            Ok(Some(answer)) => Ok(self.answered(answer, Clock::Monotonic.now(), rendered, hands)),
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
        Ok(Step::Untaken { place: 0, failed, progressed: false })
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
        self.answered = true;
        Step::Answered { place: 0, result: rendered.outcome(&answer) }
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
pub(super) fn wording(rendered: &Rendered, last: bool, close: Close) -> &[u8] {
    match &rendered.words {
        Words::Http1 { last: words, .. } if last && close == Close::Server => words,
        Words::Http1 { keep, .. } => keep,
        Words::Http2 { .. } => &[],
    }
}
