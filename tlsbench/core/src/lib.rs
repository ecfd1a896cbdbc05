//! tlsbench's judgement: quantities with units, and verdicts on measured values.
//!
//! Values in, values out. This crate has no clock, no randomness, no files and no network.

pub mod units;
pub mod escape;
mod random;
pub mod words;
pub mod problem;
mod toml_file;
pub mod scenario;
pub mod hop;
pub mod placement;
pub mod lab;
pub mod proxyconf;
pub mod pace;
pub mod tally;
pub mod usage;
pub mod stats;
pub mod compare;
pub mod record;
pub mod calibration;
pub mod warning;
pub mod verdicts;
pub mod change;
pub mod aa;
pub mod search;
pub mod cost;
pub mod advice;
pub mod report;
