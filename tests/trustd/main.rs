//! Black-box tests of `trustd`: the program itself, on files and loopback.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop; clippy exempts test functions, not their helpers"
)]

mod connect;
mod crd;
mod diff;
mod doubling;
mod inspect;
mod mistakes;
mod peer;
mod program;
mod render;
mod sources;
mod strict;
mod stricter;
mod verify;
mod worlds;
