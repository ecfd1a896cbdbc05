//! A placement with addresses, certificates and sizes: hops that can be started.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::{LinkSecurity, Placement, PlacementHop, Role};
use crate::hop::{
    Cryptography, Dial, DialTls, Forwarded, Hop, HopKind, Listen, ListenTls, PemIdentity,
};
use crate::scenario::{ProtocolName, Verify};

/// Settings that all hops of a placement share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// Root that every server and client trusts, PEM.
    pub root: String,
    /// The certificate of every hop that ends TLS: the same, so that each costs the same. It is
    /// valid for [`Role::host`] of each.
    pub server: PemIdentity,
    /// The certificate of every hop that begins TLS where both sides have one.
    pub client: PemIdentity,
    /// Parameters that every link with TLS may negotiate.
    pub cryptography: Cryptography,
    /// Session tickets; 0 means that nothing is resumed, upstream neither.
    pub tickets: u8,
    /// Protocols that hops which terminate TLS agree to, towards the client.
    pub alpn: Vec<ProtocolName>,
    /// Idle upstream connections that an HTTP hop keeps.
    pub pool: u32,
    /// The backend's response, in bytes.
    pub response_bytes: u64,
    /// Threads of each hop.
    pub workers: NonZeroU32,
}

impl Role {
    /// Name of the hop in certificates.
    #[must_use]
    pub fn host(self) -> String {
        format!("{self}.lab.test")
    }
}

/// The hops of a placement, each at its address; in the order of the placement.
///
/// There must be an address for each hop: those without one are left out.
#[must_use]
pub fn wire(placement: &Placement, addresses: &[SocketAddr], wiring: &Wiring) -> Vec<Hop> {
    let stations = placement.hops.iter().zip(addresses);
    let mut had_http = false;
    stations
        .enumerate()
        .map(|(index, (station, address))| {
            let next = placement.hops.get(index + 1).zip(addresses.get(index + 1));
            let before = index.checked_sub(1).and_then(|index| placement.hops.get(index));
            let is_first = station.kind == HopKind::Http && !std::mem::replace(&mut had_http, true);
            let forwarded = match station.kind {
                HopKind::Http if is_first => Forwarded::Set,
                HopKind::Http => Forwarded::Append,
                HopKind::Backend | HopKind::Relay | HopKind::SniRelay => Forwarded::Keep,
            };
            Hop {
                kind: station.kind,
                listen: Listen {
                    address: *address,
                    tls: listen_tls(station, is_first, wiring),
                    proxy_protocol: before.is_some_and(|hop| hop.proxy_protocol),
                },
                dial: next.map(|(next, address)| dial(station, next, *address, wiring)),
                routes: Vec::new(),
                workers: wiring.workers,
                replicas: station.replicas,
                forwarded,
                delay: station.delay,
                response_bytes: match station.kind {
                    HopKind::Backend => wiring.response_bytes,
                    HopKind::Http | HopKind::Relay | HopKind::SniRelay => 0,
                },
            }
        })
        .collect()
}

fn listen_tls(station: &PlacementHop, faces_client: bool, wiring: &Wiring) -> Option<ListenTls> {
    let client_ca = match station.listen {
        LinkSecurity::Plain => return None,
        LinkSecurity::Tls => None,
        LinkSecurity::Mtls => Some(wiring.root.clone()),
    };
    let speaks_http = matches!(station.kind, HopKind::Http | HopKind::Backend);
    Some(ListenTls {
        chain: wiring.server.chain.clone(),
        key: wiring.server.key.clone(),
        client_ca,
        suite: wiring.cryptography.clone(),
        alpn: match speaks_http && (faces_client || station.kind == HopKind::Backend) {
            true => wiring.alpn.clone(),
            false => Vec::new(),
        },
        tickets: wiring.tickets,
    })
}

fn dial(station: &PlacementHop, next: &PlacementHop, address: SocketAddr, wiring: &Wiring) -> Dial {
    let identity = match station.dial {
        LinkSecurity::Plain | LinkSecurity::Tls => None,
        LinkSecurity::Mtls => Some(wiring.client.clone()),
    };
    let tls = (station.dial != LinkSecurity::Plain).then(|| DialTls {
        name: next.role.host(),
        ca: wiring.root.clone(),
        verify: Verify::Every,
        identity,
        // Which group is agreed on is the server's to say: not every proxy can say it as a client.
        suite: Cryptography { groups: Vec::new(), ..wiring.cryptography.clone() },
        resume: wiring.tickets > 0,
    });
    let pool = if station.kind == HopKind::Http { wiring.pool } else { 0 };
    Dial { address, tls, proxy_protocol: station.proxy_protocol, pool }
}
