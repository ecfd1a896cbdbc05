//! A placement that stands: its hops as processes, and what each of them uses.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tlsbench_core::hop::{EngineCounters, Hop, HopCounters, HopKind};
use tlsbench_core::placement::{Placement, Role, Wiring, wire};
use tlsbench_core::proxyconf::{NginxBuild, UnsupportedFeature, caddy, haproxy, nginx};
use tlsbench_core::usage::Cpu;

use crate::affinity;
use crate::netns::NetnsError;
use crate::probe::{Processes, Reading, Tree, TreeError};
use crate::process::{HopProcess, ProcessError, Proxy};

mod counting;
mod network;

pub use counting::CountError;
use counting::Counter;
pub use network::Network;
use network::{Laid, PORTS_FROM, PORTS_TO};

/// What a hop is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// This program's own.
    Builtin,
    /// Caddy: its program.
    Caddy(PathBuf),
    /// HAProxy: its program.
    Haproxy(PathBuf),
    /// nginx: its program, and what it is like.
    Nginx(PathBuf, NginxBuild),
}

impl Engine {
    /// Its name in records and tables.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Caddy(_) => "caddy",
            Self::Haproxy(_) => "haproxy",
            Self::Nginx(..) => "nginx",
        }
    }
}

/// How a placement is put up.
#[derive(Clone, Debug)]
pub struct Ground<'a> {
    /// This program.
    pub tlsbench: &'a Path,
    /// What the hop of each role is made of; builtin where nothing is said.
    pub engines: &'a BTreeMap<Role, Engine>,
    /// Where each hop gets a folder of its own, named after its role.
    pub folder: &'a Path,
    /// The cores that hops keep to; all where there are none.
    pub cores: &'a [usize],
    /// Whether nginx logs handshakes: a copy of two bytes for each connection, by which it counts.
    pub counts: bool,
    /// How hops reach one another.
    pub network: Network<'a>,
}

/// The hops of a placement, running. They end when this is dropped.
#[derive(Debug)]
pub struct Topology {
    /// In the order of the placement, but the client's side ends first when dropped.
    hops: Vec<StandingHop>,
    /// What receives for clients.
    client: Tree,
    /// It goes after the hops, so that these can close their connections.
    network: Laid,
}

/// A hop that runs.
#[derive(Debug)]
pub struct StandingHop {
    /// What it is there for.
    pub role: Role,
    /// What it does.
    pub kind: HopKind,
    /// What it is made of.
    pub engine: &'static str,
    /// What it does in another way than was asked for.
    pub notes: Vec<&'static str>,
    process: HopProcess,
    tree: Tree,
    counter: Counter,
}

/// Why a placement does not stand.
#[derive(Debug, Error)]
pub enum TopologyError {
    /// No free port was found.
    #[error("cannot find {count} free ports from {PORTS_FROM} to {PORTS_TO} on 127.0.0.1")]
    Ports {
        /// How many were needed.
        count: usize,
    },
    /// There is no network for hops.
    #[error("cannot join hops by network namespaces")]
    Network(#[from] NetnsError),
    /// Hops may not run on the cores that they were given.
    #[error("cannot keep hops to the cores {cores:?}")]
    Cores {
        /// The cores.
        cores: Vec<usize>,
        /// The cause.
        source: io::Error,
    },
    /// An engine cannot be this hop.
    #[error("cannot have the {role} of `{placement}`")]
    UnsupportedFeature {
        /// The hop.
        role: Role,
        /// The placement.
        placement: String,
        /// What cannot be, and what to do.
        source: UnsupportedFeature,
    },
    /// A hop did not start, or has ended.
    #[error("the {role} is not there")]
    Process {
        /// The hop.
        role: Role,
        /// The cause.
        source: ProcessError,
    },
    /// What a hop counted cannot be had.
    #[error("cannot have the counts of the {role}")]
    Count {
        /// The hop.
        role: Role,
        /// The cause.
        source: CountError,
    },
    /// What a hop uses cannot be read.
    #[error("cannot read what the {role} uses")]
    Read {
        /// The hop.
        role: Role,
        /// The cause.
        source: TreeError,
    },
}

impl Topology {
    /// Starts the hops of a placement, the backend first, and waits until each answers.
    ///
    /// # Errors
    /// When one of them does not; those that stand are ended.
    pub fn start(
        placement: &Placement,
        wiring: &Wiring,
        ground: &Ground<'_>,
    ) -> Result<Self, TopologyError> {
        let mut left = ATTEMPTS;
        loop {
            let network = Laid::new(ground.network, placement.hops.len(), ground.cores)?;
            let addresses = network.addresses();
            left -= 1;
            match Self::start_on(network, placement, wiring, ground) {
                // Another run found the same port free at the same time, and was first.
                Err(_) if left > 0 && network::is_one_taken(&addresses) => {}
                started => return started,
            }
        }
    }

    fn start_on(
        network: Laid,
        placement: &Placement,
        wiring: &Wiring,
        ground: &Ground<'_>,
    ) -> Result<Self, TopologyError> {
        let hops = wire(placement, &network.addresses(), wiring);
        let mut standing = Vec::with_capacity(hops.len());
        for (index, (station, hop)) in placement.hops.iter().zip(&hops).enumerate().rev() {
            let place = (&network, index);
            standing.push(StandingHop::start(placement, station.role, hop, ground, place)?);
        }
        standing.reverse();
        let client = Tree::of_threads(network.receivers_of_clients())
            .map_err(|source| TopologyError::Read { role: Role::Lb, source })?;
        Ok(Self { hops: standing, client, network })
    }

    /// Where a client goes.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.hops.first().map(|hop| hop.process.address())
    }

    /// Does something where clients are: connections, threads and processes that come of it are there.
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

    /// CPU time of threads of the kernel that receive for clients; none where nobody but clients and
    /// hops themselves does so.
    pub fn receiving_of_clients(&mut self) -> Cpu {
        self.client.clocks();
        self.client.reading().usage.cpu
    }

    /// The hops, from the client on.
    #[must_use]
    pub fn hops(&self) -> &[StandingHop] {
        &self.hops
    }

    /// Reads what each hop used up to now, from the client on: all clocks first, one right after the
    /// other, so that no hop's span is longer than another's.
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

    /// What each builtin hop has counted up to now; nothing for proxies.
    ///
    /// # Errors
    /// When one has ended.
    pub fn counters(&mut self) -> Result<Vec<Option<HopCounters>>, TopologyError> {
        self.hops.iter_mut().map(StandingHop::counters).collect()
    }

    /// What each hop has counted since it started, by its engine's own counters; nothing for engines
    /// that have none.
    ///
    /// # Errors
    /// When one has ended, or does not say.
    pub fn counted(&mut self) -> Result<Vec<Option<EngineCounters>>, TopologyError> {
        self.hops.iter_mut().map(StandingHop::counted).collect()
    }

    /// The same once nothing changes any more, or a second has passed: what clients have let go of is
    /// still under way for a moment.
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

impl StandingHop {
    fn start(
        placement: &Placement,
        role: Role,
        hop: &Hop,
        ground: &Ground<'_>,
        (network, index): (&Laid, usize),
    ) -> Result<Self, TopologyError> {
        let engine = ground.engines.get(&role).unwrap_or(&Engine::Builtin);
        let folder = ground.folder.join(role.as_str());
        let unsupported = |source| {
            let placement = placement.name.clone();
            TopologyError::UnsupportedFeature { role, placement, source }
        };
        let proxy = match engine {
            Engine::Builtin => None,
            Engine::Caddy(program) => {
                let configuration = caddy(hop).map_err(unsupported)?;
                Some((Proxy::caddy(program.clone(), hop.workers), configuration))
            }
            Engine::Haproxy(program) => {
                let configuration = haproxy(hop).map_err(unsupported)?;
                Some((Proxy::haproxy(program.clone()), configuration))
            }
            Engine::Nginx(program, build) => {
                let configuration = nginx(hop, build, ground.counts).map_err(unsupported)?;
                Some((Proxy::nginx(program.clone()), configuration))
            }
        };
        let start = || match &proxy {
            None => HopProcess::builtin(ground.tlsbench, hop, &folder),
            Some((proxy, configuration)) => {
                let address = hop.listen.address;
                HopProcess::proxy(ground.tlsbench, proxy, configuration, address, &folder)
            }
        };
        let start = || network.at_hop(index, start);
        let started = if ground.cores.is_empty() {
            start()
        } else {
            affinity::keeping_to(ground.cores, start)
                .map_err(|source| TopologyError::Cores { cores: ground.cores.to_vec(), source })?
        }?;
        let process = started.map_err(|source| TopologyError::Process { role, source })?;
        let receivers = network.receivers_of_hop(index);
        let tree = Tree::with_threads(process.pid(), receivers)
            .map_err(|source| TopologyError::Read { role, source })?;
        let notes = proxy.map(|(_, configuration)| configuration.notes).unwrap_or_default();
        let counter = engine.counter(hop, folder, ground.counts);
        Ok(Self { role, kind: hop.kind, engine: engine.name(), notes, process, tree, counter })
    }

    fn read(&mut self, all: &Processes) -> Result<Reading, TopologyError> {
        let role = self.role;
        self.process.check().map_err(|source| TopologyError::Process { role, source })?;
        self.tree.find(all).map_err(|source| TopologyError::Read { role, source })?;
        Ok(self.tree.reading())
    }

    fn counters(&mut self) -> Result<Option<HopCounters>, TopologyError> {
        let role = self.role;
        (self.engine == Engine::Builtin.name())
            .then(|| self.process.counters())
            .transpose()
            .map_err(|source| TopologyError::Process { role, source })
    }

    fn counted(&mut self) -> Result<Option<EngineCounters>, TopologyError> {
        let role = self.role;
        self.process.check().map_err(|source| TopologyError::Process { role, source })?;
        let counted = self.counter.counted(&mut self.process, self.tree.pids());
        counted.map_err(|source| TopologyError::Count { role, source })
    }
}

impl Engine {
    /// Where a hop of this engine counts.
    fn counter(&self, hop: &Hop, folder: PathBuf, logs: bool) -> Counter {
        let speaks_http = hop.speaks_http();
        match self {
            Self::Builtin => Counter::Asked { speaks_http },
            Self::Haproxy(_) => Counter::Statistics { folder, speaks_http },
            Self::Nginx(..) if logs => {
                let (counted, is_single) = (EngineCounters::default(), hop.workers.get() == 1);
                Counter::Log { folder, counted, is_single }
            }
            Self::Caddy(_) | Self::Nginx(..) => Counter::Unknown,
        }
    }
}

/// Of a hundred runs that begin at the same time, few meet twice.
const ATTEMPTS: u32 = 4;
/// What is under way ends within milliseconds; a busy machine is given a second.
const REST_LOOKS: u32 = 200;
const REST_PAUSE: Duration = Duration::from_millis(5);
