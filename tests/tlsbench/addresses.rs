//! Targets with several addresses: which are used, and where operations fail.

use std::net::SocketAddr;

use tlsbench_engine::testserver::{TestServer, TestServerConfig};

use crate::bench::Bench;

#[test]
fn failures_are_told_by_address() {
    let bench = Bench::new();
    let server =
        TestServer::start(TestServerConfig::tls(bench.certificate().identity, 10)).unwrap();
    let up = server.address();
    let down = SocketAddr::from(([127, 0, 0, 2], up.port()));
    let both = format!("{up},{down}");
    let mut command = bench.anywhere();
    let target = format!("shop=https://localhost:{}/", up.port());
    command.args(["--record", "run.json", "--target", &target, "--connect-to", &both]);
    command.args(["--ca-bundle", "ca-bundle.crt", "-n", "4", "--rounds", "2", "--warm-up", "0s"]);
    let ran = bench.finish({
        command.args(["--round-count", "20"]);
        command
    });
    let addresses = &ran.record["targets"][0]["addresses"];
    let refused = addresses[down.to_string()]["failed"]["connect_refused"].as_u64().unwrap();
    let succeeded = addresses[up.to_string()]["succeeded"].as_u64().unwrap();
    assert!(refused > 0 && succeeded > 0 && refused + succeeded == 40, "{ran:#?}");
    let told = format!(
        "note: shop: addresses failed differently: {refused} of {refused} at {down} \
         (connect_refused {refused}); 0 of {succeeded} at {up}\n"
    );
    assert!(ran.out.contains(&told), "{ran:#?}");
}

#[test]
fn one_version_of_ip_is_used_where_it_is_asked_for() {
    let bench = Bench::new();
    let server =
        TestServer::start(TestServerConfig::tls(bench.certificate().identity, 10)).unwrap();
    let run = |flags: &[&str]| {
        let mut command = bench.bare(&["--target"]);
        command.arg(format!("shop=https://localhost:{}/", server.address().port()));
        command.args(["--ca-bundle", "ca-bundle.crt", "-n", "4", "--rounds", "2"]);
        command.args(["--warm-up", "0s", "--round-count", "20"]).args(flags);
        bench.finish(command)
    };
    // `localhost` may be `::1` as well, where nothing listens.
    let ran = run(&["-4"]);
    assert_eq!((ran.succeeded(), ran.failures()), (40, vec![]), "{ran:#?}");
    let addresses = ran.record["targets"][0]["addresses"].as_object().unwrap();
    let used: Vec<_> = addresses.keys().map(String::as_str).collect();
    assert_eq!(used, [server.address().to_string()], "{ran:#?}");
    let scenario = ran.record["scenario"].as_str().unwrap();
    assert!(scenario.contains("ip_version = \"ipv4\""), "{scenario}");
    for (flags, complaint) in [
        (&["-4", "-6"][..], "cannot be used with"),
        (
            &["-6", "--connect-to", "127.0.0.1:1"],
            "`ip_version`: `ipv6`, and `shop` is at `127.0.0.1`",
        ),
        (&["-6", "--sources", "127.0.0.1"], "`sources`: `127.0.0.1`, and `ip_version` is `ipv6`"),
    ] {
        let ran = run(flags);
        assert_eq!(ran.code, Some(2), "{ran:#?}");
        assert!(ran.err.contains(complaint), "{ran:#?}");
    }
}
