//! Relays: bytes pass between two connections without being read as HTTP.

mod delay;
mod pipe;
mod pump;
pub(super) mod relay;
