//! Parameters of TLS by the names that flags, files and records give them.

use crate::words::words;

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// A cipher suite, by its strength and hash; in TLS 1.2 with ECDHE and the server key's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// AES-128-GCM with SHA-256: the cheapest where the machine has AES instructions.
    Aes128Gcm,
    /// AES-256-GCM with SHA-384.
    Aes256Gcm,
    /// ChaCha20-Poly1305 with SHA-256.
    ChaCha20,
}

/// A key exchange group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// RFC 7748.
    X25519,
    /// The hybrid of X25519 and ML-KEM-768; TLS 1.3 and provider aws-lc-rs only.
    X25519MlKem768,
}

/// The kind of a server's or client's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 bits; made by aws-lc-rs, because ring makes no RSA keys.
    Rsa2048,
    /// RSA of 3072 bits; made by aws-lc-rs.
    Rsa3072,
}

/// Provider of the cryptography, chosen per run and never for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// aws-lc-rs.
    AwsLcRs,
    /// ring, the default.
    Ring,
}

/// Extent of chain verification. The handshake signature is always verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verify {
    /// Chain and name, in every full handshake.
    Every,
    /// Chain and name of each shard's first full handshake.
    First,
    /// No verification but of the handshake signature, and not of that if no provider verifies by
    /// the key.
    Off,
    /// A chain that was verified is remembered by leaf, intermediates, name, roots and provider
    /// until the first of it expires.
    SameChain,
}

words!(Group {
    P256 = "p256",
    P384 = "p384",
    X25519 = "x25519",
    X25519MlKem768 = "x25519mlkem768",
});
words!(KeyKind {
    EcdsaP256 = "ecdsa-p256",
    EcdsaP384 = "ecdsa-p384",
    Ed25519 = "ed25519",
    Rsa2048 = "rsa2048",
    Rsa3072 = "rsa3072",
});
words!(Provider { AwsLcRs = "aws-lc-rs", Ring = "ring" });
words!(Suite {
    Aes128Gcm = "aes-128-gcm",
    Aes256Gcm = "aes-256-gcm",
    ChaCha20 = "chacha20-poly1305",
});
words!(Verify { Every = "every", First = "first", Off = "off", SameChain = "same-chain" });
words!(Version { Tls12 = "1.2", Tls13 = "1.3" });
