//! Bodies of writes: the data of all targets of one content, serialised once.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ObjectMeta;
use serde::Serialize;
use trustd_api::object::{self, Applied};
use trustd_core::format::Rendered;
use trustd_core::names::Kind;

use super::WriteError;

/// The part of the body that all targets of one content share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) struct Body {
    /// `{"apiVersion":"v1","kind":"ConfigMap","metadata":`
    head: String,
    /// `,"data":{…}}`
    tail: Vec<u8>,
}

impl Body {
    /// Serialises the data of this content.
    ///
    /// # Errors
    /// Never in practice: maps of text become JSON.
    pub(in crate::controller) fn new(rendered: &Rendered) -> Result<Self, WriteError> {
        let mut body = Self::empty(rendered.kind);
        body.tail.clear();
        match object::with_metadata(rendered, ObjectMeta::default()) {
            Applied::ConfigMap(ConfigMap { data, binary_data, .. }) => {
                body.field("data", data.as_ref())?;
                body.field("binaryData", binary_data.as_ref())?;
            }
            Applied::Secret(Secret { data, .. }) => body.field("data", data.as_ref())?,
        }
        body.tail.push(b'}');
        Ok(body)
    }

    /// A body without data.
    pub(in crate::controller) fn empty(kind: Kind) -> Self {
        let head = format!("{{\"apiVersion\":\"v1\",\"kind\":\"{kind}\",\"metadata\":");
        Self { head, tail: b"}".to_vec() }
    }

    /// The body of one target.
    ///
    /// # Errors
    /// Never in practice: metadata becomes JSON.
    pub(in crate::controller) fn with(&self, metadata: &ObjectMeta) -> Result<Vec<u8>, WriteError> {
        let mut bytes = Vec::with_capacity(self.head.len() + self.tail.len() + METADATA_BYTES);
        bytes.extend_from_slice(self.head.as_bytes());
        serde_json::to_writer(&mut bytes, metadata).map_err(WriteError::Serialize)?;
        bytes.extend_from_slice(&self.tail);
        Ok(bytes)
    }

    fn field(&mut self, name: &str, value: Option<&impl Serialize>) -> Result<(), WriteError> {
        if let Some(value) = value {
            self.tail.extend_from_slice(format!(",\"{name}\":").as_bytes());
            serde_json::to_writer(&mut self.tail, value).map_err(WriteError::Serialize)?;
        }
        Ok(())
    }
}

/// Room for metadata: two names, some marks, an owner reference; more is found when it is needed.
const METADATA_BYTES: usize = 1024;
