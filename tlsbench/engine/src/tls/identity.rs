//! Client certificates.

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::error::TlsError;
use super::pem;

/// A client certificate with its chain, and its key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(super) const fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        Self { chain, key }
    }

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

    /// Checks that the key is the certificate's, as far as the provider knows keys of its kind.
    ///
    /// # Errors
    /// When it is another's, or the provider cannot use it.
    pub fn check(&self, provider: &CryptoProvider) -> Result<(), TlsError> {
        match CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), provider) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::IdentityMismatch),
            Err(source) => Err(TlsError::IdentityUse { source }),
        }
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
