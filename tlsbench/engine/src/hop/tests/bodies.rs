use tlsbench_core::hop::Forwarded;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::join;

use super::endless::{BYTES, Endless, Random};
use super::*;

/// Writes a message of this many bytes, in chunks or after its length, with pauses.
async fn send(to: &mut WriteHalf<Peer>, head: &str, seed: u64, bytes: u64, chunks: bool) {
    let framing = match chunks {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {bytes}"),
    };
    to.write_all(format!("{head}\r\n{framing}\r\n\r\n").as_bytes()).await.unwrap();
    let (mut data, mut random, mut left) = (Endless::new(seed), Random(seed), bytes);
    while left > 0 {
        let most = left.min(1 + random.below(200_000));
        let piece = data.next(usize::try_from(most).unwrap());
        left -= piece.len() as u64;
        if chunks {
            to.write_all(format!("{:X}\r\n", piece.len()).as_bytes()).await.unwrap();
        }
        to.write_all(piece).await.unwrap();
        if chunks {
            to.write_all(b"\r\n").await.unwrap();
        }
        random.pause().await;
    }
    if chunks {
        to.write_all(b"0\r\n\r\n").await.unwrap();
    }
    to.flush().await.unwrap();
}

/// A peer's read half, with what was read of it and not used yet.
type Incoming<'p> = tokio::io::BufReader<&'p mut ReadHalf<Peer>>;

/// Reads a message's head; its body is what comes next.
async fn receive_head(from: &mut ReadHalf<Peer>) -> Incoming<'_> {
    let mut from = tokio::io::BufReader::with_capacity(150_000, from);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        read_line(&mut from, &mut line).await;
    }
    from
}

/// Reads the body of such a message byte for byte, with pauses.
async fn receive_body(mut from: Incoming<'_>, seed: u64, bytes: u64, chunks: bool) {
    let (mut data, mut random) = (Endless::new(seed), Random(seed + 7));
    let mut line = String::new();
    let mut left = bytes;
    let mut buffer = vec![0; 100_000];
    loop {
        let mut part = left;
        if chunks {
            line.clear();
            read_line(&mut from, &mut line).await;
            part = u64::from_str_radix(line.trim_end(), 16).unwrap();
            assert!(part <= left, "{part} bytes too many");
        }
        left -= part;
        let is_last = part == 0;
        while part > 0 {
            let most = buffer.len().min(usize::try_from(part).unwrap());
            let length = from.read(&mut buffer[..most]).await.unwrap();
            assert!(length > 0, "cut short");
            data.assert_next(&buffer[..length]);
            part -= length as u64;
            random.pause().await;
        }
        if chunks {
            line.clear();
            read_line(&mut from, &mut line).await;
            assert_eq!(line, "\r\n");
        }
        if is_last || !chunks {
            break;
        }
    }
    assert_eq!(left, 0, "bytes are missing");
    assert!(from.buffer().is_empty(), "bytes behind the end");
}

async fn read_line(from: &mut Incoming<'_>, line: &mut String) {
    use tokio::io::AsyncBufReadExt as _;
    assert!(from.read_line(line).await.unwrap() > 0, "cut short");
}

/// Sends large bodies both ways at the same time, so that each side holds the other back now and
/// then.
async fn move_bodies(
    hop: &HopServer,
    listener: &TcpListener,
    tls: Option<(&TlsConnector, &TlsAcceptor)>,
) {
    let client = connect(hop.address(), tls.map(|tls| tls.0)).await.unwrap();
    let (mut from_hop, mut to_hop) = split(client);
    let mut server: Option<(ReadHalf<Peer>, WriteHalf<Peer>)> = None;
    let each = BYTES / 8;
    for (turn, (up_chunks, down_chunks)) in
        [(false, false), (true, true), (false, true), (true, false)].into_iter().enumerate()
    {
        let seed = 1 + turn as u64;
        let (up, down) = (each + seed, each - seed);
        let asking = async {
            send(&mut to_hop, "POST / HTTP/1.1\r\nHost: a", seed, up, up_chunks).await;
        };
        let serving = async {
            let (from, to) = match &mut server {
                Some(server) => (&mut server.0, &mut server.1),
                none => {
                    let accepted = accept(listener, tls.map(|tls| tls.1)).await.unwrap();
                    let server = none.insert(split(accepted));
                    (&mut server.0, &mut server.1)
                }
            };
            // It answers while it still reads, and not before it is asked: a hop closes an idle
            // connection on which the next hop speaks.
            let asked = receive_head(from).await;
            join!(
                receive_body(asked, seed, up, up_chunks),
                send(to, "HTTP/1.1 200 OK", seed + 100, down, down_chunks),
            );
        };
        let hearing = async {
            let answered = receive_head(&mut from_hop).await;
            receive_body(answered, seed + 100, down, down_chunks).await;
        };
        join!(asking, serving, hearing);
    }
    let counters = counted(hop, |counters| counters.requests == 4);
    assert_eq!((counters.bytes_up, counters.bytes_down), (4 * each + 10, 4 * each - 10));
    assert_eq!((counters.dialled, counters.refused.len()), (1, 0));
}

#[test]
fn a_proxy_loses_no_byte_of_bodies_that_go_both_ways_at_once() {
    run(async {
        let (listener, to) = listen().await;
        let mut hop = hop(HopKind::Http, to);
        hop.dial.as_mut().unwrap().pool = 1;
        let hop = start(&hop);
        move_bodies(&hop, &listener, None).await;
    });
}

#[test]
fn a_proxy_with_certificates_on_both_sides_loses_none_either() {
    let pki = Pki::new();
    run(async {
        let (listener, to) = listen().await;
        let mut hop = hop(HopKind::Http, to);
        hop.listen.tls = Some(ListenTls { client_ca: Some(pki.root.clone()), ..pki.listen_tls() });
        let dial = hop.dial.as_mut().unwrap();
        dial.tls = Some(DialTls { identity: Some(pki.identity()), ..pki.dial_tls() });
        dial.pool = 1;
        let hop = start(&hop);
        let tls = (pki.connector(true), pki.acceptor(true));
        move_bodies(&hop, &listener, Some((&tls.0, &tls.1))).await;
    });
}

/// Bytes that TLS could not hand to the socket when the response came must leave all the same: of
/// some lengths it is the end of the request and nothing else.
#[test]
fn the_end_of_a_request_leaves_after_a_response_that_came_before_it() {
    let pki = Pki::new();
    run(async {
        let (listener, to) = listen().await;
        let mut hop = hop(HopKind::Http, to);
        let dial = hop.dial.as_mut().unwrap();
        // Each has a connection of its own, so that sockets keep as much of one as of another.
        (dial.tls, dial.pool) = (Some(pki.dial_tls()), 0);
        let hop = start(&hop);
        let mut client = connect(hop.address(), None).await.unwrap();
        let acceptor = pki.acceptor(false);
        let mut buffer = vec![0; 1 << 20];
        for length in (0..LENGTHS).map(|step| (step + 1) * STEP) {
            let asking = async {
                let head =
                    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
                client.write_all(head.as_bytes()).await.unwrap();
                let (mut from, mut to) = split(&mut client);
                let body = vec![b'x'; length];
                let sending = async { to.write_all(&body).await.unwrap() };
                let hearing = async {
                    let mut seen = Vec::new();
                    while !seen.ends_with(b"ok") {
                        assert!(from.read_buf(&mut seen).await.unwrap() > 0, "it ended");
                    }
                };
                join!(sending, hearing);
            };
            let serving = async {
                let mut server = accept(&listener, Some(&acceptor)).await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(server.read_u8().await.unwrap());
                }
                // The hop fills all that lies between before anything of the body is read.
                tokio::time::sleep(FILL).await;
                server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                server.flush().await.unwrap();
                tokio::time::sleep(FILL).await;
                let mut left = length;
                while left > 0 {
                    let most = left.min(buffer.len());
                    let read = timeout(HELD_BACK_MAX, server.read(&mut buffer[..most])).await;
                    let read = read.unwrap_or_else(|_| panic!("{left} of {length} did not come"));
                    let read = read.unwrap();
                    assert!(read > 0, "{left} of {length} did not come");
                    left -= read;
                }
            };
            join!(asking, serving);
        }
    });
}

/// Lengths in steps that are shorter than what TLS keeps, up to 4.7 MiB: more than sockets of
/// loopback keep.
const LENGTHS: usize = 100;
const STEP: usize = 48 << 10;
/// A megabyte takes a millisecond.
const FILL: Duration = Duration::from_millis(15);
/// A thousand times what it takes.
const HELD_BACK_MAX: Duration = Duration::from_secs(10);

/// Reads a whole response with a length; its head and the length of its body.
async fn response(client: &mut Peer) -> (String, u64) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let (_, rest) = head.split_once("Content-Length: ").unwrap();
    let length = rest.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = client.take(length);
    let read = tokio::io::copy(&mut body, &mut tokio::io::sink()).await.unwrap();
    assert_eq!(read, length, "{head}");
    (head, length)
}

#[test]
fn a_backend_answers_with_as_many_bytes_as_are_asked_for() {
    run(async {
        let mut backend = hop(HopKind::Backend, "127.0.0.1:9".parse().unwrap());
        backend.response_bytes = 1_000;
        let backend = start(&backend);
        let mut client = connect(backend.address(), None).await.unwrap();
        for (path, bytes) in [
            ("/", 1_000),
            ("/bytes/0", 0),
            ("/bytes/16384?x", 16_384),
            ("/bytes/10000000", 10_000_000),
            ("/bytes", 1_000),
        ] {
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            );
            client.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(response(&mut client).await.1, bytes, "{path}");
        }
        client.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut head = vec![0; "HTTP/1.1 200 OK\r\n".len()];
        client.read_exact(&mut head).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        // The head's rest and a whole response: had HEAD got a body, there would be two.
        assert_eq!(rest.matches('x').count(), 1_000 + rest.matches("text").count());
        assert!(rest.contains("Connection: close\r\n"));
        for path in ["/bytes/", "/bytes/+1", "/bytes/1073741825", "/bytes/x"] {
            let mut client = connect(backend.address(), None).await.unwrap();
            client
                .write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
                .await
                .unwrap();
            let mut rest = String::new();
            client.read_to_string(&mut rest).await.unwrap();
            assert!(rest.starts_with("HTTP/1.1 400 "), "{path}: {rest}");
        }
        assert_eq!(backend.counters().bytes_up, 15);
    });
}

#[test]
fn a_backend_gives_leave_to_who_waits_for_it() {
    run(async {
        let backend = start(&hop(HopKind::Backend, "127.0.0.1:9".parse().unwrap()));
        let mut client = connect(backend.address(), None).await.unwrap();
        let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let mut leave = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        client.read_exact(&mut leave).await.unwrap();
        assert_eq!(leave, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"abc").await.unwrap();
        assert_eq!(response(&mut client).await.1, 0);
    });
}

/// Client to first hop to second hop to backend, each link with certificates of both sides.
#[test]
fn hops_behind_one_another_agree_on_handshakes_and_requests() {
    let pki = Pki::new();
    let listen_tls = || Some(ListenTls { client_ca: Some(pki.root.clone()), ..pki.listen_tls() });
    run(async {
        let mut backend = hop(HopKind::Backend, "127.0.0.1:9".parse().unwrap());
        (backend.listen.tls, backend.response_bytes) = (listen_tls(), 100);
        let backend = start(&backend);
        let next = |to, pool| {
            let mut hop = hop(HopKind::Http, to);
            hop.listen.tls = listen_tls();
            hop.forwarded = Forwarded::Append;
            let dial = hop.dial.as_mut().unwrap();
            dial.tls = Some(DialTls { identity: Some(pki.identity()), ..pki.dial_tls() });
            dial.pool = pool;
            start(&hop)
        };
        let second = next(backend.address(), 0);
        let first = next(second.address(), 1);
        let connector = pki.connector(true);
        for _ in 0..5 {
            let mut client = connect(first.address(), Some(&connector)).await.unwrap();
            for _ in 0..2 {
                client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
                assert_eq!(response(&mut client).await.1, 100);
            }
        }
        let kinds = |handshakes: tlsbench_core::hop::Handshakes| {
            (handshakes.full, handshakes.resumed, handshakes.failed)
        };
        let (first, second) = (first.counters(), second.counters());
        let backend = backend.counters();
        assert_eq!(kinds(first.listened), (1, 4, 0));
        // One connection is kept from the first to the second, and none from there.
        assert_eq!((kinds(first.dialled_tls), kinds(second.listened)), ((1, 0, 0), (1, 0, 0)));
        assert_eq!((kinds(second.dialled_tls), kinds(backend.listened)), ((1, 9, 0), (1, 9, 0)));
        assert_eq!((first.requests, second.requests, backend.requests), (10, 10, 10));
        assert_eq!((first.reused, second.reused), (9, 0));
    });
}

#[test]
fn idle_clients_are_held_as_many_as_descriptors_allow() {
    run(async {
        let backend = start(&hop(HopKind::Backend, "127.0.0.1:9".parse().unwrap()));
        let mut hop = hop(HopKind::Http, backend.address());
        hop.dial.as_mut().unwrap().pool = 1;
        let hop = start(&hop);
        let many = relays::descriptors_left().saturating_sub(200).min(2 * 10_000) / 2;
        let mut clients = Vec::new();
        for _ in 0..many {
            clients.push(connect(hop.address(), None).await.unwrap());
        }
        for client in &mut clients {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            response(client).await;
        }
        let counters = hop.counters();
        assert_eq!((counters.open, counters.requests, counters.dialled), (many, many, 1));
    });
}
