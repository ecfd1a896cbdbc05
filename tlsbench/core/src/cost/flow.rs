//! Connections, handshakes, requests and bits that traffic causes at each hop. A placement only
//! switches them on and off.

use std::collections::BTreeMap;

use crate::hop::{HopKind, LinkSecurity};
use crate::placement::Placement;
use crate::words::words;

/// A thing that costs a hop CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Term {
    /// A connection that is accepted, and of a relay dialled on, without what TLS adds.
    Connection,
    /// A connection that goes on after its first response, besides: what ends there the kernel
    /// acknowledges together with its end, and what goes on by itself.
    Kept,
    /// A request with its response, without what its length and TLS add.
    Request,
    /// 10^9 bits of response bodies, of each its first 16 KiB, without what TLS adds.
    Gbit,
    /// 10^9 bits of each body's next 48 KiB: what is under way outgrows the nearest caches.
    Long,
    /// 10^9 bits of bodies beyond their first 64 KiB: they leave the processor's caches on their
    /// way, and a relay need not touch them.
    Bulk,
    /// Extra of a full handshake as a server, or for a relay that passes it on.
    Full,
    /// Extra of a resumed handshake as a server, or for a relay that passes it on.
    Resumed,
    /// Extra of a client certificate in a full handshake as a server.
    Mutual,
    /// A connection that is dialled upstream, without what TLS adds.
    Dial,
    /// Extra of a full handshake as a client.
    DialFull,
    /// Extra of a resumed handshake as a client.
    DialResumed,
    /// Extra of an own certificate in a full handshake as a client.
    DialMutual,
    /// Extra of TLS per request, for each side of the hop that speaks it.
    TlsRequest,
    /// Extra of TLS per 10^9 bits, for each side of the hop that speaks it.
    TlsGbit,
    /// A time that the hop had nothing to do and is woken up: the kernel counts them. Costs all
    /// hops the same.
    Wake,
    /// Extra of a wake-up on an idle core, weighted with how idle the core is: at 60 % busy 0.4 for
    /// each time. Costs all hops the same.
    IdleWake,
    /// A time that a relay is woken up, what it takes more: it looks at both of its sides,
    /// whichever it was. Costs all relays the same.
    RelayWake,
    /// A second in which the hop stands, whatever it does.
    Rest,
}

/// Count of each term.
pub type TermCounts = BTreeMap<Term, f64>;

/// Traffic of the clients per operation or per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// Connections.
    pub connections: f64,
    /// Those of them whose handshake is made in full, where they have one.
    pub full: f64,
    /// Those of them whose handshake is resumed.
    pub resumed: f64,
    /// Requests.
    pub requests: f64,
    /// 10^9 bits of response bodies.
    pub gbit: f64,
    /// Requests over each upstream connection of an HTTP hop; infinite where they are kept.
    pub kappa: f64,
    /// The share of upstream handshakes that resume a session: 0 to 1.
    pub upstream_resumed: f64,
}

impl Term {
    /// Returns true if hops of a kind do it at all.
    #[must_use]
    pub fn suits(self, kind: HopKind) -> bool {
        match kind {
            HopKind::Http => self != Self::RelayWake,
            HopKind::Backend => !self.is_upstream() && self != Self::RelayWake,
            HopKind::Relay | HopKind::SniRelay => matches!(
                self,
                Self::Connection
                    | Self::Kept
                    | Self::Request
                    | Self::Gbit
                    | Self::Long
                    | Self::Bulk
                    | Self::Full
                    | Self::Resumed
                    | Self::Wake
                    | Self::IdleWake
                    | Self::RelayWake
                    | Self::Rest
            ),
        }
    }

    /// Returns true if it costs hops the same that have other roles: what the kernel does for
    /// whoever it wakes up, and what every relay does then.
    #[must_use]
    pub const fn is_common(self) -> bool {
        matches!(self, Self::Wake | Self::IdleWake | Self::RelayWake)
    }

    /// Returns true if it is of connections that a hop dials.
    #[must_use]
    pub const fn is_upstream(self) -> bool {
        matches!(self, Self::Dial | Self::DialFull | Self::DialResumed | Self::DialMutual)
    }
}

/// Traffic that reaches the next hop.
#[derive(Clone, Copy)]
struct InboundTraffic {
    connections: f64,
    full: f64,
    resumed: f64,
}

/// Counts of each term at each hop, from the client on.
#[must_use]
pub fn flow(placement: &Placement, traffic: &Traffic) -> Vec<TermCounts> {
    let links = placement.links();
    let Traffic { connections, full, resumed, requests, gbit, .. } = *traffic;
    let mut arriving = InboundTraffic { connections, full, resumed };
    let mut all = Vec::with_capacity(placement.hops.len());
    for (index, hop) in placement.hops.iter().enumerate() {
        let carried = links.get(index).copied().unwrap_or(LinkSecurity::Plain);
        let beyond = links.get(index + 1).copied().unwrap_or(LinkSecurity::Plain);
        let mut counts = TermCounts::new();
        let mut add = |term: Term, count: f64| {
            if count > 0.0 {
                *counts.entry(term).or_default() += count;
            }
        };
        add(Term::Connection, arriving.connections);
        // All of them, where each makes two requests or more.
        add(Term::Kept, arriving.connections.min(requests - arriving.connections));
        add(Term::Request, requests);
        let (first, second) = (requests * GBIT_BEFORE_LONG, requests * GBIT_BEFORE_BULK);
        add(Term::Gbit, gbit.min(first));
        add(Term::Long, gbit.min(second) - first);
        add(Term::Bulk, gbit - second);
        if carried != LinkSecurity::Plain {
            add(Term::Full, arriving.full);
            add(Term::Resumed, arriving.resumed);
        }
        let is_http = hop.kind == HopKind::Http;
        if is_http || hop.kind == HopKind::Backend {
            if carried == LinkSecurity::Mtls {
                add(Term::Mutual, arriving.full);
            }
            let dials_tls = is_http && beyond != LinkSecurity::Plain;
            let sides = f64::from(u8::from(carried != LinkSecurity::Plain) + u8::from(dials_tls));
            add(Term::TlsRequest, sides * requests);
            add(Term::TlsGbit, sides * gbit);
        }
        if is_http {
            arriving = upstream(traffic, beyond);
            add(Term::Dial, arriving.connections);
            add(Term::DialFull, arriving.full);
            add(Term::DialResumed, arriving.resumed);
            if beyond == LinkSecurity::Mtls {
                add(Term::DialMutual, arriving.full);
            }
        }
        all.push(counts);
    }
    all
}

/// The connections of an HTTP hop's pool.
fn upstream(traffic: &Traffic, carried: LinkSecurity) -> InboundTraffic {
    let connections = traffic.requests / traffic.kappa;
    let handshakes = if carried == LinkSecurity::Plain { 0.0 } else { connections };
    let resumed = handshakes * traffic.upstream_resumed;
    InboundTraffic { connections, full: handshakes - resumed, resumed }
}

/// 16 KiB, which is one record of TLS (RFC 8446, section 5.1): 2^14 × 8 / 10^9.
const GBIT_BEFORE_LONG: f64 = 16_384.0 * 8.0 / 1e9;
/// 64 KiB, of which sockets hold some and caches the rest: 2^16 × 8 / 10^9.
const GBIT_BEFORE_BULK: f64 = 65_536.0 * 8.0 / 1e9;

words!(Term {
    Connection = "connection",
    Kept = "kept",
    Request = "request",
    Gbit = "gbit",
    Long = "long",
    Bulk = "bulk",
    Full = "full",
    Resumed = "resumed",
    Mutual = "mutual",
    Dial = "dial",
    DialFull = "dial-full",
    DialResumed = "dial-resumed",
    DialMutual = "dial-mutual",
    TlsRequest = "tls-request",
    TlsGbit = "tls-gbit",
    Wake = "wake",
    IdleWake = "idle-wake",
    RelayWake = "relay-wake",
    Rest = "rest",
});
