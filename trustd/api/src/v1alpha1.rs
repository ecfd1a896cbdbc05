//! `Bundle` of trust.cert-manager.io/v1alpha1: trust-manager's API, field for field, and trustd's
//! additions (most of `status`).
//!
//! Doc comments of fields are the descriptions of the CRD. Bounds and rules stand beside the fields
//! they bind; what the API server refuses is refused by these alone, there is no webhook.
//! Reading tolerates unknown fields; writing leaves out what is not set.

#![allow(unreachable_pub, reason = "the derive hides copies of public types in functions")]

mod crd;
mod defaults;
mod rules;
mod selector;
mod status;
mod target;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crd::{crd, schema};
pub(crate) use rules::QUALIFIED_NAME;
pub(crate) use selector::{LABEL_KEY_PATTERN, LABEL_VALUE_PATTERN};
pub use selector::{LabelSelector, LabelSelectorRequirement};
pub use status::{BundleStatus, Certificates, Condition, Targets};
pub use target::{AdditionalFormats, Jks, Metadata, Pkcs12, Profile, Target, Template};

/// The sources of a Bundle, and the targets that it is written to.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "trust.cert-manager.io",
    version = "v1alpha1",
    kind = "Bundle",
    plural = "bundles",
    status = "BundleStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A set of CA certificates, gathered from sources and kept in every namespace that matches.",
    printcolumn(
        name = "ConfigMap Target",
        type_ = "string",
        description = "Key of the PEM text in target ConfigMaps",
        json_path = ".spec.target.configMap.key"
    ),
    printcolumn(
        name = "Secret Target",
        type_ = "string",
        description = "Key of the PEM text in target Secrets",
        json_path = ".spec.target.secret.key"
    ),
    printcolumn(
        name = "Synced",
        type_ = "string",
        description = "Whether every target holds the bundle",
        json_path = ".status.conditions[?(@.type == \"Synced\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Why it is so, in one word",
        json_path = ".status.conditions[?(@.type == \"Synced\")].reason"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        description = "Time since the Bundle was created",
        json_path = ".metadata.creationTimestamp"
    ),
    validation = rules::not_its_own_source("configMap"),
    validation = rules::not_its_own_source("secret")
)]
#[serde(rename_all = "camelCase")]
pub struct BundleSpec {
    /// The sources of certificates. All of them together make the bundle; their order does not
    /// matter.
    #[schemars(length(min = 1, max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = rules::some_source(), validation = rules::default_cas_once())]
    pub sources: Vec<Source>,
    /// The objects that the bundle is written to: one named like the Bundle in each namespace that
    /// matches. Without a target nothing is written, and what was written before is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

/// One place that certificates come from: exactly one of its fields is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[x_kube(validation = rules::exactly_one_source())]
pub struct Source {
    /// ConfigMaps of the trust namespace, one by name or several by label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = rules::key_is_set("configMap"),
        validation = rules::key_is_not_set("configMap")
    )]
    pub config_map: Option<ObjectKeys>,
    /// Secrets of the trust namespace, one by name or several by label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = rules::key_is_set("secret"),
        validation = rules::key_is_not_set("secret")
    )]
    pub secret: Option<ObjectKeys>,
    /// PEM text, written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_048_576))]
    pub in_line: Option<String>,
    /// Reads the default CA package if true. The package must have been given to trustd when it was
    /// started, by `--default-package-location`. At most one source may have this field, and
    /// `false` is as good as no source.
    #[serde(default, rename = "useDefaultCAs", skip_serializing_if = "Option::is_none")]
    pub use_default_cas: Option<bool>,
}

/// Keys of ConfigMaps or Secrets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[x_kube(validation = rules::name_or_selector())]
pub struct ObjectKeys {
    /// The name of one object, which must be there. Either this or `selector` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// Picks every object whose labels match, which may be none. An empty selector matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// The key that holds PEM text; every object picked must have it. Either this is set, or
    /// `includeAllKeys` is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
    /// Reads every key if true. This is not possible for Secrets of type `kubernetes.io/tls`, which
    /// hold a private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_all_keys: Option<bool>,
}

/// Does to a raw Bundle what the API server does before it judges: `null` counts as absent, and
/// what is absent gets its default (the passwords of trust stores).
pub fn apply_defaults(bundle: &mut Value) {
    defaults::apply(schema(), bundle);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_are_filled_in_where_nothing_is_said() {
        let bundle = |jks: Value, pkcs12: Value| json!({"spec": {"target": {"additionalFormats": {"jks": jks, "pkcs12": pkcs12}}}});
        let mut plain = bundle(json!({"key": "a"}), json!({"key": "b", "password": null}));
        apply_defaults(&mut plain);
        assert_eq!(
            plain,
            bundle(
                json!({"key": "a", "password": "changeit"}),
                json!({"key": "b", "password": ""})
            )
        );
        let said = bundle(json!({"password": "x"}), json!({"password": "y"}));
        let mut kept = said.clone();
        apply_defaults(&mut kept);
        assert_eq!(kept, said);
        let mut nulls =
            json!({"spec": {"target": null, "sources": [null, {"inLine": null, "new": null}]}});
        apply_defaults(&mut nulls);
        assert_eq!(nulls, json!({"spec": {"sources": [null, {"new": null}]}}));
        let mut odd = bundle(json!("text"), json!([]));
        apply_defaults(&mut odd);
        assert_eq!(odd, bundle(json!("text"), json!([])));
    }

    #[test]
    fn unknown_fields_are_read_and_what_is_not_set_is_not_written() {
        let raw = json!({
            "apiVersion": "trust.cert-manager.io/v1alpha1",
            "kind": "Bundle",
            "metadata": {"name": "b"},
            "spec": {"sources": [{"useDefaultCAs": true, "later": 1}], "later": {}},
            "status": {"defaultCAVersion": "v", "later": []},
        });
        let bundle: Bundle = serde_json::from_value(raw).unwrap();
        let wanted = json!({
            "apiVersion": "trust.cert-manager.io/v1alpha1",
            "kind": "Bundle",
            "metadata": {"name": "b"},
            "spec": {"sources": [{"useDefaultCAs": true}]},
            "status": {"defaultCAVersion": "v"},
        });
        assert_eq!(serde_json::to_value(bundle).unwrap(), wanted);
        assert_eq!(serde_json::to_value(BundleStatus::default()).unwrap(), json!({}));
    }
}
