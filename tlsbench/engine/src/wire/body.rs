//! Bodies: how long they are, and where they end.

use super::response::Malformed;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// In chunks.
    Chunked(Chunk),
    /// After so many bytes more.
    Length(u64),
    /// With the connection.
    UntilClose,
}

/// Where in a chunked body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the data of a chunk, with so many bytes to come.
    Data(u64),
    /// After a chunk's data: at its CR.
    DataCr,
    /// After that: at its LF.
    DataLf,
    /// In the extensions of a size, of which so many bytes were seen.
    Extension(u64, u32),
    /// At the beginning of a line of trailers; so many bytes of them were seen.
    LineStart(u32),
    /// In a line of trailers.
    Line(u32),
    /// In a size: its value, and the number of its digits.
    Size(u64, u8),
    /// After a size: at its LF.
    SizeLf(u64),
    /// At the LF of the empty line that ends everything.
    LastLf,
}

impl Chunk {
    pub(super) const BEGIN: Self = Self::Size(0, 0);
}

/// What a piece of input did.
pub(super) struct Taken {
    /// Bytes of the input that belong to the body's encoding.
    pub(super) consumed: usize,
    /// Bytes of the body itself among them.
    pub(super) data: u64,
    /// Whether the body ended there.
    pub(super) done: bool,
}

impl Body {
    /// Takes as much of the input as belongs to the body.
    pub(super) fn take(&mut self, input: &[u8]) -> Result<Taken, Malformed> {
        match self {
            Self::Chunked(chunk) => chunk.take(input),
            Self::Length(left) => {
                let data = (*left).min(input.len() as u64);
                *left -= data;
                Ok(Taken { consumed: clamp(data), data, done: *left == 0 })
            }
            Self::UntilClose => {
                Ok(Taken { consumed: input.len(), data: input.len() as u64, done: false })
            }
        }
    }
}

impl Chunk {
    fn take(&mut self, input: &[u8]) -> Result<Taken, Malformed> {
        let (mut rest, mut data) = (input, 0);
        while let Some((&byte, tail)) = rest.split_first() {
            if let Self::Data(left) = self {
                let part = (*left).min(rest.len() as u64);
                *left -= part;
                data += part;
                rest = rest.get(clamp(part)..).unwrap_or_default();
                if *left == 0 {
                    *self = Self::DataCr;
                }
                continue;
            }
            rest = tail;
            let Some(next) = self.after(byte)? else {
                return Ok(Taken { consumed: input.len() - rest.len(), data, done: true });
            };
            *self = next;
        }
        Ok(Taken { consumed: input.len(), data, done: false })
    }

    /// The state after a byte that is no data; nothing when it was the last.
    fn after(self, byte: u8) -> Result<Option<Self>, Malformed> {
        let next = match (self, byte) {
            (Self::Size(_, 0), b'\r' | b'\n' | b';' | b' ' | b'\t') => {
                return Err(Malformed::Chunk);
            }
            (Self::Size(size, _), b'\r') => Self::SizeLf(size),
            (Self::Size(size, _) | Self::SizeLf(size) | Self::Extension(size, _), b'\n') => {
                if size == 0 { Self::LineStart(0) } else { Self::Data(size) }
            }
            (Self::Size(size, _), b';' | b' ' | b'\t') => Self::Extension(size, 0),
            (Self::Size(size, digits), byte) => match char::from(byte).to_digit(16) {
                Some(digit) if digits < DIGITS_MAX => {
                    Self::Size(size * 16 + u64::from(digit), digits + 1)
                }
                _ => return Err(Malformed::Chunk),
            },
            (Self::Extension(size, _), b'\r') => Self::SizeLf(size),
            (Self::Extension(size, seen), _) if seen < EXTRA_MAX => Self::Extension(size, seen + 1),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataCr | Self::DataLf, b'\n') => Self::BEGIN,
            (Self::LineStart(_), b'\r') => Self::LastLf,
            (Self::LineStart(_) | Self::LastLf, b'\n') => return Ok(None),
            (Self::Line(seen), b'\n') => Self::LineStart(seen),
            (Self::LineStart(seen) | Self::Line(seen), _) if seen < EXTRA_MAX => {
                Self::Line(seen + 1)
            }
            _ => return Err(Malformed::Chunk),
        };
        Ok(Some(next))
    }
}

/// A number that is no more than some slice's length.
fn clamp(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// 15 hexadecimal digits are 2^60 bytes: no overflow, and no body is that long.
const DIGITS_MAX: u8 = 15;
/// Extensions of one size and all trailers are each limited to 16 KiB.
const EXTRA_MAX: u32 = 16 * 1024;
