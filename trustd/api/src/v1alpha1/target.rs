//! The target of a Bundle: the objects that are written, and their formats.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use super::selector::{LabelSelector, LabelValue};
use crate::labels;

/// The objects that the bundle is written to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::some_target(),
    validation = rules::unique_key("jks"),
    validation = rules::unique_key("pkcs12")
)]
pub struct Target {
    /// Asks for a ConfigMap in each namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<Template>,
    /// Asks for a Secret in each namespace. trustd writes Secrets only when it was started with
    /// `--secret-targets-enabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Template>,
    /// Asks for trust stores beside the PEM text, in ConfigMaps and Secrets alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_formats: Option<AdditionalFormats>,
    /// Picks the namespaces by their labels. Left out or empty, it picks all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
}

/// The template of the targets of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// The key that the PEM text is written to.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// Labels and annotations that the target bears besides trustd's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1))]
    pub metadata: Option<Metadata>,
}

/// Labels and annotations of a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Annotations of the target. Keys of trustd's and trust-manager's own are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 512))]
    #[x_kube(
        validation = rules::not_reserved("annotations"),
        validation = rules::annotation_keys()
    )]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Labels of the target. Keys of trustd's and trust-manager's own are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "Option<BTreeMap<String, LabelValue>>",
        extend("minProperties" = 1, "maxProperties" = 512)
    )]
    #[x_kube(validation = rules::not_reserved("labels"), validation = rules::label_keys())]
    pub labels: Option<BTreeMap<String, String>>,
}

/// Trust stores beside the PEM text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::some_format())]
pub struct AdditionalFormats {
    /// Asks for a Java key store. PKCS#12 is the better choice: every Java since 8 reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1))]
    pub jks: Option<Jks>,
    /// Asks for a PKCS#12 store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1))]
    pub pkcs12: Option<Pkcs12>,
}

/// A Java key store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Jks {
    /// The key that the store is written to, unlike every other key of the target.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// The password of the store. It protects nothing, for what is in the store is public.
    #[serde(default = "jks_password", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub password: Option<String>,
}

/// A PKCS#12 store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Pkcs12 {
    /// The key that the store is written to, unlike every other key of the target.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// The password of the store. Empty, which is the default, means that the store is neither
    /// encrypted nor authenticated; `profile` then has no effect.
    #[serde(default = "pkcs12_password", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 0, max = 128))]
    pub password: Option<String>,
    /// The algorithms of the store: `Modern2023` (AES-256 and SHA-256), `LegacyDES` (triple DES
    /// and SHA-1, which old and new software reads) or `LegacyRC2` (RC2 and SHA-1, which OpenSSL 3
    /// and Java 20 no longer read by default). Left out, it is `LegacyRC2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// Algorithms of a PKCS#12 store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Profile {
    /// RC2-40 and SHA-1.
    #[serde(rename = "LegacyRC2")]
    LegacyRc2,
    /// Triple DES and SHA-1.
    #[serde(rename = "LegacyDES")]
    LegacyDes,
    /// AES-256 and SHA-256.
    Modern2023,
}

#[allow(clippy::unnecessary_wraps, reason = "the field's default must have the field's type")]
fn jks_password() -> Option<String> {
    Some(labels::JKS_PASSWORD_DEFAULT.to_owned())
}

#[allow(clippy::unnecessary_wraps, reason = "the field's default must have the field's type")]
fn pkcs12_password() -> Option<String> {
    Some(labels::PKCS12_PASSWORD_DEFAULT.to_owned())
}
