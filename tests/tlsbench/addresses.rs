//! Targets with several addresses: which are used, and where operations fail.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

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

/// Answers each connection's request with 404, for as long as the test runs.
fn without_the_page(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request);
            let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

#[test]
fn figures_by_address_stand_in_every_form_of_the_report() {
    let bench = Bench::new();
    let server = TestServer::start(TestServerConfig::plain(10)).unwrap();
    let up = server.address();
    let odd = SocketAddr::from(([127, 0, 0, 2], up.port()));
    without_the_page(TcpListener::bind(odd).unwrap());
    // A name with two addresses, in a mount namespace of the test's own.
    bench.write("hosts", "127.0.0.1 two.test\n127.0.0.2 two.test\n");
    let in_namespace = |words: &str| {
        let mut command = Command::new("unshare");
        let words = format!("mount --bind hosts /etc/hosts || exit 77; {words}");
        command.args(["-m", "sh", "-c", &words]).current_dir(bench.file(""));
        command.env("TLSBENCH", env!("CARGO_BIN_EXE_tlsbench")).output().unwrap()
    };
    let can = in_namespace("true");
    if !can.status.success() {
        eprintln!("skipped: needs root: {}", String::from_utf8_lossy(&can.stderr));
        return;
    }
    let run = format!(
        "$TLSBENCH run --target shop=http://two.test:{}/ --record run.json -n 2 --rounds 2 \
         --round-count 20 --warm-up 0s",
        up.port()
    );
    let output = in_namespace(&run);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        command.current_dir(bench.file("")).args(["report", "run.json", "--format", format]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let markdown = report("md");
    for line in [
        format!("| run.json | shop | {up} | 20 | 0 |  |"),
        format!("| run.json | shop | {odd} | 0 | 20 | status 20 |"),
    ] {
        assert!(markdown.contains(&line), "{line}: {markdown}");
    }
    let html = report("html");
    let row =
        |address: SocketAddr| html.split("<tr>").find(|row| row.contains(&address.to_string()));
    assert!(html.contains("Operations by address") && row(up).is_some(), "{html}");
    assert!(row(odd).unwrap().contains("status 20"), "{html}");
    let csv = report("csv");
    for (statistic, value) in [
        (format!("addresses.{up}.succeeded"), 20),
        (format!("addresses.{odd}.failed"), 20),
        (format!("addresses.{odd}.failures.status"), 20),
    ] {
        let line = csv.lines().find(|line| line.contains(&statistic)).unwrap();
        assert!(line.contains(&format!(",{value},")), "{line}");
    }
    let prometheus = report("prom");
    for labels in [
        format!("address=\"{up}\",outcome=\"succeeded\"}} 20"),
        format!("address=\"{odd}\",why=\"status\"}} 20"),
    ] {
        assert!(prometheus.contains(&labels), "{labels}: {prometheus}");
    }
}
