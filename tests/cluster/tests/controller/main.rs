//! What `trustd run` does, on a real control plane.
//!
//! Most tests are a [`scene::Scene`]: they share one cluster and one trustd, each with names of its
//! own, so they run side by side. Those that start trustd with other flags take turns on a second
//! cluster ([`alone`]).

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop; clippy exempts test functions, not their helpers"
)]

mod adopted;
mod alone;
mod example;
mod fixtures;
mod ownership;
mod quiet;
mod reactions;
mod scene;
mod sources;
mod targets;
