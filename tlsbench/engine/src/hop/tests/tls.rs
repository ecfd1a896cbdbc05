use std::num::NonZeroU32;

use tlsbench_core::hop::{Replicas, TicketKeys};
use tlsbench_core::scenario::Version;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::join;

use super::*;

/// Connects so often, one after the other, and reads once so that tickets are taken.
async fn connect_times(hop: &HopServer, tls: &TlsConnector, listener: &TcpListener, times: u64) {
    for _ in 0..times {
        let (client, server) = join!(connect(hop.address(), Some(tls)), accept(listener, None));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        server.write_all(b"a").await.unwrap();
        client.read_exact(&mut [0]).await.unwrap();
        client.shutdown().await.unwrap();
    }
}

#[test]
fn a_ticket_is_of_use_where_its_keys_are() {
    let pki = Pki::new();
    for (count, tickets, resumed) in [
        (1, TicketKeys::Own, 9),
        (3, TicketKeys::Shared, 9),
        // Replicas take turns, and each finds a ticket of the one before.
        (3, TicketKeys::Own, 0),
    ] {
        for version in [Version::Tls12, Version::Tls13] {
            run(async {
                let (listener, to) = listen().await;
                let mut hop = hop(HopKind::Relay, to);
                let suite = Cryptography { versions: vec![version], ..Cryptography::default() };
                hop.listen.tls = Some(ListenTls { suite, ..pki.listen_tls() });
                hop.replicas = Replicas { count: NonZeroU32::new(count).unwrap(), tickets };
                let hop = start(&hop);
                connect_times(&hop, &pki.connector(false), &listener, 10).await;
                let listened = hop.counters().listened;
                assert_eq!((listened.full, listened.resumed), (10 - resumed, resumed));
            });
        }
    }
}

#[test]
fn without_tickets_nothing_is_resumed() {
    let pki = Pki::new();
    for version in [Version::Tls12, Version::Tls13] {
        run(async {
            let (listener, to) = listen().await;
            let mut hop = hop(HopKind::Relay, to);
            let suite = Cryptography { versions: vec![version], ..Cryptography::default() };
            hop.listen.tls = Some(ListenTls { tickets: 0, suite, ..pki.listen_tls() });
            let hop = start(&hop);
            connect_times(&hop, &pki.connector(false), &listener, 3).await;
            assert_eq!(hop.counters().listened.full, 3);
        });
    }
}

#[test]
fn upstream_sessions_are_resumed_if_they_are_to_be() {
    let pki = Pki::new();
    for resume in [true, false] {
        run(async {
            let (listener, to) = listen().await;
            let mut hop = hop(HopKind::Relay, to);
            hop.dial.as_mut().unwrap().tls = Some(DialTls { resume, ..pki.dial_tls() });
            let hop = start(&hop);
            let acceptor = pki.acceptor(false);
            for _ in 0..5 {
                let (client, server) =
                    join!(connect(hop.address(), None), accept(&listener, Some(&acceptor)));
                let (mut client, mut server) = (client.unwrap(), server.unwrap());
                server.write_all(b"a").await.unwrap();
                client.read_exact(&mut [0]).await.unwrap();
            }
            let dialled = hop.counters().dialled_tls;
            let resumed = if resume { 4 } else { 0 };
            assert_eq!((dialled.full, dialled.resumed), (5 - resumed, resumed));
        });
    }
}

#[test]
fn a_client_without_a_certificate_or_a_server_without_a_name_gets_no_further() {
    let pki = Pki::new();
    run(async {
        let (listener, to) = listen().await;
        let mut hop_listens = hop(HopKind::Relay, to);
        let asking = ListenTls { client_ca: Some(pki.root.clone()), ..pki.listen_tls() };
        hop_listens.listen.tls = Some(asking);
        let hop_listens = start(&hop_listens);
        // By TLS 1.3 the client learns of it after its own handshake, or at the end of it.
        if let Ok(mut client) = connect(hop_listens.address(), Some(&pki.connector(false))).await {
            assert!(client.read(&mut [0]).await.is_err());
        }
        counted(&hop_listens, |counters| counters.listened.failed == 1);
        let mut hop_dials = hop(HopKind::Relay, to);
        let other = DialTls { name: "other.test".to_owned(), ..pki.dial_tls() };
        hop_dials.dial.as_mut().unwrap().tls = Some(other);
        let hop_dials = start(&hop_dials);
        let acceptor = pki.acceptor(false);
        let (mut client, _) = join!(
            async { connect(hop_dials.address(), None).await.unwrap() },
            accept(&listener, Some(&acceptor))
        );
        assert!(client.read(&mut [0]).await.is_err());
        let refused = |counters: &HopCounters| counters.refused.get("dial-handshake") == Some(&1);
        counted(&hop_dials, |counters| counters.dialled_tls.failed == 1 && refused(counters));
    });
}

#[test]
fn what_cannot_be_started_is_named_by_field_and_cause() {
    use std::error::Error as _;

    let pki = Pki::new();
    let relay = hop(HopKind::Relay, "127.0.0.1:9".parse().unwrap());
    let error = |change: &dyn Fn(&mut Hop)| {
        let mut hop = relay.clone();
        change(&mut hop);
        let error = HopServer::start(&hop).unwrap_err();
        let source = error.source().unwrap().to_string();
        format!("{error}: {source}")
    };
    let running = start(&relay);
    for workers in [1, 2] {
        let taken = error(&|hop| {
            hop.listen.address = running.address();
            hop.workers = NonZeroU32::new(workers).unwrap();
        });
        let address = running.address();
        assert!(taken.starts_with(&format!("cannot listen at `{address}`")), "{taken}");
    }
    let text = error(&|hop| {
        hop.listen.tls = Some(ListenTls { chain: "x".to_owned(), ..pki.listen_tls() });
    });
    assert_eq!(text, "cannot use `listen.tls`: cannot read the certificate");
    let text = error(&|hop| {
        let key = PrivatePem(pki.client.key_pem.clone());
        hop.listen.tls = Some(ListenTls { key, ..pki.listen_tls() });
    });
    assert_eq!(text, "cannot use `listen.tls`: cannot use the certificate");
    let text = error(&|hop| {
        let tls = DialTls { ca: "x".to_owned(), ..pki.dial_tls() };
        hop.dial.as_mut().unwrap().tls = Some(tls);
    });
    assert!(text.starts_with("cannot use `dial.tls`: "), "{text}");
}

#[test]
fn several_workers_share_a_port() {
    run(async {
        let (listener, to) = listen().await;
        let mut hop = hop(HopKind::Relay, to);
        hop.workers = NonZeroU32::new(3).unwrap();
        let hop = start(&hop);
        for _ in 0..30 {
            let (client, server) = join!(connect(hop.address(), None), accept(&listener, None));
            client.unwrap().write_all(b"a").await.unwrap();
            server.unwrap().read_exact(&mut [0]).await.unwrap();
        }
        counted(&hop, |counters| counters.accepted == 30 && counters.open == 0);
        // 30 connections on one of three: once in 10^13.
        assert!(hop.counters.iter().filter(|counters| counters.accepted.now() > 0).count() > 1);
    });
}
