use std::time::Duration;

use tlsbench_core::hop::Route;
use tlsbench_core::units::Nanos;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::join;

use super::endless::{BLOCK, BYTES, Endless, Random};
use super::*;

/// Sends so much and ends its half, while it reads so much and then the other half's end.
async fn exchange(peer: Peer, out: (u64, u64), input: (u64, u64), seed: u64) {
    let (mut reader, mut writer) = split(peer);
    let sending = async {
        let (mut bytes, mut random) = (Endless::new(out.0), Random(seed));
        let mut left = out.1;
        while left > 0 {
            let most = left.min(1 + random.below(300_000));
            let piece = bytes.next(usize::try_from(most).unwrap());
            writer.write_all(piece).await.unwrap();
            left -= piece.len() as u64;
            random.pause().await;
        }
        writer.shutdown().await.unwrap();
    };
    let receiving = async {
        let (mut bytes, mut random) = (Endless::new(input.0), Random(seed + 1));
        let (mut buffer, mut seen) = (vec![0; 300_000], 0);
        loop {
            let most = 1 + usize::try_from(random.below(300_000)).unwrap();
            let length = reader.read(&mut buffer[..most]).await.unwrap();
            if length == 0 {
                break;
            }
            bytes.assert_next(&buffer[..length]);
            seen += length as u64;
            random.pause().await;
        }
        assert_eq!(seen, input.1, "bytes before the end");
    };
    join!(sending, receiving);
}

/// Moves bytes both ways through a hop, which end at different times: first one half, then the
/// other.
async fn move_all(
    hop: &HopServer,
    listener: &TcpListener,
    tls: (Option<&TlsConnector>, Option<&TlsAcceptor>),
) {
    let each = BYTES / 4;
    // Long, then nearly nothing at all from one side.
    for (up, down) in [(each, each), (each - 1, 1), (0, each), (each + 7, 0)] {
        let (client, server) = join!(connect(hop.address(), tls.0), accept(listener, tls.1));
        join!(
            exchange(client.unwrap(), (1, up), (2, down), 11),
            exchange(server.unwrap(), (2, down), (1, up), 13),
        );
    }
    let counters = counted(hop, |counters| counters.open == 0);
    assert_eq!(counters.bytes_up, 3 * each + 6);
    assert_eq!(counters.bytes_down, 2 * each + 1);
    assert_eq!(counters.refused, Default::default());
}

#[test]
fn a_relay_loses_no_byte_and_passes_each_end_on_by_itself() {
    run(async {
        let (listener, to) = listen().await;
        let hop = start(&hop(HopKind::Relay, to));
        move_all(&hop, &listener, (None, None)).await;
    });
}

#[test]
fn a_peer_that_takes_little_at_a_time_gets_all_of_it() {
    run(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(8).unwrap();
        let hop = start(&hop(HopKind::Relay, listener.local_addr().unwrap()));
        let (client, server) = join!(connect(hop.address(), None), accept(&listener, None));
        let up = BYTES / 64;
        join!(
            exchange(client.unwrap(), (1, up), (2, 0), 11),
            exchange(server.unwrap(), (2, 0), (1, up), 13),
        );
    });
}

#[test]
fn a_relay_that_ends_and_begins_tls_loses_no_byte() {
    let pki = Pki::new();
    run(async {
        let (listener, to) = listen().await;
        let mut hop = hop(HopKind::Relay, to);
        hop.listen.tls = Some(ListenTls { client_ca: Some(pki.root.clone()), ..pki.listen_tls() });
        let dial = DialTls { identity: Some(pki.identity()), ..pki.dial_tls() };
        hop.dial.as_mut().unwrap().tls = Some(dial);
        let hop = start(&hop);
        let tls = (pki.connector(true), pki.acceptor(true));
        move_all(&hop, &listener, (Some(&tls.0), Some(&tls.1))).await;
        let counters = hop.counters();
        assert_eq!(counters.listened.full + counters.listened.resumed, 4);
        assert_eq!(counters.dialled_tls.full + counters.dialled_tls.resumed, 4);
    });
}

#[test]
fn an_sni_relay_loses_no_byte_and_leaves_tls_to_the_ends() {
    let pki = Pki::new();
    run(async {
        let (listener, to) = listen().await;
        // Its default leads nowhere.
        let mut hop = hop(HopKind::SniRelay, "127.0.0.1:9".parse().unwrap());
        hop.routes = vec![Route { name: "HOP.test".to_owned(), address: to }];
        let hop = start(&hop);
        let tls = (pki.connector(false), pki.acceptor(false));
        let (up, down) = (BYTES * 3 / 4, BYTES / 4);
        let (client, server) =
            join!(connect(hop.address(), Some(&tls.0)), accept(&listener, Some(&tls.1)));
        join!(
            exchange(client.unwrap(), (1, up), (2, down), 11),
            exchange(server.unwrap(), (2, down), (1, up), 13),
        );
        counted(&hop, |counters| counters.open == 0 && counters.refused.is_empty());
    });
}

#[test]
fn a_relay_with_a_delay_loses_no_byte_and_gives_none_away_early() {
    run(async {
        let (listener, to) = listen().await;
        let delay = Duration::from_millis(30);
        let hop = start(&Hop { delay: Nanos::from(delay), ..hop(HopKind::Relay, to) });
        let begun = Instant::now();
        let (client, server) = join!(connect(hop.address(), None), accept(&listener, None));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        client.write_all(b"a").await.unwrap();
        server.read_exact(&mut [0]).await.unwrap();
        assert!(begun.elapsed() >= delay, "up: {:?}", begun.elapsed());
        server.write_all(b"b").await.unwrap();
        client.read_exact(&mut [0]).await.unwrap();
        assert!(begun.elapsed() >= 2 * delay, "down: {:?}", begun.elapsed());
        let (up, down) = (BYTES / 8, BYTES / 16);
        join!(exchange(client, (1, up), (2, down), 11), exchange(server, (2, down), (1, up), 13),);
        counted(&hop, |counters| counters.open == 0 && counters.refused.is_empty());
    });
}

/// Makes closing a connection a reset.
fn reset_on_close(tcp: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(tcp, Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_reset_arrives_as_a_reset_from_either_side() {
    run(async {
        let (listener, to) = listen().await;
        let hop = start(&hop(HopKind::Relay, to));
        for from_client in [true, false] {
            let mut client = TcpStream::connect(hop.address()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(b"a").await.unwrap();
            server.read_exact(&mut [0]).await.unwrap();
            let (gone, mut other) = if from_client { (client, server) } else { (server, client) };
            reset_on_close(&gone);
            drop(gone);
            let error = other.read(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "from client: {from_client}");
        }
        counted(&hop, |counters| counters.refused.get("reset") == Some(&2) && counters.open == 0);
    });
}

#[test]
fn who_cannot_be_passed_on_is_reset() {
    run(async {
        let hop = start(&hop(HopKind::Relay, "127.0.0.1:9".parse().unwrap()));
        // A hop that is fast resets it before the client has seen that it is connected.
        let error = match TcpStream::connect(hop.address()).await {
            Ok(mut client) => client.read(&mut [0]).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        counted(&hop, |counters| counters.refused.get("dial") == Some(&1) && counters.open == 0);
    });
}

#[test]
fn who_reads_nothing_holds_back_who_writes() {
    // With a delay, bytes wait in a queue, which has a limit too.
    for (delay, queue) in [(Nanos(0), 0), (Nanos::from_millis(1), 16 << 20)] {
        hold_back(delay, held_max() + queue);
    }
}

fn hold_back(delay: Nanos, held_max: u64) {
    run(async {
        let (listener, to) = listen().await;
        let hop = start(&Hop { delay, ..hop(HopKind::Relay, to) });
        let (client, server) = join!(connect(hop.address(), None), accept(&listener, None));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        let mut bytes = Endless::new(5);
        let mut sent = 0;
        // A second in which nothing more is taken is the sign of being held back.
        while let Ok(written) = timeout(HELD_BACK, client.write(bytes.next(100_000))).await {
            let written = written.unwrap();
            sent += written as u64;
            assert!(sent < held_max, "{sent} bytes are held for who reads nothing");
            // What was not taken comes again.
            bytes.at = usize::try_from(sent % BLOCK as u64).unwrap();
        }
        let reading = async {
            let (mut bytes, mut buffer, mut seen) = (Endless::new(5), vec![0; 100_000], 0);
            loop {
                let length = server.read(&mut buffer).await.unwrap();
                if length == 0 {
                    return seen;
                }
                bytes.assert_next(&buffer[..length]);
                seen += length as u64;
            }
        };
        let (seen, shut) = join!(reading, client.shutdown());
        shut.unwrap();
        assert_eq!(seen, sent);
    });
}

/// Bytes that the kernel holds for two connections, and a pipe with a buffer of ours.
fn held_max() -> u64 {
    let largest = |name| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_{name}")).unwrap();
        text.split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    2 * (largest("rmem") + largest("wmem")) + (4 << 20)
}

#[test]
fn idle_connections_are_held_as_many_as_descriptors_allow() {
    run(async {
        let (listener, to) = listen().await;
        let hop = start(&hop(HopKind::Relay, to));
        // Each has two ends in the relay, and this test has the other two.
        let many = descriptors_left().saturating_sub(200).min(4 * 10_000) / 4;
        assert!(many > 100, "too few descriptors to say anything");
        let mut ends = Vec::new();
        for _ in 0..many {
            let client = TcpStream::connect(hop.address()).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            ends.push((client, server));
        }
        assert_eq!(hop.counters().open, many);
        // Each still works, the first as the last.
        for (client, server) in &mut ends {
            client.write_all(b"?").await.unwrap();
            let mut byte = [0];
            server.read_exact(&mut byte).await.unwrap();
            assert_eq!(&byte, b"?");
        }
        drop(ends);
        counted(&hop, |counters| counters.open == 0);
    });
}

/// Other tests of this process run at the same time and need some too: half are left to them.
pub(super) fn descriptors_left() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.unwrap_or(40_000) / 2
}

#[test]
fn proxy_headers_come_first_and_name_the_client() {
    run(async {
        let (listener, to) = listen().await;
        let mut second = hop(HopKind::Relay, to);
        second.listen.proxy_protocol = true;
        second.dial.as_mut().unwrap().proxy_protocol = true;
        let second = start(&second);
        let mut first = hop(HopKind::Relay, second.address());
        first.dial.as_mut().unwrap().proxy_protocol = true;
        let first = start(&first);
        let mut client = TcpStream::connect(first.address()).await.unwrap();
        client.write_all(b"and then this").await.unwrap();
        client.shutdown().await.unwrap();
        let mut seen = Vec::new();
        let (mut server, _) = listener.accept().await.unwrap();
        server.read_to_end(&mut seen).await.unwrap();
        let addresses = super::super::proxy_protocol::Addresses {
            from: client.local_addr().unwrap(),
            to: first.address(),
        };
        let mut expected = Vec::new();
        super::super::proxy_protocol::write(&addresses, &mut expected);
        expected.extend_from_slice(b"and then this");
        assert_eq!(seen, expected);
        // A line of version 1, in two pieces; nobody else gets in.
        let mut client = TcpStream::connect(second.address()).await.unwrap();
        client.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 ").await.unwrap();
        client.write_all(b"2\r\nx").await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut header = [0; 29];
        server.read_exact(&mut header).await.unwrap();
        assert_eq!(&header[16..], &[192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2, b'x']);
        let mut stranger = TcpStream::connect(second.address()).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        counted(&second, |counters| counters.refused.get("proxy-header") == Some(&1));
    });
}

#[test]
fn what_is_no_hello_is_closed_for_a_reason_that_is_counted() {
    run(async {
        let (_listener, to) = listen().await;
        let hop = start(&hop(HopKind::SniRelay, to));
        let too_long = [&[22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[0; 17_000]].concat();
        for (bytes, why) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "hello-not-tls"),
            (&[22, 3, 1, 0, 1, 2], "hello-malformed"),
            (&too_long, "hello-too-long"),
            (&[22, 3, 1, 0, 200, 1, 0], "hello-unfinished"),
        ] {
            let mut client = TcpStream::connect(hop.address()).await.unwrap();
            client.write_all(bytes).await.unwrap();
            client.shutdown().await.unwrap();
            // An end or a reset, should bytes have been left unread.
            let _ = client.read(&mut [0]).await;
            counted(&hop, |counters| counters.refused.get(why) == Some(&1) && counters.open == 0);
        }
        assert_eq!(hop.counters().dialled, 0);
    });
}

#[test]
fn names_lead_where_their_route_says_and_all_others_to_the_default() {
    let pki = Pki::new();
    run(async {
        let ((named, to_named), (default, to_default)) = (listen().await, listen().await);
        let mut hop = hop(HopKind::SniRelay, to_default);
        hop.routes = vec![Route { name: "hop.test".to_owned(), address: to_named }];
        let hop = start(&hop);
        for (name, listener) in
            [("hop.test", &named), ("other.test", &default), ("127.0.0.1", &default)]
        {
            let tcp = TcpStream::connect(hop.address()).await.unwrap();
            let connector = pki.connector(false);
            let client = connector.connect(name.try_into().unwrap(), tcp);
            tokio::select! {
                accepted = listener.accept() => drop(accepted.unwrap()),
                ended = client => panic!("`{name}` came elsewhere: {ended:?}"),
            }
        }
    });
}

const HELD_BACK: Duration = Duration::from_secs(1);
