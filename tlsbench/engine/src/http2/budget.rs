//! The number of frames that carry no response a server may send: requests, request bodies and time
//! earn them, so that the work for a connection is bounded by what was asked of it.

use super::Fault;
use super::frame::{self, Header};

/// Frames that a server may still send on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameBudget {
    left: u32,
}

impl FrameBudget {
    pub(super) const fn new() -> Self {
        Self { left: FRAMES_MAX }
    }

    /// Adds frames, up to as many as a connection begins with.
    pub(super) fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(FRAMES_MAX);
    }

    /// Takes off what a frame costs; [`Fault::Excess`] if that is more than is left. Data costs
    /// nothing: it is what was asked for, and windows and timeouts bound it.
    pub(super) fn spend(&mut self, header: Header) -> Result<(), Fault> {
        let cost = match header.kind {
            // Padding alone, too, is no data; where there is any, it is given back.
            frame::DATA if header.length > 0 && !header.has(frame::PADDED) => 0,
            // Each may change the window of every stream.
            frame::SETTINGS => {
                1 + u32::try_from(header.length / frame::SETTING).unwrap_or(u32::MAX)
            }
            _ => 1,
        };
        // A server that spends more than it earned is flooding (CVE-2019-9512 and its relatives:
        // PING, SETTINGS, empty frames).
        self.left = self.left.checked_sub(cost).ok_or(Fault::Excess)?;
        Ok(())
    }
}

/// Frames for each request: its head, trailers, informational responses, its windows and its reset.
pub(crate) const PER_REQUEST: u32 = 10;
/// Bytes of a request's body for each frame: servers give windows back with every read of a
/// handler, which may have a buffer as small as that.
pub(crate) const BYTES_PER_FRAME: usize = 64;
/// Frames for each second: what keeps a connection alive and measures its path.
pub(crate) const PER_SECOND: u32 = 100;
/// Frames that a connection begins with, and the most that it saves: as many as the hop, Envoy and
/// the crate `h2` allow of a client.
const FRAMES_MAX: u32 = 10_000;
