//! The HTTP/1.1 side of a hop: reads heads of clients and of the next hop, strictly, and moves
//! messages.
//!
//! The parts know nothing of each other's peers: heads and rewriting are pure, a transfer moves one
//! message, and `forward` decides where it goes.

pub(super) mod conn;
pub(super) mod head;
pub(super) mod pool;
pub(super) mod rewrite;
pub(super) mod serve;
pub(super) mod transfer;
