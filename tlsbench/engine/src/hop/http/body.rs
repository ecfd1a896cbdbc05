//! Bodies of HTTP/1.1 between two peers who must see the same: where they end, strictly.
//!
//! What is read here goes on to somebody else, so nothing is guessed: a bare LF, a space too many
//! or a digit too many is refused, because the next reader might take it for something else.

use thiserror::Error;

use super::head::{self, Field};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hop) enum Framing {
    /// In chunks.
    Chunked,
    /// After so many bytes.
    Length(u64),
    /// There is no body.
    None,
    /// With the connection.
    UntilClose,
}

/// Reads one body.
#[derive(Debug)]
pub(in crate::hop) struct Decoder {
    state: State,
    /// Lines of the trailer section that go on, each with its end.
    pub(in crate::hop) trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Within the data of a chunk.
    ChunkData(u64),
    /// After it.
    ChunkEnd,
    /// At the line with the size of a chunk.
    ChunkSize,
    Done,
    Length(u64),
    Trailers,
    UntilClose,
}

/// The next part of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hop) enum Piece {
    /// So many bytes of the body itself.
    Data(usize),
    /// The end; there is nothing more to take.
    End,
    /// More input is needed.
    More,
    /// So many bytes of its encoding.
    Skip(usize),
}

/// A body is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the body is malformed")]
pub(in crate::hop) struct BadBody;

impl Decoder {
    pub(in crate::hop) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Chunked => State::ChunkSize,
            Framing::Length(0) | Framing::None => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, trailers: Vec::new() }
    }

    /// Whether the body ends where the input does.
    pub(in crate::hop) fn may_end(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// Looks at the input; what it tells of has to be taken away before the next call.
    ///
    /// # Errors
    /// Fails when the input is no body.
    pub(in crate::hop) fn next(&mut self, input: &[u8]) -> Result<Piece, BadBody> {
        if self.state == State::Done {
            return Ok(Piece::End);
        }
        if input.is_empty() {
            return Ok(Piece::More);
        }
        match self.state {
            State::Length(left) => {
                let part = clamp(left, input.len());
                let left = left - part as u64;
                self.state = if left == 0 { State::Done } else { State::Length(left) };
                Ok(Piece::Data(part))
            }
            State::ChunkData(left) => {
                let part = clamp(left, input.len());
                let left = left - part as u64;
                self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                Ok(Piece::Data(part))
            }
            State::UntilClose => Ok(Piece::Data(input.len())),
            State::ChunkEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize;
                    Ok(Piece::Skip(2))
                }
                [b'\r'] => Ok(Piece::More),
                _ => Err(BadBody),
            },
            State::ChunkSize => self.size(input),
            State::Trailers => self.trailer(input),
            State::Done => Ok(Piece::End),
        }
    }

    fn size(&mut self, input: &[u8]) -> Result<Piece, BadBody> {
        let Some(line) = line(input)? else { return Ok(Piece::More) };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, extension) = line.split_at_checked(digits).ok_or(BadBody)?;
        if digits.is_empty() || digits.len() > DIGITS_MAX {
            return Err(BadBody);
        }
        // Extensions are for us alone (RFC 9112, section 7.1.1), and we know none.
        let is_extension = matches!(extension.iter().find(|byte| !is_blank(byte)), Some(b';'));
        if !extension.is_empty() && !is_extension {
            return Err(BadBody);
        }
        let digits = str::from_utf8(digits).map_err(|_| BadBody)?;
        let size = u64::from_str_radix(digits, 16).map_err(|_| BadBody)?;
        self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
        Ok(Piece::Skip(line.len() + 2))
    }

    /// One line of the trailer section: kept unless it would change what was read before.
    fn trailer(&mut self, input: &[u8]) -> Result<Piece, BadBody> {
        let Some(line) = line(input)? else { return Ok(Piece::More) };
        if line.is_empty() {
            self.state = State::Done;
            return Ok(Piece::Skip(2));
        }
        let colon = memchr::memchr(b':', line).ok_or(BadBody)?;
        let name = line.get(..colon).and_then(|name| str::from_utf8(name).ok()).ok_or(BadBody)?;
        if !head::is_token(name) {
            return Err(BadBody);
        }
        if Field::of(name) == Field::Other {
            if self.trailers.len() + line.len() > TRAILERS_MAX {
                return Err(BadBody);
            }
            self.trailers.extend_from_slice(line);
            self.trailers.extend_from_slice(b"\r\n");
        }
        Ok(Piece::Skip(line.len() + 2))
    }
}

/// The first line of the input, without its end; nothing while it has none.
fn line(input: &[u8]) -> Result<Option<&[u8]>, BadBody> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        return if input.len() > LINE_MAX { Err(BadBody) } else { Ok(None) };
    };
    let line = input.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(BadBody)?;
    let is_text = line.iter().all(|byte| is_blank(byte) || (*byte > b' ' && *byte != 0x7f));
    if is_text && line.len() <= LINE_MAX { Ok(Some(line)) } else { Err(BadBody) }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The smaller of the two.
fn clamp(left: u64, length: usize) -> usize {
    usize::try_from(left).map_or(length, |left| left.min(length))
}

/// Writes data as a chunk.
pub(in crate::hop) fn put_chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    // Up to 16 digits, from the last to the first.
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

/// Writes the end of a chunked body.
pub(in crate::hop) fn put_last_chunk(trailers: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

/// 15 hexadecimal digits are 2^60 bytes: no overflow, and no body is that long.
const DIGITS_MAX: usize = 15;
/// A size with its extensions, or a line of trailers: 4 KiB, as half a usual limit for whole heads.
const LINE_MAX: usize = 4 << 10;
/// All trailers that go on: 16 KiB.
const TRAILERS_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests;
