//! The loop around the reconciler: watch events go in, its tasks are spawned, and their outcomes go
//! back in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::clock::{self, Instant};
use super::latency::LatencyEwma;
use super::lease::Leadership;
use super::package::PackageUpdate;
use super::queue::TargetRef;
use super::reconciler::{Notice, Now, Reconciler, StatusJob, Task};
use super::watch::WatchEvent;
use super::write::{ApiClient, WRITE_TIMEOUT, WriteError, WriteOutcome, Writer};
use crate::telemetry::Metrics;

/// Something that was done at the side.
enum Done {
    Status(Box<StatusJob>, Result<Json, WriteError>),
    Task(TargetRef, Instant, Result<WriteOutcome, WriteError>),
}

/// The inputs of the loop.
pub(super) struct Inbox {
    /// Events from all watches.
    pub(super) watch_events: mpsc::Receiver<WatchEvent>,
    /// The number of watches that report `Synced` once.
    pub(super) watches: usize,
    /// The leadership of this process, while it has it.
    pub(super) leading: watch::Receiver<Option<Leadership>>,
    /// Changes of the default CA package.
    pub(super) packages: mpsc::Receiver<PackageUpdate>,
    /// Becomes true when the process is to stop.
    pub(super) stop: watch::Receiver<bool>,
}

/// The loop.
pub(super) struct Runner {
    reconciler: Reconciler,
    api: ApiClient,
    writer: Writer,
    notices: mpsc::Sender<Notice>,
    ready: Arc<AtomicBool>,
    metrics: Metrics,
    leadership: Option<Leadership>,
    side: JoinSet<Done>,
    /// Handles for cancelling writes that hang.
    in_flight: HashMap<TargetRef, Arc<Notify>>,
    latency: LatencyEwma,
    /// The time at which writes in flight were last checked.
    looked: Instant,
    synced: bool,
}

impl Runner {
    /// Returns a loop around this reconciler.
    pub(super) fn new(
        reconciler: Reconciler,
        api: ApiClient,
        notices: mpsc::Sender<Notice>,
        ready: Arc<AtomicBool>,
        metrics: Metrics,
    ) -> Self {
        Self {
            reconciler,
            writer: Writer::new(api.clone()),
            api,
            notices,
            ready,
            metrics,
            leadership: None,
            side: JoinSet::new(),
            in_flight: HashMap::new(),
            latency: LatencyEwma::default(),
            looked: Instant::now(),
            synced: false,
        }
    }

    /// Runs until it is stopped, then finishes the writes in flight.
    ///
    /// # Errors
    /// When a part of it panicked, which is a mistake in the program.
    pub(super) async fn run(mut self, mut inbox: Inbox) -> Result<(), tokio::task::JoinError> {
        let mut told = Vec::with_capacity(BATCH);
        while !*inbox.stop.borrow() {
            self.turn();
            let wake = self.wake();
            tokio::select! {
                // In order of urgency: a stop and a lost lease come before outcomes, and those
                // before new events, so that a flood of events cannot keep a former leader writing.
                biased;
                changed = inbox.stop.changed() => if changed.is_err() { break },
                changed = inbox.leading.changed() => {
                    if changed.is_err() { break }
                    let leadership = inbox.leading.borrow_and_update().clone();
                    self.lead(leadership);
                }
                Some(done) = self.side.join_next() => self.done(done?),
                Some(news) = inbox.packages.recv() => match news {
                    PackageUpdate::Changed(package) => self.reconciler.use_default_cas(package),
                    PackageUpdate::Unusable(error) => self.reconciler.keep_default_cas(error),
                },
                count = inbox.watch_events.recv_many(&mut told, BATCH) => {
                    if count == 0 { break }
                    self.see(told.drain(..), &mut inbox.watches);
                }
                () = tokio::time::sleep(wake) => {}
            }
        }
        self.drain().await
    }

    /// Gather, plan, apply, report.
    fn turn(&mut self) {
        let now = now();
        self.reconciler.settle(now);
        self.give_up_what_hangs(now.instant);
        while let Some(leadership) = &self.leadership
            && let Some(task) = self.reconciler.next_task(now)
        {
            let leadership = leadership.clone();
            self.start(task, leadership);
        }
        self.report(now);
    }

    fn see(&mut self, told: impl Iterator<Item = WatchEvent>, watches: &mut usize) {
        for watch_event in told {
            match watch_event {
                WatchEvent::Applied(key, object) => self.reconciler.see(key, Some(object)),
                WatchEvent::Deleted(key) => self.reconciler.see(key, None),
                WatchEvent::Synced => *watches = watches.saturating_sub(1),
            }
        }
        if *watches == 0 && !self.synced {
            self.synced = true;
            self.ready.store(true, Ordering::SeqCst);
            tracing::info!("knows the cluster");
            self.start_leading();
        }
    }

    fn lead(&mut self, leadership: Option<Leadership>) {
        self.metrics.leader(leadership.is_some());
        let led = self.leadership.is_some();
        self.leadership = leadership;
        if self.leadership.is_none() {
            self.reconciler.stop_leading();
        } else if !led {
            self.start_leading();
        }
    }

    fn start_leading(&mut self) {
        if self.synced && self.leadership.is_some() {
            self.reconciler.start_leading();
        }
    }

    fn start(&mut self, task: Task, leadership: Leadership) {
        let (writer, started) = (self.writer.clone(), Instant::now());
        // The request itself has a timeout; this handle ends it earlier, if it holds up others.
        let give_up = Arc::new(Notify::new());
        self.in_flight.insert(task.unit().clone(), Arc::clone(&give_up));
        self.side.spawn(async move {
            let unit = task.unit().clone();
            let carried_out = async {
                match &task {
                    Task::Look(unit) => writer.look_again(unit).await.map(|found| match found {
                        Some(observed) => WriteOutcome::Conflicting(Box::new(observed)),
                        None => WriteOutcome::Absent,
                    }),
                    Task::Read(unit) => {
                        writer.read(unit).await.map(|found| WriteOutcome::Read(Box::new(found)))
                    }
                    Task::Write(job) => writer.carry_out(job, &leadership).await,
                }
            };
            let outcome = tokio::select! {
                outcome = carried_out => outcome,
                () = give_up.notified() => Err(WriteError::GivenUp),
            };
            Done::Task(unit, started, outcome)
        });
    }

    fn report(&mut self, now: Now) {
        if let Some(leadership) = &self.leadership {
            for job in self.reconciler.statuses(now) {
                let (api, leadership) = (self.api.clone(), leadership.clone());
                self.side.spawn(async move {
                    let outcome = match leadership.permit(WRITE_TIMEOUT) {
                        Ok(permit) => {
                            api.apply_status(job.bundle.as_str(), &job.body, &permit).await
                        }
                        Err(not_leader) => Err(not_leader.into()),
                    };
                    let status = outcome
                        .map(|object| object.data.get("status").cloned().unwrap_or_default());
                    Done::Status(Box::new(job), status)
                });
            }
        }
        for notice in self.reconciler.take_notices() {
            tracing::info!(
                bundle = notice.bundle,
                reason = notice.reason,
                note = notice.note,
                "event"
            );
            // Events are best effort: a slow API server must not hold up the loop for them.
            if self.notices.try_send(notice).is_err() {
                self.metrics.event_lost();
            }
        }
    }

    fn done(&mut self, done: Done) {
        let now = now();
        match done {
            Done::Status(job, outcome) => self.reconciler.reported(&job, outcome, now),
            Done::Task(unit, started, outcome) => {
                self.in_flight.remove(&unit);
                if outcome.is_ok() {
                    self.latency.note(now.instant.since(started));
                }
                self.reconciler.finish(&unit, outcome, now);
            }
        }
    }

    /// Makes room where many writes hang while others are answered.
    fn give_up_what_hangs(&mut self, now: Instant) {
        if now.since(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        for unit in self.reconciler.queue().stalled(now, self.latency.patience()) {
            if let Some(write) = self.in_flight.get(&unit) {
                write.notify_one();
            }
        }
    }

    /// Returns how long to sleep if nothing happens.
    fn wake(&self) -> Duration {
        let now = now();
        let mut longest = if self.in_flight.is_empty() { IDLE } else { LOOK_EVERY };
        if self.leadership.is_some()
            && let Some(wake) = self.reconciler.next(now.date)
        {
            let instant = wake.instant.map(|at| at.since(now.instant));
            let expiry = wake.seconds.map(Duration::from_secs);
            longest = instant.into_iter().chain(expiry).fold(longest, Duration::min);
        }
        // A timer of zero would make the loop spin until the clock has moved on.
        longest.max(SHORTEST)
    }

    /// Lets writes in flight end; none takes longer than its own limit.
    async fn drain(mut self) -> Result<(), tokio::task::JoinError> {
        tracing::info!(writes = self.in_flight.len(), "stopping: finishes the writes in flight");
        self.reconciler.stop_leading();
        while let Some(done) = self.side.join_next().await {
            self.done(done?);
        }
        Ok(())
    }
}

fn now() -> Now {
    Now { instant: Instant::now(), date: clock::date() }
}

/// Sightings taken in at once, before anything is planned for them.
const BATCH: usize = 1024;
/// A wake-up for nothing, now and then, costs nothing.
const IDLE: Duration = Duration::from_secs(60);
/// The interval at which writes in flight are checked.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time enough for a timer, so that what is due now is.
const SHORTEST: Duration = Duration::from_millis(1);
