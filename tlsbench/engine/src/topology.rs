//! A placement that stands: its hops as processes, and what each of them uses.

use std::net::SocketAddr;
use std::time::Duration;

use tlsbench_core::hop::{EngineCounters, HopCounters};
use tlsbench_core::placement::{Placement, Role, Wiring, wire};
use tlsbench_core::usage::Cpu;

use crate::probe::{Processes, Reading, Tree};

mod ports;
mod counting;
mod error;
mod network;
mod config;
mod hop;

pub use config::{Engine, TopologyConfig};
pub use counting::CountError;
pub use error::TopologyError;
pub use hop::RunningHop;
pub use network::Network;

use network::NetworkLayout;

/// The hops of a placement, running. They end when this is dropped.
#[derive(Debug)]
pub struct Topology {
    /// The hops in the order of the placement; when dropped, the client's side ends first.
    hops: Vec<RunningHop>,
    /// Kernel threads that receive packets for clients.
    client: Tree,
    /// The network, which goes after the hops, so that these can close their connections.
    network: NetworkLayout,
}

impl Topology {
    /// Starts the hops of a placement, the backend first, and waits until each answers.
    ///
    /// # Errors
    /// When one of them does not; those that stand are ended.
    pub fn start(
        placement: &Placement,
        wiring: &Wiring,
        config: &TopologyConfig<'_>,
    ) -> Result<Self, TopologyError> {
        let mut left = ATTEMPTS;
        loop {
            let network = NetworkLayout::new(config.network, placement.hops.len(), config.cores)?;
            let addresses = network.addresses();
            left -= 1;
            match Self::start_on(network, placement, wiring, config) {
                // Another run found the same port free at the same time, and was first.
                Err(_) if left > 0 && ports::is_one_taken(&addresses) => {}
                started => return started,
            }
        }
    }

    fn start_on(
        network: NetworkLayout,
        placement: &Placement,
        wiring: &Wiring,
        config: &TopologyConfig<'_>,
    ) -> Result<Self, TopologyError> {
        let hops = wire(placement, &network.addresses(), wiring);
        let mut standing = Vec::with_capacity(hops.len());
        for (index, (station, hop)) in placement.hops.iter().zip(&hops).enumerate().rev() {
            let place = (&network, index);
            standing.push(RunningHop::start(placement, station.role, hop, config, place)?);
        }
        // Started from the backend on, so that each finds its next hop listening; kept from the
        // client on.
        standing.reverse();
        // Receiving for clients is work of the kernel on behalf of the generator; no hop must be
        // charged for it.
        let client = Tree::of_threads(network.receivers_of_clients())
            .map_err(|source| TopologyError::Read { role: Role::Lb, source })?;
        Ok(Self { hops: standing, client, network })
    }

    /// Returns where a client goes.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.hops.first().map(|hop| hop.process.address())
    }

    /// Does something where clients are: connections, threads and processes that come of it are
    /// there.
    ///
    /// # Errors
    /// When it cannot be done there; then it is not.
    pub fn at_client<T: Send>(
        &mut self,
        what: impl FnOnce(&mut Self) -> T + Send,
    ) -> Result<T, TopologyError> {
        match self.network.client() {
            None => Ok(what(self)),
            Some(place) => Ok(place.within(|| what(self))?),
        }
    }

    /// CPU time of threads of the kernel that receive for clients; none where nobody but clients
    /// and hops themselves does so.
    pub fn receiving_of_clients(&mut self) -> Cpu {
        self.client.clocks();
        self.client.reading().usage.cpu
    }

    /// The hops, from the client on.
    #[must_use]
    pub fn hops(&self) -> &[RunningHop] {
        &self.hops
    }

    /// Reads what each hop used up to now, from the client on: all clocks first, one right after
    /// the other, so that no hop's span is longer than another's.
    ///
    /// # Errors
    /// When one has ended.
    pub fn read(&mut self) -> Result<Vec<Reading>, TopologyError> {
        for hop in &mut self.hops {
            hop.tree.clocks();
        }
        let all = Processes::now()
            .map_err(|source| TopologyError::Read { role: Role::Backend, source })?;
        self.hops.iter_mut().map(|hop| hop.read(&all)).collect()
    }

    /// The same of the processes that are known, without a look for others: a fraction of a
    /// millisecond, for the beginning of a span in which every moment counts.
    pub fn read_known(&mut self) -> Vec<Reading> {
        for hop in &mut self.hops {
            hop.tree.clocks();
        }
        self.hops.iter_mut().map(|hop| hop.tree.reading()).collect()
    }

    /// Returns the counters of each built-in hop; `None` for proxies.
    ///
    /// # Errors
    /// When one has ended.
    pub fn counters(&mut self) -> Result<Vec<Option<HopCounters>>, TopologyError> {
        self.hops.iter_mut().map(RunningHop::counters).collect()
    }

    /// Returns the counters of each hop's engine since it started; `None` for engines that have
    /// none.
    ///
    /// # Errors
    /// When one has ended, or does not say.
    pub fn counted(&mut self) -> Result<Vec<Option<EngineCounters>>, TopologyError> {
        self.hops.iter_mut().map(RunningHop::counted).collect()
    }

    /// The same once nothing changes any more, or a second has passed: what clients have let go of
    /// is still under way for a moment.
    ///
    /// # Errors
    /// When one has ended, or does not say.
    pub fn counted_at_rest(&mut self) -> Result<Vec<Option<EngineCounters>>, TopologyError> {
        let mut last = self.counted()?;
        for _ in 0..REST_LOOKS {
            std::thread::sleep(REST_PAUSE);
            let now = self.counted()?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }

    /// Numbers of all processes, as of the last reading.
    pub fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        self.hops.iter().flat_map(|hop| hop.tree.pids())
    }
}

/// Attempts to find free ports: of a hundred runs that begin at the same time, few collide twice.
const ATTEMPTS: u32 = 4;
/// Attempts to see the counters unchanged: what is under way ends within milliseconds, and a busy
/// machine is given a second.
const REST_LOOKS: u32 = 200;
const REST_PAUSE: Duration = Duration::from_millis(5);
