//! Frames from pieces of any size: data is counted as it comes, anything else is put together.

use super::budget::FrameBudget;
use super::frame::{self, Header};
use super::{BLOCK_MAX, Fault};

/// The next part of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramePiece<'p> {
    /// A whole header block, however many frames it came in.
    Block {
        /// The stream.
        stream: u32,
        /// True if the stream ends with it.
        end: bool,
        /// HPACK.
        block: &'p [u8],
    },
    /// Some of a DATA frame, perhaps nothing.
    Data {
        /// The stream.
        stream: u32,
        /// Bytes of data.
        data: u32,
        /// Bytes by which the windows shrink: padding as well.
        flow: u32,
        /// True if the stream ends with it.
        end: bool,
    },
    /// A whole frame of another type.
    Frame(Header, &'p [u8]),
}

/// Takes a connection's frames apart. Memory for those that come in pieces is kept.
#[derive(Debug)]
pub(crate) struct Frames {
    at: At,
    /// The header that is coming, and how much of it has come.
    header: [u8; frame::HEADER],
    have: usize,
    /// The payload that is coming.
    partial: Vec<u8>,
    /// The header block that goes on in CONTINUATION frames, and its stream.
    block: Vec<u8>,
    continued: Option<Continued>,
    is_first: bool,
    budget: FrameBudget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Data(Data),
    /// The length of the padding.
    DataBegin(Header),
    Header,
    Payload(Header),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Data {
    stream: u32,
    end: bool,
    data: usize,
    padding: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Continued {
    stream: u32,
    end: bool,
}

impl Frames {
    pub(crate) const fn new() -> Self {
        Self {
            at: At::Header,
            header: [0; frame::HEADER],
            have: 0,
            partial: Vec::new(),
            block: Vec::new(),
            continued: None,
            is_first: true,
            budget: FrameBudget::new(),
        }
    }

    /// Begins with a new connection.
    pub(crate) fn reset(&mut self) {
        (self.at, self.have, self.continued) = (At::Header, 0, None);
        self.is_first = true;
        self.budget = FrameBudget::new();
        self.partial.clear();
        self.block.clear();
    }

    /// Lets the server send this many more frames that carry no response.
    pub(crate) fn earn(&mut self, frames: u32) {
        self.budget.earn(frames);
    }

    /// The next that the input holds, which is consumed as far as it was needed; `None` if there
    /// is no more in it.
    pub(crate) fn next<'p, 'i: 'p>(
        &'p mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<FramePiece<'p>>, Fault> {
        loop {
            match self.at {
                At::Header => {
                    let Some(header) = self.header(input) else { return Ok(None) };
                    self.at = self.enter(header)?;
                }
                At::DataBegin(header) => {
                    let Some((&padding, rest)) = input.split_first() else { return Ok(None) };
                    *input = rest;
                    let padding = usize::from(padding);
                    let data = header.length.checked_sub(1 + padding).ok_or(Fault::Protocol)?;
                    if data > 0 {
                        self.budget.earn(1);
                    }
                    let (stream, end) = (header.stream, header.has(frame::END_STREAM));
                    self.at = At::Data(Data { stream, end, data, padding });
                    // The length itself counts as well.
                    return Ok(Some(FramePiece::Data { stream, data: 0, flow: 1, end: false }));
                }
                At::Data(Data { stream, end, data, padding }) => {
                    if input.is_empty() && data + padding > 0 {
                        return Ok(None);
                    }
                    let here = data.min(input.len());
                    let pad_here = padding.min(input.len() - here);
                    *input = input.get(here + pad_here..).unwrap_or_default();
                    let (data, padding) = (data - here, padding - pad_here);
                    let is_over = data + padding == 0;
                    self.at = match is_over {
                        true => At::Header,
                        false => At::Data(Data { stream, end, data, padding }),
                    };
                    let flow = (here + pad_here) as u32;
                    let end = end && is_over;
                    return Ok(Some(FramePiece::Data { stream, data: here as u32, flow, end }));
                }
                At::Payload(header) => {
                    let missing = header.length - self.partial.len();
                    let Some((here, rest)) = input.split_at_checked(missing) else {
                        self.partial.extend_from_slice(input);
                        *input = &[];
                        return Ok(None);
                    };
                    *input = rest;
                    self.at = At::Header;
                    if !self.partial.is_empty() {
                        self.partial.extend_from_slice(here);
                    }
                    let is_continued = header.kind == frame::CONTINUATION
                        || (header.kind == frame::HEADERS && !header.has(frame::END_HEADERS));
                    if is_continued {
                        if !self.carry_on(header, here)? {
                            continue;
                        }
                        return Ok(self.whole_block());
                    }
                    let payload = if self.partial.is_empty() { here } else { &self.partial };
                    return finish(header, payload).map(Some);
                }
            }
        }
    }

    fn header(&mut self, input: &mut &[u8]) -> Option<Header> {
        if self.have == 0
            && let Some((bytes, rest)) = input.split_first_chunk()
        {
            *input = rest;
            return Some(Header::parse(*bytes));
        }
        let room = self.header.get_mut(self.have..)?;
        let here = room.len().min(input.len());
        let (bytes, rest) = input.split_at_checked(here)?;
        room.get_mut(..here)?.copy_from_slice(bytes);
        *input = rest;
        self.have += here;
        if self.have < frame::HEADER {
            return None;
        }
        self.have = 0;
        Some(Header::parse(self.header))
    }

    /// Returns the state that a frame's header leads to.
    fn enter(&mut self, header: Header) -> Result<At, Fault> {
        if header.length > frame::PAYLOAD_MAX {
            return Err(Fault::FrameSize);
        }
        // A server's first frame is SETTINGS, and nothing comes between the frames of a block.
        let is_settings = header.kind == frame::SETTINGS && !header.has(frame::ACK);
        let awaited = self.continued.map(|continued| continued.stream);
        let is_awaited = match awaited {
            Some(stream) => header.kind == frame::CONTINUATION && header.stream == stream,
            None => header.kind != frame::CONTINUATION,
        };
        if (self.is_first && !is_settings) || !is_awaited {
            return Err(Fault::Protocol);
        }
        if !std::mem::take(&mut self.is_first) {
            self.budget.spend(header)?;
        }
        self.partial.clear();
        if header.kind != frame::DATA {
            return Ok(At::Payload(header));
        }
        if header.has(frame::PADDED) {
            return if header.length == 0 {
                Err(Fault::FrameSize)
            } else {
                Ok(At::DataBegin(header))
            };
        }
        let (stream, end) = (header.stream, header.has(frame::END_STREAM));
        Ok(At::Data(Data { stream, end, data: header.length, padding: 0 }))
    }

    /// Takes a part of a block; whether it was the last.
    fn carry_on(&mut self, header: Header, here: &[u8]) -> Result<bool, Fault> {
        let payload = if self.partial.is_empty() { here } else { &self.partial };
        if header.kind == frame::HEADERS {
            self.block.clear();
            self.block.extend_from_slice(fragment(header, payload)?);
            let end = header.has(frame::END_STREAM);
            self.continued = Some(Continued { stream: header.stream, end });
        } else {
            self.block.extend_from_slice(payload);
        }
        // Frames without payload could go on for ever.
        if self.block.len() > BLOCK_MAX || (payload.is_empty() && !header.has(frame::END_HEADERS)) {
            return Err(Fault::Excess);
        }
        Ok(header.has(frame::END_HEADERS))
    }

    fn whole_block(&mut self) -> Option<FramePiece<'_>> {
        let Continued { stream, end } = self.continued.take()?;
        Some(FramePiece::Block { stream, end, block: &self.block })
    }
}

fn finish(header: Header, payload: &[u8]) -> Result<FramePiece<'_>, Fault> {
    if header.kind != frame::HEADERS {
        return Ok(FramePiece::Frame(header, payload));
    }
    let (stream, end) = (header.stream, header.has(frame::END_STREAM));
    Ok(FramePiece::Block { stream, end, block: fragment(header, payload)? })
}

/// Returns the part of a block that a HEADERS frame holds.
fn fragment(header: Header, payload: &[u8]) -> Result<&[u8], Fault> {
    let mut rest = payload;
    let mut padding = 0;
    if header.has(frame::PADDED) {
        let (&length, tail) = rest.split_first().ok_or(Fault::FrameSize)?;
        (padding, rest) = (usize::from(length), tail);
    }
    if header.has(frame::WITH_PRIORITY) {
        rest = rest.get(PRIORITY..).ok_or(Fault::FrameSize)?;
    }
    let end = rest.len().checked_sub(padding).ok_or(Fault::Protocol)?;
    Ok(rest.get(..end).unwrap_or_default())
}

/// Bytes of a stream's dependency and weight.
const PRIORITY: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The input put together: data by stream, blocks, other frames.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Came {
        data: Vec<(u32, u32, u32, bool)>,
        blocks: Vec<(u32, bool, Vec<u8>)>,
        frames: Vec<(Header, Vec<u8>)>,
        fault: Option<Fault>,
    }

    impl Came {
        fn take(&mut self, piece: FramePiece<'_>) {
            match piece {
                FramePiece::Block { stream, end, block } => {
                    self.blocks.push((stream, end, block.to_vec()));
                }
                FramePiece::Frame(header, payload) => self.frames.push((header, payload.to_vec())),
                FramePiece::Data { stream, data, flow, end } => match self.data.last_mut() {
                    Some(last) if last.0 == stream && !last.3 => {
                        (last.1, last.2, last.3) = (last.1 + data, last.2 + flow, end);
                    }
                    _ => self.data.push((stream, data, flow, end)),
                },
            }
        }
    }

    fn read(input: &[u8], cuts: &[usize]) -> Came {
        let (mut frames, mut came, mut from) = (Frames::new(), Came::default(), 0);
        for to in cuts.iter().copied().chain([input.len()]) {
            let to = to.clamp(from, input.len());
            let mut piece = &input[from..to];
            loop {
                match frames.next(&mut piece) {
                    Ok(Some(piece)) => came.take(piece),
                    Ok(None) => break,
                    Err(fault) => {
                        came.fault = Some(fault);
                        return came;
                    }
                }
            }
            assert!(piece.is_empty());
            assert!(frames.partial.len() <= frame::PAYLOAD_MAX);
            assert!(frames.block.len() <= BLOCK_MAX);
            from = to;
        }
        came
    }

    fn settings() -> Vec<u8> {
        let mut out = Vec::new();
        frame::put_settings(&[(frame::MAX_FRAME_SIZE, 20_000)], &mut out);
        out
    }

    /// Everything that a server may send: blocks in one frame and in three, padded and not, data.
    fn everything() -> Vec<u8> {
        let mut out = settings();
        let (end, whole) = (frame::END_STREAM, frame::END_HEADERS);
        frame::put(frame::HEADERS, whole, 1, b"one", &mut out);
        let padded = frame::PADDED | frame::WITH_PRIORITY;
        frame::put(frame::HEADERS, end | padded | whole, 3, b"\x02.....two??", &mut out);
        frame::put(frame::HEADERS, end | frame::PADDED, 5, b"\x01th?", &mut out);
        frame::put(frame::CONTINUATION, 0, 5, b"re", &mut out);
        frame::put(frame::CONTINUATION, whole, 5, b"e", &mut out);
        frame::put(frame::DATA, 0, 1, b"hello", &mut out);
        frame::put(frame::DATA, frame::PADDED, 1, b"\x03 world???", &mut out);
        frame::put(frame::DATA, end, 1, b"", &mut out);
        frame::put(frame::PING, 0, 0, b"12345678", &mut out);
        frame::put(0xf0, 0xff, 7, b"unknown", &mut out);
        out
    }

    #[test]
    fn frames_are_read_wherever_they_are_cut() {
        let input = everything();
        let whole = read(&input, &[]);
        let texts: Vec<_> = whole.blocks.iter().map(|b| (b.0, b.1, b.2.as_slice())).collect();
        assert_eq!(texts, [(1, false, &b"one"[..]), (3, true, b"two"), (5, true, b"three")]);
        assert_eq!(whole.data, [(1, 11, 15, true)]);
        let kinds: Vec<_> = whole.frames.iter().map(|frame| frame.0.kind).collect();
        assert_eq!((kinds, whole.fault), (vec![frame::SETTINGS, frame::PING, 0xf0], None));
        for cut in 0..input.len() {
            assert_eq!(read(&input, &[cut]), whole, "at {cut}");
        }
        let every: Vec<usize> = (0..input.len()).collect();
        assert_eq!(read(&input, &every), whole);
    }

    #[test]
    fn frames_that_may_not_be_are_faults() {
        let first = |put: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            put(&mut out);
            out
        };
        let second = |put: &dyn Fn(&mut Vec<u8>)| {
            let mut out = settings();
            put(&mut out);
            out
        };
        let flood = second(&|out| {
            frame::put(frame::HEADERS, 0, 1, b"a", out);
            for _ in 0..=BLOCK_MAX / frame::PAYLOAD_MAX {
                frame::put(frame::CONTINUATION, 0, 1, &[0; frame::PAYLOAD_MAX], out);
            }
        });
        for (input, fault) in [
            (first(&|out| frame::put(frame::PING, 0, 0, &[0; 8], out)), Fault::Protocol),
            (first(&|out| frame::put(frame::SETTINGS, frame::ACK, 0, &[], out)), Fault::Protocol),
            (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), Fault::FrameSize),
            (second(&|out| frame::put_header(16_385, 0xf0, 0, 0, out)), Fault::FrameSize),
            (second(&|out| frame::put(frame::CONTINUATION, 4, 1, b"", out)), Fault::Protocol),
            (second(&|out| frame::put(frame::DATA, frame::PADDED, 1, b"", out)), Fault::FrameSize),
            (
                second(&|out| frame::put(frame::DATA, frame::PADDED, 1, b"\x01", out)),
                Fault::Protocol,
            ),
            (second(&|out| frame::put(frame::HEADERS, 0x24, 1, b"1234", out)), Fault::FrameSize),
            (second(&|out| frame::put(frame::HEADERS, 0xc, 1, b"\x04abc", out)), Fault::Protocol),
            (
                second(&|out| {
                    frame::put(frame::HEADERS, 0, 1, b"a", out);
                    frame::put(frame::CONTINUATION, 4, 3, b"b", out);
                }),
                Fault::Protocol,
            ),
            (
                second(&|out| {
                    frame::put(frame::HEADERS, 0, 1, b"a", out);
                    frame::put(frame::PING, 0, 0, &[0; 8], out);
                }),
                Fault::Protocol,
            ),
            (
                second(&|out| {
                    frame::put(frame::HEADERS, 0, 1, b"a", out);
                    frame::put(frame::CONTINUATION, 0, 1, b"", out);
                }),
                Fault::Excess,
            ),
            (flood, Fault::Excess),
        ] {
            assert_eq!(
                read(&input, &[]).fault,
                Some(fault),
                "{:x?}",
                &input[..input.len().min(80)]
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_the_same_however_they_are_cut(
            tail in proptest::collection::vec(any::<u8>(), 0..100),
            keep in any::<prop::sample::Index>(),
            mut cuts in proptest::collection::vec(0_usize..400, 0..6),
        ) {
            let mut input = everything();
            input.truncate(keep.index(input.len() + 1));
            input.extend_from_slice(&tail);
            cuts.sort_unstable();
            let (one, many) = (read(&input, &[]), read(&input, &cuts));
            prop_assert_eq!(&one.blocks, &many.blocks);
            prop_assert_eq!(&one.frames, &many.frames);
            prop_assert_eq!(one.fault, many.fault);
        }
    }
}
