//! Why operations fail, told by the name that an engineer would search for, with its cure.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::bench::{Bench, Ran};
use crate::servers::{SServer, installed};

/// Certificates as the program `openssl` makes them, in the folder of a bench.
struct Made {
    bench: Bench,
    openssl: PathBuf,
}

impl Made {
    fn new() -> Option<Self> {
        Some(Self { bench: Bench::new(), openssl: installed("openssl", "openssl")? })
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new(&self.openssl);
        let made =
            command.args(arguments.split_whitespace()).current_dir(self.bench.file("")).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{arguments}: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// A certificate that signs itself, `server.pem` with `server.key`.
    fn self_signed(&self, more: &str) {
        self.openssl(&format!(
            "req -x509 -newkey rsa:2048 -noenc -keyout server.key -out server.pem -days 2 \
             -subj /CN=localhost {more}"
        ));
    }

    /// One that a CA issued, whose root is `root.pem`.
    fn issued(&self, signing: &str) {
        self.openssl(
            "req -x509 -newkey rsa:2048 -noenc -keyout root.key -out root.pem -days 2 -subj /CN=CA",
        );
        self.openssl(
            "req -newkey rsa:2048 -noenc -keyout server.key -out server.csr -subj /CN=localhost",
        );
        self.openssl(&format!(
            "x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 \
             -out server.pem {signing}"
        ));
    }

    fn server(&self, arguments: &[&str]) -> Option<SServer> {
        let [certificate, key] = ["server.pem", "server.key"].map(|name| self.bench.file(name));
        SServer::of_files(&certificate, &key, arguments)
    }

    fn handshakes(&self, address: SocketAddr, more: &[&str]) -> Ran {
        let flags = ["--handshakes-only", "--round-count", "4", "--rounds", "1", "-n", "1"];
        self.bench.run(address, &[&flags[..], more].concat())
    }
}

const LEAF: &str =
    "-addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE";

/// A certificate, and what a client that trusts `roots` says of it.
struct Refused {
    made: How,
    roots: &'static str,
    failure: &'static str,
    reason: &'static str,
    /// Words of the cure.
    cure: &'static str,
}

/// How a certificate is made, with more arguments of openssl.
enum How {
    /// From a CA.
    Issued(&'static str),
    /// By itself.
    SelfSigned(&'static [&'static str]),
}

const REFUSED: [Refused; 8] = [
    Refused {
        made: How::SelfSigned(&["-addext subjectAltName=DNS:localhost"]),
        roots: "server.pem",
        failure: "certificate_other",
        reason: "ca_as_server",
        cure: "CA:FALSE",
    },
    Refused {
        made: How::SelfSigned(&[LEAF, "-addext extendedKeyUsage=clientAuth"]),
        roots: "server.pem",
        failure: "certificate_other",
        reason: "not_for_servers",
        cure: "serverAuth",
    },
    Refused {
        made: How::SelfSigned(&[LEAF, "-addext 1.2.3.4=critical,ASN1:NULL"]),
        roots: "server.pem",
        failure: "certificate_other",
        reason: "critical_extension",
        cure: "critical extension",
    },
    Refused {
        made: How::SelfSigned(&[LEAF, "-newkey rsa:1024"]),
        roots: "server.pem",
        failure: "certificate_other",
        reason: "weak_key",
        cure: "2,048 bits",
    },
    Refused {
        made: How::Issued("-sha1 -extfile san.ext"),
        roots: "root.pem",
        failure: "certificate_other",
        reason: "weak_signature",
        cure: "SHA-256",
    },
    Refused {
        made: How::Issued(""),
        roots: "root.pem",
        failure: "certificate_other",
        reason: "x509_v1",
        cure: "version 3",
    },
    Refused {
        made: How::SelfSigned(&["-addext basicConstraints=critical,CA:FALSE"]),
        roots: "server.pem",
        failure: "certificate_name",
        reason: "no_subject_alt_name",
        cure: "subjectAltName",
    },
    Refused {
        made: How::SelfSigned(&[LEAF]),
        roots: "ca-bundle.crt",
        failure: "certificate_unknown_ca",
        reason: "self_signed",
        cure: "`--ca-bundle`",
    },
];

#[test]
fn a_certificate_of_openssl_s_that_is_refused_says_why_and_off_takes_each() {
    let Some(made) = Made::new() else { return };
    made.bench.write("san.ext", "subjectAltName=DNS:localhost\n");
    for Refused { made: how, roots, failure, reason, cure } in REFUSED {
        match how {
            How::Issued(signing) => made.issued(signing),
            How::SelfSigned(more) => made.self_signed(&more.join(" ")),
        }
        // What clients everywhere refuse, OpenSSL's own defaults refuse to serve.
        let Some(server) = made.server(&["-cipher", "DEFAULT:@SECLEVEL=0"]) else { return };
        for version in ["1.2", "1.3"] {
            let with = ["--tls-version", version, "--ca-bundle", roots];
            let ran = made.handshakes(server.0.address, &with);
            assert_eq!(ran.sum(&["reasons", failure, reason]), 4, "{reason} {ran:#?}");
            let told = format!("4 failed: {failure} ({reason} 4)");
            assert!(ran.out.contains(&told), "{ran:#?}");
            assert!(ran.out.contains(cure), "{reason} {ran:#?}");
            let off = ["--tls-version", version, "--verify=off"];
            made.handshakes(server.0.address, &off).assert_all_succeeded(4);
        }
    }
}

#[test]
fn alerts_of_openssl_s_have_their_names_and_cures() {
    let Some(made) = Made::new() else { return };
    made.self_signed(LEAF);
    let run = |address, more: &[&str]| {
        made.handshakes(address, &[&["--ca-bundle", "server.pem"], more].concat())
    };
    let files = ["server.pem", "server.key"].map(|name| made.bench.file(name));
    let [certificate, key] = files.each_ref().map(|path| path.to_str().unwrap());
    let other = ["-servername", "other.test", "-servername_fatal", "-cert2", certificate];
    let other = [&other[..], &["-key2", key]].concat();
    for (arguments, more, alert, cure) in [
        (&other[..], &[][..], "unrecognized_name", "`sni`"),
        (&["-no_tls1_3"], &["--tls-version", "1.3"], "protocol_version", "offer both"),
        (&["-groups", "P-521"], &["--tls-version", "1.3"], "handshake_failure", "`--groups`"),
    ] {
        let Some(server) = made.server(arguments) else { return };
        let ran = run(server.0.address, more);
        assert_eq!(ran.sum(&["reasons", "alert", alert]), 4, "{alert} {ran:#?}");
        assert!(ran.out.contains(&format!("4 failed: alert ({alert} 4)")), "{ran:#?}");
        assert!(ran.out.contains(cure), "{alert} {ran:#?}");
    }
    // Both versions are offered unless one is asked for.
    for (argument, version) in [("-no_tls1_3", "TLS 1.2 "), ("-no_tls1_2", "TLS 1.3 ")] {
        let Some(server) = made.server(&[argument]) else { return };
        let ran = run(server.0.address, &[]);
        ran.assert_all_succeeded(4);
        assert!(ran.negotiated().iter().all(|found| found.starts_with(version)), "{ran:#?}");
        assert!(!ran.out.contains("(shape;"), "{ran:#?}");
    }
}

/// A server that answers one request on each connection and closes when there is another.
fn forgetful(response: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).is_ok_and(|length| length > 0) {
                    stream.write_all(response.as_bytes()).unwrap();
                    // Waits for the request that it will not answer.
                    let _ = stream.read(&mut buffer);
                }
            });
        }
    });
    address
}

fn plain(bench: &Bench, address: SocketAddr, flags: &[&str]) -> Ran {
    let target = format!("http://{address}/");
    let all =
        ["--target", &target, "--warm-up", "0s", "--rounds", "1", "--pin", "never", "-n", "1"];
    bench.finish(bench.bare(&[&all[..], flags].concat()))
}

#[test]
fn a_request_on_a_kept_connection_that_closes_is_sent_again_unless_it_must_not() {
    let bench = Bench::new();
    let address = forgetful("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let ran = plain(&bench, address, &["--keep-alive", "--round-count", "10"]);
    ran.assert_all_succeeded(10);
    // All but the first found their connection closed.
    assert_eq!((ran.sum(&["resent"]), ran.sum(&["connections"])), (9, 10), "{ran:#?}");
    assert_eq!(ran.sum(&["statuses", "200"]), 10, "{ran:#?}");
    assert!(ran.out.contains("9 requests were sent again"), "{ran:#?}");
    let flags = ["--keep-alive", "--round-count", "10", "-X", "POST", "-d", "x"];
    let ran = plain(&bench, address, &flags);
    assert_eq!((ran.succeeded(), ran.sum(&["resent"])), (5, 0), "{ran:#?}");
    let told = ran.sum(&["reasons", "response_truncated", "not_sent_again"]);
    assert_eq!(told, 5, "{ran:#?}");
    assert!(ran.out.contains("must not be sent twice"), "{ran:#?}");
}

#[test]
fn statuses_are_counted_and_redirects_told() {
    let bench = Bench::new();
    let moved = "HTTP/1.1 301 Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n";
    let address = forgetful(moved);
    let ran = plain(&bench, address, &["--round-count", "5", "--close", "fin"]);
    ran.assert_all_succeeded(5);
    assert_eq!(ran.sum(&["statuses", "301"]), 5, "{ran:#?}");
    assert!(ran.out.contains("5 of 5 responses were redirects (301)"), "{ran:#?}");
    assert!(ran.out.contains(": responses by status: 5 of 301\n"), "{ran:#?}");
    for (format, told) in [("md", "| 301 | 5 |"), ("html", "Responses by status")] {
        let mut report = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        report.args(["report", "--format", format]).arg(bench.file("run.json"));
        let report = String::from_utf8(report.output().unwrap().stdout).unwrap();
        assert!(report.contains(told), "{report}");
    }
    let notes = ran.record["notes"].to_string();
    assert!(notes.contains("redirects (301)"), "{notes}");
    let ran =
        plain(&bench, address, &["--round-count", "5", "--close", "fin", "--expect-status", "200"]);
    assert_eq!(ran.sum(&["reasons", "status", "301"]), 5, "{ran:#?}");
    assert!(ran.out.contains("5 failed: status (301 5)"), "{ran:#?}");
    assert!(!ran.out.contains("were redirects"), "{ran:#?}");
}

#[test]
fn a_malformed_response_says_in_what() {
    let bench = Bench::new();
    for (response, reason) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", "bytes_behind"),
        ("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "content_length"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "not_http"),
        ("HTTP/1.1 200 OK\r\nno header\r\n\r\n", "header"),
    ] {
        let ran = plain(&bench, forgetful(response), &["--round-count", "4"]);
        assert_eq!(ran.sum(&["reasons", "response_malformed", reason]), 4, "{ran:#?}");
        let told = format!("4 failed: response_malformed ({reason} 4)");
        assert!(ran.out.contains(&told), "{ran:#?}");
    }
}

#[test]
fn a_host_with_a_dot_at_its_end_is_verified_and_named_without_it() {
    let bench = Bench::new();
    let start = || SServer::start(&bench.certificate(), "", &[], &["-www"]);
    let Some(server) = start() else { return };
    let target = format!("https://localhost.:{}/", server.0.address.port());
    let to = server.0.address.to_string();
    let flags = ["--target", &target, "--connect-to", &to, "--ca-bundle", "ca-bundle.crt"];
    let rest = ["--warm-up", "0s", "--rounds", "1", "-n", "1", "--round-count", "2"];
    let ran = bench.finish(bench.bare(&[&flags[..], &rest, &["--handshakes-only"]].concat()));
    ran.assert_all_succeeded(2);
}
