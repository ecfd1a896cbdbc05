//! How a connection ends: by the server, by us, by a reset, or because it took too long.

use tlsbench_core::scenario::{Close, SERVER_CLOSE_MAX};
use tlsbench_core::units::Nanos;

use super::link::{Received, Unasked};
use super::{NEVER, Session, Stage, Step, StepContext, dial};
use crate::clock::Clock;

impl Session {
    /// Begins to close as the run closes.
    pub(super) fn begin_to_close(&mut self, context: &mut StepContext<'_>) -> Step {
        if context.close == Close::Fin {
            self.say_goaway(context);
        }
        let Some(link) = &mut self.link else { return Step::Over };
        match context.close {
            Close::Rst => {
                dial::reset_on_close(&link.socket);
                return self.over();
            }
            Close::Fin if !self.parted => {
                link.say_goodbye(context.tally);
                link.shut();
                self.shut = true;
            }
            // Without TLS and without a request there is nothing to ask the server by.
            Close::Server if context.request.is_none() && link.tls.is_none() => {
                link.shut();
                self.shut = true;
            }
            // The handshake's end had both.
            Close::Fin => self.shut = true,
            Close::Server => {}
        }
        self.stage = Stage::Closing;
        let patience = if self.shut { CLOSE_MAX } else { SERVER_CLOSE_MAX };
        self.deadline = Clock::Monotonic.now() + patience;
        if self.drained && !self.hung_up { Step::Waits } else { self.on_closing(context) }
    }

    /// Waits for the server's end; what comes before it is of no interest any more.
    pub(super) fn on_closing(&mut self, context: &mut StepContext<'_>) -> Step {
        loop {
            let Some(link) = &mut self.link else { return Step::Over };
            match link.recv(context.buffer, context.tally) {
                Received::Nothing => {
                    // OpenSSL's servers may wait for our goodbye between theirs and the end.
                    if self.goodbye && !self.parted {
                        link.say_goodbye(context.tally);
                        self.parted = true;
                    }
                    return Step::Waits;
                }
                Received::End | Received::Reset => return self.over(),
                Received::Bytes(length) => {
                    // Tickets that come late are taken all the same.
                    let input = context.buffer.get(..length).unwrap_or_default();
                    let fed = link.feed(input, &mut Unasked);
                    self.goodbye |= fed.is_ok_and(|fed| fed.goodbye);
                }
            }
        }
    }

    /// The server has not closed in time: the client does, and then waits for the server's end only so
    /// that nothing of it is answered by a reset.
    pub(super) fn close_first(&mut self, context: &mut StepContext<'_>) -> Step {
        let Some(link) = self.link.as_mut().filter(|_| !self.shut) else { return self.over() };
        context.tally.closed_by_client += 1;
        if !std::mem::replace(&mut self.parted, true) {
            link.say_goodbye(context.tally);
        }
        link.shut();
        self.shut = true;
        self.deadline = Clock::Monotonic.now() + CLOSE_MAX;
        Step::Waits
    }

    /// Ends at once, whatever is under way.
    pub(crate) fn drop_link(&mut self) {
        self.link = None;
        self.stage = Stage::Vacant;
        self.deadline = NEVER;
    }

    pub(super) fn over(&mut self) -> Step {
        self.drop_link();
        Step::Over
    }
}

/// Who has our FIN and does not close within this is left alone.
const CLOSE_MAX: Nanos = Nanos::from_millis(1_000);
