//! Configuration of a topology: the engine of each hop, and where it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tlsbench_core::placement::Role;
use tlsbench_core::proxyconf::NginxBuild;

use super::network::Network;

/// The program that a hop runs.
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
    /// The name in records and tables.
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

/// The configuration of a topology.
#[derive(Clone, Debug)]
pub struct TopologyConfig<'a> {
    /// This program.
    pub tlsbench: &'a Path,
    /// The engine of the hop of each role; built in if none is named.
    pub engines: &'a BTreeMap<Role, Engine>,
    /// The folder in which each hop gets one of its own, named after its role.
    pub folder: &'a Path,
    /// The cores that hops keep to; all where there are none.
    pub cores: &'a [usize],
    /// True if nginx logs handshakes: a copy of two bytes for each connection, by which it counts.
    pub counts: bool,
    /// The network between hops.
    pub network: Network<'a>,
}
