//! Which chains are verified: roots of our own, and a server that changes its chain on the way.

use std::time::Duration;

use tlsbench_engine::tls::{Issued, LabPki, Subject, Validity};

use crate::bench::{Bench, Ran};
use crate::servers::{Nginx, Served, within};

/// A run during which nginx is given another certificate.
fn run_across(bench: &Bench, verify: &str, second: &Issued) -> Option<Ran> {
    let first = bench.certificate();
    let server = Nginx::start(&Served::new(&first))?;
    let mut flags = vec!["--round", "60s", "--rounds", "1"];
    flags.extend(match verify {
        "off" => vec!["--verify=off"],
        verify => vec!["--verify", verify],
    });
    let running = bench.start(bench.command(server.0.address, &flags));
    server.log(20);
    server.replace_certificate(second);
    let served = server.log(0).len();
    let refusals = || server.0.said().matches("unknown ca").count();
    let went_on = within(MAX, || server.log(0).len() > served + 100 || refusals() > 10);
    assert!(went_on, "{verify}: nothing after the reload\n{}", server.0.said());
    running.interrupt();
    let ran = running.wait();
    assert_eq!(ran.record["interrupted"], "it was asked to stop", "{ran:#?}");
    assert!(ran.succeeded() > 20, "{ran:#?}");
    Some(ran)
}

#[test]
fn a_chain_of_strangers_on_the_way_is_seen_by_those_who_look() {
    let stranger = LabPki::generate().unwrap().issue(&Subject::server("localhost")).unwrap();
    for verify in ["every", "same-chain"] {
        let Some(ran) = run_across(&Bench::new(), verify, &stranger) else { return };
        assert_eq!(ran.failures(), ["certificate_unknown_ca"], "{verify} {ran:#?}");
    }
    for verify in ["first", "off"] {
        let Some(ran) = run_across(&Bench::new(), verify, &stranger) else { return };
        assert!(ran.failures().is_empty(), "{verify} {ran:#?}");
        let recorded = format!("verify = \"{verify}\"");
        assert!(ran.record["scenario"].as_str().unwrap().contains(&recorded), "{ran:#?}");
    }
}

#[test]
fn a_renewed_certificate_on_the_way_is_as_good_as_the_first() {
    for verify in ["every", "same-chain"] {
        let bench = Bench::new();
        let renewed = bench.certificate();
        let Some(ran) = run_across(&bench, verify, &renewed) else { return };
        assert!(ran.failures().is_empty(), "{verify} {ran:#?}");
    }
}

#[test]
fn what_is_wrong_with_a_chain_is_its_own_failure() {
    let bench = Bench::new();
    let server = |subject: &Subject| {
        let certificate = bench.pki.issue(subject).unwrap();
        Nginx::start(&Served::new(&certificate))
    };
    let name = Subject::server("localhost");
    let flags = ["--round-count", "5"];
    for (subject, failure) in [
        (Subject { validity: Validity::Expired, ..name.clone() }, "certificate_time"),
        (Subject { validity: Validity::NotYet, ..name.clone() }, "certificate_time"),
        (Subject::server("elsewhere.test"), "certificate_name"),
        (Subject::client("localhost"), "certificate_other"),
    ] {
        let Some(server) = server(&subject) else { return };
        let ran = bench.run(server.0.address, &flags);
        assert_eq!((ran.code, ran.succeeded()), (Some(1), 0), "{subject:?} {ran:#?}");
        assert_eq!(ran.failures(), [failure], "{subject:?} {ran:#?}");
        let ran = bench.run(server.0.address, &[&flags[..], &["--verify=off"]].concat());
        ran.assert_all_succeeded(10);
    }
}

#[test]
fn roots_are_those_of_the_bundle_and_else_the_platforms() {
    let bench = Bench::new();
    let certificate = bench.certificate();
    let Some(server) = Nginx::start(&Served::new(&certificate)) else { return };
    bench.run(server.0.address, &["--round-count", "5"]).assert_all_succeeded(10);
    let target = format!("https://localhost:{}/", server.0.address.port());
    let address = server.0.address.to_string();
    let flags = ["--target", &target, "--connect-to", &address, "--rounds", "2", "--warm-up", "0s"];
    let platforms = |file: &str| {
        let mut command = bench.bare(&[&flags[..], &["--round-count", "5"]].concat());
        command.env("SSL_CERT_FILE", bench.file(file)).env_remove("SSL_CERT_DIR");
        bench.finish(command)
    };
    platforms("ca-bundle.crt").assert_all_succeeded(10);
    bench.write("strangers.crt", &LabPki::generate().unwrap().root_pem());
    let ran = platforms("strangers.crt");
    assert_eq!((ran.code, ran.failures()), (Some(1), vec!["certificate_unknown_ca".to_owned()]));
}

const MAX: Duration = Duration::from_secs(30);
