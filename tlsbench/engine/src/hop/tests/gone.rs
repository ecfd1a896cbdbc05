//! Requests whose client is gone: nothing is left of them at the next hop.

use bytes::Bytes;
use http::{Method, Request};
use tlsbench_core::scenario::ProtocolName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::tls::Alpn;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Reads a head, and nothing behind it.
async fn read_head(peer: &mut Peer) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(peer.read_u8().await.unwrap());
    }
}

/// Waits for the end of a connection, whichever way it ends.
async fn until_end(mut peer: Peer) {
    let mut rest = Vec::new();
    let _ = peer.read_to_end(&mut rest).await;
}

fn are_gone(count: u64) -> impl Fn(&HopCounters) -> bool {
    move |counters| counters.refused.get("gone") == Some(&count)
}

/// A client asks and leaves, by an end or by a reset, with TLS or without.
#[test]
fn a_client_that_leaves_takes_its_request_to_a_silent_server_with_it() {
    let pki = Pki::new();
    run(async {
        for tls in [None, Some(pki.connector(false))] {
            let (listener, to) = listen().await;
            let mut hop = hop(HopKind::Http, to);
            hop.listen.tls = tls.is_some().then(|| pki.listen_tls());
            let hop = start(&hop);
            let mut servers = Vec::new();
            for number in 0..40 {
                let tcp = TcpStream::connect(hop.address()).await.unwrap();
                let resets = number % 2 == 0;
                if resets {
                    let linger = Some(Duration::ZERO);
                    rustix::net::sockopt::set_socket_linger(&tcp, linger).unwrap();
                }
                let mut client: Peer = match &tls {
                    None => Box::pin(tcp),
                    Some(tls) => {
                        Box::pin(tls.connect("hop.test".try_into().unwrap(), tcp).await.unwrap())
                    }
                };
                client.write_all(GET).await.unwrap();
                client.flush().await.unwrap();
                let mut server = accept(&listener, None).await.unwrap();
                read_head(&mut server).await;
                // Some have said already what they want next.
                if number % 4 < 2 {
                    client.write_all(GET).await.unwrap();
                    client.flush().await.unwrap();
                }
                servers.push(server);
            }
            for server in servers {
                until_end(server).await;
            }
            let counters = counted(&hop, |counters| are_gone(40)(counters) && counters.open == 0);
            assert_eq!((counters.requests, counters.refused.len()), (40, 1));
        }
    });
}

#[test]
fn a_client_that_leaves_within_a_response_takes_it_with_it() {
    run(async {
        let (listener, to) = listen().await;
        let hop = start(&hop(HopKind::Http, to));
        let mut client = connect(hop.address(), None).await.unwrap();
        client.write_all(GET).await.unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        read_head(&mut server).await;
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
        read_head(&mut client).await;
        drop(client);
        until_end(server).await;
        counted(&hop, |counters| counters.open == 0);
    });
}

/// Behaviour as of nginx, Envoy and Go: an end of what a client says is not told apart from its
/// leaving.
#[test]
fn a_client_that_ends_its_half_has_given_its_request_up() {
    run(async {
        let (listener, to) = listen().await;
        let hop = start(&hop(HopKind::Http, to));
        let mut client = connect(hop.address(), None).await.unwrap();
        client.write_all(GET).await.unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        read_head(&mut server).await;
        client.shutdown().await.unwrap();
        until_end(server).await;
        counted(&hop, are_gone(1));
    });
}

/// Bytes that come while a response is waited for are watched, and not lost.
#[test]
fn a_request_that_comes_while_another_waits_is_answered_after_it() {
    run(async {
        let (listener, to) = listen().await;
        let mut hop = hop(HopKind::Http, to);
        hop.dial.as_mut().unwrap().pool = 1;
        let hop = start(&hop);
        let mut client = connect(hop.address(), None).await.unwrap();
        client.write_all(GET).await.unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        read_head(&mut server).await;
        // More than is kept of it while it waits.
        let body = vec![b'x'; 100_000];
        let head = format!("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        let (mut from, mut to) = tokio::io::split(client);
        let sending = async {
            for piece in [head.as_bytes(), &body].concat().chunks(7_000) {
                to.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let serving = async {
            server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"xxx") || seen.len() < body.len() + 50 {
                assert!(server.read_buf(&mut seen).await.unwrap() > 0);
            }
            assert!(seen.starts_with(b"POST /2 HTTP/1.1\r\n"));
            let end = memchr::memmem::find(&seen, b"\r\n\r\n").unwrap();
            assert_eq!(seen[end + 4..], body);
            server.write_all(b"HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        };
        let hearing = async {
            let mut seen = Vec::new();
            while seen.windows(4).filter(|end| end == b"\r\n\r\n").count() < 2 {
                assert!(from.read_buf(&mut seen).await.unwrap() > 0);
            }
            assert!(String::from_utf8(seen).unwrap().contains("HTTP/1.1 201 "));
        };
        tokio::join!(sending, serving, hearing);
        assert_eq!(hop.counters().refused.len(), 0);
    });
}

fn request(method: Method) -> Request<()> {
    Request::builder().method(method).uri("https://hop.test/").body(()).unwrap()
}

/// A hop that agrees on HTTP/2, and a connection to it with the task that moves it.
async fn begin_http2(
    pki: &Pki,
    to: SocketAddr,
) -> (HopServer, h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<()>) {
    let mut hop = hop(HopKind::Http, to);
    hop.listen.tls = Some(ListenTls { alpn: vec![ProtocolName::Http2], ..pki.listen_tls() });
    let hop = start(&hop);
    let (config, _) = crate::tls::client_config(&pki.dial_tls(), Some(Alpn::Http2)).unwrap();
    let peer = connect(hop.address(), Some(&TlsConnector::from(config))).await.unwrap();
    let (client, connection) = h2::client::handshake(peer).await.unwrap();
    let moving = tokio::spawn(async move { drop(connection.await) });
    (hop, client.ready().await.unwrap(), moving)
}

#[test]
fn streams_that_are_reset_leave_nothing_at_the_next_hop() {
    let pki = Pki::new();
    run(async {
        let (listener, to) = listen().await;
        let (hop, mut client, _moving) = begin_http2(&pki, to).await;
        let mut servers = Vec::new();
        let streams = 500;
        for number in 0..streams {
            client = client.ready().await.unwrap();
            // Some wait with their body when they are reset.
            let ends = number % 3 > 0;
            let method = if ends { Method::GET } else { Method::POST };
            let (response, mut body) = client.send_request(request(method), ends).unwrap();
            let mut server = accept(&listener, None).await.unwrap();
            read_head(&mut server).await;
            // And some are within their response.
            if number % 5 == 0 {
                let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
                server.write_all(half).await.unwrap();
                drop(response.await.unwrap());
            }
            body.send_reset(h2::Reason::CANCEL);
            servers.push(server);
        }
        for server in servers {
            until_end(server).await;
        }
        let counters = counted(&hop, |counters| {
            counters.refused.values().sum::<u64>() == streams && counters.open == 1
        });
        assert_eq!(counters.requests, streams);
    });
}

#[test]
fn streams_end_with_their_connection() {
    let pki = Pki::new();
    run(async {
        let (listener, to) = listen().await;
        let (hop, mut client, moving) = begin_http2(&pki, to).await;
        let (mut servers, mut responses) = (Vec::new(), Vec::new());
        for _ in 0..50 {
            client = client.ready().await.unwrap();
            responses.push(client.send_request(request(Method::GET), true).unwrap());
            let mut server = accept(&listener, None).await.unwrap();
            read_head(&mut server).await;
            servers.push(server);
        }
        moving.abort();
        for server in servers {
            until_end(server).await;
        }
        counted(&hop, |counters| are_gone(50)(counters) && counters.open == 0);
    });
}
