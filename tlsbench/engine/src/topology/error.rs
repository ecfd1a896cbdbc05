//! The reason why a placement does not stand.

use std::io;

use thiserror::Error;
use tlsbench_core::placement::Role;
use tlsbench_core::proxyconf::UnsupportedFeature;

use super::counting::CountError;
use super::ports::{PORTS_FROM, PORTS_TO};
use crate::netns::NetnsError;
use crate::probe::TreeError;
use crate::process::ProcessError;

/// The reason why a placement does not stand.
#[derive(Debug, Error)]
pub enum TopologyError {
    /// No free port was found.
    #[error("cannot find {count} free ports from {PORTS_FROM} to {PORTS_TO} on 127.0.0.1")]
    Ports {
        /// The number of ports that were needed.
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
        /// The unsupported feature, and what to do.
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
    /// A hop's counters cannot be had.
    #[error("cannot have the counts of the {role}")]
    Count {
        /// The hop.
        role: Role,
        /// The cause.
        source: CountError,
    },
    /// A hop's use of resources cannot be read.
    #[error("cannot read what the {role} uses")]
    Read {
        /// The hop.
        role: Role,
        /// The cause.
        source: TreeError,
    },
}
