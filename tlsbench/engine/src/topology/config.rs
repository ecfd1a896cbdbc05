//! How a placement is put up: which engine each hop is of, and where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tlsbench_core::placement::Role;
use tlsbench_core::proxyconf::NginxBuild;

use super::network::Network;

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
pub struct TopologyConfig<'a> {
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
