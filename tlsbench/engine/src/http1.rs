//! HTTP/1.1 message syntax that the load client, the built-in hops and the test server share.
//!
//! Pure: bytes in, values out. Which of two readings is right is decided by [`ChunkRules`]: a
//! client takes what servers send, an intermediary refuses what the next reader might take for
//! something else.

mod body;
mod chunked;
mod field;
mod framing;
mod limits;

pub(crate) use body::BodyDecoder;
pub(crate) use chunked::{BadChunk, BodyPiece, ChunkRules, put_chunk, put_last_chunk};
pub(crate) use field::{FieldKind, is_host, options};
pub(crate) use framing::Framing;
pub(crate) use limits::{FIELDS_MAX, HEAD_MAX};
