//! Network namespaces in a row: the clients', and one for each hop, each joined to the next.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tlsbench_core::record::lab::Receiving;

use super::link::{LOOPBACK, Link};
use super::netlink::Netlink;
use super::{Netns, NetnsError, receivers};

/// Namespaces in a row, until this is dropped and whoever is in them has ended.
#[derive(Debug)]
pub struct Chain {
    /// The clients' first.
    places: Vec<Place>,
    /// Links from the clients' on: the second joins the first two places.
    links: Vec<Link>,
}

#[derive(Debug)]
struct Place {
    netns: Arc<Netns>,
    /// Threads of the kernel that receive for interfaces here.
    receivers: Vec<u32>,
}

/// Returns whose CPU time the receiving of packets is, as far as can be seen from here; and why it
/// is not the receiver's, where it is not.
///
/// # Errors
/// When there can be no such namespaces at all.
pub fn charged() -> Result<(Receiving, Option<NetnsError>), NetnsError> {
    // Without such threads first: what fails then fails for other reasons.
    drop(Chain::lay(1, Receiving::Sender, [&[], &[]])?);
    Ok(match Chain::lay(1, Receiving::Receiver, [&[], &[]]) {
        Ok(_) => (Receiving::Receiver, None),
        Err(error) => (Receiving::Sender, Some(error)),
    })
}

impl Chain {
    /// Namespaces for clients and this many hops. Threads that receive for clients keep to the
    /// first `cores`, and those that do so for hops to the second; none means all.
    ///
    /// # Errors
    /// When there can be none, or a thread is not seen that is to receive.
    pub fn lay(hops: u8, receiving: Receiving, cores: [&[usize]; 2]) -> Result<Self, NetnsError> {
        let places = (0..=hops).map(|_| Place::new()).collect::<Result<_, _>>()?;
        let mut chain = Self { places, links: Vec::new() };
        for (number, pair) in (1..).zip(chain.places.windows(2)) {
            let [client, hop] = pair else { continue };
            chain.links.push(Link::join(number, &client.netns, &hop.netns, receiving)?);
        }
        // The kernel starts these threads when an interface begins to receive by NAPI, so they are
        // looked for once all interfaces are up.
        if receiving == Receiving::Receiver {
            chain.find_receivers(cores)?;
        }
        Ok(chain)
    }

    fn find_receivers(&mut self, [of_clients, of_hops]: [&[usize]; 2]) -> Result<(), NetnsError> {
        let places = 0..self.places.len();
        let ends = self.links.iter().zip(places);
        let named: Vec<(usize, String)> = ends
            .flat_map(|(link, client)| {
                [(client, link.at_client.clone()), (client + 1, link.at_hop.clone())]
            })
            .collect();
        let names: Vec<String> = named.iter().map(|(_, name)| name.clone()).collect();
        let missing = |interface: &str, source| NetnsError::Receiver {
            interface: interface.to_owned(),
            source,
        };
        let found = receivers::find(&names).map_err(|source| missing(PROC, Some(source)))?;
        for ((place, interface), pid) in named.into_iter().zip(found) {
            let pid = pid.ok_or_else(|| missing(&interface, None))?;
            // A receiver of clients on a core of the hops would take CPU time from them, and the
            // other way round.
            let cores = if place == 0 { of_clients } else { of_hops };
            receivers::settle(pid, cores).map_err(|source| missing(&interface, Some(source)))?;
            if let Some(place) = self.places.get_mut(place) {
                place.receivers.push(pid);
            }
        }
        Ok(())
    }

    /// Returns where each hop may listen, from the clients on, and is reached from the one before
    /// it.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.links.iter().map(|link| SocketAddr::new(IpAddr::V4(link.hop_ip), PORT)).collect()
    }

    /// Returns where clients are.
    #[must_use]
    pub fn client(&self) -> Option<Arc<Netns>> {
        self.places.first().map(|place| Arc::clone(&place.netns))
    }

    /// Returns where a hop is; the first is 0.
    #[must_use]
    pub fn hop(&self, index: usize) -> Option<&Netns> {
        self.places.get(index + 1).map(|place| &*place.netns)
    }

    /// Threads of the kernel that receive for clients.
    #[must_use]
    pub fn receivers_of_clients(&self) -> &[u32] {
        self.places.first().map(|place| place.receivers.as_slice()).unwrap_or_default()
    }

    /// Threads of the kernel that receive for a hop; the first is 0.
    #[must_use]
    pub fn receivers_of_hop(&self, index: usize) -> &[u32] {
        self.places.get(index + 1).map(|place| place.receivers.as_slice()).unwrap_or_default()
    }
}

impl Place {
    fn new() -> Result<Self, NetnsError> {
        let netns = Netns::new()?;
        netns.within(|| {
            for (path, value) in SETTINGS {
                std::fs::write(path, value).map_err(|source| NetnsError::Setting {
                    path: Path::new(path).to_owned(),
                    source,
                })?;
            }
            Netlink::route()?.set_up(LOOPBACK).map_err(NetnsError::from)
        })??;
        Ok(Self { netns: Arc::new(netns), receivers: Vec::new() })
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // A namespace goes some time after the last that holds it, and its threads with it. They
        // are to be gone when this is.
        for place in self.places.iter().skip(1) {
            Link::part(&place.netns);
        }
    }
}

/// Settings that clients and hops need where connections do not go over the loopback interface:
/// below /proc/sys/net the kernel shows the namespace of whoever opens a file.
const SETTINGS: [(&str, &str); 2] = [
    // There it is on by itself: a port whose connection ended a second ago is used again.
    ("/proc/sys/net/ipv4/tcp_tw_reuse", "1"),
    // 55,536 ports instead of 28,232, for connections of one second; hops listen below.
    ("/proc/sys/net/ipv4/ip_local_port_range", "10000 65535"),
];
/// Nobody else listens in a namespace that was just made.
const PORT: u16 = 8_443;
const PROC: &str = "/proc";
