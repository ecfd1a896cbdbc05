//! A small real server on threads of this process, which does well or badly as it is told.
//!
//! It speaks HTTP/1.1 or a script of HTTP/2, with TLS or without, on 127.0.0.1, and counts what it saw for tests to
//! compare with. It is no part of a measurement: a thread for each connection, blocking calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use tlsbench_core::scenario::{Group, Provider, Suite, Version};

use crate::tls::{Alpn, Identity, Roots, crypto_provider};

mod http;
mod http2;
mod server;

pub use http2::Script;
pub use server::{FakeError, FakeServer};

/// What a fake server is and does.
#[derive(Clone, Debug)]
pub struct Fake {
    /// Its half of TLS; nothing means plain HTTP.
    pub tls: Option<FakeTls>,
    /// What it does with handshakes.
    pub handshake: Handshake,
    /// What it answers requests with.
    pub answer: Answer,
}

impl Fake {
    /// A server without TLS that answers with so many bytes.
    #[must_use]
    pub fn plain(bytes: usize) -> Self {
        Self {
            tls: None,
            handshake: Handshake::Complete,
            answer: Answer::Body { status: 200, bytes, framing: Framing::Length, close: false },
        }
    }

    /// A server with TLS as it comes, which answers with so many bytes.
    #[must_use]
    pub fn tls(identity: Identity, bytes: usize) -> Self {
        Self { tls: Some(FakeTls::new(identity)), ..Self::plain(bytes) }
    }
}

/// A fake server's half of TLS.
#[derive(Clone, Debug)]
pub struct FakeTls {
    /// Who does its cryptography.
    pub provider: Provider,
    /// Versions that it speaks.
    pub versions: Vec<Version>,
    /// Suites that it speaks; empty means the three of each version.
    pub suites: Vec<Suite>,
    /// Groups that it speaks, the first being preferred; empty means X25519, P-256 and P-384.
    pub groups: Vec<Group>,
    /// Its certificate and key.
    pub identity: Identity,
    /// Tickets that it sends after each TLS 1.3 handshake.
    pub tickets: usize,
    /// Whether it resumes sessions at all. A TLS 1.3 ticket is good once.
    pub resumes: bool,
    /// Early data that it takes, in bytes.
    pub early_data: u32,
    /// Roots that client certificates must lead to; nothing means it asks for none.
    pub client_roots: Option<Arc<Roots>>,
    /// Protocols that it agrees to. It answers in HTTP/1.1 all the same.
    pub alpn: Vec<Alpn>,
}

impl FakeTls {
    /// Both versions, by ring, two tickets, and no questions about the client.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            provider: Provider::Ring,
            versions: vec![Version::Tls13, Version::Tls12],
            suites: Vec::new(),
            groups: Vec::new(),
            identity,
            tickets: 2,
            resumes: true,
            early_data: 0,
            client_roots: None,
            alpn: Vec::new(),
        }
    }

    fn config(&self) -> Result<Arc<ServerConfig>, FakeError> {
        let tls = |source: rustls::Error| FakeError::Config { source: source.into() };
        let provider = crypto_provider(self.provider, &self.versions, &self.suites, &self.groups)
            .map_err(|source| FakeError::Config { source: source.into() })?;
        let versions: Vec<_> = self
            .versions
            .iter()
            .map(|version| if *version == Version::Tls12 { &TLS12 } else { &TLS13 })
            .collect();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(tls)?;
        let builder = match &self.client_roots {
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots.shared(), provider)
                    .build()
                    .map_err(|source| FakeError::Config { source: source.into() })?,
            ),
            None => builder.with_no_client_auth(),
        };
        let (chain, key) = (self.identity.chain().to_vec(), self.identity.key().clone_key());
        let mut config = builder.with_single_cert(chain, key).map_err(tls)?;
        config.send_tls13_tickets = self.tickets;
        config.max_early_data_size = self.early_data;
        config.alpn_protocols =
            self.alpn.iter().map(|alpn| alpn.as_str().as_bytes().to_vec()).collect();
        config.session_storage = if self.resumes {
            ServerSessionMemoryCache::new(SESSIONS_MAX)
        } else {
            Arc::new(NoServerSessionStorage {})
        };
        Ok(Arc::new(config))
    }
}

/// What a fake server does with handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Sends the alert `handshake_failure` instead of a ServerHello.
    Alert,
    /// Ends the connection by FIN instead of sending a ServerHello.
    Close,
    /// What it should.
    Complete,
    /// Resets the connection instead of sending a ServerHello.
    Reset,
    /// Reads and says nothing.
    Silent,
}

/// What a fake server answers a request with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A response with a body.
    Body {
        /// The status.
        status: u16,
        /// The length of the body.
        bytes: usize,
        /// How the end of the body is told.
        framing: Framing,
        /// Whether the connection is closed afterwards, even if the client did not ask for it.
        close: bool,
    },
    /// Bytes that are no HTTP, and an orderly close.
    Garbage,
    /// What a script says, in HTTP/2.
    Http2(Script),
    /// A body of 10 bytes, and the end of the connection so many milliseconds later, whatever the client does
    /// meanwhile.
    LateClose(u64),
    /// A reset.
    Reset,
    /// Nothing, while the connection stays open.
    Stall,
    /// A body of 10 bytes, but for each of so many requests to the server nothing.
    StallEvery(u64),
    /// A head that promises a megabyte, and then a byte of it now and then, for ever.
    Drip,
    /// A head that promises a length, so many bytes of body, and an orderly close.
    Truncated {
        /// The length that is promised.
        promised: usize,
        /// The bytes that are sent.
        sent: usize,
    },
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By chunks of so many bytes.
    Chunks(usize),
    /// By the end of the connection.
    Close,
    /// By Content-Length.
    Length,
}

/// What a fake server saw so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Connections that were accepted.
    pub connections: u64,
    /// Full handshakes that were finished, those with a retry included.
    pub full: u64,
    /// Full handshakes that needed a HelloRetryRequest.
    pub retried: u64,
    /// Resumed handshakes that were finished.
    pub resumed: u64,
    /// Handshakes that were not finished.
    pub failed: u64,
    /// Finished handshakes with early data in them.
    pub early_data: u64,
    /// Requests that were read whole.
    pub requests: u64,
    /// Connections that the client ended orderly: close_notify, or FIN where there is no TLS.
    pub orderly: u64,
    /// PINGs of a script that were answered.
    pub pongs: u64,
    /// GOAWAYs that came.
    pub goodbyes: u64,
    /// Streams of a script that the client reset.
    pub resets: u64,
}

/// The same, being counted.
#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    full: AtomicU64,
    retried: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
    early_data: AtomicU64,
    requests: AtomicU64,
    orderly: AtomicU64,
    pongs: AtomicU64,
    goodbyes: AtomicU64,
    resets: AtomicU64,
}

impl Counters {
    fn seen(&self) -> Seen {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Seen {
            connections: read(&self.connections),
            full: read(&self.full),
            retried: read(&self.retried),
            resumed: read(&self.resumed),
            failed: read(&self.failed),
            early_data: read(&self.early_data),
            requests: read(&self.requests),
            orderly: read(&self.orderly),
            pongs: read(&self.pongs),
            goodbyes: read(&self.goodbyes),
            resets: read(&self.resets),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::SeqCst);
}

/// Any port of the loopback.
const ANYWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Sessions kept: two tickets of 4,000 connections, the most that a slice makes, and as many again.
const SESSIONS_MAX: usize = 16_000;

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::*;

    fn body(status: u16, bytes: usize, framing: Framing, close: bool) -> Answer {
        Answer::Body { status, bytes, framing, close }
    }

    fn start(answer: Answer) -> FakeServer {
        FakeServer::start(Fake { answer, ..Fake::plain(0) }).unwrap()
    }

    fn exchange(server: &FakeServer, request: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(server.address())?;
        stream.write_all(request.as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    }

    const LAST: &str = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    const MORE: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";

    #[test]
    fn answers_are_as_told() {
        for (answer, expected) in [
            (
                body(204, 0, Framing::Length, false),
                "HTTP/1.1 204 Fake\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                body(200, 3, Framing::Close, false),
                "HTTP/1.1 200 Fake\r\nConnection: close\r\n\r\nxxx",
            ),
            (
                body(200, 3, Framing::Chunks(2), true),
                "HTTP/1.1 200 Fake\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\nxx\r\n1\r\nx\r\n0\r\n\r\n",
            ),
            (
                Answer::Truncated { promised: 9, sent: 1 },
                "HTTP/1.1 200 Fake\r\nContent-Length: 9\r\n\r\nx",
            ),
            (Answer::Garbage, "\x00\x01 this is no response\r\n\r\n"),
        ] {
            let server = start(answer);
            assert_eq!(exchange(&server, LAST).unwrap(), expected);
            assert_eq!(server.seen().requests, 1);
        }
    }

    #[test]
    fn a_connection_is_kept_until_the_client_closes_it() {
        let server = start(body(200, 1, Framing::Length, false));
        let response = exchange(&server, &[MORE, MORE, LAST].concat()).unwrap();
        assert_eq!(response.matches("HTTP/1.1 200").count(), 3);
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(MORE.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.read_to_string(&mut String::new()).unwrap();
        let seen = server.wait_until(|seen| seen.orderly == 1);
        assert_eq!((seen.connections, seen.requests, seen.orderly), (2, 4, 1));
    }

    #[test]
    fn a_reset_is_a_reset() {
        let server = start(Answer::Reset);
        let error = exchange(&server, LAST).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn dropping_it_ends_connections_that_stall() {
        let server = start(Answer::Stall);
        let mut streams: Vec<TcpStream> =
            (0..20).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        for stream in streams.iter_mut().take(10) {
            stream.write_all(MORE.as_bytes()).unwrap();
        }
        server.wait_until(|seen| seen.requests == 10);
        let (address, begin) = (server.address(), Instant::now());
        drop(server);
        assert!(begin.elapsed() < Duration::from_secs(2));
        for mut stream in streams {
            drop(stream.read(&mut [0; 8]));
        }
        assert!(TcpStream::connect(address).is_err());
    }
}
