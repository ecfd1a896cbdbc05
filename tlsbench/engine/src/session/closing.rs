//! How a connection ends: by the server, by us, by a reset, or because it took too long.

use tlsbench_core::plan::Close;
use tlsbench_core::units::Nanos;

use super::link::{Got, Unasked};
use super::{Hands, NEVER, Session, Stage, Step, dial};
use crate::clock::Clock;

impl Session {
    /// Begins to close as the run closes.
    pub(super) fn begin_to_close(&mut self, hands: &mut Hands<'_>) -> Step {
        if hands.close == Close::Fin {
            self.say_goaway(hands);
        }
        let Some(link) = &mut self.link else { return Step::Over };
        match hands.close {
            Close::Rst => {
                dial::reset_on_close(&link.socket);
                return self.over();
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
        self.deadline = Clock::Monotonic.now() + CLOSE_MAX;
        if self.drained && !self.hung_up { Step::Waits } else { self.on_closing(hands) }
    }

    /// Waits for the server's end; what comes before it is of no interest any more.
    pub(super) fn on_closing(&mut self, hands: &mut Hands<'_>) -> Step {
        loop {
            let Some(link) = &mut self.link else { return Step::Over };
            match link.recv(hands.buffer, hands.tally) {
                Got::Nothing => {
                    // OpenSSL's servers may wait for our goodbye between theirs and the end.
                    if self.goodbye && !self.parted {
                        link.say_goodbye(hands.tally);
                        self.parted = true;
                    }
                    return Step::Waits;
                }
                Got::End | Got::Reset => return self.over(),
                Got::Bytes(length) => {
                    // Tickets that come late are taken all the same.
                    let input = hands.buffer.get(..length).unwrap_or_default();
                    let fed = link.feed(input, &mut Unasked);
                    self.goodbye |= fed.is_ok_and(|fed| fed.goodbye);
                }
            }
        }
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

/// A server that does not close within this is closed.
const CLOSE_MAX: Nanos = Nanos::from_millis(2_000);
