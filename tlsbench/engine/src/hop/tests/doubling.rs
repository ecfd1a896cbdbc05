//! The readers of what clients and backends send to a hop, on inputs that double, as
//! `wire::doubling` has it.

use super::super::http1::head;
use super::super::{client_hello, proxy_protocol};
use crate::http1::{BodyDecoder, BodyPiece, ChunkRules, Framing};
use crate::wire::doubling::grows_linearly;

/// Looks at what has come so far, with each piece of it, until it is whole or refused.
fn in_pieces(each: usize, more: impl Fn(&[u8]) -> bool) -> impl Fn(&[u8]) {
    move |bytes| {
        let ends = (1..).map(|piece| piece * each).take_while(|end| *end < bytes.len() + each);
        for end in ends {
            if !more(bytes.get(..end).unwrap_or(bytes)) {
                return;
            }
        }
    }
}

#[test]
fn heads() {
    let request = |bytes: &[u8]| matches!(head::request(bytes, |_, _| Ok(())), Ok(None));
    let response = |bytes: &[u8]| matches!(head::response(bytes, false, |_, _| ()), Ok(None));
    // From the size on that is refused: up to it, each piece is a look at all that has come.
    for (name, size, part) in
        [("fields", 6_000, "a: b\r\n"), ("a field", 33_000, "a"), ("empty lines", 17_000, "\r\n")]
    {
        let of = |line: &str| {
            let line = line.to_owned();
            move |n: usize| [&line, "a: ", &part.repeat(n)].concat().into_bytes()
        };
        let begin =
            if part == "\r\n" { ["", ""] } else { ["GET / HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n"] };
        grows_linearly(name, size, of(begin[0]), in_pieces(1_024, request));
        grows_linearly(name, size, of(begin[1]), in_pieces(1_024, response));
    }
}

#[test]
fn bodies() {
    let read = |bytes: &[u8]| {
        let mut decoder = BodyDecoder::new(Framing::Chunked, ChunkRules::Strict);
        let mut rest = bytes;
        while let Ok(BodyPiece::Data(taken) | BodyPiece::Skip(taken)) = decoder.next(rest) {
            rest = rest.get(taken..).unwrap_or_default();
        }
    };
    for (name, before, part) in [
        ("chunks", "", "1\r\na\r\n"),
        ("extensions", "", "1;a=b\r\na\r\n"),
        ("trailers", "0\r\n", "a: b\r\n"),
        ("trailers that do not go on", "0\r\n", "host: b\r\n"),
        ("a size", "", "1"),
    ] {
        let make = |n: usize| [before, &part.repeat(n)].concat().into_bytes();
        grows_linearly(name, 4_000, make, read);
    }
}

#[test]
fn what_comes_before_http() {
    let hello = |bytes: &[u8]| {
        matches!(client_hello::read(bytes), Ok(client_hello::ClientHello::Unfinished))
    };
    // A message in records of a byte each, of more bytes than a hello has.
    let records = |n: usize| [22, 3, 1, 0, 1, 1].repeat(n);
    grows_linearly("records", 4_000, records, in_pieces(1_024, hello));
    let preamble = |bytes: &[u8]| {
        matches!(proxy_protocol::read(bytes), Ok(proxy_protocol::ProxyHeader::Unfinished))
    };
    let line = |n: usize| [b"PROXY TCP4 ", &*vec![b'1'; n]].concat();
    grows_linearly("a line", 4_000, line, in_pieces(16, preamble));
    let fields = |n: usize| {
        let head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff";
        [&head[..], &vec![0; n]].concat()
    };
    grows_linearly("fields of version 2", 4_000, fields, in_pieces(16, preamble));
}
