//! The readers of what servers send, on inputs that double: the work grows with them and no faster,
//! or a stated limit refuses them. Each input comes in one piece, and byte by byte.
//!
//! Work is CPU time of the thread, so that a busy machine does not count. Four doublings may cost
//! three times their share: what is quadratic costs sixteen times it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::response::ResponseReader;
use crate::http2::{FramePiece, Frames, HpackDecoder, frame};

fn work(f: impl FnOnce()) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let before = now();
    f();
    now().saturating_sub(before)
}

/// Reads what `make` makes of a size and of sixteen times that, and compares.
pub(crate) fn grows_linearly(
    name: &str,
    size: usize,
    make: impl Fn(usize) -> Vec<u8>,
    read: impl Fn(&[u8]),
) {
    let (small, large) = (make(size), make(size * 16));
    // The least of several: interrupts and page faults only ever add.
    let least =
        |bytes: &[u8], times: usize| (0..times).map(|_| work(|| read(bytes))).min().unwrap();
    let (one, sixteen) = (least(&small, 5), least(&large, 2));
    let most = (one * 16 * 3).max(NOISE);
    assert!(sixteen <= most, "{name}: {one:?} became {sixteen:?}, of {} bytes", large.len());
}

/// A full-size input that is read faster than this is no burden, and too short to compare.
const NOISE: Duration = Duration::from_millis(20);

fn read_response(pieces: usize) -> impl Fn(&[u8]) {
    move |bytes| {
        let mut reader = ResponseReader::new();
        reader.begin(false);
        for piece in bytes.chunks(pieces) {
            if reader.push(piece).is_err() {
                return;
            }
        }
    }
}

#[test]
fn responses() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, size, before, part) in [
        ("chunks", 2_000, chunked, "1\r\na\r\n"),
        ("extensions", 2_000, chunked, "1;a=b\r\na\r\n"),
        (
            "trailers",
            2_000,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            "a: b\r\n",
        ),
        ("interim responses", 1_000, "", "HTTP/1.1 103 Early\r\nA: b\r\n\r\n"),
        ("fields", 2_000, "HTTP/1.1 200 OK\r\n", "a: b\r\n"),
        ("a field", 20_000, "HTTP/1.1 200 OK\r\na: ", "b"),
        ("empty lines", 9_000, "", "\r\n"),
        ("a body without a length", 20_000, "HTTP/1.1 200 OK\r\n\r\n", "b"),
    ] {
        let make = |n: usize| [before, &part.repeat(n)].concat().into_bytes();
        grows_linearly(name, size, make, read_response(usize::MAX));
        grows_linearly(name, size, make, read_response(16));
    }
}

fn read_frames(pieces: usize) -> impl Fn(&[u8]) {
    move |bytes| {
        let (mut frames, mut decoder) = (Frames::new(), HpackDecoder::new());
        for mut piece in bytes.chunks(pieces) {
            loop {
                match frames.next(&mut piece) {
                    Ok(Some(FramePiece::Block { block, .. })) => {
                        if decoder.decode(block).is_err() {
                            return;
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    }
}

fn framed(kind: u8, flags: u8, payload: &[u8], times: usize) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put_settings(&[], &mut out);
    for _ in 0..times {
        frame::put(kind, flags, 1, payload, &mut out);
    }
    out
}

#[test]
fn frames_and_their_header_blocks() {
    let whole = frame::END_HEADERS;
    // A literal that stays in the table, and so drives others out of it.
    let kept = [&[0x40, 1, b'a', 1][..], b"b"].concat();
    for (name, kind, flags, payload, size) in [
        ("settings", frame::SETTINGS, 0, &[0, 4, 0, 0, 0, 1][..], 1_000),
        ("data without a byte", frame::DATA, 0, b"", 1_000),
        ("padding", frame::DATA, frame::PADDED, b"\x03abc", 1_000),
        ("unknown frames", 0xee, 0, b"abc", 1_000),
        ("blocks", frame::HEADERS, whole, &kept, 1_000),
        ("blocks without an end", frame::HEADERS, 0, b"", 1_000),
    ] {
        let make = |n| framed(kind, flags, payload, n);
        grows_linearly(name, size, make, read_frames(usize::MAX));
        grows_linearly(name, size, make, read_frames(1));
    }
    let continued = |n: usize| {
        let mut out = framed(frame::HEADERS, 0, &kept, 1);
        for _ in 0..n {
            frame::put(frame::CONTINUATION, 0, 1, &kept, &mut out);
        }
        out
    };
    grows_linearly("continuations", 1_000, continued, read_frames(usize::MAX));
}

#[test]
fn header_blocks() {
    let decode = |bytes: &[u8]| {
        let _ = HpackDecoder::new().decode(bytes);
    };
    let kept = b"\x40\x01a\x01b";
    for (name, part) in [
        ("fields that are kept", &kept[..]),
        ("fields of the table", b"\x88"),
        ("sizes of the table", b"\x20"),
        ("numbers without an end", b"\xff"),
        ("coded texts", b"\x00\x81\x1f\x81\x1f"),
    ] {
        grows_linearly(name, 4_000, |n| part.repeat(n), decode);
    }
    let text = |n: usize| {
        // A literal whose length is a number of four bytes behind the first.
        let digit = |at: usize| ((n - 127) >> (7 * at)) as u8 & 0x7f;
        let number = [digit(0) | 0x80, digit(1) | 0x80, digit(2) | 0x80, digit(3)];
        [&[0x00, 0x01, b'a', 0xff][..], &number, &vec![0x1f; n]].concat()
    };
    grows_linearly("a coded text", 20_000, text, decode);
}
