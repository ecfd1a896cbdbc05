//! Configurations of rustls for a hop: as a server, and as a client of the next hop.
//!
//! Sessions of the client's half are rustls' own business here; a shard, which chooses for each
//! connection whether it resumes, has its own store instead.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use tlsbench_core::hop::{Cryptography, DialTls, ListenTls, PrivatePem};
use tlsbench_core::scenario::{Provider, Version};

use super::alpn::Alpn;
use super::error::TlsError;
use super::pem;
use super::provider::{self, crypto_provider};
use super::roots::Roots;
use super::server_name::server_name;
use super::verify::Verifier;

/// Configures a hop as a server, with the keys that its session tickets are made by.
///
/// # Errors
/// Fails when certificate, key or roots cannot be read or do not fit together.
pub(crate) fn server_config(
    tls: &ListenTls,
    keys: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, TlsError> {
    let (crypto, versions) = cryptography(&tls.suite)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&crypto))
        .with_protocol_versions(&versions)
        .map_err(|source| TlsError::Config { source })?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(text) => {
            let roots = Roots::from_pem(text.as_bytes())?.shared();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, crypto)
                .build()
                .map_err(|error| TlsError::Roots { source: error.into() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, key) = certificate(&tls.chain, &tls.key)?;
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::CertificateUse { source })?;
    config.alpn_protocols = tls.alpn.iter().map(|alpn| alpn.as_str().into()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = tls.tickets.into();
    if tls.tickets > 0 {
        config.ticketer = Arc::clone(keys);
    }
    Ok(config)
}

/// Configures a hop as a client, and returns the name of the next one. A relay offers no protocol,
/// because it does not know what its clients speak.
///
/// # Errors
/// Fails when certificate, key, roots or name cannot be read or do not fit together.
pub(crate) fn client_config(
    tls: &DialTls,
    alpn: Option<Alpn>,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), TlsError> {
    let (crypto, versions) = cryptography(&tls.suite)?;
    let roots = Arc::new(Roots::from_pem(tls.ca.as_bytes())?);
    let verifier = Verifier::new(tls.verify, &roots, tls.suite.provider, &crypto);
    let builder = ClientConfig::builder_with_provider(crypto)
        .with_protocol_versions(&versions)
        .map_err(|source| TlsError::Config { source })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = certificate(&identity.chain, &identity.key)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| TlsError::CertificateUse { source })?
        }
    };
    config.resumption = match tls.resume {
        true => Resumption::in_memory_sessions(SESSIONS_MAX),
        false => Resumption::disabled(),
    };
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.as_str().into()).collect();
    Ok((Arc::new(config), server_name(&tls.name)?))
}

/// New keys for session tickets, which nobody else has.
///
/// # Errors
/// Fails when there is no randomness, and when this build lacks the provider.
pub(crate) fn ticket_keys(provider: Provider) -> Result<Arc<dyn ProducesTickets>, TlsError> {
    match provider {
        Provider::Ring => rustls::crypto::ring::Ticketer::new(),
        #[cfg(feature = "aws-lc")]
        Provider::AwsLcRs => rustls::crypto::aws_lc_rs::Ticketer::new(),
        #[cfg(not(feature = "aws-lc"))]
        Provider::AwsLcRs => return Err(TlsError::ProviderAbsent { provider }),
    }
    .map_err(|source| TlsError::Config { source })
}

type Crypto = (Arc<CryptoProvider>, Vec<&'static SupportedProtocolVersion>);

fn cryptography(asked: &Cryptography) -> Result<Crypto, TlsError> {
    let versions: &[Version] =
        if asked.versions.is_empty() { Version::ALL } else { &asked.versions };
    let crypto = crypto_provider(asked.provider, versions, &asked.suites, &asked.groups)?;
    Ok((crypto, versions.iter().map(|&version| provider::version_id(version)).collect()))
}

type Certificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn certificate(chain: &str, key: &PrivatePem) -> Result<Certificate, TlsError> {
    let chain = pem::chain(chain.as_bytes())
        .map_err(|source| TlsError::CertificateChain { source: source.into() })?;
    let key = pem::private_key(key.0.as_bytes())
        .map_err(|source| TlsError::CertificateKey { source: source.into() })?;
    Ok((chain, key))
}

/// Servers whose sessions are remembered: a hop dials one, by one name.
const SESSIONS_MAX: usize = 8;
