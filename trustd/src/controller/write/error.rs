//! Errors of writes, and the one place that decides what each means for its target.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;
use kube::core::Status;
use trustd_core::outcome::Category;

use crate::controller::lease::NotLeader;

/// The reason why a write was not carried out, or why its result is unknown.
#[derive(Debug, thiserror::Error)]
pub(in crate::controller) enum WriteError {
    /// The answer is not what the API server answers.
    #[error("the API server's answer cannot be read")]
    Answer(#[source] serde_json::Error),
    /// The server said no.
    #[error("the API server answered {}: {}", .0.code, .0.message)]
    Api(Box<Status>, Option<Duration>),
    /// The write took longer than those of other targets while many hung, and was cancelled to make
    /// room.
    #[error("given up to make room, after other targets had long been answered")]
    GivenUp,
    /// There was nothing to do; a mistake of the caller.
    #[error("there is nothing to write")]
    Nothing,
    /// The lease is lost.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The request did not make sense; a mistake of the caller.
    #[error("the request cannot be made")]
    Request(#[source] http::Error),
    /// Our side of the write does not become JSON.
    #[error("the object cannot be serialised")]
    Serialize(#[source] serde_json::Error),
    /// The server did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The connection failed.
    #[error("cannot reach the API server")]
    Transport(#[source] kube::Error),
}

/// The consequence of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Consequence {
    /// The object was another, or another version, than expected: look again.
    LookAgain,
    /// The namespace is going or gone, and the target with it.
    NamespaceGone,
    /// This process may not write any more; the next leader will.
    NotLeader,
    /// Another manager holds a field of ours with another value.
    Refused,
    /// Another manager holds our key as a binary value.
    RefusedBinary,
    /// The object is too large; only a change cures that.
    TooLarge(Large),
    /// Try again, later each time.
    TryAgain(Category),
    /// Nobody should try anything for so long.
    Wait(Duration),
}

/// The part of a write that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Large {
    /// All annotations of the object, with those of others.
    Annotations,
    /// All data of the object, with that of others.
    Data,
    /// The request, or the object as it is stored.
    Request,
}

impl WriteError {
    /// Returns true if there is no such object (or no such namespace).
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(status, _) if status.is_not_found())
    }

    /// Returns true if the only obstacle are our data keys, which other managers hold.
    pub(super) fn is_conflict_over_data(&self) -> bool {
        let fields = self.conflicts();
        !fields.is_empty() && fields.iter().all(|field| field.starts_with(".data"))
    }

    /// The fields of ours that other managers hold with other values, such as `.data.ca.crt`.
    pub(in crate::controller) fn conflicts(&self) -> BTreeSet<&str> {
        let Self::Api(status, _) = self else { return BTreeSet::new() };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let conflicts = causes.filter(|cause| cause.reason == CONFLICT);
        conflicts.map(|cause| cause.field.as_str()).collect()
    }

    /// Returns the consequence for the target.
    pub(in crate::controller) fn consequence(&self) -> Consequence {
        match self {
            Self::Api(status, retry_after) => {
                if let Some(category) = denied(&status.message) {
                    return Consequence::TryAgain(category);
                }
                if status.code == StatusCode::TOO_MANY_REQUESTS.as_u16() {
                    return Consequence::Wait(retry_after.unwrap_or(PAUSE).min(PAUSE_MAX));
                }
                of_status(status)
            }
            Self::NotLeader(_) => Consequence::NotLeader,
            Self::GivenUp | Self::Timeout(_) => Consequence::TryAgain(TIMEOUT),
            Self::Transport(_) => Consequence::TryAgain(UNREACHABLE),
            Self::Answer(_) | Self::Nothing | Self::Request(_) | Self::Serialize(_) => {
                Consequence::TryAgain(INTERNAL)
            }
        }
    }

    /// A short, fixed name for metrics.
    pub(in crate::controller) fn category(&self) -> &'static str {
        match self.consequence() {
            Consequence::LookAgain => "conflict",
            Consequence::NamespaceGone => "namespace-gone",
            Consequence::NotLeader => "not-leader",
            Consequence::Refused | Consequence::RefusedBinary => "refused",
            Consequence::TooLarge(_) => "too-large",
            Consequence::TryAgain(category) => category.0,
            Consequence::Wait(_) => "throttled",
        }
    }
}

/// Returns who denied a write, if the server's text says so. Policies and webhooks answer with any
/// code, so this check precedes all codes. Their texts may quote others, so the first of these
/// words counts.
fn denied(message: &str) -> Option<Category> {
    let said = DENIERS.iter().filter_map(|(words, name)| Some((message.find(words)?, *name)));
    said.min().map(|(_, name)| Category(name))
}

/// Judges by code, reason and causes, and by the text only where the server says it in no other
/// way.
fn of_status(status: &Status) -> Consequence {
    let details = status.details.as_ref();
    let has_cause = |reason: &str| {
        details.is_some_and(|details| details.causes.iter().any(|cause| cause.reason == reason))
    };
    let cause_at = |field: &str| {
        details.is_some_and(|details| details.causes.iter().any(|cause| cause.field == field))
    };
    match status.code {
        401 => Consequence::TryAgain(Category("unauthorized")),
        403 if has_cause("NamespaceTerminating") => Consequence::NamespaceGone,
        403 => Consequence::TryAgain(Category("forbidden")),
        404 if details.is_some_and(|details| details.kind == "namespaces") => {
            Consequence::NamespaceGone
        }
        404 => Consequence::LookAgain,
        409 if has_cause(CONFLICT) => Consequence::Refused,
        409 => Consequence::LookAgain,
        413 => Consequence::TooLarge(Large::Request),
        // Another object stands there now.
        422 if cause_at("metadata.uid") => Consequence::LookAgain,
        // A `test` of a JSON patch failed; the server says no more than this.
        422 if status.message.contains("due to an error in our request") => Consequence::LookAgain,
        // Text cannot be applied beside a binary value of the same key.
        422 if status.message.contains("duplicate of key present in binaryData") => {
            Consequence::RefusedBinary
        }
        422 if has_cause("FieldValueTooLong") => {
            Consequence::TooLarge(if cause_at("metadata.annotations") {
                Large::Annotations
            } else {
                Large::Data
            })
        }
        422 if status.message.contains("immutable") => Consequence::TryAgain(Category("immutable")),
        504 => Consequence::TryAgain(TIMEOUT),
        // With managedFields and the data of others an object can be more than etcd takes.
        500 if TOO_LARGE.iter().any(|text| status.message.contains(text)) => {
            Consequence::TooLarge(Large::Request)
        }
        400 | 422 => Consequence::TryAgain(Category("invalid")),
        _ => Consequence::TryAgain(Category("server-error")),
    }
}

/// The cause of a 409 for a field that another manager applied or updated.
const CONFLICT: &str = "FieldManagerConflict";
/// The beginnings of the API server's denials, with the kind of denier. A webhook that hangs or is
/// unavailable counts with those that refuse.
const DENIERS: [(&str, &str); 4] = [
    ("AdmissionPolicy '", "policy"),
    ("admission webhook \"", "webhook"),
    ("exceeded quota:", "quota"),
    ("failed calling webhook \"", "webhook"),
];
/// etcd's words for more than its `--max-request-bytes`, and those of its client.
const TOO_LARGE: [&str; 2] =
    ["etcdserver: request is too large", "trying to send message larger than max"];
const INTERNAL: Category = Category("internal-error");
const TIMEOUT: Category = Category("timeout");
const UNREACHABLE: Category = Category("unreachable");
/// The pause when an overloaded server does not name one.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause on one word of the server; it may repeat it.
const PAUSE_MAX: Duration = Duration::from_secs(60);
