//! Sessions that are resumed, and those that cannot be: the record against the server's own log.

use std::net::SocketAddr;

use crate::bench::{Bench, Ran};
use crate::servers::{Haproxy, Nginx, SServer, Served};

/// Connections of each run; with a few that have no ticket yet, still within two points.
const CONNECTIONS: u64 = 400;

fn run(bench: &Bench, address: SocketAddr, version: &str, resume: &str, more: &[&str]) -> Ran {
    let flags = ["--round-count", "200", "--tls-version", version, "--resume", resume];
    bench.run(address, &[&flags[..], more].concat())
}

/// Holds the share that resumed against what was asked, within two points.
fn assert_share(ran: &Ran, resume: &str) {
    let asked: f64 = resume.parse().unwrap();
    let (full, resumed) = (ran.sum(&["shape", "full"]), ran.sum(&["shape", "resumed"]));
    assert_eq!(full + resumed, CONNECTIONS, "{ran:#?}");
    let share = resumed as f64 / CONNECTIONS as f64;
    assert!((share - asked).abs() <= 0.02, "{share} resumed instead of {asked}: {ran:#?}");
}

/// Runs every share, and finds in nginx's log what the record says.
fn nginx_sees_what_the_record_says(version: &str, directives: &str) {
    let bench = Bench::new();
    let certificate = bench.certificate();
    let served = Served { directives, ..Served::new(&certificate) };
    let Some(server) = Nginx::start(&served) else { return };
    let mut logged = 0;
    for resume in ["0", "0.5", "1"] {
        let ran = run(&bench, server.0.address, version, resume, &[]);
        ran.assert_all_succeeded(CONNECTIONS);
        assert_share(&ran, resume);
        let log = server.log(logged + CONNECTIONS).split_off(logged.try_into().unwrap());
        logged += CONNECTIONS;
        let reused = log.iter().filter(|seen| seen["reused"] == "r").count();
        assert_eq!(reused as u64, ran.sum(&["shape", "resumed"]), "{version} {resume}");
        assert!(log.iter().all(|seen| seen["version"] == format!("TLSv{version}")));
    }
}

#[test]
fn tls13_resumes_as_asked_and_nginx_saw_it() {
    nginx_sees_what_the_record_says("1.3", "");
}

#[test]
fn tls12_resumes_by_tickets_as_asked_and_nginx_saw_it() {
    nginx_sees_what_the_record_says("1.2", "ssl_session_cache off; ssl_session_tickets on;");
}

#[test]
fn tls12_resumes_by_session_ids_as_asked_and_nginx_saw_it() {
    let directives = "ssl_session_cache shared:sessions:1m; ssl_session_tickets off;";
    nginx_sees_what_the_record_says("1.2", directives);
}

#[test]
fn haproxy_sees_the_resumption_that_the_record_says() {
    let bench = Bench::new();
    let Some(server) = Haproxy::start(&bench.certificate(), "", "") else { return };
    let ran = run(&bench, server.0.address, "1.3", "0.5", &[]);
    ran.assert_all_succeeded(CONNECTIONS);
    assert_share(&ran, "0.5");
    let answered = |line: &&String| line.contains("status=200");
    let log = server.log(CONNECTIONS);
    let reused = log.iter().filter(answered).filter(|line| line.contains("reused=1")).count();
    assert_eq!(reused as u64, ran.sum(&["shape", "resumed"]));
}

/// Handshakes are confirmed all the same, none resumed, and so many had nothing to offer.
fn confirms_without_tickets(bench: &Bench, address: SocketAddr, version: &str, had_none: u64) {
    let flags = ["--handshakes-only", "--round-count", "20", "--resume", "1"];
    let ran = bench.run(address, &[&flags[..], &["--tls-version", version]].concat());
    ran.assert_all_succeeded(40);
    let shape = |of| ran.sum(&["shape", of]);
    let seen = (shape("full"), shape("resumed"), shape("wanted_ticket"));
    assert_eq!(seen, (40, 0, had_none), "{ran:#?}");
}

#[test]
fn s_server_without_tickets_confirms_handshakes() {
    let bench = Bench::new();
    let without = ["-www", "-num_tickets", "0"];
    let Some(server) = SServer::start(&bench.certificate(), "", &[], &without) else { return };
    confirms_without_tickets(&bench, server.0.address, "1.3", 40);
}

#[test]
fn nginx_without_tickets_confirms_handshakes() {
    let bench = Bench::new();
    let certificate = bench.certificate();
    let directives = "ssl_session_cache off; ssl_session_tickets off;";
    let served = Served { directives, ..Served::new(&certificate) };
    let Some(server) = Nginx::start(&served) else { return };
    confirms_without_tickets(&bench, server.0.address, "1.2", 40);
    // In TLS 1.3 OpenSSL sends tickets all the same, for sessions that it does not keep.
    confirms_without_tickets(&bench, server.0.address, "1.3", 4);
}
