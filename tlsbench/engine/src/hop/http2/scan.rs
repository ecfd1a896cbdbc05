//! Frames of one direction of an HTTP/2 connection, in pieces of any size: their headers, and their
//! payloads as they come.

use crate::http2::frame;

/// The position of the next byte within the frames of one direction.
#[derive(Debug)]
pub(super) struct FrameScanner {
    header: [u8; frame::HEADER],
    have: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
    /// True if these bytes are a frame's.
    is_frame: bool,
}

/// The next thing of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanItem<'b> {
    /// The header of a frame.
    Header(frame::Header),
    /// Some of its payload, at least one byte.
    Payload(&'b [u8]),
}

impl FrameScanner {
    /// Begins behind this many bytes that are no frame.
    pub(super) const fn after(bytes: usize) -> Self {
        Self { header: [0; frame::HEADER], have: 0, left: bytes, is_frame: false }
    }

    /// Bytes of the present payload that are still to come.
    pub(super) const fn rest(&self) -> usize {
        self.left
    }

    /// Takes the next thing off the front of the input; `None` if that is empty.
    pub(super) fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<ScanItem<'b>> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
                *bytes = rest;
                self.left -= piece.len();
                if self.is_frame {
                    return Some(ScanItem::Payload(piece));
                }
                continue;
            }
            let place = self.header.get_mut(self.have..).unwrap_or_default();
            let (piece, rest) = bytes.split_at(place.len().min(bytes.len()));
            *bytes = rest;
            for (place, byte) in place.iter_mut().zip(piece) {
                *place = *byte;
            }
            self.have += piece.len();
            if self.have == frame::HEADER {
                let header = frame::Header::parse(self.header);
                (self.have, self.left, self.is_frame) = (0, header.length, true);
                return Some(ScanItem::Header(header));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_input_is_cut_makes_no_difference() {
        let mut input = b"preface".to_vec();
        for (kind, payload) in [(frame::DATA, &b"abc"[..]), (frame::PING, &[]), (frame::DATA, b"d")]
        {
            frame::put(kind, 0, 1, payload, &mut input);
        }
        for size in 1..=input.len() {
            let (mut scan, mut kinds, mut bytes) = (FrameScanner::after(7), Vec::new(), Vec::new());
            for mut piece in input.chunks(size) {
                while let Some(seen) = scan.next(&mut piece) {
                    match seen {
                        ScanItem::Header(header) => kinds.push((header.kind, header.length)),
                        ScanItem::Payload(piece) => bytes.extend_from_slice(piece),
                    }
                }
            }
            let expected = [(frame::DATA, 3), (frame::PING, 0), (frame::DATA, 1)];
            assert_eq!((&kinds[..], &bytes[..]), (&expected[..], &b"abcd"[..]), "{size}");
        }
    }
}
