//! Responses: head and body, from pieces of any size.

use std::mem::MaybeUninit;

use thiserror::Error;
use tlsbench_core::tally::{Detail, Failed, Failure};

use crate::http1::{BadChunk, BodyDecoder, BodyPiece, ChunkRules, Framing};

/// A response that was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseSummary {
    /// The status.
    pub status: u16,
    /// Bytes of the body, without its encoding.
    pub body_bytes: u64,
    /// True if the connection may carry another request.
    pub reusable: bool,
}

/// The reason why bytes are no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// A chunk's size or end is not what it must be.
    #[error("the chunked body is malformed")]
    Chunk,
    /// A line of the head is no header.
    #[error("a header line is malformed")]
    Header,
    /// The head is too long.
    #[error("the head has more than {HEAD_MAX} bytes")]
    HeadTooLong,
    /// Content-Length is no number, or two numbers.
    #[error("`Content-Length` is malformed")]
    Length,
    /// The first line is none of HTTP/1.
    #[error("the first line is no status line of HTTP/1")]
    NotHttp,
    /// Bytes came that belong to no response.
    #[error("bytes after the end of the response")]
    Surplus,
    /// The head has too many headers.
    #[error("the head has more than {HEADERS_MAX} headers")]
    TooManyHeaders,
}

impl From<BadChunk> for Malformed {
    fn from(_: BadChunk) -> Self {
        Self::Chunk
    }
}

impl From<Malformed> for Failed {
    fn from(malformed: Malformed) -> Self {
        let detail = match malformed {
            Malformed::Chunk => Detail::ChunkedBody,
            Malformed::Header => Detail::Header,
            Malformed::HeadTooLong => Detail::HeadTooLarge,
            Malformed::Length => Detail::ContentLength,
            Malformed::NotHttp => Detail::NotHttp,
            Malformed::Surplus => Detail::BytesBehind,
            Malformed::TooManyHeaders => Detail::TooManyHeaders,
        };
        Self::of(Failure::ResponseMalformed, detail)
    }
}

/// Reads one response after the other. Memory for a head that comes in pieces is kept.
#[derive(Debug)]
pub struct ResponseReader {
    state: ReaderState,
    partial: Vec<u8>,
    /// Bytes of `partial` that were parsed and found to be no complete head.
    parsed: usize,
    /// Bytes of `partial` that are empty lines before the head, which end nothing.
    blank: usize,
    head_only: bool,
    status: u16,
    body_bytes: u64,
    reusable: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum ReaderState {
    Body(BodyDecoder),
    Done,
    Head,
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseReader {
    /// A reader that waits for nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: ReaderState::Done,
            partial: Vec::new(),
            parsed: 0,
            blank: 0,
            head_only: false,
            status: 0,
            body_bytes: 0,
            reusable: false,
        }
    }

    /// Begins with a response; one to HEAD has no body.
    pub fn begin(&mut self, head_only: bool) {
        self.state = ReaderState::Head;
        self.partial.clear();
        (self.parsed, self.blank) = (0, 0);
        self.head_only = head_only;
        self.body_bytes = 0;
    }

    /// Takes a piece. The answer comes with the piece that ends the response; nothing may follow.
    ///
    /// # Errors
    /// Fails when the bytes are no HTTP response, or more than one.
    pub fn push(&mut self, mut input: &[u8]) -> Result<Option<ResponseSummary>, Malformed> {
        while !input.is_empty() {
            match &mut self.state {
                ReaderState::Done => return Err(Malformed::Surplus),
                ReaderState::Head => input = self.push_head(input)?,
                ReaderState::Body(body) => {
                    let consumed = match body.next(input)? {
                        BodyPiece::Data(bytes) => {
                            self.body_bytes += bytes as u64;
                            bytes
                        }
                        BodyPiece::Skip(bytes) => bytes,
                        BodyPiece::End | BodyPiece::More => 0,
                    };
                    input = input.get(consumed..).unwrap_or_default();
                    if body.is_done() {
                        self.state = ReaderState::Done;
                    }
                }
            }
            if self.state == ReaderState::Done {
                return if input.is_empty() {
                    Ok(Some(self.answer()))
                } else {
                    Err(Malformed::Surplus)
                };
            }
        }
        Ok(None)
    }

    /// The server said that no more will come: the end of a response without a length. Nothing
    /// when the response is not whole.
    ///
    /// # Errors
    /// Fails when what came is not even the beginning of a head.
    pub fn end(&mut self) -> Result<Option<ResponseSummary>, Malformed> {
        match &self.state {
            ReaderState::Body(body) if body.may_end() => {
                self.state = ReaderState::Done;
                Ok(Some(self.answer()))
            }
            ReaderState::Head => parse(&self.partial).map(|_| None),
            ReaderState::Body(_) | ReaderState::Done => Ok(None),
        }
    }

    /// Returns whether anything of the response came.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.state != ReaderState::Head || !self.partial.is_empty()
    }

    /// Returns the part that a response lacks which ended early.
    pub(crate) fn missing(&self) -> Detail {
        match &self.state {
            ReaderState::Head if self.partial.is_empty() => Detail::NoAnswer,
            ReaderState::Head => Detail::InHead,
            ReaderState::Body(_) | ReaderState::Done => Detail::InBody,
        }
    }

    const fn answer(&self) -> ResponseSummary {
        ResponseSummary {
            status: self.status,
            body_bytes: self.body_bytes,
            reusable: self.reusable,
        }
    }

    /// Takes a piece of a head: from the input when it is whole there, else by way of `partial`.
    fn push_head<'i>(&mut self, input: &'i [u8]) -> Result<&'i [u8], Malformed> {
        if self.partial.is_empty() {
            if let Some(head) = parse(input)? {
                self.enter(&head);
                return Ok(input.get(head.length..).unwrap_or_default());
            }
            self.partial.extend_from_slice(input);
            (self.parsed, self.blank) = (input.len(), 0);
            return Ok(&[]);
        }
        let before = self.partial.len();
        let room = HEAD_MAX.saturating_sub(before).min(input.len());
        self.partial.extend_from_slice(input.get(..room).unwrap_or_default());
        // A head that comes line by line would otherwise be parsed as often as it has lines: only
        // its end, or twice as much of it as the last time, is worth looking at.
        let is_long = self.partial.len() >= HEAD_MAX.min(self.parsed.saturating_mul(2));
        let unread = self.partial.get(self.blank..).unwrap_or_default();
        let is_blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        self.blank += unread.iter().take_while(is_blank).count();
        let from = before.saturating_sub(END_OF_HEAD_MAX - 1).max(self.blank);
        if !is_long && !has_end(self.partial.get(from..).unwrap_or_default()) {
            return Ok(&[]);
        }
        self.parsed = self.partial.len();
        let Some(head) = parse(&self.partial)? else { return Ok(&[]) };
        self.partial.clear();
        self.enter(&head);
        Ok(input.get(head.length.saturating_sub(before)..).unwrap_or_default())
    }

    fn enter(&mut self, head: &ResponseHead) {
        if (100..200).contains(&head.status) && head.status != 101 {
            return;
        }
        self.status = head.status;
        self.reusable = head.reusable;
        let bodiless = self.head_only || matches!(head.status, 101 | 204 | 304);
        self.state = match head.body {
            _ if bodiless => ReaderState::Done,
            Framing::Length(0) => ReaderState::Done,
            body => ReaderState::Body(BodyDecoder::new(body, ChunkRules::Lenient)),
        };
        // Nothing can follow a body on its connection that ends with the connection.
        let until_close = !bodiless && head.body == Framing::UntilClose;
        self.reusable &= head.status != 101 && !until_close;
    }
}

struct ResponseHead {
    length: usize,
    status: u16,
    body: Framing,
    reusable: bool,
}

/// Returns whether an empty line is among these bytes, which ends a head.
fn has_end(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| {
        let rest = bytes.get(at + 1..).unwrap_or_default();
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    })
}

/// Parses a head; `None` while it is not whole. Most have few headers, which need no memory.
fn parse(input: &[u8]) -> Result<Option<ResponseHead>, Malformed> {
    match parse_with(input, &mut [const { MaybeUninit::uninit() }; HEADERS_FEW]) {
        // The large array is allocated only for the rare response that needs it.
        Err(Malformed::TooManyHeaders) => {
            parse_with(input, &mut vec![MaybeUninit::uninit(); HEADERS_MAX])
        }
        other => other,
    }
}

fn parse_with<'i>(
    input: &'i [u8],
    headers: &mut [MaybeUninit<httparse::Header<'i>>],
) -> Result<Option<ResponseHead>, Malformed> {
    // httparse has no limit of its own, so it is shown no more than the limit.
    let window = input.get(..HEAD_MAX).unwrap_or(input);
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    // A client has to take a folded header, though no server may send one (RFC 9112, section 5.2).
    config.allow_obsolete_multiline_headers_in_responses(true);
    let length = match config.parse_response_with_uninit_headers(&mut response, window, headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if window.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(Malformed::HeadTooLong),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooManyHeaders),
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => {
            return Err(Malformed::Header);
        }
        Err(_) => return Err(Malformed::NotHttp),
    };
    let mut body = Framing::UntilClose;
    let mut reusable = response.version == Some(1);
    for header in response.headers.iter() {
        // By length first: most headers are none of these, and comparing names costs more.
        match header.name.len() {
            10 if header.name.eq_ignore_ascii_case("connection") => {
                reusable = connection(header.value, reusable);
            }
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                body = with_length(body, number(header.value)?)?;
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                body = with_encoding(header.value);
            }
            _ => {}
        }
    }
    let status = response.code.filter(|status| *status >= 100).ok_or(Malformed::NotHttp)?;
    Ok(Some(ResponseHead { length, status, body, reusable }))
}

fn connection(value: &[u8], reusable: bool) -> bool {
    let has = |word: &[u8]| {
        value.split(|&byte| byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(word))
    };
    !has(b"close") && (reusable || has(b"keep-alive"))
}

/// An encoding takes precedence over a length; one that is not chunked ends with the connection.
fn with_encoding(value: &[u8]) -> Framing {
    let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
    if last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
        Framing::Chunked
    } else {
        Framing::UntilClose
    }
}

fn with_length(body: Framing, length: u64) -> Result<Framing, Malformed> {
    match body {
        Framing::Chunked => Ok(body),
        Framing::Length(other) if other != length => Err(Malformed::Length),
        Framing::Length(_) | Framing::None | Framing::UntilClose => Ok(Framing::Length(length)),
    }
}

fn number(value: &[u8]) -> Result<u64, Malformed> {
    let digits = value.trim_ascii();
    if digits.is_empty() {
        return Err(Malformed::Length);
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = char::from(*digit).to_digit(10).ok_or(Malformed::Length)?;
        sum.checked_mul(10).and_then(|sum| sum.checked_add(digit.into())).ok_or(Malformed::Length)
    })
}

/// Bytes of a head, as curl takes them (`MAX_HTTP_RESP_HEADER_SIZE`).
const HEAD_MAX: usize = 300 * 1024;
/// Fields of a head, as curl takes them (`MAX_HTTP_RESP_HEADER_COUNT`).
const HEADERS_MAX: usize = 5_000;
/// Responses of real servers have 5 to 40.
const HEADERS_FEW: usize = 100;
/// The longest end of a head: CR LF CR LF.
const END_OF_HEAD_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a response that arrives in pieces cut at these places, and then ends.
    fn read(
        input: &[u8],
        cuts: &[usize],
        head_only: bool,
    ) -> Result<Option<ResponseSummary>, Malformed> {
        let mut reader = ResponseReader::new();
        reader.begin(head_only);
        let mut from = 0;
        let mut found = None;
        for to in cuts.iter().copied().chain([input.len()]) {
            let to = to.clamp(from, input.len());
            let piece = reader.push(&input[from..to])?;
            found = found.or(piece);
            from = to;
        }
        let end = reader.end()?;
        Ok(found.or(end))
    }

    fn whole(text: &str) -> Result<Option<ResponseSummary>, Malformed> {
        read(text.as_bytes(), &[], false)
    }

    fn answer(
        status: u16,
        body_bytes: u64,
        reusable: bool,
    ) -> Result<Option<ResponseSummary>, Malformed> {
        Ok(Some(ResponseSummary { status, body_bytes, reusable }))
    }

    const GOOD: &[(&str, u16, u64, bool)] = &[
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5, true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: close\r\n\r\n", 200, 0, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, 2, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\nok", 200, 2, true),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, 13, false),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, 0, true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, 0, true),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 201 C\r\nContent-Length: 1\r\n\r\n.",
            201,
            1,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
            200,
            31,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n0\r\nTrailer: a\r\nOther: b\r\n\r\n",
            200,
            0,
            true,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 200, 3, true),
    ];

    #[test]
    fn responses_are_read_to_their_end_wherever_they_are_cut() {
        for &(text, status, body, reusable) in GOOD {
            let expected = answer(status, body, reusable);
            assert_eq!(whole(text), expected, "{text}");
            for cut in 0..text.len() {
                assert_eq!(read(text.as_bytes(), &[cut], false), expected, "{text} at {cut}");
            }
            let every: Vec<usize> = (0..text.len()).collect();
            assert_eq!(read(text.as_bytes(), &every, false), expected, "{text} by bytes");
        }
    }

    #[test]
    fn a_response_to_head_has_no_body() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
        assert_eq!(read(text, &[], true), answer(200, 0, true));
    }

    #[test]
    fn what_is_no_response_is_named() {
        for (text, why) in [
            ("hello\r\n\r\n", Malformed::NotHttp),
            ("SSH-2.0-x\r\n", Malformed::NotHttp),
            ("HTTP/1.1 099 X\r\n\r\n", Malformed::NotHttp),
            ("\x15\x03\x01\x00\x02\x02\x16", Malformed::NotHttp),
            ("HTTP/1.1 200 OK\r\nno header\r\n\r\n", Malformed::Header),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Malformed::Length),
            ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Malformed::Length),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", Malformed::Length),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                Malformed::Length,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", Malformed::Surplus),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", Malformed::Chunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", Malformed::Chunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", Malformed::Chunk),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1234567890123456\r\n",
                Malformed::Chunk,
            ),
        ] {
            assert_eq!(whole(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_head_has_a_limit_wherever_it_is_cut() {
        let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(HEAD_MAX));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        for (text, why) in [(long, Malformed::HeadTooLong), (many, Malformed::TooManyHeaders)] {
            for cuts in [&[][..], &[1], &[100, 8_000], &[HEAD_MAX - 1], &[HEAD_MAX]] {
                let found = read(text.as_bytes(), cuts, false);
                assert_eq!(found, Err(why), "{cuts:?}");
            }
        }
    }

    #[test]
    fn heads_of_the_size_that_curl_takes_are_read() {
        let long = "x".repeat(290 * 1024);
        let many = "A: b\r\n".repeat(HEADERS_MAX - 1);
        for headers in [format!("A: {long}\r\n"), many] {
            let text = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\nok");
            for cuts in [&[][..], &[1], &[100, 8_000], &[text.len() - 4], &[text.len() - 3]] {
                assert_eq!(read(text.as_bytes(), cuts, false), answer(200, 2, true), "{cuts:?}");
            }
        }
    }

    #[test]
    fn a_folded_header_is_taken_as_a_client_has_to() {
        let text = "HTTP/1.1 200 OK\r\nA: b\r\n  c\r\nContent-Length:\r\n 2\r\n\r\nok";
        assert_eq!(whole(text), answer(200, 2, true));
    }

    #[test]
    fn a_head_that_comes_line_by_line_is_parsed_a_bounded_number_of_times() {
        let mut reader = ResponseReader::new();
        reader.begin(false);
        let (mut parsed, mut times) = (0, 0);
        reader.push(b"HTTP/1.1 200 OK\r\n").unwrap();
        for _ in 0..HEADERS_MAX {
            reader.push(b"A: b\r\n").unwrap();
            times += usize::from(reader.parsed != parsed);
            parsed = reader.parsed;
        }
        // Twice as much each time: the logarithm of 30,000 over 17.
        assert!(times <= 12, "{times}");
    }

    #[test]
    fn a_response_that_stops_early_has_no_end() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        ] {
            assert_eq!(whole(text), Ok(None), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_the_same_however_they_are_cut(
            tail in proptest::collection::vec(any::<u8>(), 0..200),
            prefix in 0..GOOD.len() + 1,
            keep in any::<prop::sample::Index>(),
            cuts in proptest::collection::vec(0_usize..400, 0..6),
        ) {
            let mut input = GOOD.get(prefix).map_or(vec![], |good| good.0.as_bytes().to_vec());
            if !input.is_empty() {
                input.truncate(keep.index(input.len()));
            }
            input.extend_from_slice(&tail);
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (one, many) = (read(&input, &[], false), read(&input, &cuts, false));
            prop_assert_eq!(one, many);
        }
    }
}
