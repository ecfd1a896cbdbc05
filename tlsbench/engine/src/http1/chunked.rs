//! The chunked transfer coding (RFC 9112, section 7.1), read under one of two sets of rules, and
//! written.
//!
//! One state machine over bytes serves both. A client has no buffer of its own, so under its rules
//! every byte is consumed as it comes; an intermediary reads line by line from the connection's
//! buffer.

use thiserror::Error;

use super::field::{FieldKind, is_token};
use super::limits::{CHUNK_DIGITS_MAX, LENIENT_EXTRA_MAX, STRICT_LINE_MAX, TRAILERS_MAX};

/// The readings of a chunked body that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkRules {
    /// Those of a client, which takes what servers send: bare LF, blanks behind a size, any
    /// trailers.
    Lenient,
    /// Those of an intermediary, which refuses whatever the next reader might take for something
    /// else (request smuggling), and keeps the trailers that may go on.
    Strict,
}

/// The next part of an encoded body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyPiece {
    /// Bytes of the body itself.
    Data(usize),
    /// The end of the body; nothing more is consumed.
    End,
    /// More input is needed.
    More,
    /// Bytes of the encoding around the data.
    Skip(usize),
}

/// A chunk size, chunk end or trailer is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the chunked body is malformed")]
pub(crate) struct BadChunk;

/// A decoder for one chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChunkedDecoder {
    rules: ChunkRules,
    at: Position,
    /// Bytes that count towards the limit of the current line, or of all trailers.
    seen: u32,
    trailers: Vec<u8>,
}

/// The position of the next byte within the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// A chunk's data, of which this many bytes are to come.
    Data(u64),
    /// The CR behind a chunk's data.
    DataCr,
    DataLf,
    Done,
    /// The extensions behind the digits of a size. `is_open` once a semicolon has come.
    Extension {
        size: u64,
        is_open: bool,
    },
    /// The LF of the empty line that ends the body.
    LastLf,
    /// A trailer line, which begins at this index of the kept trailers.
    Line(usize),
    LineLf(usize),
    /// The beginning of a trailer line.
    LineStart,
    Size {
        size: u64,
        digits: u8,
    },
    /// The LF behind a size.
    SizeLf(u64),
}

impl Position {
    const BEGIN: Self = Self::Size { size: 0, digits: 0 };

    /// Returns whether a line has just ended, so that what came before is behind us for good.
    const fn is_boundary(self) -> bool {
        matches!(self, Self::Data(_) | Self::Done | Self::LineStart | Self::Size { digits: 0, .. })
    }

    /// The position behind the line of a size.
    const fn after_size(size: u64) -> Self {
        if size == 0 { Self::LineStart } else { Self::Data(size) }
    }
}

impl ChunkedDecoder {
    pub(super) const fn new(rules: ChunkRules) -> Self {
        Self { rules, at: Position::BEGIN, seen: 0, trailers: Vec::new() }
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.at, Position::Done)
    }

    pub(super) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Decodes the beginning of the input.
    pub(super) fn next(&mut self, input: &[u8]) -> Result<BodyPiece, BadChunk> {
        match self.at {
            Position::Done => Ok(BodyPiece::End),
            _ if input.is_empty() => Ok(BodyPiece::More),
            Position::Data(left) => {
                let part = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                let left = left - part as u64;
                self.at = if left == 0 { Position::DataCr } else { Position::Data(left) };
                Ok(BodyPiece::Data(part))
            }
            _ => self.skip(input),
        }
    }

    /// Consumes one line of the encoding.
    fn skip(&mut self, input: &[u8]) -> Result<BodyPiece, BadChunk> {
        let (at, seen, kept) = (self.at, self.seen, self.trailers.len());
        for (index, &byte) in input.iter().enumerate() {
            self.at = self.after(byte)?;
            if self.at.is_boundary() {
                return Ok(BodyPiece::Skip(index + 1));
            }
        }
        match self.rules {
            ChunkRules::Lenient => Ok(BodyPiece::Skip(input.len())),
            // The line stays in the connection's buffer until it is whole, and is read again then.
            ChunkRules::Strict => {
                (self.at, self.seen) = (at, seen);
                self.trailers.truncate(kept);
                Ok(BodyPiece::More)
            }
        }
    }

    /// The position behind one byte that is not data.
    fn after(&mut self, byte: u8) -> Result<Position, BadChunk> {
        use Position::{
            Data, DataCr, DataLf, Done, Extension, LastLf, Line, LineLf, LineStart, Size, SizeLf,
        };
        let is_strict = self.rules == ChunkRules::Strict;
        if is_strict && !self.is_strictly_allowed(byte) {
            return Err(BadChunk);
        }
        Ok(match (self.at, byte) {
            (Size { digits: 0, .. }, byte) if !byte.is_ascii_hexdigit() => return Err(BadChunk),
            (Size { size, .. } | Extension { size, .. }, b'\r') => SizeLf(size),
            (Size { size, .. } | SizeLf(size) | Extension { size, .. }, b'\n') => {
                self.seen = 0;
                Position::after_size(size)
            }
            // Extensions concern one connection only, and we know none (RFC 9112, section 7.1.1).
            (Size { size, digits }, b';' | b' ' | b'\t') => {
                self.seen = if is_strict { u32::from(digits) + 1 } else { 0 };
                Extension { size, is_open: byte == b';' }
            }
            (Size { size, digits }, byte) if digits < CHUNK_DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Extension { size, is_open }, byte) => {
                self.count()?;
                Extension { size, is_open: is_open || byte == b';' }
            }
            (DataCr, b'\r') => DataLf,
            (DataCr | DataLf, b'\n') => Position::BEGIN,
            (LineStart, b'\r') => LastLf,
            (LineStart | LastLf, b'\n') => Done,
            (Line(from), b'\r') if is_strict => LineLf(from),
            (LineLf(from), b'\n') => {
                self.end_trailer(from)?;
                LineStart
            }
            (Line(_), b'\n') => LineStart,
            (LineStart, byte) => {
                if is_strict {
                    self.seen = 0;
                }
                self.count()?;
                let from = self.trailers.len();
                self.keep(byte);
                Line(from)
            }
            (Line(from), byte) => {
                self.count()?;
                self.keep(byte);
                Line(from)
            }
            (
                Data(_) | DataCr | DataLf | Done | LastLf | LineLf(_) | Size { .. } | SizeLf(_),
                _,
            ) => {
                return Err(BadChunk);
            }
        })
    }

    /// Returns whether an intermediary accepts a byte here: an LF only behind a CR, no control
    /// characters in a line, and nothing but an extension behind a size.
    fn is_strictly_allowed(&self, byte: u8) -> bool {
        let is_blank = matches!(byte, b' ' | b'\t');
        let is_text = is_blank || (byte > b' ' && byte != 0x7f);
        match self.at {
            Position::DataLf | Position::LastLf | Position::LineLf(_) | Position::SizeLf(_) => {
                byte == b'\n'
            }
            Position::Extension { is_open: false, .. } => is_blank || byte == b';',
            _ => is_text || byte == b'\r',
        }
    }

    /// Counts a byte towards the limit of its line.
    fn count(&mut self) -> Result<(), BadChunk> {
        let most = match self.rules {
            ChunkRules::Lenient => LENIENT_EXTRA_MAX,
            ChunkRules::Strict => STRICT_LINE_MAX,
        };
        self.seen += 1;
        if self.seen > most { Err(BadChunk) } else { Ok(()) }
    }

    fn keep(&mut self, byte: u8) {
        if self.rules == ChunkRules::Strict {
            self.trailers.push(byte);
        }
    }

    /// Ends a trailer line: it is kept unless it would change what was read before it.
    fn end_trailer(&mut self, from: usize) -> Result<(), BadChunk> {
        let line = self.trailers.get(from..).unwrap_or_default();
        let colon = memchr::memchr(b':', line).ok_or(BadChunk)?;
        let name = line.get(..colon).and_then(|name| str::from_utf8(name).ok()).ok_or(BadChunk)?;
        if !is_token(name) {
            return Err(BadChunk);
        }
        // Content-Length, Host or Transfer-Encoding in a trailer would contradict the head that was
        // acted on (RFC 9110, section 6.5.1).
        if FieldKind::of(name) != FieldKind::Other {
            self.trailers.truncate(from);
            return Ok(());
        }
        if self.trailers.len() > TRAILERS_MAX {
            return Err(BadChunk);
        }
        self.trailers.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// Writes data as one chunk; nothing if there is none, because an empty chunk would end the body.
pub(crate) fn put_chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    // Up to 16 digits, from the last to the first: formatting would cost more than the chunk's
    // copy.
    let (mut digits, mut left, mut at) = ([0; 16], data.len(), 16);
    while left > 0 {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b"0123456789abcdef".get(left % 16).copied().unwrap_or_default();
        }
        left /= 16;
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body, with trailer lines before it.
pub(crate) fn put_last_chunk(trailers: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}
