//! The data and marks of targets, rendered once per bundle and shared by all targets.
//!
//! JKS and PKCS#12 are not written yet. A Bundle that asks for them is refused as a whole, and
//! never written without them ([`unsupported`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::digest;

use crate::names::{DataKey, Kind};
use crate::selector::Labels;
use crate::spec::{Annotations, Profile, Store, Target, Template};

/// The content that all targets of one kind share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub kind: Kind,
    /// The value of each key.
    pub data: BTreeMap<DataKey, Value>,
    /// Labels from the template.
    pub labels: Labels,
    /// Annotations from the template.
    pub annotations: Annotations,
    /// The value of the hash annotation.
    pub hash: String,
    /// The hash of trust-manager before v0.25.0, if it differs (a PKCS#12 profile is set).
    pub hash_before_v0_25: Option<String>,
    /// The value of the content annotation: a digest of everything above.
    pub digest: String,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bytes: `binaryData` of a ConfigMap, `data` of a Secret.
    Bytes(Arc<[u8]>),
    /// Text: `data` of either.
    Text(Arc<str>),
}

impl Value {
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }
}

impl Rendered {
    /// Renders the targets of `kind`; `None` if the Bundle does not ask for them.
    #[must_use]
    pub fn new(kind: Kind, target: &Target, pem: &Arc<str>) -> Option<Self> {
        let template = target.template(kind)?;
        let Template { key, labels, annotations } = template.clone();
        let data = BTreeMap::from([(key, Value::Text(Arc::clone(pem)))]);
        let hash = peer_hash(pem, &target.stores, template, true);
        let older = peer_hash(pem, &target.stores, template, false);
        let hash_before_v0_25 = (older != hash).then_some(older);
        let digest = digest_of(pem, &target.stores, template);
        Some(Self { kind, data, labels, annotations, hash, hash_before_v0_25, digest })
    }

    /// Returns true if a hash annotation matches this content, in either of trust-manager's forms.
    #[must_use]
    pub fn is_hash(&self, annotation: &str) -> bool {
        annotation == self.hash || Some(annotation) == self.hash_before_v0_25.as_deref()
    }

    /// Sum of the decoded values, in bytes, which the API server limits.
    #[must_use]
    pub fn data_bytes(&self) -> usize {
        self.data.values().map(|value| value.bytes().len()).sum()
    }

    /// Sum of annotation keys and values, in bytes, including those that trustd adds.
    #[must_use]
    pub fn annotation_bytes(&self) -> usize {
        let template: usize = self.annotations.iter().map(|(k, v)| k.len() + v.len()).sum();
        template + OWN_ANNOTATIONS_BYTES_MAX
    }
}

/// Returns the keys of requested stores that cannot be written yet.
#[must_use]
pub fn unsupported(target: &Target) -> Vec<&DataKey> {
    target.stores.iter().map(Store::key).collect()
}

/// Computes the hash that trust-manager writes to its targets (`TrustBundleHash` there).
///
/// Lower-case hex of SHA-256 over the PEM, the passwords, the profile (since v0.25.0), and the
/// template's annotations and labels, concatenated without separators. Key names are not included.
fn peer_hash(pem: &str, stores: &[Store], template: &Template, with_profile: bool) -> String {
    let mut sha256 = digest::Context::new(&digest::SHA256);
    sha256.update(pem.as_bytes());
    for store in stores {
        match store {
            Store::Jks { password, .. } => sha256.update(password.as_bytes()),
            Store::Pkcs12 { password, profile, .. } => {
                sha256.update(password.as_bytes());
                let profile = profile.filter(|_| with_profile).map_or("", Profile::as_str);
                sha256.update(profile.as_bytes());
            }
        }
    }
    // Go iterates over sorted keys; a `BTreeMap` has the same order.
    for (key, value) in template.annotations.iter().chain(&template.labels) {
        sha256.update(key.as_bytes());
        sha256.update(value.as_bytes());
    }
    hex(sha256)
}

/// Computes trustd's own digest. Unlike trust-manager's it covers key names, and prefixes each part
/// with its length, so that two contents never concatenate to the same bytes.
fn digest_of(pem: &str, stores: &[Store], template: &Template) -> String {
    let mut parts: Vec<&[u8]> = vec![CONTENT_VERSION, template.key.as_str().as_bytes()];
    parts.push(pem.as_bytes());
    for store in stores {
        parts.push(store.key().as_str().as_bytes());
        match store {
            Store::Jks { password, .. } => parts.extend([b"jks", password.as_bytes()]),
            Store::Pkcs12 { password, profile, .. } => {
                let profile = profile.unwrap_or(Profile::LegacyRc2);
                parts.extend([b"pkcs12", password.as_bytes(), profile.as_str().as_bytes()]);
            }
        }
    }
    for (what, map) in [("annotations", &template.annotations), ("labels", &template.labels)] {
        parts.push(what.as_bytes());
        parts.extend(map.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]));
    }
    let mut sha256 = digest::Context::new(&digest::SHA256);
    for part in parts {
        sha256.update(&(part.len() as u64).to_be_bytes());
        sha256.update(part);
    }
    hex(sha256)
}

/// Formats a digest as lower-case hex.
fn hex(sha256: digest::Context) -> String {
    sha256.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Version of the encoding of stores; a change makes every target be written again.
const CONTENT_VERSION: &[u8] = b"1";
/// Limit for our own annotations: hash (26 + 64), content (29 + 64) and shared (28 + 4) are 215.
pub const OWN_ANNOTATIONS_BYTES_MAX: usize = 256;
/// The API server's limit on the data of a ConfigMap or Secret (`MaxSecretSize`: 1 MiB).
pub const DATA_BYTES_MAX: usize = 1024 * 1024;
/// The API server's limit on annotations (`TotalAnnotationSizeLimitB`: 256 KiB).
pub const ANNOTATION_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::Selector;

    /// The recorded answers of trust-manager's own code (tests/fixtures/peer/README.md).
    #[test]
    fn hashes_are_those_of_trust_manager_in_both_forms() {
        #[derive(serde::Deserialize)]
        struct Goldens {
            cases: Vec<Case>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Case {
            name: String,
            pem: String,
            jks_password: Option<String>,
            pkcs12_password: Option<String>,
            pkcs12_profile: Option<String>,
            #[serde(default)]
            annotations: Option<Annotations>,
            #[serde(default)]
            labels: Option<Labels>,
            #[serde(rename = "hash_v0_24_0")]
            before: String,
            #[serde(rename = "hash_v0_25_0")]
            now: String,
        }
        let goldens: Goldens =
            serde_json::from_str(include_str!("../../../tests/fixtures/peer/hashes.json")).unwrap();
        assert!(goldens.cases.len() >= 20);
        for case in goldens.cases {
            let key = |text: &str| DataKey::from(text);
            let mut stores = Vec::new();
            if let Some(password) = case.jks_password {
                stores.push(Store::Jks { key: key("a.jks"), password });
            }
            if case.pkcs12_password.is_some() || case.pkcs12_profile.is_some() {
                let profile = case.pkcs12_profile.as_deref().and_then(|profile| {
                    [Profile::LegacyDes, Profile::LegacyRc2, Profile::Modern2023]
                        .into_iter()
                        .find(|p| p.as_str() == profile)
                });
                let password = case.pkcs12_password.unwrap_or_default();
                stores.push(Store::Pkcs12 { key: key("a.p12"), password, profile });
            }
            let target = Target {
                config_map: Some(Template {
                    key: key("ca.crt"),
                    labels: case.labels.unwrap_or_default(),
                    annotations: case.annotations.unwrap_or_default(),
                }),
                secret: None,
                stores,
                namespaces: Selector::default(),
            };
            let rendered =
                Rendered::new(Kind::ConfigMap, &target, &case.pem.as_str().into()).unwrap();
            assert_eq!(rendered.hash, case.now, "{}", case.name);
            let before = rendered.hash_before_v0_25.as_ref().unwrap_or(&rendered.hash);
            assert_eq!(*before, case.before, "{}", case.name);
            assert!(rendered.is_hash(&case.now) && rendered.is_hash(&case.before));
        }
    }

    fn target(key: &str, labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Target {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        Target {
            config_map: Some(Template {
                key: key.into(),
                labels: map(labels),
                annotations: map(annotations),
            }),
            secret: None,
            stores: Vec::new(),
            namespaces: Selector::default(),
        }
    }

    fn content_of(target: &Target) -> String {
        Rendered::new(Kind::ConfigMap, target, &"pem".into()).unwrap().digest
    }

    #[test]
    fn the_content_digest_tells_apart_what_the_peers_hash_runs_together() {
        let plain = target("a", &[("x", "yz")], &[]);
        let alike = [
            target("b", &[("x", "yz")], &[]),
            target("a", &[("xy", "z")], &[]),
            target("a", &[], &[("x", "yz")]),
        ];
        for other in alike {
            let hash = |t| Rendered::new(Kind::ConfigMap, t, &"pem".into()).unwrap().hash;
            assert_eq!(hash(&plain), hash(&other), "or this test shows nothing");
            assert_ne!(content_of(&plain), content_of(&other), "{other:?}");
        }
    }

    #[test]
    fn a_kind_that_is_not_wanted_is_not_rendered() {
        assert_eq!(Rendered::new(Kind::Secret, &target("a", &[], &[]), &"pem".into()), None);
    }
}
