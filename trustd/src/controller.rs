//! The controller: the shell around the planner that a cluster sees.
//!
//! It watches, plans with the pure planner, writes in parallel and reports; every decision about a
//! target is made in trustd-core. A part that panics ends the whole process with an error: a
//! controller that lost a part in silence is worse than one that is started again.

mod backoff;
mod clock;
mod connection;
mod events;
mod latency;
mod lease;
mod package;
mod queue;
mod reconciler;
mod repeat;
mod runner;
mod snapshot;
mod status;
mod watch;
mod write;

use std::future::Future;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use kube::Client;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::{JoinError, JoinSet};
use trustd_core::world::Settings;

use crate::telemetry::{Metrics, Pages, ServeError, Server};
use backoff::Jitter;
use clock::Instant;
pub use connection::{Connections, connect};
use events::EventRecorder;
use lease::{Elector, Leadership};
use reconciler::Reconciler;
use repeat::Repeats;
use runner::{Inbox, Runner};
pub use snapshot::{ClusterSnapshot, SnapshotError, snapshot};
pub use watch::Limits as WatchLimits;
use watch::{Heartbeats, WatchContext};
use write::ApiClient;

/// The options of a controller.
#[derive(Clone, Debug)]
pub struct Options {
    pub settings: Settings,
    /// The file of the default CA package, which is looked at again and again.
    pub package: Option<PathBuf>,
    /// The number of targets that are written at once.
    pub write_concurrency: NonZeroUsize,
    /// The options of leader election; `None` if nobody competes.
    pub election: Option<Election>,
    /// The port of the health pages.
    pub health_port: u16,
    /// The path of the readiness page.
    pub readiness_path: String,
    /// The port of the metrics page.
    pub metrics_port: u16,
    /// The identity of this process in the lease and in events.
    pub identity: String,
    /// The time for which watches may be silent.
    pub watches: WatchLimits,
}

/// The options of leader election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// The namespace of the Lease.
    pub namespace: String,
    /// The time for which others leave an unrenewed lease alone.
    pub duration: Duration,
    /// The time for which a leader goes on without a renewal.
    pub renew_deadline: Duration,
}

/// The reason why a controller ended although nobody stopped it.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A part of it ended, which none should.
    #[error("a part of the controller ended by itself; this is a mistake in trustd")]
    Ended,
    /// A part of it panicked.
    #[error("a part of the controller failed; this is a mistake in trustd")]
    Part(#[source] JoinError),
    /// The pages cannot be served.
    #[error("the controller cannot serve its pages")]
    Serve(#[from] ServeError),
}

/// Runs until `stop` is done, then finishes the writes in flight and gives the lease back.
///
/// # Errors
/// When a port is taken, or a part of the controller failed.
pub async fn run(
    connections: Connections,
    options: Options,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ControllerError> {
    let metrics = Metrics::new();
    let ready = Arc::new(AtomicBool::new(false));
    let mut parts = JoinSet::new();
    let context = WatchContext {
        limits: options.watches,
        metrics: metrics.clone(),
        ..WatchContext::default()
    };
    let repeats = context.repeats.clone();
    let health = Health { ready: Arc::clone(&ready), heartbeats: context.heartbeats.clone() };
    serve(&mut parts, &options, health, &metrics).await?;
    parts.spawn(repeats.clone().tell());

    let (tell, watch_events) = mpsc::channel(WATCH_EVENTS_MAX);
    let Connections { work: client, lease } = connections;
    let watches = watch::start(&mut parts, &client, &options.settings, &context, &tell);
    // The watches hold the only senders now, so the channel closes when all of them have ended.
    drop(tell);
    let (tell, packages) = mpsc::channel(1);
    if let Some(path) = options.package.clone() {
        parts.spawn(package::poll(path, tell.clone(), metrics.clone(), package::EVERY));
    }
    let (stop_work, stopped) = channel::channel(false);
    let (stop_election, election_stopped) = channel::channel(false);
    let (lead, leading) = channel::channel(None);
    let elector = elect(lease, &options, repeats.clone(), lead, election_stopped);

    let api = ApiClient::new(client, metrics.clone());
    let (notify, notices) = mpsc::channel(NOTICES_MAX);
    let instance = options.identity.clone();
    let recorder = EventRecorder::new(api.clone(), leading.clone(), instance, metrics.clone());
    let recorder = tokio::spawn(recorder.run(notices));
    let reconciler = Reconciler::new(
        options.settings,
        options.write_concurrency,
        Jitter::new(),
        metrics.clone(),
    )
    .counting(repeats);
    let runner = Runner::new(reconciler, api, notify, ready, metrics);
    let inbox = Inbox { watch_events, watches, leading, packages, stop: stopped };
    let mut work = tokio::spawn(runner.run(inbox));

    let ended = tokio::select! {
        () = stop => {
            stop_work.send_replace(true);
            flatten((&mut work).await)
        }
        ended = &mut work => flatten(ended).and(Err(ControllerError::Ended)),
        ended = parts.join_next() => Err(match ended {
            Some(Err(error)) => ControllerError::Part(error),
            _ => ControllerError::Ended,
        }),
    };
    // The loop has ended already, unless one of the other parts failed.
    work.abort();
    // Events that are written last belong to writes that were; they get a moment.
    let _ = tokio::time::timeout(write::WRITE_TIMEOUT, recorder).await;
    // The lease goes last, so that nobody else writes before we are done.
    stop_election.send_replace(true);
    let released = elector.await.map_err(ControllerError::Part);
    drop(tell);
    parts.shutdown().await;
    ended.and(released)
}

fn elect(
    client: Client,
    options: &Options,
    repeats: Repeats,
    lead: channel::Sender<Option<Leadership>>,
    mut stop: channel::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    let Some(election) = &options.election else {
        return tokio::spawn(async move {
            lead.send_replace(Some(Leadership::unelected()));
            // The sender stays, or the receivers would take it for the end.
            let _ = stop.wait_for(|stop| *stop).await;
        });
    };
    let settings = lease::Settings {
        namespace: election.namespace.clone(),
        identity: options.identity.clone(),
        duration: election.duration,
        renew_deadline: election.renew_deadline,
    };
    tokio::spawn(Elector::new(client, settings).counting(repeats).run(lead, stop))
}

/// The inputs of the readiness probe.
struct Health {
    /// The cluster has been read.
    ready: Arc<AtomicBool>,
    heartbeats: Heartbeats,
}

impl Health {
    /// Returns why the process is not ready, or `None` if it is.
    fn complaint(&self, now: Instant, limits: WatchLimits) -> Option<String> {
        if !self.ready.load(Ordering::SeqCst) {
            return Some("the cluster has not been read yet\n".to_owned());
        }
        let (watch, span) = self.heartbeats.overdue(now, limits.unsynced)?;
        let seconds = span.as_secs();
        Some(format!("the watch of {watch} has been out of sync for {seconds} s\n"))
    }
}

async fn serve(
    parts: &mut JoinSet<()>,
    options: &Options,
    health: Health,
    metrics: &Metrics,
) -> Result<(), ServeError> {
    let (metrics, heartbeats) = (metrics.clone(), health.heartbeats.clone());
    let pages: Pages = Arc::new(move |path| {
        (path == "/metrics").then(|| {
            heartbeats.tell(&metrics, Instant::now());
            (StatusCode::OK, OPEN_METRICS, metrics.text())
        })
    });
    let server = Server::listen(options.metrics_port, pages).await?;
    log_address("metrics", &server);
    parts.spawn(server.run());
    let (readiness, limits) = (options.readiness_path.clone(), options.watches);
    let pages: Pages = Arc::new(move |path| match path {
        "/healthz" | "/livez" => Some((StatusCode::OK, TEXT, "ok\n".to_owned())),
        _ if path == readiness => Some(match health.complaint(Instant::now(), limits) {
            None => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            Some(text) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, text),
        }),
        _ => None,
    });
    let server = Server::listen(options.health_port, pages).await?;
    log_address("health", &server);
    parts.spawn(server.run());
    Ok(())
}

/// A random word of eight hex digits, for names that must differ.
#[must_use]
pub fn random_word() -> String {
    format!("{:08x}", Jitter::new().word() >> 32)
}

fn log_address(page: &str, server: &Server) {
    let address = server.address().map(|address| address.to_string()).unwrap_or_default();
    tracing::info!(page, address, "serves");
}

fn flatten(ended: Result<Result<(), JoinError>, JoinError>) -> Result<(), ControllerError> {
    ended.and_then(|ended| ended).map_err(ControllerError::Part)
}

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Watch events on the way to the reconciler; a watch waits when the queue is full. Sources are at
/// most 1 MiB each and rarely so: 256 of them are 256 MiB at the very worst.
const WATCH_EVENTS_MAX: usize = 256;
/// Notices on the way to the API server; more are dropped, and counted.
const NOTICES_MAX: usize = 256;
