//! A certificate: its bytes, its digest, and the few facts that filters and people ask for.
//!
//! Nothing here judges a certificate: no chain, no key strength, no validity. A certificate is
//! kept when its DER is sound, however odd its content (docs/decisions/0002).

mod der;
mod distinguished_name;
mod layout;

use std::fmt;
use std::sync::Arc;

use ring::digest;
use x509_parser::der_parser::asn1_rs::{FromDer as _, Oid, Tag, oid};
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::time::Timestamp;
use layout::Layout;

/// The SHA-256 of a certificate's DER: its identity, and the sort key of the output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Computes the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(out)
    }

    /// The digest as 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Sha256 {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Sha256 {
    /// Prints 64 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A certificate whose DER is sound. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Arc<[u8]>,
    sha256: Sha256,
    not_after: Timestamp,
    ca: bool,
}

/// The bytes are not one whole DER certificate. The text names the part, never its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unsound {
    /// The bytes are not DER (X.690): truncated, an indefinite length, a number with padding.
    #[error("not sound DER")]
    Encoding,
    /// Sound DER, but not that of a certificate (RFC 5280, 4.1).
    #[error("not a certificate: its {0} is missing or malformed")]
    Layout(&'static str),
    /// A whole certificate, and then more.
    #[error("a certificate with {0} more bytes behind it")]
    Trailing(usize),
}

impl Certificate {
    /// Reads one certificate that fills `der` exactly.
    ///
    /// # Errors
    /// The bytes are not a DER certificate, or more bytes follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, Unsound> {
        let layout = Layout::of(der)?;
        Ok(Self {
            sha256: Sha256::of(der),
            not_after: layout.not_after,
            ca: layout.is_ca(),
            der: der.into(),
        })
    }

    /// The DER bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-256 of the DER.
    #[must_use]
    pub const fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The notAfter time: the last second in which the certificate is valid.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Returns true if basicConstraints says CA (RFC 5280, 4.2.1.9). A version 1 root does not, nor
    /// does a certificate with unreadable basicConstraints.
    #[must_use]
    pub const fn is_ca(&self) -> bool {
        self.ca
    }

    /// Returns true if the certificate has expired at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// Parses the facts that people ask for from the DER.
    #[must_use]
    pub fn facts(&self) -> Facts {
        // `from_der` parsed the same bytes, so this cannot fail. If it ever did, a gap in a table
        // would be better than a panic.
        Layout::of(&self.der).map(|layout| Facts::of(&layout)).unwrap_or_default()
    }

    /// Returns the alias in key stores, as trust-manager builds it: the first eight hex digits of
    /// the SHA-256, a bar, and the subject.
    #[must_use]
    pub fn alias(&self) -> String {
        let [a, b, c, d, ..] = self.sha256.0;
        format!("{a:02x}{b:02x}{c:02x}{d:02x}|{}", self.facts().subject)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl Eq for Certificate {}

/// Facts about a certificate, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The subject, printed as Go's `pkix.Name` does (close to RFC 2253).
    pub subject: String,
    /// The issuer, printed in the same way.
    pub issuer: String,
    /// True if subject and issuer are the same bytes.
    pub self_issued: bool,
    /// X.509 version, 1 to 3 (0 if it is malformed).
    pub version: u8,
    /// The serial number in hex, two's complement as in the DER.
    pub serial: String,
    /// The first second in which the certificate is valid.
    pub not_before: Option<Timestamp>,
    /// The public key's algorithm and size, such as `RSA 2048` or `ECDSA P-256`.
    pub key: String,
}

impl Facts {
    fn of(layout: &Layout<'_>) -> Self {
        Self {
            subject: distinguished_name::print(layout.subject),
            issuer: distinguished_name::print(layout.issuer),
            // Equal bytes are self-issued (RFC 5280, 3.2); the signature is not checked.
            self_issued: layout.subject.raw == layout.issuer.raw,
            version: layout.version,
            serial: hex_digits("", layout.serial),
            not_before: Some(layout.not_before),
            key: SubjectPublicKeyInfo::from_der(layout.public_key)
                .map_or_else(|_| "unknown".to_owned(), |(_, info)| key(&info)),
        }
    }
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = &info.algorithm.algorithm;
    if let Some((_, name)) = PLAIN_KEYS.iter().find(|(id, _)| id == algorithm) {
        return (*name).to_owned();
    }
    if *algorithm == EC_PUBLIC_KEY {
        let curve = info.algorithm.parameters.as_ref().filter(|p| p.tag() == Tag::Oid);
        let Some(curve) = curve.and_then(|p| p.as_oid().ok()) else {
            // Explicit parameters are allowed by RFC 3279 and forbidden by RFC 5480, 2.1.1.
            return "ECDSA (explicit curve)".to_owned();
        };
        let known = CURVES.iter().find(|(id, _)| *id == curve).map(|(_, name)| *name);
        return format!("ECDSA {}", known.map_or_else(|| oid_text(&curve), str::to_owned));
    }
    // The size is that of the modulus, as for RSA: RFC 4055 uses the same key format.
    if *algorithm == RSASSA_PSS {
        return RSAPublicKey::from_der(&info.subject_public_key.data).map_or_else(
            |_| "RSA-PSS".into(),
            |(_, rsa)| format!("RSA-PSS {}", bits(rsa.modulus)),
        );
    }
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", bits(rsa.modulus)),
        Ok(PublicKey::DSA(_)) => {
            // The size is that of p, the first of the parameters (RFC 3279, 2.3.2).
            let parameters = info.algorithm.parameters.as_ref().map_or(&[][..], |p| p.data);
            let p = der::Elements { rest: parameters }.take(der::INTEGER);
            p.map_or_else(|| "DSA".to_owned(), |p| format!("DSA {}", bits(p.content)))
        }
        _ => oid_text(algorithm),
    }
}

/// Prints an object identifier in dots, `2.5.4.3`. One that is longer than any in use is printed as
/// its length, because conversion to decimal takes quadratic time.
#[must_use]
pub fn oid_text(oid: &Oid<'_>) -> String {
    match oid.as_bytes().len() {
        0..=OID_BYTES_MAX => oid.to_id_string(),
        bytes => format!("oid-of-{bytes}-bytes"),
    }
}

/// Returns `before`, followed by two digits for each byte.
fn hex_digits(before: &str, bytes: &[u8]) -> String {
    let mut out = String::with_capacity(before.len() + 2 * bytes.len());
    out.push_str(before);
    for byte in bytes {
        for digit in [byte >> 4, byte & 0x0f] {
            out.extend(char::from_digit(digit.into(), 16));
        }
    }
    out
}

/// Returns the size in bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let leading = number.iter().take_while(|byte| **byte == 0).count();
    let significant = number.get(leading..).unwrap_or_default();
    let first = significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    (significant.len() * 8).saturating_sub(first)
}

/// Bytes of an object identifier that is written out; those of X.509 have fewer than 20.
const OID_BYTES_MAX: usize = 128;
const EC_PUBLIC_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
const RSASSA_PSS: Oid<'static> = oid!(1.2.840.113549.1.1.10);
/// RFC 8410 keys, whose algorithm says it all.
const PLAIN_KEYS: [(Oid<'static>, &str); 4] = [
    (oid!(1.3.101.112), "Ed25519"),
    (oid!(1.3.101.113), "Ed448"),
    (oid!(1.3.101.110), "X25519"),
    (oid!(1.3.101.111), "X448"),
];
/// Named curves (RFC 5480, RFC 5639, SEC 2, GM/T 0006) that occur in CA certificates.
const CURVES: [(Oid<'static>, &str); 9] = [
    (oid!(1.2.840.10045.3.1.7), "P-256"),
    (oid!(1.3.132.0.34), "P-384"),
    (oid!(1.3.132.0.35), "P-521"),
    (oid!(1.3.132.0.33), "P-224"),
    (oid!(1.3.132.0.10), "secp256k1"),
    (oid!(1.3.36.3.3.2.8.1.1.7), "brainpoolP256r1"),
    (oid!(1.3.36.3.3.2.8.1.1.11), "brainpoolP384r1"),
    (oid!(1.3.36.3.3.2.8.1.1.13), "brainpoolP512r1"),
    (oid!(1.2.156.10197.1.301), "SM2"),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests read fixtures")]

    use super::*;
    use crate::pem;

    #[derive(serde::Deserialize)]
    struct GoFacts {
        name: String,
        parse_error: Option<String>,
        #[serde(default)]
        is_ca: bool,
        #[serde(default)]
        subject: String,
        #[serde(default)]
        issuer: String,
        #[serde(default)]
        version: u8,
        #[serde(default)]
        not_before_unix: i64,
        #[serde(default)]
        not_after_unix: i64,
        sha256: String,
        #[serde(default)]
        alias: String,
    }

    fn recorded() -> Vec<(GoFacts, Result<Certificate, Unsound>)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/certificates");
        let facts = std::fs::read_to_string(format!("{folder}/facts.json")).unwrap();
        let facts: Vec<GoFacts> = serde_json::from_str(&facts).unwrap();
        facts
            .into_iter()
            .map(|fact| {
                let text = std::fs::read(format!("{folder}/{}.pem", fact.name)).unwrap();
                let items = pem::read(&text);
                let [pem::Item::Block(block)] = items.as_slice() else { panic!("{items:?}") };
                let read = Certificate::from_der(&block.content);
                (fact, read)
            })
            .collect()
    }

    #[test]
    fn whatever_go_reads_is_read_with_the_same_facts() {
        let mut compared = 0;
        for (go, ours) in recorded() {
            assert!(go.parse_error.is_some() || ours.is_ok(), "{}: {ours:?}", go.name);
            let Ok(ours) = ours else { continue };
            assert_eq!(ours.sha256().to_string(), go.sha256, "{}", go.name);
            if go.parse_error.is_some() {
                continue;
            }
            compared += 1;
            let facts = ours.facts();
            assert_eq!(facts.subject, go.subject, "{}", go.name);
            assert_eq!(facts.issuer, go.issuer, "{}", go.name);
            assert_eq!(ours.alias(), go.alias, "{}", go.name);
            assert_eq!(ours.is_ca(), go.is_ca, "{}", go.name);
            assert_eq!(facts.version, go.version, "{}", go.name);
            assert_eq!(ours.not_after().unix(), go.not_after_unix, "{}", go.name);
            assert_eq!(facts.not_before.unwrap().unix(), go.not_before_unix, "{}", go.name);
        }
        assert!(compared > 100, "{compared}");
    }

    #[test]
    fn what_is_kept_beyond_go_is_what_the_list_says() {
        let kept: Vec<String> = recorded()
            .into_iter()
            .filter(|(go, ours)| go.parse_error.is_some() && ours.is_ok())
            .map(|(go, _)| go.name)
            .collect();
        let list = include_str!("../../../tests/fixtures/certificates/kept-beyond-go.txt");
        let listed: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(kept, listed);
    }

    #[test]
    fn keys_are_named_with_their_size() {
        let wanted = [
            ("key-rsa-2048", "RSA 2048"),
            ("key-rsa-16384", "RSA 16384"),
            ("key-rsa-pss", "RSA-PSS 2048"),
            ("key-p384", "ECDSA P-384"),
            ("key-brainpoolp256r1", "ECDSA brainpoolP256r1"),
            ("key-secp256k1", "ECDSA secp256k1"),
            ("key-p256-explicit", "ECDSA (explicit curve)"),
            ("key-ed25519", "Ed25519"),
            ("key-dsa-2048", "DSA 2048"),
        ];
        let all = recorded();
        for (name, key) in wanted {
            let (_, ours) = all.iter().find(|(go, _)| go.name == name).expect(name);
            assert_eq!(ours.as_ref().unwrap().facts().key, key, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_and_damaged_bytes_never_panic(
            bytes: Vec<u8>, which in 0_usize..200, at in 0_usize..600, with: u8,
        ) {
            let _ = Certificate::from_der(&bytes).map(|c| c.facts());
            let all = sound_ders();
            let mut damaged = all[which % all.len()].clone();
            let at = at % damaged.len();
            damaged[at] = with;
            let _ = Certificate::from_der(&damaged).map(|c| (c.facts(), c.alias()));
        }
    }

    fn sound_ders() -> &'static [Vec<u8>] {
        static DERS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
        DERS.get_or_init(|| {
            recorded().into_iter().filter_map(|(_, c)| Some(c.ok()?.der().to_vec())).collect()
        })
    }
}
