//! Reading manifests: YAML or JSON, several documents, Lists; and printing objects.
//!
//! A manifest is read as kubectl and the API server would take it in: one document, one object;
//! what the server would add is added ([`Manifest`]), what it would refuse is an error that names
//! document and field. Values of data are never quoted.

mod core;
mod json;
mod yaml;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::validate::{self, UnknownField};
use crate::{labels, v1alpha1};

/// An object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// A Bundle with its defaults filled in, not yet validated.
    Bundle(Value),
    /// A ConfigMap.
    ConfigMap(Box<ConfigMap>),
    /// An object of a kind that trustd does not deal in.
    Ignored {
        /// The API group and version.
        api_version: String,
        kind: String,
        /// The name, if it has one.
        name: String,
        /// The kind or the API group that was probably meant, if it is one that trustd reads.
        meant: Option<String>,
    },
    /// A Namespace, with the label `kubernetes.io/metadata.name`.
    Namespace(Box<Namespace>),
    /// A Secret, with `stringData` folded into `data`.
    Secret(Box<Secret>),
}

/// An object, and where in its text it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The document's number in the text, from 1; empty ones count.
    pub document: usize,
    /// The line on which the document begins, from 1.
    pub line: usize,
    /// The object.
    pub manifest: Manifest,
    /// Fields of the object that the API server does not know. They are not in `manifest`, except
    /// in a Bundle, where they are ignored.
    pub unknown: Vec<UnknownField>,
}

/// A text is no manifest. The caller knows the file's name and says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("document {document} (line {line}): {kind}")]
pub struct ManifestError {
    /// The document's number in the text, from 1.
    pub document: usize,
    /// The line of the fault if it is known, else that on which the document begins, from 1.
    pub line: usize,
    pub kind: ManifestErrorKind,
}

/// The problem with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestErrorKind {
    /// The name is missing.
    #[error("a {0} without `metadata.name`; give it a name")]
    NoName(String),
    /// Something other than an object.
    #[error("not a Kubernetes object; it must have `apiVersion` and `kind`")]
    NotAnObject,
    /// The bytes are not UTF-8.
    #[error("not UTF-8 text; a manifest is YAML or JSON")]
    NotText,
    /// The text cannot be parsed.
    #[error("{0}")]
    Syntax(String),
    /// A field holds what it cannot hold.
    #[error("{object}: `{field}`: {message}")]
    Type {
        /// Kind and name.
        object: String,
        /// Path of the field.
        field: String,
        /// The values that the field accepts.
        message: String,
    },
    /// A kind that trustd knows, in a version that it does not.
    #[error("{kind} of apiVersion `{found}`; trustd reads `{wanted}`")]
    Version {
        /// The kind.
        kind: String,
        /// The version that it has.
        found: String,
        /// The version that is read.
        wanted: &'static str,
    },
}

/// Reads every object of a text.
///
/// # Errors
/// The first document that is no manifest.
pub fn read(bytes: &[u8]) -> Result<Vec<Found>, ManifestError> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        ManifestError { document: 1, line, kind: ManifestErrorKind::NotText }
    })?;
    // Editors on Windows write a byte order mark, which JSON does not allow (RFC 8259, 8.1).
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents = if text.trim_start().starts_with('{') {
        // It may still be YAML: a flow mapping, or JSON documents with `---` between them.
        json::documents(text).or_else(|error| yaml::documents(text).map_err(|_| error))?
    } else {
        yaml::documents(text)?
    };
    let mut found = Vec::new();
    for Document { number, line, value } in documents {
        let failed = |kind| ManifestError { document: number, line, kind };
        let mut manifests = Vec::new();
        objects(value, None, 0, &mut manifests).map_err(failed)?;
        let located = |(manifest, unknown)| Found { document: number, line, manifest, unknown };
        found.extend(manifests.into_iter().map(located));
    }
    Ok(found)
}

/// Prints an object as YAML, which kubectl and YAML 1.1 parsers read back as it was.
///
/// # Errors
/// When the value cannot be written as YAML, which no Kubernetes object is.
pub fn to_yaml(object: &impl Serialize) -> Result<String, serde_saphyr::ser::Error> {
    // Long lines are not folded: people search for them, and copy PEM and JSON from them.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(object, options)
}

/// The CRD of Bundles as a file: what `trustd crd` prints and `deploy/crds/bundles.yaml` holds.
///
/// # Errors
/// When it cannot be written as YAML, which a test rules out.
pub fn crd() -> Result<String, serde_saphyr::ser::Error> {
    let mut value = serde_json::to_value(v1alpha1::crd()).map_err(|error| error.to_string())?;
    whole_numbers(&mut value);
    Ok(format!("# Made by `trustd crd`; do not edit.\n{}", to_yaml(&value)?))
}

/// The types hold bounds as floating point; a `minimum` of 0 reads better than one of 0.0.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().map(|float| format!("{float:.0}"));
            let whole = whole.and_then(|text| text.parse::<i64>().ok());
            if let Some(whole) = whole.filter(|_| number.is_f64())
                && number.to_string() == format!("{whole}.0")
            {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// A document: its number and line in the text, and what it says.
struct Document {
    number: usize,
    line: usize,
    value: Value,
}

/// Takes a value apart into objects; `within` is the kind of the typed List that it stands in.
fn objects(
    value: Value,
    within: Option<(&str, &str)>,
    depth: usize,
    out: &mut Vec<(Manifest, Vec<UnknownField>)>,
) -> Result<(), ManifestErrorKind> {
    let Value::Object(mut object) = value else { return Err(ManifestErrorKind::NotAnObject) };
    if let Some((api_version, kind)) = within {
        // The items of a typed list, such as ConfigMapList, may leave out apiVersion and kind.
        object.entry("apiVersion").or_insert_with(|| api_version.into());
        object.entry("kind").or_insert_with(|| kind.into());
    }
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        return Err(ManifestErrorKind::NotAnObject);
    };
    let is_list = kind.ends_with("List") && object.get("items").is_some_and(Value::is_array);
    if is_list && depth < LISTS_WITHIN_LISTS_MAX {
        let Some(Value::Array(items)) = object.remove("items") else { return Ok(()) };
        let item = kind.strip_suffix("List").filter(|item| !item.is_empty());
        for value in items {
            objects(value, item.map(|item| (api_version.as_str(), item)), depth + 1, out)?;
        }
        return Ok(());
    }
    out.push(manifest(object, &api_version, &kind)?);
    Ok(())
}

fn manifest(
    mut object: Map<String, Value>,
    api_version: &str,
    kind: &str,
) -> Result<(Manifest, Vec<UnknownField>), ManifestErrorKind> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    // The version is checked later: an unknown version of a known kind is an error, not a stranger.
    let wanted = match (group, kind) {
        (labels::GROUP, labels::KIND) => labels::API_VERSION,
        ("", "ConfigMap" | "Namespace" | "Secret") => "v1",
        _ => {
            let name = name(&object).unwrap_or_default().to_owned();
            let meant = meant(group, kind);
            let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
            return Ok((Manifest::Ignored { api_version, kind, name, meant }, Vec::new()));
        }
    };
    if api_version != wanted {
        let (kind, found) = (kind.to_owned(), api_version.to_owned());
        return Err(ManifestErrorKind::Version { kind, found, wanted });
    }
    check_name(kind, &object)?;
    // Before the object is typed, which drops unknown fields without a word.
    // Unknown fields are collected before the types drop them.
    let unknown = validate::unknown_fields(&object, kind);
    if kind != labels::KIND {
        core::prepare(kind, &mut object)?;
    }
    known(object, kind).map(|manifest| (manifest, unknown))
}

/// Returns the kind or API group that was probably meant in place of one that trustd does not read:
/// `Configmap`, `Secrets`.
fn meant(group: &str, kind: &str) -> Option<String> {
    let known: &[&str] = match group {
        "" => &["ConfigMap", "Namespace", "Secret"],
        labels::GROUP => &[labels::KIND],
        _ => {
            // Other groups have a kind Bundle too: only a group that is nearly ours is a typo.
            let near = validate::nearest(group, [labels::GROUP].into_iter())?;
            let is_bundle = validate::nearest(kind, [labels::KIND].into_iter()).is_some();
            return is_bundle.then(|| format!("`{}` of `{near}`", labels::KIND));
        }
    };
    validate::nearest(kind, known.iter().copied()).map(|near| format!("`{near}`"))
}

/// Checks that there is a name at all. Each kind has its own rules for the characters in it.
fn check_name(kind: &str, object: &Map<String, Value>) -> Result<(), ManifestErrorKind> {
    match object.get("metadata").and_then(|metadata| metadata.get("name")) {
        Some(Value::String(name)) if !name.is_empty() => Ok(()),
        None | Some(Value::Null | Value::String(_)) => {
            Err(ManifestErrorKind::NoName(kind.to_owned()))
        }
        Some(_) => Err(ManifestErrorKind::Type {
            object: kind.to_owned(),
            field: "metadata.name".to_owned(),
            message: "must be a string; quote numbers, true and false".to_owned(),
        }),
    }
}

/// The object of a kind that trustd reads, as the API server would keep it.
fn known(object: Map<String, Value>, kind: &str) -> Result<Manifest, ManifestErrorKind> {
    match kind {
        "ConfigMap" => Ok(Manifest::ConfigMap(Box::new(typed(kind, object)?))),
        "Namespace" => {
            let mut namespace: Namespace = typed(kind, object)?;
            let name = namespace.metadata.name.clone().unwrap_or_default();
            let labels = namespace.metadata.labels.get_or_insert_default();
            // Since Kubernetes 1.21 the API server sets this label on every namespace, and
            // selectors rely on it. https://kubernetes.io/docs/reference/labels-annotations-taints/
            labels.insert(labels::NAMESPACE_NAME_LABEL.to_owned(), name);
            Ok(Manifest::Namespace(Box::new(namespace)))
        }
        "Secret" => {
            let mut secret: Secret = typed(kind, object)?;
            // `stringData` is write-only, and overrides the same key of `data`.
            for (key, text) in secret.string_data.take().into_iter().flatten() {
                let bytes = k8s_openapi::ByteString(text.into_bytes());
                secret.data.get_or_insert_default().insert(key, bytes);
            }
            Ok(Manifest::Secret(Box::new(secret)))
        }
        _ => {
            let mut bundle = Value::Object(object);
            v1alpha1::apply_defaults(&mut bundle);
            Ok(Manifest::Bundle(bundle))
        }
    }
}

fn name(object: &Map<String, Value>) -> Option<&str> {
    object.get("metadata")?.get("name")?.as_str()
}

/// Reads a core object. An error says where and what should be there, but not what is.
fn typed<T: DeserializeOwned>(
    kind: &str,
    object: Map<String, Value>,
) -> Result<T, ManifestErrorKind> {
    let described = format!("{kind} {}", name(&object).unwrap_or_default());
    serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
        let field = error.path().to_string();
        let part = field.split('.').next().unwrap_or_default();
        let message = match (kind, part) {
            ("ConfigMap", "data") => "values must be strings; quote numbers, true and false".into(),
            (_, "stringData") => "values must be strings; quote numbers, true and false".into(),
            (_, "data" | "binaryData") => "values must be strings in base64".into(),
            _ => error.into_inner().to_string(),
        };
        ManifestErrorKind::Type { object: described, field, message }
    })
}

/// A List of Lists is odd, and a List of Lists of Lists is an attack on the stack.
const LISTS_WITHIN_LISTS_MAX: usize = 3;

#[cfg(test)]
mod tests;
