//! Values together with where they are, and what is wrong with them.

use std::fmt;

use serde_json::{Map, Value};

/// A validation error of one field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// The path of the field, as Kubernetes writes it: `spec.sources[0].configMap`.
    pub path: String,
    /// The problem, as Kubernetes words it: `Required value`, `Invalid value: "x": …`.
    pub message: String,
}

impl FieldError {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// `value` is not one that the field can have, because of `detail`.
    pub(crate) fn invalid(path: impl Into<String>, value: &str, detail: &str) -> Self {
        Self::new(path, format!("Invalid value: {}: {detail}", quoted(value)))
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A string in quotes, escaped as JSON does.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A value and its path.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) path: String,
    pub(super) value: &'a Value,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value }
    }

    /// The path of a field of this object, there or not.
    pub(super) fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    pub(super) fn get(&self, field: &str) -> Option<Self> {
        let value = self.object()?.get(field)?;
        Some(Self { path: self.path_of(field), value })
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.object().is_some_and(|object| object.contains_key(field))
    }

    pub(super) fn text(&self, field: &str) -> Option<&'a str> {
        self.object()?.get(field)?.as_str()
    }

    pub(super) fn is_true(&self, field: &str) -> bool {
        self.object().and_then(|object| object.get(field)) == Some(&Value::Bool(true))
    }

    pub(super) fn object(&self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    /// The items of this list; none if it is no list.
    pub(super) fn items(&self) -> Vec<Self> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(|(at, value)| Self { path: format!("{}[{at}]", self.path), value }).collect()
    }
}
