//! `tlsbench hop` from outside: its pipes and its end, and what curl, openssl and nginx see of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tlsbench_core::hop::{
    Cryptography, Dial, DialTls, Forwarded, Hop, HopCounters, HopKind, ListenTls, PrivatePem, Route,
};
use tlsbench_core::proxyconf;
use tlsbench_core::scenario::{ProtocolName, Verify, Version};
use tlsbench_engine::process::{self, Proxy};
use tlsbench_engine::tls::Issued;
use tlsbench_engine::topology::Engine;

use crate::bench::Bench;
use crate::servers::{Nginx, Served, free_address, installed, within};
use crate::stand;

/// A hop in a process of its own, which ends with this.
pub(crate) struct HopProcess {
    pub(crate) address: SocketAddr,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl HopProcess {
    pub(crate) fn start(hop: &Hop) -> Self {
        let (mut child, lines) = spawn(&serde_json::to_string(hop).unwrap());
        let input = child.stdin.take();
        // Dropped by a test that fails here, it ends.
        let mut process = Self { address: hop.listen.address, child, input, lines };
        let ready = process.line();
        process.address = ready.strip_prefix("ready ").unwrap().parse().unwrap();
        process
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(ANSWER_MAX).unwrap()
    }

    fn counters(&mut self) -> HopCounters {
        self.input.as_mut().unwrap().write_all(b"counters\n").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Asks for its counters until they are as they should be.
    fn counted(&mut self, wanted: impl Fn(&HopCounters) -> bool) -> HopCounters {
        let mut last = HopCounters::default();
        let there = within(ANSWER_MAX, || {
            last = self.counters();
            wanted(&last)
        });
        assert!(there, "{last:#?}");
        last
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        let has_ended = within(ANSWER_MAX, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(has_ended, "the hop does not end");
        status.unwrap()
    }
}

impl Drop for HopProcess {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts `tlsbench hop` with a first line, and reads what it prints.
fn spawn(first: &str) -> (Child, Receiver<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    command.arg("hop").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (sender, lines) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    // One that has ended already says why elsewhere.
    drop(writeln!(child.stdin.as_ref().unwrap(), "{first}"));
    (child, lines)
}

pub(crate) fn hop(kind: HopKind, to: Option<SocketAddr>) -> Hop {
    let mut hop: Hop = Hop::from_json(LEAST).unwrap();
    hop.kind = kind;
    hop.dial = to.map(|address| Dial { address, tls: None, proxy_protocol: false, pool: 0 });
    hop
}

pub(crate) fn backend(bytes: u64) -> Hop {
    Hop { response_bytes: bytes, ..hop(HopKind::Backend, None) }
}

pub(crate) fn listen_tls(issued: &Issued, alpn: &[ProtocolName]) -> Option<ListenTls> {
    Some(ListenTls {
        chain: issued.chain_pem.clone(),
        key: PrivatePem(issued.key_pem.clone()),
        client_ca: None,
        suite: Cryptography::default(),
        alpn: alpn.to_vec(),
        tickets: 2,
    })
}

fn dial_tls(bench: &Bench, versions: &[Version]) -> Option<DialTls> {
    Some(DialTls {
        name: "localhost".to_owned(),
        ca: bench.pki.root_pem(),
        verify: Verify::Every,
        identity: None,
        suite: Cryptography { versions: versions.to_vec(), ..Cryptography::default() },
        resume: true,
    })
}

/// What curl prints of a URL on `localhost`, wherever that is; nothing where there is no curl.
fn curl(bench: &Bench, address: SocketAddr, scheme: &str, flags: &[&str]) -> Option<String> {
    let program = installed("curl", "curl")?;
    let mut command = Command::new(program);
    command.args(["--silent", "--show-error", "--max-time", "30", "--cacert"]);
    command.arg(bench.file("ca-bundle.crt"));
    command.args(["--connect-to", &format!("::{}:{}", address.ip(), address.port())]);
    command.args(flags).arg(format!("{scheme}://localhost:{}/", address.port()));
    let ran = command.env_clear().output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{}: {said}{}", ran.status, String::from_utf8_lossy(&ran.stderr));
    Some(said)
}

/// Asks a plain hop for a response, of which the head is read.
fn ask(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    client.read_exact(&mut [0; 15]).unwrap();
    client
}

#[test]
fn a_hop_counts_when_asked_and_ends_with_its_input() {
    let mut hop = HopProcess::start(&backend(10));
    drop(ask(hop.address));
    hop.counted(|counters| counters.requests == 1 && counters.open == 0);
    let open = ask(hop.address);
    drop(hop.input.take());
    assert!(hop.ended().success());
    let last: HopCounters = serde_json::from_str(&hop.line()).unwrap();
    assert_eq!((last.accepted, last.requests, last.open), (2, 2, 1));
    assert!(TcpStream::connect(hop.address).is_err());
    drop(open);
}

#[test]
fn sigterm_ends_a_hop_and_its_counters_are_its_last_words() {
    let mut hop = HopProcess::start(&backend(10));
    drop(ask(hop.address));
    hop.counted(|counters| counters.open == 0);
    kill_process(Pid::from_child(&hop.child), Signal::TERM).unwrap();
    assert!(hop.ended().success());
    let last: HopCounters = serde_json::from_str(&hop.line()).unwrap();
    assert_eq!(last.requests, 1);
}

#[test]
fn what_is_no_configuration_is_refused_by_its_field() {
    let taken = std::net::TcpListener::bind(free_address()).unwrap();
    let mut no_port = backend(0);
    no_port.listen.address = taken.local_addr().unwrap();
    for (first, expected) in [
        ("", "`hop`"),
        ("{\"kind\": \"router\"}", "`kind`: `router` is none of `backend`"),
        (&LEAST.replace("backend", "http"), "`dial`: a `http` hop has to go on to somewhere"),
        (&serde_json::to_string(&no_port).unwrap(), "(`listen.address`): Address already in use"),
        (&LEAST.replace("}}", ", \"tls\": {\"chain\": \"x\", \"key\": \"y\"}}}"), "`listen.tls`: "),
        (&format!("{LEAST}\nquit"), "`quit` on standard input is no word of a hop's"),
        (&format!("\"{}\"", "x".repeat(2 << 20)), "a line of over 1048576 bytes"),
    ] {
        let (mut child, _lines) = spawn(first);
        drop(child.stdin.take());
        let said = read_all(child.stderr.take().unwrap());
        assert_eq!(child.wait().unwrap().code(), Some(2), "{said}");
        assert!(said.starts_with("error: ") && said.contains(expected), "{said}");
    }
}

fn read_all(mut from: ChildStderr) -> String {
    let mut said = String::new();
    from.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn ten_thousand_idle_clients_are_held_or_as_many_as_descriptors_allow() {
    let mut hop = HopProcess::start(&backend(1));
    let limit = rustix::process::getrlimit(Resource::Nofile).current;
    // Other tests of this process need some, too.
    let many = (limit.unwrap_or(20_000) / 2).saturating_sub(200).min(10_000);
    let mut clients: Vec<TcpStream> = (0..many).map(|_| ask(hop.address)).collect();
    let counters = hop.counters();
    assert_eq!((counters.open, counters.requests), (many, many));
    // Each still works; what is left of the first response comes before the second.
    for client in clients.iter_mut().step_by(100) {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert_eq!(rest.matches("200 OK\r\n").count(), 1, "{rest}");
    }
    drop(clients);
    hop.counted(|counters| counters.open == 0);
}

/// Asks a backend for a body by way of a relay, on a connection that is kept, and reads all of it.
fn fetch(client: &mut TcpStream, bytes: usize) {
    write!(client, "GET /bytes/{bytes} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut client = BufReader::new(client);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(client.read_line(&mut line).unwrap(), 0, "the head ends early");
    }
    let mut body = Vec::new();
    client.take(bytes as u64).read_to_end(&mut body).unwrap();
    assert_eq!(body.len(), bytes);
    assert!(body.iter().all(|byte| *byte == b'x'));
}

/// How many ends of pipes a process has.
fn pipe_ends(child: &Child) -> usize {
    let all = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().flatten();
    let targets = all.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("pipe:")).count()
}

fn relay_before(backend: &HopProcess) -> HopProcess {
    HopProcess::start(&hop(HopKind::Relay, Some(backend.address)))
}

fn client_of(relay: &HopProcess) -> TcpStream {
    let client = TcpStream::connect(relay.address).unwrap();
    client.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    client
}

#[test]
fn long_bodies_go_through_a_pipe_that_connections_at_rest_do_not_keep() {
    let backend = HopProcess::start(&backend(0));
    let relay = relay_before(&backend);
    let (before, mut clients) = (pipe_ends(&relay.child), Vec::new());
    for _ in 0..30 {
        let mut client = client_of(&relay);
        // One response after the other, each with a head and a last piece that are small.
        (0..3).for_each(|_| fetch(&mut client, 1_000_003));
        clients.push(client);
    }
    // They come one after the other, so that one pipe is enough: two ends.
    assert_eq!(pipe_ends(&relay.child) - before, 2);
    clients.iter_mut().for_each(|client| fetch(client, 100));
}

#[test]
fn where_descriptors_are_out_bytes_go_on_without_a_pipe() {
    let backend = HopProcess::start(&backend(0));
    let mut relay = relay_before(&backend);
    let mut client = client_of(&relay);
    fetch(&mut client, 10);
    let before = pipe_ends(&relay.child);
    let few = Rlimit { current: Some(3), maximum: Some(3) };
    prlimit(Some(Pid::from_child(&relay.child)), Resource::Nofile, few).unwrap();
    fetch(&mut client, 8_000_000);
    assert_eq!(pipe_ends(&relay.child), before);
    assert_eq!(relay.counters().refused, Default::default());
}

#[test]
fn curl_gets_through_every_kind_of_hop_by_http_1_and_2() {
    let bench = Bench::new();
    let issued = bench.certificate();
    let alpn = [ProtocolName::Http2, ProtocolName::Http1];
    let mut last = backend(100_000);
    last.listen.tls = listen_tls(&issued, &alpn);
    let last = HopProcess::start(&last);
    let mut http = hop(HopKind::Http, Some(last.address));
    http.listen.tls = listen_tls(&issued, &alpn);
    http.dial.as_mut().unwrap().tls = dial_tls(&bench, &[]);
    let http = HopProcess::start(&http);
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let mut sni = hop(HopKind::SniRelay, Some(nowhere));
    sni.routes = vec![Route { name: "localhost".to_owned(), address: http.address }];
    let sni = HopProcess::start(&sni);
    let mut relay = HopProcess::start(&hop(HopKind::Relay, Some(sni.address)));
    for at in [&last, &http, &sni, &relay].map(|process| process.address) {
        for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
            let out = "%{http_version} %{response_code} %{size_download} %{ssl_verify_result}";
            let flags = [flag, "--output", "/dev/null", "--write-out", out];
            let Some(said) = curl(&bench, at, "https", &flags) else { return };
            assert_eq!(said, format!("{version} 200 100000 0"));
        }
    }
    let body = bench.file("body");
    std::fs::write(&body, vec![b'y'; 3_000_000]).unwrap();
    let upload =
        ["--http2", "--data-binary", &format!("@{}", body.display()), "--output", "/dev/null"];
    curl(&bench, relay.address, "https", &upload).unwrap();
    relay.counted(|counters| counters.open == 0 && counters.bytes_up > 3_000_000);
}

#[test]
fn nginx_saw_the_handshakes_and_requests_that_a_hop_counted_upstream() {
    let bench = Bench::new();
    let issued = bench.certificate();
    let served = Served {
        location: "return 200 '$http_x_forwarded_for $http_x_forwarded_proto';",
        ..Served::new(&issued)
    };
    let Some(nginx) = Nginx::start(&served) else { return };
    let mut logged = 0;
    for (versions, pool) in [(Version::Tls13, 0), (Version::Tls12, 0), (Version::Tls13, 1)] {
        let mut http = hop(HopKind::Http, Some(nginx.0.address));
        http.forwarded = Forwarded::Set;
        let dial = http.dial.as_mut().unwrap();
        (dial.tls, dial.pool) = (dial_tls(&bench, &[versions]), pool);
        let mut http = HopProcess::start(&http);
        for _ in 0..10 {
            let forged = ["-H", "X-Forwarded-For: forged", "-H", "X_Forwarded_Proto: forged"];
            let Some(said) = curl(&bench, http.address, "http", &forged) else { return };
            assert_eq!(said, "127.0.0.1 http");
        }
        let log = nginx.log(logged + 10).split_off(usize::try_from(logged).unwrap());
        logged += 10;
        let first = log.iter().filter(|seen| seen["nth"] == 1).count() as u64;
        let reused = |seen: &&serde_json::Value| seen["nth"] == 1 && seen["reused"] == "r";
        let resumed = log.iter().filter(reused).count() as u64;
        let counters = http.counters();
        let counted = counters.dialled_tls;
        assert_eq!((counted.full, counted.resumed), (first - resumed, resumed), "{log:#?}");
        let connections = if pool == 0 { 10 } else { 1 };
        assert_eq!((counters.requests, counters.dialled, first), (10, connections, connections));
        assert_eq!(resumed, if pool == 0 { 9 } else { 0 }, "{versions} {log:#?}");
    }
}

/// A hop of an engine at a free address, in a folder of its own.
fn hop_of(bench: &Bench, engine: &Engine, hop: &mut Hop) -> process::HopProcess {
    hop.listen.address = free_address();
    let address = hop.listen.address;
    let (proxy, configuration) = match engine {
        Engine::Builtin => {
            let folder = bench.file(&format!("builtin-{}", address.port()));
            return process::HopProcess::builtin(tlsbench(), hop, &folder).unwrap();
        }
        Engine::Caddy(program) => {
            (Proxy::caddy(program.clone(), hop.workers), proxyconf::caddy(hop).unwrap())
        }
        Engine::Haproxy(program) => {
            (Proxy::haproxy(program.clone()), proxyconf::haproxy(hop).unwrap())
        }
        Engine::Nginx(program, build) => {
            (Proxy::nginx(program.clone()), proxyconf::nginx(hop, build, false).unwrap())
        }
    };
    let folder = bench.file(&format!("{}-{}", engine.name(), address.port()));
    process::HopProcess::proxy(tlsbench(), &proxy, &configuration, address, &folder).unwrap()
}

fn tlsbench() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tlsbench"))
}

/// An nginx that answers with what was forwarded to it.
fn echo(bench: &Bench) -> Option<Nginx> {
    let location = "return 200 '$http_x_forwarded_for|$http_x_forwarded_proto|$http_x_forwarded_port|\
                    $http_x_forwarded_host|$http_host|$request_method';";
    Nginx::start(&Served { location, ..Served::new(&bench.certificate()) })
}

/// The first hop says who the client is, whatever that said itself; the next adds its own word.
#[test]
fn every_engine_forwards_the_same_headers() {
    let bench = Bench::new();
    let Some(next) = echo(&bench) else { return };
    let (Some(nginx), Some(haproxy), Some(caddy)) =
        (stand::nginx(), stand::haproxy(), stand::caddy())
    else {
        return;
    };
    for forwarded in [Forwarded::Set, Forwarded::Append] {
        let mut http = hop(HopKind::Http, Some(next.0.address));
        http.forwarded = forwarded;
        http.dial.as_mut().unwrap().tls = dial_tls(&bench, &[]);
        for engine in [&Engine::Builtin, &nginx, &haproxy, &caddy] {
            let process = hop_of(&bench, engine, &mut http);
            let address = process.address();
            let forged = ["-H", "X-Forwarded-For: 192.0.2.1", "-H", "X-Forwarded-Proto: https"];
            let alone = curl(&bench, address, "http", &[]);
            let with = curl(&bench, address, "http", &forged);
            let (Some(alone), Some(with)) = (alone, with) else { return };
            let from = address.ip();
            let port = address.port();
            let client = format!("127.0.0.1|http|{port}||localhost:{port}|GET");
            let named = match forwarded {
                Forwarded::Set => client.clone(),
                _ => format!("192.0.2.1, 127.0.0.1|https|{port}||localhost:{port}|GET"),
            };
            let what = format!("{} at {from}, {forwarded}", engine.name());
            assert_eq!([alone, with], [client, named], "{what}");
        }
    }
}

/// By the PROXY protocol: version 2 of builtin relays and HAProxy, version 1 of nginx.
#[test]
fn a_relay_of_any_engine_tells_a_hop_of_any_engine_who_the_client_is() {
    let bench = Bench::new();
    let Some(next) = echo(&bench) else { return };
    let (Some(nginx), Some(haproxy)) = (stand::nginx(), stand::haproxy()) else { return };
    let engines = [Engine::Builtin, nginx, haproxy];
    for receiver in &engines {
        let mut http = hop(HopKind::Http, Some(next.0.address));
        http.forwarded = Forwarded::Set;
        http.listen.proxy_protocol = true;
        http.dial.as_mut().unwrap().tls = dial_tls(&bench, &[]);
        let http = hop_of(&bench, receiver, &mut http);
        for sender in &engines {
            let mut relay = hop(HopKind::Relay, Some(http.address()));
            relay.dial.as_mut().unwrap().proxy_protocol = true;
            let relay = hop_of(&bench, sender, &mut relay);
            let said = curl(&bench, relay.address(), "http", &["--interface", "127.0.0.77"]);
            let Some(said) = said else { return };
            let what = format!("{} tells {}: {said}", sender.name(), receiver.name());
            assert!(said.starts_with("127.0.0.77|http|"), "{what}");
        }
        // Who says nothing of its client is not served.
        assert!(
            get(http.address()).is_none_or(|said| !said.contains(" 200 ")),
            "{}",
            receiver.name()
        );
    }
}

/// What comes of a request without any header of the PROXY protocol; nothing where the connection ends.
fn get(address: SocketAddr) -> Option<String> {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut said = String::new();
    client.read_to_string(&mut said).ok()?;
    Some(said)
}

#[test]
fn a_run_and_the_hop_that_it_loads_agree_on_handshakes_and_requests() {
    let bench = Bench::new();
    let mut served = backend(10);
    served.listen.tls = listen_tls(&bench.certificate(), &[ProtocolName::Http1]);
    let mut before = HopCounters::default();
    let mut served = HopProcess::start(&served);
    for resume in ["0", "1"] {
        let ran = bench.run(served.address, &["--round-count", "100", "--resume", resume]);
        ran.assert_all_succeeded(200);
        let now = served.counted(|counters| counters.open == 0);
        let full = now.listened.full - before.listened.full;
        let resumed = now.listened.resumed - before.listened.resumed;
        let shape = |key| ran.sum(&["shape", key]);
        assert_eq!((full, resumed), (shape("full"), shape("resumed")), "{ran:#?}");
        assert_eq!(now.requests - before.requests, 200);
        before = now;
    }
}

#[test]
fn openssl_resumes_as_often_as_a_hop_counts() {
    let bench = Bench::new();
    let Some(program) = installed("openssl", "openssl") else { return };
    let mut served = backend(10);
    served.listen.tls = listen_tls(&bench.certificate(), &[]);
    let mut served = HopProcess::start(&served);
    let mut command = Command::new(program);
    command.args(["s_client", "-tls1_2", "-reconnect", "-servername", "localhost", "-connect"]);
    command.arg(served.address.to_string()).stdin(Stdio::null());
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let count = |text| said.matches(text).count() as u64;
    let (new, reused) = (count("\nNew, "), count("\nReused, "));
    assert_eq!((new, reused), (1, 5), "{said}");
    let counted = served.counted(|counters| counters.open == 0).listened;
    assert_eq!((counted.full, counted.resumed, counted.failed), (new, reused, 0));
}

/// TLS 1.2 lets a client ask for another handshake at any time, and wait for the answer.
#[test]
fn a_renegotiation_is_answered_and_refused() {
    let bench = Bench::new();
    let Some(program) = installed("openssl", "openssl") else { return };
    let mut served = backend(10);
    served.listen.tls = listen_tls(&bench.certificate(), &[]);
    let served = HopProcess::start(&served);
    let mut command = Command::new(program);
    command.args(["s_client", "-tls1_2", "-servername", "localhost", "-connect"]);
    command.arg(served.address.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut client = command.spawn().unwrap();
    // A line of its own with this letter asks; the input stays open, so that it waits.
    client.stdin.as_mut().unwrap().write_all(b"R\n").unwrap();
    let has_ended = within(ANSWER_MAX, || client.try_wait().unwrap().is_some());
    drop(client.kill());
    drop(client.wait());
    let said = read_all(client.stderr.take().unwrap());
    assert!(has_ended, "nothing answers: {said}");
    assert!(said.contains("no renegotiation"), "{said}");
}

/// A hop is not in the help: people start runs.
#[test]
fn the_verb_is_hidden() {
    let ran = Command::new(env!("CARGO_BIN_EXE_tlsbench")).arg("--help").output().unwrap();
    assert!(!String::from_utf8_lossy(&ran.stdout).contains("hop"));
}

/// Whatever a hop prints, it prints within milliseconds; a busy machine is given ten seconds.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const LEAST: &str = r#"{"kind": "backend", "listen": {"address": "127.0.0.1:0"}}"#;
