//! Events: writes notices to the API server, each text once, repeated ones as a count.
//!
//! Best effort and bounded: an event that cannot be written is counted and forgotten. kube's own
//! recorder is not used, for it takes events of one reason for one event, whatever they say.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, watch};
use trustd_api::labels;
use trustd_core::escape::printable;

use super::backoff::Jitter;
use super::clock::Instant;
use super::lease::Leadership;
use super::reconciler::{Notice, Severity};
use super::write::{ApiClient, WRITE_TIMEOUT};
use crate::telemetry::Metrics;

/// Writes events.
pub(super) struct EventRecorder {
    api: ApiClient,
    leading: watch::Receiver<Option<Leadership>>,
    instance: String,
    metrics: Metrics,
    memory: RecentEvents,
    jitter: Jitter,
}

impl EventRecorder {
    /// One that signs as this instance.
    pub(super) fn new(
        api: ApiClient,
        leading: watch::Receiver<Option<Leadership>>,
        instance: String,
        metrics: Metrics,
    ) -> Self {
        let (memory, jitter) = (RecentEvents::default(), Jitter::new());
        Self { api, leading, instance, metrics, memory, jitter }
    }

    /// Writes what comes, one after the other, until nothing can come any more.
    pub(super) async fn run(mut self, mut notices: mpsc::Receiver<Notice>) {
        while let Some(notice) = notices.recv().await {
            // The reference is not held while the request is under way.
            let leadership = self.leading.borrow().clone();
            let Some(leadership) = leadership else { continue };
            let Ok(permit) = leadership.permit(WRITE_TIMEOUT) else { continue };
            let known = self.memory.recall(&notice, Instant::now());
            let (name, body) = match &known {
                Some((name, count)) => (Some(name.as_str()), repeated(*count)),
                None => (None, self.first(&notice)),
            };
            match self.api.event(name, &body, &permit).await {
                Ok(()) if known.is_none() => {
                    let name = body.pointer("/metadata/name").and_then(Json::as_str);
                    self.memory.note(&notice, name.unwrap_or_default(), Instant::now());
                }
                Ok(()) => {}
                Err(fault) => {
                    self.memory.forget(&notice);
                    self.metrics.event_lost();
                    let error = crate::exit::chain(&fault);
                    tracing::debug!(bundle = notice.bundle, error, "cannot write an event");
                }
            }
        }
    }

    fn first(&mut self, notice: &Notice) -> Json {
        let name: String = notice.bundle.chars().take(NAME_CHARS).collect();
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            // Events of what has no namespace are kept in this one.
            "metadata": {
                "name": format!("{name}.{:016x}", self.jitter.word()),
                "namespace": "default",
            },
            "eventTime": micro(Timestamp::now()),
            "type": match notice.severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            },
            "reason": notice.reason,
            "action": notice.action,
            "note": shortened(&printable(&notice.note)),
            "reportingController": CONTROLLER,
            "reportingInstance": self.instance,
            "regarding": {
                "apiVersion": labels::API_VERSION,
                "kind": labels::KIND,
                "name": notice.bundle,
                "uid": notice.uid,
            },
        })
    }
}

fn repeated(count: u32) -> Json {
    json!({ "series": { "count": count, "lastObservedTime": micro(Timestamp::now()) } })
}

fn micro(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// A note that the API server takes, cut between characters.
fn shortened(note: &str) -> String {
    if note.len() <= NOTE_BYTES_MAX {
        return note.to_owned();
    }
    let most = NOTE_BYTES_MAX - "…".len();
    let end = (0..=most).rev().find(|at| note.is_char_boundary(*at)).unwrap_or_default();
    format!("{}…", note.get(..end).unwrap_or_default())
}

/// The events of the last few minutes.
#[derive(Debug, Default)]
struct RecentEvents(BTreeMap<(String, &'static str, String), RecentEvent>);

#[derive(Debug)]
struct RecentEvent {
    name: String,
    count: u32,
    last: Instant,
}

impl RecentEvents {
    /// The event that said the same a short while ago, and how often it has been said now.
    fn recall(&mut self, notice: &Notice, now: Instant) -> Option<(String, u32)> {
        self.0.retain(|_, known| now.since(known.last) < REPEATED_WITHIN);
        let known = self.0.get_mut(&key(notice))?;
        known.count = known.count.saturating_add(1);
        known.last = now;
        Some((known.name.clone(), known.count))
    }

    fn note(&mut self, notice: &Notice, name: &str, now: Instant) {
        if self.0.len() < MEMORY_MAX {
            let known = RecentEvent { name: name.to_owned(), count: 1, last: now };
            self.0.insert(key(notice), known);
        }
    }

    fn forget(&mut self, notice: &Notice) {
        self.0.remove(&key(notice));
    }
}

fn key(notice: &Notice) -> (String, &'static str, String) {
    (notice.uid.clone(), notice.reason, notice.note.clone())
}

/// trust-manager's name for itself in events.
const CONTROLLER: &str = "bundles";
/// The limit of the API server for a note.
const NOTE_BYTES_MAX: usize = 1024;
/// An event is named after its object, and 17 characters follow: 253 in all.
const NAME_CHARS: usize = 236;
/// The window of client-go: a repetition within six minutes is a series.
const REPEATED_WITHIN: Duration = Duration::from_secs(6 * 60);
/// About 1.5 KB each: 1.5 MB at most.
const MEMORY_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(note: &str) -> Notice {
        Notice {
            bundle: "b".into(),
            uid: "u".into(),
            severity: Severity::Normal,
            reason: "RootAdded",
            action: "Synced",
            note: note.into(),
        }
    }

    #[test]
    fn the_same_text_is_counted_and_another_is_its_own_event() {
        let at = |seconds| Instant::since_boot(Duration::from_secs(seconds));
        let mut memory = RecentEvents::default();
        assert_eq!(memory.recall(&notice("one"), at(0)), None);
        memory.note(&notice("one"), "b.1", at(0));
        assert_eq!(memory.recall(&notice("two"), at(1)), None);
        assert_eq!(memory.recall(&notice("one"), at(2)), Some(("b.1".into(), 2)));
        assert_eq!(memory.recall(&notice("one"), at(3)), Some(("b.1".into(), 3)));
        assert_eq!(memory.recall(&notice("one"), at(3 + 6 * 60)), None, "long ago");
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"ä".repeat(600));
        assert!(cut.len() <= NOTE_BYTES_MAX && cut.ends_with("ä…"), "{}", cut.len());
    }
}
