//! The cryptography of a run, as a value: nothing here becomes the process's default.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::{CipherSuite, NamedGroup, SupportedCipherSuite, SupportedProtocolVersion};
use tlsbench_core::scenario::{Group, Provider, Suite, Version};

use super::error::TlsError;

/// A provider with the suites and groups of these versions, in the order that was asked for; none
/// named means AES-128-GCM, AES-256-GCM and ChaCha20, or X25519, P-256 and P-384.
///
/// # Errors
/// Fails when this build lacks the provider, or the provider lacks a group.
pub fn crypto_provider(
    provider: Provider,
    versions: &[Version],
    suites: &[Suite],
    groups: &[Group],
) -> Result<Arc<CryptoProvider>, TlsError> {
    let (whole, all_groups) = whole(provider)?;
    let suites = if suites.is_empty() { &DEFAULT_SUITES } else { suites };
    let groups = if groups.is_empty() { &DEFAULT_GROUPS } else { groups };
    let kx_groups = groups
        .iter()
        .map(|&group| {
            all_groups
                .iter()
                .copied()
                .find(|known| known.name() == name_of_group(group))
                .filter(|found| {
                    versions
                        .iter()
                        .any(|version| found.usable_for_version(version_id(*version).version))
                })
                .ok_or_else(|| TlsError::GroupUnsupported {
                    group,
                    versions: versions.to_vec(),
                    provider,
                })
        })
        .collect::<Result<_, _>>()?;
    let cipher_suites = versions
        .iter()
        .flat_map(|&version| suites.iter().flat_map(move |&suite| ids_of_suite(suite, version)))
        .filter_map(|id| whole.cipher_suites.iter().copied().find(|known| known.suite() == *id))
        .collect::<Vec<SupportedCipherSuite>>();
    Ok(Arc::new(CryptoProvider { cipher_suites, kx_groups, ..whole }))
}

fn whole(
    provider: Provider,
) -> Result<(CryptoProvider, &'static [&'static dyn SupportedKxGroup]), TlsError> {
    match provider {
        Provider::Ring => Ok((ring::default_provider(), ring::ALL_KX_GROUPS)),
        #[cfg(feature = "aws-lc")]
        Provider::AwsLcRs => {
            use rustls::crypto::aws_lc_rs;
            Ok((aws_lc_rs::default_provider(), aws_lc_rs::ALL_KX_GROUPS))
        }
        #[cfg(not(feature = "aws-lc"))]
        Provider::AwsLcRs => Err(TlsError::ProviderAbsent { provider: Provider::AwsLcRs }),
    }
}

/// The one version, as rustls wants it.
pub(super) fn version_id(version: Version) -> &'static SupportedProtocolVersion {
    match version {
        Version::Tls12 => &rustls::version::TLS12,
        Version::Tls13 => &rustls::version::TLS13,
    }
}

pub(super) fn name_of_group(group: Group) -> NamedGroup {
    match group {
        Group::P256 => NamedGroup::secp256r1,
        Group::P384 => NamedGroup::secp384r1,
        Group::X25519 => NamedGroup::X25519,
        Group::X25519MlKem768 => NamedGroup::X25519MLKEM768,
    }
}

/// Returns the identifiers of a suite. In TLS 1.2 a suite is two: the server's key decides which of
/// them.
pub(super) fn ids_of_suite(suite: Suite, version: Version) -> &'static [CipherSuite] {
    match (version, suite) {
        (Version::Tls12, Suite::Aes128Gcm) => &[
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        (Version::Tls12, Suite::Aes256Gcm) => &[
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ],
        (Version::Tls12, Suite::ChaCha20) => &[
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        (Version::Tls13, Suite::Aes128Gcm) => &[CipherSuite::TLS13_AES_128_GCM_SHA256],
        (Version::Tls13, Suite::Aes256Gcm) => &[CipherSuite::TLS13_AES_256_GCM_SHA384],
        (Version::Tls13, Suite::ChaCha20) => &[CipherSuite::TLS13_CHACHA20_POLY1305_SHA256],
    }
}

/// AES-128-GCM first: SHA-384, which comes with AES-256-GCM, costs 6 to 10 % of a handshake.
const DEFAULT_SUITES: [Suite; 3] = [Suite::Aes128Gcm, Suite::Aes256Gcm, Suite::ChaCha20];

const DEFAULT_GROUPS: [Group; 3] = [Group::X25519, Group::P256, Group::P384];
