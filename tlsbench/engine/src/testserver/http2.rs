//! HTTP/2 as far as a test needs it: frames are read and counted, and answered as a script says.
//!
//! Header blocks of requests are not looked into, and a test says itself what is wrong with the
//! answer: bytes are written as they stand in the script.

use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;

use super::counters::{ServerCounters, count};
use super::ending::Ending;
use crate::http2::frame::{self, Header};

/// The script of a test server for HTTP/2: it sends `hello`, and `each` for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// Frames after its own empty SETTINGS; empty for none.
    pub hello: &'static [u8],
    /// Frames for each request once it is whole, in which a stream number of [`Script::STREAM`]
    /// stands for the request's own.
    pub each: &'static [u8],
    /// Requests after which it closes the connection; 0 for never.
    pub close_after: u32,
    /// One in this many requests to the server is not answered; 0 for none.
    pub silent_every: u64,
    /// True if DATA of a request is answered by larger windows, as much as came.
    pub gives_back: bool,
}

impl Script {
    /// The placeholder for the stream of the request.
    pub const STREAM: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];

    /// A server that answers `:status: 200` without a body.
    #[must_use]
    pub const fn plain() -> Self {
        let each = b"\x00\x00\x01\x01\x05\x7f\xff\xff\xff\x88";
        Self { hello: b"", each, close_after: 0, silent_every: 0, gives_back: true }
    }
}

/// Answers requests until one side ends the connection.
pub(super) fn answer_all(
    stream: &mut (impl Read + Write),
    script: &Script,
    counters: &ServerCounters,
) -> io::Result<Ending> {
    let mut preface = [0; frame::PREFACE.len()];
    stream.read_exact(&mut preface)?;
    if preface != frame::PREFACE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut out = Vec::new();
    frame::put_settings(&[], &mut out);
    out.extend_from_slice(script.hello);
    stream.write_all(&out)?;
    stream.flush()?;
    let mut requests = 0;
    let mut payload = Vec::new();
    loop {
        let mut header = [0; frame::HEADER];
        if let Err(error) = stream.read_exact(&mut header) {
            let is_end = error.kind() == io::ErrorKind::UnexpectedEof;
            return if is_end { Ok(Ending::Close) } else { Err(error) };
        }
        let header = Header::parse(header);
        payload.resize(header.length, 0);
        stream.read_exact(&mut payload)?;
        out.clear();
        let is_message = matches!(header.kind, frame::HEADERS | frame::DATA);
        match header.kind {
            frame::PING if header.has(frame::ACK) => count(&counters.pongs),
            frame::RST_STREAM => count(&counters.resets),
            frame::GOAWAY => {
                count(&counters.goodbyes);
                return Ok(Ending::Close);
            }
            frame::DATA if script.gives_back && !payload.is_empty() => {
                let more = header.length as u32;
                frame::put_window(0, more, &mut out);
                frame::put_window(header.stream, more, &mut out);
            }
            _ => {}
        }
        if is_message && header.has(frame::END_STREAM) {
            let number = counters.requests.fetch_add(1, Ordering::SeqCst) + 1;
            requests += 1;
            if script.silent_every == 0 || !number.is_multiple_of(script.silent_every) {
                answer(script.each, header.stream, &mut out);
            }
        }
        stream.write_all(&out)?;
        stream.flush()?;
        if requests == script.close_after && requests > 0 {
            return Ok(Ending::Close);
        }
    }
}

fn answer(mut script: &[u8], stream: u32, out: &mut Vec<u8>) {
    while let Some((first, rest)) = script.split_first() {
        if let Some(rest) = script.strip_prefix(&Script::STREAM) {
            out.extend_from_slice(&stream.to_be_bytes());
            script = rest;
        } else {
            out.push(*first);
            script = rest;
        }
    }
}
