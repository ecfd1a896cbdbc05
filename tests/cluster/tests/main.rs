//! Tests against a real API server, etcd and controller-manager.
//!
//! A test takes its [`turn`] on the cluster that all of them share, or starts its own to break it.
//! Without a control plane to run, at a desk without Go, they pass and a line says that they did not.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop; clippy exempts test functions, not their helpers"
)]

mod admission;
mod deploy;
mod harness;

/// The shared cluster, alone, or nothing where there is none to run.
macro_rules! turn {
    () => {
        match cluster::Cluster::shared()? {
            Some(cluster) => cluster.turn().await?,
            None => return Ok(()),
        }
    };
}
pub(crate) use turn;
