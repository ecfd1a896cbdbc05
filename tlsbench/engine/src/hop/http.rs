//! HTTP/1.1 of a hop: reading what clients and the next hop say, strictly, and passing it on.
//!
//! The parts know nothing of each other's peers: heads and bodies are pure, a transfer moves one
//! message, and what goes where is decided in one place, `forward`.

pub(super) mod body;
pub(super) mod head;
pub(super) mod rewrite;
pub(super) mod conn;
pub(super) mod transfer;
pub(super) mod pool;
pub(super) mod reply;
pub(super) mod upstream;
pub(super) mod serve;
pub(super) mod forward;
pub(super) mod http2;
