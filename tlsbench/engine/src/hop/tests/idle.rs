//! Peers that stop in the middle of something: each is waited for only so long.

use bytes::Bytes;
use h2::Reason;
use http::{Method, Request};
use tlsbench_core::scenario::ProtocolName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::join;

use super::*;
use crate::hop::limits::Limits;
use crate::tls::Alpn;

/// Limits that no test waits for.
const LONG: Limits = {
    let long = Duration::from_secs(3_600);
    Limits {
        connect: long,
        handshake: long,
        head: long,
        response: long,
        body: long,
        keep_alive: long,
        keep_alive_pressed: long,
        relay: long,
        close: long,
    }
};
const SHORT: Duration = Duration::from_millis(50);

/// A hop of which only one limit is short, and where it goes on to.
async fn with(kind: HopKind, limits: Limits) -> (HopServer, TcpListener) {
    let (listener, to) = listen().await;
    let hop = hop(kind, to);
    assert_eq!(hop.problems(), []);
    (HopServer::start_within(&hop, limits).unwrap(), listener)
}

/// Reads until a connection ends, whichever way it does.
async fn rest(mut peer: Peer) -> String {
    let mut seen = Vec::new();
    let _ = peer.read_to_end(&mut seen).await;
    String::from_utf8_lossy(&seen).into_owned()
}

/// Reads a head, and nothing behind it.
async fn read_head(peer: &mut Peer) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(peer.read_u8().await.unwrap());
    }
}

#[test]
fn a_request_whose_body_stops_is_given_up() {
    run(async {
        let (hop, listener) = with(HopKind::Http, Limits { body: SHORT, ..LONG }).await;
        for begun in [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x",
        ] {
            let mut client = connect(hop.address(), None).await.unwrap();
            client.write_all(begun.as_bytes()).await.unwrap();
            let server = accept(&listener, None).await.unwrap();
            let requested = rest(server).await;
            assert!(!requested.contains("\r\n0\r\n"), "{requested}");
            assert!(rest(client).await.starts_with("HTTP/1.1 408 "), "{begun}");
        }
        let counters = counted(&hop, |counters| counters.open == 0);
        assert_eq!(counters.refused.get("request-timeout"), Some(&3), "{counters:#?}");
        let (backend, _) = with(HopKind::Backend, Limits { body: SHORT, ..LONG }).await;
        let mut client = connect(backend.address(), None).await.unwrap();
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n").await.unwrap();
        assert!(rest(client).await.starts_with("HTTP/1.1 408 "));
    });
}

#[test]
fn a_next_hop_that_takes_no_body_or_gives_no_response_is_given_up() {
    run(async {
        let (hop, listener) = with(HopKind::Http, Limits { response: SHORT, ..LONG }).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let server = accept(&listener, None).await.unwrap();
        assert!(rest(client).await.starts_with("HTTP/1.1 504 "));
        rest(server).await;
        let (hop, listener) = with(HopKind::Http, Limits { body: SHORT, ..LONG }).await;
        let client = connect(hop.address(), None).await.unwrap();
        let (from, mut to) = tokio::io::split(client);
        let server = accept(&listener, None);
        let sending = async {
            let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n";
            to.write_all(head).await.unwrap();
            let block = vec![b'x'; 1 << 20];
            while to.write_all(&block).await.is_ok() {}
        };
        // It is accepted, and nothing is read of it.
        let (_server, ()) = join!(server, sending);
        drop(from);
        counted(&hop, |counters| counters.refused.get("response-timeout") == Some(&1));
    });
}

#[test]
fn a_response_that_stops_or_is_not_taken_is_given_up() {
    run(async {
        let (hop, listener) = with(HopKind::Http, Limits { body: SHORT, ..LONG }).await;
        for (head, endless) in [("Content-Length: 9\r\n\r\nabc", false), ("\r\n", true)] {
            let mut client = connect(hop.address(), None).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut server = accept(&listener, None).await.unwrap();
            read_head(&mut server).await;
            server.write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes()).await.unwrap();
            let block = vec![b'x'; 1 << 20];
            // The client reads nothing, so that in the end nobody takes any more.
            while endless && server.write_all(&block).await.is_ok() {}
            if !endless {
                let error = client.read_to_end(&mut Vec::new()).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                rest(server).await;
            }
        }
        counted(&hop, |counters| counters.refused.get("stalled") == Some(&2));
        let (backend, _) = with(HopKind::Backend, Limits { body: SHORT, ..LONG }).await;
        let mut client = connect(backend.address(), None).await.unwrap();
        client.write_all(b"GET /bytes/1073741824 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        counted(&backend, |counters| counters.refused.get("stalled") == Some(&1));
    });
}

/// Together they take longer than the limit twice over, in which a wait that was not restarted is
/// over for certain.
#[test]
fn bodies_that_drip_go_on() {
    const LIMIT: Duration = Duration::from_secs(2);
    const DRIPS: usize = 25;
    const DRIP: Duration = Duration::from_millis(200);
    run(async {
        let (hop, listener) = with(HopKind::Http, Limits { body: LIMIT, ..LONG }).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {DRIPS}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        let drip = async |peer: &mut Peer| {
            for _ in 0..DRIPS {
                tokio::time::sleep(DRIP).await;
                peer.write_all(b"x").await.unwrap();
            }
        };
        read_head(&mut server).await;
        drip(&mut client).await;
        server.read_exact(&mut [0; DRIPS]).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {DRIPS}\r\n\r\n");
        server.write_all(head.as_bytes()).await.unwrap();
        drip(&mut server).await;
        read_head(&mut client).await;
        client.read_exact(&mut [0; DRIPS]).await.unwrap();
        assert_eq!(hop.counters().refused.len(), 0);
    });
}

#[test]
fn a_connection_without_a_request_is_closed() {
    run(async {
        for kind in [HopKind::Http, HopKind::Backend] {
            let (hop, _listener) = with(kind, Limits { head: SHORT, ..LONG }).await;
            let client = connect(hop.address(), None).await.unwrap();
            assert_eq!(rest(client).await, "");
            counted(&hop, |counters| counters.open == 0);
        }
        let (backend, _) = with(HopKind::Backend, Limits { keep_alive: SHORT, ..LONG }).await;
        let mut client = connect(backend.address(), None).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(rest(client).await.starts_with("HTTP/1.1 200 OK\r\n"));
        // Empty lines are no request, however many come, one at a time and several at once.
        for lines in ["\r\n", "\r\n\r\n", "\r\n\r\n\r"] {
            let mut client = connect(backend.address(), None).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            client.write_all(lines.as_bytes()).await.unwrap();
            while lines != "\r\n\r\n\r" && client.write_all(lines.as_bytes()).await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
            counted(&backend, |counters| counters.open == 0);
        }
    });
}

#[test]
fn a_relayed_connection_in_which_nothing_moves_is_ended_on_both_sides() {
    run(async {
        let (hop, listener) = with(HopKind::Relay, Limits { relay: SHORT, ..LONG }).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let server = accept(&listener, None).await.unwrap();
        assert_eq!(rest(server).await, "x");
        assert_eq!(rest(client).await, "");
        counted(&hop, |counters| counters.refused.get("stalled") == Some(&1) && counters.open == 0);
    });
}

async fn begin_http2(pki: &Pki, kind: HopKind, limits: Limits) -> (HopServer, TcpListener, Peer) {
    let (listener, to) = listen().await;
    let mut hop = hop(kind, to);
    hop.listen.tls = Some(ListenTls { alpn: vec![ProtocolName::Http2], ..pki.listen_tls() });
    let hop = HopServer::start_within(&hop, limits).unwrap();
    let (config, _) = crate::tls::client_config(&pki.dial_tls(), Some(Alpn::Http2)).unwrap();
    let peer = connect(hop.address(), Some(&TlsConnector::from(config))).await.unwrap();
    (hop, listener, peer)
}

fn post() -> Request<()> {
    Request::builder().method(Method::POST).uri("https://hop.test/").body(()).unwrap()
}

#[test]
fn streams_that_stop_are_given_up() {
    let pki = Pki::new();
    run(async {
        let limits = Limits { body: SHORT, ..LONG };
        let (hop, listener, peer) = begin_http2(&pki, HopKind::Http, limits).await;
        let (client, connection) = h2::client::handshake(peer).await.unwrap();
        tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let (response, mut body) = client.send_request(post(), false).unwrap();
        body.send_data(Bytes::from_static(b"abc"), false).unwrap();
        let server = accept(&listener, None).await.unwrap();
        rest(server).await;
        assert_eq!(response.await.unwrap().status().as_u16(), 408);
        let (response, _body) = client.send_request(post(), true).unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        read_head(&mut server).await;
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
        let mut body = response.await.unwrap().into_body();
        let error = loop {
            match body.data().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        rest(server).await;
        // A response that the client's window has no room for.
        let (response, _body) = client.send_request(post(), true).unwrap();
        let mut server = accept(&listener, None).await.unwrap();
        read_head(&mut server).await;
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await.unwrap();
        let block = vec![b'x'; 1_000_000];
        let _ = server.write_all(&block).await;
        let held = response.await.unwrap();
        counted(&hop, |counters| counters.refused.get("stalled") == Some(&2));
        drop(held);
    });
}

#[test]
fn http2_without_a_stream_is_ended_whatever_else_is_said() {
    let pki = Pki::new();
    run(async {
        let limits = Limits { keep_alive: SHORT, head: SHORT, close: SHORT, ..LONG };
        let (hop, _listener, peer) = begin_http2(&pki, HopKind::Backend, limits).await;
        let (client, mut connection) = h2::client::handshake(peer).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        let pinging = async {
            while pings.ping(h2::Ping::opaque()).await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
        };
        let (ended, ()) = join!(connection, pinging);
        drop((ended, client));
        counted(&hop, |counters| counters.open == 0);
        // Nor is one waited for that never says that it speaks HTTP/2.
        let limits = Limits { handshake: Duration::from_secs(2), ..LONG };
        let (hop, _listener, peer) = begin_http2(&pki, HopKind::Backend, limits).await;
        rest(peer).await;
        counted(&hop, |counters| counters.open == 0);
    });
}
