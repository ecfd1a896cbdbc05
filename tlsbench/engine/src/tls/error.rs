//! The reason why TLS cannot be spoken as it was asked for, and what to do about it.

use std::path::PathBuf;

use thiserror::Error;
use tlsbench_core::scenario;

/// The reason why a TLS client could not be made, or could not begin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A hop's certificate could not be read.
    #[error("cannot read the certificate")]
    CertificateChain {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A hop's key could not be read.
    #[error("cannot read the certificate's key")]
    CertificateKey {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A hop's certificate and key are of no use to the provider, or not of each other.
    #[error("cannot use the certificate")]
    CertificateUse {
        /// The cause.
        source: rustls::Error,
    },
    /// The parts of a configuration do not fit together.
    #[error("cannot configure TLS")]
    Config {
        /// The cause.
        source: rustls::Error,
    },
    /// A connection could not be begun.
    #[error("cannot begin a TLS connection")]
    Connect {
        /// The cause.
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
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The client certificate's key could not be read.
    #[error("cannot read the client certificate's key")]
    IdentityKey {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The key is that of another certificate.
    #[error("the key belongs to another certificate; name the one that it was issued for")]
    IdentityMismatch,
    /// Certificate and key are of no use to the provider, or not of each other.
    #[error("cannot use the client certificate")]
    IdentityUse {
        /// The cause.
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
        /// The cause.
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
        /// The cause.
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
    /// Returns what to do about it, if that is known.
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
