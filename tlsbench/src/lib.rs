//! The program `tlsbench`: arguments, verbs and what they print.
//!
//! Everything that measures is `tlsbench-engine`; everything that judges is `tlsbench-core`.

pub mod exit;
pub mod settings;
pub mod cli;
mod build;
mod environment;
mod signals;
pub mod store;
mod record_file;
mod scenario;
pub mod progress;
mod lab;
pub mod cmd;
