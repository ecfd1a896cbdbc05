//! Latency that links add: round trips times the time of each.

use super::profile::{Profile, ends_client_tls};
use crate::hop::HopKind;
use crate::placement::Placement;
use crate::scenario::Version;
use crate::units::Nanos;

/// Times on the links, without what hops take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Network {
    /// Time from connect to the first response, with a full handshake.
    pub full_ns: Nanos,
    /// The same with a resumed one.
    pub resumed_ns: Nanos,
    /// Time to the response over an established connection.
    pub kept_ns: Nanos,
}

impl Network {
    /// Adds up the links of a placement. HTTP hops keep their upstream connections.
    #[must_use]
    pub fn of(placement: &Placement, profile: &Profile, version: Version) -> Self {
        let rtts: Vec<u64> = placement
            .hops
            .iter()
            .map(|hop| profile.rtt.get(&hop.role).map_or(0, |span| span.0.0))
            .collect();
        let kept: u64 = rtts.iter().sum();
        // TCP to the first hop; a relay dials on for each connection, before a byte passes through.
        let is_relay = |kind| matches!(kind, HopKind::Relay | HopKind::SniRelay);
        let pairs = placement.hops.iter().zip(rtts.iter().skip(1));
        let relayed: Vec<u64> =
            pairs.take_while(|(hop, _)| is_relay(hop.kind)).map(|(_, rtt)| *rtt).collect();
        let connect = rtts.first().copied().unwrap_or_default() + relayed.iter().sum::<u64>();
        let ends = ends_client_tls(placement);
        let until = placement.hops.iter().position(|hop| Some(hop.role) == ends);
        let handshake: u64 = until.map_or(0, |index| rtts.iter().take(index + 1).sum());
        // RFC 8446, figure 1; RFC 5246, figures 1 and 2.
        let (full, resumed) = match version {
            Version::Tls12 => (2, 1),
            Version::Tls13 => (1, 1),
        };
        let all = |flights: u64| {
            Nanos(connect.saturating_add(handshake.saturating_mul(flights)).saturating_add(kept))
        };
        Self { full_ns: all(full), resumed_ns: all(resumed), kept_ns: Nanos(kept) }
    }
}
