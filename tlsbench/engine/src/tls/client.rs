//! TLS clients: one for each shard and target, with a session store of its own.

use std::sync::Arc;

use rustls::client::{Resumption, WriteEarlyData};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tlsbench_core::scenario;
use tlsbench_core::tally::Detail;

use super::alpn::Alpn;
use super::error::TlsError;
use super::identity::Identity;
use super::negotiated::Negotiated;
use super::provider::{crypto_provider, version_id};
use super::roots::Roots;
use super::server_name::server_name;
use super::store::SessionStore;
use super::verify::Verifier;

/// True if a connection was to resume a session.
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
    recipe: ClientRecipe,
    pub(super) parts: ClientParts,
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
        let recipe = ClientRecipe {
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
        let parts = recipe.make(roots)?;
        Ok(Self { name, recipe, parts })
    }

    /// Begins a connection: resuming a session if that is wanted and there is one, in full if not.
    /// A full handshake stores the tickets it is given, for those that come after it.
    ///
    /// # Errors
    /// Fails when the provider does, for want of random bytes for instance.
    pub fn connect(&mut self, want_resume: bool) -> Result<(ClientConnection, Wanted), TlsError> {
        // rustls asks the store for a session whenever it begins a connection; whether there is one
        // for it is decided here, so that the share of resumptions is exact.
        self.parts.store.ask(want_resume);
        let connection = ClientConnection::new(Arc::clone(&self.parts.config), self.name.clone())
            .map_err(|source| TlsError::Connect { source })?;
        let wanted = match (want_resume, self.parts.store.answer()) {
            (false, _) => Wanted::Full,
            (true, false) => Wanted::NoTicket,
            (true, true) => Wanted::Resume,
        };
        Ok((connection, wanted))
    }

    /// Returns where early data is written before the handshake; `None` unless early data was
    /// asked for and the session that is being resumed allows it.
    pub fn early_data<'c>(
        &self,
        connection: &'c mut ClientConnection,
    ) -> Option<WriteEarlyData<'c>> {
        if self.parts.config.enable_early_data { connection.early_data() } else { None }
    }

    /// Returns what a finished handshake negotiated; `None` while it is under way.
    ///
    /// The signature is the last one that this target made, so ask as soon as the handshake ends.
    #[must_use]
    pub fn negotiated(&self, connection: &ClientConnection) -> Option<Negotiated> {
        Negotiated::of(connection, self.parts.verifier.last_scheme())
    }

    /// Takes what the certificates told of the last chain that was refused, once: ask as soon as a
    /// handshake fails.
    pub(crate) fn take_refusal(&self) -> Option<Detail> {
        self.parts.verifier.take_refusal()
    }

    /// Returns how often a chain was verified since the roots were taken.
    #[must_use]
    pub fn chains_verified(&self) -> u64 {
        self.parts.verifier.chains_verified()
    }

    /// Sessions that are there to be resumed.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.parts.store.len()
    }

    /// Forgets every session, so that the next handshake is a full one.
    pub fn forget_sessions(&mut self) {
        self.parts.store.clear();
    }

    /// The generation of the roots that chains are verified by now.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.parts.verifier.generation()
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
        let parts = self.recipe.make(roots)?;
        // The key share that the server prefers does not depend on the roots, and without the hint
        // the next handshake would need a HelloRetryRequest.
        parts.store.set_hint(self.parts.store.hint());
        self.parts = parts;
        Ok(())
    }
}

/// The parts that are made again when the roots change.
#[derive(Debug)]
pub(super) struct ClientParts {
    pub(super) config: Arc<ClientConfig>,
    store: Arc<SessionStore>,
    verifier: Arc<Verifier>,
}

/// The parameters of these parts, apart from the roots.
#[derive(Debug)]
struct ClientRecipe {
    provider: Arc<CryptoProvider>,
    source: scenario::Provider,
    versions: scenario::Versions,
    verify: scenario::Verify,
    alpn: Option<Alpn>,
    identity: Option<Identity>,
    early_data: bool,
}

impl ClientRecipe {
    fn make(&self, roots: &Arc<Roots>) -> Result<ClientParts, TlsError> {
        let verifier = Arc::new(Verifier::new(self.verify, roots, self.source, &self.provider));
        let ids = self.versions.as_slice().iter().map(|&version| version_id(version));
        let versions: Vec<_> = ids.collect();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&versions)
            .map_err(|source| TlsError::Config { source })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let mut config = match &self.identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain().to_vec(), identity.key().clone_key())
                .map_err(|source| TlsError::IdentityUse { source })?,
            None => builder.with_no_client_auth(),
        };
        let store = Arc::new(SessionStore::new());
        config.resumption = Resumption::store(Arc::clone(&store) as _);
        config.alpn_protocols =
            self.alpn.iter().map(|alpn| alpn.as_str().as_bytes().to_vec()).collect();
        config.enable_early_data = self.early_data && self.versions.has(scenario::Version::Tls13);
        Ok(ClientParts { config: Arc::new(config), store, verifier })
    }
}
