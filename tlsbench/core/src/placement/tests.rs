use std::num::NonZeroU32;

use super::*;
use crate::hop::{Cryptography, Forwarded, PemIdentity, PrivatePem};

fn all() -> impl Iterator<Item = KnownPlacement> {
    KnownPlacement::PLACEMENTS.into_iter().chain(KnownPlacement::TWINS)
}

#[test]
fn links_carry_what_the_table_says() {
    use LinkSecurity::{Mtls, Plain, Tls};
    // `client → LB`, `LB → ingress`, `ingress → backend`.
    for (known, links) in [
        (KnownPlacement::Plaintext, [Plain, Plain, Plain]),
        (KnownPlacement::LbTerminate, [Tls, Plain, Plain]),
        (KnownPlacement::LbReencrypt, [Tls, Tls, Plain]),
        (KnownPlacement::IngressTerminate, [Tls, Tls, Plain]),
        (KnownPlacement::IngressReencrypt, [Tls, Tls, Tls]),
        (KnownPlacement::UpstreamTls, [Plain, Plain, Tls]),
        (KnownPlacement::Passthrough, [Tls, Tls, Tls]),
        (KnownPlacement::Mtls, [Mtls, Mtls, Mtls]),
        (KnownPlacement::PlaintextL4, [Plain; 3]),
        (KnownPlacement::PlaintextL4L4, [Plain; 3]),
    ] {
        assert_eq!(known.placement().links(), links, "{known}");
    }
}

#[test]
fn each_has_the_twin_of_its_kinds_of_hop() {
    for (known, twin) in [
        (KnownPlacement::Plaintext, KnownPlacement::Plaintext),
        (KnownPlacement::LbTerminate, KnownPlacement::Plaintext),
        (KnownPlacement::LbReencrypt, KnownPlacement::Plaintext),
        (KnownPlacement::IngressTerminate, KnownPlacement::PlaintextL4),
        (KnownPlacement::IngressReencrypt, KnownPlacement::PlaintextL4),
        (KnownPlacement::UpstreamTls, KnownPlacement::Plaintext),
        (KnownPlacement::Passthrough, KnownPlacement::PlaintextL4L4),
        (KnownPlacement::Mtls, KnownPlacement::Plaintext),
        (KnownPlacement::PlaintextL4, KnownPlacement::PlaintextL4),
        (KnownPlacement::PlaintextL4L4, KnownPlacement::PlaintextL4L4),
    ] {
        assert_eq!(known.placement().twin(), twin.placement(), "{known}");
        assert!(known.placement().twin().is_plain());
    }
    let mut own = KnownPlacement::LbTerminate.placement();
    own.name = "mine".to_owned();
    own.hops.remove(1);
    assert_eq!(own.twin().name, "mine-plain");
    // What has no TLS is its own, whatever it is called.
    let mut plain = KnownPlacement::Plaintext.placement();
    plain.name = "base".to_owned();
    assert_eq!(plain.twin(), plain);
}

#[test]
fn the_known_ones_have_no_problems_and_survive_a_scenario_file() {
    for known in all() {
        let placement = known.placement();
        assert_eq!(placement.problems(), [], "{known}");
        let text = toml::to_string(&placement).unwrap();
        assert_eq!(toml::from_str::<Placement>(&text).unwrap(), placement, "{text}");
    }
}

#[test]
fn what_cannot_be_is_named_with_its_hop() {
    let change = |change: &dyn Fn(&mut Placement)| {
        let mut placement = KnownPlacement::LbReencrypt.placement();
        change(&mut placement);
        let problems: Vec<String> =
            placement.problems().into_iter().map(|problem| problem.key).collect();
        problems
    };
    assert_eq!(change(&|_| {}), [""; 0]);
    assert_eq!(change(&|p| p.name = "a b".to_owned()), ["name"]);
    assert_eq!(change(&|p| p.hops.clear()), ["hops"]);
    assert_eq!(change(&|p| p.hops[1].role = Role::Lb), ["hops[1].role"]);
    assert_eq!(change(&|p| p.hops[0].dial = LinkSecurity::Plain), ["hops[0].dial"]);
    assert_eq!(change(&|p| p.hops[1].listen = LinkSecurity::Mtls), ["hops[0].dial"]);
    assert_eq!(change(&|p| p.hops[0].proxy_protocol = true), ["hops[0].proxy_protocol"]);
    assert_eq!(
        change(&|p| p.hops[1].kind = HopKind::Backend),
        ["hops[1].kind"],
        "its dial is plain, as the backend's listen"
    );
    assert_eq!(change(&|p| p.name = "a".repeat(61)), ["name"]);
    assert_eq!(change(&|p| p.hops[2].dial = LinkSecurity::Tls), ["hops[2].dial"]);
    assert_eq!(change(&|p| p.hops[0].delay = Nanos(1)), ["hops[0].delay"]);
    let many = NonZeroU32::new(65).unwrap();
    assert_eq!(change(&|p| p.hops[0].replicas.count = many), ["hops[0].replicas"]);
    let mut relay = KnownPlacement::PlaintextL4.placement();
    relay.hops[0].dial = LinkSecurity::Tls;
    assert_eq!(relay.problems()[0].key, "hops[0].dial", "nobody ends what the relay begins");
    relay.hops[1].listen = LinkSecurity::Tls;
    assert_eq!(relay.problems(), []);
    relay.hops[0].delay = Nanos::from_millis(1_001);
    assert_eq!(relay.problems()[0].key, "hops[0].delay");
    let mut sni = KnownPlacement::Passthrough.placement();
    sni.hops[2].listen = LinkSecurity::Plain;
    assert_eq!(sni.problems()[0].key, "hops[1].kind");
    sni = KnownPlacement::Passthrough.placement();
    sni.hops[1].listen = LinkSecurity::Tls;
    assert_eq!(sni.problems()[0].key, "hops[1].listen");
}

#[test]
fn a_picture_shows_who_ends_tls() {
    let lines = [
        (KnownPlacement::Plaintext, "client ──────▶ lb http ──────▶ ingress http ──────▶ backend"),
        (
            KnownPlacement::LbTerminate,
            "client ══TLS═▶ lb http ──────▶ ingress http ──────▶ backend",
        ),
        (
            KnownPlacement::IngressTerminate,
            "client ══TLS═▶ (lb relay) ══TLS═▶ ingress http ──────▶ backend",
        ),
        (
            KnownPlacement::Passthrough,
            "client ══TLS═▶ (lb relay) ══TLS═▶ (ingress sni-relay) ══TLS═▶ backend",
        ),
        (KnownPlacement::Mtls, "client ═mTLS═▶ lb http ═mTLS═▶ ingress http ═mTLS═▶ backend"),
    ];
    for (known, line) in lines {
        assert_eq!(known.placement().to_string(), line);
    }
}

fn wiring() -> Wiring {
    let identity = |name: &str| PemIdentity {
        chain: format!("{name} chain"),
        key: PrivatePem(format!("{name} key")),
    };
    Wiring {
        root: "root".to_owned(),
        server: identity("server"),
        client: identity("client"),
        cryptography: Cryptography::default(),
        tickets: 2,
        alpn: Vec::new(),
        pool: 32,
        response_bytes: 100,
        workers: NonZeroU32::MIN,
    }
}

#[test]
fn wired_hops_are_valid_and_each_dials_the_next() {
    let addresses: Vec<std::net::SocketAddr> =
        [9001, 9002, 9003].map(|port| ([127, 0, 0, 1], port).into()).to_vec();
    for known in all() {
        let placement = known.placement();
        let hops = wire(&placement, &addresses, &wiring());
        assert_eq!(hops.len(), 3);
        for (index, hop) in hops.iter().enumerate() {
            assert_eq!(hop.problems(), [], "{known} {index}");
            assert_eq!(hop.listen.address, addresses[index]);
            assert_eq!(
                hop.dial.as_ref().map(|dial| dial.address),
                addresses.get(index + 1).copied()
            );
            assert_eq!(hop.listen.carried(), placement.hops[index].listen, "{known} {index}");
        }
        for (hop, next) in hops.iter().zip(hops.iter().skip(1)) {
            let dial = hop.dial.as_ref().unwrap();
            if let Some(tls) = &dial.tls {
                let wanted = next.listen.tls.as_ref().unwrap();
                assert_eq!(tls.identity.is_some(), wanted.client_ca.is_some(), "{known}");
            }
            assert_eq!(dial.pool, if hop.kind == HopKind::Http { 32 } else { 0 });
        }
    }
}

#[test]
fn the_first_http_hop_sets_what_later_ones_append_to() {
    let addresses: Vec<std::net::SocketAddr> =
        [9001, 9002, 9003].map(|port| ([127, 0, 0, 1], port).into()).to_vec();
    let forwarded = |known: KnownPlacement| {
        let hops = wire(&known.placement(), &addresses, &wiring());
        hops.iter().map(|hop| hop.forwarded).collect::<Vec<_>>()
    };
    assert_eq!(
        forwarded(KnownPlacement::LbTerminate),
        [Forwarded::Set, Forwarded::Append, Forwarded::Keep]
    );
    assert_eq!(
        forwarded(KnownPlacement::IngressTerminate),
        [Forwarded::Keep, Forwarded::Set, Forwarded::Keep]
    );
    assert_eq!(forwarded(KnownPlacement::Passthrough), [Forwarded::Keep; 3]);
}
