//! Placements: hops in a row, and what each link between them carries.
//!
//! A placement says what hops do and how they are joined. Addresses, certificates and engines come
//! with [`Wiring`].

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::hop::{HopKind, LinkSecurity, Replicas, TicketKeys};
use crate::units::Nanos;
use crate::words::words;

mod check;
mod picture;
mod wire;
#[cfg(test)]
mod tests;

pub use wire::{Wiring, wire};

/// Hops in a row, from the client on; the last is the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Name in tables.
    #[serde(deserialize_with = "crate::words::short_name")]
    pub name: String,
    /// Hops, from the client on.
    pub hops: Vec<PlacementHop>,
}

/// A hop of a placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacementHop {
    /// Role of the hop, unique within a placement.
    pub role: Role,
    /// Work that it does with connections.
    pub kind: HopKind,
    /// TLS that is terminated here. A relay without it passes on what it gets.
    #[serde(default = "plain")]
    pub listen: LinkSecurity,
    /// TLS that is originated here.
    #[serde(default = "plain")]
    pub dial: LinkSecurity,
    /// True if it tells the next hop its client's address by the PROXY protocol.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Equal servers that it stands for; built-in hops only.
    #[serde(default)]
    pub replicas: Replicas,
    /// Delay that a built-in relay adds each way.
    #[serde(default, rename = "delay_ns")]
    pub delay: Nanos,
}

/// Role of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The load balancer in front of the cluster.
    Lb,
    /// The ingress controller.
    Ingress,
    /// A proxy beside the backend, as a mesh has it.
    Sidecar,
    /// The server that answers.
    Backend,
}

/// The well-known placements, and their baselines without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KnownPlacement {
    /// No TLS: the baseline of placements whose hops all speak HTTP.
    Plaintext,
    /// The load balancer ends TLS.
    LbTerminate,
    /// The load balancer terminates TLS and originates it again; the ingress terminates that.
    LbReencrypt,
    /// The load balancer passes TLS on; the ingress ends it.
    IngressTerminate,
    /// The load balancer passes TLS on; the ingress terminates it and originates it again.
    IngressReencrypt,
    /// Plain outside, TLS to the backend.
    UpstreamTls,
    /// Load balancer and ingress pass TLS on; the backend ends it.
    Passthrough,
    /// TLS with certificates of both sides on each link.
    Mtls,
    /// No TLS, behind a load balancer that relays.
    PlaintextL4,
    /// No TLS, behind two relays.
    PlaintextL4L4,
}

impl KnownPlacement {
    /// The eight that are compared, in the order of tables.
    pub const PLACEMENTS: [Self; 8] = [
        Self::Plaintext,
        Self::LbTerminate,
        Self::LbReencrypt,
        Self::IngressTerminate,
        Self::IngressReencrypt,
        Self::UpstreamTls,
        Self::Passthrough,
        Self::Mtls,
    ];
    /// Baselines that are not among them.
    pub const TWINS: [Self; 2] = [Self::PlaintextL4, Self::PlaintextL4L4];

    /// The placement.
    #[must_use]
    pub fn placement(self) -> Placement {
        use HopKind::{Http, Relay, SniRelay};
        use LinkSecurity::{Mtls, Plain, Tls};
        let ((lb, lb_listen, lb_dial), (ingress, listen, dial)) = match self {
            Self::Plaintext => ((Http, Plain, Plain), (Http, Plain, Plain)),
            Self::LbTerminate => ((Http, Tls, Plain), (Http, Plain, Plain)),
            Self::LbReencrypt => ((Http, Tls, Tls), (Http, Tls, Plain)),
            Self::IngressTerminate => ((Relay, Plain, Plain), (Http, Tls, Plain)),
            Self::IngressReencrypt => ((Relay, Plain, Plain), (Http, Tls, Tls)),
            Self::UpstreamTls => ((Http, Plain, Plain), (Http, Plain, Tls)),
            Self::Passthrough => ((Relay, Plain, Plain), (SniRelay, Plain, Plain)),
            Self::Mtls => ((Http, Mtls, Mtls), (Http, Mtls, Mtls)),
            Self::PlaintextL4 => ((Relay, Plain, Plain), (Http, Plain, Plain)),
            Self::PlaintextL4L4 => ((Relay, Plain, Plain), (Relay, Plain, Plain)),
        };
        // The backend ends what the last relay passes on to it.
        let end = if self == Self::Passthrough { Tls } else { dial };
        let hops = vec![
            PlacementHop::new(Role::Lb, lb, lb_listen, lb_dial),
            PlacementHop::new(Role::Ingress, ingress, listen, dial),
            PlacementHop::new(Role::Backend, HopKind::Backend, end, Plain),
        ];
        Placement { name: self.as_str().to_owned(), hops }
    }
}

impl PlacementHop {
    const fn new(role: Role, kind: HopKind, listen: LinkSecurity, dial: LinkSecurity) -> Self {
        Self {
            role,
            kind,
            listen,
            dial,
            proxy_protocol: false,
            replicas: Replicas { count: NonZeroU32::MIN, tickets: TicketKeys::Shared },
            delay: Nanos(0),
        }
    }

    /// Returns true if bytes go through as they are.
    #[must_use]
    pub fn passes_on(&self) -> bool {
        matches!(self.kind, HopKind::Relay | HopKind::SniRelay)
            && self.listen == LinkSecurity::Plain
    }
}

impl Placement {
    /// Protection of each link: to the first hop, from it to the second, and so on.
    #[must_use]
    pub fn links(&self) -> Vec<LinkSecurity> {
        let mut beyond = LinkSecurity::Plain;
        let mut links: Vec<LinkSecurity> = self
            .hops
            .iter()
            .rev()
            .map(|hop| {
                // What a relay gets is what the hop after it ends.
                let through = hop.passes_on() && hop.dial == LinkSecurity::Plain;
                let carried = if through { beyond } else { hop.listen };
                beyond = carried;
                carried
            })
            .collect();
        links.reverse();
        links
    }

    /// The baseline: the same hops without TLS. The cost of TLS is the difference from it. A relay
    /// by server name becomes a plain one, because plaintext has no such name. A placement without
    /// TLS is its own baseline.
    #[must_use]
    pub fn twin(&self) -> Self {
        let plain = |hop: &PlacementHop| PlacementHop {
            kind: if hop.kind == HopKind::SniRelay { HopKind::Relay } else { hop.kind },
            listen: LinkSecurity::Plain,
            dial: LinkSecurity::Plain,
            ..hop.clone()
        };
        let mut twin = Self { name: String::new(), hops: self.hops.iter().map(plain).collect() };
        // Its own baseline: a comparison with itself would be no finding.
        if twin.hops == self.hops {
            return self.clone();
        }
        let known =
            [KnownPlacement::Plaintext, KnownPlacement::PlaintextL4, KnownPlacement::PlaintextL4L4];
        let same =
            known.into_iter().map(KnownPlacement::placement).find(|known| known.hops == twin.hops);
        // Known baselines keep their name, so that placements of one shape share one measurement.
        twin.name = same.map_or_else(|| format!("{}-plain", self.name), |known| known.name);
        twin
    }

    /// Returns true if there is no TLS in it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.links().iter().all(|link| *link == LinkSecurity::Plain)
    }
}

impl fmt::Display for Placement {
    /// One line: hops, and what the links between them carry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&picture::line(self))
    }
}

fn plain() -> LinkSecurity {
    LinkSecurity::Plain
}

words!(Role { Lb = "lb", Ingress = "ingress", Sidecar = "sidecar", Backend = "backend" });
words!(KnownPlacement {
    Plaintext = "plaintext",
    LbTerminate = "lb-terminate",
    LbReencrypt = "lb-reencrypt",
    IngressTerminate = "ingress-terminate",
    IngressReencrypt = "ingress-reencrypt",
    UpstreamTls = "upstream-tls",
    Passthrough = "passthrough",
    Mtls = "mtls",
    PlaintextL4 = "plaintext-l4",
    PlaintextL4L4 = "plaintext-l4l4",
});
