#!/usr/bin/env python3
"""tlsbench's builtin hops beside nginx and HAProxy: CPU time of the proxy per operation.

One proxy with one thread on the first core, load and backend on the second, by turns, the median of RUNS each. CPU
time is the proxy's own clock, so only ratios of one run are worth quoting. Needs nginx, haproxy, openssl and
taskset; loads 127.0.0.1 only, for two minutes.

    cargo build --release -p tlsbench && benches/peers/hops.py target/release/tlsbench [ROWS WITH THIS TEXT]

How TCP controls congestion changes what bulk costs: BBR paces what is sent, with a timer for each piece. As root, in a
network namespace that ends with the command, `reno` does not:

    unshare -n bash -c 'ip link set lo up && sysctl -qw net.ipv4.tcp_congestion_control=reno && benches/peers/hops.py ...'
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from load import PKI

RUNS, SECONDS, CONNECTIONS = 9, 1, 16
PROXY, BACKEND = 18090, 18091
NGINX = """
daemon off; master_process off; worker_processes 1; error_log {dir}/error.log crit; pid {dir}/{name}.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; default_type text/plain;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
  uwsgi_temp_path {dir}; scgi_temp_path {dir};
  {server}
}}
"""
# One suite and one group on every engine, no tickets.
SHAPE = """ssl_certificate {dir}/chain.pem; ssl_certificate_key {dir}/leaf.key;
  ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  ssl_ecdh_curve X25519; ssl_session_tickets off; ssl_session_cache off;"""
ANSWER = 'server {{ listen 127.0.0.1:{port}{ssl}; {shape} location / {{ return 200 "{body}"; }} }}'
FORWARD = """upstream next {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port}{ssl}; {shape} location / {{
    proxy_pass http://next; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Port $server_port; }} }}"""
HAPROXY = """
global
  nbthread 1
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen relay
  bind 127.0.0.1:{port}
  server next 127.0.0.1:{backend}
"""


def cpu_seconds(pid):
    """The process CPU clock: all threads, ended ones too."""
    return time.clock_gettime((~pid << 3) | 2)


def start(command, core, first_line=None):
    pipe = subprocess.PIPE if first_line else subprocess.DEVNULL
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *map(str, command)],
        stdin=pipe, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    if first_line:
        process.stdin.write(first_line + "\n")
        process.stdin.flush()
        if not process.stdout.readline().startswith("ready "):
            sys.exit(f"{command} does not start")
    else:
        time.sleep(0.5)
    return process


def stop(process):
    process.terminate()
    process.wait()


class Bench:
    def __init__(self, tlsbench, folder):
        self.tlsbench, self.folder = tlsbench, folder

    def nginx(self, name, server, core):
        config = self.folder / f"{name}.conf"
        config.write_text(NGINX.format(dir=self.folder, name=name, server=server))
        return start(["nginx", "-p", self.folder, "-c", config, "-e", "stderr"], core)

    def server(self, text, port, tls, **more):
        shape = SHAPE.format(dir=self.folder) if tls else ""
        return text.format(port=port, ssl=" ssl" if tls else "", shape=shape, **more)

    def hop(self, core, tls=False, **hop):
        hop["listen"] = {"address": f"127.0.0.1:{hop.pop('port')}"}
        if tls:
            read = lambda name: (self.folder / name).read_text()
            hop["listen"]["tls"] = {
                "chain": read("chain.pem"), "key": read("leaf.key"), "tickets": 0,
                "versions": ["1.3"], "suites": ["aes-128-gcm"], "groups": ["x25519"],
            }
        return start([self.tlsbench, "hop"], core, json.dumps(hop))

    def proxy(self, engine, kind, tls):
        if engine == "haproxy":
            config = self.folder / "haproxy.cfg"
            config.write_text(HAPROXY.format(port=PROXY, backend=BACKEND))
            return start(["haproxy", "-db", "-q", "-f", config], 0)
        if engine == "nginx":
            return self.nginx("proxy", self.server(FORWARD, PROXY, tls, backend=BACKEND), 0)
        dial = {"address": f"127.0.0.1:{BACKEND}"}
        if kind == "http":
            return self.hop(0, tls, port=PROXY, kind=kind, dial=dial | {"pool": 64}, forwarded="set")
        return self.hop(0, tls, port=PROXY, kind=kind, dial=dial)

    def load(self, flags):
        """Operations that succeeded."""
        record = self.folder / "record.json"
        record.unlink(missing_ok=True)
        ran = subprocess.run(
            ["taskset", "-c", "1", self.tlsbench, "run", "--record", record, "--warm-up", "0s",
             "--round", f"{SECONDS}s", "--rounds", "1", "-n", str(CONNECTIONS), *flags],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        )
        if not record.exists():
            sys.exit(ran.stderr)
        rounds = json.loads(record.read_text())["targets"][0]["rounds"]
        return sum(each["succeeded"] for each in rounds)

    def micros(self, engine, kind, tls, flags):
        proxy = self.proxy(engine, kind, tls)
        try:
            before = cpu_seconds(proxy.pid)
            done = self.load(flags)
            return (cpu_seconds(proxy.pid) - before) * 1e6 / max(done, 1)
        finally:
            stop(proxy)

    def row(self, name, peer, kind, backend, tls, flags):
        url = f"http{'s' if tls or backend == 'tls' else ''}://localhost:{PROXY}/{flags[0]}"
        flags = ["--target", url, "--connect-to", f"127.0.0.1:{PROXY}", *flags[1:]]
        if url.startswith("https"):
            flags += ["--ca-bundle", self.folder / "root.pem", "--groups", "x25519"]
        if backend == "bytes":
            served = self.hop(1, port=BACKEND, kind="backend")
        else:
            answer = self.server(ANSWER, BACKEND, backend == "tls", body="x" * 100)
            served = self.nginx("backend", answer, 1)
        try:
            turns = [(self.micros("builtin", kind, tls, flags), self.micros(peer, kind, tls, flags))
                     for _ in range(RUNS)]
        finally:
            stop(served)
        own, other = (statistics.median(each) for each in zip(*turns))
        print(f"{name:44} {own:9.1f} {other:9.1f} {peer:8} {own / other:6.2f}", flush=True)


# Name, peer, kind of hop, backend, TLS at the hop, path and flags of the load.
ROWS = [
    ("plain HTTP, per keep-alive request", "nginx", "http", "plain", False, ["", "-k"]),
    ("TLS ended, per full handshake with request", "nginx", "http", "plain", True, ["", "--resume", "0"]),
    ("TLS ended, per keep-alive request", "nginx", "http", "plain", True, ["", "-k"]),
    ("relay, per TLS connection with request", "haproxy", "relay", "tls", False, ["", "--resume", "0"]),
    ("relay, per body of 1 MB", "haproxy", "relay", "bytes", False, ["bytes/1048576", "-k"]),
]


def main():
    tlsbench, only = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run(["bash", "-c", PKI], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
        print(f"medians of {RUNS}, congestion control {congestion}")
        print(f"{'µs of CPU of the proxy':44} {'builtin':>9} {'peer':>9} {'':8} {'ratio':>6}")
        for row in ROWS:
            if not only or any(text in row[0] for text in only):
                Bench(tlsbench, folder).row(*row)


if __name__ == "__main__":
    main()
