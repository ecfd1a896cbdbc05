//! A connection that carries many requests at a time: HTTP/2.

use std::io::Write as _;

use tlsbench_core::scenario::Timeout;
use tlsbench_core::tally::{Failed, Failure, Phase, Tally};
use tlsbench_core::units::Nanos;

use super::state::State;
use super::streams::{ConnectionEnd, Lost, Streams};
use super::transport::{Received, Transport};
use super::{Connection as _, NEVER, Session, Step, StepContext};
use crate::clock::Clock;
use crate::wire::{RequestBytes, RequestTemplate};

impl Session {
    /// Makes a request, in a connection that was in this state; it goes out with the next step.
    pub(super) fn request_stream(&mut self, before: State, now: Nanos, context: &StepContext<'_>) {
        let (Some(streams), Some(form)) = (&mut self.streams, form(context)) else { return };
        let began = if before.is_fresh() { self.marks.began } else { now };
        if before.has_early_data() {
            // It was made already. If the server did not take it, it goes out now.
            let tls = self.transport.as_ref().and_then(|transport| transport.tls.as_ref());
            if tls.is_some_and(|tls| tls.is_early_data_accepted()) {
                let length = streams.unsent(&[]).len();
                streams.stamp(self.marks.sent);
                streams.sent(length);
            }
        } else {
            streams.request_since(form, now, began);
        }
        let until = began + context.timeout.operation;
        self.marks.deadline = self.marks.deadline.min(until).min(now + context.timeout.first_byte);
    }

    pub(super) fn on_streams(&mut self, context: &mut StepContext<'_>) -> Result<Step, Failed> {
        loop {
            let (Some(streams), Some(transport)) = (&mut self.streams, &mut self.transport) else {
                return Ok(Step::Over);
            };
            if streams.completed_slot().is_some() {
                return Ok(self.outcome(context));
            }
            if let Some(end) = streams.end() {
                return self.on_end_of_streams(end, context);
            }
            if let Some(most) = streams.news() {
                if let State::Http2 { settled } = &mut self.state
                    && !std::mem::replace(settled, true)
                {
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
            // Requests that were made together leave together, in as few records and system calls
            // as they fit.
            flush(streams, transport, body, context.tally).map_err(|_| broken)?;
            if transport.drained {
                return Ok(Step::Waits);
            }
            let length = match transport.recv(context.buffer, context.tally) {
                Received::Nothing => {
                    transport.drained = true;
                    return Ok(Step::Waits);
                }
                Received::End | Received::Reset => {
                    streams.finish(ConnectionEnd::Gone);
                    continue;
                }
                Received::Bytes(length) => length,
            };
            let now = Clock::Monotonic.now();
            // One time for all frames of a reading: they came together.
            streams.set_now(now);
            let input = context.buffer.get(..length).unwrap_or_default();
            let fed = transport.feed(input, &mut **streams)?;
            if fed.goodbye {
                streams.finish(ConnectionEnd::Gone);
            }
            let word = fed.data || fed.goodbye || transport.tickets() > 0;
            transport.is_drained(length, context.buffer.len());
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
        self.marks.last_response_at = outcome.moment;
        if !self.is_busy() {
            self.marks.deadline = NEVER;
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
        let (Some(streams), Some(transport)) = (&mut self.streams, &mut self.transport) else {
            return Ok(Step::Over);
        };
        match end {
            ConnectionEnd::Fault(fault) => {
                // The server should hear why; whether it can does not change the reason.
                streams.say_goodbye(fault.code());
                let _ = flush(streams, transport, &[], context.tally);
                transport.say_goodbye(context.tally);
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
            self.marks.deadline = next.unwrap_or(NEVER);
        }
    }

    /// Says that we leave, before TLS does.
    pub(super) fn say_goaway(&mut self, context: &mut StepContext<'_>) {
        if let (Some(streams), Some(transport)) = (&mut self.streams, &mut self.transport)
            && matches!(self.state, State::Http2 { .. })
        {
            streams.say_goodbye(crate::http2::frame::NO_ERROR);
            // A server that is gone needs no goodbye.
            let _ = flush(streams, transport, &[], context.tally);
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
    transport: &mut Transport,
    body: &[u8],
    tally: &mut Tally,
) -> std::io::Result<()> {
    loop {
        if streams.has_unstamped() {
            streams.stamp(Clock::Monotonic.now());
        }
        let bytes = streams.unsent(body);
        if bytes.is_empty() {
            return transport.flush(tally).map(|_| ());
        }
        let length = match &mut transport.tls {
            Some(tls) => tls.writer().write(bytes)?,
            None => transport.send(bytes, tally)?,
        };
        streams.sent(length);
        if !transport.flush(tally)? || (transport.tls.is_none() && length == 0) {
            return Ok(());
        }
    }
}
