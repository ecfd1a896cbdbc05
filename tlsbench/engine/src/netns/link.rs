//! Two network namespaces joined by a pair of veth interfaces, and their names.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU32, Ordering};

use tlsbench_core::record::lab::Receiving;

use super::netlink::{End, Netlink};
use super::{Netns, NetnsError, receivers};

/// A pair of interfaces: one at the hop, one where its clients are. It goes with the namespaces.
#[derive(Debug)]
pub(super) struct Link {
    /// The name of the interface at the hop.
    pub(super) at_hop: String,
    /// The name of the other interface.
    pub(super) at_client: String,
    /// The hop's address.
    pub(super) hop_ip: Ipv4Addr,
}

impl Link {
    /// Joins the namespace of a hop with the one where its clients are. `number` counts links of a
    /// chain, from 1.
    pub(super) fn join(
        number: u8,
        client: &Netns,
        hop: &Netns,
        receiving: Receiving,
    ) -> Result<Self, NetnsError> {
        let [client_ip, hop_ip] = [1, 2].map(|end| Ipv4Addr::new(198, 18, number, end));
        let link = Self { at_hop: fresh_name(), at_client: fresh_name(), hop_ip };
        let ends = [
            End { name: &link.at_hop, index: TO_CLIENT },
            End { name: &link.at_client, index: TO_NEXT },
        ];
        let [here, there] = &ends;
        hop.within(|| {
            let made = Netlink::route()?.make_pair(here, there, client.0.as_fd());
            made.map_err(|source| match source.raw_os_error() {
                Some(libc::EOPNOTSUPP | libc::ENODEV) => NetnsError::NoVeth(source),
                _ => joined("make a pair of veth interfaces")(source),
            })
        })??;
        for (place, end, ip) in [(hop, here, hop_ip), (client, there, client_ip)] {
            place.within(|| prepare(end, ip, receiving))??;
        }
        if receiving == Receiving::Receiver {
            // Only an interface that is up at both ends has what such threads work for.
            for (place, end) in [(hop, here), (client, there)] {
                place.within(|| receivers::set_threaded(end.name, true))?.map_err(|source| {
                    NetnsError::Receiver { interface: end.name.to_owned(), source: Some(source) }
                })?;
            }
        }
        Ok(link)
    }

    /// Takes the pair away: when this returns, no thread receives for it any more.
    pub(super) fn part(hop: &Netns) {
        // What cannot be taken away goes with the namespace.
        let _ = hop.within(|| Netlink::route()?.delete(TO_CLIENT));
    }
}

impl From<io::Error> for NetnsError {
    fn from(source: io::Error) -> Self {
        joined("speak with the kernel")(source)
    }
}

fn joined(step: &'static str) -> impl Fn(io::Error) -> NetnsError {
    move |source| match source.kind() {
        io::ErrorKind::PermissionDenied => NetnsError::Denied(source),
        _ => NetnsError::Join { step, source },
    }
}

/// An end gets its address and is switched on.
fn prepare(end: &End<'_>, ip: Ipv4Addr, receiving: Receiving) -> Result<(), NetnsError> {
    if receiving == Receiving::Receiver {
        let mut generic = Netlink::generic()?;
        let features = generic
            .ethtool()
            .and_then(|ethtool| generic.set_features(ethtool, end.index, &FEATURES));
        features.map_err(|source| NetnsError::Receiver {
            interface: end.name.to_owned(),
            source: Some(source),
        })?;
    }
    let mut route = Netlink::route()?;
    route.add_address(end.index, ip, PREFIX).map_err(joined("give addresses"))?;
    route.set_up(end.index).map_err(joined("switch interfaces on"))
}

/// Returns the prefix of the names of all interfaces that a process makes.
///
/// Names are unique on the machine, for the kernel has one list of the threads that receive for
/// them. At 15 bytes older kernels cut off what such a thread is called: `napi/`, a name of 9 and
/// `-`.
#[must_use]
pub fn names_of(pid: u32) -> String {
    format!("t{}", base_36(pid, 1))
}

/// A name that no other interface of this process had in the last 46,656.
fn fresh_name() -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed) % NUMBERS;
    format!("{}{}", names_of(std::process::id()), base_36(number, NUMBER_DIGITS))
}

/// A number in digits of 0-9 and a-z, with at least this many of them.
fn base_36(mut number: u32, digits: usize) -> String {
    let mut text = Vec::new();
    while number > 0 || text.len() < digits {
        text.extend(char::from_digit(number % BASE, BASE));
        number /= BASE;
    }
    text.iter().rev().collect()
}

/// Features that make an interface receive by NAPI: what is merged (GRO), and only of interfaces
/// whose peers cut up packets themselves, or what was sent here would go past it
/// (`veth_skb_is_eligible_for_gro` in veth.c).
const FEATURES: [(&str, bool); 5] = [
    ("rx-gro", true),
    ("tx-tcp-segmentation", false),
    ("tx-tcp-ecn-segmentation", false),
    ("tx-tcp-mangleid-segmentation", false),
    ("tx-tcp6-segmentation", false),
];
/// Numbers of interfaces: 1 is the loopback's.
pub(super) const LOOPBACK: u32 = 1;
const TO_CLIENT: u32 = 2;
const TO_NEXT: u32 = 3;
/// The network of a link: 198.18.n.0 to 198.18.n.3, of what RFC 2544 sets aside for benchmarks.
const PREFIX: u8 = 30;
/// The number of interfaces were named so far.
static NEXT: AtomicU32 = AtomicU32::new(0);
const BASE: u32 = 36;
/// A process has a number below 2^22, of at most 5 digits; 9 − 1 − 5 are left.
const NUMBER_DIGITS: usize = 3;
const NUMBERS: u32 = BASE * BASE * BASE;
