//! Free ports of the loopback interface.
//!
//! A port is only found to be free, not reserved: what binds it later may come too late, and whoever
//! starts a program must be ready to start it again with others.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// A port that nothing listens on, and that this process has not given out before.
///
/// It lies below the range that Linux takes ports of outgoing connections from, so that a server can
/// be stopped and started again on the same one.
///
/// # Errors
/// Fails when none is free.
pub fn free() -> Result<u16> {
    // Processes that start at the same time begin at different places.
    let start = (std::process::id() % u32::from(SPAN)) as u16;
    for _ in 0..SPAN {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % SPAN;
        let port = RANGE.start + (start.wrapping_mul(STRIDE) % SPAN + step) % SPAN;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port from {} to {}", RANGE.start, RANGE.end - 1)
}

static NEXT: AtomicU16 = AtomicU16::new(0);

/// Above what Debian's packages listen on, below `ip_local_port_range`, which begins at 32768.
const RANGE: Range<u16> = 20_000..32_000;
const SPAN: u16 = RANGE.end - RANGE.start;

/// Test binaries get successive process ids; each begins this many ports after the one before, and
/// a binary needs some 20.
const STRIDE: u16 = 61;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_port_once() {
        let mut ports: Vec<u16> = (0..100).map(|_| free().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 100);
        assert!(ports.iter().all(|port| RANGE.contains(port)));
    }
}
