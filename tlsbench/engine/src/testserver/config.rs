//! Configuration of a test server: its TLS, its handshakes and its answers.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use tlsbench_core::scenario::{Group, Provider, Suite, Version};

use super::error::TestServerError;
use super::http2::Script;
use crate::tls::{Alpn, Identity, Roots, crypto_provider};

/// The configuration of a test server.
#[derive(Clone, Debug)]
pub struct TestServerConfig {
    /// The half of TLS; `None` means plain HTTP.
    pub tls: Option<TestServerTls>,
    /// The treatment of handshakes.
    pub handshake: Handshake,
    /// The answer to requests.
    pub answer: Answer,
}

impl TestServerConfig {
    /// A server without TLS that answers with this many bytes.
    #[must_use]
    pub fn plain(bytes: usize) -> Self {
        Self {
            tls: None,
            handshake: Handshake::Complete,
            answer: Answer::Body {
                status: 200,
                bytes,
                framing: BodyEncoding::Length,
                close: false,
            },
        }
    }

    /// A server with TLS as it comes, which answers with this many bytes.
    #[must_use]
    pub fn tls(identity: Identity, bytes: usize) -> Self {
        Self { tls: Some(TestServerTls::new(identity)), ..Self::plain(bytes) }
    }
}

/// A test server's half of TLS.
#[derive(Clone, Debug)]
pub struct TestServerTls {
    /// The provider of its cryptography.
    pub provider: Provider,
    /// Versions that it speaks.
    pub versions: Vec<Version>,
    /// Suites that it speaks; empty means the three of each version.
    pub suites: Vec<Suite>,
    /// Groups that it speaks, the first being preferred; empty means X25519, P-256 and P-384.
    pub groups: Vec<Group>,
    /// The certificate and key.
    pub identity: Identity,
    /// Tickets that it sends after each TLS 1.3 handshake.
    pub tickets: usize,
    /// True if it resumes sessions at all. A TLS 1.3 ticket is good once.
    pub resumes: bool,
    /// Early data that it takes, in bytes.
    pub early_data: u32,
    /// Roots that client certificates must lead to; `None` means it asks for none.
    pub client_roots: Option<Arc<Roots>>,
    /// Protocols that it agrees to. It answers in HTTP/1.1 all the same.
    pub alpn: Vec<Alpn>,
}

impl TestServerTls {
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

    pub(super) fn config(&self) -> Result<Arc<ServerConfig>, TestServerError> {
        let tls = |source: rustls::Error| TestServerError::Config { source: source.into() };
        let provider = crypto_provider(self.provider, &self.versions, &self.suites, &self.groups)
            .map_err(|source| TestServerError::Config { source: source.into() })?;
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
                    .map_err(|source| TestServerError::Config { source: source.into() })?,
            ),
            None => builder.with_no_client_auth(),
        };
        let (chain, key) = (self.identity.chain().to_vec(), self.identity.key().clone_key());
        let mut config = builder.with_single_cert(chain, key).map_err(tls)?;
        config.send_tls13_tickets = self.tickets;
        config.max_early_data_size = self.early_data;
        config.alpn_protocols =
            self.alpn.iter().map(|alpn| alpn.as_str().as_bytes().to_vec()).collect();
        // rustls keeps sessions by default; a server that never resumes needs the other storage as
        // well as no tickets.
        config.session_storage = if self.resumes {
            ServerSessionMemoryCache::new(SESSIONS_MAX)
        } else {
            Arc::new(NoServerSessionStorage {})
        };
        Ok(Arc::new(config))
    }
}

/// The treatment of handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Sends the alert `handshake_failure` instead of a ServerHello.
    Alert,
    /// Ends the connection by FIN instead of sending a ServerHello.
    Close,
    /// Completes it, as a server should.
    Complete,
    /// Resets the connection instead of sending a ServerHello.
    Reset,
    /// Reads and says nothing.
    Silent,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A response with a body.
    Body {
        /// The status.
        status: u16,
        /// The length of the body.
        bytes: usize,
        /// The encoding of the body.
        framing: BodyEncoding,
        /// True if the connection is closed afterwards, even if the client did not ask for it.
        close: bool,
    },
    /// Bytes that are no HTTP, and an orderly close.
    Garbage,
    /// The answer of a script, by HTTP/2.
    Http2(Script),
    /// A body of 10 bytes, and the end of the connection this many milliseconds later, whatever the
    /// client does meanwhile.
    LateClose(u64),
    /// A reset.
    Reset,
    /// No answer, while the connection stays open.
    Stall,
    /// A body of 10 bytes, but for one in this many requests to the server nothing.
    StallEvery(u64),
    /// A head that promises a megabyte, and then a byte of it now and then, for ever.
    Drip,
    /// A head that promises a length, this many bytes of body, and an orderly close.
    Truncated {
        /// The length that is promised.
        promised: usize,
        /// The bytes that are sent.
        sent: usize,
    },
}

/// The encoding that tells where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEncoding {
    /// Chunks of this many bytes.
    Chunks(usize),
    /// The end of the connection.
    Close,
    /// Content-Length.
    Length,
}

/// Sessions kept: two tickets of 4,000 connections, the most that a slice makes, and as many again.
const SESSIONS_MAX: usize = 16_000;
