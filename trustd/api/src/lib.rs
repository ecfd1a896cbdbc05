//! The Bundle resource: types, schema, admission rules, validation, manifests.
//!
//! Text and JSON in, checked values of `trustd-core` out. This crate reads no files and talks to no
//! cluster; it knows what the API server would say, and says it in the same words.
//!
//! Modules are in order: a module uses only those above it.

pub mod labels;
pub mod v1alpha1;
pub mod validate;
pub mod object;
pub mod manifest;
