use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tlsbench_core::hop::Forwarded;
use tlsbench_core::scenario::ProtocolName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::join;

use super::endless::{BYTES, Endless, Random};
use super::*;
use crate::tls::Alpn;

/// A hop that agrees on HTTP/2, and a client of it.
async fn begin(pki: &Pki, mut hop: Hop) -> (HopServer, SendRequest<Bytes>) {
    hop.listen.tls = Some(ListenTls {
        alpn: vec![ProtocolName::Http2, ProtocolName::Http1],
        ..pki.listen_tls()
    });
    let hop = start(&hop);
    let (config, _) = crate::tls::client_config(&pki.dial_tls(), Some(Alpn::Http2)).unwrap();
    let peer = connect(hop.address(), Some(&TlsConnector::from(config))).await.unwrap();
    let (client, connection) = handshake(peer).await.unwrap();
    tokio::spawn(connection);
    (hop, client.ready().await.unwrap())
}

async fn proxy(pki: &Pki) -> (HopServer, SendRequest<Bytes>, TcpListener) {
    let (listener, to) = listen().await;
    let mut hop = hop(HopKind::Http, to);
    hop.dial.as_mut().unwrap().pool = 4;
    hop.forwarded = Forwarded::Set;
    let (hop, client) = begin(pki, hop).await;
    (hop, client, listener)
}

fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("https://hop.test{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

/// The whole of a response: head, body and trailers.
async fn whole(
    response: Response<RecvStream>,
) -> (http::response::Parts, Vec<u8>, Option<HeaderMap>) {
    let (parts, mut body) = response.into_parts();
    let mut data = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        data.extend_from_slice(&piece);
    }
    (parts, data, body.trailers().await.unwrap())
}

async fn read_until(peer: &mut Peer, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let read = peer.read_buf(&mut seen).await.unwrap();
        assert!(read > 0, "it ended: {:?}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8(seen).unwrap()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_stream_goes_on_as_a_request_and_what_is_forged_does_not() {
    let pki = Pki::new();
    run(async {
        let (hop, mut client, listener) = proxy(&pki).await;
        let mut get = request(Method::GET, "/a?b");
        get.headers_mut().insert("x-forwarded-for", HeaderValue::from_static("10.0.0.1"));
        get.headers_mut().insert("cookie", HeaderValue::from_static("c"));
        let (response, _) = client.send_request(get, true).unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        let port = hop.address().port();
        assert_eq!(
            read_until(&mut server, "\r\n\r\n").await,
            format!(
                "GET /a?b HTTP/1.1\r\nHost: hop.test\r\ncookie: c\r\nX-Forwarded-For: 127.0.0.1\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Port: {port}\r\n\r\n"
            )
        );
        server.write_all(b"HTTP/1.1 203 x\r\nContent-Length: 2\r\nConnection: x-mine\r\nX-Mine: 1\r\nServer: y\r\n\r\nok").await.unwrap();
        let (parts, body, trailers) = whole(response.await.unwrap()).await;
        assert_eq!((parts.status.as_u16(), &body[..], trailers), (203, &b"ok"[..], None));
        let mut names: Vec<&str> = parts.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "server"]);
        // The same connection serves the next stream.
        let (response, _) = client.send_request(request(Method::HEAD, "/"), true).unwrap();
        read_until(&mut server, "\r\n\r\n").await;
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").await.unwrap();
        let (parts, body, _) = whole(response.await.unwrap()).await;
        assert_eq!((parts.headers["content-length"].as_bytes(), body.len()), (&b"9"[..], 0));
        let counters = hop.counters();
        assert_eq!((counters.requests, counters.dialled, counters.reused), (2, 1, 1));
    });
}

#[test]
fn bodies_and_trailers_change_their_form_and_not_what_is_in_them() {
    let pki = Pki::new();
    run(async {
        let (_hop, mut client, listener) = proxy(&pki).await;
        let (response, mut body) = client.send_request(request(Method::POST, "/"), false).unwrap();
        body.send_data(Bytes::from_static(b"abc"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("t", HeaderValue::from_static("1"));
        trailers.insert("content-length", HeaderValue::from_static("9"));
        body.send_trailers(trailers).unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        let seen = read_until(&mut server, "t: 1\r\n\r\n").await;
        assert!(seen.contains("\r\nTransfer-Encoding: chunked\r\n"), "{seen}");
        assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\nt: 1\r\n\r\n"), "{seen}");
        let chunks =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nU: 2\r\n\r\n";
        server.write_all(chunks).await.unwrap();
        let (parts, body, trailers) = whole(response.await.unwrap()).await;
        assert_eq!((&body[..], trailers.unwrap()["u"].as_bytes()), (&b"de"[..], &b"2"[..]));
        assert!(!parts.headers.contains_key("transfer-encoding"));
        let mut put = request(Method::PUT, "/");
        put.headers_mut().insert("content-length", HeaderValue::from_static("3"));
        let (response, mut body) = client.send_request(put, false).unwrap();
        body.send_data(Bytes::from_static(b"xyz"), true).unwrap();
        let seen = read_until(&mut server, "xyz").await;
        assert!(
            seen.contains("\r\nContent-Length: 3\r\n") && seen.ends_with("\r\n\r\nxyz"),
            "{seen}"
        );
        // A body that ends with the connection ends the stream.
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\nrest").await.unwrap();
        drop(server);
        assert_eq!(whole(response.await.unwrap()).await.1, b"rest");
    });
}

/// Sends a body as fast as windows allow.
async fn send(mut to: SendStream<Bytes>, seed: u64, bytes: u64) {
    let (mut data, mut random, mut left) = (Endless::new(seed), Random(seed), bytes);
    while left > 0 {
        let most = usize::try_from(left.min(1 + random.below(100_000))).unwrap();
        to.reserve_capacity(most);
        while to.capacity() == 0 {
            std::future::poll_fn(|cx| to.poll_capacity(cx)).await.unwrap().unwrap();
        }
        let piece = Bytes::copy_from_slice(data.next(most.min(to.capacity())));
        left -= piece.len() as u64;
        to.send_data(piece, left == 0).unwrap();
        random.pause().await;
    }
}

#[test]
fn no_byte_is_lost_of_bodies_that_go_both_ways_at_once() {
    let pki = Pki::new();
    run(async {
        let (hop, mut client, listener) = proxy(&pki).await;
        let (up, down) = (BYTES / 2 + 3, BYTES / 2 - 3);
        let mut post = request(Method::POST, "/");
        post.headers_mut().insert("content-length", up.into());
        let (response, to) = client.send_request(post, false).unwrap();
        let serving = async {
            let (mut from, mut to) = tokio::io::split(accept(&listener, None).await.unwrap());
            let reading = async {
                let mut byte = [0];
                let mut end = 0;
                while end < 4 {
                    from.read_exact(&mut byte).await.unwrap();
                    end = if byte[0] == b"\r\n\r\n"[end] {
                        end + 1
                    } else {
                        usize::from(byte[0] == b'\r')
                    };
                }
                let (mut bytes, mut random) = (Endless::new(3), Random(3));
                let (mut left, mut buffer) = (up, vec![0; 90_000]);
                while left > 0 {
                    let most = buffer.len().min(usize::try_from(left).unwrap());
                    let length = from.read(&mut buffer[..most]).await.unwrap();
                    assert!(length > 0, "cut short");
                    bytes.assert_next(&buffer[..length]);
                    left -= length as u64;
                    random.pause().await;
                }
            };
            let writing = async {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {down}\r\n\r\n");
                to.write_all(head.as_bytes()).await.unwrap();
                let (mut bytes, mut left) = (Endless::new(4), down);
                while left > 0 {
                    let piece = bytes.next(usize::try_from(left.min(70_000)).unwrap());
                    to.write_all(piece).await.unwrap();
                    left -= piece.len() as u64;
                }
            };
            join!(reading, writing);
        };
        let receiving = async {
            let mut body = response.await.unwrap().into_body();
            let (mut bytes, mut random, mut seen) = (Endless::new(4), Random(5), 0);
            while let Some(piece) = body.data().await {
                let piece = piece.unwrap();
                bytes.assert_next(&piece);
                seen += piece.len() as u64;
                body.flow_control().release_capacity(piece.len()).unwrap();
                random.pause().await;
            }
            assert_eq!(seen, down);
        };
        join!(send(to, 3, up), serving, receiving);
        let counters = counted(&hop, |counters| counters.bytes_down == down);
        assert_eq!((counters.bytes_up, counters.refused.len()), (up, 0));
    });
}

#[test]
fn a_backend_serves_many_streams_at_once() {
    let pki = Pki::new();
    run(async {
        let (hop, mut client) =
            begin(&pki, hop(HopKind::Backend, "127.0.0.1:9".parse().unwrap())).await;
        let mut responses = Vec::new();
        for number in 0..100_usize {
            client = client.ready().await.unwrap();
            let path = format!("/bytes/{}", number * 5_000);
            let (response, _) = client.send_request(request(Method::GET, &path), true).unwrap();
            // Each is read by itself: one that is not holds back all others by the window.
            responses.push(tokio::spawn(async move { whole(response.await.unwrap()).await }));
        }
        for (number, response) in responses.into_iter().enumerate() {
            let (parts, body, _) = response.await.unwrap();
            assert_eq!((parts.status.as_u16(), body.len()), (200, number * 5_000));
        }
        let bad = client.send_request(request(Method::GET, "/bytes/x"), true).unwrap().0;
        assert_eq!(bad.await.unwrap().status().as_u16(), 400);
        let counters = hop.counters();
        assert_eq!((counters.requests, counters.accepted, counters.listened.full), (101, 1, 1));
    });
}

#[test]
fn half_a_response_is_a_reset_and_no_response_a_bad_gateway() {
    let pki = Pki::new();
    run(async {
        let (hop, mut client, listener) = proxy(&pki).await;
        let (response, _) = client.send_request(request(Method::GET, "/"), true).unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        read_until(&mut server, "\r\n\r\n").await;
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
        drop(server);
        // The reset may overtake what came before it.
        let error = match response.await {
            Err(error) => error,
            Ok(response) => {
                let mut body = response.into_body();
                loop {
                    match body.data().await.unwrap() {
                        Ok(piece) => assert_eq!(&piece[..], b"abc"),
                        Err(error) => break error,
                    }
                }
            }
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        let (response, _) = client.send_request(request(Method::GET, "/"), true).unwrap();
        drop(accept(&listener, None).await.unwrap());
        assert_eq!(response.await.unwrap().status().as_u16(), 502);
        counted(&hop, |counters| counters.refused.get("response") == Some(&2));
    });
}

#[test]
fn a_stale_connection_is_no_reason_to_fail_what_may_be_repeated() {
    let pki = Pki::new();
    run(async {
        let (hop, mut client, listener) = proxy(&pki).await;
        let (response, _) = client.send_request(request(Method::GET, "/"), true).unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        read_until(&mut server, "\r\n\r\n").await;
        server.write_all(OK).await.unwrap();
        whole(response.await.unwrap()).await;
        let (response, _) = client.send_request(request(Method::GET, "/again"), true).unwrap();
        let seen = read_until(&mut server, "\r\n\r\n").await;
        drop(server);
        let mut server = accept(&listener, None).await.unwrap();
        assert_eq!(read_until(&mut server, "\r\n\r\n").await, seen);
        server.write_all(OK).await.unwrap();
        assert_eq!(whole(response.await.unwrap()).await.1, b"ok");
        assert_eq!(hop.counters().retried, 1);
    });
}

#[test]
fn what_cannot_be_served_is_refused_and_goes_no_further() {
    let pki = Pki::new();
    run(async {
        let (hop, mut client, _listener) = proxy(&pki).await;
        let mut two_hosts = request(Method::GET, "/");
        two_hosts.headers_mut().insert("host", HeaderValue::from_static("other.test"));
        let mut connect = request(Method::CONNECT, "");
        *connect.uri_mut() = "hop.test:443".parse().unwrap();
        for (refused, status) in [(two_hosts, 400), (connect, 501)] {
            let (response, _) = client.send_request(refused, true).unwrap();
            assert_eq!(response.await.unwrap().status().as_u16(), status);
        }
        // A length that is not what comes.
        let mut short = request(Method::POST, "/");
        short.headers_mut().insert("content-length", HeaderValue::from_static("9"));
        let (response, mut body) = client.send_request(short, false).unwrap();
        body.send_data(Bytes::from_static(b"abc"), true).unwrap();
        let error = response.await.unwrap_err();
        assert!(error.is_reset(), "{error:?}");
        counted(&hop, |counters| counters.refused.get("request") == Some(&2));
    });
}
