//! Message bodies, decoded from whatever has come of them.

use super::chunked::{BadChunk, BodyPiece, ChunkRules, ChunkedDecoder};
use super::framing::Framing;

/// A decoder for one body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BodyDecoder {
    state: BodyState,
}

#[derive(Debug, PartialEq, Eq)]
enum BodyState {
    Chunked(ChunkedDecoder),
    Done,
    /// Bytes that are still to come.
    Length(u64),
    UntilClose,
}

impl BodyDecoder {
    pub(crate) const fn new(framing: Framing, rules: ChunkRules) -> Self {
        let state = match framing {
            Framing::Chunked => BodyState::Chunked(ChunkedDecoder::new(rules)),
            Framing::Length(0) | Framing::None => BodyState::Done,
            Framing::Length(length) => BodyState::Length(length),
            Framing::UntilClose => BodyState::UntilClose,
        };
        Self { state }
    }

    /// Returns whether the body has come to its end.
    pub(crate) const fn is_done(&self) -> bool {
        match &self.state {
            BodyState::Chunked(chunked) => chunked.is_done(),
            BodyState::Done => true,
            BodyState::Length(_) | BodyState::UntilClose => false,
        }
    }

    /// Returns whether the body is whole if the connection closes now.
    pub(crate) const fn may_end(&self) -> bool {
        matches!(self.state, BodyState::UntilClose) || self.is_done()
    }

    /// The trailer fields that may be passed on, each line with its CR LF; none under lenient
    /// rules.
    pub(crate) fn trailers(&self) -> &[u8] {
        match &self.state {
            BodyState::Chunked(chunked) => chunked.trailers(),
            BodyState::Done | BodyState::Length(_) | BodyState::UntilClose => &[],
        }
    }

    /// Decodes the beginning of the input. The caller removes the bytes of the returned piece from
    /// the front of the input before the next call.
    ///
    /// # Errors
    /// Fails when the input is not a chunked body.
    pub(crate) fn next(&mut self, input: &[u8]) -> Result<BodyPiece, BadChunk> {
        match &mut self.state {
            BodyState::Chunked(chunked) => chunked.next(input),
            BodyState::Done => Ok(BodyPiece::End),
            // An empty input is no end: whether the connection has closed is the caller's
            // knowledge, see `may_end`.
            _ if input.is_empty() => Ok(BodyPiece::More),
            BodyState::UntilClose => Ok(BodyPiece::Data(input.len())),
            BodyState::Length(left) => {
                let part = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= part as u64;
                if *left == 0 {
                    self.state = BodyState::Done;
                }
                Ok(BodyPiece::Data(part))
            }
        }
    }
}

#[cfg(test)]
mod tests;
