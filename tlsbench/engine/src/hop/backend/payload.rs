//! The payload of a backend's responses: its length by the request's path, and its bytes.

use tlsbench_core::hop::RESPONSE_BYTES_MAX;

/// The body length that a path asks for: `/bytes/N` for N bytes, any other path for the configured
/// number. `None` if N is not a number or too large.
pub(super) fn length(path: &str, usual: u64) -> Option<u64> {
    let path = path.split('?').next().unwrap_or_default();
    let Some(asked) = path.strip_prefix("/bytes/") else { return Some(usual) };
    let is_number = asked.bytes().all(|byte| byte.is_ascii_digit());
    asked.parse().ok().filter(|&bytes| is_number && bytes <= RESPONSE_BYTES_MAX)
}

/// The bytes that bodies are made of.
pub(super) static BLOCK: [u8; 64 << 10] = [b'x'; 64 << 10];
