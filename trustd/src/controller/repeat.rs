//! Rate limiting of log lines about failures: the first of a kind at once, then once a minute a
//! count with the last example.
//!
//! A policy that refuses 500 namespaces is one failure and not 500 lines a minute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::Instant;

/// The kind of a failure. Both words are fixed, so that the number of kinds is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FailureKind {
    /// The line that is logged, such as `cannot write a target`.
    pub(super) what: &'static str,
    /// The category of the error, or what it happened to.
    pub(super) reason: &'static str,
}

/// Failures of the last minute by kind. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats(Arc<Mutex<BTreeMap<FailureKind, Repeated>>>);

#[derive(Debug)]
struct Repeated {
    since: Instant,
    count: u64,
    example: String,
}

/// The summary of one kind of failure after a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RepeatSummary {
    fault: FailureKind,
    /// The number of failures since the last line.
    pub(super) count: u64,
    /// The last time it did.
    pub(super) example: String,
}

impl Repeats {
    /// Notes a failure; says whether it is the first of its kind, which is logged at once by
    /// whoever met it. Others are counted, and `example` (the object and the error) is kept.
    pub(super) fn is_first(
        &self,
        fault: FailureKind,
        now: Instant,
        example: impl FnOnce() -> String,
    ) -> bool {
        let mut all = self.all();
        match all.get_mut(&fault) {
            Some(repeated) => {
                repeated.count = repeated.count.saturating_add(1);
                repeated.example = example();
                false
            }
            None => {
                all.insert(fault, Repeated { since: now, count: 0, example: String::new() });
                true
            }
        }
    }

    /// The kinds whose minute is over. One that did not happen again is forgotten.
    pub(super) fn due(&self, now: Instant) -> Vec<RepeatSummary> {
        let mut due = Vec::new();
        self.all().retain(|fault, repeated| {
            if now.since(repeated.since) < EVERY {
                return true;
            }
            let count = std::mem::take(&mut repeated.count);
            let example = std::mem::take(&mut repeated.example);
            repeated.since = now;
            if count > 0 {
                due.push(RepeatSummary { fault: *fault, count, example });
            }
            count > 0
        });
        due
    }

    /// Logs what is due, for ever.
    pub(super) async fn tell(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for RepeatSummary { fault: FailureKind { what, reason }, count, example } in
                self.due(Instant::now())
            {
                let within_s = EVERY.as_secs();
                tracing::warn!(reason, count, within_s, example, "{what}: again and again");
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<FailureKind, Repeated>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The interval between lines about one kind of failure.
const EVERY: Duration = Duration::from_secs(60);
/// The delay that a summary may have.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: FailureKind = FailureKind { what: "cannot write a target", reason: "quota" };
    const POLICY: FailureKind = FailureKind { what: "cannot write a target", reason: "policy" };

    fn at(seconds: u64) -> Instant {
        Instant::since_boot(Duration::from_secs(seconds))
    }

    fn fails(repeats: &Repeats, fault: FailureKind, seconds: u64, example: &str) -> bool {
        repeats.is_first(fault, at(seconds), || example.to_owned())
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_once_a_minute_with_a_count() {
        let repeats = Repeats::default();
        assert!(fails(&repeats, QUOTA, 0, "a"));
        for second in 1..=50 {
            assert!(!fails(&repeats, QUOTA, second, &format!("ns-{second}")));
        }
        assert!(fails(&repeats, POLICY, 30, "p"), "another kind is a line of its own");
        assert_eq!(repeats.due(at(59)), []);
        let summary = RepeatSummary { fault: QUOTA, count: 50, example: "ns-50".into() };
        assert_eq!(repeats.due(at(60)), [summary]);
        assert!(!fails(&repeats, QUOTA, 61, "b"), "it goes on");
        let summary = RepeatSummary { fault: QUOTA, count: 1, example: "b".into() };
        assert_eq!(repeats.due(at(120)), [summary]);
    }

    #[test]
    fn what_has_passed_is_told_at_once_when_it_comes_back() {
        let repeats = Repeats::default();
        assert!(fails(&repeats, QUOTA, 0, "a"));
        assert_eq!(repeats.due(at(60)), []);
        assert!(fails(&repeats, QUOTA, 61, "a"));
        assert!(!fails(&repeats, QUOTA, 62, "a"));
        assert_eq!(repeats.due(at(121)).len(), 1);
        assert_eq!(repeats.due(at(181)), [], "a minute without it");
        assert!(fails(&repeats, QUOTA, 182, "a"));
    }
}
