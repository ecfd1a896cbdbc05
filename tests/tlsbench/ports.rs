//! A machine that runs out of ports: a network namespace of its own, with ten of them.

use std::process::Command;

use tlsbench_engine::testserver::{TestServer, TestServerConfig};

use crate::bench::Bench;
use crate::servers::{installed, skip};

#[test]
fn connections_without_a_local_port_are_counted_and_the_cure_is_said() {
    if installed("openssl", "openssl").is_none() || installed("ip", "iproute2").is_none() {
        return;
    }
    let Some(unshare) = allowed() else { return };
    let bench = Bench::new();
    let certificate = bench.certificate();
    bench.write("server.pem", &certificate.chain_pem);
    bench.write("server.key", &certificate.key_pem);
    let address = ADDRESS.parse().unwrap();
    let run = bench.command(address, &["--handshakes-only", "--round-count", "40", "-n", "40"]);
    let mut command = Command::new("unshare");
    // What the script starts ends with the run, as processes do with the first of their namespace.
    command.args([unshare, "--pid", "--fork", "--kill-child", "bash", "-c", SCRIPT, "bash"]);
    command.arg(run.get_program());
    command.args(run.get_args()).current_dir(run.get_current_dir().unwrap());
    let ran = bench.finish(command);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(ran.failures(), ["addresses_exhausted"], "{ran:#?}");
    let exhausted = ran.sum(&["failed", "addresses_exhausted"]);
    assert!(exhausted >= 30 && ran.succeeded() > 0, "{ran:#?}");
    assert_eq!(exhausted + ran.succeeded(), 80, "{ran:#?}");
    let gate = format!("{exhausted} connections found no local port (EADDRNOTAVAIL)");
    assert!(ran.out.contains(&gate) && ran.out.contains("`--sources`"), "{ran:#?}");
}

#[test]
fn too_few_open_files_have_a_name_and_the_soft_limit_is_raised() {
    let bench = Bench::new();
    let server =
        TestServer::start(TestServerConfig::tls(bench.certificate().identity, 10)).unwrap();
    let limited = |limit: &str| {
        let run = bench.command(server.address(), &["--round-count", "40", "-n", "40"]);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit {limit} && exec \"$@\""), "sh"]);
        command.arg(run.get_program()).args(run.get_args());
        command.current_dir(run.get_current_dir().unwrap());
        bench.finish(command)
    };
    let ran = limited("-n 30");
    assert_eq!(ran.failures(), ["open_files"], "{ran:#?}");
    assert!(ran.out.contains("hard limit of open files"), "{ran:#?}");
    limited("-Sn 30").assert_all_succeeded(80);
}

#[test]
fn what_no_route_leads_to_is_told_from_what_has_no_port_left() {
    if installed("ip", "iproute2").is_none() {
        return;
    }
    let Some(unshare) = allowed() else { return };
    let bench = Bench::new();
    for (script, address) in [
        ("true", "127.0.0.1:4433"),
        ("ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6", "[::1]:4433"),
    ] {
        let run = bench.command(address.parse().unwrap(), &["--round-count", "40"]);
        let mut command = Command::new("unshare");
        command.args([unshare, "sh", "-c", &format!("{script} && exec \"$@\""), "sh"]);
        command.arg(run.get_program()).args(run.get_args());
        command.current_dir(run.get_current_dir().unwrap());
        let ran = bench.finish(command);
        assert_eq!(ran.failures(), ["unroutable"], "{address}: {ran:#?}");
        assert!(ran.out.contains("ip route get"), "{ran:#?}");
    }
}

/// How a network namespace can be had here, and its range of ports be set.
fn allowed() -> Option<&'static str> {
    let works = |how: &&str| {
        let script = format!("ip link set lo up && {RANGE}");
        let output =
            Command::new("unshare").args([how, "--pid", "--fork", "sh", "-c", &script]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = ["-n", "-rn"].into_iter().find(works);
    if found.is_none() {
        skip("network namespaces are not allowed here, neither to us nor in one of users");
    }
    found
}

const ADDRESS: &str = "127.0.0.1:4433";
const RANGE: &str = "echo 20000 20009 > /proc/sys/net/ipv4/ip_local_port_range";
/// Starts a server, waits until it listens, and becomes the run.
const SCRIPT: &str = r#"
set -e
ip link set lo up
openssl s_server -accept 127.0.0.1:4433 -cert server.pem -cert_chain server.pem \
  -key server.key -www </dev/null >server.log 2>&1 &
for wait in $(seq 1000); do
  if [ -n "$(ss -Hltn 'sport = 4433')" ]; then break; fi
  sleep 0.01
done
echo 20000 20009 > /proc/sys/net/ipv4/ip_local_port_range
exec "$@"
"#;
