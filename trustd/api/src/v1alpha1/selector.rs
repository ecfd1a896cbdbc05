//! Label selectors, with the bounds that let the API server check them.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// A selector of labels: all of its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LabelSelector {
    /// Labels that must be there with these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, LabelValue>>", extend("maxProperties" = 256))]
    #[x_kube(validation = rules::label_keys())]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Further conditions on labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Option<Vec<LabelSelectorRequirement>>,
}

/// A condition on one label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::values_given(), validation = rules::values_not_given())]
pub struct LabelSelectorRequirement {
    /// The key of the label.
    #[schemars(
        length(max = 317),
        regex(pattern = LABEL_KEY_PATTERN)
    )]
    pub key: String,
    /// `In` or `NotIn`, which compare the label's value with `values`; `Exists` or
    /// `DoesNotExist`, which do not.
    #[schemars(extend("enum" = ["In", "NotIn", "Exists", "DoesNotExist"]))]
    pub operator: String,
    /// The values to compare with, at least one for `In` and `NotIn`, none for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "Option<Vec<LabelValue>>",
        length(max = 256),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub values: Option<Vec<String>>,
}

/// The schema of a label's value. Values are kept as plain text.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct LabelValue(
    #[schemars(
        length(max = 63),
        regex(pattern = LABEL_VALUE_PATTERN)
    )]
    #[allow(dead_code, reason = "only the schema of this type is used")]
    String,
);

/// The pattern of a label's key: an optional prefix with a slash, and a name.
pub(crate) const LABEL_KEY_PATTERN: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$";

/// The pattern of a label's value.
pub(crate) const LABEL_VALUE_PATTERN: &str = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";
