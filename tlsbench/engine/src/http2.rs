//! HTTP/2 as bytes: frames, and header compression as a client needs it.
//!
//! Nothing here knows scenarios, sockets, time, or which stream is whose. What the engine does not
//! need of a response (every text but two) is passed over and not kept, but what is wrong is found.

use thiserror::Error;
use tlsbench_core::tally::Detail;

mod budget;
pub(crate) mod frame;
mod frames;
mod hpack;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

pub(crate) use budget::{BYTES_PER_FRAME, PER_REQUEST, PER_SECOND};
pub(crate) use frames::{FramePiece, Frames};
pub(crate) use hpack::{HpackDecoder, Indexing, dynamic, put_field, put_indexed, put_table_size};

/// A violation of the protocol by the server, after which the connection cannot go on (RFC 9113,
/// section 5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Fault {
    /// A header block that cannot be decompressed.
    #[error("a header block is malformed")]
    Compression,
    /// More than we can keep up with, on purpose or not.
    #[error("more than {BLOCK_MAX} bytes of header block, or frames that nothing asked for")]
    Excess,
    /// More data than the windows allow, or a window that overflows.
    #[error("a flow-control window is exceeded")]
    FlowControl,
    /// A frame of a length that its type does not have.
    #[error("a frame's length is wrong")]
    FrameSize,
    /// A frame where none of its type may be.
    #[error("a frame is where it may not be")]
    Protocol,
}

impl Fault {
    /// The error code that a GOAWAY says it by (RFC 9113, section 7).
    pub(crate) const fn code(self) -> u32 {
        match self {
            Self::Protocol => 0x1,
            Self::FlowControl => 0x3,
            Self::FrameSize => 0x6,
            Self::Compression => 0x9,
            Self::Excess => 0xb,
        }
    }

    /// The detail that a failure by it has.
    pub(crate) const fn detail(self) -> Detail {
        match self {
            Self::Compression => Detail::Compression,
            Self::Excess => Detail::Excess,
            Self::FlowControl => Detail::FlowControl,
            Self::FrameSize => Detail::FrameSize,
            Self::Protocol => Detail::Protocol,
        }
    }
}

/// The header list that we announce to take (SETTINGS_MAX_HEADER_LIST_SIZE): as much as of an
/// HTTP/1.1 head, which is what curl takes.
pub(crate) const HEADER_LIST_MAX: u32 = 300 * 1024;
/// The largest block that is read: as much as the announced header list, which is longer than its
/// compressed block.
pub(crate) const BLOCK_MAX: usize = HEADER_LIST_MAX as usize;
