//! Checks of the house that lints cannot make: who may use whom, dead files, sizes, words, links.
//!
//! Every check is a function of a [`Tree`](tree::Tree), so each is proved on small trees in memory
//! that it fails where it must. `tests/house.rs` runs them over the real tree. They read text only
//! and never build anything.

pub mod circles;
pub mod crds;
pub mod figures;
pub mod finding;
pub mod floors;
pub mod glossary;
pub mod links;
pub mod manifest;
pub mod modules;
pub mod order;
pub mod prose;
pub mod reach;
pub mod rust;
pub mod size;
pub mod tree;
pub mod types;
