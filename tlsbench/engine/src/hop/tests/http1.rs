use tlsbench_core::hop::Forwarded;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::join;

use super::*;

/// A proxy that keeps connections, and where its next hop listens.
async fn proxy(change: impl FnOnce(&mut Hop)) -> (HopServer, TcpListener) {
    let (listener, to) = listen().await;
    let mut hop = hop(HopKind::Http, to);
    hop.dial.as_mut().unwrap().pool = 4;
    change(&mut hop);
    (start(&hop), listener)
}

/// Reads until this was read; everything that was.
async fn read_until(peer: &mut Peer, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let read = peer.read_buf(&mut seen).await.unwrap();
        assert!(read > 0, "it ended: {:?}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8(seen).unwrap()
}

async fn read_to_end(mut peer: Peer) -> String {
    let mut seen = Vec::new();
    peer.read_to_end(&mut seen).await.unwrap();
    String::from_utf8(seen).unwrap()
}

async fn say(peer: &mut Peer, words: &str) {
    peer.write_all(words.as_bytes()).await.unwrap();
}

/// Sends a request, answers it at the next hop, and says what each side read.
async fn exchange(
    client: &mut Peer,
    server: &mut Peer,
    (request, end): (&str, &str),
    (response, last): (&str, &str),
) -> (String, String) {
    say(client, request).await;
    let requested = read_until(server, end).await;
    say(server, response).await;
    (requested, read_until(client, last).await)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_request_goes_on_and_its_response_comes_back_over_kept_connections() {
    run(async {
        let (hop, listener) = proxy(|hop| hop.forwarded = Forwarded::Set).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        let (mut server, _) =
            join!(async { accept(&listener, None).await.unwrap() }, say(&mut client, GET));
        let port = hop.address().port();
        let requested = read_until(&mut server, "\r\n\r\n").await;
        assert_eq!(
            requested,
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\n\
                 X-Forwarded-Proto: http\r\nX-Forwarded-Port: {port}\r\n\r\n"
            )
        );
        say(&mut server, OK).await;
        assert_eq!(read_until(&mut client, "ok").await, OK);
        for _ in 0..3 {
            let (_, responded) =
                exchange(&mut client, &mut server, (GET, "\r\n\r\n"), (OK, "ok")).await;
            assert_eq!(responded, OK);
        }
        // Another client gets the same connection.
        let mut other = connect(hop.address(), None).await.unwrap();
        exchange(&mut other, &mut server, (GET, "\r\n\r\n"), (OK, "ok")).await;
        let counters = hop.counters();
        assert_eq!((counters.requests, counters.dialled, counters.reused), (5, 1, 4));
        assert_eq!(counters.bytes_down, 10);
    });
}

/// Each turn in two costs every hop on the way to the client one more. The kernel counts what came.
#[test]
#[allow(clippy::disallowed_methods, reason = "whether a test may be skipped is said there")]
fn a_response_that_comes_in_one_piece_leaves_in_one_piece() {
    if std::process::Command::new("ss").arg("-V").output().is_err() {
        let is_ci = std::env::var_os("CI").is_some();
        assert!(!is_ci, "`ss` is not on PATH; install iproute2");
        eprintln!("skipped: `ss` is not on PATH");
        return;
    }
    run(async {
        let (hop, listener) = proxy(|_| ()).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        let (mut server, _) =
            join!(async { accept(&listener, None).await.unwrap() }, say(&mut client, GET));
        let sizes = [200, 9_000, 30_000];
        for bytes in sizes {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
            let response = head + &"x".repeat(bytes - 1) + "y";
            read_until(&mut server, "\r\n\r\n").await;
            say(&mut server, &response).await;
            assert_eq!(read_until(&mut client, "y").await.len(), response.len());
            say(&mut client, GET).await;
        }
        let filter = format!("dport = :{}", hop.address().port());
        let said = std::process::Command::new("ss").args(["-Htin", &filter]).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let pieces = said.split("data_segs_in:").nth(1).unwrap_or(&said);
        assert_eq!(pieces.split_whitespace().next(), Some("3"), "{sizes:?}: {said}");
    });
}

#[test]
fn without_a_pool_each_request_has_a_connection_of_its_own() {
    run(async {
        let (hop, listener) = proxy(|hop| hop.dial.as_mut().unwrap().pool = 0).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        for _ in 0..3 {
            say(&mut client, GET).await;
            let mut server = accept(&listener, None).await.unwrap();
            let requested = read_until(&mut server, "\r\n\r\n").await;
            assert!(requested.contains("\r\nConnection: close\r\n"), "{requested}");
            say(&mut server, OK).await;
            assert_eq!(read_until(&mut client, "ok").await, OK);
            assert_eq!(read_to_end(server).await, "");
        }
    });
}

#[test]
fn chunks_and_trailers_pass_in_both_directions() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3;x=y\r\nabc\r\n0\r\nT: 1\r\nHost: b\r\n\r\n";
        say(&mut client, post).await;
        let mut server = accept(&listener, None).await.unwrap();
        let requested = read_until(&mut server, "\r\nT: 1\r\n\r\n").await;
        let (_, body) = requested.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "3\r\nabc\r\n0\r\nT: 1\r\n\r\n");
        let chunks =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nU: 2\r\n\r\n";
        say(&mut server, chunks).await;
        assert_eq!(read_until(&mut client, "U: 2\r\n\r\n").await, chunks);
        exchange(&mut client, &mut server, (GET, "\r\n\r\n"), (OK, "ok")).await;
    });
}

#[test]
fn a_body_until_the_end_is_cut_in_chunks_for_who_knows_them() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        for (version, body) in [("1.1", "3\r\nabc\r\n0\r\n\r\n"), ("1.0", "abc")] {
            let mut client = connect(hop.address(), None).await.unwrap();
            say(&mut client, &format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")).await;
            let mut server = accept(&listener, None).await.unwrap();
            read_until(&mut server, "\r\n\r\n").await;
            say(&mut server, "HTTP/1.1 200 OK\r\n\r\nabc").await;
            drop(server);
            let seen = match version {
                "1.1" => read_until(&mut client, "0\r\n\r\n").await,
                _ => read_to_end(client).await,
            };
            assert_eq!(seen.split_once("\r\n\r\n").unwrap().1, body, "{version}: {seen}");
            assert_eq!(seen.contains("Connection: close"), version == "1.0", "{seen}");
        }
    });
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        say(&mut client, GET).await;
        let mut server = accept(&listener, None).await.unwrap();
        read_until(&mut server, "\r\n\r\n").await;
        say(&mut server, OK).await;
        read_until(&mut client, "ok").await;
        for (method, response) in [
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
            ("DELETE", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"),
        ] {
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            let (_, seen) =
                exchange(&mut client, &mut server, (&request, "\r\n\r\n"), (response, "\r\n\r\n"))
                    .await;
            assert_eq!(seen, response);
        }
        // Had any of them been taken to have a body, this would be part of it.
        exchange(&mut client, &mut server, (GET, "\r\n\r\n"), (OK, "ok")).await;
        assert_eq!(hop.counters().dialled, 1);
    });
}

#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        let request = |number: usize| {
            format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        };
        let all: String = (0..20).map(request).collect();
        // Cut anywhere.
        for piece in all.as_bytes().chunks(77) {
            client.write_all(piece).await.unwrap();
        }
        let serving = async {
            let mut server = accept(&listener, None).await.unwrap();
            for number in 0..20 {
                assert_eq!(read_until(&mut server, "abc").await, request(number));
                say(
                    &mut server,
                    &format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nN: {number}\r\n\r\n."),
                )
                .await;
            }
        };
        let reading = async {
            for number in 0..20 {
                let mut seen = String::new();
                // Byte by byte, for the next may come with it.
                while !seen.ends_with("\r\n\r\n.") {
                    seen.push(char::from(client.read_u8().await.unwrap()));
                }
                assert!(seen.contains(&format!("N: {number}\r\n")), "{number}: {seen}");
            }
        };
        join!(serving, reading);
    });
}

#[test]
fn a_client_that_waits_for_leave_gets_it_from_the_next_hop() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        say(&mut client, head).await;
        let mut server = accept(&listener, None).await.unwrap();
        let asked = read_until(&mut server, "\r\n\r\n").await;
        assert!(asked.contains("Expect: 100-continue\r\n"), "{asked}");
        let early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        say(&mut server, &format!("{early}HTTP/1.1 100 Continue\r\n\r\n")).await;
        let told = format!("{early}HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(read_until(&mut client, "Continue\r\n\r\n").await, told);
        say(&mut client, "abc").await;
        assert_eq!(read_until(&mut server, "abc").await, "abc");
        say(&mut server, OK).await;
        assert_eq!(read_until(&mut client, "ok").await, OK);
        // Refused before the body was sent: the client is told, and its connection ends.
        say(&mut client, head).await;
        read_until(&mut server, "\r\n\r\n").await;
        say(&mut server, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").await;
        let seen = read_to_end(client).await;
        assert!(seen.starts_with("HTTP/1.1 417 No\r\n") && seen.contains("Connection: close"));
    });
}

#[test]
fn a_response_that_comes_before_the_body_is_through_is_passed_on() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        let length = 1_u64 << 40;
        say(&mut client, &format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"))
            .await;
        let mut server = accept(&listener, None).await.unwrap();
        read_until(&mut server, "\r\n\r\n").await;
        // The client sends until nobody takes any more.
        let block = vec![b'x'; 1 << 20];
        while timeout(HELD_BACK, client.write_all(&block)).await.is_ok() {}
        let enough = "HTTP/1.1 413 Enough\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
        say(&mut server, enough).await;
        let seen = read_until(&mut client, "no").await;
        assert!(seen.starts_with("HTTP/1.1 413 Enough\r\n"), "{seen}");
        assert!(seen.contains("Connection: close\r\n"), "{seen}");
    });
}

#[test]
fn a_pooled_connection_that_was_closed_is_no_reason_to_fail_what_may_be_repeated() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        for (method, retried) in [("GET", true), ("POST", false)] {
            say(&mut client, GET).await;
            let mut server = accept(&listener, None).await.unwrap();
            read_until(&mut server, "\r\n\r\n").await;
            say(&mut server, OK).await;
            read_until(&mut client, "ok").await;
            // The next hop closes as soon as it has read the next request, as one that is just
            // giving up an idle connection does.
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            say(&mut client, &request).await;
            read_until(&mut server, "\r\n\r\n").await;
            drop(server);
            if retried {
                let mut server = accept(&listener, None).await.unwrap();
                assert_eq!(read_until(&mut server, "\r\n\r\n").await, request);
                say(
                    &mut server,
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
                )
                .await;
                assert_eq!(read_until(&mut client, "ok").await, OK);
            } else {
                let seen = read_until(&mut client, "Bad Gateway\n").await;
                assert!(seen.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{seen}");
            }
        }
        assert_eq!(hop.counters().retried, 1);
    });
}

#[test]
fn a_request_is_repeated_over_a_new_connection_and_not_another_old_one() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        let mut clients = Vec::new();
        for _ in 0..2 {
            let mut client = connect(hop.address(), None).await.unwrap();
            say(&mut client, GET).await;
            let mut server = accept(&listener, None).await.unwrap();
            read_until(&mut server, "\r\n\r\n").await;
            clients.push((client, server));
        }
        for (client, server) in &mut clients {
            say(server, OK).await;
            read_until(client, "ok").await;
        }
        // The last that was used is taken first.
        let ((mut client, mut last), (_, mut other)) =
            (clients.pop().unwrap(), clients.pop().unwrap());
        say(&mut client, GET).await;
        read_until(&mut last, "\r\n\r\n").await;
        drop(last);
        tokio::select! {
            accepted = accept(&listener, None) => drop(accepted.unwrap()),
            read = other.read_u8() => panic!("it went over an old connection: {read:?}"),
        }
    });
}

#[test]
fn a_request_is_repeated_once_only() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        let mut client = connect(hop.address(), None).await.unwrap();
        say(&mut client, GET).await;
        let mut server = accept(&listener, None).await.unwrap();
        read_until(&mut server, "\r\n\r\n").await;
        say(&mut server, OK).await;
        read_until(&mut client, "ok").await;
        say(&mut client, GET).await;
        for _ in 0..2 {
            read_until(&mut server, "\r\n\r\n").await;
            drop(server);
            let Ok(next) = timeout(HELD_BACK, accept(&listener, None)).await else { break };
            server = next.unwrap();
        }
        let seen = read_until(&mut client, "Bad Gateway\n").await;
        assert!(seen.starts_with("HTTP/1.1 502"), "{seen}");
        assert_eq!((hop.counters().retried, hop.counters().dialled), (1, 2));
    });
}

#[test]
fn half_a_response_never_looks_like_a_whole_one() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        for response in [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd",
        ] {
            let mut client = connect(hop.address(), None).await.unwrap();
            say(&mut client, GET).await;
            let mut server = accept(&listener, None).await.unwrap();
            read_until(&mut server, "\r\n\r\n").await;
            say(&mut server, response).await;
            drop(server);
            let error = client.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{response}");
        }
        counted(&hop, |counters| counters.refused.get("response") == Some(&3));
    });
}

#[test]
fn what_cannot_be_served_is_refused_and_goes_no_further() {
    run(async {
        let (hop, _listener) = proxy(|_| {}).await;
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000));
        for (request, status) in [
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET relative HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\n\n", 400),
            ("GET / HTTP/3.0\r\n\r\n", 505),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            (&long, 431),
            ("\x16\x03\x01\x02", 400),
        ] {
            let mut client = connect(hop.address(), None).await.unwrap();
            // Behind it stands what a smuggler would have the next hop see.
            say(&mut client, request).await;
            say(&mut client, GET).await;
            let seen = read_to_end(client).await;
            assert!(seen.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {seen}");
            assert_eq!(seen.matches("HTTP/1.1 ").count(), 1, "{seen}");
        }
        let counters = counted(&hop, |counters| counters.open == 0);
        assert_eq!((counters.dialled, counters.refused["request"]), (0, 9));
    });
}

#[test]
fn a_body_that_is_malformed_or_cut_short_is_never_taken_for_whole() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (body, ends) in [("3\r\nabcd", false), ("3\r\nab", true)] {
            let mut client = connect(hop.address(), None).await.unwrap();
            say(&mut client, head).await;
            let mut server = accept(&listener, None).await.unwrap();
            read_until(&mut server, "\r\n\r\n").await;
            say(&mut client, body).await;
            if ends {
                client.shutdown().await.unwrap();
            }
            let mut rest = String::new();
            // An end or a reset, as long as it is no end of a chunked body.
            let _ = server.read_to_string(&mut rest).await;
            assert!(!rest.contains("0\r\n\r\n"), "{rest}");
            let seen = read_to_end(client).await;
            assert!(seen.starts_with("HTTP/1.1 400 "), "{seen}");
        }
        counted(&hop, |counters| counters.refused.get("request-body") == Some(&2));
    });
}

#[test]
fn a_next_hop_that_is_not_there_or_speaks_nonsense_is_a_bad_gateway() {
    run(async {
        let hop = start(&hop(HopKind::Http, "127.0.0.1:9".parse().unwrap()));
        let mut client = connect(hop.address(), None).await.unwrap();
        say(&mut client, GET).await;
        assert!(read_to_end(client).await.starts_with("HTTP/1.1 502 "));
        counted(&hop, |counters| counters.refused.get("dial") == Some(&1));
        let (hop, listener) = proxy(|_| {}).await;
        for nonsense in ["SSH-2.0-x\r\n", "HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 20", ""] {
            let mut client = connect(hop.address(), None).await.unwrap();
            say(&mut client, GET).await;
            let mut server = accept(&listener, None).await.unwrap();
            read_until(&mut server, "\r\n\r\n").await;
            say(&mut server, nonsense).await;
            drop(server);
            let seen = read_to_end(client).await;
            assert!(seen.starts_with("HTTP/1.1 502 "), "{nonsense}: {seen}");
        }
    });
}

/// A message's head, its body without chunks, and its trailers.
fn unchunked(message: &str) -> [String; 3] {
    let (head, mut rest) = message.split_once("\r\n\r\n").unwrap();
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return [head.to_owned(), body, after.to_owned()];
        }
        body.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
    }
}

#[test]
fn where_a_message_is_cut_makes_no_difference() {
    run(async {
        let (hop, listener) = proxy(|_| {}).await;
        let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nT: 1\r\n\r\n";
        let response =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nT: 1\r\n\r\n";
        let mut client = connect(hop.address(), None).await.unwrap();
        say(&mut client, GET).await;
        let mut server = accept(&listener, None).await.unwrap();
        read_until(&mut server, "\r\n\r\n").await;
        say(&mut server, OK).await;
        read_until(&mut client, "ok").await;
        for cut in 1..request.len() {
            say(&mut client, &request[..cut]).await;
            tokio::task::yield_now().await;
            say(&mut client, &request[cut..]).await;
            let seen = read_until(&mut server, "T: 1\r\n\r\n").await;
            assert_eq!(unchunked(&seen), unchunked(request), "at {cut}");
            let cut = cut.min(response.len() - 1);
            say(&mut server, &response[..cut]).await;
            tokio::task::yield_now().await;
            say(&mut server, &response[cut..]).await;
            let seen = read_until(&mut client, "T: 1\r\n\r\n").await;
            assert_eq!(unchunked(&seen), unchunked(response), "at {cut}");
        }
    });
}

const HELD_BACK: Duration = Duration::from_secs(1);
