//! The HTTP/2 side of a hop, by the crate `h2`: each stream is a request of its own.

pub(super) mod body;
pub(super) mod fields;
pub(super) mod guard;
mod scan;
pub(super) mod server;
