#!/usr/bin/env python3
"""tlsbench's load generator beside wrk, h2load and openssl s_time: client CPU time per operation.

One nginx worker on the first core, the client on the second, by turns, the median of RUNS each. CPU
time is user and system time of the whole client process, start-up included, so only ratios of one run
are worth quoting. Needs nginx, wrk, h2load, openssl and taskset; loads 127.0.0.1 only, for about four minutes.

    cargo build --release -p tlsbench && benches/peers/load.py target/release/tlsbench [ROWS WITH THIS TEXT]
"""

import json
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

RUNS, SECONDS = 5, 3
PLAIN, TLS, H2 = 18080, 18443, 18444
STREAMS = 8
CONFIG = """
daemon off; worker_processes 1; error_log {dir}/error.log; pid {dir}/pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; default_type text/plain;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
  uwsgi_temp_path {dir}; scgi_temp_path {dir};
  server {{ listen 127.0.0.1:{plain}; location / {{ return 200 "{body}"; }} }}
  server {{
    listen 127.0.0.1:{tls} ssl; ssl_certificate {dir}/chain.pem; ssl_certificate_key {dir}/leaf.key;
    {shape} location / {{ return 200 "{body}"; }}
  }}
  server {{
    listen 127.0.0.1:{h2} ssl http2; ssl_certificate {dir}/chain.pem; ssl_certificate_key {dir}/leaf.key;
    {shape} location / {{ return 200 "{body}"; }}
  }}
}}
"""
# One suite and one group for all clients, and nothing to resume with.
SHAPE = """ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_ecdh_curve X25519; ssl_session_tickets off; ssl_session_cache off;"""
PKI = """
set -e
key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
key root; key middle; key leaf
openssl req -x509 -new -key root.key -subj /CN=root -days 2 -out root.pem
printf 'basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign\\n' > middle.ext
printf 'basicConstraints=critical,CA:FALSE\\nsubjectAltName=DNS:localhost\\n' > leaf.ext
openssl req -new -key middle.key -subj /CN=middle | openssl x509 -req -CA root.pem -CAkey root.key \\
  -CAcreateserial -days 2 -extfile middle.ext -out middle.pem
openssl req -new -key leaf.key -subj /CN=localhost | openssl x509 -req -CA middle.pem \\
  -CAkey middle.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem
cat leaf.pem middle.pem > chain.pem
"""


def cpu_per_operation(command, count):
    """Microseconds of CPU time for each operation that `count` finds in the output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(["taskset", "-c", "1", *command], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used / count(ran.stdout) * 1e6


def tlsbench(program, folder, *flags):
    def count(out):
        rounds = json.loads(out)["record"]["targets"][0]["rounds"]
        bad = (sum(round["failed"].values()) + round["shape"]["resumed"] for round in rounds)
        if any(bad):
            sys.exit(f"tlsbench did not do well:\n{out}")
        return sum(round["succeeded"] for round in rounds)

    length = f"{SECONDS * 1000 // 10}ms"
    common = ["--rounds", "10", "--round", length, "--warm-up", "0s", "-n", "32", "-o", "json"]
    return cpu_per_operation(
        [program, "run", "--record", f"{folder}/run.json", *common, *flags], count
    )


def wrk(url):
    command = ["wrk", "-t1", "-c32", f"-d{SECONDS}s", url]
    return cpu_per_operation(command, lambda out: int(re.search(r"(\d+) requests in", out)[1]))


def h2load():
    command = ["h2load", "-t1", "-c32", f"-m{STREAMS}", f"-D{SECONDS}", f"https://127.0.0.1:{H2}/"]

    def count(out):
        said = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
        good, *bad = map(int, said.groups())
        if good == 0 or any(bad) or "protocol: h2" not in out:
            sys.exit(f"h2load did not do well:\n{out}")
        return good

    return cpu_per_operation(command, count)


def s_time(folder):
    # `-verify` so that it verifies something; its own default verifies nothing.
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{TLS}", "-new", "-tls1_3"]
    command += ["-time", str(SECONDS), "-CAfile", f"{folder}/root.pem", "-verify", "3"]

    def count(out):
        # It marks every connection, a resumed one by `r`.
        if "r" in out[out.index("seconds\n") : out.index("\n\n")]:
            sys.exit(f"s_time resumed:\n{out}")
        return int(re.search(r"(\d+) connections in .* real", out)[1])

    return cpu_per_operation(command, count)


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["bash", "-c", PKI], cwd=folder, check=True, capture_output=True)
        config = pathlib.Path(folder, "nginx.conf")
        body = "hello " * 20
        config.write_text(CONFIG.format(dir=folder, plain=PLAIN, tls=TLS, h2=H2, shape=SHAPE, body=body))
        nginx = subprocess.Popen(["taskset", "-c", "0", "nginx", "-c", str(config)])
        try:
            time.sleep(1)
            if nginx.poll() is not None:
                sys.exit("nginx did not start; is one of the ports taken?")
            compare(program, folder)
        finally:
            nginx.terminate()
            nginx.wait()


def compare(program, folder):
    secure = ["--target", f"https://localhost:{TLS}/", "--connect-to", f"127.0.0.1:{TLS}"]
    secure += ["--ca-bundle", f"{folder}/root.pem"]
    h2 = ["--target", f"https://localhost:{H2}/", "--connect-to", f"127.0.0.1:{H2}"]
    h2 += ["--ca-bundle", f"{folder}/root.pem"]
    plain = ["--target", f"http://127.0.0.1:{PLAIN}/"]
    ours = lambda *flags: lambda: tlsbench(program, folder, *flags)
    shake = lambda *flags: ours(*secure, "--handshakes-only", *flags)
    peer = ("s_time", lambda: s_time(folder))
    other, once = ["--provider", "aws-lc-rs"], ["--verify", "same-chain"]
    rows = [
        ("plain keep-alive", ours(*plain, "-k"), "wrk", lambda: wrk(f"http://127.0.0.1:{PLAIN}/")),
        ("HTTPS keep-alive", ours(*secure, "-k"), "wrk", lambda: wrk(f"https://127.0.0.1:{TLS}/")),
        (
            f"HTTP/2 keep-alive, {STREAMS} streams",
            ours(*h2, "-k", "--protocol", "h2", "--streams", str(STREAMS)),
            "h2load",
            h2load,
        ),
        ("full handshake", shake(), *peer),
        ("full handshake, same-chain", shake(*once), *peer),
        ("full handshake, aws-lc-rs", shake(*other), *peer),
        ("full handshake, aws-lc-rs, same-chain", shake(*other, *once), *peer),
    ]
    print("| what | tlsbench, µs | peer, µs | ratio |\n|---|---|---|---|")
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    for name, run, peer, run_peer in rows:
        if only not in name:
            continue
        pairs = [(run(), run_peer()) for _ in range(RUNS)]
        mine, theirs = (statistics.median(side) for side in zip(*pairs))
        print(f"| {name} | {mine:.1f} | {peer} {theirs:.1f} | {mine / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
