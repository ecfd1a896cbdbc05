//! `tlsbench run` over HTTP/2 against nginx: what it counts is what nginx logged.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use tlsbench_engine::tls::{LabPki, Subject};

/// An nginx (of Debian's package) of one process in a folder of its own; gone when this is dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Nginx {
    /// One that listens with `listen` and has these directives in its server.
    fn start(listen: &str, server: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = LabPki::generate().unwrap();
        let leaf = pki.issue(&Subject::server("localhost")).unwrap();
        let at = folder.path();
        fs::write(at.join("ca-bundle.crt"), pki.root_pem()).unwrap();
        fs::write(at.join("chain.pem"), leaf.chain_pem).unwrap();
        fs::write(at.join("leaf.key"), leaf.key_pem).unwrap();
        fs::write(at.join("large"), vec![b'x'; 3_000_000]).unwrap();
        // The port is free again for a moment, in which somebody else may take it.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            fs::write(at.join("nginx.conf"), config(at, address, listen, server)).unwrap();
            let mut child = Command::new("nginx")
                .arg("-c")
                .arg(at.join("nginx.conf"))
                .args(["-e", "stderr"])
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            for _ in 0..1_000 {
                if TcpStream::connect(address).is_ok() {
                    return Self { child, address, folder };
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            drop(child.kill());
            let mut said = String::new();
            drop(child.stderr.take().unwrap().read_to_string(&mut said));
            drop(child.wait());
            assert!(said.contains("in use"), "nginx does not start: {said}");
        }
        unreachable!("five free ports that were not free");
    }

    /// Runs tlsbench against it: what it recorded.
    fn run(&self, path: &str, flags: &[&str]) -> Json {
        // A record is not written over.
        drop(fs::remove_file(self.folder.path().join("run.json")));
        let (target, address) =
            (format!("https://localhost:{}{path}", self.address.port()), self.address.to_string());
        let output = Command::new(env!("CARGO_BIN_EXE_tlsbench"))
            .current_dir(self.folder.path())
            .args(["run", "--target", &target, "--connect-to", &address, "--protocol", "h2"])
            .args(["--ca-bundle", "ca-bundle.crt", "--record", "run.json", "-o", "json"])
            .args(["--rounds", "2", "--warm-up", "0s"])
            .args(flags)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let json: Json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(json.is_object(), "{err}");
        json["record"].clone()
    }

    /// Lines of its log that say this, once there are so many; or what there are after 5 s.
    fn logged(&self, wanted: &str, count: u64) -> u64 {
        let mut found = 0;
        for _ in 0..1_000 {
            let log = BufReader::new(fs::File::open(self.folder.path().join("log")).unwrap());
            found = log.lines().map_while(Result::ok).filter(|line| line.contains(wanted)).count()
                as u64;
            if found >= count {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        found
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn config(at: &Path, address: SocketAddr, listen: &str, server: &str) -> String {
    let at = at.display();
    format!(
        r#"
daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
events {{ worker_connections 512; }}
http {{
  log_format short '$server_protocol $status $connection $connection_requests $request_length';
  access_log {at}/log short; default_type text/plain;
  client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
  uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
  server {{
    listen {address} {listen}; ssl_certificate {at}/chain.pem; ssl_certificate_key {at}/leaf.key;
    ssl_protocols TLSv1.2 TLSv1.3; root {at};
    {server}
    location = / {{ return 200 "hello"; }}
    location = /empty {{ return 204; }}
    location = /missing {{ return 404; }}
  }}
}}
"#
    )
}

fn sum(record: &Json, of: &[&str]) -> u64 {
    let rounds = record["targets"][0]["rounds"].as_array().unwrap();
    let value = |round: &Json| of.iter().fold(round.clone(), |v, key| v[key].clone()).as_u64();
    rounds.iter().map(|round| value(round).unwrap_or_default()).sum()
}

fn times(record: &Json, phase: &str) -> u64 {
    sum(record, &["quantiles", phase, "count"])
}

const MANY: &str = "keepalive_requests 1000000;";

#[test]
fn requests_over_kept_connections_are_those_that_nginx_logged() {
    let nginx = Nginx::start("ssl http2", MANY);
    for version in ["1.3", "1.2"] {
        let record = nginx.run(
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
        assert_eq!(sum(&record, &["succeeded"]), 2_000, "{record}");
        assert_eq!(
            (sum(&record, &["connections"]), sum(&record, &["shape", "streams", "16"])),
            (4, 4)
        );
        for phase in ["first_byte", "last_byte", "uncorrected"] {
            assert_eq!(times(&record, phase), 2_000, "{phase}");
        }
        assert_eq!(times(&record, "confirmed"), 4);
    }
    assert_eq!(nginx.logged("HTTP/2.0 200", 4_000), 4_000);
}

#[test]
fn connections_with_some_requests_each_are_those_that_nginx_logged() {
    let nginx = Nginx::start("ssl http2", MANY);
    for close in ["fin", "rst"] {
        let flags = ["-n", "4", "--streams", "4", "--requests-per-connection", "10"];
        let rest = ["--round-count", "400", "--close", close, "--resume", "0.5"];
        let record = nginx.run("/", &[&flags[..], &rest].concat());
        assert_eq!(sum(&record, &["succeeded"]), 800, "{close} {record}");
        let connections = sum(&record, &["connections"]);
        assert!((80..=83).contains(&connections), "{connections}");
        assert!(sum(&record, &["shape", "resumed"]) >= 36, "{record}");
    }
    assert_eq!(nginx.logged("HTTP/2.0 200", 1_600), 1_600);
}

#[test]
fn an_open_loop_shares_connections_and_starts_on_time() {
    let nginx = Nginx::start("ssl http2", MANY);
    let flags = ["-k", "--rate", "400", "--pool", "2", "--streams", "50", "--round", "500ms"];
    let record = nginx.run("/", &flags);
    assert_eq!((sum(&record, &["succeeded"]), sum(&record, &["missed"])), (400, 0), "{record}");
    assert_eq!((times(&record, "corrected"), times(&record, "last_byte")), (400, 400));
    assert!(sum(&record, &["connections"]) <= 2);
    let by_connection =
        ["--rate", "40", "--requests-per-connection", "10", "--streams", "5", "--round", "500ms"];
    let record = nginx.run("/", &by_connection);
    assert_eq!(
        (sum(&record, &["succeeded"]), sum(&record, &["connections"])),
        (400, 40),
        "{record}"
    );
    assert_eq!(nginx.logged("HTTP/2.0 200", 800), 800);
}

#[test]
fn fewer_streams_are_used_where_the_server_takes_fewer_and_the_record_says_so() {
    let nginx = Nginx::start("ssl http2", &format!("{MANY} http2_max_concurrent_streams 3;"));
    let flags = ["-k", "-n", "2", "--streams", "8", "--round-count", "200"];
    let record = nginx.run("/", &flags);
    assert_eq!(sum(&record, &["succeeded"]), 400, "{record}");
    assert_eq!(sum(&record, &["shape", "streams", "3"]), 2, "{record}");
    assert_eq!(nginx.logged("HTTP/2.0 200", 400), 400);
}

#[test]
fn a_connection_that_nginx_ends_after_its_requests_is_replaced() {
    let nginx = Nginx::start("ssl http2", "keepalive_requests 10;");
    let one = nginx.run("/", &["-k", "-n", "2", "--round-count", "200"]);
    assert_eq!(sum(&one, &["succeeded"]), 400, "{one:#}");
    // nginx counts its way of closing: 10 or 11 of them.
    assert!((36..=41).contains(&sum(&one, &["connections"])), "{one:#}");
    assert_eq!(nginx.logged("HTTP/2.0 200", 400), 400);
    // With several at a time, it drops what it had not begun; each is counted.
    let many = nginx.run("/", &["-k", "-n", "2", "--streams", "4", "--round-count", "200"]);
    let (good, refused) = (sum(&many, &["succeeded"]), sum(&many, &["failed", "stream_refused"]));
    assert_eq!(good + refused, 400, "{many:#}");
    assert!(refused > 0 && good > 200, "{many:#}");
    assert_eq!(nginx.logged("HTTP/2.0 200", 400 + good), 400 + good);
}

#[test]
fn bodies_of_both_directions_heed_the_windows() {
    let nginx = Nginx::start(
        "ssl http2",
        &format!(
            "{MANY} client_max_body_size 8m; location /put/ {{ dav_methods PUT; create_full_put_path on; }}"
        ),
    );
    let flags =
        ["-k", "-n", "2", "--streams", "4", "--round-count", "12", "--expect-bytes", "3000000"];
    let record = nginx.run("/large", &flags);
    assert_eq!(sum(&record, &["succeeded"]), 24, "{record}");
    assert!(sum(&record, &["bytes_read"]) > 24 * 3_000_000);
    // One that nginx reads to its end and keeps, and one that it answers without having read it.
    let body = "x".repeat(100_000);
    for (method, path) in [("PUT", "/put/file"), ("POST", "/")] {
        let flags = ["-k", "-n", "2", "--streams", "4", "--round-count", "12", "-X", method];
        let record = nginx.run(path, &[&flags[..], &["-d", &body]].concat());
        assert_eq!(sum(&record, &["succeeded"]), 24, "{record}");
        let written = sum(&record, &["bytes_written"]);
        assert_eq!(written > 24 * 100_000, method == "PUT", "{written}");
    }
    assert_eq!(fs::read_to_string(nginx.folder.path().join("put/file")).unwrap(), body);
    assert_eq!(nginx.logged("HTTP/2.0 20", 72), 72);
}

#[test]
fn responses_without_bodies_end_with_their_headers() {
    let nginx = Nginx::start("ssl http2", MANY);
    let few = ["-k", "-n", "1", "--streams", "4", "--round-count", "20"];
    for (path, more) in [
        ("/empty", &["--expect-status", "204", "--expect-bytes", "0"][..]),
        ("/large", &["-X", "HEAD", "--expect-bytes", "0"]),
        ("/missing", &["--expect-status", "404"]),
    ] {
        let record = nginx.run(path, &[&few[..], more].concat());
        assert_eq!(sum(&record, &["succeeded"]), 40, "{path} {record}");
    }
    let record = nginx.run("/missing", &few);
    assert_eq!(sum(&record, &["failed", "status"]), 40, "{record}");
}

#[test]
fn a_server_without_http2_is_a_failure_of_its_own_name() {
    let nginx = Nginx::start("ssl", MANY);
    let record = nginx.run("/", &["-n", "2", "--round-count", "6"]);
    assert_eq!(sum(&record, &["succeeded"]), 0);
    assert_eq!(sum(&record, &["failed", "alpn"]), 12, "{record}");
}
