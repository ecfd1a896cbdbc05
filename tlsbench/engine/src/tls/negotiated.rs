//! The result of a handshake, small enough to be counted without allocating.

use std::fmt;

use rustls::{ClientConnection, HandshakeKind, ProtocolVersion, SignatureScheme};
use tlsbench_core::scenario::{Group, Suite, Version};

use super::alpn::Alpn;
use super::provider::{ids_of_suite, name_of_group};

/// The kind of handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A full handshake.
    Full,
    /// A resumed session.
    Resumed,
    /// A full handshake, after the server asked for another key share.
    Retried,
}

/// The parameters that a finished handshake negotiated. Its text, for records, comes by `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The version.
    pub version: Version,
    /// The suite.
    pub suite: Suite,
    /// The key exchange group; TLS 1.2 has none when it resumes.
    pub group: Option<Group>,
    /// The signature scheme of the server; `None` if it resumed and so signed nothing.
    pub signature: Option<SignatureScheme>,
    /// The protocol that both sides agreed on.
    pub alpn: Option<Alpn>,
    /// The kind of handshake.
    pub kind: Kind,
    /// True if the server took our early data.
    pub early_data_accepted: bool,
}

impl Negotiated {
    pub(super) fn of(
        connection: &ClientConnection,
        last_signature: Option<SignatureScheme>,
    ) -> Option<Self> {
        if connection.is_handshaking() {
            return None;
        }
        let version = match connection.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Version::Tls12,
            ProtocolVersion::TLSv1_3 => Version::Tls13,
            _ => return None,
        };
        let id = connection.negotiated_cipher_suite()?.suite();
        let suite =
            Suite::ALL.iter().copied().find(|&suite| ids_of_suite(suite, version).contains(&id))?;
        let group = connection.negotiated_key_exchange_group().and_then(|found| {
            Group::ALL.iter().copied().find(|&group| name_of_group(group) == found.name())
        });
        let kind = match connection.handshake_kind()? {
            HandshakeKind::Full => Kind::Full,
            HandshakeKind::FullWithHelloRetryRequest => Kind::Retried,
            HandshakeKind::Resumed => Kind::Resumed,
        };
        Some(Self {
            version,
            suite,
            group,
            signature: last_signature.filter(|_| kind != Kind::Resumed),
            alpn: connection.alpn_protocol().and_then(Alpn::from_wire),
            kind,
            early_data_accepted: connection.is_early_data_accepted(),
        })
    }
}

impl fmt::Display for Negotiated {
    /// Version, suite, group, signature and protocol, `-` for what there is none of:
    /// `TLS 1.3 aes-128-gcm x25519 ECDSA_NISTP256_SHA256 h2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = self.signature.and_then(|scheme| scheme.as_str());
        write!(
            f,
            "TLS {} {} {} {} {}",
            self.version,
            self.suite,
            self.group.map_or("-", Group::as_str),
            signature.unwrap_or("-"),
            self.alpn.map_or("-", Alpn::as_str),
        )
    }
}
