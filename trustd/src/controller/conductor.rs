//! The loop that everything runs through: what was seen goes to the desk, what the desk wants done is
//! done at the side, and what came of it goes back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::clock::{self, Instant};
use super::desk::{Desk, Notice, Now, StatusJob, Task};
use super::lease::Leadership;
use super::pace::Pace;
use super::package::Package;
use super::queue::Unit;
use super::watch::Sighting;
use super::write::{Fault, Landed, Requests, WRITE_TIMEOUT, Writer};
use crate::telemetry::Metrics;

/// Something that was done at the side.
enum Done {
    Status(Box<StatusJob>, Result<Json, Fault>),
    Task(Unit, Instant, Result<Landed, Fault>),
}

/// What the loop is fed with.
pub(super) struct Inbox {
    /// What the watches tell.
    pub(super) sightings: mpsc::Receiver<Sighting>,
    /// How many watches say that they have told everything.
    pub(super) watches: usize,
    /// By what this process leads.
    pub(super) leading: watch::Receiver<Option<Leadership>>,
    /// What becomes of the default CA package.
    pub(super) packages: mpsc::Receiver<Package>,
    /// Becomes true when the process is to stop.
    pub(super) stop: watch::Receiver<bool>,
}

/// The loop.
pub(super) struct Conductor {
    desk: Desk,
    requests: Requests,
    writer: Writer,
    notices: mpsc::Sender<Notice>,
    ready: Arc<AtomicBool>,
    metrics: Metrics,
    leadership: Option<Leadership>,
    side: JoinSet<Done>,
    /// How to give up a write that hangs.
    flights: HashMap<Unit, Arc<Notify>>,
    pace: Pace,
    /// When writes in flight were last looked at.
    looked: Instant,
    synced: bool,
}

impl Conductor {
    /// A loop around this desk.
    pub(super) fn new(
        desk: Desk,
        requests: Requests,
        notices: mpsc::Sender<Notice>,
        ready: Arc<AtomicBool>,
        metrics: Metrics,
    ) -> Self {
        Self {
            desk,
            writer: Writer::new(requests.clone()),
            requests,
            notices,
            ready,
            metrics,
            leadership: None,
            side: JoinSet::new(),
            flights: HashMap::new(),
            pace: Pace::default(),
            looked: Instant::now(),
            synced: false,
        }
    }

    /// Sees, plans, writes and reports until it is told to stop; then finishes what is in flight.
    ///
    /// # Errors
    /// When a part of it panicked, which is a mistake in the program.
    pub(super) async fn run(mut self, mut inbox: Inbox) -> Result<(), tokio::task::JoinError> {
        let mut told = Vec::with_capacity(BATCH);
        while !*inbox.stop.borrow() {
            self.turn();
            let wake = self.wake();
            tokio::select! {
                biased;
                changed = inbox.stop.changed() => if changed.is_err() { break },
                changed = inbox.leading.changed() => {
                    if changed.is_err() { break }
                    let leadership = inbox.leading.borrow_and_update().clone();
                    self.lead(leadership);
                }
                Some(done) = self.side.join_next() => self.done(done?),
                Some(news) = inbox.packages.recv() => match news {
                    Package::Changed(package) => self.desk.use_default_cas(package),
                    Package::Unusable(error) => self.desk.keep_default_cas(error),
                },
                count = inbox.sightings.recv_many(&mut told, BATCH) => {
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
        self.desk.settle(now);
        self.give_up_what_hangs(now.instant);
        while let Some(leadership) = &self.leadership
            && let Some(task) = self.desk.next_task(now)
        {
            let leadership = leadership.clone();
            self.start(task, leadership);
        }
        self.report(now);
    }

    fn see(&mut self, told: impl Iterator<Item = Sighting>, watches: &mut usize) {
        for sighting in told {
            match sighting {
                Sighting::Is(place, object) => self.desk.see(place, Some(object)),
                Sighting::Gone(place) => self.desk.see(place, None),
                Sighting::Synced => *watches = watches.saturating_sub(1),
            }
        }
        if *watches == 0 && !self.synced {
            self.synced = true;
            self.ready.store(true, Ordering::SeqCst);
            tracing::info!("knows the cluster");
            self.take_up_work();
        }
    }

    fn lead(&mut self, leadership: Option<Leadership>) {
        self.metrics.leader(leadership.is_some());
        let led = self.leadership.is_some();
        self.leadership = leadership;
        if self.leadership.is_none() {
            self.desk.lay_down_work();
        } else if !led {
            self.take_up_work();
        }
    }

    fn take_up_work(&mut self) {
        if self.synced && self.leadership.is_some() {
            self.desk.take_up_work();
        }
    }

    fn start(&mut self, task: Task, leadership: Leadership) {
        let (writer, started) = (self.writer.clone(), Instant::now());
        let give_up = Arc::new(Notify::new());
        self.flights.insert(task.unit().clone(), Arc::clone(&give_up));
        self.side.spawn(async move {
            let unit = task.unit().clone();
            let carried_out = async {
                match &task {
                    Task::Look(unit) => writer.look_again(unit).await.map(|found| match found {
                        Some(observed) => Landed::Met(Box::new(observed)),
                        None => Landed::Gone,
                    }),
                    Task::Read(unit) => {
                        writer.read(unit).await.map(|found| Landed::Holds(Box::new(found)))
                    }
                    Task::Write(job) => writer.carry_out(job, &leadership).await,
                }
            };
            let outcome = tokio::select! {
                outcome = carried_out => outcome,
                () = give_up.notified() => Err(Fault::GivenUp),
            };
            Done::Task(unit, started, outcome)
        });
    }

    fn report(&mut self, now: Now) {
        if let Some(leadership) = &self.leadership {
            for job in self.desk.statuses(now) {
                let (requests, leadership) = (self.requests.clone(), leadership.clone());
                self.side.spawn(async move {
                    let outcome = match leadership.permit(WRITE_TIMEOUT) {
                        Ok(permit) => {
                            requests.apply_status(job.bundle.as_str(), &job.body, &permit).await
                        }
                        Err(not_leader) => Err(not_leader.into()),
                    };
                    let status = outcome
                        .map(|object| object.data.get("status").cloned().unwrap_or_default());
                    Done::Status(Box::new(job), status)
                });
            }
        }
        for notice in self.desk.take_notices() {
            tracing::info!(
                bundle = notice.bundle,
                reason = notice.reason,
                note = notice.note,
                "event"
            );
            if self.notices.try_send(notice).is_err() {
                self.metrics.event_lost();
            }
        }
    }

    fn done(&mut self, done: Done) {
        let now = now();
        match done {
            Done::Status(job, outcome) => self.desk.reported(&job, outcome, now),
            Done::Task(unit, started, outcome) => {
                self.flights.remove(&unit);
                if outcome.is_ok() {
                    self.pace.note(now.instant.since(started));
                }
                self.desk.land(&unit, outcome, now);
            }
        }
    }

    /// Makes room where many writes hang while others are answered.
    fn give_up_what_hangs(&mut self, now: Instant) {
        if now.since(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        for unit in self.desk.queue().stalled(now, self.pace.patience()) {
            if let Some(flight) = self.flights.get(&unit) {
                flight.notify_one();
            }
        }
    }

    /// How long to sleep if nothing happens.
    fn wake(&self) -> Duration {
        let now = now();
        let mut longest = if self.flights.is_empty() { IDLE } else { LOOK_EVERY };
        if self.leadership.is_some()
            && let Some(wake) = self.desk.next(now.date)
        {
            let instant = wake.instant.map(|at| at.since(now.instant));
            let expiry = wake.seconds.map(Duration::from_secs);
            longest = instant.into_iter().chain(expiry).fold(longest, Duration::min);
        }
        longest.max(SHORTEST)
    }

    /// Lets writes in flight end; none takes longer than its own limit.
    async fn drain(mut self) -> Result<(), tokio::task::JoinError> {
        tracing::info!(writes = self.flights.len(), "stopping: finishes the writes in flight");
        self.desk.lay_down_work();
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
/// How often writes in flight are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time enough for a timer, so that what is due now is.
const SHORTEST: Duration = Duration::from_millis(1);
