//! Certificates, and the bundle that they should come to.

use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cluster::assets::repository;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use serde_json::Value as Json;
use trustd_core::certificate::Sha256;

/// The text of fixture certificates, one after the other.
pub(crate) fn pem(names: &[&str]) -> String {
    let read = |name: &&str| {
        fs::read_to_string(repository().join(format!("tests/fixtures/peer/ca/{name}.pem"))).unwrap()
    };
    names.iter().map(read).collect()
}

/// What a target holds for these certificates: ascending by SHA-256, without a newline at the end.
pub(crate) fn bundle(names: &[&str]) -> String {
    let by_digest: BTreeMap<Vec<u8>, String> = names
        .iter()
        .map(|name| {
            let text = pem(&[name]).trim_end().to_owned();
            let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
            let der = BASE64_STANDARD.decode(body).unwrap();
            (Sha256::of(&der).to_string().into_bytes(), text)
        })
        .collect();
    by_digest.into_values().collect::<Vec<_>>().join("\n")
}

/// The objects of this name that the peer left behind, its Bundle first, with managedFields.
pub(crate) fn objects(name: &str) -> Vec<Json> {
    let path = repository().join("tests/fixtures/peer/objects/v0.25.0.json");
    let list: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    let mut found: Vec<Json> =
        items.filter(|item| item["metadata"]["name"] == name).cloned().collect();
    found.sort_by_key(|item| item["kind"] != "Bundle");
    found
}

/// A CA certificate of this name that expires then, with so many bytes of padding, as PEM.
pub(crate) fn ca(name: &str, not_after: SystemTime, padding: usize) -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_after = date_time_ymd(1970, 1, 1) + not_after.duration_since(UNIX_EPOCH).unwrap();
    if padding > 0 {
        let octets = vec![0; padding];
        params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 9999], octets));
    }
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}
