//! Scenarios: what is taken, what is refused, and that what is printed reads back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;
use crate::problem::Problem;
use crate::units::{Nanos, Rate};

fn finish(text: &str) -> Result<Scenario, Vec<Problem>> {
    Draft::from_toml(text).unwrap().finish()
}

/// A file with one target on this machine.
fn local(rest: &str) -> String {
    format!("{rest}\n[[target]]\nurl = 'https://127.0.0.1:8443/'\n")
}

#[test]
fn a_name_for_sni_has_no_dot_at_its_end() {
    let sni = |name: &str| {
        let text = format!("[[target]]\nurl = 'https://a.example/'\nsni = '{name}'");
        Draft::from_toml(&text).unwrap().finish().map(|scenario| scenario.targets[0].sni.clone())
    };
    assert_eq!(sni("localhost.").unwrap().as_deref(), Some("localhost"));
    assert_eq!(sni("localhost").unwrap().as_deref(), Some("localhost"));
    assert!(sni(".").is_err() && sni("localhost..").is_err());
}

#[test]
fn a_url_is_enough() {
    let scenario = finish("[[target]]\nurl = 'https://[::1]/a'").unwrap();
    let target = scenario.targets.first().unwrap();
    assert_eq!((target.name.as_str(), target.port), ("[::1]:443", 443));
    assert_eq!(
        scenario.load,
        Load::Closed {
            connections: NonZeroU32::new(16).unwrap(),
            requests_per_connection: NonZeroU64::new(1),
        }
    );
    assert_eq!((scenario.close, scenario.abort_errors_above), (Close::Server, Share::ONE));
    assert_eq!(scenario.tls.version, Versions::Both);
    assert_eq!(scenario.timing.rounds.get(), 10);
}

#[test]
fn machines_of_others_are_spared_unless_told() {
    let scenario = finish("[[target]]\nurl = 'https://example.com'").unwrap();
    let Load::Open { rate, .. } = scenario.load else { panic!("{:?}", scenario.load) };
    assert_eq!((rate.as_f64(), scenario.abort_errors_above.as_f64()), (50.0, 0.1));
    let closed = "[load]\nloop = 'closed'\n[[target]]\nurl = 'https://example.com'";
    let Load::Closed { connections, .. } = finish(closed).unwrap().load else { panic!() };
    assert_eq!(connections.get(), 10);
    let told = "[load]\nconnections = 500\n[[target]]\nurl = 'https://example.com'";
    let Load::Closed { connections, .. } = finish(told).unwrap().load else { panic!() };
    assert_eq!(connections.get(), 500);
}

#[test]
fn private_networks_are_told_from_others() {
    let target = |url: &str, connect_to: &str| {
        let text = format!("[[target]]\nurl = '{url}'\nconnect_to = [{connect_to}]");
        finish(&text).unwrap().targets.remove(0).is_lab()
    };
    for (url, connect_to, is_lab) in [
        ("https://127.8.9.1", "", true),
        ("https://10.1.2.3", "", true),
        ("https://100.64.0.1", "", true),
        ("https://100.128.0.1", "", false),
        ("https://172.32.0.1", "", false),
        ("https://[fd00::1]", "", true),
        ("https://[::ffff:8.8.8.8]", "", false),
        ("https://[::ffff:127.0.0.1]", "", true),
        ("https://[2001:db8::1]", "", false),
        ("https://localhost", "", true),
        ("https://a.localhost", "", true),
        ("https://notlocalhost", "", false),
        ("https://a.b.svc", "", true),
        ("https://a.b.svc.cluster.local", "", true),
        ("https://cluster.local", "", false),
        ("https://example.com", "", false),
        ("https://example.com", "'127.0.0.1:443'", true),
        ("https://example.com", "'127.0.0.1:443', '8.8.8.8:443'", false),
        ("https://127.0.0.1", "'8.8.8.8:443'", false),
    ] {
        assert_eq!(target(url, connect_to), is_lab, "{url} {connect_to}");
    }
}

#[test]
fn the_server_closes_where_it_can_be_asked_to() {
    for (text, close) in [
        ("", Close::Server),
        ("handshakes_only = true", Close::Server),
        ("[load]\nkeep = true", Close::Fin),
        ("[load]\nkeep = true\nrate = 100", Close::Fin),
        ("[request]\nprotocol = 'h2'", Close::Fin),
        ("close = 'rst'\n[request]\nprotocol = 'h2'", Close::Rst),
    ] {
        assert_eq!(finish(&local(text)).unwrap().close, close, "{text}");
    }
}

/// Each text with the only keys that are complained about.
const REFUSED: &[(&str, &[&str])] = &[
    ("threads = 0", &["threads"]),
    ("threads = 17", &["load.connections"]),
    ("threads = 2000\n[load]\nconnections = 2000", &["threads"]),
    ("abort_errors_above = 1.5", &["abort_errors_above"]),
    ("sources = ['127.0.0.1', '::1']", &["sources"]),
    ("sources = ['::1']", &["sources"]),
    ("sources = ['127.0.0.1', '127.0.0.1']", &["sources"]),
    ("sources = ['0.0.0.0']", &["sources"]),
    ("ip_version = 'ipv6'", &["ip_version"]),
    ("ip_version = 'ipv6'\nsources = ['127.0.0.2']", &["ip_version", "sources"]),
    ("close = 'server'\n[load]\nkeep = true", &["close"]),
    ("close = 'server'\n[request]\nprotocol = 'h2'", &["close"]),
    ("[tls]\nprovider = 'ring'\ngroups = ['x25519mlkem768']", &["tls.groups"]),
    (
        "[tls]\nprovider = 'aws-lc-rs'\nversion = '1.2'\ngroups = ['x25519mlkem768']",
        &["tls.groups"],
    ),
    ("[tls]\ngroups = ['p256', 'p256']", &["tls.groups"]),
    ("[tls]\nsuites = ['aes-128-gcm', 'aes-128-gcm']", &["tls.suites"]),
    ("[tls]\nresume = -0.1", &["tls.resume"]),
    ("[tls]\nresume = nan", &["tls.resume"]),
    ("[tls]\nresume = 0.5\n[load]\nkeep = true", &["tls.resume"]),
    ("[tls]\nresume = 0.5\n[load]\nkeep = true\nrate = 10", &["tls.resume"]),
    ("[tls]\nearly_data = true", &["tls.early_data"]),
    ("[tls]\nearly_data = true\nresume = 1\nversion = '1.2'", &["tls.early_data"]),
    ("[tls]\nearly_data = true\nresume = 1\n[request]\nmethod = 'POST'", &["tls.early_data"]),
    ("handshakes_only = true\n[tls]\nearly_data = true\nresume = 1", &["tls.early_data"]),
    ("[tls]\nclient_certificate = 'c.pem'", &["tls.client_certificate"]),
    ("[tls]\nclient_key = 'k.pem'", &["tls.client_key"]),
    ("[tls]\nverify = 'off'\nca_bundle = 'ca.crt'", &["tls.ca_bundle"]),
    ("handshakes_only = true\n[request]\nmethod = 'GET'", &["request"]),
    ("handshakes_only = true\n[load]\nkeep = true", &["load.keep"]),
    (
        "handshakes_only = true\n[load]\nrequests_per_connection = 2",
        &["load.requests_per_connection"],
    ),
    ("[request]\nstreams = 4", &["request.streams"]),
    ("[request]\nprotocol = 'h2'\nstreams = 0", &["request.streams"]),
    ("[request]\nprotocol = 'h2'\nstreams = 4", &["request.streams"]),
    ("[load]\nrate = 9\n[request]\nprotocol = 'h2'\nstreams = 4", &["request.streams"]),
    ("[request]\nprotocol = 'h2'\nstreams = 2000\n[load]\nkeep = true", &["request.streams"]),
    ("[request]\nmethod = 'GET /'", &["request.method"]),
    ("[request]\nmethod = 'CONNECT'", &["request.method"]),
    ("[request]\nheaders = [['Host', 'x']]", &["request.headers"]),
    ("[request]\nheaders = [['user-agent', 'x']]", &["request.headers"]),
    ("[request]\nheaders = [['a b', 'x']]", &["request.headers"]),
    ("[request]\nheaders = [['a', \"x\\r\\ny: z\"]]", &["request.headers"]),
    ("[request]\nheaders = [['a', ' x']]", &["request.headers"]),
    ("[request]\nbody = 'x'\nbody_base64 = 'eA=='", &["request.body"]),
    ("[request]\nbody_base64 = '!'", &["request.body_base64"]),
    ("[request]\nexpect_status = 99", &["request.expect_status"]),
    ("[request]\nexpect_status = 600", &["request.expect_status"]),
    ("[request]\nmethod = 'HEAD'\nexpect_bytes = 1", &["request.expect_bytes"]),
    ("[load]\nkeep = true\nrequests_per_connection = 2", &["load.requests_per_connection"]),
    ("[load]\nrequests_per_connection = 0", &["load.requests_per_connection"]),
    ("[load]\nconnections = 0", &["load.connections"]),
    ("[load]\nconnections = 2000000", &["load.connections"]),
    ("[load]\nloop = 'open'", &["load.rate"]),
    ("[load]\nloop = 'closed'\nrate = 5", &["load.rate"]),
    ("[load]\npool = 5", &["load.pool"]),
    ("[load]\nwait_max = '1s'", &["load.wait_max"]),
    ("[load]\nspread = 'even'", &["load.spread"]),
    ("[load]\nrate = 5\nconnections = 5", &["load.connections"]),
    ("[load]\nrate = 0", &["load.rate"]),
    ("[load]\nrate = 1e9", &["load.rate"]),
    ("[load]\nrate = 0.5", &["load.rate"]),
    ("[load]\nrate = 5\nseed = 5", &["load.seed"]),
    ("[load]\nrate = 5\nwait_max = '6m'", &["load.wait_max"]),
    ("threads = 2\n[load]\nrate = 5\npool = 1", &["load.pool"]),
    ("[load]\nrate = 5\npool = 2000000", &["load.pool"]),
    ("[timing]\nround = '1s'\nround_count = 5", &["timing.round"]),
    ("[timing]\nround = '9ms'", &["timing.round"]),
    ("[timing]\nround = '25h'", &["timing.round"]),
    ("threads = 2\n[timing]\nround_count = 1", &["timing.round_count"]),
    ("[timing]\nround_count = 0", &["timing.round_count"]),
    ("[timing]\nrounds = 0", &["timing.rounds"]),
    ("[timing]\nrounds = 10001", &["timing.rounds"]),
    ("[timing]\nwarm_up = '2h'", &["timing.warm_up"]),
    ("[timing]\nramp = '1001ms'", &["timing.ramp"]),
    ("[timing]\nrounds = 0\n[load]\nrate = 0", &["load.rate", "timing.rounds"]),
];

#[test]
fn what_cannot_be_measured_is_refused_with_a_cure() {
    for (text, want) in REFUSED {
        let problems = finish(&local(text)).unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, *want, "{text}\n{problems:?}");
        assert!(problems.iter().all(|p| !p.seen.is_empty() && !p.cure.is_empty()), "{text}");
    }
}

#[test]
fn what_is_just_within_the_bounds_is_taken() {
    for text in [
        "threads = 16",
        "abort_errors_above = 1",
        "sources = ['127.0.0.1', '127.0.0.2']",
        "[tls]\nprovider = 'aws-lc-rs'\ngroups = ['x25519mlkem768']",
        "[tls]\nearly_data = true\nresume = 1\n[request]\nmethod = 'HEAD'",
        "[tls]\nclient_certificate = 'c.pem'\nclient_key = 'k.pem'",
        "[request]\nprotocol = 'h2'\nstreams = 4\n[load]\nrequests_per_connection = 4",
        "[request]\nprotocol = 'h2'\nstreams = 1000\n[load]\nkeep = true\nrate = 5",
        "[load]\nrate = 1",
        "[load]\nrate = 5\nwait_max = '5m'",
        "[timing]\nround = '10ms'",
        "[timing]\nround = '24h'",
        "threads = 2\n[timing]\nround_count = 2",
        "[timing]\nramp = '1s'",
        "handshakes_only = true\n[tls]\nresume = 1",
    ] {
        assert!(finish(&local(text)).is_ok(), "{text}: {:?}", finish(&local(text)));
    }
}

#[test]
fn targets_are_refused_for_what_they_are() {
    for (text, keys) in [
        ("", vec!["target"]),
        ("[[target]]\nurl = 'x'", vec!["target.url"]),
        ("[[target]]\nurl = 'https://a'\n[[target]]\nurl = 'https://a/b'", vec!["target.name"]),
        ("[[target]]\nname = ''\nurl = 'https://a'", vec!["target.name"]),
        ("[[target]]\nname = \"a\\nb\"\nurl = 'https://a'", vec!["target.name"]),
        ("[[target]]\nurl = 'https://a'\nsni = '127.0.0.1'", vec!["target.sni"]),
        ("[[target]]\nurl = 'http://a'\nsni = 'b'", vec!["target.sni"]),
        ("handshakes_only = true\n[[target]]\nurl = 'http://a'", vec!["handshakes_only"]),
        ("[tls]\nresume = 0.5\n[[target]]\nurl = 'http://a'", vec!["tls.resume"]),
        ("[tls]\nca_bundle = 'c'\n[[target]]\nurl = 'http://a'", vec!["tls.ca_bundle"]),
        ("[request]\nprotocol = 'h2'\n[[target]]\nurl = 'http://a'", vec!["request.protocol"]),
    ] {
        let problems = finish(text).unwrap_err();
        let seen: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(seen, keys, "{text}\n{problems:?}");
    }
}

#[test]
fn a_fault_in_the_file_names_line_key_and_cure() {
    for (text, line, key, seen, cure) in [
        ("threads = 2\nthread = 1", 2, "thread", "no such key", "did you mean `threads`?"),
        ("[load]\n\nratee = 5", 3, "load.ratee", "no such key", "did you mean `rate`?"),
        ("[lod]\nrate = 5", 1, "lod", "no such key", "did you mean `load`?"),
        ("xyzzy = 5", 1, "xyzzy", "no such key", "the keys here are handshakes_only, close,"),
        ("[tls]\nversion = '1.1'", 2, "tls.version", "`1.1` is none of `1.2`, `1.3`", "one of"),
        ("[load]\nrate = 'x'", 2, "load.rate", "invalid type", "write what is expected there"),
        ("threads = -1", 1, "threads", "invalid value", "write what is expected there"),
        ("[load]\nwait_max = '5'", 2, "load.wait_max", "write a number and one of", ""),
        ("[[target]]\nname = 'x'", 1, "target", "missing field `url`", "add it"),
        ("threads = 1\nthreads = 2", 2, "threads", "duplicate key", "keep one of them"),
        ("sources = ['x']", 1, "sources", "IP address", ""),
        ("threads = \n", 1, "threads", "", ""),
    ] {
        let problem = Draft::from_toml(text).unwrap_err();
        assert_eq!((problem.line, problem.key.as_str()), (Some(line), key), "{problem}");
        assert!(problem.seen.contains(seen), "{problem}");
        assert!(problem.cure.contains(cure), "{problem}");
    }
    let problem = Draft::from_toml("[load]\nratee = 5").unwrap_err();
    let text = "line 2: `load.ratee`: no such key\nhint: did you mean `rate`?";
    assert_eq!(problem.to_string(), text);
}

#[test]
fn what_cannot_be_measured_together_is_named_by_the_line_that_says_it() {
    let file = "threads = 0\n[[target]]\nurl = 'https://localhost/'\nsni = '127.0.0.1'\n\n[tls]\n\
                version = '1.2'\nearly_data = true\n[load]\nkeep=true\nrequests_per_connection = 3";
    let lines = |file: &str, flags: &str| {
        let flags = Draft::from_toml(flags).unwrap();
        let draft = flags.clone().or(Draft::from_toml(file).unwrap());
        let problems = draft.finish().unwrap_err().into_iter();
        let placed = problems.map(|problem| problem.in_file(file, &flags));
        placed.map(|problem| (problem.key, problem.line)).collect::<BTreeMap<_, _>>()
    };
    let line = |key: &str, line| (key.to_owned(), line);
    let early = line("tls.early_data", Some(8));
    let load = line("load.requests_per_connection", Some(11));
    let (threads, sni) = (line("threads", Some(1)), line("target.sni", Some(4)));
    let all = [early.clone(), load.clone(), threads, sni.clone()];
    assert_eq!(lines(file, ""), all.into());
    // What a flag says is not the file's fault.
    let threads = line("threads", None);
    assert_eq!(lines(file, "threads = 0"), [early, load, threads, sni].into());
    let flags = "[[target]]\nurl = 'https://localhost/'\nsni = '127.0.0.2'";
    assert_eq!(lines(file, flags).get("target.sni"), Some(&None));
    // Of several targets it may be any.
    let two = "[[target]]\nurl = 'x://a'\n[[target]]\nurl = 'https://localhost/'";
    assert_eq!(lines(two, ""), [line("target.url", None)].into());
}

#[test]
fn a_record_of_a_scenario_has_no_secrets() {
    let text = "[request]\nmethod = 'POST'\nbody = 'hush'\n\
                headers = [['Authorization', 'hush'], ['Accept', 'kept']]\n\
                [[target]]\nurl = 'https://127.0.0.1/?token=hush&page=kept'";
    let scenario = finish(text).unwrap();
    let written = scenario.redacted().to_toml().unwrap();
    assert!(!written.contains("hush"), "{written}");
    assert_eq!(written.matches("kept").count(), 2, "{written}");
    assert!(written.contains("4 bytes"), "{written}");
    assert!(finish(&written).is_ok());
}

prop_compose! {
    fn target()(
        https in any::<bool>(),
        host in prop_oneof!["[a-z][a-z0-9]{0,9}(\\.[a-z]{2,5}){0,2}", Just("::1".to_owned()),
                            Just("10.0.0.1".to_owned())],
        port in 1_u16..,
        path in "/[!-\"$-~]{0,20}",
        sni in proptest::option::of("[a-z]{1,9}"),
        connect_to in proptest::collection::vec(any::<SocketAddr>(), 0..3),
    ) -> Target {
        let scheme = if https { Scheme::Https } else { Scheme::Http };
        let connect_to = connect_to.into_iter().map(|to| SocketAddr::new(to.ip(), to.port()));
        Target {
            name: String::new(),
            scheme,
            host,
            port,
            path,
            sni: sni.filter(|_| https),
            connect_to: connect_to.collect(),
        }
    }
}

prop_compose! {
    fn tls()(
        version in proptest::sample::select(vec![
            Versions::Only(Version::Tls12), Versions::Only(Version::Tls13), Versions::Both,
        ]),
        suites in proptest::sample::subsequence(Suite::ALL.to_vec(), 0..=3),
        groups in proptest::sample::subsequence(Group::ALL.to_vec(), 0..=4),
        resume in prop_oneof![Just(0.0), 0.0..=1.0],
        early_data in any::<bool>(),
        certificate in proptest::option::of(("[a-z \"'\\\\]{1,9}", "[a-z/]{1,9}")),
        verify in proptest::sample::select(Verify::ALL),
        ca_bundle in proptest::option::of("[a-z/.]{1,12}"),
        ring in any::<bool>(),
    ) -> Tls {
        let needs_aws = groups.contains(&Group::X25519MlKem768);
        Tls {
            version: if needs_aws { Version::Tls13.into() } else { version },
            suites,
            groups,
            provider: if ring && !needs_aws { Provider::Ring } else { Provider::AwsLcRs },
            resume: Share::new(resume).unwrap(),
            early_data,
            client_certificate: certificate
                .map(|(chain, key)| ClientCertificate { chain: chain.into(), key: key.into() }),
            ca_bundle: ca_bundle.filter(|_| verify != Verify::Off).map(PathBuf::from),
            verify,
        }
    }
}

prop_compose! {
    fn request()(
        streams in proptest::option::of(1_u32..9),
        method in proptest::sample::select(vec!["GET", "POST", "HEAD", "PURGE"]),
        headers in proptest::collection::vec(("x-[a-z]{1,9}", "[!-~]{0,9}"), 0..4),
        body in proptest::collection::vec(any::<u8>(), 0..20),
        expect_status in proptest::option::of(200_u16..600),
        expect_bytes in proptest::option::of(Just(0_u64)),
    ) -> Request {
        let protocol = match streams.and_then(NonZeroU32::new) {
            Some(streams) => Protocol::Http2 { streams },
            None => Protocol::Http1,
        };
        let method = method.to_owned();
        Request { protocol, method, headers, body, expect_status, expect_bytes }
    }
}

fn load() -> impl Strategy<Value = Load> {
    let closed =
        (8_u32..100, proptest::option::of(8_u64..100)).prop_map(|(connections, requests)| {
            Load::Closed {
                connections: NonZeroU32::new(connections).unwrap(),
                requests_per_connection: requests.and_then(NonZeroU64::new),
            }
        });
    let open = (
        proptest::option::of(8_u64..100),
        1e3..1e7,
        proptest::option::of(0..u64::MAX / 2),
        8_u32..100,
        0_u64..300_000_000_000,
    );
    let open = open.prop_map(|(requests, rate, seed, pool, wait_max)| Load::Open {
        arrivals: match requests.and_then(NonZeroU64::new) {
            Some(requests) => Arrivals::Connections { requests },
            None => Arrivals::Requests,
        },
        rate: Rate::per_second(rate).unwrap(),
        spread: seed.map_or(Spread::Even, |seed| Spread::Poisson { seed }),
        pool: NonZeroU32::new(pool).unwrap(),
        wait_max: Nanos(wait_max),
    });
    prop_oneof![closed, open]
}

prop_compose! {
    fn timing()(
        count in proptest::option::of(8_u64..1_000_000),
        round in 10_000_000_u64..1_000_000_000_000,
        rounds in 1_u32..100,
        ramp in 0_u64..100_000_000_000,
        rest in 0_u64..100_000_000_000,
    ) -> Timing {
        Timing {
            round: count.and_then(NonZeroU64::new).map_or(Length::Time(Nanos(round)), Length::Count),
            rounds: NonZeroU32::new(rounds).unwrap(),
            warm_up: Nanos(ramp + rest),
            ramp: Nanos(ramp),
        }
    }
}

prop_compose! {
    fn timeout()(
        operation in 4_000_000_u64..300_000_000_000,
        parts in proptest::array::uniform3(1_u64..=4),
        run in proptest::option::of(1_000_000_u64..1_000_000_000_000),
    ) -> Timeout {
        let [connect, handshake, first_byte] = parts.map(|part| Nanos(operation / part));
        let run = run.map(Nanos);
        Timeout { operation: Nanos(operation), connect, handshake, first_byte, run }
    }
}

prop_compose! {
    /// Scenarios that can be run: what goes ill together is put right.
    fn scenario()(
        mut targets in proptest::collection::vec(target(), 1..4),
        mut tls in tls(),
        mut request in proptest::option::of(request()),
        mut load in load(),
        timing in timing(),
        timeout in timeout(),
        close in proptest::sample::select(Close::ALL),
        shards in 1_u32..8,
        pin in proptest::sample::select(Pin::ALL),
        abort in 0.0..=1.0,
    ) -> Scenario {
        let wants_tls = tls.resume > Share::ZERO || tls.client_certificate.is_some();
        let is_http2 = request.as_ref().is_some_and(|r| r.protocol != Protocol::Http1);
        for (index, target) in targets.iter_mut().enumerate() {
            target.name = format!("target {index}");
            if is_http2 || request.is_none() || wants_tls || tls.ca_bundle.is_some() {
                target.scheme = Scheme::Https;
            }
        }
        if request.is_none() {
            match &mut load {
                Load::Closed { requests_per_connection, .. } => *requests_per_connection = None,
                Load::Open { arrivals, .. } => {
                    *arrivals = Arrivals::Connections { requests: NonZeroU64::MIN };
                }
            }
        }
        if request.is_some() && load.keeps_connections() {
            tls.resume = Share::ZERO;
        }
        tls.early_data &= tls.resume > Share::ZERO && tls.version.has(Version::Tls13);
        match &mut request {
            Some(request) if tls.early_data => request.method = "GET".to_owned(),
            Some(_) => {}
            None => tls.early_data = false,
        }
        let cannot_ask = is_http2 || (request.is_some() && load.keeps_connections());
        let close = if cannot_ask && close == Close::Server { Close::Fin } else { close };
        Scenario {
            targets,
            tls,
            request,
            load,
            timing,
            timeout,
            close,
            shards: NonZeroU32::new(shards).unwrap(),
            pin,
            sources: Vec::new(),
            ip_version: None,
            abort_errors_above: Share::new(abort).unwrap(),
            futility: None,
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_equal(scenario in scenario()) {
        prop_assert_eq!(scenario.problems(), Vec::new());
        let text = scenario.to_toml().unwrap();
        let again = Draft::from_toml(&text).unwrap().finish();
        prop_assert_eq!(again, Ok(scenario), "{}", text);
    }
}

#[test]
fn a_version_of_ip_is_asked_for_or_that_of_the_sources() {
    let of = |text: &str| {
        let target = "[[target]]\nname = 'a'\nurl = 'http://a.svc/'";
        finish(&format!("{text}\n{target}")).unwrap()
    };
    assert_eq!(of("").effective_ip_version(), None);
    assert_eq!(of("sources = ['::1']").effective_ip_version(), Some(IpVersion::V6));
    let asked = of("ip_version = 'ipv4'\nsources = ['127.0.0.2']");
    assert_eq!(asked.effective_ip_version(), Some(IpVersion::V4));
    let text = asked.to_toml().unwrap();
    assert_eq!(Draft::from_toml(&text).unwrap().finish().unwrap(), asked, "{text}");
}
