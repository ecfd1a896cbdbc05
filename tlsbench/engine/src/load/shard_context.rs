//! State that all connections of a shard share: buffers, tallies, TLS, and the next address.

use std::net::SocketAddr;

use tlsbench_core::pace::Resumer;
use tlsbench_core::tally::Tally;
use tlsbench_core::units::Nanos;

use super::shard_plan::ShardPlan;
use crate::session::{Route, StepContext};
use crate::tls::TlsClient;

/// Counts of a shard since it began, warm-up included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoadCounts {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) missed: u64,
    /// Failures of measured rounds.
    pub(crate) failed_in_rounds: u64,
    /// Operations of measured rounds that are late now; 0 if nobody asks.
    pub(crate) late: u64,
}

/// State that all connections of a shard share.
#[derive(Debug)]
pub(crate) struct ShardContext<'k> {
    pub(crate) plan: &'k ShardPlan,
    tls: Option<&'k mut TlsClient>,
    buffer: Vec<u8>,
    text: String,
    /// The tally of what is not measured; those of the rounds follow.
    unmeasured: Tally,
    tallies: Vec<Option<Tally>>,
    addresses: Vec<SocketAddr>,
    edition: u64,
    turn: usize,
    resumer: Resumer,
}

impl<'k> ShardContext<'k> {
    pub(crate) fn new(plan: &'k ShardPlan, tls: Option<&'k mut TlsClient>) -> Self {
        Self {
            plan,
            tls,
            buffer: vec![0; BUFFER],
            text: String::with_capacity(TEXT),
            unmeasured: Tally::new(),
            // All tallies are allocated before the load begins: a histogram allocated within a
            // round would be part of what it measures.
            tallies: (0..plan.rounds.get()).map(|_| Some(Tally::new())).collect(),
            addresses: Vec::new(),
            edition: 0,
            turn: 0,
            resumer: Resumer::new(plan.resume),
        }
    }

    /// Takes over addresses and roots that have changed.
    pub(crate) fn refresh(&mut self, now: Nanos) {
        self.plan.addresses.copy_newer(&mut self.edition, &mut self.addresses);
        if let (Some(bundle), Some(tls)) = (&self.plan.ca_bundle, &mut self.tls)
            && let Some(newer) = bundle.newer_than(tls.generation(), now)
        {
            // It was made of the same parts before, so it cannot fail; if it did, the roots before
            // would stay, and the next look would try again.
            let _ = tls.set_roots(&newer);
        }
    }

    /// The tally of a round; 0 is what is not measured.
    pub(crate) fn tally(&mut self, round: u32) -> &mut Tally {
        pick(&mut self.unmeasured, &mut self.tallies, round)
    }

    /// Lends a session what it works with, counting in a round.
    pub(crate) fn step_context(&mut self, round: u32) -> StepContext<'_> {
        StepContext {
            buffer: &mut self.buffer,
            text: &mut self.text,
            tally: pick(&mut self.unmeasured, &mut self.tallies, round),
            request: self.plan.request.as_ref(),
            close: self.plan.close,
            timeout: self.plan.timeout,
            tls: self.tls.as_deref_mut(),
        }
    }

    /// Returns where the next connection goes; `None` if there is no address.
    pub(crate) fn route(&mut self) -> Option<Route> {
        let addresses = &self.addresses;
        let to = *addresses.get(self.turn % addresses.len().max(1))?;
        let fitting = || self.plan.sources.iter().filter(|from| from.is_ipv4() == to.is_ipv4());
        // All sources with one address, then all with the next, so that every pair comes up.
        let sources = fitting().count();
        let from = fitting().nth((self.turn / addresses.len()) % sources.max(1)).copied();
        self.turn = self.turn.wrapping_add(1);
        let last = self.plan.per_connection() == Some(1);
        Some(Route { to, from, resume: self.resumer.decide(), last })
    }

    /// Returns the tally of what was not measured.
    pub(crate) fn unmeasured(self) -> Tally {
        self.unmeasured
    }

    /// Gives a round's tally away; what comes after is not measured.
    pub(crate) fn take(&mut self, round: u32) -> Option<Tally> {
        self.tallies.get_mut(index(round)?)?.take()
    }
}

fn pick<'t>(
    unmeasured: &'t mut Tally,
    rounds: &'t mut [Option<Tally>],
    round: u32,
) -> &'t mut Tally {
    match index(round).and_then(|index| rounds.get_mut(index)) {
        Some(Some(tally)) => tally,
        _ => unmeasured,
    }
}

fn index(round: u32) -> Option<usize> {
    usize::try_from(round).ok()?.checked_sub(1)
}

/// Four TLS records of full size, so that a large body needs few system calls.
const BUFFER: usize = 64 * 1024;
/// The longest text of what is negotiated has about 80 characters.
const TEXT: usize = 128;
