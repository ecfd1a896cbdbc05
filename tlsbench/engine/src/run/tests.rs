//! Whole runs against servers on loopback that do well or badly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use tlsbench_core::scenario::{
    Arrivals, Close, Futility, Group, Length, Load, Pin, Protocol, Provider, Request, Scenario,
    Scheme, Spread, Target, Timeout, Timing, Tls, Verify, Version,
};
use tlsbench_core::tally::{ErrorCode, Failure, Phase, Reason, Tally};
use tlsbench_core::units::{Nanos, Rate, Share};
use tlsbench_core::usage::Lap;

use super::*;
use crate::load::{AddressBook, LoadCounts, LoadLoop, Monitor, ShardContext, Sockets};

mod addresses;
mod handshakes;
mod http2;
mod rates;
mod samples;

use crate::testserver::{Answer, BodyEncoding, Handshake, TestServer, TestServerConfig};
use crate::tls::{LabPki, Roots, Subject};

/// A lab's authority, what trusts it, and a server's certificate of it.
struct Lab {
    pki: LabPki,
    roots: Arc<Roots>,
    fake: TestServerConfig,
}

fn lab() -> Lab {
    let pki = LabPki::generate().unwrap();
    let roots = Arc::new(Roots::from_pem(pki.root_pem().as_bytes()).unwrap());
    let fake =
        TestServerConfig::tls(pki.issue(&Subject::server("localhost")).unwrap().identity, 100);
    Lab { pki, roots, fake }
}

fn scenario(address: SocketAddr, scheme: Scheme) -> Scenario {
    Scenario {
        targets: vec![Target {
            name: "fake".to_owned(),
            scheme,
            host: "localhost".to_owned(),
            port: address.port(),
            path: "/".to_owned(),
            sni: None,
            connect_to: vec![address],
        }],
        tls: Tls {
            version: Version::Tls13.into(),
            suites: vec![],
            groups: vec![],
            provider: Provider::Ring,
            resume: Share::ZERO,
            early_data: false,
            client_certificate: None,
            ca_bundle: None,
            verify: Verify::Every,
        },
        request: Some(Request {
            protocol: Protocol::Http1,
            method: "GET".to_owned(),
            headers: vec![],
            body: vec![],
            expect_status: None,
            expect_bytes: None,
        }),
        load: closed(4, None),
        timing: Timing {
            round: Length::Count(NonZeroU64::new(60).unwrap()),
            rounds: NonZeroU32::new(2).unwrap(),
            warm_up: Nanos(0),
            ramp: Nanos(0),
        },
        timeout: Timeout::DEFAULT,
        close: Close::Server,
        shards: NonZeroU32::new(2).unwrap(),
        pin: Pin::Never,
        sources: vec![],
        ip_version: None,
        abort_errors_above: Share::ONE,
        futility: None,
    }
}

fn closed(connections: u32, each: Option<u64>) -> Load {
    Load::Closed {
        connections: NonZeroU32::new(connections).unwrap(),
        requests_per_connection: each.map(|each| NonZeroU64::new(each).unwrap()),
    }
}

fn open(arrivals: Arrivals, rate: f64, pool: u32, wait_max: u64) -> Load {
    Load::Open {
        arrivals,
        rate: Rate::per_second(rate).unwrap(),
        spread: Spread::Even,
        pool: NonZeroU32::new(pool).unwrap(),
        wait_max: Nanos::from_millis(wait_max),
    }
}

/// A run and its reports of rounds.
struct Ran {
    outcome: Outcome,
    slices: Vec<Slice>,
}

impl std::ops::Deref for Ran {
    type Target = Outcome;

    fn deref(&self) -> &Outcome {
        &self.outcome
    }
}

fn ran(scenario: &Scenario, inputs: &Inputs, stop: &Stop, mut on: impl FnMut(&Progress)) -> Ran {
    let mut slices = Vec::new();
    let outcome = run(scenario, inputs, stop, |progress| {
        on(&progress);
        if let Progress::Slice(slice) = progress {
            slices.push(*slice);
        }
    })
    .unwrap();
    Ran { outcome, slices }
}

fn outcome(scenario: &Scenario, lab: Option<&Lab>) -> Ran {
    let inputs = Inputs {
        addresses: scenario.targets.iter().map(|target| resolve(target, None).unwrap()).collect(),
        roots: lab.map(|lab| Arc::clone(&lab.roots)),
        ca_bundle: None,
        identity: None,
        left_out: vec![],
    };
    ran(scenario, &inputs, &Stop::new(), |_| {})
}

fn total(outcome: &Ran) -> Tally {
    let mut total = Tally::new();
    for slice in &outcome.slices {
        total.add(&slice.tally);
    }
    total
}

fn measure(scenario: &Scenario, lab: Option<&Lab>) -> Tally {
    total(&outcome(scenario, lab))
}

fn answering(answer: Answer) -> TestServer {
    TestServer::start(TestServerConfig { answer, ..TestServerConfig::plain(0) }).unwrap()
}

#[test]
fn counts_are_the_server_s_own_with_connections_kept() {
    let server = TestServer::start(TestServerConfig::plain(100)).unwrap();
    let outcome = outcome(&scenario(server.address(), Scheme::Http), None);
    let counts: Vec<_> = outcome.slices.iter().map(|slice| slice.tally.succeeded).collect();
    assert_eq!(counts, [60, 60]);
    let total = total(&outcome);
    assert_eq!((total.failures(), total.missed, total.scheduled), (0, 0, 120));
    assert_eq!(total.histogram(Phase::LastByte).len(), 120);
    assert_eq!(total.histogram(Phase::Uncorrected).len(), 120);
    let seen = server.wait_until(|seen| seen.requests == 120);
    assert_eq!((seen.requests, seen.connections), (120, 4));
    assert!(outcome.cpu.total > Nanos(0) && outcome.cut_short.is_none());
}

#[test]
fn counts_are_the_server_s_own_with_a_connection_for_each_request() {
    for close in [Close::Server, Close::Fin, Close::Rst] {
        let server = TestServer::start(TestServerConfig::plain(100)).unwrap();
        let mut scenario = scenario(server.address(), Scheme::Http);
        scenario.load = closed(4, Some(1));
        scenario.close = close;
        let tally = measure(&scenario, None);
        assert_eq!((tally.succeeded, tally.failures()), (120, 0), "{close:?}: {:?}", tally.failed);
        assert_eq!(tally.connections, 120);
        let seen = server.wait_until(|seen| seen.requests == 120);
        assert_eq!((seen.requests, seen.connections), (120, 120), "{close:?}");
    }
}

#[test]
fn bodies_of_every_framing_are_read_to_their_end() {
    for (framing, bytes) in [
        (BodyEncoding::Chunks(7), 1_000),
        (BodyEncoding::Chunks(65_536), 300_000),
        (BodyEncoding::Close, 300_000),
        (BodyEncoding::Length, 300_000),
        (BodyEncoding::Length, 0),
    ] {
        let server = answering(Answer::Body { status: 200, bytes, framing, close: false });
        let mut scenario = scenario(server.address(), Scheme::Http);
        scenario.timing.round = Length::Count(NonZeroU64::new(6).unwrap());
        scenario.request.as_mut().unwrap().expect_bytes = Some(bytes as u64);
        let tally = measure(&scenario, None);
        assert_eq!((tally.succeeded, tally.failures()), (12, 0), "{framing:?} {:?}", tally.failed);
        assert!(tally.bytes_read >= 12 * bytes as u64);
    }
}

#[test]
fn bad_responses_are_named() {
    let status =
        Answer::Body { status: 500, bytes: 1, framing: BodyEncoding::Length, close: false };
    for (answer, failure) in [
        (Answer::Garbage, Failure::ResponseMalformed),
        (Answer::Reset, Failure::ResponseTruncated),
        (Answer::Truncated { promised: 100, sent: 10 }, Failure::ResponseTruncated),
        (status, Failure::Status),
    ] {
        let server = answering(answer);
        let mut scenario = scenario(server.address(), Scheme::Http);
        scenario.timing.round = Length::Count(NonZeroU64::new(4).unwrap());
        let tally = measure(&scenario, None);
        assert_eq!(tally.succeeded, 0, "{answer:?}");
        assert_eq!(tally.failed.into_iter().collect::<Vec<_>>(), [(failure, 8)], "{answer:?}");
    }
}

#[test]
fn a_refused_connection_is_named_and_not_hammered() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut scenario = scenario(address, Scheme::Http);
    scenario.timing.round = Length::Count(NonZeroU64::new(40).unwrap());
    let outcome = outcome(&scenario, None);
    let tally = total(&outcome);
    assert_eq!(tally.failed.keys().copied().collect::<Vec<_>>(), [Failure::ConnectRefused]);
    assert_eq!(tally.failures(), 80);
    // Twenty tries of four connections, with 10 ms at least from one to the next.
    assert!(outcome.wall >= Nanos::from_millis(180), "{}", outcome.wall);
}

#[test]
fn an_error_share_above_the_limit_ends_the_run() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut scenario = scenario(address, Scheme::Http);
    scenario.load = closed(100, None);
    scenario.timing.round = Length::Time(Nanos::from_millis(10_000));
    scenario.abort_errors_above = Share::new(0.5).unwrap();
    let outcome = outcome(&scenario, None);
    assert_eq!(outcome.cut_short, Some(CutShort::Errors));
    assert!(outcome.wall < Nanos::from_millis(3_000));
}

#[test]
fn a_stopped_run_keeps_what_was_measured() {
    let server = TestServer::start(TestServerConfig::plain(100)).unwrap();
    let mut scenario = scenario(server.address(), Scheme::Http);
    scenario.timing.round = Length::Time(Nanos::from_millis(60_000));
    let inputs = Inputs {
        addresses: vec![vec![server.address()]],
        roots: None,
        ca_bundle: None,
        identity: None,
        left_out: vec![],
    };
    let stop = Stop::new();
    let outcome = ran(&scenario, &inputs, &stop, |progress| {
        if matches!(progress, Progress::Counts { succeeded: 50.., .. }) {
            stop.ask();
        }
    });
    // A round that never began is none.
    assert_eq!(outcome.slices.iter().map(|slice| slice.round).collect::<Vec<_>>(), [0]);
    assert_eq!(outcome.cut_short, Some(CutShort::Stopped));
    assert!(total(&outcome).succeeded >= 50 && outcome.wall < Nanos::from_millis(5_000));
}

#[test]
fn rounds_are_told_as_they_end_and_say_how_long_they_took() {
    let server = TestServer::start(TestServerConfig::plain(100)).unwrap();
    let mut scenario = scenario(server.address(), Scheme::Http);
    let inputs = Inputs::gather(&scenario).unwrap();
    for load in [closed(4, None), open(Arrivals::Requests, 500.0, 8, 1_000)] {
        for length in
            [Length::Time(Nanos::from_millis(300)), Length::Count(NonZeroU64::new(30).unwrap())]
        {
            (scenario.load, scenario.timing.round) = (load.clone(), length);
            scenario.timing.rounds = NonZeroU32::new(4).unwrap();
            let mut told = Vec::new();
            let ran = ran(&scenario, &inputs, &Stop::new(), |progress| match progress {
                Progress::Slice(slice) => told.push((slice.round, true)),
                Progress::RoundBegins { round, .. } => told.push((*round, false)),
                _ => {}
            });
            assert_eq!(
                ran.slices.iter().map(|slice| slice.round).collect::<Vec<_>>(),
                [0, 1, 2, 3]
            );
            let place = |wanted| told.iter().position(|told| *told == wanted);
            if let Length::Time(span) = length {
                // The first round is out before the last begins, in a run that goes on.
                assert!(place((0, true)) < place((3, false)), "{told:?}");
                let walls: Vec<_> = ran.slices.iter().map(|slice| slice.lap.wall).collect();
                assert!(walls.iter().all(|wall| wall.0.abs_diff(span.0) < span.0 / 2), "{walls:?}");
            }
            let sum = |of: fn(&Lap) -> u64| ran.slices.iter().map(|s| of(&s.lap)).sum::<u64>();
            let used = sum(|lap| lap.cpu.total.0);
            assert!(used > 0 && used <= ran.cpu.total.0, "{used} of {:?}", ran.cpu);
            assert!(sum(|lap| lap.busiest_thread.0) <= used);
            // A round lasts as long as its slowest shard, which need not be the same in each.
            assert!(sum(|lap| lap.wall.0) <= ran.wall.0 * ran.shards as u64);
            let seconds = |lap: &Lap| lap.seconds.iter().map(|second| second.succeeded).sum();
            let (ended, counted) = (sum(seconds), total(&ran).succeeded);
            // What a closed loop has under way at an edge ends after it.
            assert!(ended <= counted + 4 && counted <= ended + 8, "{ended} and {counted}");
        }
    }
}

#[test]
fn operations_that_end_in_a_later_round_are_in_the_round_that_they_began_in() {
    let mut scenario = scenario(pausing(|| Duration::from_millis(250)), Scheme::Http);
    scenario.load = open(Arrivals::Requests, 40.0, 40, 5_000);
    scenario.timing.round = Length::Time(Nanos::from_millis(200));
    scenario.timing.rounds = NonZeroU32::new(3).unwrap();
    scenario.shards = NonZeroU32::MIN;
    let ran = outcome(&scenario, None);
    let counts: Vec<_> =
        ran.slices.iter().map(|slice| (slice.tally.scheduled, slice.tally.succeeded)).collect();
    assert_eq!(counts, [(8, 8), (8, 8), (8, 8)]);
}

#[test]
fn a_ca_bundle_that_is_replaced_is_taken_while_the_run_goes_on() {
    let (lab, other) = (lab(), lab());
    let server = TestServer::start(lab.fake.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca-bundle.crt");
    std::fs::write(&bundle, lab.pki.root_pem()).unwrap();
    let mut scenario = scenario(server.address(), Scheme::Https);
    scenario.tls.ca_bundle = Some(bundle.clone());
    scenario.request = None;
    scenario.load = open(Arrivals::Connections { requests: NonZeroU64::MIN }, 200.0, 8, 1_000);
    scenario.timing.round = Length::Time(Nanos::from_millis(20_000));
    let inputs = Inputs::gather(&scenario).unwrap();
    let (stop, mut notes, mut replaced) = (Stop::new(), Vec::new(), false);
    let ran = ran(&scenario, &inputs, &stop, |progress| match progress {
        Progress::Counts { failed: 20.., .. } => stop.ask(),
        Progress::Counts { succeeded: 20.., .. } if !replaced => {
            replaced = true;
            let next = folder.path().join("next");
            std::fs::write(&next, other.pki.root_pem()).unwrap();
            std::fs::rename(next, &bundle).unwrap();
        }
        Progress::Note(note) => notes.push(note.clone()),
        _ => {}
    });
    let expected = format!("CA bundle `{}` was replaced: 1 roots now", bundle.display());
    assert_eq!(notes, [expected]);
    let tally = total(&ran);
    assert!(tally.succeeded >= 20, "{}", tally.succeeded);
    assert_eq!(tally.failed.keys().collect::<Vec<_>>(), [&Failure::CertificateUnknownCa]);
}

/// A server that pauses before each response.
fn pausing(pause: impl Fn() -> Duration + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |mut stream: TcpStream, pause: &dyn Fn() -> Duration| {
        let mut buffer = [0; 4_096];
        while matches!(stream.read(&mut buffer), Ok(1..)) {
            std::thread::sleep(pause());
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pause = pause.clone();
            std::thread::spawn(move || serve(stream, &pause));
        }
    });
    address
}

#[test]
fn targets_take_turns() {
    let (one, two) = (
        TestServer::start(TestServerConfig::plain(10)).unwrap(),
        TestServer::start(TestServerConfig::plain(10)).unwrap(),
    );
    let mut scenario = scenario(one.address(), Scheme::Http);
    let mut second = scenario.targets[0].clone();
    second.connect_to = vec![two.address()];
    scenario.targets.push(second);
    let inputs = Inputs {
        addresses: vec![vec![one.address()], vec![two.address()]],
        roots: None,
        ca_bundle: None,
        identity: None,
        left_out: vec![],
    };
    let mut edges = Vec::new();
    let outcome = ran(&scenario, &inputs, &Stop::new(), |progress| match *progress {
        Progress::RoundBegins { target, round } => edges.push((true, target, round)),
        Progress::RoundEnds { target, round } => edges.push((false, target, round)),
        Progress::Counts { .. }
        | Progress::Note(_)
        | Progress::StageEnds { .. }
        | Progress::Slice(_) => {}
    });
    let order: Vec<_> = outcome.slices.iter().map(|slice| (slice.target, slice.round)).collect();
    assert_eq!(order, [(0, 0), (1, 0), (0, 1), (1, 1)]);
    // A thread that is kept from running for a whole round tells nothing of it (`run::edges`).
    let begun = order.iter().filter(|&&(target, round)| edges.contains(&(true, target, round)));
    let expected: Vec<_> = begun
        .flat_map(|&(target, round)| [(true, target, round), (false, target, round)])
        .collect();
    assert_eq!(edges, expected);
    assert!(outcome.slices.iter().all(|slice| slice.tally.succeeded == 60));
}

#[test]
fn a_host_without_addresses_is_refused() {
    let mut scenario = scenario("127.0.0.1:1".parse().unwrap(), Scheme::Http);
    scenario.targets[0].connect_to = vec![];
    scenario.targets[0].host = "no-such-host.invalid".to_owned();
    let error = Inputs::gather(&scenario).unwrap_err();
    assert_eq!(error.to_string(), "cannot resolve `no-such-host.invalid`");
}

/// The tally of a shard's only round.
#[derive(Default)]
struct Kept(Tally);

impl Monitor for Kept {
    fn look(&mut self, _: u32, _: LoadCounts) -> bool {
        true
    }

    fn take(&mut self, _: u32, tally: Tally, _: Lap) {
        self.0.add(&tally);
    }
}

/// Works with what the only shard of a scenario of one round has; when its load begins.
fn on_a_shard(
    scenario: &Scenario,
    lab: Option<&Lab>,
    work: impl FnOnce(ShardContext<'_>),
) -> Nanos {
    let mut scenario = scenario.clone();
    scenario.timing.rounds = NonZeroU32::MIN;
    scenario.shards = NonZeroU32::MIN;
    let inputs = Inputs {
        addresses: vec![scenario.targets[0].connect_to.clone()],
        roots: lab.map(|lab| Arc::clone(&lab.roots)),
        ca_bundle: None,
        identity: None,
        left_out: vec![],
    };
    let mut states = shards(&scenario, &inputs).unwrap();
    let begin = Clock::Monotonic.now();
    let stage = stage::stages(&scenario)[0];
    let book = Arc::new(AddressBook::new(inputs.addresses[0].clone()));
    let plan = stage::shard_plan(&scenario, &book, None, stage, states[0].shard, begin).unwrap();
    work(ShardContext::new(&plan, states[0].tls[0].as_mut()));
    begin
}

/// Allocations of a shard's thread that runs this many requests, everything included.
fn allocations(scenario: &Scenario, lab: Option<&Lab>, requests: u64) -> u64 {
    let mut scenario = scenario.clone();
    scenario.timing.round = Length::Count(NonZeroU64::new(requests).unwrap());
    let (mut kept, mut allocations) = (Kept::default(), 0);
    on_a_shard(&scenario, lab, |context| {
        let mut load = LoadLoop::new(context, Sockets::new().unwrap());
        let info = allocation_counter::measure(|| load.run(&mut kept).unwrap());
        allocations = info.count_total;
    });
    assert_eq!(kept.0.succeeded, requests);
    allocations
}

#[test]
fn a_request_allocates_nothing_and_over_tls_at_most_what_rustls_does() {
    let lab = lab();
    let server = TestServer::start(TestServerConfig::plain(100)).unwrap();
    let plain = scenario(server.address(), Scheme::Http);
    assert_eq!(allocations(&plain, None, 1_100), allocations(&plain, None, 100));
    let server = TestServer::start(lab.fake.clone()).unwrap();
    let tls = scenario(server.address(), Scheme::Https);
    let many = allocations(&tls, Some(&lab), 1_100);
    let few = allocations(&tls, Some(&lab), 100);
    assert!(many - few <= 2_000, "{many} and {few}");
}

#[test]
fn connections_come_from_every_source_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut scenario = scenario(listener.local_addr().unwrap(), Scheme::Http);
    scenario.sources = ["127.0.0.2", "::1", "127.0.0.3"].map(|text| text.parse().unwrap()).into();
    scenario.request = None;
    scenario.shards = NonZeroU32::MIN;
    scenario.timing.round = Length::Count(NonZeroU64::new(10).unwrap());
    scenario.close = Close::Rst;
    let seen = std::thread::spawn(move || {
        let mut seen: Vec<_> = (0..20).map(|_| listener.accept().unwrap().1.ip()).collect();
        seen.sort();
        seen
    });
    assert_eq!(measure(&scenario, None).succeeded, 20);
    let seen = seen.join().unwrap();
    let count = |text: &str| seen.iter().filter(|ip| ip.to_string() == text).count();
    assert_eq!((count("127.0.0.2"), count("127.0.0.3")), (10, 10));
}

#[test]
fn ipv6_and_several_addresses_take_turns() {
    let listeners =
        [TcpListener::bind("[::1]:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let mut scenario = scenario(addresses[0], Scheme::Http);
    scenario.targets[0].connect_to = addresses.to_vec();
    scenario.request = None;
    scenario.timing.round = Length::Count(NonZeroU64::new(20).unwrap());
    scenario.close = Close::Rst;
    let threads = listeners.map(|listener| {
        std::thread::spawn(move || listener.incoming().take(20).filter(Result::is_ok).count())
    });
    assert_eq!(measure(&scenario, None).succeeded, 40);
    assert_eq!(threads.map(|thread| thread.join().unwrap()), [20, 20]);
}

#[test]
fn large_requests_are_sent_whole() {
    let lab = lab();
    for scheme in [Scheme::Http, Scheme::Https] {
        let tls = scheme == Scheme::Https;
        let fake = if tls { lab.fake.clone() } else { TestServerConfig::plain(10) };
        let server = TestServer::start(fake).unwrap();
        let mut scenario = scenario(server.address(), scheme);
        let request = scenario.request.as_mut().unwrap();
        (request.method, request.body) = ("POST".to_owned(), vec![b'x'; 1 << 20]);
        scenario.timing.round = Length::Count(NonZeroU64::new(6).unwrap());
        let tally = measure(&scenario, Some(&lab));
        assert_eq!((tally.succeeded, tally.failures()), (12, 0), "{scheme:?} {:?}", tally.failed);
        assert!(tally.bytes_written > 12 << 20);
    }
}
