//! Pipes that bytes go through without being copied to the process, kept for the next that needs
//! one.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// A pipe, and how much is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) out: OwnedFd,
    pub(super) into: OwnedFd,
    /// Bytes that it can hold.
    pub(super) bytes: usize,
    /// Bytes that it holds.
    pub(super) holds: usize,
}

impl Pipe {
    /// One that is empty: an old one if there is one.
    pub(super) fn take() -> io::Result<Self> {
        if let Some(pipe) = KEPT.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user's pipes together have a limit, beyond which each keeps the size it is born with.
        let bytes = fcntl_setpipe_size(&into, PIPE_BYTES).unwrap_or(BORN_BYTES);
        Ok(Self { out, into, bytes, holds: 0 })
    }

    /// Keeps it for others, unless something is left in it.
    pub(super) fn give_back(self) {
        // At the end of a thread the others may be gone already.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if self.holds == 0 && kept.len() < KEPT_MAX {
                kept.push(self);
            }
        });
    }
}

thread_local! {
    static KEPT: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// 1 MiB, what a user without privileges may ask for by default.
const PIPE_BYTES: usize = 1 << 20;
/// 64 KiB, what a pipe has when nobody asks.
const BORN_BYTES: usize = 64 << 10;
/// 32 pipes are 64 descriptors of a thread.
const KEPT_MAX: usize = 32;
