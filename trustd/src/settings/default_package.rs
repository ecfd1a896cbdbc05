//! The default CA package: a JSON file with a name, a version and PEM text, made for trust-manager.
//!
//! Read as the peer's Go reads it (`encoding/json`), oddities included, so that a package which
//! works there works here, under the same identity.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use trustd_core::bundle::{Collector, Filters, Rejected};
use trustd_core::certificate::Sha256;
use trustd_core::names::Origin;
use trustd_core::time::Timestamp;
use trustd_core::world::DefaultCas;

/// A file is no default CA package.
#[derive(Debug, thiserror::Error)]
pub enum BadPackage {
    /// The file name has the wrong ending.
    #[error("the name of a package must end with `.json`")]
    Ending,
    /// The file is not JSON, or one of its fields is no string.
    #[error("not a JSON object with the strings `name`, `version` and `bundle`")]
    Json(#[source] serde_json::Error),
    /// A field that must say something does not.
    #[error("`{0}` is missing or empty")]
    Missing(&'static str),
    /// The PEM text must not be distributed.
    #[error("its certificates cannot be distributed")]
    Rejected(#[source] Rejected),
}

/// Reads a package. Zero certificates are fine, as they are for the peer.
///
/// # Errors
/// When the file is no package, or holds anything but certificates.
pub fn default_package(path: &Path, bytes: &[u8]) -> Result<DefaultCas, BadPackage> {
    let name = path.file_name().unwrap_or_default();
    if !name.as_encoded_bytes().ends_with(b".json") {
        return Err(BadPackage::Ending);
    }
    // Go replaces what is not UTF-8 and stops reading behind the object.
    let text = String::from_utf8_lossy(bytes);
    let mut reader = serde_json::Deserializer::from_str(&text);
    // Strings read as bytes, below, may hold raw line breaks; a plain pass refuses them as Go does.
    IgnoredAny::deserialize(&mut serde_json::Deserializer::from_str(&text))
        .map_err(BadPackage::Json)?;
    let package = Option::<PackageFile>::deserialize(&mut reader).map_err(BadPackage::Json)?;
    let PackageFile { name, version, bundle } = package.unwrap_or_default();
    for (field, value) in [("name", &name), ("version", &version)] {
        if value.is_empty() {
            return Err(BadPackage::Missing(field));
        }
    }
    let digest = Sha256::of(bundle.as_bytes()).to_string();
    let identity: Arc<str> =
        format!("{name}-{version}-{}", digest.get(..16).unwrap_or_default()).into();
    let origin = Origin::DefaultCas { package: Arc::clone(&identity) };
    // Filters play no part here, so neither does the time.
    let mut collector = Collector::new(Filters::default(), Timestamp::from_unix(0));
    match collector.add(&origin, bundle.as_bytes()) {
        Ok(_) => Ok(DefaultCas { identity, pem: bundle.into() }),
        Err(rejected) => match rejected.into_iter().next() {
            Some(first) => Err(BadPackage::Rejected(first)),
            None => Ok(DefaultCas { identity, pem: bundle.into() }),
        },
    }
}

/// The fields of a package; letter case of their names does not matter, and the last one counts.
#[derive(Default)]
struct PackageFile {
    name: String,
    version: String,
    bundle: String,
}

impl<'de> Deserialize<'de> for PackageFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = PackageFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<PackageFile, A::Error> {
        let mut package = PackageFile::default();
        while let Some(key) = entries.next_key::<String>()? {
            let field = match key.to_lowercase().as_str() {
                "name" => &mut package.name,
                "version" => &mut package.version,
                "bundle" => &mut package.bundle,
                _ => {
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            // `null` leaves what was there.
            if let Some(Text(value)) = entries.next_value::<Option<Text>>()? {
                *field = value;
            }
        }
        Ok(package)
    }
}

/// A JSON string in which half a surrogate pair (`\ud800`) is U+FFFD, as in Go, and no error.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextBytes)
    }
}

struct TextBytes;

impl Visitor<'_> for TextBytes {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    /// serde_json hands over half a pair as its three bytes in UTF-8's scheme, the first 0xED.
    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            if chunk.invalid().first() == Some(&0xed) {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        Ok(Text(text))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    /// The recorded answers of trust-manager's own code (tests/fixtures/peer/README.md).
    #[test]
    fn packages_are_taken_as_trust_manager_takes_them() {
        #[derive(Deserialize)]
        struct Goldens {
            cases: Vec<Case>,
        }
        #[derive(Deserialize)]
        struct Case {
            name: String,
            file: String,
            text: String,
            error: Option<String>,
            identity: Option<String>,
        }
        let goldens = include_str!("../../../tests/fixtures/peer/packages.json");
        let goldens: Goldens = serde_json::from_str(goldens).unwrap();
        assert!(goldens.cases.len() >= 40);
        let mut wider = Vec::new();
        for case in goldens.cases {
            let bytes = base64::engine::general_purpose::STANDARD.decode(&case.text).unwrap();
            let ours = default_package(Path::new(&case.file), &bytes);
            match (ours, case.error) {
                (Ok(ours), None) => {
                    assert_eq!(Some(&*ours.identity), case.identity.as_deref(), "{}", case.name);
                }
                (Ok(_), Some(_)) => wider.push(case.name),
                (Err(_), Some(_)) => {}
                (Err(error), None) => panic!("{}: {error:?}", case.name),
            }
        }
        assert_eq!(wider, Vec::<String>::new());
    }

    #[test]
    fn a_private_key_in_a_package_is_refused_with_its_line() {
        let text = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let json = serde_json::json!({ "name": "n", "version": "1", "bundle": text });
        let error = default_package(Path::new("p.json"), json.to_string().as_bytes()).unwrap_err();
        let chain = crate::exit::chain(&error);
        assert!(chain.contains("line 1: only CERTIFICATE blocks"), "{chain}");
        assert!(!chain.contains("c2VjcmV0"), "{chain}");
    }
}
