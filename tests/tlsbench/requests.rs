//! Requests as nginx counts them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::bench::Bench;
use crate::servers::{Nginx, Served};

/// Requests on each connection of the log.
fn by_connection(log: &[Json]) -> Vec<u64> {
    let mut connections: BTreeMap<u64, u64> = BTreeMap::new();
    for seen in log {
        *connections.entry(seen["connection"].as_u64().unwrap()).or_default() += 1;
    }
    connections.into_values().collect()
}

#[test]
fn requests_and_connections_are_as_many_as_nginx_logs() {
    let bench = Bench::new();
    let certificate = bench.certificate();
    let Some(server) = Nginx::start(&Served::new(&certificate)) else { return };
    let mut logged = 0;
    for (flags, each_max) in [
        (&[][..], 1),
        (&["--requests-per-connection", "5"], 5),
        (&["--keep-alive"], 200),
        (&["--close", "fin"], 1),
        (&["--close", "rst"], 1),
    ] {
        let ran = bench.run(server.0.address, &[&["--round-count", "100"], flags].concat());
        ran.assert_all_succeeded(200);
        let log = server.log(logged + 200).split_off(logged.try_into().unwrap());
        logged += 200;
        assert_eq!(log.len(), 200, "{flags:?}");
        assert!(log.iter().all(|seen| seen["status"] == 200), "{flags:?}");
        let each = by_connection(&log);
        assert_eq!(each.len() as u64, ran.sum(&["connections"]), "{flags:?}");
        assert!(each.iter().all(|&requests| requests <= each_max), "{each:?}");
        // The last connection of each of the four places may have been left some requests short.
        let least = (200 / each_max).max(4);
        assert!((least..least + 4).contains(&(each.len() as u64)), "{flags:?} {each:?}");
    }
}

#[test]
fn a_server_that_closes_after_some_requests_is_connected_to_again() {
    let bench = Bench::new();
    let certificate = bench.certificate();
    let directives = "keepalive_requests 10;";
    let served = Served { directives, ..Served::new(&certificate) };
    let Some(server) = Nginx::start(&served) else { return };
    let ran = bench.run(server.0.address, &["--round-count", "100", "--keep-alive"]);
    ran.assert_all_succeeded(200);
    let each = by_connection(&server.log(200));
    assert_eq!(each.len() as u64, ran.sum(&["connections"]));
    assert!(each.iter().all(|&requests| requests <= 10) && each.contains(&10), "{each:?}");
}

#[test]
fn an_open_loop_makes_as_many_requests_as_its_rate_says() {
    let bench = Bench::new();
    let certificate = bench.certificate();
    let Some(server) = Nginx::start(&Served::new(&certificate)) else { return };
    let flags = ["--rate", "100", "--pool", "8", "--round", "500ms", "--keep-alive"];
    let ran = bench.run(server.0.address, &flags);
    assert_eq!((ran.sum(&["scheduled"]), ran.failures()), (100, vec![]), "{ran:#?}");
    assert_eq!(ran.succeeded() + ran.sum(&["missed"]), 100, "{ran:#?}");
    assert_eq!(server.log(ran.succeeded()).len() as u64, ran.succeeded());
}

#[test]
fn every_byte_of_a_large_body_is_read() {
    let bench = Bench::new();
    let certificate = bench.certificate();
    bench.write("large", &"x".repeat(1_000_000));
    let location = format!("alias {}/;", bench.file("").display());
    let served = Served { location: &location, ..Served::new(&certificate) };
    let Some(server) = Nginx::start(&served) else { return };
    let target = format!("https://localhost:{}/large", server.0.address.port());
    let flags = ["--target", &target, "--connect-to", &server.0.address.to_string()];
    let rest = ["--ca-bundle", "ca-bundle.crt", "--warm-up", "0s", "--rounds", "2", "-n", "2"];
    let count = ["--round-count", "10", "--expect-bytes", "1000000"];
    let ran = bench.finish(bench.bare(&[&flags[..], &rest, &count].concat()));
    ran.assert_all_succeeded(20);
    assert!(ran.sum(&["bytes_read"]) > 20_000_000, "{ran:#?}");
}
