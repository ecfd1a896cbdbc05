//! Certificates to bundle to formats to plan of writes: every decision trustd makes.
//!
//! Values in, values out. This crate has no clock, no randomness, no files, no network and no
//! cluster; whatever it needs to know is an argument. The same certificates give the same bytes.
//!
//! Modules are in order: a module uses only those above it.

pub mod escape;
pub mod names;
pub mod time;
pub mod pem;
pub mod certificate;
pub mod bundle;
pub mod selector;
pub mod spec;
pub mod format;
pub mod world;
pub mod plan;
pub mod outcome;
