//! Properties of the load client's readers: where bytes were cut makes no difference.

#![allow(clippy::panic, reason = "a property that does not hold is a panic")]

use super::response::{Malformed, ResponseReader, ResponseSummary};
use crate::http2::fuzzing::frames;
pub use crate::http2::fuzzing::{hpack, huffman};

/// Responses by HTTP/1.1: read whole and in pieces they give the same answer, or are refused both
/// ways. The first byte is the size of the pieces, and whether the response is to HEAD.
pub fn http1_response(input: &[u8]) {
    let Some((&first, input)) = input.split_first() else { return };
    let (is_head, size) = (first & 0x80 != 0, usize::from(first & 0x7f).max(1));
    let read = |size: usize| {
        let mut reader = ResponseReader::new();
        reader.begin(is_head);
        let mut answer = None;
        for piece in input.chunks(size) {
            match reader.push(piece) {
                Ok(Some(whole)) => answer = Some(whole),
                Ok(None) => {}
                Err(why) => return Err(why),
            }
        }
        Ok::<Option<ResponseSummary>, Malformed>(match answer {
            None => reader.end()?,
            whole => whole,
        })
    };
    let (whole, pieces) = (read(input.len().max(1)), read(size));
    assert_eq!(whole.is_err(), pieces.is_err(), "{whole:?} whole, {pieces:?} by {size} bytes");
    assert_eq!(whole.ok(), pieces.ok(), "by {size} bytes");
}

/// Frames of HTTP/2: read whole and in pieces they are the same, or are refused both ways.
/// The first byte is the size of the pieces.
pub fn http2_frames(input: &[u8]) {
    let Some((&first, input)) = input.split_first() else { return };
    let (whole, pieces) =
        (frames(input, input.len().max(1)), frames(input, usize::from(first).max(1)));
    assert_eq!(whole, pieces, "by {first} bytes");
}
