//! `tlsbench run` over HTTP/2 against nginx: what it counts is what nginx logged.

use std::fs;

use crate::bench::{Bench, Ran};
use crate::servers::{Nginx, Served};

/// An nginx that speaks HTTP/2, and what is run against it.
struct Pair {
    bench: Bench,
    nginx: Nginx,
}

impl Pair {
    /// One whose server has these directives; nothing where nginx is not installed.
    fn start(directives: &str) -> Option<Self> {
        Self::start_with("http2", directives)
    }

    fn start_with(listen: &str, directives: &str) -> Option<Self> {
        let bench = Bench::new();
        let certificate = bench.certificate();
        let directives = format!("{directives}{LOCATIONS}");
        let served = Served {
            certificate: &certificate,
            listen,
            directives: &directives,
            location: "root .;",
        };
        let nginx = Nginx::start(&served)?;
        fs::write(nginx.0.file("large"), vec![b'x'; 3_000_000]).unwrap();
        Some(Self { bench, nginx })
    }

    fn run(&self, path: &str, flags: &[&str]) -> Ran {
        let flags = [&["--protocol", "h2"], flags].concat();
        self.bench.finish(self.bench.command_to(self.nginx.0.address, path, &flags))
    }

    /// Responses over HTTP/2 that nginx logged with a status of 200 to 209, once there are so many.
    fn logged(&self, wanted: u64) -> u64 {
        self.nginx.logged(wanted, |line| {
            line["protocol"] == "HTTP/2.0"
                && line["status"].as_u64().is_some_and(|status| (200..210).contains(&status))
        })
    }
}

fn times(ran: &Ran, phase: &str) -> u64 {
    ran.sum(&["quantiles", phase, "count"])
}

const LOCATIONS: &str = r#"
    location = / { return 200 "hello"; }
    location = /empty { return 204; }
    location = /missing { return 404; }
"#;

#[test]
fn requests_over_kept_connections_are_those_that_nginx_logged() {
    let Some(pair) = Pair::start("") else { return };
    for version in ["1.3", "1.2"] {
        let ran = pair.run(
            "/",
            &[
                "-k",
                "-n",
                "4",
                "--streams",
                "16",
                "--round-count",
                "1000",
                "--tls-version",
                version,
                "--expect-bytes",
                "5",
            ],
        );
        assert_eq!(ran.sum(&["succeeded"]), 2_000, "{ran:#?}");
        assert_eq!((ran.sum(&["connections"]), ran.sum(&["shape", "streams", "16"])), (4, 4));
        for phase in ["first_byte", "last_byte", "uncorrected"] {
            assert_eq!(times(&ran, phase), 2_000, "{phase}");
        }
        assert_eq!(times(&ran, "confirmed"), 4);
    }
    assert_eq!(pair.logged(4_000), 4_000);
}

#[test]
fn connections_with_some_requests_each_are_those_that_nginx_logged() {
    let Some(pair) = Pair::start("") else { return };
    for close in ["fin", "rst"] {
        let flags = ["-n", "4", "--streams", "4", "--requests-per-connection", "10"];
        let rest = ["--round-count", "400", "--close", close, "--resume", "0.5"];
        let ran = pair.run("/", &[&flags[..], &rest].concat());
        assert_eq!(ran.sum(&["succeeded"]), 800, "{close} {ran:#?}");
        let connections = ran.sum(&["connections"]);
        assert!((80..=83).contains(&connections), "{connections}");
        assert!(ran.sum(&["shape", "resumed"]) >= 36, "{ran:#?}");
    }
    assert_eq!(pair.logged(1_600), 1_600);
}

#[test]
fn an_open_loop_shares_connections_and_starts_on_time() {
    let Some(pair) = Pair::start("") else { return };
    let flags = ["-k", "--rate", "400", "--pool", "2", "--streams", "50", "--round", "500ms"];
    let ran = pair.run("/", &flags);
    assert_eq!((ran.sum(&["succeeded"]), ran.sum(&["missed"])), (400, 0), "{ran:#?}");
    assert_eq!(times(&ran, "corrected"), 400);
    assert!(ran.sum(&["connections"]) <= 2);
    // The last of a round is due long before its end: beside other tests it may end later than the round,
    // and then it counts for when it was due, and its phases for nothing.
    let rare = ["-k", "--rate", "10", "--pool", "2", "--streams", "50", "--round", "1s"];
    let ran = pair.run("/", &rare);
    assert_eq!((times(&ran, "corrected"), times(&ran, "last_byte")), (20, 20), "{ran:#?}");
    let by_connection =
        ["--rate", "40", "--requests-per-connection", "10", "--streams", "5", "--round", "500ms"];
    let ran = pair.run("/", &by_connection);
    assert_eq!((ran.sum(&["succeeded"]), ran.sum(&["connections"])), (400, 40), "{ran:#?}");
    assert_eq!(pair.logged(820), 820);
}

#[test]
fn fewer_streams_are_used_where_the_server_takes_fewer_and_the_record_says_so() {
    let Some(pair) = Pair::start("http2_max_concurrent_streams 3;") else { return };
    let flags = ["-k", "-n", "2", "--streams", "8", "--round-count", "200"];
    let ran = pair.run("/", &flags);
    assert_eq!(ran.sum(&["succeeded"]), 400, "{ran:#?}");
    assert_eq!(ran.sum(&["shape", "streams", "3"]), 2, "{ran:#?}");
    assert_eq!(pair.logged(400), 400);
}

#[test]
fn a_connection_that_nginx_ends_after_its_requests_is_replaced() {
    let Some(pair) = Pair::start("keepalive_requests 10;") else { return };
    let one = pair.run("/", &["-k", "-n", "2", "--round-count", "200"]);
    assert_eq!(one.sum(&["succeeded"]), 400, "{one:#?}");
    // nginx counts its way of closing: 10 or 11 of them.
    assert!((36..=41).contains(&one.sum(&["connections"])), "{one:#?}");
    assert_eq!(pair.logged(400), 400);
    // With several at a time, it drops what it had not begun: that is sent again, and counted.
    let many = pair.run("/", &["-k", "-n", "2", "--streams", "4", "--round-count", "200"]);
    assert_eq!((many.sum(&["succeeded"]), many.failures()), (400, vec![]), "{many:#?}");
    assert!(many.sum(&["resent"]) > 0, "{many:#?}");
    assert!(many.out.contains("were sent again on another connection"), "{many:#?}");
    assert_eq!(pair.logged(800), 800);
}

#[test]
fn bodies_of_both_directions_heed_the_windows() {
    // nginx's worker may write to that folder alone.
    let put = "location /put/ { root body; dav_methods PUT; create_full_put_path on; }";
    let Some(pair) = Pair::start(&format!("client_max_body_size 8m; {put}")) else { return };
    let flags =
        ["-k", "-n", "2", "--streams", "4", "--round-count", "12", "--expect-bytes", "3000000"];
    let ran = pair.run("/large", &flags);
    assert_eq!(ran.sum(&["succeeded"]), 24, "{ran:#?}");
    assert!(ran.sum(&["bytes_read"]) > 24 * 3_000_000);
    // One that nginx reads to its end and keeps, and one that it answers without having read it.
    let body = "x".repeat(100_000);
    for (method, path) in [("PUT", "/put/file"), ("POST", "/")] {
        let flags = ["-k", "-n", "2", "--streams", "4", "--round-count", "12", "-X", method];
        let ran = pair.run(path, &[&flags[..], &["-d", &body]].concat());
        assert_eq!(ran.sum(&["succeeded"]), 24, "{ran:#?}");
        let written = ran.sum(&["bytes_written"]);
        assert_eq!(written > 24 * 100_000, method == "PUT", "{written}");
    }
    assert_eq!(fs::read_to_string(pair.nginx.0.file("body/put/file")).unwrap(), body);
    assert_eq!(pair.logged(72), 72);
}

#[test]
fn responses_without_bodies_end_with_their_headers() {
    let Some(pair) = Pair::start("") else { return };
    let few = ["-k", "-n", "1", "--streams", "4", "--round-count", "20"];
    for (path, more) in [
        ("/empty", &["--expect-status", "204", "--expect-bytes", "0"][..]),
        ("/large", &["-X", "HEAD", "--expect-bytes", "0"]),
        ("/missing", &["--expect-status", "404"]),
    ] {
        let ran = pair.run(path, &[&few[..], more].concat());
        assert_eq!(ran.sum(&["succeeded"]), 40, "{path} {ran:#?}");
    }
    let ran = pair.run("/missing", &few);
    assert_eq!(ran.sum(&["failed", "status"]), 40, "{ran:#?}");
}

#[test]
fn a_server_without_http2_is_a_failure_of_its_own_name() {
    let Some(pair) = Pair::start_with("", "") else { return };
    let ran = pair.run("/", &["-n", "2", "--round-count", "6"]);
    assert_eq!(ran.sum(&["succeeded"]), 0);
    assert_eq!(ran.sum(&["failed", "alpn"]), 12, "{ran:#?}");
}
