//! The client's half of TLS: configurations made for one target, and what came of a handshake.
//!
//! A [`TlsClient`] belongs to one shard and one target. It decides for each connection whether it
//! resumes, with a session store of its own; it makes no sockets and moves no bytes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{Resumption, WriteEarlyData};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection};
use thiserror::Error;
use tlsbench_core::scenario;
use tlsbench_core::tally::Detail;

mod ends;
mod failure;
mod negotiated;
mod pki;
mod lab;
mod pem;
mod provider;
mod refusal;
mod roots;
mod store;
mod verify;

pub(crate) use ends::{client_config, server_config, ticket_keys};
pub use failure::{failure_of, failure_of_io};
pub use lab::Lab;
pub use negotiated::{Kind, Negotiated};
pub use pem::LeftOut;
pub use pki::{Issued, Issuer, KeyKind, LabPki, PkiError, Purpose, Subject, Validity};
pub use provider::crypto_provider;
pub use roots::{ReloadingRoots, Roots};

use store::SessionStore;
use verify::Verifier;

/// The protocol that is offered by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alpn {
    /// `http/1.1`.
    Http1,
    /// `h2`.
    Http2,
}

impl Alpn {
    /// The name of the protocol on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }

    /// The protocol of a name on the wire.
    #[must_use]
    pub fn from_wire(name: &[u8]) -> Option<Self> {
        [Self::Http1, Self::Http2].into_iter().find(|alpn| alpn.as_str().as_bytes() == name)
    }
}

/// A client certificate with its chain, and its key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads a certificate with its chain and its private key, both PEM.
    ///
    /// # Errors
    /// Fails when either holds no such block or a broken one.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = pem::chain(chain)
            .map_err(|source| TlsError::IdentityChain { source: source.into() })?;
        let key = pem::private_key(key)
            .map_err(|source| TlsError::IdentityKey { source: source.into() })?;
        Ok(Self { chain, key })
    }

    /// The certificate, and the intermediates above it.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// Whether a connection was to resume a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// A full handshake was asked for.
    Full,
    /// Resumption was asked for, and there was no session to resume.
    NoTicket,
    /// Resumption was asked for and offered; the server may still refuse it.
    Resume,
}

/// Makes the TLS connections of one shard to one target.
#[derive(Debug)]
pub struct TlsClient {
    name: ServerName<'static>,
    recipe: Recipe,
    made: Made,
}

impl TlsClient {
    /// A client for a target; `alpn` and `identity` are what it offers of itself.
    ///
    /// # Errors
    /// Fails when the parts do not fit together: a group that the provider does not have, a host
    /// that is no server name, a key that does not belong to the certificate.
    pub fn new(
        tls: &scenario::Tls,
        target: &scenario::Target,
        roots: &Arc<Roots>,
        alpn: Option<Alpn>,
        identity: Option<&Identity>,
    ) -> Result<Self, TlsError> {
        let recipe = Recipe {
            provider: crypto_provider(
                tls.provider,
                tls.version.as_slice(),
                &tls.suites,
                &tls.groups,
            )?,
            source: tls.provider,
            versions: tls.version,
            verify: tls.verify,
            alpn,
            identity: identity.cloned(),
            early_data: tls.early_data,
        };
        let name = server_name(target.sni.as_deref().unwrap_or(target.bare_host()))?;
        let made = recipe.make(roots)?;
        Ok(Self { name, recipe, made })
    }

    /// Begins a connection: resuming a session if that is wanted and there is one, in full if not.
    /// A full handshake stores the tickets it is given, for those that come after it.
    ///
    /// # Errors
    /// Fails when the provider does, for want of random bytes for instance.
    pub fn connect(&mut self, want_resume: bool) -> Result<(ClientConnection, Wanted), TlsError> {
        self.made.store.ask(want_resume);
        let connection = ClientConnection::new(Arc::clone(&self.made.config), self.name.clone())
            .map_err(|source| TlsError::Connect { source })?;
        let wanted = match (want_resume, self.made.store.answer()) {
            (false, _) => Wanted::Full,
            (true, false) => Wanted::NoTicket,
            (true, true) => Wanted::Resume,
        };
        Ok((connection, wanted))
    }

    /// Where early data is written before the handshake; nothing unless early data was asked for
    /// and the session that is being resumed allows it.
    pub fn early_data<'c>(
        &self,
        connection: &'c mut ClientConnection,
    ) -> Option<WriteEarlyData<'c>> {
        if self.made.config.enable_early_data { connection.early_data() } else { None }
    }

    /// What a finished handshake negotiated; nothing while it is under way.
    ///
    /// The signature is the last one that this target made, so ask as soon as the handshake ends.
    #[must_use]
    pub fn negotiated(&self, connection: &ClientConnection) -> Option<Negotiated> {
        Negotiated::of(connection, self.made.verifier.last_scheme())
    }

    /// What the certificates told of the last chain that was refused, once: ask as soon as a
    /// handshake fails.
    pub(crate) fn take_refusal(&self) -> Option<Detail> {
        self.made.verifier.take_refusal()
    }

    /// How often a chain was verified since the roots were taken.
    #[must_use]
    pub fn chains_verified(&self) -> u64 {
        self.made.verifier.chains_verified()
    }

    /// Sessions that are there to be resumed.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.made.store.len()
    }

    /// Forgets every session, so that the next handshake is a full one.
    pub fn forget_sessions(&mut self) {
        self.made.store.clear();
    }

    /// The generation of the roots that chains are verified by now.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.made.verifier.generation()
    }

    /// Takes other roots. What was verified or can be resumed by the roots before is forgotten;
    /// roots of the same generation change nothing.
    ///
    /// # Errors
    /// As [`TlsClient::new`]; the client is then as before.
    pub fn set_roots(&mut self, roots: &Arc<Roots>) -> Result<(), TlsError> {
        if roots.generation() == self.generation() {
            return Ok(());
        }
        let made = self.recipe.make(roots)?;
        made.store.set_hint(self.made.store.hint());
        self.made = made;
        Ok(())
    }
}

/// What is made anew when the roots change.
#[derive(Debug)]
struct Made {
    config: Arc<ClientConfig>,
    store: Arc<SessionStore>,
    verifier: Arc<Verifier>,
}

/// What it is made from, apart from the roots.
#[derive(Debug)]
struct Recipe {
    provider: Arc<CryptoProvider>,
    source: scenario::Provider,
    versions: scenario::Versions,
    verify: scenario::Verify,
    alpn: Option<Alpn>,
    identity: Option<Identity>,
    early_data: bool,
}

impl Recipe {
    fn make(&self, roots: &Arc<Roots>) -> Result<Made, TlsError> {
        let verifier = Arc::new(Verifier::new(self.verify, roots, self.source, &self.provider));
        let ids = self.versions.as_slice().iter().map(|&version| provider::version_id(version));
        let versions: Vec<_> = ids.collect();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&versions)
            .map_err(|source| TlsError::Config { source })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let mut config = match &self.identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|source| TlsError::IdentityUse { source })?,
            None => builder.with_no_client_auth(),
        };
        let store = Arc::new(SessionStore::new());
        config.resumption = Resumption::store(Arc::clone(&store) as _);
        config.alpn_protocols =
            self.alpn.iter().map(|alpn| alpn.as_str().as_bytes().to_vec()).collect();
        config.enable_early_data = self.early_data && self.versions.has(scenario::Version::Tls13);
        Ok(Made { config: Arc::new(config), store, verifier })
    }
}

/// Why a TLS client could not be made, or could not begin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A hop's certificate could not be read.
    #[error("cannot read the certificate")]
    CertificateChain {
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A hop's key could not be read.
    #[error("cannot read the certificate's key")]
    CertificateKey {
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A hop's certificate and key are of no use to the provider, or not of each other.
    #[error("cannot use the certificate")]
    CertificateUse {
        /// What is wrong with them.
        source: rustls::Error,
    },
    /// The parts of a configuration do not fit together.
    #[error("cannot configure TLS")]
    Config {
        /// What does not fit.
        source: rustls::Error,
    },
    /// A connection could not be begun.
    #[error("cannot begin a TLS connection")]
    Connect {
        /// What failed.
        source: rustls::Error,
    },
    /// The provider has no such group in this version of TLS.
    #[error("group `{group}` does not exist in TLS {} with provider `{provider}`", list(versions))]
    GroupUnsupported {
        /// The group.
        group: scenario::Group,
        /// The versions.
        versions: Vec<scenario::Version>,
        /// The provider.
        provider: scenario::Provider,
    },
    /// The client certificate's chain could not be read.
    #[error("cannot read the client certificate")]
    IdentityChain {
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The client certificate's key could not be read.
    #[error("cannot read the client certificate's key")]
    IdentityKey {
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificate and key are of no use to the provider, or not of each other.
    #[error("cannot use the client certificate")]
    IdentityUse {
        /// What is wrong with them.
        source: rustls::Error,
    },
    /// This build lacks the provider.
    #[error("provider `{provider}` is not part of this build")]
    ProviderAbsent {
        /// The provider.
        provider: scenario::Provider,
    },
    /// Roots could not be read.
    #[error("cannot read the roots")]
    Roots {
        /// What is wrong with them.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no certificate in what should hold roots.
    #[error("no root certificate that can be used")]
    RootsEmpty,
    /// A file of roots could not be read.
    #[error("cannot read CA bundle `{path}`")]
    RootsFile {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A host is neither a DNS name nor an address.
    #[error("`{name}` is neither a DNS name nor an address")]
    ServerName {
        /// The host.
        name: String,
    },
}

impl TlsError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::GroupUnsupported { .. } => Some(
                "x25519mlkem768 needs TLS 1.3 and `--provider aws-lc-rs`; else name x25519, p256 or p384",
            ),
            Self::ProviderAbsent { .. } => Some(
                "build with feature `aws-lc`, which is on by default, or use `--provider ring`",
            ),
            Self::RootsEmpty => Some("name a PEM file of roots with `--ca-bundle`"),
            Self::ServerName { .. } => Some("name the server with `--sni`"),
            _ => None,
        }
    }
}

fn list(versions: &[scenario::Version]) -> String {
    versions.iter().map(|version| version.as_str()).collect::<Vec<_>>().join(", ")
}

/// Reads a name once for all connections. A borrowed name is copied without allocating, and rustls
/// copies it several times in each handshake.
fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let bare = scenario::without_root(bare);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    ServerName::try_from(bare).map_err(|_| TlsError::ServerName { name: host.to_owned() })?;
    ServerName::try_from(lasting(bare)).map_err(|_| TlsError::ServerName { name: host.to_owned() })
}

/// The same text for the rest of the process: one copy per name, however many clients there are.
fn lasting(text: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(text) {
        return found;
    }
    let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
    known.insert(kept);
    kept
}

#[cfg(test)]
mod tests;
