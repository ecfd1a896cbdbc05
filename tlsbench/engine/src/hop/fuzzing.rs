//! Properties of the built-in hops' readers: what is refused stays refused, and what goes on is one
//! message that the next reader takes for the same.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a property that does not hold is a panic"
)]

use std::net::{Ipv4Addr, SocketAddr};

use tlsbench_core::hop::Forwarded;

use super::client_hello::{self, ClientHello};
use super::http1::head::{self, BadHead, RequestFacts, ResponseFacts};
use super::http1::rewrite::{self, Rewrite};
use super::proxy_protocol::{self, Addresses, ProxyHeader};
use crate::http1::{BodyDecoder, BodyPiece, ChunkRules, Framing, put_chunk, put_last_chunk};

/// Splits off the first byte, which chooses options, and a place to cut the rest.
fn options(input: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (&[options, cut], input) = input.split_first_chunk()?;
    Some((options, input.len() * usize::from(cut) / 256, input))
}

/// Requests: one that is refused by its beginning stays refused, and what is forwarded is one head
/// with the same framing, said once.
pub fn forwarded_request(input: &[u8]) {
    let Some((options, cut, input)) = options(input) else { return };
    let rewrite = Rewrite {
        forwarded: [Forwarded::Set, Forwarded::Append, Forwarded::Keep][usize::from(options) % 3],
        addresses: Addresses { from: address(40_000), to: address(80) },
        tls: options & 4 != 0,
        closes: options & 8 != 0,
    };
    let forward = |input: &[u8]| -> Result<Option<(RequestFacts, Vec<u8>)>, BadHead> {
        head::request(input, |request, facts| {
            let mut out = Vec::new();
            rewrite::put_request(request, facts, &rewrite, &mut out)?;
            Ok(out)
        })
    };
    let whole = forward(input);
    stays_refused(&forward(&input[..cut]), &whole);
    let Ok(Some((facts, out))) = whole else { return };
    let (again, _) = head::request(&out, |_, _| Ok(()))
        .expect("a forwarded head is refused")
        .expect("a forwarded head is not whole");
    assert_eq!(again.bytes, out.len(), "a forwarded head is more than one");
    assert_eq!(again.framing, facts.framing, "a forwarded head has another framing");
    assert_eq!(again.is_head, facts.is_head);
    said_once(&out, facts.framing);
}

/// Responses: the same properties.
pub fn forwarded_response(input: &[u8]) {
    let Some((options, cut, input)) = options(input) else { return };
    let to_head = options & 1 != 0;
    let forward = |input: &[u8]| -> Result<Option<(ResponseFacts, Vec<u8>)>, BadHead> {
        head::response(input, to_head, |response, facts| {
            let mut out = Vec::new();
            rewrite::put_response(response, facts, facts.framing, b"", &mut out);
            out
        })
    };
    let whole = forward(input);
    stays_refused(&forward(&input[..cut]), &whole);
    let Ok(Some((facts, out))) = whole else { return };
    let (again, ()) = head::response(&out, to_head, |_, _| ())
        .expect("a forwarded head is refused")
        .expect("a forwarded head is not whole");
    assert_eq!(again.bytes, out.len(), "a forwarded head is more than one");
    assert_eq!((again.status, again.framing), (facts.status, facts.framing));
    said_once(&out, facts.framing);
}

fn stays_refused<T>(begun: &Result<Option<T>, BadHead>, whole: &Result<Option<T>, BadHead>) {
    match begun {
        Err(why) => assert!(whole.is_err(), "refused at its beginning ({why}), and taken later"),
        Ok(Some(_)) => assert!(matches!(whole, Ok(Some(_))), "whole, and not with more behind it"),
        Ok(None) => {}
    }
}

/// The framing stands in exactly one field, or in none.
fn said_once(head: &[u8], framing: Framing) {
    let text = head.to_ascii_lowercase();
    let count = |name: &str| text.windows(name.len()).filter(|at| *at == name.as_bytes()).count();
    let (lengths, encodings) = (count("\ncontent-length:"), count("\ntransfer-encoding:"));
    let wanted = match framing {
        Framing::Chunked => (0, 1),
        Framing::Length(_) => (1, 0),
        Framing::UntilClose => (0, 0),
        // With a response to HEAD, and with 304, a length tells of a body that does not come.
        Framing::None => (lengths.min(1), 0),
    };
    assert_eq!((lengths, encodings), wanted, "{}", String::from_utf8_lossy(head));
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Chunked bodies: where they were cut makes no difference, and what is written of one is read back
/// equal.
pub fn chunked(input: &[u8]) {
    let Some((_, cut, input)) = options(input) else { return };
    let whole = decode(&[input]);
    assert_eq!(whole, decode(&[&input[..cut], &input[cut..]]), "cut at {cut}");
    let Some(Body { data, trailers, .. }) = whole.filter(|body| body.is_over) else { return };
    let mut written = Vec::new();
    put_chunk(&data, &mut written);
    put_last_chunk(&trailers, &mut written);
    let again = decode(&[&written]).expect("its own body is refused");
    assert_eq!((again.data, again.trailers, again.left), (data, trailers, Vec::new()));
}

#[derive(Debug, PartialEq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<u8>,
    is_over: bool,
    left: Vec<u8>,
}

/// Reads a body from pieces as a connection has them; `None` if it is refused.
fn decode(pieces: &[&[u8]]) -> Option<Body> {
    let mut decoder = BodyDecoder::new(Framing::Chunked, ChunkRules::Strict);
    let (mut data, mut buffer, mut is_over) = (Vec::new(), Vec::new(), false);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while !is_over {
            match decoder.next(&buffer).ok()? {
                BodyPiece::Data(bytes) => data.extend(buffer.drain(..bytes)),
                BodyPiece::Skip(bytes) => drop(buffer.drain(..bytes)),
                BodyPiece::End => is_over = true,
                BodyPiece::More => break,
            }
        }
    }
    Some(Body { data, trailers: decoder.trailers().to_vec(), is_over, left: buffer })
}

/// ClientHellos: what is known by a beginning stays as it is, refused or read.
pub fn client_hello(input: &[u8]) {
    let Some((_, cut, input)) = options(input) else { return };
    match client_hello::read(&input[..cut]) {
        Ok(ClientHello::Unfinished) => {}
        known => assert_eq!(client_hello::read(input), known, "cut at {cut}"),
    }
}

/// Headers of the PROXY protocol: the same, and what is written of one is read back equal.
pub fn proxy_protocol(input: &[u8]) {
    let Some((_, cut, input)) = options(input) else { return };
    let whole = proxy_protocol::read(input);
    match proxy_protocol::read(&input[..cut]) {
        Ok(ProxyHeader::Unfinished) => {}
        known => assert_eq!(whole, known, "cut at {cut}"),
    }
    if let Ok(ProxyHeader::Whole { bytes, addresses }) = whole {
        assert!(bytes <= input.len());
        let Some(addresses) = addresses else { return };
        let mut written = Vec::new();
        proxy_protocol::write(&addresses, &mut written);
        let Ok(ProxyHeader::Whole { bytes, addresses: Some(again) }) =
            proxy_protocol::read(&written)
        else {
            panic!("its own header is refused");
        };
        assert_eq!(
            (bytes, again.from.port(), again.to.port()),
            (written.len(), addresses.from.port(), addresses.to.port())
        );
        let same = |a: SocketAddr, b: SocketAddr| a.ip().to_canonical() == b.ip().to_canonical();
        assert!(same(again.from, addresses.from) && same(again.to, addresses.to));
    }
}
