use super::*;

const LEAST: &str = r#"{"kind": "backend", "listen": {"address": "127.0.0.1:0"}}"#;

fn relay() -> Hop {
    Hop {
        kind: HopKind::Relay,
        dial: Some(Dial {
            address: "127.0.0.1:81".parse().unwrap(),
            tls: None,
            proxy_protocol: false,
            pool: 0,
        }),
        ..Hop::from_json(LEAST).unwrap()
    }
}

fn listen_tls() -> ListenTls {
    ListenTls {
        chain: "chain".to_owned(),
        key: PrivatePem("secret".to_owned()),
        client_ca: None,
        suite: Cryptography::default(),
        alpn: Vec::new(),
        tickets: 2,
    }
}

fn dial_tls() -> DialTls {
    DialTls {
        name: "backend.test".to_owned(),
        ca: "ca".to_owned(),
        verify: Verify::Every,
        identity: None,
        suite: Cryptography::default(),
        resume: true,
    }
}

fn keys(hop: &Hop) -> Vec<String> {
    hop.problems().into_iter().map(|problem| problem.key).collect()
}

#[test]
fn the_least_that_must_be_said_of_a_hop_is_what_it_is_and_where() {
    let hop = Hop::from_json(LEAST).unwrap();
    assert_eq!((hop.kind, hop.listen.carried()), (HopKind::Backend, LinkSecurity::Plain));
    assert_eq!((hop.workers.get(), hop.replicas.count.get()), (1, 1));
    assert_eq!((hop.forwarded, hop.response_bytes), (Forwarded::Keep, 0));
}

#[test]
fn a_hop_survives_the_way_to_its_process() {
    let mut hop = relay();
    hop.kind = HopKind::Http;
    hop.forwarded = Forwarded::Append;
    hop.replicas = Replicas { count: NonZeroU32::new(3).unwrap(), tickets: TicketKeys::Own };
    hop.listen.tls = Some(ListenTls {
        client_ca: Some("roots".to_owned()),
        alpn: vec![ProtocolName::Http2, ProtocolName::Http1],
        suite: Cryptography { versions: vec![Version::Tls13], ..Cryptography::default() },
        ..listen_tls()
    });
    let identity = PemIdentity { chain: "c".to_owned(), key: PrivatePem("k".to_owned()) };
    hop.dial.as_mut().unwrap().tls = Some(DialTls { identity: Some(identity), ..dial_tls() });
    hop.dial.as_mut().unwrap().pool = 8;
    let text = serde_json::to_string(&hop).unwrap();
    assert_eq!(Hop::from_json(&text).unwrap(), hop, "{text}");
    assert!(!text.contains('\n'), "one line: {text}");
    assert_eq!(hop.listen.carried(), LinkSecurity::Mtls);
    assert_eq!(hop.dial.unwrap().carried(), LinkSecurity::Mtls);
}

#[test]
fn what_is_no_hop_is_named_by_its_field() {
    for (text, key, seen) in [
        ("", "hop", "EOF"),
        ("[]", "hop", "invalid length"),
        (r#"{"kind": "relais"}"#, "kind", "`relais` is none of `backend`"),
        (r#"{"kind": "relay", "listen": {"address": "here"}}"#, "listen.address", "invalid socket"),
        (
            r#"{"kind": "relay", "listen": {"address": "[::1]:1", "tsl": {}}}"#,
            "listen.tsl",
            "unknown field",
        ),
        (
            r#"{"kind": "backend", "listen": {"address": "[::1]:1"}, "workers": 0}"#,
            "workers",
            "nonzero",
        ),
        (r#"{"kind": "backend", "listen": {"address": "[::1]:1"}} x"#, "hop", "trailing"),
        (r#"{"kind": "relay", "listen": {"address": "[::1]:1"}}"#, "dial", "somewhere"),
    ] {
        let problem = Hop::from_json(text).unwrap_err();
        assert_eq!(problem.key, key, "{text}: {problem}");
        assert!(problem.seen.contains(seen), "{text}: {problem}");
    }
}

#[test]
fn an_unknown_field_is_refused_beside_flattened_ones_too() {
    let mut json = serde_json::to_value({
        let mut hop = relay();
        hop.listen.tls = Some(listen_tls());
        hop
    })
    .unwrap();
    assert!(Hop::from_json(&json.to_string()).is_ok());
    json["listen"]["tls"]["tikets"] = 3.into();
    let problem = Hop::from_json(&json.to_string()).unwrap_err();
    assert!(problem.key.starts_with("listen.tls"), "{problem}");
    assert!(problem.seen.contains("tikets"), "{problem}");
}

#[test]
fn what_another_kind_of_hop_has_is_refused_by_name() {
    let backend = Hop::from_json(LEAST).unwrap();
    let route = Route { name: "a.test".to_owned(), address: "127.0.0.1:9".parse().unwrap() };
    let with = |change: &dyn Fn(&mut Hop)| {
        let mut hop = relay();
        change(&mut hop);
        keys(&hop)
    };
    assert!(relay().problems().is_empty());
    assert_eq!(keys(&Hop { kind: HopKind::Http, dial: None, ..backend.clone() }), ["dial"]);
    assert_eq!(keys(&Hop { dial: relay().dial, ..backend.clone() }), ["dial"]);
    assert_eq!(keys(&Hop { delay: Nanos(1), ..backend }), ["delay"]);
    assert_eq!(with(&|hop| hop.forwarded = Forwarded::Set), ["forwarded"]);
    assert_eq!(with(&|hop| hop.response_bytes = 1), ["response_bytes"]);
    assert_eq!(with(&|hop| hop.routes.push(route.clone())), ["routes"]);
    assert_eq!(with(&|hop| hop.dial.as_mut().unwrap().pool = 1), ["dial.pool"]);
    let alpn = ListenTls { alpn: vec![ProtocolName::Http1], ..listen_tls() };
    assert_eq!(with(&|hop| hop.listen.tls = Some(alpn.clone())), ["listen.tls.alpn"]);
}

#[test]
fn an_sni_relay_takes_no_part_in_tls() {
    let mut hop = Hop { kind: HopKind::SniRelay, ..relay() };
    assert_eq!(keys(&hop), [""; 0]);
    hop.listen.tls = Some(listen_tls());
    hop.dial.as_mut().unwrap().tls = Some(dial_tls());
    assert_eq!(keys(&hop), ["listen.tls", "dial.tls"]);
}

#[test]
fn a_name_has_one_route_and_leads_elsewhere() {
    let mut hop = Hop { kind: HopKind::SniRelay, ..relay() };
    hop.listen.address = "127.0.0.1:80".parse().unwrap();
    for (name, address) in
        [("a.test", "127.0.0.1:9"), ("A.test", "127.0.0.1:80"), ("a b", "127.0.0.1:0")]
    {
        hop.routes.push(Route { name: name.to_owned(), address: address.parse().unwrap() });
    }
    let wrong = ["routes[1].address", "routes[1].name", "routes[2].address", "routes[2].name"];
    assert_eq!(keys(&hop), wrong);
    hop.routes.clear();
    hop.dial.as_mut().unwrap().address = hop.listen.address;
    assert_eq!(keys(&hop), ["dial.address"]);
}

#[test]
fn sizes_have_limits() {
    let mut hop = relay();
    hop.kind = HopKind::Http;
    hop.workers = NonZeroU32::new(WORKERS_MAX + 1).unwrap();
    hop.replicas.count = NonZeroU32::new(REPLICAS_MAX + 1).unwrap();
    hop.listen.tls = Some(ListenTls { tickets: TICKETS_MAX + 1, ..listen_tls() });
    hop.dial.as_mut().unwrap().pool = POOL_MAX + 1;
    assert_eq!(keys(&hop), ["workers", "replicas.count", "listen.tls.tickets", "dial.pool"]);
    let hop = Hop { delay: DELAY_MAX + Nanos(1), ..relay() };
    assert_eq!(keys(&hop), ["delay"]);
}

#[test]
fn one_client_is_not_named_for_many() {
    let mut hop = Hop { kind: HopKind::Http, ..relay() };
    let dial = hop.dial.as_mut().unwrap();
    (dial.proxy_protocol, dial.pool) = (true, 1);
    assert_eq!(keys(&hop), ["dial.proxy_protocol"]);
    hop.dial.as_mut().unwrap().pool = 0;
    assert_eq!(keys(&hop), [""; 0]);
}

#[test]
fn a_server_that_is_dialled_has_a_name() {
    let mut hop = relay();
    hop.dial.as_mut().unwrap().tls = Some(DialTls { name: "no name".to_owned(), ..dial_tls() });
    assert_eq!(keys(&hop), ["dial.tls.name"]);
}

#[test]
fn a_protocol_is_offered_once() {
    let mut hop = Hop { kind: HopKind::Http, ..relay() };
    let alpn = vec![ProtocolName::Http1, ProtocolName::Http1];
    hop.listen.tls = Some(ListenTls { alpn, ..listen_tls() });
    assert_eq!(keys(&hop), ["listen.tls.alpn"]);
}

#[test]
fn a_key_does_not_show() {
    let mut hop = relay();
    hop.listen.tls = Some(listen_tls());
    assert!(!format!("{hop:?}").contains("secret"));
}
