//! Conversion of a valid Bundle to the planner's spec.

use serde_json::Value;
use trustd_core::names::Kind;
use trustd_core::selector::{Condition, Requirement, Selector};
use trustd_core::spec::{Keys, Pick, Profile, Source, SourceRef, Spec, Store, Target, Template};

use super::field::{FieldError, Node};
use super::syntax;
use crate::labels;
use crate::v1alpha1::{self, BundleSpec, LabelSelector, LabelSelectorRequirement, ObjectKeys};

/// The core's form of a Bundle. Errors are left for what the checks before should have refused.
pub(super) fn resolve(bundle: &Node<'_>, spec: BundleSpec) -> Result<Spec, Vec<FieldError>> {
    let metadata = bundle.get("metadata");
    let text = |field: &str| metadata.as_ref().and_then(|metadata| metadata.text(field));
    let name = text("name").unwrap_or_default();
    // The CRD must not have this rule: a Bundle of trust-manager may have a longer name, and the
    // API server would then reject every update of its status.
    if spec.target.is_some() && name.len() > syntax::NAME_PART_MAX {
        let detail = "must be no more than 63 characters, for targets bear it as a label";
        return Err(vec![FieldError::invalid("metadata.name", name, detail)]);
    }
    let mut sources = Vec::new();
    for (index, item) in spec.sources.into_iter().enumerate() {
        let nothing = || vec![FieldError::new(format!("spec.sources[{index}]"), "Required value")];
        if item.use_default_cas != Some(false) {
            sources.push(Source { index, from: source(item).ok_or_else(nothing)? });
        }
    }
    Ok(Spec {
        name: name.into(),
        uid: text("uid").map(Into::into),
        deleting: text("deletionTimestamp").is_some(),
        paused: is_paused(bundle),
        synced: is_synced(bundle.value),
        sources,
        target: spec.target.map(target),
    })
}

fn is_paused(bundle: &Node<'_>) -> bool {
    let annotations = bundle.get("metadata").and_then(|metadata| metadata.get("annotations"));
    annotations.is_some_and(|all| all.text(labels::PAUSED_ANNOTATION) == Some(labels::ON))
}

/// Returns true if the status says that the current generation is synced. This reads the raw value:
/// a malformed status counts as none, and is no reason to refuse a Bundle.
fn is_synced(bundle: &Value) -> bool {
    let generation = bundle.pointer("/metadata/generation").and_then(Value::as_i64);
    let conditions = bundle.pointer("/status/conditions").and_then(Value::as_array);
    generation.is_some()
        && conditions.into_iter().flatten().any(|condition| {
            let text = |field: &str| condition.get(field).and_then(Value::as_str);
            text("type") == Some(labels::SYNCED)
                && text("status") == Some("True")
                && condition.get("observedGeneration").and_then(Value::as_i64) == generation
        })
}

fn source(item: v1alpha1::Source) -> Option<SourceRef> {
    let v1alpha1::Source { config_map, secret, in_line, use_default_cas } = item;
    let objects = |kind, keys: ObjectKeys| {
        let pick = match (keys.name, keys.selector) {
            (Some(name), _) => Pick::Named(name.into()),
            (None, asked) => Pick::Selected(selector(asked?)?),
        };
        let keys = match keys.key {
            Some(key) => Keys::One(key.into()),
            None => Keys::All,
        };
        Some(SourceRef::Objects { kind, pick, keys })
    };
    match (config_map, secret, in_line, use_default_cas) {
        (Some(keys), ..) => objects(Kind::ConfigMap, keys),
        (_, Some(keys), ..) => objects(Kind::Secret, keys),
        (_, _, Some(text), _) => Some(SourceRef::InLine(text)),
        (.., Some(true)) => Some(SourceRef::DefaultCas),
        _ => None,
    }
}

fn target(target: v1alpha1::Target) -> Target {
    let formats = target.additional_formats.unwrap_or_default();
    let jks = formats.jks.map(|store| Store::Jks {
        key: store.key.into(),
        password: store.password.unwrap_or_else(|| labels::JKS_PASSWORD_DEFAULT.to_owned()),
    });
    let pkcs12 = formats.pkcs12.map(|store| Store::Pkcs12 {
        key: store.key.into(),
        password: store.password.unwrap_or_else(|| labels::PKCS12_PASSWORD_DEFAULT.to_owned()),
        profile: store.profile.map(|profile| match profile {
            v1alpha1::Profile::LegacyDes => Profile::LegacyDes,
            v1alpha1::Profile::LegacyRc2 => Profile::LegacyRc2,
            v1alpha1::Profile::Modern2023 => Profile::Modern2023,
        }),
    });
    Target {
        config_map: target.config_map.map(template),
        secret: target.secret.map(template),
        stores: jks.into_iter().chain(pkcs12).collect(),
        namespaces: target.namespace_selector.and_then(selector).unwrap_or_default(),
    }
}

fn template(template: v1alpha1::Template) -> Template {
    let metadata = template.metadata.unwrap_or_default();
    Template {
        key: template.key.into(),
        labels: metadata.labels.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
    }
}

fn selector(selector: LabelSelector) -> Option<Selector> {
    let labels = selector.match_labels.unwrap_or_default().into_iter();
    let mut requirements: Vec<Requirement> = labels
        .map(|(key, value)| Requirement { key, condition: Condition::Equals(value) })
        .collect();
    for expression in selector.match_expressions.unwrap_or_default() {
        requirements.push(requirement(expression)?);
    }
    Some(Selector::new(requirements))
}

fn requirement(expression: LabelSelectorRequirement) -> Option<Requirement> {
    let values = expression.values.unwrap_or_default().into_iter().collect();
    let condition = match expression.operator.as_str() {
        "In" => Condition::In(values),
        "NotIn" => Condition::NotIn(values),
        "Exists" => Condition::Exists,
        "DoesNotExist" => Condition::Absent,
        _ => return None,
    };
    Some(Requirement { key: expression.key, condition })
}
