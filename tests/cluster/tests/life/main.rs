//! The life of `trustd run`: leadership, faults in the middle of a fan-out to 500 namespaces, and what
//! must hold whatever happens: every target that can be right is right soon after, none ever goes back
//! to older content, and the status counts tell.
//!
//! The tests share control planes with a [`fleet`] of namespaces each, and take turns on them. They begin in
//! the order of their names, so the longest are in modules that come first.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop; clippy exempts test functions, not their helpers"
)]

mod away;
mod calm;
mod faults;
mod fleet;
mod history;
mod hook;
mod lead;

/// One of the fleets, alone, or nothing where there is no control plane to run.
macro_rules! turn {
    () => {
        match crate::fleet::Fleet::turn().await? {
            Some(fleet) => fleet,
            None => return Ok(()),
        }
    };
}
pub(crate) use turn;
