//! The life of `trustd run`: leadership, faults in the middle of a fan-out to 500 namespaces, and what
//! must hold whatever happens: every target that can be right is right soon after, none ever goes back
//! to older content, and the status counts tell.
//!
//! The tests share two control planes with a [`fleet`] of namespaces each, and take turns on them.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop; clippy exempts test functions, not their helpers"
)]

mod faults;
mod fleet;
mod history;
mod hook;
mod lead;
mod quiet;

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
