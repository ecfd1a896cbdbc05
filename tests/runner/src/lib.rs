//! Runs the test executables of a workspace side by side, and adds up their results.
//!
//! `cargo test` runs one executable after another, hides why a passing test checked nothing, and
//! says how long an executable took but not which test. cargo-nextest solves this with a process for
//! each test; here tests of one executable share an API server, which takes seconds to start.

pub mod cargo;
pub mod execute;
pub mod libtest;
pub mod summary;
