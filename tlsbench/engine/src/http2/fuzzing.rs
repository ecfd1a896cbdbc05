//! Properties of frames and header compression.

#![allow(clippy::panic, reason = "a property that does not hold is a panic")]

pub use super::hpack::fuzzing::huffman;
use super::{FramePiece, Frames, HpackDecoder};

/// Reads frames in pieces of `size` bytes: a line for each, data of one frame added up.
pub(crate) fn frames(input: &[u8], size: usize) -> (Vec<String>, bool) {
    let mut frames = Frames::new();
    let mut seen = Vec::new();
    let mut data = Vec::new();
    for piece in input.chunks(size) {
        let mut rest = piece;
        loop {
            match frames.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(FramePiece::Data { stream, data: bytes, flow, end })) => {
                    data.push((stream, bytes, flow, end));
                }
                Ok(Some(other)) => {
                    flush(&mut data, &mut seen);
                    seen.push(format!("{other:?}"));
                }
                Err(fault) => {
                    flush(&mut data, &mut seen);
                    seen.push(format!("{fault:?}"));
                    return (seen, true);
                }
            }
        }
    }
    flush(&mut data, &mut seen);
    (seen, false)
}

/// Adds up pieces of data that follow one another on a stream.
fn flush(data: &mut Vec<(u32, u32, u32, bool)>, seen: &mut Vec<String>) {
    let mut sum: Option<(u32, u32, u32, bool)> = None;
    for (stream, bytes, flow, end) in data.drain(..) {
        sum = match sum {
            Some((known, all, flows, false)) if known == stream => {
                Some((stream, all + bytes, flows + flow, end))
            }
            before => {
                seen.extend(before.map(|sum| format!("{sum:?}")));
                Some((stream, bytes, flow, end))
            }
        };
    }
    seen.extend(sum.map(|sum| format!("{sum:?}")));
}

/// Header blocks of one connection: the first byte of each is its length. No panic, whatever is in
/// them.
pub fn hpack(mut input: &[u8]) {
    let mut decoder = HpackDecoder::new();
    while let Some((&length, rest)) = input.split_first() {
        let (block, rest) = rest.split_at(rest.len().min(length.into()));
        input = rest;
        if decoder.decode(block).is_err() {
            return;
        }
    }
}
