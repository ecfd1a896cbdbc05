//! The handshake: from the first packet to the server's confirmation.

use std::fmt::Write as _;

use tlsbench_core::scenario::Close;
use tlsbench_core::tally::{Failed, Failure, Phase};
use tlsbench_core::units::Nanos;

use super::http1::request_bytes;
use super::http2::form;
use super::state::State;
use super::transport::{Received, Unasked};
use super::{Connection as _, Session, Step, StepContext, dial};
use crate::clock::Clock;
use crate::tls::{Alpn, Kind, Wanted};

impl Session {
    pub(super) fn on_connect(
        &mut self,
        last: bool,
        context: &mut StepContext<'_>,
    ) -> Result<Step, Failed> {
        let Some(transport) = &mut self.transport else { return Ok(Step::Over) };
        dial::outcome(&transport.socket)?;
        self.marks.connected = Clock::Monotonic.now();
        context.tally.connections += 1;
        context.tally.record(Phase::Connect, self.marks.connected - self.marks.began);
        let Some(tls) = &mut transport.tls else {
            // Without TLS, the SYN-ACK is all the confirmation there is.
            self.confirmed = true;
            return Ok(if context.request.is_some() { Step::Ready } else { Step::Confirmed });
        };
        let mut has_early = false;
        if let (Some(client), Some(rendered)) = (&context.tls, context.request)
            && let Some(mut early) = client.early_data(tls)
        {
            let bytes = match (&mut self.streams, form(context)) {
                (Some(streams), Some(form)) => {
                    streams.request_since(form, self.marks.connected, self.marks.began);
                    streams.unsent(&[])
                }
                _ => request_bytes(rendered, last, context.close),
            };
            if early.bytes_left() >= bytes.len() {
                let taken = std::io::Write::write_all(&mut early, bytes);
                has_early = taken.is_ok();
                self.marks.sent = self.marks.connected;
            }
        }
        // The handshake has its own limit, and the operation's as a whole goes on.
        self.state = State::Handshaking { last, early: has_early };
        self.marks.deadline =
            self.marks.until.min(self.marks.connected + context.timeout.handshake);
        transport.flush(context.tally).map_err(|_| Failure::ResetInHandshake)?;
        Ok(Step::Waits)
    }

    pub(super) fn on_handshake(&mut self, context: &mut StepContext<'_>) -> Result<Step, Failed> {
        loop {
            let Some(transport) = &mut self.transport else { return Ok(Step::Over) };
            let length = match transport.recv(context.buffer, context.tally) {
                Received::Nothing => return Ok(Step::Waits),
                // A server that only closes has not said why: the handshake was not confirmed.
                Received::End => return Err(Failure::Unconfirmed.into()),
                Received::Reset => return Err(Failure::ResetInHandshake.into()),
                Received::Bytes(length) => length,
            };
            let input = context.buffer.get(..length).unwrap_or_default();
            let fed = self.feed(input, context)?;
            let Some(transport) = &mut self.transport else { return Ok(Step::Over) };
            let done = transport.tls.as_ref().is_some_and(|tls| !tls.is_handshaking());
            let drained = transport.is_drained(length, context.buffer.len());
            if done {
                let now = Clock::Monotonic.now();
                context.tally.record(Phase::Handshake, now - self.marks.connected);
                self.note_shape(context);
                if self.streams.is_some() && !self.agreed_on(Alpn::Http2) {
                    // Nothing was asked, so nothing can be answered in HTTP/1.1.
                    return Err(Failure::Alpn.into());
                }
                return Ok(self.after_handshake(fed.goodbye, now, context));
            }
            let Some(transport) = &mut self.transport else { return Ok(Step::Over) };
            transport.flush(context.tally).map_err(|_| Failure::ResetInHandshake)?;
            if drained {
                return Ok(Step::Waits);
            }
        }
    }

    /// The client's part is done; in TLS 1.2 that is also the server's word.
    fn after_handshake(
        &mut self,
        goodbye: bool,
        now: Nanos,
        context: &mut StepContext<'_>,
    ) -> Step {
        let Some(transport) = &mut self.transport else { return Step::Over };
        let tls12 = transport.tls.as_ref().and_then(|tls| tls.protocol_version())
            == Some(rustls::ProtocolVersion::TLSv1_2);
        let word = tls12 || transport.tickets() > 0 || goodbye;
        if context.request.is_some() {
            self.confirm(word, now, context);
            return Step::Ready;
        }
        // A reset discards what the socket has not sent, so the client's Finished would be lost.
        if context.close == Close::Rst && word {
            // Finished has to be out before the reset.
            let _ = transport.flush(context.tally);
        } else {
            transport.say_goodbye(context.tally);
        }
        if context.close == Close::Fin {
            transport.shut();
        }
        let is_drained = transport.drained;
        self.state = State::Confirming;
        if self.confirm(word, now, context) {
            Step::Confirmed
        } else if is_drained {
            Step::Waits
        } else {
            self.step(false, context)
        }
    }

    /// Notes the server's word when it is the first; whether it was.
    pub(super) fn confirm(
        &mut self,
        word: bool,
        now: Nanos,
        context: &mut StepContext<'_>,
    ) -> bool {
        if !word || self.confirmed {
            return false;
        }
        self.confirmed = true;
        context.tally.record(Phase::Confirmed, now - self.marks.connected);
        true
    }

    fn agreed_on(&self, alpn: Alpn) -> bool {
        let tls = self.transport.as_ref().and_then(|transport| transport.tls.as_ref());
        tls.and_then(|tls| tls.alpn_protocol()) == Some(alpn.as_str().as_bytes())
    }

    fn note_shape(&self, context: &mut StepContext<'_>) {
        let Some(tls) = self.transport.as_ref().and_then(|transport| transport.tls.as_deref())
        else {
            return;
        };
        let shape = &mut context.tally.shape;
        shape.wanted_ticket += u64::from(self.wanted == Wanted::NoTicket);
        let Some(found) = context.tls.as_ref().and_then(|client| client.negotiated(tls)) else {
            return;
        };
        match found.kind {
            Kind::Full => shape.full += 1,
            Kind::Resumed => shape.resumed += 1,
            Kind::Retried => {
                shape.full += 1;
                shape.retried += 1;
            }
        }
        shape.early_data += u64::from(found.early_data_accepted);
        context.text.clear();
        if write!(context.text, "{found}").is_ok() {
            shape.negotiated(context.text);
        }
    }

    pub(super) fn on_confirming(&mut self, context: &mut StepContext<'_>) -> Result<Step, Failed> {
        loop {
            let Some(transport) = &mut self.transport else { return Ok(Step::Over) };
            transport.flush(context.tally).map_err(|_| Failure::ResetInHandshake)?;
            let length = match transport.recv(context.buffer, context.tally) {
                Received::Nothing => return Ok(Step::Waits),
                Received::End => return Err(Failure::Unconfirmed.into()),
                Received::Reset => return Err(Failure::ResetInHandshake.into()),
                Received::Bytes(length) => length,
            };
            let input = context.buffer.get(..length).unwrap_or_default();
            let fed = transport.feed(input, &mut Unasked)?;
            let word = fed.goodbye || fed.data || transport.tickets() > 0;
            let drained = transport.is_drained(length, context.buffer.len());
            if self.confirm(word, Clock::Monotonic.now(), context) {
                return Ok(Step::Confirmed);
            }
            if drained {
                return Ok(Step::Waits);
            }
        }
    }
}
