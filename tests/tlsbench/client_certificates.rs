//! Servers that demand a client certificate. In TLS 1.3 the client is done before such a server has
//! said no, and nginx says it by a status.

use tlsbench_engine::tls::LabPki;

use crate::bench::{Bench, Ran};
use crate::servers::{Haproxy, Nginx, SServer, Served};

const HANDSHAKES: [&str; 3] = ["--handshakes-only", "--round-count", "20"];

fn handshakes(bench: &Bench, address: std::net::SocketAddr, more: &[&str]) -> Ran {
    bench.run(address, &[&HANDSHAKES[..], more].concat())
}

#[test]
fn haproxy_confirms_no_handshake_without_the_certificate_it_requires() {
    let bench = Bench::new();
    let bind = "ca-file roots.pem verify required";
    let start = || Haproxy::start(&bench.certificate(), &bench.pki.root_pem(), bind);
    let Some(server) = start() else { return };
    for version in ["1.2", "1.3"] {
        let version = ["--tls-version", version];
        let ran = handshakes(&bench, server.0.address, &version);
        assert_eq!((ran.code, ran.succeeded()), (Some(1), 0), "{ran:#?}");
        assert_eq!(ran.failures(), ["alert"], "{ran:#?}");
        let with = bench.client_certificate(&bench.pki);
        let ran = handshakes(&bench, server.0.address, &[&version[..], &with[..]].concat());
        ran.assert_all_succeeded(40);
        let stranger = bench.client_certificate(&LabPki::generate().unwrap());
        let ran = handshakes(&bench, server.0.address, &[&version[..], &stranger[..]].concat());
        assert_eq!((ran.succeeded(), ran.failures()), (0, vec!["alert".to_owned()]), "{ran:#?}");
    }
}

#[test]
fn s_server_confirms_no_handshake_without_the_certificate_it_demands() {
    let bench = Bench::new();
    let demand = ["-www", "-Verify", "3", "-verify_return_error", "-CAfile", "roots.pem"];
    let start = || SServer::start(&bench.certificate(), &bench.pki.root_pem(), &[], &demand);
    let Some(server) = start() else { return };
    for (version, alert) in [("1.2", "handshake_failure"), ("1.3", "certificate_required")] {
        let ran = handshakes(&bench, server.0.address, &["--tls-version", version]);
        assert_eq!((ran.code, ran.succeeded()), (Some(1), 0), "{ran:#?}");
        assert_eq!(ran.failures(), ["alert"], "{ran:#?}");
        assert_eq!(ran.sum(&["reasons", "alert", alert]), 40, "{ran:#?}");
        assert!(ran.out.contains("`--client-certificate`"), "{ran:#?}");
    }
    let ran = handshakes(&bench, server.0.address, &bench.client_certificate(&bench.pki));
    ran.assert_all_succeeded(40);
}

#[test]
fn nginx_answers_400_without_the_certificate_it_verifies() {
    let bench = Bench::new();
    bench.write("roots.pem", &bench.pki.root_pem());
    let roots = bench.file("roots.pem");
    let certificate = bench.certificate();
    let directives = format!(
        "ssl_client_certificate {}; ssl_verify_client on; ssl_verify_depth 3;",
        roots.display()
    );
    let served = Served { directives: &directives, ..Served::new(&certificate) };
    let Some(server) = Nginx::start(&served) else { return };
    let ran = bench.run(server.0.address, &["--round-count", "20"]);
    assert_eq!((ran.code, ran.succeeded()), (Some(1), 0), "{ran:#?}");
    assert_eq!(ran.failures(), ["status"], "{ran:#?}");
    assert!(server.log(40).iter().all(|seen| seen["status"] == 400));
    let with = bench.client_certificate(&bench.pki);
    let ran = bench.run(server.0.address, &[&["--round-count", "20"][..], &with[..]].concat());
    ran.assert_all_succeeded(40);
}

#[test]
fn a_key_of_another_certificate_is_refused_and_both_files_are_named() {
    let bench = Bench::new();
    let one = bench.client_certificate(&bench.pki).map(str::to_owned);
    let certificate = std::fs::read_to_string(bench.file(&one[1])).unwrap();
    bench.client_certificate(&bench.pki);
    bench.write("other.pem", &certificate);
    let flags = ["--client-certificate", "other.pem", "--client-key", &one[3]];
    let ran = handshakes(&bench, "127.0.0.1:1".parse().unwrap(), &flags);
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    let wanted = "cannot use client certificate `other.pem` with key `client.key`: the key belongs to \
                  another certificate";
    assert!(ran.err.contains(wanted), "{ran:#?}");
}
