//! The program `tlsbench`: arguments, verbs and what they print.
//!
//! Everything that measures is `tlsbench-engine`; everything that judges is `tlsbench-core`.

pub mod exit;
pub mod settings;
pub mod cli;
pub mod store;
pub mod progress;
pub mod cmd;
