//! Details of HTTP on which clients and servers rely.

use std::future::poll_fn;

use http::{HeaderValue, Method, Request};
use tlsbench_core::scenario::ProtocolName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::http2::frame;
use crate::tls::Alpn;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";

async fn read_until(peer: &mut Peer, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        assert!(peer.read_buf(&mut seen).await.unwrap() > 0, "it ended");
    }
    String::from_utf8(seen).unwrap()
}

/// Returns what the next hop is asked when a client says this, and what the client gets when the
/// next hop answers that.
async fn exchange(said: &str, answer: &[u8], end: &str) -> (String, String, SocketAddr) {
    let (listener, to) = listen().await;
    let hop = start(&hop(HopKind::Http, to));
    let mut client = connect(hop.address(), None).await.unwrap();
    client.write_all(said.as_bytes()).await.unwrap();
    let mut server = accept(&listener, None).await.unwrap();
    let asked = read_until(&mut server, "\r\n\r\n").await;
    server.write_all(answer).await.unwrap();
    (asked, read_until(&mut client, end).await, hop.address())
}

#[test]
fn hints_go_on_to_who_knows_them() {
    run(async {
        let mut answer = HINTS.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\n").into_bytes();
        answer.extend_from_slice(HINTS.as_bytes());
        answer.extend_from_slice(OK);
        let (_, seen, _) = exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &answer, "ok").await;
        // The first had a length, which interim responses may not have (RFC 9110, section 8.6).
        assert_eq!(seen.as_bytes(), [HINTS.as_bytes(), HINTS.as_bytes(), OK].concat());
        let (_, seen, _) = exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n", &answer, "ok").await;
        assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen}");
    });
}

#[test]
fn a_request_without_a_host_is_one_to_the_address_that_it_came_to() {
    run(async {
        let (asked, seen, at) = exchange("GET / HTTP/1.0\r\n\r\n", OK, "ok").await;
        assert!(asked.starts_with(&format!("GET / HTTP/1.1\r\nHost: {at}\r\n")), "{asked}");
        assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen}");
    });
}

#[test]
fn newer_minor_versions_are_taken_for_the_best_that_is_known() {
    run(async {
        let newer = [&b"HTTP/1.7"[..], &OK[8..]].concat();
        let said = "GET /HTTP/1.2 HTTP/1.2\r\nHost: a\r\nX: HTTP/1.2\r\n\r\n";
        let (asked, seen, _) = exchange(said, &newer, "ok").await;
        assert!(
            asked.starts_with("GET /HTTP/1.2 HTTP/1.1\r\nHost: a\r\nX: HTTP/1.2\r\n"),
            "{asked}"
        );
        assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen}");
    });
}

/// A hop that agrees on HTTP/2, and a connection on which nothing was said.
async fn begin(pki: &Pki, kind: HopKind) -> (HopServer, TcpListener, Peer) {
    let (listener, to) = listen().await;
    let mut hop = hop(kind, to);
    hop.listen.tls = Some(ListenTls { alpn: vec![ProtocolName::Http2], ..pki.listen_tls() });
    let hop = start(&hop);
    let (config, _) = crate::tls::client_config(&pki.dial_tls(), Some(Alpn::Http2)).unwrap();
    let peer = connect(hop.address(), Some(&TlsConnector::from(config))).await.unwrap();
    (hop, listener, peer)
}

#[test]
fn streams_get_hints_and_give_one_field_of_cookies() {
    let pki = Pki::new();
    run(async {
        let (_hop, listener, peer) = begin(&pki, HopKind::Http).await;
        let (client, connection) = h2::client::handshake(peer).await.unwrap();
        tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let mut get =
            Request::builder().method(Method::GET).uri("https://hop.test/").body(()).unwrap();
        for (name, value) in [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")] {
            get.headers_mut().append(name, HeaderValue::from_static(value));
        }
        let (mut response, _) = client.send_request(get, true).unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        let asked = read_until(&mut server, "\r\n\r\n").await;
        assert!(asked.contains("\r\ncookie: a=1; b=2; c=3\r\n"), "{asked}");
        assert_eq!(asked.matches("cookie").count(), 1, "{asked}");
        server.write_all(HINTS.as_bytes()).await.unwrap();
        let hints = poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!(hints.status().as_u16(), 103);
        assert_eq!(hints.headers()["link"], "</a.css>; rel=preload");
        server.write_all(OK).await.unwrap();
        assert_eq!(response.await.unwrap().status().as_u16(), 200);
    });
}

/// The frames that a hop sends until it closes or sends one of this type, whose payload this is.
async fn until_frame(peer: &mut Peer, kind: u8) -> Option<Vec<u8>> {
    loop {
        let mut header = [0; frame::HEADER];
        peer.read_exact(&mut header).await.ok()?;
        let header = frame::Header::parse(header);
        let mut payload = vec![0; header.length];
        peer.read_exact(&mut payload).await.ok()?;
        if header.kind == kind {
            return Some(payload);
        }
    }
}

fn preface() -> Vec<u8> {
    let mut said = frame::PREFACE.to_vec();
    frame::put_settings(&[], &mut said);
    said
}

/// The fields of `POST https://hop/x`, of which the path comes to stand in the dynamic table.
const POST: &[u8] = b"\x83\x87\x44\x02/x\x01\x03hop";

#[test]
fn trailers_with_pseudo_header_fields_are_malformed() {
    let pki = Pki::new();
    run(async {
        for (trailers, is_good) in [
            (&b"\x00\x01t\x01x"[..], true),
            // `:path: /`, of the static table.
            (b"\x84", false),
            // `:path: /x`, as it stands in the dynamic one.
            (b"\x00\x01t\x01x\xbe", false),
            (b"\x00\x05:path\x02/y", false),
            (b"\x00\x07:status\x03200", false),
            (b"\x88", false),
        ] {
            for kind in [HopKind::Http, HopKind::Backend] {
                let (hop, listener, mut peer) = begin(&pki, kind).await;
                let mut said = preface();
                frame::put(frame::HEADERS, frame::END_HEADERS, 1, POST, &mut said);
                frame::put(frame::DATA, 0, 1, b"abc", &mut said);
                let end = frame::END_STREAM;
                // Padded, and cut in two.
                let (first, second) = trailers.split_at(trailers.len() / 2);
                let padded = [&[2][..], first, &[0, 0]].concat();
                frame::put(frame::HEADERS, end | frame::PADDED, 1, &padded, &mut said);
                frame::put(frame::CONTINUATION, frame::END_HEADERS, 1, second, &mut said);
                peer.write_all(&said).await.unwrap();
                if kind == HopKind::Http {
                    let mut server = accept(&listener, None).await.unwrap();
                    if is_good {
                        read_until(&mut server, "0\r\nt: x\r\n\r\n").await;
                        server.write_all(OK).await.unwrap();
                    } else {
                        let mut seen = Vec::new();
                        let _ = server.read_to_end(&mut seen).await;
                        assert!(!seen.ends_with(b"\r\n0\r\n\r\n"), "{trailers:?}");
                    }
                }
                let kind = if is_good { frame::HEADERS } else { frame::RST_STREAM };
                let answer = until_frame(&mut peer, kind).await.unwrap();
                assert!(is_good || answer == frame::PROTOCOL_ERROR.to_be_bytes(), "{trailers:?}");
                let counted = counted(&hop, |counters| counters.requests == 1);
                assert_eq!(counted.refused.get("request"), None);
            }
        }
    });
}

/// Frames that ask for nothing, as fast as they go.
#[test]
fn who_floods_a_connection_is_told_to_be_calm_and_let_go() {
    let pki = Pki::new();
    run(async {
        for (kind, stream, payload) in [
            (frame::WINDOW_UPDATE, 0, &[0, 0, 0, 1][..]),
            (frame::PING, 0, &[0; 8]),
            (frame::PRIORITY, 3, &[0, 0, 0, 0, 1]),
            (frame::SETTINGS, 0, &[]),
        ] {
            let (hop, _listener, peer) = begin(&pki, HopKind::Backend).await;
            let (mut from, mut to) = tokio::io::split(peer);
            let flooding = async {
                to.write_all(&preface()).await.unwrap();
                let mut many = Vec::new();
                (0..1_000).for_each(|_| frame::put(kind, 0, stream, payload, &mut many));
                for _ in 0..100 {
                    if to.write_all(&many).await.is_err() {
                        break;
                    }
                }
            };
            let hearing = async {
                let mut seen = Vec::new();
                let _ = from.read_to_end(&mut seen).await;
                seen
            };
            let ((), seen) = tokio::join!(flooding, hearing);
            let calm = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";
            assert!(memchr::memmem::find(&seen, calm).is_some(), "{kind}: no GOAWAY");
            counted(&hop, |counters| {
                counters.refused.get("flood") == Some(&1) && counters.open == 0
            });
        }
    });
}
