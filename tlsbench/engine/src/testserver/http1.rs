//! HTTP/1.1 as far as a test needs it: requests are read and counted, and answered alike.

use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::config::{Answer, BodyEncoding};
use super::counters::{ServerCounters, count};
use super::ending::Ending;
use crate::http1::{put_chunk, put_last_chunk};

/// Answers requests until one side ends the connection.
pub(super) fn answer_all(
    stream: &mut (impl Read + Write),
    answer: &Answer,
    counters: &ServerCounters,
) -> io::Result<Ending> {
    let mut reader = RequestReader { unread: Vec::new() };
    while let Some(request) = reader.request(stream, counters)? {
        let number = counters.requests.fetch_add(1, Ordering::SeqCst) + 1;
        match *answer {
            Answer::Body { status, bytes, framing, close } => {
                let close = close || request.close || framing == BodyEncoding::Close;
                stream.write_all(&response(status, bytes, framing, close))?;
                stream.flush()?;
                if close {
                    return Ok(Ending::Close);
                }
            }
            Answer::Garbage => {
                stream.write_all(b"\x00\x01 this is no response\r\n\r\n")?;
                stream.flush()?;
                return Ok(Ending::Close);
            }
            Answer::Http2(_) | Answer::Reset => return Ok(Ending::Reset),
            Answer::LateClose(millis) => {
                stream.write_all(&response(200, 10, BodyEncoding::Length, true))?;
                stream.flush()?;
                thread::sleep(Duration::from_millis(millis));
                return Ok(Ending::Close);
            }
            Answer::Stall => {}
            Answer::StallEvery(every) if number.is_multiple_of(every) => {}
            Answer::StallEvery(_) => {
                stream.write_all(&response(200, 10, BodyEncoding::Length, request.close))?;
                stream.flush()?;
                if request.close {
                    return Ok(Ending::Close);
                }
            }
            Answer::Drip => {
                let mut text = response(200, DRIPPED, BodyEncoding::Length, false);
                text.truncate(text.len() - DRIPPED);
                loop {
                    stream.write_all(&text)?;
                    stream.flush()?;
                    text = vec![FILLER];
                    thread::sleep(DRIP_EVERY);
                }
            }
            Answer::Truncated { promised, sent } => {
                let mut text = response(200, promised, BodyEncoding::Length, false);
                // The head still promises the full length.
                text.truncate(text.len() - promised + sent.min(promised));
                stream.write_all(&text)?;
                stream.flush()?;
                return Ok(Ending::Close);
            }
        }
    }
    Ok(Ending::Close)
}

fn response(status: u16, bytes: usize, framing: BodyEncoding, close: bool) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Fake\r\n").into_bytes();
    if close {
        text.extend_from_slice(b"Connection: close\r\n");
    }
    match framing {
        BodyEncoding::Chunks(size) => {
            text.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            let mut left = bytes;
            while left > 0 {
                let chunk = left.min(size.max(1));
                put_chunk(&vec![FILLER; chunk], &mut text);
                left -= chunk;
            }
            put_last_chunk(b"", &mut text);
        }
        BodyEncoding::Close => {
            text.extend_from_slice(b"\r\n");
            text.resize(text.len() + bytes, FILLER);
        }
        BodyEncoding::Length => {
            text.extend_from_slice(format!("Content-Length: {bytes}\r\n\r\n").as_bytes());
            text.resize(text.len() + bytes, FILLER);
        }
    }
    text
}

struct Request {
    close: bool,
}

struct RequestReader {
    unread: Vec<u8>,
}

impl RequestReader {
    /// Reads a request and its body; `None` if the client ended the connection orderly.
    fn request(
        &mut self,
        stream: &mut impl Read,
        counters: &ServerCounters,
    ) -> io::Result<Option<Request>> {
        let head_end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if self.unread.len() > HEAD_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if !self.more(stream)? {
                if self.unread.is_empty() {
                    count(&counters.orderly);
                }
                return Ok(None);
            }
        };
        let head: Vec<u8> = self.unread.drain(..head_end).collect();
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let header = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let mut body = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while body > 0 {
            if self.unread.is_empty() && !self.more(stream)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let here = self.unread.len().min(body);
            self.unread.drain(..here);
            body -= here;
        }
        Ok(Some(Request { close: header("connection") == Some("close") }))
    }

    fn more(&mut self, stream: &mut impl Read) -> io::Result<bool> {
        let mut read = [0; 4096];
        let length = stream.read(&mut read)?;
        self.unread.extend(read.iter().take(length));
        Ok(length > 0)
    }
}

/// The promised length of a body that drips, and the pause between two bytes of it.
const DRIPPED: usize = 1_000_000;
const DRIP_EVERY: Duration = Duration::from_millis(2);
/// The byte that bodies consist of.
const FILLER: u8 = b'x';

/// Four times what nginx accepts by default.
const HEAD_BYTES_MAX: usize = 32 * 1024;
