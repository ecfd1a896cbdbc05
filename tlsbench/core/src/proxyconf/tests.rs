//! The texts, as goldens; that the proxies take them is shown by `tests/tlsbench`.

use super::*;
use crate::hop::{
    Dial, Forwarded, HopKind, Listen, PemIdentity, PrivatePem, Replicas, Route, TicketKeys,
};
use crate::scenario::{ProtocolName, Provider};

fn tls() -> ListenTls {
    ListenTls {
        chain: "chain\n".to_owned(),
        key: PrivatePem("key\n".to_owned()),
        client_ca: None,
        suite: cryptography(),
        alpn: Vec::new(),
        tickets: 2,
    }
}

fn cryptography() -> Cryptography {
    Cryptography {
        versions: vec![Version::Tls13],
        suites: vec![Suite::Aes128Gcm],
        groups: vec![Group::X25519],
        provider: Provider::Ring,
    }
}

fn upstream_tls() -> DialTls {
    DialTls {
        name: "backend.lab.test".to_owned(),
        ca: "root\n".to_owned(),
        verify: Verify::Every,
        identity: Some(PemIdentity {
            chain: "client\n".to_owned(),
            key: PrivatePem("client key\n".to_owned()),
        }),
        suite: Cryptography { groups: Vec::new(), ..cryptography() },
        resume: true,
    }
}

fn dial(tls: Option<DialTls>, pool: u32) -> Dial {
    Dial { address: "127.0.0.1:9443".parse().unwrap(), tls, proxy_protocol: false, pool }
}

fn hop(kind: HopKind, tls: Option<ListenTls>, dial: Option<Dial>) -> Hop {
    Hop {
        kind,
        listen: Listen { address: "127.0.0.1:8443".parse().unwrap(), tls, proxy_protocol: false },
        dial,
        routes: Vec::new(),
        workers: std::num::NonZeroU32::MIN,
        replicas: Replicas::default(),
        forwarded: Forwarded::Keep,
        delay: Nanos(0),
        response_bytes: 0,
    }
}

/// One of each kind, with most of what each can have.
fn hops() -> Vec<(&'static str, Hop)> {
    let mtls = ListenTls {
        client_ca: Some("clients\n".to_owned()),
        alpn: vec![ProtocolName::Http2, ProtocolName::Http1],
        suite: Cryptography::default(),
        ..tls()
    };
    let backend = hop(HopKind::Backend, Some(mtls), None);
    let mut terminate = hop(HopKind::Http, Some(tls()), Some(dial(None, 64)));
    terminate.forwarded = Forwarded::Set;
    let mut reencrypt = hop(HopKind::Http, Some(tls()), Some(dial(Some(upstream_tls()), 0)));
    reencrypt.forwarded = Forwarded::Append;
    reencrypt.listen.proxy_protocol = true;
    let mut relay = hop(HopKind::Relay, None, Some(dial(None, 0)));
    relay.dial.as_mut().unwrap().proxy_protocol = true;
    let mut sni = hop(HopKind::SniRelay, None, Some(dial(None, 0)));
    let address = "127.0.0.1:9444".parse().unwrap();
    sni.routes.push(Route { name: "Other.lab.test".to_owned(), address });
    vec![
        ("backend", Hop { response_bytes: 70, ..backend }),
        ("terminate", terminate),
        ("reencrypt", reencrypt),
        ("relay", relay),
        ("sni-relay", sni),
    ]
}

fn nginx_text(hop: &Hop, counts: bool) -> String {
    let build = NginxBuild { version: (1, 22, 1), stream_module: Some("stream.so".to_owned()) };
    nginx(hop, &build, counts).unwrap().files.remove(NGINX_CONF).unwrap()
}

/// The golden texts, or new ones where `UPDATE_GOLDENS` says so.
#[allow(clippy::disallowed_methods, reason = "goldens are files, and are written when asked for")]
fn assert_golden(name: &str, seen: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/proxyconf");
    let path = std::path::Path::new(folder).join(name);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&path, seen).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(seen, wanted, "{name}; UPDATE_GOLDENS=1 writes it anew");
}

#[test]
fn each_kind_has_its_configuration() {
    for (name, hop) in hops() {
        assert_golden(
            &format!("nginx-{name}.conf"),
            &nginx_text(&hop, matches!(name, "terminate" | "relay")),
        );
        let files = haproxy(&hop).unwrap().files;
        assert_golden(&format!("haproxy-{name}.cfg"), &files[HAPROXY_CFG]);
        let Ok(Configuration { files, .. }) = caddy(&Hop {
            listen: Listen { proxy_protocol: false, ..hop.listen.clone() },
            ..hop.clone()
        }) else {
            continue;
        };
        assert_golden(&format!("caddy-{name}.json"), &files[CADDY_JSON]);
    }
}

#[test]
fn files_hold_what_the_hop_holds() {
    let (_, reencrypt) = hops().remove(2);
    let files = haproxy(&reencrypt).unwrap().files;
    let held: Vec<(&str, &str)> = files
        .iter()
        .filter(|(name, _)| **name != HAPROXY_CFG)
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let wanted = [
        (CLIENT_PEM, "client\nclient key\n"),
        (SERVER_PEM, "chain\nkey\n"),
        (UPSTREAM_CA, "root\n"),
    ];
    assert_eq!(held, wanted);
    let (_, backend) = hops().remove(0);
    let files = haproxy(&backend).unwrap().files;
    assert_eq!(files[CLIENT_CA], "clients\n");
    assert_eq!(files[BODY].len(), 70);
}

#[test]
fn newer_nginx_has_http2_as_a_directive() {
    let (_, backend) = hops().remove(0);
    assert!(nginx_text(&backend, false).contains(" ssl http2 backlog"));
    let build = NginxBuild { version: (1, 25, 1), stream_module: None };
    let text = nginx(&backend, &build, false).unwrap().files.remove(NGINX_CONF).unwrap();
    assert!(text.contains("http2 on;") && !text.contains("ssl http2"), "{text}");
}

#[test]
fn large_responses_of_nginx_come_from_a_file() {
    let (_, mut backend) = hops().remove(0);
    backend.response_bytes = 1 << 20;
    let build = NginxBuild { version: (1, 22, 1), stream_module: None };
    let files = nginx(&backend, &build, false).unwrap().files;
    assert_eq!(files[BODY].len(), 1 << 20);
    assert!(files[NGINX_CONF].contains("try_files /body.txt"));
}

#[test]
fn what_a_proxy_does_its_own_way_is_noted() {
    let (_, relay) = hops().remove(3);
    let build = NginxBuild { version: (1, 22, 1), stream_module: None };
    assert_eq!(nginx(&relay, &build, false).unwrap().notes.len(), 1);
    assert_eq!(haproxy(&relay).unwrap().notes.len(), 0);
}

#[test]
fn what_a_proxy_cannot_do_is_refused_with_a_cure() {
    let (_, terminate) = hops().remove(1);
    let (_, reencrypt) = hops().remove(2);
    let (_, backend) = hops().remove(0);
    let changed = |hop: &Hop, change: &dyn Fn(&mut Hop)| {
        let mut hop = hop.clone();
        change(&mut hop);
        hop
    };
    let build = NginxBuild { version: (1, 22, 1), stream_module: None };
    let of_both = [
        changed(&terminate, &|hop| hop.listen.address.set_port(0)),
        changed(&terminate, &|hop| hop.delay = Nanos(1)),
        changed(&terminate, &|hop| {
            let count = std::num::NonZeroU32::new(2).unwrap();
            hop.replicas = Replicas { count, tickets: TicketKeys::Own };
        }),
        changed(&terminate, &|hop| hop.listen.tls.as_mut().unwrap().tickets = 1),
        changed(&terminate, &|hop| {
            hop.listen.tls.as_mut().unwrap().suite.groups = vec![Group::X25519MlKem768];
        }),
        changed(&reencrypt, &|hop| {
            let dial = hop.dial.as_mut().unwrap();
            dial.tls.as_mut().unwrap().verify = Verify::SameChain;
        }),
    ];
    for hop in &of_both {
        for refused in [nginx(hop, &build, false).unwrap_err(), haproxy(hop).unwrap_err()] {
            assert!(!refused.what.is_empty() && !refused.cure.is_empty(), "{refused}");
        }
    }
    let sends = changed(&terminate, &|hop| {
        let dial = hop.dial.as_mut().unwrap();
        (dial.proxy_protocol, dial.pool) = (true, 0);
    });
    assert!(nginx(&sends, &build, false).is_err() && haproxy(&sends).is_ok());
    let large = changed(&backend, &|hop| hop.response_bytes = 20_000);
    assert!(haproxy(&large).is_err() && nginx(&large, &build, false).is_ok());
    let groups = changed(&reencrypt, &|hop| {
        hop.dial.as_mut().unwrap().tls.as_mut().unwrap().suite.groups = vec![Group::P256];
    });
    assert!(haproxy(&groups).is_err() && nginx(&groups, &build, false).is_ok());
}

#[test]
fn caddy_is_no_relay_and_says_what_it_can_be() {
    for (name, hop) in hops() {
        let refused = caddy(&hop).err().map(|refused| refused.to_string());
        match name {
            "relay" | "sni-relay" => {
                let wanted = format!("Caddy cannot have a `{name}`; it speaks HTTP only: ");
                assert!(
                    refused.as_ref().is_some_and(|said| said.starts_with(&wanted)),
                    "{refused:?}"
                );
            }
            "reencrypt" => assert!(refused.is_some_and(|said| said.contains("PROXY protocol"))),
            _ => assert_eq!(refused, None),
        }
    }
    let (_, mut terminate) = hops().remove(1);
    assert_eq!(caddy(&terminate).unwrap().notes.len(), 3);
    terminate.forwarded = Forwarded::Keep;
    assert!(caddy(&terminate).is_err());
}
