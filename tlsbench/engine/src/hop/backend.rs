//! A backend: answers every request with as many bytes as it asks for, and fetches nothing.

pub(super) mod http1;
pub(super) mod http2;
mod payload;
