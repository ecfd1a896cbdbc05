//! The audit log: who asked the API server for what, and what it answered.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// The log of a running API server.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
}

/// A place in the log, to read on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(u64);

/// One answered request. A watch counts when it begins and again when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who asked: `system:serviceaccount:cert-manager:trust-manager`.
    pub user: String,
    /// What for: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The plural of the kind: `configmaps`. Empty for `/version` and the like.
    pub resource: String,
    /// `status`, `token` or empty.
    pub subresource: String,
    /// Empty for what is cluster-wide, and for requests across namespaces.
    pub namespace: String,
    /// Empty for lists, watches and for what is created by POST.
    pub name: String,
    /// The path and the query.
    pub uri: String,
    /// The status of the answer.
    pub code: u16,
    /// When the request came in, as RFC 3339 in microseconds.
    pub received: String,
    /// When it came to this stage, in the same form.
    pub reached: String,
    /// How far the request is: `ResponseStarted` (of watches), `ResponseComplete` or `Panic`.
    pub stage: String,
}

impl Event {
    /// Whether it asks for a change.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, user, verb, uri, code, .. } = self;
        write!(out, "{received} {user} {verb} {uri}: {code}")
    }
}

impl Audit {
    /// The log in this file.
    #[must_use]
    pub fn of(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where the log ends now.
    ///
    /// # Errors
    /// Fails when there is no log.
    pub fn mark(&self) -> Result<Mark> {
        let about = std::fs::metadata(&self.path);
        about.map(|about| Mark(about.len())).with_context(|| self.unreadable())
    }

    /// What was asked after the mark, in the order of the answers.
    ///
    /// # Errors
    /// Fails when the log cannot be read or is not what the API server writes.
    pub fn since(&self, mut mark: Mark) -> Result<Vec<Event>> {
        self.read_on(&mut mark)
    }

    /// What was asked after the mark, which moves behind it.
    ///
    /// # Errors
    /// Fails as [`Audit::since`].
    pub fn read_on(&self, mark: &mut Mark) -> Result<Vec<Event>> {
        let mut text = String::new();
        let mut read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(mark.0))?;
            file.read_to_string(&mut text)
        };
        read().with_context(|| self.unreadable())?;
        // The last line may be on its way.
        let whole = text.rfind('\n').and_then(|end| text.get(..=end)).unwrap_or_default();
        mark.0 += u64::try_from(whole.len())?;
        whole
            .lines()
            .map(|line| {
                let raw: Raw = serde_json::from_str(line)
                    .with_context(|| format!("not an audit event: {line}"))?;
                Ok(raw.into())
            })
            .collect()
    }

    /// What this user asked to change after the mark.
    ///
    /// # Errors
    /// Fails as [`Audit::since`].
    pub fn writes_of(&self, user: &str, mark: Mark) -> Result<Vec<Event>> {
        let mut events = self.since(mark)?;
        events.retain(|event| event.user == user && event.is_write());
        Ok(events)
    }

    fn unreadable(&self) -> String {
        format!("cannot read the audit log `{}`", self.path.display())
    }
}

/// An event as it stands in the log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
    request_received_timestamp: String,
    stage_timestamp: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl From<Raw> for Event {
    fn from(raw: Raw) -> Self {
        let object = raw.object_ref.unwrap_or_default();
        Self {
            user: raw.user.username,
            verb: raw.verb,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            uri: raw.request_uri,
            code: raw.response_status.map_or(0, |status| status.code),
            received: raw.request_received_timestamp,
            reached: raw.stage_timestamp,
            stage: raw.stage,
        }
    }
}

/// The policy: everything but its content, once answered. The API server's own doings and health
/// checks are left out, for they are most of the noise.
pub const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
  - level: None
    users: ['system:apiserver']
  - level: None
    nonResourceURLs: ['/healthz*', '/livez*', '/readyz*']
  - level: Metadata
";

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const LINE: &str = r#"{"kind":"Event","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/n/configmaps/c?force=true","verb":"patch","user":{"username":"u","groups":["g"]},"objectRef":{"resource":"configmaps","namespace":"n","name":"c","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-01-01T00:00:00.000001Z","stageTimestamp":"2026-01-01T00:00:00.000009Z"}"#;

    #[test]
    fn reads_whole_lines_after_the_mark() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let audit = Audit::of(file.path().to_owned());
        writeln!(file, "{LINE}").unwrap();
        let mark = audit.mark().unwrap();
        assert_eq!(audit.since(mark).unwrap(), []);
        write!(file, "{LINE}\n{}", LINE.get(..100).unwrap()).unwrap();
        let events = audit.since(mark).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(audit.since(Mark::default()).unwrap().len(), 2);
        assert_eq!(
            events.first().unwrap().to_string(),
            "2026-01-01T00:00:00.000001Z u patch /api/v1/namespaces/n/configmaps/c?force=true: 200"
        );
        assert_eq!(audit.writes_of("u", mark).unwrap(), events);
        assert_eq!(audit.writes_of("v", mark).unwrap(), []);
        let mut moving = mark;
        assert_eq!(audit.read_on(&mut moving).unwrap(), events);
        writeln!(file, "{}", LINE.get(100..).unwrap()).unwrap();
        assert_eq!(audit.read_on(&mut moving).unwrap().len(), 1);
        assert_eq!(audit.read_on(&mut moving).unwrap(), []);
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{{}}").unwrap();
        assert!(Audit::of(file.path().to_owned()).since(Mark::default()).is_err());
    }
}
