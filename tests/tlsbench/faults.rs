//! What goes wrong while a run goes on: counted under its own name, the run ends, and its record
//! is there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tlsbench_engine::testserver::{Answer, BodyEncoding, Handshake, TestServer, TestServerConfig};

use crate::bench::{Bench, Ran, Running};
use crate::servers::{Nginx, SServer, Served, free_address, within};

/// Nothing succeeded, and everything failed by this name.
fn assert_only(ran: &Ran, failure: &str) {
    assert_eq!((ran.code, ran.succeeded()), (Some(1), 0), "{ran:#?}");
    assert_eq!(ran.failures(), [failure], "{ran:#?}");
    let gates: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("invalid")).collect();
    assert!(gates.iter().any(|gate| gate.contains(&format!("`{failure}`"))), "{ran:#?}");
}

const FEW: [&str; 2] = ["--round-count", "10"];

#[test]
fn a_port_that_nobody_listens_at_refuses() {
    let bench = Bench::new();
    let ran = bench.run(free_address(), &FEW);
    assert_only(&ran, "connect_refused");
    assert_eq!(ran.sum(&["failed", "connect_refused"]), 20, "{ran:#?}");
}

#[test]
fn a_handshake_that_the_server_breaks_off_is_named_by_how() {
    for (handshake, failure) in [
        (Handshake::Alert, "alert"),
        (Handshake::Close, "unconfirmed"),
        (Handshake::Reset, "reset_in_handshake"),
    ] {
        let bench = Bench::new();
        let mut fake = TestServerConfig::tls(bench.certificate().identity, 10);
        fake.handshake = handshake;
        let server = TestServer::start(fake).unwrap();
        for mode in [&[][..], &["--handshakes-only"]] {
            assert_only(&bench.run(server.address(), &[&FEW[..], mode].concat()), failure);
        }
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_a_failure_of_tls() {
    let listener = TcpListener::bind(free_address()).unwrap();
    let address = listener.local_addr().unwrap();
    // What nginx says to a ClientHello on a port without TLS.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.read_exact(&mut [0; 64]).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        }
    });
    assert_only(&Bench::new().run(address, &FEW), "tls_other");
}

/// A run with plain HTTP.
fn plain(bench: &Bench, address: SocketAddr, flags: &[&str]) -> Ran {
    let target = format!("http://{address}/");
    let all = ["--target", &target, "--warm-up", "0s", "--rounds", "2", "-n", "2"];
    bench.finish(bench.bare(&[&all[..], flags].concat()))
}

#[test]
fn a_response_that_is_not_as_it_should_is_named_by_how() {
    let body =
        |status| Answer::Body { status, bytes: 10, framing: BodyEncoding::Length, close: false };
    for (answer, flags, failure) in [
        (Answer::Garbage, &[][..], "response_malformed"),
        (Answer::Reset, &[], "response_truncated"),
        (Answer::Truncated { promised: 100, sent: 10 }, &[], "response_truncated"),
        (body(503), &[], "status"),
        (body(200), &["--expect-status", "204"], "status"),
        (body(200), &["--expect-bytes", "11"], "length"),
    ] {
        let bench = Bench::new();
        let flags = [&FEW[..], flags].concat();
        let fake =
            TestServerConfig { answer, ..TestServerConfig::tls(bench.certificate().identity, 10) };
        assert_only(&bench.run(TestServer::start(fake).unwrap().address(), &flags), failure);
        let server =
            TestServer::start(TestServerConfig { answer, ..TestServerConfig::plain(10) }).unwrap();
        assert_only(&plain(&bench, server.address(), &flags), failure);
    }
}

#[test]
fn responses_that_openssl_cuts_short_are_truncated() {
    let whole = "HTTP/1.0 200 ok\r\nContent-Length: 5\r\n\r\nhello";
    let cut = "HTTP/1.0 200 ok\r\nContent-Length: 50\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let files =
        [("whole", whole), ("cut", cut), ("chunked", chunked), ("head", "HTTP/1.1 200 ok\r\n")];
    let bench = Bench::new();
    let start = || SServer::start(&bench.certificate(), "", &files, &["-HTTP"]);
    let Some(server) = start() else { return };
    let ask = |path: &str| {
        let mut command = bench.bare(&FEW);
        let target = format!("https://localhost:{}/{path}", server.0.address.port());
        command.args(["--target", &target, "--connect-to", &server.0.address.to_string()]);
        command.args(["--ca-bundle", "ca-bundle.crt", "--warm-up", "0s", "--rounds", "2"]);
        bench.finish(command)
    };
    ask("whole").assert_all_succeeded(20);
    for path in ["cut", "chunked", "head"] {
        assert_only(&ask(path), "response_truncated");
    }
}

#[test]
fn a_server_that_dies_half_way_leaves_both_halves_in_the_record() {
    let bench = Bench::new();
    let certificate = bench.certificate();
    for keep in [&[][..], &["--keep-alive"]] {
        let Some(mut server) = Nginx::start(&Served::new(&certificate)) else { return };
        let flags = [&["--round-count", "600", "-n", "32"][..], keep].concat();
        let running = bench.start(bench.command(server.0.address, &flags));
        server.log(50);
        server.0.kill().unwrap();
        let ran = running.wait();
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        assert!(ran.succeeded() >= 50, "{ran:#?}");
        let failed = ran.failures();
        assert!(failed.contains(&"connect_refused".to_owned()), "{ran:#?}");
        // What was under way broke off at one point or another.
        let may = "connect_refused connect_other reset_in_handshake response_truncated unconfirmed";
        assert!(failed.iter().all(|name| may.contains(name)), "{ran:#?}");
        let ended: u64 = failed.iter().map(|name| ran.sum(&["failed", name])).sum();
        assert_eq!(ran.succeeded() + ended, 1_200, "{ran:#?}");
        assert_eq!(ran.record["complete"], true);
    }
}

#[test]
fn a_run_ends_when_too_much_fails() {
    let bench = Bench::new();
    let flags = ["--round", "10s", "--abort-errors-above", "0.5"];
    let ran = bench.run(free_address(), &flags);
    assert_only(&ran, "connect_refused");
    assert_eq!(ran.record["complete"], false);
    let why = ran.record["interrupted"].as_str().unwrap();
    assert!(why.starts_with("too large a share of operations failed"), "{why}");
}

#[test]
fn a_server_that_never_answers_spoils_a_run_that_still_ends() {
    for (handshake, answer) in
        [(Handshake::Silent, Answer::Stall), (Handshake::Complete, Answer::Stall)]
    {
        let bench = Bench::new();
        let fake = TestServerConfig {
            answer,
            handshake,
            ..TestServerConfig::tls(bench.certificate().identity, 10)
        };
        let server = TestServer::start(fake).unwrap();
        let ran = bench.run(server.address(), &["--round", "200ms"]);
        assert_eq!((ran.code, ran.succeeded()), (Some(1), 0), "{ran:#?}");
        assert!(ran.out.contains("invalid of localhost"), "{ran:#?}");
        assert!(ran.out.contains("no operation came to an end in 2 rounds"), "{ran:#?}");
    }
}

#[test]
fn ctrl_c_ends_a_run_that_waits_for_a_mute_server() {
    let bench = Bench::new();
    let mut fake = TestServerConfig::tls(bench.certificate().identity, 10);
    fake.answer = Answer::Stall;
    let server = TestServer::start(fake).unwrap();
    let running = bench.start(bench.command(server.address(), &["--round-count", "1000"]));
    assert_eq!(server.wait_until(|seen| seen.requests == 4).requests, 4);
    running.interrupt();
    let ran = running.wait();
    assert_eq!((ran.code, &ran.record["complete"]), (Some(130), &false.into()), "{ran:#?}");
    assert_eq!(ran.record["interrupted"], "it was asked to stop");
    assert!(ran.out.contains("ended before its time: it was asked to stop"), "{ran:#?}");
}

#[test]
fn a_run_that_ends_in_its_warm_up_keeps_and_tells_why() {
    let cure = "`connect_refused`: see that the server runs";
    let bench = Bench::new();
    let ran = bench.run(free_address(), &["--warm-up", "60s", "--abort-errors-above", "0.5"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let why = ran.record["interrupted"].as_str().unwrap();
    assert!(why.starts_with("too large a share of operations failed; in the warm-up "), "{why}");
    assert!(why.contains(cure) && ran.out.contains(cure), "{ran:#?}");

    // Whoever is asked to stop tells it, too, and says by the exit code who asked.
    for (signal, code) in [(Signal::HUP, 129), (Signal::TERM, 143)] {
        let running = bench.start(bench.command(free_address(), &["--warm-up", "60s"]));
        is_under_way(&running);
        kill_process(Pid::from_child(&running.child), signal).unwrap();
        let ran = running.wait();
        assert_eq!((ran.code, &ran.record["complete"]), (Some(code), &false.into()), "{ran:#?}");
        let why = ran.record["interrupted"].as_str().unwrap();
        assert!(
            why.starts_with("it was asked to stop; in the warm-up ") && why.contains(cure),
            "{why}"
        );
    }
}

/// Waits until a run against nobody burns CPU time, once connections are refused.
fn is_under_way(running: &Running<'_>) {
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", running.child.id()));
    within(Duration::from_secs(30), || {
        let stat = stat().unwrap_or_default();
        stat.split(' ').nth(14).and_then(|ticks| ticks.parse().ok()).is_some_and(|t: u64| t > 5)
    });
}

#[test]
fn who_was_started_without_a_terminal_does_not_end_with_one() {
    let bench = Bench::new();
    let run = bench.command(free_address(), &["--warm-up", "60s"]);
    let mut command = Command::new("nohup");
    // With a terminal as its input, `nohup` would say so on standard error.
    command.stdin(Stdio::null()).current_dir(bench.file(""));
    command.arg(run.get_program()).args(run.get_args());
    let running = bench.start(command);
    is_under_way(&running);
    let process = Pid::from_child(&running.child);
    kill_process(process, Signal::HUP).unwrap();
    thread::sleep(Duration::from_millis(200));
    kill_process(process, Signal::TERM).unwrap();
    assert_eq!(running.wait().code, Some(143));
}

#[test]
fn ctrl_c_over_and_over_loses_no_record() {
    let bench = Bench::new();
    let server =
        TestServer::start(TestServerConfig::tls(bench.certificate().identity, 10)).unwrap();
    let flags = ["--round", "60s", "--threads", "2"];
    let mut running = bench.start(bench.command(server.address(), &flags));
    server.wait_until(|seen| seen.requests > 50);
    within(Duration::from_secs(30), || {
        running.interrupt();
        running.child.try_wait().unwrap().is_some()
    });
    let ran = running.wait();
    assert_eq!(ran.record["interrupted"], "it was asked to stop", "{ran:#?}");
    assert!(ran.succeeded() > 0, "{ran:#?}");
}
