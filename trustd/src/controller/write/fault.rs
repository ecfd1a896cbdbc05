//! What can become of a write, by name. What a fault means for the target is read off here, once.

use std::time::Duration;

use http::StatusCode;
use kube::core::Status;
use trustd_core::outcome::Category;

use crate::controller::lease::NotLeader;

/// Why a write was not carried out, or why nobody knows whether it was.
#[derive(Debug, thiserror::Error)]
pub(in crate::controller) enum Fault {
    /// The answer is not what the API server answers.
    #[error("the API server's answer cannot be read")]
    Answer(#[source] serde_json::Error),
    /// The server said no.
    #[error("the API server answered {}: {}", .0.code, .0.message)]
    Api(Box<Status>, Option<Duration>),
    /// It took longer than the other targets do while many hung, and was given up to make room.
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

/// What follows from a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Consequence {
    /// The object was another, or another version, than expected: look again.
    LookAgain,
    /// The namespace is going or gone, and the target with it.
    NamespaceGone,
    /// Nothing was tried; whoever leads next will.
    NotLeader,
    /// Another manager holds our key with another value.
    Refused,
    /// The content does not fit; only a change cures that.
    TooLarge,
    /// Try again, later each time.
    TryAgain(Category),
    /// Nobody should try anything for so long.
    Wait(Duration),
}

impl Fault {
    /// Whether there is no such object (or no such namespace).
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(status, _) if status.is_not_found())
    }

    /// What follows from it.
    pub(in crate::controller) fn consequence(&self) -> Consequence {
        match self {
            Self::Api(status, retry_after) => {
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
            Consequence::Refused => "refused",
            Consequence::TooLarge => "too-large",
            Consequence::TryAgain(category) => category.0,
            Consequence::Wait(_) => "throttled",
        }
    }
}

/// Judges by code, reason and causes, and by the text only where the server says it in no other way.
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
        403 if status.message.contains("exceeded quota") => {
            Consequence::TryAgain(Category("quota"))
        }
        403 if status.message.contains("admission webhook") => {
            Consequence::TryAgain(Category("webhook"))
        }
        403 => Consequence::TryAgain(Category("forbidden")),
        404 if details.is_some_and(|details| details.kind == "namespaces") => {
            Consequence::NamespaceGone
        }
        404 => Consequence::LookAgain,
        409 if has_cause("FieldManagerConflict") => Consequence::Refused,
        409 => Consequence::LookAgain,
        413 => Consequence::TooLarge,
        // Another object stands there now.
        422 if cause_at("metadata.uid") => Consequence::LookAgain,
        // A `test` of a JSON patch failed; the server says no more than this.
        422 if status.message.contains("due to an error in our request") => Consequence::LookAgain,
        422 if has_cause("FieldValueTooLong") => Consequence::TooLarge,
        422 if status.message.contains("ValidatingAdmissionPolicy") => {
            Consequence::TryAgain(Category("policy"))
        }
        422 if status.message.contains("immutable") => Consequence::TryAgain(Category("immutable")),
        504 => Consequence::TryAgain(TIMEOUT),
        // One that hangs or is away, and one that says no, with whatever code it likes.
        _ if WEBHOOK.iter().any(|text| status.message.contains(text)) => {
            Consequence::TryAgain(Category("webhook"))
        }
        400 | 422 => Consequence::TryAgain(Category("invalid")),
        _ => Consequence::TryAgain(Category("server-error")),
    }
}

const WEBHOOK: [&str; 2] = ["failed calling webhook", "admission webhook"];
const INTERNAL: Category = Category("internal-error");
const TIMEOUT: Category = Category("timeout");
const UNREACHABLE: Category = Category("unreachable");
/// How long to pause when a server that has too much to do does not say.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause on one word of the server; it may repeat it.
const PAUSE_MAX: Duration = Duration::from_secs(60);
