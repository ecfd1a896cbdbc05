//! Is this Bundle valid, and if not, which fields are wrong: everything that the API server would
//! say of it, in the API server's words, without an API server.
//!
//! Bounds and types are read from the CRD's own schema; what the CRD says in CEL is said again in
//! `rules`. Answers recorded from a real API server (tests/fixtures/admission) keep them together.

mod field;
mod rules;
mod schema;
mod spec;
pub(crate) mod syntax;
mod unknown;

use std::fmt;

use serde_json::Value;
use trustd_core::spec::Spec;

pub use field::FieldError;
pub(crate) use unknown::nearest;
pub use unknown::{UnknownField, empty_selectors, unknown_fields};

use crate::labels;
use crate::v1alpha1::{self, Bundle};
use field::Node;

/// A Bundle that cannot be planned, and everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The name of the Bundle, as far as it has one.
    pub name: String,
    /// The problems, in the order of the fields; never empty.
    pub errors: Vec<FieldError>,
}

impl fmt::Display for Invalid {
    /// Formats the problems in the words of the API server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} \"{}\" is invalid: ", labels::KIND, labels::GROUP, self.name)?;
        match self.errors.as_slice() {
            [error] => error.fmt(f),
            errors => {
                let errors: Vec<String> = errors.iter().map(FieldError::to_string).collect();
                write!(f, "[{}]", errors.join(", "))
            }
        }
    }
}

impl std::error::Error for Invalid {}

/// Reads a raw Bundle, as a manifest or the API server has it.
///
/// # Errors
/// Every field that is wrong, wrong types among them.
pub fn read(raw: &Value) -> Result<Spec, Invalid> {
    let mut raw = raw.clone();
    v1alpha1::apply_defaults(&mut raw);
    let errors = errors_of(&raw);
    if !errors.is_empty() {
        return Err(invalid(&raw, errors));
    }
    let odd = |error: serde_json::Error| {
        // The schema and the types agree, which a test checks, so this does not happen.
        FieldError::new("spec", format!("Invalid value: {error}"))
    };
    let part = |name: &str| raw.get(name).cloned().unwrap_or_default();
    let spec = serde_json::from_value(part("spec")).map_err(|e| invalid(&raw, vec![odd(e)]))?;
    spec::resolve(&Node::root(&raw), spec).map_err(|errors| invalid(&raw, errors))
}

/// Checks a Bundle that has been read into types already.
///
/// # Errors
/// Every field that is wrong.
pub fn bundle(bundle: &Bundle) -> Result<Spec, Invalid> {
    let raw = serde_json::to_value(bundle).map_err(|error| Invalid {
        name: bundle.metadata.name.clone().unwrap_or_default(),
        errors: vec![FieldError::new("", format!("Internal error: {error}"))],
    })?;
    read(&raw)
}

/// Validates the name of a namespace. Returns the problem in the API server's words, or `None`.
#[must_use]
pub fn namespace_fault(name: &str) -> Option<&'static str> {
    syntax::dns_label_fault(name)
}

fn errors_of(raw: &Value) -> Vec<FieldError> {
    // Defaults come first: the API server validates the object with its defaults.
    let root = Node::root(raw);
    let mut errors = Vec::new();
    rules::metadata(&root, &mut errors);
    schema::check(v1alpha1::schema(), &root, &mut errors);
    rules::check(&root, &mut errors);
    errors.sort();
    errors.dedup();
    errors
}

fn invalid(raw: &Value, errors: Vec<FieldError>) -> Invalid {
    let name = raw.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    Invalid { name: name.to_owned(), errors }
}

#[cfg(test)]
mod tests;
