//! What was negotiated: the record against what nginx logs, and against what each side can do.

use serde_json::Value as Json;
use tlsbench_core::scenario::{Group, Provider};
use tlsbench_engine::testserver::{TestServer, TestServerConfig};
use tlsbench_engine::tls::{KeyKind, Subject};

use crate::bench::{Bench, Ran};
use crate::servers::{Nginx, SServer, Served};

/// What an nginx with a key of this kind negotiates with a run: the record's words and the log's.
struct Negotiation {
    key: KeyKind,
    directives: &'static str,
    flags: &'static [&'static str],
    recorded: &'static str,
    /// Version, suite and group as nginx names them.
    logged: [&'static str; 3],
}

const NEGOTIATIONS: [Negotiation; 8] = [
    Negotiation {
        key: KeyKind::EcdsaP256,
        directives: "",
        flags: &["--suites", "aes-128-gcm"],
        recorded: "TLS 1.3 aes-128-gcm x25519 ECDSA_NISTP256_SHA256 http/1.1",
        logged: ["TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519"],
    },
    Negotiation {
        key: KeyKind::EcdsaP384,
        directives: "",
        flags: &["--suites", "chacha20-poly1305", "--groups", "p256"],
        recorded: "TLS 1.3 chacha20-poly1305 p256 ECDSA_NISTP384_SHA384 http/1.1",
        logged: ["TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", "prime256v1"],
    },
    Negotiation {
        key: KeyKind::Ed25519,
        directives: "",
        flags: &["--suites", "aes-256-gcm", "--groups", "p384"],
        recorded: "TLS 1.3 aes-256-gcm p384 ED25519 http/1.1",
        logged: ["TLSv1.3", "TLS_AES_256_GCM_SHA384", "secp384r1"],
    },
    Negotiation {
        key: KeyKind::Rsa2048,
        directives: "",
        flags: &["--suites", "aes-256-gcm", "--provider", "aws-lc-rs"],
        recorded: "TLS 1.3 aes-256-gcm x25519 RSA_PSS_SHA512 http/1.1",
        logged: ["TLSv1.3", "TLS_AES_256_GCM_SHA384", "X25519"],
    },
    Negotiation {
        key: KeyKind::EcdsaP256,
        directives: "ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384;",
        flags: &["--tls-version", "1.2"],
        // In TLS 1.2 the name tells the hash alone, whatever the curve (RFC 8446, 4.2.3).
        recorded: "TLS 1.2 aes-256-gcm x25519 ECDSA_NISTP384_SHA384 http/1.1",
        logged: ["TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "X25519"],
    },
    Negotiation {
        key: KeyKind::Rsa2048,
        directives: "ssl_ecdh_curve prime256v1;",
        flags: &["--tls-version", "1.2", "--suites", "chacha20-poly1305"],
        recorded: "TLS 1.2 chacha20-poly1305 p256 RSA_PSS_SHA512 http/1.1",
        logged: ["TLSv1.2", "ECDHE-RSA-CHACHA20-POLY1305", "prime256v1"],
    },
    Negotiation {
        key: KeyKind::Rsa3072,
        directives: "",
        flags: &["--tls-version", "1.2", "--suites", "aes-128-gcm"],
        recorded: "TLS 1.2 aes-128-gcm x25519 RSA_PSS_SHA512 http/1.1",
        logged: ["TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "X25519"],
    },
    Negotiation {
        key: KeyKind::Ed25519,
        directives: "",
        flags: &["--tls-version", "1.2", "--suites", "aes-128-gcm", "--groups", "p384"],
        recorded: "TLS 1.2 aes-128-gcm p384 ED25519 http/1.1",
        logged: ["TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "secp384r1"],
    },
];

#[test]
fn the_record_names_what_nginx_logs() {
    for Negotiation { key, directives, flags, recorded, logged } in NEGOTIATIONS {
        let bench = Bench::new();
        let certificate =
            bench.pki.issue(&Subject { key, ..Subject::server("localhost") }).unwrap();
        let served = Served { directives, ..Served::new(&certificate) };
        let Some(server) = Nginx::start(&served) else { return };
        let flags = [&["--round-count", "10", "-n", "2"][..], flags].concat();
        let ran = bench.run(server.0.address, &flags);
        ran.assert_all_succeeded(20);
        assert_eq!(ran.negotiated(), [recorded]);
        for seen in server.log(20) {
            let words =
                ["version", "suite", "group", "alpn"].map(|key| seen[key].as_str().unwrap());
            assert_eq!(words[..3], logged, "{recorded}");
            assert_eq!(words[3], "http/1.1", "{recorded}");
        }
    }
}

#[test]
fn a_server_that_agrees_to_no_protocol_is_asked_in_http_1_1() {
    let bench = Bench::new();
    let Some(server) = SServer::start(&bench.certificate(), "", &[], &["-www"]) else { return };
    // It ends a connection only once it has our close_notify: without, each lasts until we give it
    // up after 2 s, and the run is given up first.
    let ran = bench.run(server.0.address, &["--round-count", "40"]);
    ran.assert_all_succeeded(80);
    assert!(ran.negotiated().iter().all(|found| found.ends_with(" -")), "{ran:#?}");
}

fn retries(ran: &Ran) -> (u64, u64) {
    (ran.sum(&["shape", "full"]), ran.sum(&["shape", "retried"]))
}

#[test]
fn every_full_handshake_is_retried_where_the_server_wants_another_group() {
    let bench = Bench::new();
    let certificate = bench.certificate();
    let directives = "ssl_ecdh_curve secp384r1;";
    let served = Served { directives, ..Served::new(&certificate) };
    let Some(server) = Nginx::start(&served) else { return };
    let flags = ["--round-count", "20", "--groups", "x25519,p384", "-n", "2"];
    let ran = bench.run(server.0.address, &flags);
    ran.assert_all_succeeded(40);
    // Each is that of a client that has not been here before, and begins with X25519.
    assert_eq!(retries(&ran), (40, 40), "{ran:#?}");
    assert!(ran.out.contains("40 of 40 full handshakes needed a HelloRetryRequest"), "{ran:#?}");
    let words = "p384 ECDSA_NISTP256_SHA256 http/1.1";
    assert!(ran.negotiated().iter().all(|found| found.ends_with(words)), "{ran:#?}");
    let log = server.log(40);
    assert!(log.iter().all(|seen| seen["group"] == "secp384r1"), "{log:#?}");
}

const HYBRID: [&str; 4] = ["--round-count", "10", "--provider", "aws-lc-rs"];

#[test]
fn the_hybrid_group_is_negotiated_where_the_server_has_it() {
    let bench = Bench::new();
    let mut fake = TestServerConfig::tls(bench.certificate().identity, 10);
    let tls = fake.tls.as_mut().unwrap();
    (tls.provider, tls.groups) = (Provider::AwsLcRs, vec![Group::X25519MlKem768, Group::X25519]);
    let server = TestServer::start(fake).unwrap();
    for groups in ["x25519mlkem768", "x25519mlkem768,x25519"] {
        let ran = bench.run(server.address(), &[&HYBRID[..], &["--groups", groups]].concat());
        ran.assert_all_succeeded(20);
        let [found] = &ran.negotiated()[..] else { panic!("{ran:#?}") };
        assert!(found.contains(" x25519mlkem768 "), "{found}");
        assert_eq!(retries(&ran), (20, 0), "{ran:#?}");
    }
}

#[test]
fn without_the_hybrid_group_on_the_server_handshakes_fail_or_fall_back() {
    let bench = Bench::new();
    let certificate = bench.certificate();
    let Some(server) = Nginx::start(&Served::new(&certificate)) else { return };
    let alone = [&HYBRID[..], &["--groups", "x25519mlkem768"]].concat();
    let ran = bench.run(server.0.address, &alone);
    assert_eq!((ran.code, ran.succeeded()), (Some(1), 0), "{ran:#?}");
    assert_eq!(ran.failures(), ["alert"], "{ran:#?}");
    let combined = [&HYBRID[..], &["--groups", "x25519mlkem768,x25519"]].concat();
    let ran = bench.run(server.0.address, &combined);
    ran.assert_all_succeeded(20);
    assert!(ran.negotiated().iter().all(|found| found.contains(" x25519 ")), "{ran:#?}");
    assert!(server.log(20).iter().all(|seen| seen["group"] == "X25519"));
}

#[test]
fn the_server_name_is_the_hosts_or_the_one_that_was_given() {
    let bench = Bench::new();
    let names = ["localhost", "shop.test", "127.0.0.1"].map(str::to_owned).to_vec();
    let certificate = bench.pki.issue(&Subject { names, ..Subject::server("") }).unwrap();
    let Some(server) = Nginx::start(&Served::new(&certificate)) else { return };
    let names = |log: &[Json]| -> Vec<String> {
        log.iter().map(|seen| seen["sni"].as_str().unwrap().to_owned()).collect()
    };
    let flags = ["--round-count", "5", "-n", "2"];
    bench.run(server.0.address, &flags).assert_all_succeeded(10);
    let named = [&flags[..], &["--sni", "shop.test"]].concat();
    bench.run(server.0.address, &named).assert_all_succeeded(10);
    let log = server.log(20);
    assert_eq!(names(&log[..10]), ["localhost"; 10]);
    assert_eq!(names(&log[10..]), ["shop.test"; 10]);
    // An address is verified, and never sent.
    let address = server.0.address.to_string();
    let target = ["--target", "https://127.0.0.1/", "--connect-to", &address];
    let rest = ["--ca-bundle", "ca-bundle.crt", "--warm-up", "0s", "--rounds", "2"];
    bench.finish(bench.bare(&[&target[..], &rest, &flags].concat())).assert_all_succeeded(10);
    assert_eq!(names(&server.log(30)[20..]), [""; 10]);
}
