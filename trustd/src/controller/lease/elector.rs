//! The campaign: takes the lease, renews it, notices its loss, and releases it in the end.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;

use super::Leadership;
use super::record::{self, Seen};
use crate::controller::clock::Instant;
use crate::controller::repeat::{FailureKind, Repeats};

/// The settings of leader election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) struct Settings {
    /// The namespace of the Lease.
    pub(in crate::controller) namespace: String,
    /// The identity of this process, unlike that of any other.
    pub(in crate::controller) identity: String,
    /// The time for which others leave an unrenewed lease alone; whole seconds.
    pub(in crate::controller) duration: Duration,
    /// The time for which a leader goes on without a renewal.
    pub(in crate::controller) renew_deadline: Duration,
}

/// A candidate.
#[derive(Debug)]
pub(in crate::controller) struct Elector {
    api: Api<Lease>,
    settings: Settings,
    seen: Option<Seen>,
    /// The leadership that is held, and the time at which its last renewal was sent.
    leading: Option<(Leadership, Instant)>,
    repeats: Repeats,
}

/// The result of one try.
enum Tried {
    /// The lease is ours; the claim was sent at this time.
    Held(Instant),
    /// Another process holds the lease.
    NotHeld,
}

impl Elector {
    /// A candidate that has not tried yet.
    pub(in crate::controller) fn new(client: Client, settings: Settings) -> Self {
        let api = Api::namespaced(client, &settings.namespace);
        Self { api, settings, seen: None, leading: None, repeats: Repeats::default() }
    }

    /// The same, which counts what fails again and again here.
    pub(in crate::controller) fn counting(self, repeats: Repeats) -> Self {
        Self { repeats, ..self }
    }

    /// Campaigns until `stop` says so, then releases the lease. What is led by is told on
    /// `leading`.
    pub(in crate::controller) async fn run(
        mut self,
        leading: watch::Sender<Option<Leadership>>,
        mut stop: watch::Receiver<bool>,
    ) {
        while !*stop.borrow() {
            // A renewal that outlives the deadline is as good as none.
            let tried = tokio::time::timeout(self.patience(), self.attempt()).await;
            match tried {
                Ok(Ok(Tried::Held(sent))) => self.hold(sent, &leading),
                Ok(Ok(Tried::NotHeld)) => self.lose("another process holds the lease", &leading),
                Ok(Err(error)) => {
                    self.complain("failed", &crate::exit::chain(&error));
                    self.lose_if_overdue(&leading);
                }
                Err(_) => {
                    self.complain("timeout", "the API server does not answer");
                    self.lose_if_overdue(&leading);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause()) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        self.release(&leading).await;
    }

    /// One try, as client-go makes it: read, judge, write with the version that was read.
    async fn attempt(&mut self) -> kube::Result<Tried> {
        let Settings { identity, duration, .. } = &self.settings;
        let sent = Instant::now();
        let post = PostParams::default();
        // A GET and a PUT instead of a watch, as in client-go: the PUT carries the resourceVersion
        // of the GET, so of two candidates only one succeeds.
        let Some(read) = self.api.get_opt(LEASE).await? else {
            let first = record::first(LEASE, identity, *duration, Timestamp::now());
            return match self.api.create(&post, &first).await {
                Ok(lease) => Ok(self.held(lease, sent)),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Tried::NotHeld),
                Err(error) => Err(error),
            };
        };
        let seen = Seen::after(self.seen.take(), read, sent);
        let seen = self.seen.insert(seen);
        if !seen.is_takeable(identity, *duration, sent) {
            return Ok(Tried::NotHeld);
        }
        // The claim counts from before it is sent: nobody can have seen it earlier.
        let sent = Instant::now();
        let claimed = seen.claimed(identity, *duration, Timestamp::now());
        match self.api.replace(LEASE, &post, &claimed).await {
            Ok(lease) => Ok(self.held(lease, sent)),
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                // Somebody wrote in between. Whether it was another candidate shows at the next
                // try.
                let ours = self.leading.is_some() && seen.is_held_by(identity);
                match self.leading.as_ref().filter(|_| ours) {
                    Some((_, renewed)) => Ok(Tried::Held(*renewed)),
                    None => Ok(Tried::NotHeld),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn held(&mut self, lease: Lease, sent: Instant) -> Tried {
        self.seen = Some(Seen::after(None, lease, sent));
        Tried::Held(sent)
    }

    fn hold(&mut self, sent: Instant, leading: &watch::Sender<Option<Leadership>>) {
        let valid_until = sent.after(self.settings.duration);
        if let Some((leadership, renewed)) = &mut self.leading {
            leadership.extend(valid_until);
            *renewed = sent;
            // A conflict renews nothing.
            if Instant::now().since(sent) >= self.settings.renew_deadline {
                self.lose("the lease was not renewed in time", leading);
            }
            return;
        }
        let leadership = Leadership::until(valid_until);
        tracing::info!(identity = self.settings.identity, "became the leader");
        leading.send_replace(Some(leadership.clone()));
        self.leading = Some((leadership, sent));
    }

    fn complain(&self, reason: &'static str, error: &str) {
        let fault = FailureKind { what: "cannot read or write the Lease", reason };
        if self.repeats.is_first(fault, Instant::now(), || error.to_owned()) {
            tracing::warn!(reason, error, "cannot read or write the Lease");
        } else {
            tracing::debug!(reason, error, "cannot read or write the Lease");
        }
    }

    fn lose_if_overdue(&mut self, leading: &watch::Sender<Option<Leadership>>) {
        let overdue = self.leading.as_ref().is_some_and(|(_, renewed)| {
            Instant::now().since(*renewed) >= self.settings.renew_deadline
        });
        if overdue {
            self.lose("the lease was not renewed in time", leading);
        }
    }

    fn lose(&mut self, why: &str, leading: &watch::Sender<Option<Leadership>>) {
        if let Some((leadership, _)) = self.leading.take() {
            leadership.end();
            leading.send_replace(None);
            tracing::warn!(reason = why, "is no longer the leader");
        }
    }

    /// Returns how long one try may take: a leader must know before its deadline.
    fn patience(&self) -> Duration {
        let deadline = self.settings.renew_deadline;
        match &self.leading {
            Some((_, renewed)) => {
                let left = deadline.saturating_sub(Instant::now().since(*renewed));
                left.min(TRY_MAX).max(TRY_MIN)
            }
            None => deadline.min(TRY_MAX),
        }
    }

    /// Returns the wait before the next try.
    fn pause(&self) -> Duration {
        RETRY.min(self.settings.renew_deadline / 3)
    }

    async fn release(mut self, leading: &watch::Sender<Option<Leadership>>) {
        let held = self.leading.is_some();
        if let Some((leadership, _)) = self.leading.take() {
            leadership.end();
            leading.send_replace(None);
        }
        let Some(seen) = self.seen.filter(|seen| held && seen.is_held_by(&self.settings.identity))
        else {
            return;
        };
        let released = seen.released(Timestamp::now());
        let post = PostParams::default();
        let put = self.api.replace(LEASE, &post, &released);
        match tokio::time::timeout(TRY_MAX, put).await {
            Ok(Ok(_)) => tracing::info!("released the lease"),
            Ok(Err(error)) => {
                tracing::warn!(error = crate::exit::chain(&error), "cannot release the lease");
            }
            Err(_) => tracing::warn!("cannot release the lease: the API server does not answer"),
        }
    }
}

/// trust-manager's Lease, so that the two do not run together while one is swapped for the other.
pub(super) const LEASE: &str = "trust-manager-leader-election";
/// client-go's default pause between tries.
const RETRY: Duration = Duration::from_secs(2);
/// One try: two requests that a healthy API server answers in milliseconds.
const TRY_MAX: Duration = Duration::from_secs(5);
/// Even past its deadline a try gets a moment, or it could never succeed.
const TRY_MIN: Duration = Duration::from_millis(100);
