//! Signs of life: tells a watch that has nothing to say from one whose connection a middlebox has
//! swallowed, which no FIN and no RST ever ends.
//!
//! The API server sends a bookmark about once a minute (KEP-956), so a watch on which no byte
//! arrives for longer is dead. Bytes are counted and not events: kube's watcher keeps bookmarks to
//! itself.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Uri};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use kube::Client;
use kube::client::Body as Payload;
use tokio::time::Sleep;
use tower::BoxError;

use crate::controller::clock::Instant;
use crate::telemetry::Metrics;

/// Limits for silent watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A watch that receives nothing for this long is dead, and restarted.
    pub silence: Duration,
    /// A process of which a watch has been out of sync for longer than this is not ready.
    pub unsynced: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { silence: SILENCE_MAX, unsynced: UNSYNCED_MAX }
    }
}

/// The error of a watch that was silent for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing was heard for {} s", .0.as_secs_f64())]
pub(super) struct Silent(Duration);

/// The signs of life of one watch.
#[derive(Debug)]
pub(super) struct Heartbeat {
    name: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    heard: Instant,
    /// Since when what was told may be out of date.
    unsynced_since: Option<Instant>,
    /// The watch fell silent, and nobody has asked about it since.
    silent: bool,
}

impl Heartbeat {
    fn new(name: &'static str, now: Instant) -> Self {
        let state = State { heard: now, unsynced_since: Some(now), silent: false };
        Self { name, state: Mutex::new(state) }
    }

    /// Something arrived; `current` if it shows that the watch goes on from where it was.
    fn heard(&self, now: Instant, current: bool) {
        let mut state = self.state();
        state.heard = now;
        if current {
            state.unsynced_since = None;
        }
    }

    fn fell_silent(&self) {
        self.state().silent = true;
    }

    /// The watch has told everything, or what it tells is new.
    pub(super) fn synced(&self) {
        self.state().unsynced_since = None;
    }

    /// The watch failed, or lists everything again.
    pub(super) fn unsynced(&self, now: Instant) {
        self.state().unsynced_since.get_or_insert(now);
    }

    /// Returns true if the watch fell silent since the last call.
    pub(super) fn take_silent(&self) -> bool {
        std::mem::take(&mut self.state().silent)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pulses of all watches. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub(in crate::controller) struct Heartbeats(Arc<Mutex<Vec<Arc<Heartbeat>>>>);

impl Heartbeats {
    /// The pulse of one more watch.
    pub(super) fn add(&self, name: &'static str, now: Instant) -> Arc<Heartbeat> {
        let heartbeat = Arc::new(Heartbeat::new(name, now));
        self.all().push(Arc::clone(&heartbeat));
        heartbeat
    }

    /// Puts the age of each watch into the metrics: of several of one name that of the oldest.
    pub(in crate::controller) fn tell(&self, metrics: &Metrics, now: Instant) {
        let mut ages: BTreeMap<&'static str, Duration> = BTreeMap::new();
        for heartbeat in self.all().iter() {
            let age = now.since(heartbeat.state().heard);
            let oldest = ages.entry(heartbeat.name).or_default();
            *oldest = age.max(*oldest);
        }
        for (name, age) in ages {
            metrics.watch_age(name, age);
        }
    }

    /// The watch that has been out of sync for longest and for longer than `limit`, and for how
    /// long.
    pub(in crate::controller) fn overdue(
        &self,
        now: Instant,
        limit: Duration,
    ) -> Option<(&'static str, Duration)> {
        let all = self.all();
        let out_of_sync = all.iter().filter_map(|heartbeat| {
            let since = heartbeat.state().unsynced_since?;
            Some((heartbeat.name, now.since(since)))
        });
        out_of_sync.filter(|(_, span)| *span > limit).max_by_key(|(_, span)| *span)
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Heartbeat>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client whose requests fail with [`Silent`] when an answer, or its next bytes, are awaited for
/// longer than `limit`. Every sign of life is noted.
pub(super) fn listening(client: &Client, heartbeat: &Arc<Heartbeat>, limit: Duration) -> Client {
    let (inner, heartbeat) = (client.clone(), Arc::clone(heartbeat));
    let service = tower::service_fn(move |request: Request<Payload>| {
        let (client, heartbeat) = (inner.clone(), Arc::clone(&heartbeat));
        async move {
            let resumed = resumes(request.uri());
            let Ok(answered) = tokio::time::timeout(limit, client.send(request)).await else {
                heartbeat.fell_silent();
                return Err(BoxError::from(Silent(limit)));
            };
            let response = answered?;
            let good = response.status().is_success();
            if good {
                // The server answers so at once, whether there is anything to say or not. Should
                // the version be too old after all, it says so next, and that is a failure of its
                // own.
                heartbeat.heard(Instant::now(), resumed);
            }
            Ok(response.map(|body| Listened { body, heartbeat, good, limit, waiting: None }))
        }
    });
    Client::new(service, client.default_namespace())
}

/// Returns true if a request resumes a watch from a known version.
fn resumes(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query.split('&').any(|it| it == "watch=true") && !query.contains("sendInitialEvents=true")
}

/// A body that ends with an error when it is silent for too long.
struct Listened {
    body: Payload,
    heartbeat: Arc<Heartbeat>,
    good: bool,
    limit: Duration,
    /// Runs while bytes are awaited, so that a reader who is slow himself counts for nothing.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Listened {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            if self.good && matches!(frame, Some(Ok(_))) {
                self.heartbeat.heard(Instant::now(), false);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        self.heartbeat.fell_silent();
        Poll::Ready(Some(Err(Silent(limit).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bookmarks come 60 s apart, give or take some; one of them and half of the next are waited for.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// An API server that is replaced is away for about a minute; nobody need be called for that.
const UNSYNCED_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use http_body_util::BodyExt as _;
    use http_body_util::Full;
    use http_body_util::channel::Channel;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(90);

    fn at(seconds: u64) -> Instant {
        Instant::since_boot(Duration::from_secs(seconds))
    }

    fn heartbeat() -> Arc<Heartbeat> {
        Heartbeats::default().add("w", at(0))
    }

    /// A client that is answered once, with this body, and then never again.
    fn answered<B>(body: B) -> Client
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let body = Mutex::new(Some(body));
        let service = tower::service_fn(move |_: Request<Payload>| {
            let body = body.lock().unwrap().take();
            async move {
                match body {
                    Some(body) => Ok::<_, Infallible>(Response::new(body)),
                    None => std::future::pending().await,
                }
            }
        });
        Client::new(service, "default")
    }

    fn request(query: &str) -> Request<Payload> {
        Request::get(format!("/api/v1/secrets?{query}")).body(Payload::empty()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_silent_up_to_the_limit_and_then_fails() {
        let (mut bytes, body) = Channel::<Bytes, Infallible>::new(4);
        let heartbeat = heartbeat();
        let client = listening(&answered(body), &heartbeat, LIMIT);
        let mut body = client.send(request("watch=true")).await.unwrap().into_body();
        let begun = tokio::time::Instant::now();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(89)).await;
            bytes.send_data(Bytes::from_static(b"bookmark\n")).await.unwrap();
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert!(!heartbeat.take_silent());
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(begun.elapsed(), Duration::from_secs(3 * 89 + 90));
        assert!(crate::exit::chain(&error).contains("nothing was heard for 90 s"), "{error:?}");
        assert!(heartbeat.take_silent() && !heartbeat.take_silent());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_is_slow_himself_is_no_silence() {
        let (mut bytes, body) = Channel::<Bytes, Infallible>::new(4);
        let client = listening(&answered(body), &heartbeat(), LIMIT);
        let mut body = client.send(request("watch=true")).await.unwrap().into_body();
        let early = tokio::time::timeout(Duration::from_secs(60), body.frame()).await;
        assert!(early.is_err());
        bytes.send_data(Bytes::from_static(b"event\n")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(body.frame().await.unwrap().is_ok(), "it was there all the while");
        let begun = tokio::time::Instant::now();
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_nobody_answers_fails_at_the_limit() {
        let heartbeat = heartbeat();
        let client = listening(&answered(Full::default()), &heartbeat, LIMIT);
        client.send(request("watch=true")).await.unwrap();
        let begun = tokio::time::Instant::now();
        assert!(client.send(request("watch=true")).await.is_err());
        assert_eq!(begun.elapsed(), LIMIT);
        assert!(heartbeat.take_silent());
    }

    #[tokio::test]
    async fn only_a_watch_that_goes_on_is_in_sync_by_being_answered() {
        let cases = [
            ("watch=true&resourceVersion=7", 200, true),
            ("watch=true&resourceVersion=7", 410, false),
            ("watch=true&sendInitialEvents=true", 200, false),
            ("limit=500", 200, false),
        ];
        for (query, status, current) in cases {
            let heartbeats = Heartbeats::default();
            let heartbeat = heartbeats.add("w", at(0));
            let service = tower::service_fn(move |_: Request<Payload>| async move {
                let body = Full::from(&b"{}"[..]);
                Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
            });
            let client = listening(&Client::new(service, "default"), &heartbeat, LIMIT);
            let body = client.send(request(query)).await.unwrap().into_body();
            body.collect().await.unwrap();
            let now = Instant::now().after(Duration::from_secs(1));
            assert_eq!(
                heartbeats.overdue(now, Duration::ZERO).is_none(),
                current,
                "{query} {status}"
            );
        }
    }

    #[test]
    fn out_of_sync_counts_from_the_first_failure_and_ends_when_all_is_told() {
        let heartbeats = Heartbeats::default();
        let (one, two) = (heartbeats.add("one", at(0)), heartbeats.add("two", at(0)));
        one.synced();
        two.synced();
        assert_eq!(heartbeats.overdue(at(1000), Duration::ZERO), None);
        one.unsynced(at(1000));
        two.unsynced(at(1050));
        one.unsynced(at(1100));
        let limit = Duration::from_secs(120);
        assert_eq!(heartbeats.overdue(at(1120), limit), None);
        assert_eq!(heartbeats.overdue(at(1171), limit), Some(("one", Duration::from_secs(171))));
        one.heard(at(1180), false);
        assert!(heartbeats.overdue(at(1181), limit).is_some(), "a list that drips is no list");
        one.synced();
        assert_eq!(heartbeats.overdue(at(1181), limit), Some(("two", Duration::from_secs(131))));
    }

    #[test]
    fn the_age_is_that_of_the_oldest_of_a_name() {
        let (heartbeats, metrics) = (Heartbeats::default(), Metrics::new());
        let [young, old, other] = ["a", "a", "b"].map(|name| heartbeats.add(name, at(0)));
        young.heard(at(90), false);
        old.heard(at(60), false);
        other.heard(at(95), false);
        heartbeats.tell(&metrics, at(100));
        let text = metrics.text();
        assert!(text.contains("trustd_watch_age_seconds{watch=\"a\"} 40"), "{text}");
        assert!(text.contains("trustd_watch_age_seconds{watch=\"b\"} 5"), "{text}");
    }
}
