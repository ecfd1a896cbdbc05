//! Settings that cannot be measured together. The engine never meets a scenario that has such a
//! problem.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::url::is_dns_name;
use super::{
    Close, Group, IpVersion, Length, Load, Protocol, Provider, Request, Scenario, Scheme, Target,
    Verify, Version,
};
use crate::problem::{Problem, Problems};
use crate::units::{Nanos, Share};
use crate::words::NAME_MAX;

impl Scenario {
    /// Everything that keeps this from being run; nothing for what came out of `Draft::finish`.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        targets(self, &mut problems);
        tls(self, &mut problems);
        resumption(self, &mut problems);
        early_data(self, &mut problems);
        if let Some(request) = &self.request {
            super::request::check(request, &mut problems);
            http2(self, request, &mut problems);
        }
        close(self, &mut problems);
        load(self, &mut problems);
        timing(self, &mut problems);
        timeout(self, &mut problems);
        sources(self, &mut problems);
        ip_version(self, &mut problems);
        problems.0
    }

    fn has_https(&self) -> bool {
        self.targets.iter().any(|target| target.scheme == Scheme::Https)
    }

    fn keeps_connections(&self) -> bool {
        self.request.is_some() && self.load.keeps_connections()
    }
}

fn targets(scenario: &Scenario, problems: &mut Problems) {
    let targets = &scenario.targets;
    problems.when(targets.is_empty(), "target", "no target", NO_TARGET);
    let many = targets.len() > TARGETS_MAX;
    problems.when(many, "target", "more than 64 targets", "split them over several runs");
    let mut names = BTreeSet::new();
    for Target { name, scheme, sni, .. } in targets {
        if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
            let cure = "write 1 to 100 bytes of plain text";
            problems.add("target.name", format!("{name:?} cannot name a target"), cure);
        }
        if !names.insert(name) {
            let cure = "give each target a name of its own";
            problems.add("target.name", format!("two targets called `{name}`"), cure);
        }
        if let Some(sni) = sni {
            let cure = "write a DNS name; an IP address is never sent as SNI";
            if !is_dns_name(sni) {
                problems.add("target.sni", format!("`{sni}` is no DNS name"), cure);
            }
            let is_plain = *scheme == Scheme::Http;
            let cure = "drop it, or write `https://`";
            problems.when(is_plain, "target.sni", "a TLS name for a target without TLS", cure);
        }
        if scenario.request.is_none() && *scheme == Scheme::Http {
            let cure = "write `https://`, or drop `handshakes_only`";
            let seen = format!("handshakes only, with `{name}`, which has none");
            problems.add("handshakes_only", seen, cure);
        }
    }
}

fn tls(scenario: &Scenario, problems: &mut Problems) {
    let tls = &scenario.tls;
    if tls.groups.contains(&Group::X25519MlKem768) {
        let is_old = !tls.version.has(Version::Tls13);
        let cure = "choose `version = \"1.3\"`, or drop the group";
        problems.when(is_old, "tls.groups", "x25519mlkem768, which TLS 1.2 does not have", cure);
        let is_ring = tls.provider == Provider::Ring;
        let cure = "choose `provider = \"aws-lc-rs\"`, or drop the group";
        problems.when(is_ring, "tls.groups", "x25519mlkem768, which ring does not have", cure);
    }
    let twice = "one twice, in an order of preference";
    let cure = "name each once";
    let groups: BTreeSet<_> = tls.groups.iter().collect();
    problems.when(groups.len() < tls.groups.len(), "tls.groups", twice, cure);
    let suites: BTreeSet<_> = tls.suites.iter().collect();
    problems.when(suites.len() < tls.suites.len(), "tls.suites", twice, cure);
    let unread = tls.verify == Verify::Off && tls.ca_bundle.is_some();
    let cure = "drop it, or drop `verify = \"off\"`";
    problems.when(unread, "tls.ca_bundle", "roots, and nothing verified against them", cure);
    if !scenario.has_https() && !scenario.targets.is_empty() {
        let cure = "drop it, or write `https://` in a target";
        let seen = "asked for, and no target speaks TLS";
        problems.when(tls.client_certificate.is_some(), "tls.client_certificate", seen, cure);
        problems.when(tls.ca_bundle.is_some(), "tls.ca_bundle", seen, cure);
        problems.when(tls.resume > Share::ZERO, "tls.resume", seen, cure);
    }
    // Records are JSON, which has no other text than Unicode.
    let paths = tls.client_certificate.iter().flat_map(|files| [&files.chain, &files.key]);
    if paths.chain(&tls.ca_bundle).any(|path| path.to_str().is_none()) {
        problems.add("tls", "a file name that is not UTF-8", "rename the file, or link to it");
    }
}

fn resumption(scenario: &Scenario, problems: &mut Problems) {
    let wanted = scenario.tls.resume > Share::ZERO;
    let seen = "resumption on connections that are kept, so that none follows";
    let cure = "drop it, or `load.keep`";
    problems.when(wanted && scenario.keeps_connections(), "tls.resume", seen, cure);
}

fn early_data(scenario: &Scenario, problems: &mut Problems) {
    let tls = &scenario.tls;
    if !tls.early_data {
        return;
    }
    let key = "tls.early_data";
    let cure = "choose `version = \"1.3\"`, or drop it";
    problems.when(!tls.version.has(Version::Tls13), key, "early data, which TLS 1.2 has not", cure);
    let cure = "set `resume` above 0, or drop it";
    problems.when(tls.resume == Share::ZERO, key, "early data without resumption", cure);
    let seen = match &scenario.request {
        None => "early data in a run of handshakes only".to_owned(),
        // RFC 8470, section 4: only safe methods, for early data can be replayed.
        Some(request) if !SAFE_METHODS.contains(&request.method.as_str()) => {
            format!("early data with {}, which must not be replayed", request.method)
        }
        Some(_) => return,
    };
    problems.add(key, seen, "send a GET, HEAD, OPTIONS or TRACE, or drop it");
}

fn http2(scenario: &Scenario, request: &Request, problems: &mut Problems) {
    let Protocol::Http2 { streams } = request.protocol else { return };
    if let Some(target) = scenario.targets.iter().find(|target| target.scheme == Scheme::Http) {
        let cure = "write `https://`, or choose `http/1.1`";
        let seen = format!("h2, agreed on in TLS, with `{}`, which has no TLS", target.name);
        problems.add("request.protocol", seen, cure);
    }
    let is_over = streams.get() > STREAMS_MAX;
    problems.when(is_over, "request.streams", "more than 1,000", "use more connections");
    let per_connection = match &scenario.load {
        Load::Closed { requests_per_connection, .. } => *requests_per_connection,
        Load::Open { arrivals: super::Arrivals::Connections { requests }, .. } => Some(*requests),
        Load::Open { arrivals: super::Arrivals::Requests, .. } => None,
    };
    if per_connection.is_some_and(|requests| requests.get() < u64::from(streams.get())) {
        let cure = "raise `load.requests_per_connection`, or lower it";
        let seen = "more streams than requests on a connection";
        problems.add("request.streams", seen, cure);
    }
}

fn close(scenario: &Scenario, problems: &mut Problems) {
    if scenario.close != Close::Server {
        return;
    }
    let is_http2 = scenario
        .request
        .as_ref()
        .is_some_and(|request| matches!(request.protocol, Protocol::Http2 { .. }));
    let cure = "choose `close = \"fin\"`, or drop it";
    let seen = "`server`, which an HTTP/2 request cannot ask for";
    problems.when(is_http2, "close", seen, cure);
    let keeps = scenario.keeps_connections();
    let seen = "`server`, on connections that are kept until the client ends the run";
    problems.when(keeps, "close", seen, cure);
}

fn load(scenario: &Scenario, problems: &mut Problems) {
    let shards = scenario.shards.get();
    let over = shards > SHARDS_MAX;
    problems.when(over, "threads", "more than 1,024", "one per core is enough");
    // A shard without a connection would measure nothing.
    let few = |many: u32| many < shards;
    let cure = "raise it, or lower `threads`";
    match &scenario.load {
        Load::Closed { connections, .. } => {
            let key = "load.connections";
            problems.when(few(connections.get()), key, "fewer connections than threads", cure);
            let over = connections.get() > CONNECTIONS_MAX;
            problems.when(over, key, "more than 1,000,000", "use several machines");
        }
        Load::Open { rate, spread, pool, wait_max, .. } => {
            problems.when(few(pool.get()), "load.pool", "a smaller pool than threads", cure);
            let over = pool.get() > CONNECTIONS_MAX;
            problems.when(over, "load.pool", "more than 1,000,000", "use several machines");
            let over = rate.as_f64() > RATE_MAX;
            problems.when(over, "load.rate", "more than 10,000,000/s", "use several machines");
            let expected = match scenario.timing.round {
                Length::Count(_) => f64::INFINITY,
                Length::Time(time) => rate.as_f64() * time.as_secs_f64(),
            };
            let cure = "raise it, or `timing.round`";
            let seen = "less than one arrival per thread in a round";
            problems.when(expected < f64::from(shards), "load.rate", seen, cure);
            if let super::Spread::Poisson { seed } = spread {
                let over = i64::try_from(*seed).is_err();
                problems.when(over, "load.seed", "more than 2^63 - 1", "choose a smaller one");
            }
            span("load.wait_max", *wait_max, Nanos(0), WAIT_MAX, problems);
        }
    }
    if let Length::Count(count) = scenario.timing.round
        && count.get() < u64::from(shards)
    {
        let seen = "fewer operations in a round than threads";
        problems.add("timing.round_count", seen, cure);
    }
}

fn timing(scenario: &Scenario, problems: &mut Problems) {
    let timing = &scenario.timing;
    match timing.round {
        Length::Time(time) => span("timing.round", time, ROUND_MIN, ROUND_MAX, problems),
        Length::Count(count) => {
            let over = count.get() > COUNT_MAX;
            problems.when(over, "timing.round_count", "more than 10^12", "use a time, `round`");
        }
    }
    let over = timing.rounds.get() > ROUNDS_MAX;
    problems.when(over, "timing.rounds", "more than 10,000", "make rounds longer instead");
    span("timing.warm_up", timing.warm_up, Nanos(0), WARM_UP_MAX, problems);
    let seen = "a ramp that ends after the warm-up, so that it would be measured";
    let cure = "raise `warm_up`, or lower it";
    problems.when(timing.ramp > timing.warm_up, "timing.ramp", seen, cure);
}

fn timeout(scenario: &Scenario, problems: &mut Problems) {
    let timeout = &scenario.timeout;
    span("timeout.operation", timeout.operation, TIMEOUT_MIN, WAIT_MAX, problems);
    for (key, part) in [
        ("timeout.connect", timeout.connect),
        ("timeout.handshake", timeout.handshake),
        ("timeout.first_byte", timeout.first_byte),
    ] {
        span(key, part, TIMEOUT_MIN, WAIT_MAX, problems);
        let seen = "a limit of a part that is above the one of the whole operation";
        let cure = "lower it, or raise `timeout.operation`";
        problems.when(part > timeout.operation, key, seen, cure);
    }
    if let Some(run) = timeout.run {
        span("timeout.run", run, TIMEOUT_MIN, RUN_MAX, problems);
    }
}

fn span(key: &str, span: Nanos, min: Nanos, max: Nanos, problems: &mut Problems) {
    if span < min || span > max {
        let cure = format!("write {} to {}", min.exact(), max.exact());
        problems.add(key, format!("{} is out of bounds", span.exact()), cure);
    }
}

fn sources(scenario: &Scenario, problems: &mut Problems) {
    let sources = &scenario.sources;
    let Some(first) = sources.first() else { return };
    let cure = "keep those of one family";
    let mixed = sources.iter().any(|source| source.is_ipv4() != first.is_ipv4());
    problems.when(mixed, "sources", "addresses of IPv4 and of IPv6", cure);
    let distinct: BTreeSet<_> = sources.iter().collect();
    let cure = "name each once";
    problems.when(distinct.len() < sources.len(), "sources", "an address twice", cure);
    let many = sources.len() > SOURCES_MAX;
    problems.when(many, "sources", "more than 1,000", "use several machines");
    let unusable = |source: &IpAddr| source.is_unspecified() || source.is_multicast();
    if let Some(source) = sources.iter().find(|source| unusable(source)) {
        let cure = "name addresses of this machine, or drop it";
        problems.add("sources", format!("`{source}`, which nothing can be sent from"), cure);
    }
    for target in &scenario.targets {
        let other = |address: &IpAddr| address.is_ipv4() != first.is_ipv4();
        if target.addresses().iter().any(other) {
            let cure = "name sources of the family of its addresses";
            let seen = format!("addresses of another family than those of `{}`", target.name);
            problems.add("sources", seen, cure);
        }
    }
}

fn ip_version(scenario: &Scenario, problems: &mut Problems) {
    let Some(version) = scenario.ip_version else { return };
    let other = |address: &IpAddr| IpVersion::of(*address) != version;
    for target in &scenario.targets {
        if let Some(address) = target.addresses().iter().find(|address| other(address)) {
            let seen = format!("`{version}`, and `{}` is at `{address}`", target.name);
            problems.add("ip_version", seen, "leave it out, or name addresses of that version");
        }
    }
    if let Some(source) = scenario.sources.iter().find(|source| other(source)) {
        let seen = format!("`{source}`, and `ip_version` is `{version}`");
        problems.add("sources", seen, "leave one of them out");
    }
}

const NO_TARGET: &str =
    "write `--target NAME=https://host/path`, or a `[[target]]` in a scenario file";
const SAFE_METHODS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];
const TARGETS_MAX: usize = 64;
const STREAMS_MAX: u32 = 1_000;
const SHARDS_MAX: u32 = 1_024;
const CONNECTIONS_MAX: u32 = 1_000_000;
/// An arrival each 100 ns: more than any machine connects.
const RATE_MAX: f64 = 1e7;
const SOURCES_MAX: usize = 1_000;
const ROUND_MIN: Nanos = Nanos::from_millis(10);
const ROUND_MAX: Nanos = Nanos::from_millis(24 * 3_600_000);
const COUNT_MAX: u64 = 1_000_000_000_000;
const ROUNDS_MAX: u32 = 10_000;
const WARM_UP_MAX: Nanos = Nanos::from_millis(3_600_000);
const TIMEOUT_MIN: Nanos = Nanos::from_millis(1);
/// Thirty days.
const RUN_MAX: Nanos = Nanos::from_millis(30 * 24 * 3_600_000);
/// Five minutes, below what a tally can tell apart (nine).
const WAIT_MAX: Nanos = Nanos::from_millis(300_000);
