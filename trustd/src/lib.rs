//! The program `trustd`: arguments, files, the cluster and what is printed.
//!
//! Every decision is made in `trustd-core`; this crate gathers what it needs and carries out what
//! it says. Only here are the clock, stdout, exit codes, clap and anyhow known.
//!
//! Modules are in order: a module uses only those above it.

pub mod cli;
pub mod cmd;
pub mod controller;
pub mod exit;
pub mod files;
pub mod settings;
pub mod telemetry;
