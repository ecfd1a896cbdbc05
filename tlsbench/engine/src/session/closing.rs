//! The end of a connection: by the server, by us, by a reset, or because it took too long.

use tlsbench_core::scenario::{Close, SERVER_CLOSE_MAX};
use tlsbench_core::units::Nanos;

use super::state::{ClosingState, State};
use super::transport::{Received, Unasked};
use super::{NEVER, Session, Step, StepContext, dial};
use crate::clock::Clock;

impl Session {
    /// Begins to close as the run closes.
    pub(super) fn begin_to_close(&mut self, context: &mut StepContext<'_>) -> Step {
        if context.close == Close::Fin {
            self.say_goaway(context);
        }
        let mut closing = match self.state {
            State::Confirming => ClosingState { parted: true, ..ClosingState::default() },
            State::Http1(http1) => {
                ClosingState { goodbye: http1.goodbye, ..ClosingState::default() }
            }
            _ => ClosingState::default(),
        };
        let Some(transport) = &mut self.transport else { return Step::Over };
        match context.close {
            Close::Rst => {
                dial::reset_on_close(&transport.socket);
                return self.over();
            }
            Close::Fin if !closing.parted => {
                transport.say_goodbye(context.tally);
                transport.shut();
                closing.shut = true;
            }
            // Without TLS and without a request there is nothing to ask the server by.
            Close::Server if context.request.is_none() && transport.tls.is_none() => {
                transport.shut();
                closing.shut = true;
            }
            // The handshake's end had both.
            Close::Fin => closing.shut = true,
            Close::Server => {}
        }
        // Readiness comes by edges: what has already been announced will not be announced again.
        let waits = transport.drained && !transport.hung_up;
        self.state = State::Closing(closing);
        let limit = if closing.shut { CLOSE_MAX } else { SERVER_CLOSE_MAX };
        self.marks.deadline = Clock::Monotonic.now() + limit;
        if waits { Step::Waits } else { self.on_closing(context) }
    }

    /// Waits for the server's end; what comes before it is of no interest any more.
    pub(super) fn on_closing(&mut self, context: &mut StepContext<'_>) -> Step {
        loop {
            let (State::Closing(closing), Some(transport)) = (&mut self.state, &mut self.transport)
            else {
                return Step::Over;
            };
            match transport.recv(context.buffer, context.tally) {
                Received::Nothing => {
                    // OpenSSL's servers may wait for our goodbye between theirs and the end.
                    if closing.goodbye && !closing.parted {
                        transport.say_goodbye(context.tally);
                        closing.parted = true;
                    }
                    return Step::Waits;
                }
                Received::End | Received::Reset => return self.over(),
                Received::Bytes(length) => {
                    // Tickets that come late are taken all the same.
                    let input = context.buffer.get(..length).unwrap_or_default();
                    let fed = transport.feed(input, &mut Unasked);
                    closing.goodbye |= fed.is_ok_and(|fed| fed.goodbye);
                }
            }
        }
    }

    /// The server has not closed in time: the client does, and then waits for the server's end only
    /// so that nothing of it is answered by a reset.
    pub(super) fn close_first(&mut self, context: &mut StepContext<'_>) -> Step {
        let (State::Closing(closing), Some(transport)) = (&mut self.state, &mut self.transport)
        else {
            return self.over();
        };
        if closing.shut {
            return self.over();
        }
        context.tally.closed_by_client += 1;
        if !std::mem::replace(&mut closing.parted, true) {
            transport.say_goodbye(context.tally);
        }
        transport.shut();
        closing.shut = true;
        self.marks.deadline = Clock::Monotonic.now() + CLOSE_MAX;
        Step::Waits
    }

    /// Ends at once, whatever is under way.
    pub(crate) fn drop_link(&mut self) {
        self.transport = None;
        self.state = State::Vacant;
        self.marks.deadline = NEVER;
    }

    pub(super) fn over(&mut self) -> Step {
        self.drop_link();
        Step::Over
    }
}

/// A server that has our FIN and does not close within this is left alone.
const CLOSE_MAX: Nanos = Nanos::from_millis(1_000);
