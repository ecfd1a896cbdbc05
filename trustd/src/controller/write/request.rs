//! Requests to the API server, made by hand and answered with metadata.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, PartialObjectMeta};
use kube::client::Body as Payload;
use kube::core::Status;
use kube::{Client, core::DynamicObject};
use serde_json::Value as Json;
use trustd_api::labels;
use trustd_api::object::Object;
use trustd_core::names::Kind;
use trustd_core::world::Observed;

use super::WriteError;
use crate::controller::clock::Instant;
use crate::controller::lease::Permit;
use crate::controller::queue::TargetRef;
use crate::telemetry::Metrics;

/// The answer of the API server.
#[derive(Clone, Debug)]
pub(in crate::controller) struct ApiResponse {
    pub(in crate::controller) status: StatusCode,
    /// The metadata of the object.
    pub(in crate::controller) metadata: ObjectMeta,
}

/// The action of a request, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) enum ApiVerb {
    /// Server-side apply.
    Apply,
    /// Apply of a status.
    ApplyStatus,
    /// Create, of an event.
    Create,
    /// Delete.
    Delete,
    /// JSON patch, or merge patch of an event.
    Patch,
}

impl ApiVerb {
    /// Returns the name that metrics use.
    pub(in crate::controller) const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::ApplyStatus => "apply-status",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Patch => "patch",
        }
    }
}

/// A connection to the API server, for requests made by hand.
#[derive(Clone)]
pub(in crate::controller) struct ApiClient {
    client: Client,
    metrics: Metrics,
}

impl ApiClient {
    /// A client over this one, which must not try again by itself.
    pub(in crate::controller) const fn new(client: Client, metrics: Metrics) -> Self {
        Self { client, metrics }
    }

    /// The metadata of a target.
    ///
    /// # Errors
    /// When it is not there, or the server does not say.
    pub(super) async fn get(
        &self,
        unit: &TargetRef,
        timeout: Duration,
    ) -> Result<ApiResponse, WriteError> {
        let request = Request::get(path(unit))
            .header(header::ACCEPT, METADATA)
            .body(Payload::empty())
            .map_err(WriteError::Request)?;
        answer(&self.exchange(request, timeout).await?)
    }

    /// A target with its values.
    ///
    /// # Errors
    /// When it is not there, or the server does not say.
    pub(super) async fn get_whole(
        &self,
        unit: &TargetRef,
        timeout: Duration,
    ) -> Result<Observed, WriteError> {
        let request = Request::get(path(unit))
            .header(header::ACCEPT, JSON)
            .body(Payload::empty())
            .map_err(WriteError::Request)?;
        let (_, body) = self.exchange(request, timeout).await?;
        Ok(match unit.kind {
            Kind::ConfigMap => {
                let object: ConfigMap =
                    serde_json::from_slice(&body).map_err(WriteError::Answer)?;
                Object::ConfigMap(&object).observed()
            }
            Kind::Secret => {
                let object: Secret = serde_json::from_slice(&body).map_err(WriteError::Answer)?;
                Object::Secret(&object).observed()
            }
        })
    }

    /// Applies a body to a target.
    ///
    /// # Errors
    /// When the server says no, or nothing.
    pub(super) async fn apply(
        &self,
        unit: &TargetRef,
        body: Vec<u8>,
        force: bool,
        permit: &Permit<'_>,
    ) -> Result<ApiResponse, WriteError> {
        let uri = format!(
            "{}?fieldManager={}&force={force}&{}",
            path(unit),
            labels::FIELD_MANAGER,
            timeout(permit)
        );
        let request = Request::patch(uri)
            .header(header::ACCEPT, METADATA)
            .header(header::CONTENT_TYPE, APPLY)
            .body(Payload::from(body))
            .map_err(WriteError::Request)?;
        answer(&self.write(ApiVerb::Apply, kind(unit.kind), request, permit).await?)
    }

    /// Applies a status to a Bundle; the answer is the whole Bundle.
    ///
    /// # Errors
    /// When the server says no, or nothing.
    pub(in crate::controller) async fn apply_status(
        &self,
        bundle: &str,
        body: &Json,
        permit: &Permit<'_>,
    ) -> Result<DynamicObject, WriteError> {
        let uri = format!(
            "/apis/{}/bundles/{bundle}/status?fieldManager={}&force=true&{}",
            labels::API_VERSION,
            labels::FIELD_MANAGER,
            timeout(permit)
        );
        let request = with_json(Method::PATCH, &uri, APPLY, body)?;
        let answer = self.write(ApiVerb::ApplyStatus, labels::KIND, request, permit).await?;
        serde_json::from_slice(&answer.1).map_err(WriteError::Answer)
    }

    /// Creates or patches an event.
    ///
    /// # Errors
    /// When the server says no, or nothing.
    pub(in crate::controller) async fn event(
        &self,
        patched: Option<&str>,
        body: &Json,
        permit: &Permit<'_>,
    ) -> Result<(), WriteError> {
        let request = match patched {
            None => {
                let uri = format!("{EVENTS}?{}", timeout(permit));
                with_json(Method::POST, &uri, JSON, body)?
            }
            Some(name) => {
                let uri = format!("{EVENTS}/{name}?{}", timeout(permit));
                with_json(Method::PATCH, &uri, MERGE, body)?
            }
        };
        let verb = if patched.is_some() { ApiVerb::Patch } else { ApiVerb::Create };
        self.write(verb, "Event", request, permit).await.map(drop)
    }

    /// Changes a target by a JSON patch.
    ///
    /// # Errors
    /// When the server says no, or nothing.
    pub(super) async fn patch(
        &self,
        unit: &TargetRef,
        patch: &Json,
        permit: &Permit<'_>,
    ) -> Result<ApiResponse, WriteError> {
        let manager = labels::FIELD_MANAGER;
        let uri = format!("{}?fieldManager={manager}&{}", path(unit), timeout(permit));
        let mut request = with_json(Method::PATCH, &uri, JSON_PATCH, patch)?;
        request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static(METADATA));
        answer(&self.write(ApiVerb::Patch, kind(unit.kind), request, permit).await?)
    }

    /// Deletes a target.
    ///
    /// # Errors
    /// When the server says no, or nothing.
    pub(super) async fn delete(
        &self,
        unit: &TargetRef,
        options: &Json,
        permit: &Permit<'_>,
    ) -> Result<(), WriteError> {
        let uri = format!("{}?{}", path(unit), timeout(permit));
        let request = with_json(Method::DELETE, &uri, JSON, options)?;
        self.write(ApiVerb::Delete, kind(unit.kind), request, permit).await.map(drop)
    }

    /// Sends a write, if the lease still allows it, and counts the outcome.
    async fn write(
        &self,
        verb: ApiVerb,
        kind: &'static str,
        request: Request<Payload>,
        permit: &Permit<'_>,
    ) -> Result<(StatusCode, Vec<u8>), WriteError> {
        let done = match permit.check(Instant::now()) {
            Ok(()) => self.exchange(request, permit.timeout()).await,
            Err(not_leader) => Err(not_leader.into()),
        };
        let outcome = done.as_ref().map_or_else(WriteError::category, |_| "ok");
        self.metrics.written(verb.as_str(), kind, outcome);
        done
    }

    async fn exchange(
        &self,
        request: Request<Payload>,
        timeout: Duration,
    ) -> Result<(StatusCode, Vec<u8>), WriteError> {
        match tokio::time::timeout(timeout, self.send(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(WriteError::Timeout(timeout)),
        }
    }

    async fn send(&self, request: Request<Payload>) -> Result<(StatusCode, Vec<u8>), WriteError> {
        let response = self.client.send(request).await.map_err(WriteError::Transport)?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok().map(Duration::from_secs));
        let body = response.into_body().collect().await.map_err(WriteError::Transport)?.to_bytes();
        if status.is_success() {
            return Ok((status, body.to_vec()));
        }
        let said = serde_json::from_slice(&body).unwrap_or_else(|_| {
            // A proxy, perhaps; its page is no help.
            let reason = status.canonical_reason().unwrap_or("an unknown status");
            Status { message: reason.to_owned(), ..Status::default() }
        });
        let status = Status { code: status.as_u16(), ..said };
        Err(WriteError::Api(Box::new(status), retry_after))
    }
}

fn with_json(
    method: Method,
    uri: &str,
    content_type: &'static str,
    body: &Json,
) -> Result<Request<Payload>, WriteError> {
    let body = serde_json::to_vec(body).map_err(WriteError::Serialize)?;
    Request::builder()
        .method(method)
        .uri(uri)
        .header(header::ACCEPT, JSON)
        .header(header::CONTENT_TYPE, content_type)
        .body(Payload::from(body))
        .map_err(WriteError::Request)
}

fn answer((status, body): &(StatusCode, Vec<u8>)) -> Result<ApiResponse, WriteError> {
    let object: PartialObjectMeta = serde_json::from_slice(body).map_err(WriteError::Answer)?;
    Ok(ApiResponse { status: *status, metadata: object.metadata })
}

/// The server gives up when we do, or a leader's last write could land after its lease.
fn timeout(permit: &Permit<'_>) -> String {
    format!("timeout={}ms", permit.timeout().as_millis())
}

fn path(unit: &TargetRef) -> String {
    let plural = match unit.kind {
        Kind::ConfigMap => "configmaps",
        Kind::Secret => "secrets",
    };
    format!("/api/v1/namespaces/{}/{plural}/{}", unit.namespace, unit.bundle)
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::ConfigMap => "ConfigMap",
        Kind::Secret => "Secret",
    }
}

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
