//! The network between the hops of a placement: the loopback interface, or a network namespace for
//! each.

use std::net::SocketAddr;
use std::sync::Arc;

use tlsbench_core::record::lab::Receiving;

use super::error::TopologyError;
use super::ports::free_addresses;
use crate::netns::{Chain, Netns, NetnsError};

/// The network between hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network<'a> {
    /// The loopback interface.
    Loopback,
    /// Pairs of veth interfaces between network namespaces, of which each hop has one to itself and
    /// clients have another.
    Namespaces {
        /// The process that is charged for receiving packets.
        receiving: Receiving,
        /// The cores that clients keep to; all where there are none.
        client_cores: &'a [usize],
    },
}

/// A network that is there.
#[derive(Debug)]
pub(super) enum NetworkLayout {
    Loopback(Vec<SocketAddr>),
    Namespaces(Chain),
}

impl NetworkLayout {
    /// Creates it for this many hops, which keep to these cores.
    pub(super) fn new(
        network: Network<'_>,
        hops: usize,
        cores: &[usize],
    ) -> Result<Self, TopologyError> {
        Ok(match network {
            Network::Loopback => {
                let free = free_addresses(hops);
                Self::Loopback(free.ok_or(TopologyError::Ports { count: hops })?)
            }
            Network::Namespaces { receiving, client_cores } => {
                // There are four roles, and each at most once.
                let hops = u8::try_from(hops).unwrap_or(u8::MAX);
                Self::Namespaces(Chain::lay(hops, receiving, [client_cores, cores])?)
            }
        })
    }

    /// Returns where each hop listens.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Loopback(addresses) => addresses.clone(),
            Self::Namespaces(chain) => chain.addresses(),
        }
    }

    /// Does something where a hop is.
    pub(super) fn at_hop<T: Send>(
        &self,
        index: usize,
        what: impl FnOnce() -> T + Send,
    ) -> Result<T, NetnsError> {
        match self {
            Self::Namespaces(chain) => match chain.hop(index) {
                Some(place) => place.within(what),
                None => Ok(what()),
            },
            Self::Loopback(_) => Ok(what()),
        }
    }

    /// Returns where clients are; `None` if that is where everybody is.
    pub(super) fn client(&self) -> Option<Arc<Netns>> {
        match self {
            Self::Loopback(_) => None,
            Self::Namespaces(chain) => chain.client(),
        }
    }

    /// Threads of the kernel that receive for a hop and for nobody else.
    pub(super) fn receivers_of_hop(&self, index: usize) -> &[u32] {
        match self {
            Self::Loopback(_) => &[],
            Self::Namespaces(chain) => chain.receivers_of_hop(index),
        }
    }

    /// Those that do so for clients.
    pub(super) fn receivers_of_clients(&self) -> &[u32] {
        match self {
            Self::Loopback(_) => &[],
            Self::Namespaces(chain) => chain.receivers_of_clients(),
        }
    }
}
