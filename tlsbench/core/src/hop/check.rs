//! Settings that a hop cannot have together.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{
    DELAY_MAX, Dial, Forwarded, Hop, HopKind, Listen, POOL_MAX, REPLICAS_MAX, RESPONSE_BYTES_MAX,
    TICKETS_MAX, WORKERS_MAX,
};
use crate::problem::{Problem, Problems};
use crate::scenario::is_dns_name;
use crate::units::Nanos;

pub(super) fn problems(hop: &Hop) -> Vec<Problem> {
    let mut problems = Problems::default();
    check_kind(hop, &mut problems);
    check_sizes(hop, &mut problems);
    check_listen(hop.kind, &hop.listen, &mut problems);
    if let Some(dial) = &hop.dial {
        check_dial(hop, dial, &mut problems);
    }
    check_routes(hop, &mut problems);
    problems.0
}

/// Fields that another kind of hop has.
fn check_kind(hop: &Hop, problems: &mut Problems) {
    let is_relay = matches!(hop.kind, HopKind::Relay | HopKind::SniRelay);
    let (http, backend) = (hop.kind == HopKind::Http, hop.kind == HopKind::Backend);
    let Hop { kind, dial, .. } = hop;
    let ends_here = format!("a `{kind}` hop goes on to nowhere");
    problems.when(backend && dial.is_some(), "dial", &ends_here, "remove it");
    let nowhere = format!("a `{kind}` hop has to go on to somewhere");
    problems.when(!backend && dial.is_none(), "dial", &nowhere, "name the next hop");
    let not_of = |kind: &str| format!("only a {kind} has it, and this hop is `{}`", hop.kind);
    let delayed = !is_relay && hop.delay > Nanos(0);
    problems.when(delayed, "delay", &not_of("relay"), "put a relay in between");
    let forwarded = !http && hop.forwarded != Forwarded::Keep;
    problems.when(forwarded, "forwarded", &not_of("`http` hop"), "remove it");
    let answers = !backend && hop.response_bytes > 0;
    problems.when(answers, "response_bytes", &not_of("backend"), "remove it");
    let routes = hop.kind != HopKind::SniRelay && !hop.routes.is_empty();
    problems.when(routes, "routes", &not_of("`sni-relay`"), "remove them");
    let pool = !http && dial.as_ref().is_some_and(|dial| dial.pool > 0);
    problems.when(pool, "dial.pool", &not_of("`http` hop"), "remove it");
    if hop.kind == HopKind::SniRelay {
        let why = "an `sni-relay` passes TLS on and takes no part in it";
        let cure = "remove it, or make the hop a `relay`";
        problems.when(hop.listen.tls.is_some(), "listen.tls", why, cure);
        let begins = dial.as_ref().is_some_and(|dial| dial.tls.is_some());
        problems.when(begins, "dial.tls", why, cure);
    }
}

fn check_sizes(hop: &Hop, problems: &mut Problems) {
    let mut most = |key: &str, value: u64, max: u64| {
        if value > max {
            problems.add(key, format!("{value} is too much"), format!("write at most {max}"));
        }
    };
    most("workers", hop.workers.get().into(), WORKERS_MAX.into());
    most("replicas.count", hop.replicas.count.get().into(), REPLICAS_MAX.into());
    most("delay", hop.delay.0, DELAY_MAX.0);
    most("response_bytes", hop.response_bytes, RESPONSE_BYTES_MAX);
    if let Some(tls) = &hop.listen.tls {
        most("listen.tls.tickets", tls.tickets.into(), TICKETS_MAX.into());
    }
    if let Some(dial) = &hop.dial {
        most("dial.pool", dial.pool.into(), POOL_MAX.into());
    }
}

fn check_listen(kind: HopKind, listen: &Listen, problems: &mut Problems) {
    let Some(tls) = &listen.tls else { return };
    let speaks = matches!(kind, HopKind::Http | HopKind::Backend);
    let why = format!("a `{kind}` hop does not know what its clients speak");
    problems.when(!speaks && !tls.alpn.is_empty(), "listen.tls.alpn", &why, "remove it");
    let distinct: BTreeSet<&str> = tls.alpn.iter().map(|alpn| alpn.as_str()).collect();
    let twice = distinct.len() < tls.alpn.len();
    problems.when(twice, "listen.tls.alpn", "a protocol is named twice", "name each once");
}

fn check_dial(hop: &Hop, dial: &Dial, problems: &mut Problems) {
    check_next(hop, "dial.address", dial.address, problems);
    let mixed = hop.kind == HopKind::Http && dial.proxy_protocol && dial.pool > 0;
    let why = "a pooled connection serves many clients, and the PROXY protocol names one";
    problems.when(mixed, "dial.proxy_protocol", why, "use `pool` 0, or `forwarded` instead");
    let Some(tls) = &dial.tls else { return };
    if tls.name.parse::<IpAddr>().is_err() && !is_dns_name(&tls.name) {
        let seen = format!("`{}` is neither a DNS name nor an address", tls.name);
        problems.add("dial.tls.name", seen, "write the name in the next hop's certificate");
    }
}

fn check_next(hop: &Hop, key: &str, next: std::net::SocketAddr, problems: &mut Problems) {
    // Port 0 means "any" when listening and nothing when dialling.
    problems.when(next.port() == 0, key, "port 0 cannot be dialled", "write the next hop's port");
    // A hop that dials itself would multiply each connection until no port is left.
    let itself = next == hop.listen.address && next.port() != 0;
    problems.when(itself, key, "the hop would dial itself", "write the next hop's address");
}

fn check_routes(hop: &Hop, problems: &mut Problems) {
    let mut known = BTreeSet::new();
    for (index, route) in hop.routes.iter().enumerate() {
        let key = format!("routes[{index}]");
        check_next(hop, &format!("{key}.address"), route.address, problems);
        if !is_dns_name(&route.name) {
            let seen = format!("`{}` is no DNS name", route.name);
            problems.add(format!("{key}.name"), seen, "write the server name of a ClientHello");
        }
        // Server names do not differ by case (RFC 6066, section 3).
        if !known.insert(route.name.to_ascii_lowercase()) {
            let seen = format!("`{}` has a route already", route.name);
            problems.add(format!("{key}.name"), seen, "keep one of them");
        }
    }
}
