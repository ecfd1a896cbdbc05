//! A machine that runs out of ports: a network namespace of its own, with ten of them.

use std::process::Command;

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
    assert!(ran.out.contains(&gate) && ran.out.contains("`sources`"), "{ran:#?}");
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
