//! tlsbench's judgement: quantities with units, and what is said about a measured value.
//!
//! Values in, values out. This crate has no clock, no randomness, no files and no network.

pub mod units;
pub mod warning;
