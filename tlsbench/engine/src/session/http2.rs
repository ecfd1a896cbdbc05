//! A connection that carries many requests at a time: HTTP/2.

use std::io::Write as _;

use tlsbench_core::scenario::Timeout;
use tlsbench_core::tally::{Failed, Failure, Phase, Tally};
use tlsbench_core::units::Nanos;

use super::link::{Received, Transport};
use super::streams::{ConnectionEnd, Lost, Streams};
use super::{Connection as _, NEVER, Session, Step, StepContext};
use crate::clock::Clock;
use crate::wire::RequestBytes;
use crate::wire::http2::RequestTemplate;

impl Session {
    /// Makes a request; it goes out with the next step.
    pub(super) fn request_stream(&mut self, now: Nanos, context: &StepContext<'_>) {
        let (Some(streams), Some(form)) = (&mut self.streams, form(context)) else { return };
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
        let until = began + context.timeout.operation;
        self.deadline = self.deadline.min(until).min(now + context.timeout.first_byte);
    }

    pub(super) fn on_streams(&mut self, context: &mut StepContext<'_>) -> Result<Step, Failed> {
        loop {
            let (Some(streams), Some(link)) = (&mut self.streams, &mut self.link) else {
                return Ok(Step::Over);
            };
            if streams.completed_slot().is_some() {
                return Ok(self.outcome(context));
            }
            if let Some(end) = streams.end() {
                return self.on_end_of_streams(end, context);
            }
            if let Some(most) = streams.news() {
                if !std::mem::replace(&mut self.settled, true) {
                    context.tally.shape.streams(most);
                }
                return Ok(Step::Room);
            }
            if streams.open() == 0 && !streams.is_reusable() {
                // The server takes no more, and nothing is under way.
                self.leave(context);
                return Ok(Step::Over);
            }
            let broken =
                if self.confirmed { Failure::ResponseTruncated } else { Failure::ResetInHandshake };
            let body = form(context).map_or(&[][..], |form| &form.body);
            flush(streams, link, body, context.tally).map_err(|_| broken)?;
            if self.drained {
                return Ok(Step::Waits);
            }
            let length = match link.recv(context.buffer, context.tally) {
                Received::Nothing => {
                    self.drained = true;
                    return Ok(Step::Waits);
                }
                Received::End | Received::Reset => {
                    streams.finish(ConnectionEnd::Gone);
                    continue;
                }
                Received::Bytes(length) => length,
            };
            let now = Clock::Monotonic.now();
            streams.set_now(now);
            let input = context.buffer.get(..length).unwrap_or_default();
            let fed = link.feed(input, &mut **streams)?;
            if fed.goodbye {
                streams.finish(ConnectionEnd::Gone);
            }
            let word = fed.data || fed.goodbye || link.tickets() > 0;
            self.is_drained(length, context);
            self.confirm(word, now, context);
        }
    }

    /// The round's tally gets the times of the outcome that is due.
    fn outcome(&mut self, context: &mut StepContext<'_>) -> Step {
        let taken = self.streams.as_mut().and_then(|streams| streams.take());
        let (Some(outcome), Some(rendered)) = (taken, context.request) else { return Step::Waits };
        for (phase, took) in
            [(Phase::FirstByte, outcome.first_byte), (Phase::LastByte, outcome.last_byte)]
        {
            if let Some(took) = took {
                context.tally.record(phase, took);
            }
        }
        self.last_response_at = outcome.moment;
        if !self.is_busy() {
            self.deadline = NEVER;
        }
        let slot = outcome.slot;
        match outcome.result {
            Ok(answer) => Step::Answered { slot, result: rendered.outcome(&answer) },
            Err(Lost::Failed(failed)) => Step::Answered { slot, result: Err(failed) },
            Err(Lost::Untaken { failed, progressed }) => Step::Untaken { slot, failed, progressed },
        }
    }

    fn on_end_of_streams(
        &mut self,
        end: ConnectionEnd,
        context: &mut StepContext<'_>,
    ) -> Result<Step, Failed> {
        let (Some(streams), Some(link)) = (&mut self.streams, &mut self.link) else {
            return Ok(Step::Over);
        };
        match end {
            ConnectionEnd::Fault(fault) => {
                // The server should hear why; whether it can does not change the reason.
                streams.say_goodbye(fault.code());
                let _ = flush(streams, link, &[], context.tally);
                link.say_goodbye(context.tally);
                Err(Failed::of(Failure::ResponseMalformed, fault.detail()))
            }
            // A server may close what is not used.
            ConnectionEnd::Gone if streams.open() == 0 => {
                self.drop_link();
                Ok(Step::Over)
            }
            ConnectionEnd::Gone if self.confirmed => {
                Err(Failed { failure: Failure::ResponseTruncated, reason: streams.farewell() })
            }
            ConnectionEnd::Gone => Err(Failure::Unconfirmed.into()),
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
    pub(super) fn say_goaway(&mut self, context: &mut StepContext<'_>) {
        if let (Some(streams), Some(link)) = (&mut self.streams, &mut self.link)
            && self.stage == super::Stage::Streaming
        {
            streams.say_goodbye(crate::wire::http2::frame::NO_ERROR);
            // A server that is gone needs no goodbye.
            let _ = flush(streams, link, &[], context.tally);
        }
    }
}

/// The request, when it is one of HTTP/2.
pub(super) fn form<'h>(context: &StepContext<'h>) -> Option<&'h RequestTemplate> {
    match &context.request?.bytes {
        RequestBytes::Http1 { .. } => None,
        RequestBytes::Http2 { form, .. } => Some(form),
    }
}

/// Writes what there is to say, as far as the socket takes it.
fn flush(
    streams: &mut Streams,
    link: &mut Transport,
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
