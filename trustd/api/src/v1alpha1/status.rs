//! The status of a Bundle.
//!
//! Times are text as the API server holds it: certificates may end in the year 9999, which not
//! every type for times can say.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trustd_core::outcome::{CertificateCounts, TargetCounts};

/// The status of a Bundle, as trustd reports it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct BundleStatus {
    /// The state of the Bundle in one condition, `Synced`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 0, max = 10),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// The default CA package that the bundle was made with, if it has one as a source: name,
    /// version and the start of a digest.
    #[serde(default, rename = "defaultCAVersion", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub default_ca_version: Option<String>,
    /// The number of targets, by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Targets>,
    /// The number of certificates, and when the first one expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Certificates>,
}

/// One aspect of the state of a Bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect that the condition is about.
    #[serde(rename = "type")]
    #[schemars(
        length(max = 316),
        regex(
            pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
        )
    )]
    pub type_: String,
    /// The state of the aspect: `True`, `False` or `Unknown`.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,
    /// The reason in one word, for programs.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub reason: String,
    /// The reason in a sentence, for people.
    #[schemars(length(max = 32_768))]
    pub message: String,
    /// The time at which `status` last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// The `metadata.generation` of the Bundle that this was said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

/// Targets of a Bundle, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// The number of targets that there should be.
    #[schemars(range(min = 0))]
    pub desired: i64,
    /// The number that hold the bundle.
    #[schemars(range(min = 0))]
    pub synced: i64,
    /// The number that could not be written; they are tried again.
    #[schemars(range(min = 0))]
    pub failed: i64,
    /// The number that were left alone, because an object that is not trustd's stands there.
    #[schemars(range(min = 0))]
    pub refused: i64,
}

/// Certificates of a Bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Certificates {
    /// The number of certificates in the bundle.
    #[schemars(range(min = 0))]
    pub total: i64,
    /// The number that filters left out, because they are expired or are not CAs.
    #[schemars(range(min = 0))]
    pub filtered: i64,
    /// The number of PEM blocks that could not be read and were left out.
    #[schemars(range(min = 0))]
    pub skipped: i64,
    /// The time at which the first certificate of the bundle expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub earliest_not_after: Option<String>,
}

impl From<TargetCounts> for Targets {
    fn from(counts: TargetCounts) -> Self {
        let TargetCounts { desired, synced, failed, refused } = counts;
        Self {
            desired: int(desired),
            synced: int(synced),
            failed: int(failed),
            refused: int(refused),
        }
    }
}

impl From<CertificateCounts> for Certificates {
    fn from(counts: CertificateCounts) -> Self {
        let CertificateCounts { total, filtered, skipped, earliest_not_after } = counts;
        Self {
            total: int(total),
            filtered: int(filtered),
            skipped: int(skipped),
            earliest_not_after: earliest_not_after.map(|time| time.to_string()),
        }
    }
}

fn int(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
