//! A connection that carries many requests at a time: HTTP/2.

use std::io::Write as _;

use tlsbench_core::scenario::Timeout;
use tlsbench_core::tally::{Failed, Failure, Phase, Tally};
use tlsbench_core::units::Nanos;

use super::link::{Got, Link};
use super::streams::{End, Lost, Streams};
use super::{Connection as _, Hands, NEVER, Session, Step};
use crate::clock::Clock;
use crate::wire::Words;
use crate::wire::http2::Form;

impl Session {
    /// Makes a request; it goes out with the next step.
    pub(super) fn request_stream(&mut self, now: Nanos, hands: &Hands<'_>) {
        let (Some(streams), Some(form)) = (&mut self.streams, form(hands)) else { return };
        let began = if std::mem::take(&mut self.fresh) { self.began } else { now };
        if std::mem::take(&mut self.early) {
            // It was made already. If the server did not take it, it goes out now.
            let tls = self.link.as_ref().and_then(|link| link.tls.as_ref());
            if tls.is_some_and(|tls| tls.is_early_data_accepted()) {
                let length = streams.unsent(&[]).len();
                streams.stamp(self.sent);
                streams.sent(length);
            }
        } else {
            streams.request_since(form, now, began);
        }
        let until = began + hands.timeout.operation;
        self.deadline = self.deadline.min(until).min(now + hands.timeout.first_byte);
    }

    pub(super) fn on_streams(&mut self, hands: &mut Hands<'_>) -> Result<Step, Failed> {
        loop {
            let (Some(streams), Some(link)) = (&mut self.streams, &mut self.link) else {
                return Ok(Step::Over);
            };
            if streams.due().is_some() {
                return Ok(self.outcome(hands));
            }
            if let Some(end) = streams.end() {
                return self.on_end_of_streams(end, hands);
            }
            if let Some(most) = streams.news() {
                if !std::mem::replace(&mut self.settled, true) {
                    hands.tally.shape.streams(most);
                }
                return Ok(Step::Room);
            }
            if streams.open() == 0 && !streams.is_reusable() {
                // The server takes no more, and nothing is under way.
                self.leave(hands);
                return Ok(Step::Over);
            }
            let broken =
                if self.confirmed { Failure::ResponseTruncated } else { Failure::ResetInHandshake };
            let body = form(hands).map_or(&[][..], |form| &form.body);
            flush(streams, link, body, hands.tally).map_err(|_| broken)?;
            if self.drained {
                return Ok(Step::Waits);
            }
            let length = match link.recv(hands.buffer, hands.tally) {
                Got::Nothing => {
                    self.drained = true;
                    return Ok(Step::Waits);
                }
                Got::End | Got::Reset => {
                    streams.finish(End::Gone);
                    continue;
                }
                Got::Bytes(length) => length,
            };
            let now = Clock::Monotonic.now();
            streams.set_now(now);
            let input = hands.buffer.get(..length).unwrap_or_default();
            let fed = link.feed(input, &mut **streams)?;
            if fed.goodbye {
                streams.finish(End::Gone);
            }
            let word = fed.data || fed.goodbye || link.tickets() > 0;
            self.is_drained(length, hands);
            self.confirm(word, now, hands);
        }
    }

    /// The round's tally gets the times of the outcome that is due.
    fn outcome(&mut self, hands: &mut Hands<'_>) -> Step {
        let taken = self.streams.as_mut().and_then(|streams| streams.take());
        let (Some(outcome), Some(rendered)) = (taken, hands.request) else { return Step::Waits };
        for (phase, took) in
            [(Phase::FirstByte, outcome.first_byte), (Phase::LastByte, outcome.last_byte)]
        {
            if let Some(took) = took {
                hands.tally.record(phase, took);
            }
        }
        self.moment = outcome.moment;
        if !self.is_busy() {
            self.deadline = NEVER;
        }
        let place = outcome.place;
        match outcome.result {
            Ok(answer) => Step::Answered { place, result: rendered.outcome(&answer) },
            Err(Lost::Failed(failed)) => Step::Answered { place, result: Err(failed) },
            Err(Lost::Untaken { failed, progressed }) => {
                Step::Untaken { place, failed, progressed }
            }
        }
    }

    fn on_end_of_streams(&mut self, end: End, hands: &mut Hands<'_>) -> Result<Step, Failed> {
        let (Some(streams), Some(link)) = (&mut self.streams, &mut self.link) else {
            return Ok(Step::Over);
        };
        match end {
            End::Fault(fault) => {
                // The server should hear why; whether it can does not change the reason.
                streams.say_goodbye(fault.code());
                let _ = flush(streams, link, &[], hands.tally);
                link.say_goodbye(hands.tally);
                Err(Failed::of(Failure::ResponseMalformed, fault.detail()))
            }
            // A server may close what is not used.
            End::Gone if streams.open() == 0 => {
                self.drop_link();
                Ok(Step::Over)
            }
            End::Gone if self.confirmed => {
                Err(Failed { failure: Failure::ResponseTruncated, reason: streams.farewell() })
            }
            End::Gone => Err(Failure::Unconfirmed.into()),
        }
    }

    /// Gives up requests that have waited too long, and only them.
    pub(super) fn expire_streams(&mut self, timeout: Timeout) {
        if let Some(streams) = &mut self.streams {
            let next = streams.expire(Clock::Monotonic.now(), timeout);
            self.deadline = next.unwrap_or(NEVER);
        }
    }

    /// Says that we leave, before TLS does.
    pub(super) fn say_goaway(&mut self, hands: &mut Hands<'_>) {
        if let (Some(streams), Some(link)) = (&mut self.streams, &mut self.link)
            && self.stage == super::Stage::Streaming
        {
            streams.say_goodbye(crate::wire::http2::frame::NO_ERROR);
            // A server that is gone needs no goodbye.
            let _ = flush(streams, link, &[], hands.tally);
        }
    }
}

/// The request, when it is one of HTTP/2.
pub(super) fn form<'h>(hands: &Hands<'h>) -> Option<&'h Form> {
    match &hands.request?.words {
        Words::Http1 { .. } => None,
        Words::Http2 { form, .. } => Some(form),
    }
}

/// Writes what there is to say, as far as the socket takes it.
fn flush(
    streams: &mut Streams,
    link: &mut Link,
    body: &[u8],
    tally: &mut Tally,
) -> std::io::Result<()> {
    loop {
        if streams.has_unstamped() {
            streams.stamp(Clock::Monotonic.now());
        }
        let bytes = streams.unsent(body);
        if bytes.is_empty() {
            return link.flush(tally).map(|_| ());
        }
        let length = match &mut link.tls {
            Some(tls) => tls.writer().write(bytes)?,
            None => link.send(bytes, tally)?,
        };
        streams.sent(length);
        if !link.flush(tally)? || (link.tls.is_none() && length == 0) {
            return Ok(());
        }
    }
}
