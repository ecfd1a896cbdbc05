//! One hop of a placement as processes: started, read, and asked for its own counters.

use std::path::PathBuf;

use tlsbench_core::hop::{EngineCounters, Hop, HopCounters, HopKind};
use tlsbench_core::placement::{Placement, Role};
use tlsbench_core::proxyconf::{caddy, haproxy, nginx};

use super::config::{Engine, TopologyConfig};
use super::counting::CounterSource;
use super::error::TopologyError;
use super::network::NetworkLayout;
use crate::affinity;
use crate::probe::{Processes, Reading, Tree};
use crate::process::{HopProcess, Proxy};

/// A hop that runs.
#[derive(Debug)]
pub struct RunningHop {
    /// The role of the hop.
    pub role: Role,
    /// The kind of hop.
    pub kind: HopKind,
    /// The name of its engine.
    pub engine: &'static str,
    /// Differences from what was asked for.
    pub notes: Vec<&'static str>,
    pub(super) process: HopProcess,
    pub(super) tree: Tree,
    counter: CounterSource,
}

impl RunningHop {
    pub(super) fn start(
        placement: &Placement,
        role: Role,
        hop: &Hop,
        config: &TopologyConfig<'_>,
        (network, index): (&NetworkLayout, usize),
    ) -> Result<Self, TopologyError> {
        let engine = config.engines.get(&role).unwrap_or(&Engine::Builtin);
        let folder = config.folder.join(role.as_str());
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
                let configuration = nginx(hop, build, config.counts).map_err(unsupported)?;
                Some((Proxy::nginx(program.clone()), configuration))
            }
        };
        let start = || match &proxy {
            None => HopProcess::builtin(config.tlsbench, hop, &folder),
            Some((proxy, configuration)) => {
                let address = hop.listen.address;
                HopProcess::proxy(config.tlsbench, proxy, configuration, address, &folder)
            }
        };
        let start = || network.at_hop(index, start);
        // Affinity is inherited: the hop's threads keep to these cores from their first instruction
        // on.
        let started = if config.cores.is_empty() {
            start()
        } else {
            affinity::keeping_to(config.cores, start)
                .map_err(|source| TopologyError::Cores { cores: config.cores.to_vec(), source })?
        }?;
        let process = started.map_err(|source| TopologyError::Process { role, source })?;
        let receivers = network.receivers_of_hop(index);
        let tree = Tree::with_threads(process.pid(), receivers)
            .map_err(|source| TopologyError::Read { role, source })?;
        let notes = proxy.map(|(_, configuration)| configuration.notes).unwrap_or_default();
        let counter = engine.counter(hop, folder, config.counts);
        Ok(Self { role, kind: hop.kind, engine: engine.name(), notes, process, tree, counter })
    }

    pub(super) fn read(&mut self, all: &Processes) -> Result<Reading, TopologyError> {
        let role = self.role;
        self.process.check().map_err(|source| TopologyError::Process { role, source })?;
        self.tree.find(all).map_err(|source| TopologyError::Read { role, source })?;
        Ok(self.tree.reading())
    }

    pub(super) fn counters(&mut self) -> Result<Option<HopCounters>, TopologyError> {
        let role = self.role;
        (self.engine == Engine::Builtin.name())
            .then(|| self.process.counters())
            .transpose()
            .map_err(|source| TopologyError::Process { role, source })
    }

    pub(super) fn counted(&mut self) -> Result<Option<EngineCounters>, TopologyError> {
        let role = self.role;
        self.process.check().map_err(|source| TopologyError::Process { role, source })?;
        let counted = self.counter.counted(&mut self.process, self.tree.pids());
        counted.map_err(|source| TopologyError::Count { role, source })
    }
}

impl Engine {
    /// Returns where a hop of this engine counts.
    fn counter(&self, hop: &Hop, folder: PathBuf, logs: bool) -> CounterSource {
        let speaks_http = hop.speaks_http();
        match self {
            Self::Builtin => CounterSource::Asked { speaks_http },
            Self::Haproxy(_) => CounterSource::Statistics { folder, speaks_http },
            Self::Nginx(..) if logs => {
                let (counted, is_single) = (EngineCounters::default(), hop.workers.get() == 1);
                CounterSource::Log { folder, counted, is_single }
            }
            Self::Caddy(_) | Self::Nginx(..) => CounterSource::Unknown,
        }
    }
}
