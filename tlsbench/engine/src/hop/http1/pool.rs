//! Upstream connections that wait for the next request.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::conn::{Conn, ROOM_RESPONSE};

/// The idle connections of one replica in one thread, the last used first.
#[derive(Debug)]
pub(in crate::hop) struct Pool {
    idle: Mutex<Vec<Conn>>,
    max: usize,
}

impl Pool {
    pub(in crate::hop) fn new(max: usize) -> Self {
        Self { idle: Mutex::new(Vec::new()), max }
    }

    /// Returns whether connections are kept at all.
    pub(in crate::hop) fn keeps(&self) -> bool {
        self.max > 0
    }

    /// One that was not closed meanwhile, as far as is known.
    pub(in crate::hop) fn take(&self) -> Option<Conn> {
        loop {
            // The lock is held for the pop alone; what is found dead is dropped outside of it.
            let popped = self.idle().pop();
            let mut conn = popped?;
            if conn.is_idle() {
                return Some(conn);
            }
        }
    }

    /// Keeps one, or closes the one that has waited longest.
    pub(in crate::hop) fn put(&self, mut conn: Conn) {
        if self.max == 0 || !conn.data().is_empty() {
            return;
        }
        conn.is_used = true;
        let mut idle = self.idle();
        // A busy hop takes the last used of few again and again.
        conn.shrink(if idle.len() < WARM_MAX { ROOM_RESPONSE } else { 0 });
        if idle.len() >= self.max {
            idle.remove(0);
        }
        idle.push(conn);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections that keep the memory of their buffers while they wait: 16 × 136 KiB are 2 MiB.
const WARM_MAX: usize = 16;

#[cfg(test)]
mod tests;
