//! Watches of the cluster. Each object is trimmed on arrival to what planning needs.
//!
//! Nothing is decided here. A watch never ends: it logs failures and tries again, and after a new
//! list it reports what was deleted meanwhile.

mod interest;
mod heartbeat;
mod trim;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::PartialObjectMeta;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinSet;
use trustd_api::labels;
use trustd_api::object::Object as Whole;
use trustd_core::names::Kind;
use trustd_core::world::Settings;

pub(super) use heartbeat::Heartbeats;
pub use heartbeat::Limits;
pub(super) use trim::{ObjectKey, WatchedObject, observed};

use super::backoff::{self, Jitter};
use super::clock::Instant;
use super::repeat::{FailureKind, Repeats};
use crate::telemetry::Metrics;
use heartbeat::Heartbeat;
use interest::{FETCHES_MAX, Interest, Withheld};

/// An event from a watch.
#[derive(Debug)]
pub(super) enum WatchEvent {
    /// An object is there, in this form.
    Applied(ObjectKey, WatchedObject),
    /// An object is not there, or not of interest, any more.
    Deleted(ObjectKey),
    /// Everything that there was at first has been told. Said once by each watch.
    Synced,
}

/// The context that all watches share.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchContext {
    /// The time for which a watch may be silent.
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    /// Signs of life.
    pub(super) heartbeats: Heartbeats,
    /// Rate limits for log lines.
    pub(super) repeats: Repeats,
}

/// Starts every watch that these settings need. Each says [`WatchEvent::Synced`] once; how many
/// they are is the answer.
pub(super) fn start(
    tasks: &mut JoinSet<()>,
    client: &Client,
    settings: &Settings,
    context: &WatchContext,
    tell: &mpsc::Sender<WatchEvent>,
) -> usize {
    let before = tasks.len();
    let gvk = GroupVersionKind::gvk(labels::GROUP, labels::VERSION, labels::KIND);
    let bundles = ApiResource::from_gvk_with_plural(&gvk, BUNDLES);
    let watch = |name| {
        let heartbeat = context.heartbeats.add(name, Instant::now());
        let client = heartbeat::listening(client, &heartbeat, context.limits.silence);
        let (context, tell) = (context.clone(), tell.clone());
        let (says, withheld) = (None, None);
        (Watch { name, selector: None, heartbeat, context, says, withheld, tell }, client)
    };
    let (says, interest) = interest::channel();
    let (bundle_watch, client) = watch(BUNDLES);
    let all = Api::<DynamicObject>::all_with(client, &bundles);
    tasks.spawn(Watch { says: Some(says), ..bundle_watch }.run(all, trim::bundle));
    let (namespace_watch, client) = watch("namespaces");
    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client);
    tasks.spawn(namespace_watch.run(namespaces, trim::namespace));
    let trust = settings.trust_namespace.as_str();
    let (source_watch, client) = watch("source configmaps");
    let api = Api::<ConfigMap>::namespaced(client, trust);
    tasks.spawn(source_watch.heeding(Kind::ConfigMap, &interest).run(api, {
        let interest = interest.clone();
        move |object: ConfigMap| interest::kept(&interest, trim::source(&Whole::ConfigMap(&object)))
    }));
    let (source_watch, client) = watch("source secrets");
    let api = Api::<Secret>::namespaced(client, trust);
    tasks.spawn(source_watch.heeding(Kind::Secret, &interest).run(api, {
        let interest = interest.clone();
        move |object: Secret| interest::kept(&interest, trim::source(&Whole::Secret(&object)))
    }));
    for namespace in scopes(settings) {
        let (target_watch, client) = watch("target configmaps");
        let api = scoped::<ConfigMap>(client, namespace.as_deref());
        tasks.spawn(target_watch.labelled().run(api, trim::target(Kind::ConfigMap)));
        if settings.secret_targets {
            let (target_watch, client) = watch("target secrets");
            let api = scoped::<Secret>(client, namespace.as_deref());
            tasks.spawn(target_watch.labelled().run(api, trim::target(Kind::Secret)));
        }
    }
    tasks.len() - before
}

/// The namespaces in which targets are watched one by one, or nothing once: the whole cluster.
fn scopes(settings: &Settings) -> Vec<Option<String>> {
    if settings.target_namespaces.is_empty() {
        return vec![None];
    }
    settings.target_namespaces.iter().map(|namespace| Some(namespace.to_string())).collect()
}

fn scoped<K>(client: Client, namespace: Option<&str>) -> Api<PartialObjectMeta<K>>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    PartialObjectMeta<K>: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

/// One watch.
struct Watch {
    name: &'static str,
    selector: Option<&'static str>,
    heartbeat: Arc<Heartbeat>,
    context: WatchContext,
    /// The channel in which the watch of Bundles announces what they read.
    says: Option<channel::Sender<Interest>>,
    /// The objects whose data a watch of sources has dropped.
    withheld: Option<Withheld>,
    tell: mpsc::Sender<WatchEvent>,
}

impl Watch {
    /// Restricts the watch to objects that have the label of targets.
    fn labelled(self) -> Self {
        Self { selector: Some(labels::BUNDLE_LABEL), ..self }
    }

    /// Makes this a watch of sources, which keeps only those whole that a Bundle reads.
    fn heeding(self, kind: Kind, interest: &channel::Receiver<Interest>) -> Self {
        Self { withheld: Some(Withheld::new(kind, interest.clone())), ..self }
    }

    /// Watches until nobody listens any more.
    async fn run<K, R>(mut self, api: Api<K>, trim: R)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        R: Fn(K) -> (ObjectKey, Option<WatchedObject>) + Send + 'static,
    {
        let mut strategy = InitialListStrategy::StreamingList;
        let mut jitter = Jitter::new();
        let mut failures = 0;
        let mut known = KnownObjects::default();
        if let Some(withheld) = &mut self.withheld {
            withheld.begin().await;
        }
        loop {
            let mut events = watcher::watcher(api.clone(), self.config(strategy.clone())).boxed();
            loop {
                let event = tokio::select! {
                    event = events.next() => event,
                    () = something_else_is_read(&mut self.withheld) => {
                        if self.fetch(&api, &trim, &mut known).await { continue } else { break }
                    }
                };
                match event {
                    None => break,
                    Some(Ok(event)) => {
                        failures = 0;
                        self.note(&event);
                        if !self.is_old(&event) && !self.tell(known.take(event, &trim)).await {
                            return;
                        }
                    }
                    Some(Err(error))
                        if is_no_streaming(&error) && strategy != Default::default() =>
                    {
                        tracing::debug!(watch = self.name, "no streaming lists here, lists pages");
                        strategy = InitialListStrategy::default();
                        break;
                    }
                    Some(Err(error)) => {
                        failures += 1;
                        self.heartbeat.unsynced(Instant::now());
                        self.complain(&error, failures);
                        let pause = backoff::after_failures(failures).min(backoff::WATCH_LONGEST);
                        tokio::time::sleep(jitter.upper_half_of(pause)).await;
                    }
                }
            }
        }
    }

    fn config(&self, initial_list_strategy: InitialListStrategy) -> watcher::Config {
        let mut config = watcher::Config { initial_list_strategy, ..Default::default() };
        config.label_selector = self.selector.map(str::to_owned);
        if self.withheld.is_some() {
            config.page_size = Some(SOURCES_PER_PAGE);
        }
        config
    }

    /// Tells; says whether anybody listens.
    async fn tell(&mut self, watch_events: Vec<WatchEvent>) -> bool {
        for watch_event in watch_events {
            if let Some(says) = &self.says {
                says.send_if_modified(|interest| interest.note(&watch_event));
            }
            if let Some(withheld) = &mut self.withheld {
                withheld.note(&watch_event);
            }
            if self.tell.send(watch_event).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Notes what an event says of the state of the watch itself.
    fn note<K>(&mut self, event: &Event<K>) {
        match event {
            Event::Init => {
                self.heartbeat.unsynced(Instant::now());
                if let Some(withheld) = &mut self.withheld {
                    withheld.forget_fetched();
                }
            }
            Event::InitApply(_) => {}
            Event::Apply(_) | Event::Delete(_) | Event::InitDone => self.heartbeat.synced(),
        }
    }

    /// Returns true if an event is older than an object that was fetched.
    fn is_old<K: Resource>(&mut self, event: &Event<K>) -> bool {
        let (Event::Apply(object) | Event::Delete(object)) = event else { return false };
        let Some(withheld) = &mut self.withheld else { return false };
        let name = object.meta().name.as_deref().unwrap_or_default();
        withheld.is_old(&name.into(), version(object))
    }

    /// Fetches what was dropped and is read now. If that fails, and where it is much, says that all
    /// is to be read anew.
    async fn fetch<K, R>(&mut self, api: &Api<K>, trim: &R, known: &mut KnownObjects) -> bool
    where
        K: Resource + Clone + DeserializeOwned + Debug,
        R: Fn(K) -> (ObjectKey, Option<WatchedObject>),
    {
        let wanted = self.withheld.as_mut().map(Withheld::wanted).unwrap_or_default();
        if wanted.len() > FETCHES_MAX {
            return false;
        }
        for name in wanted {
            let object = match api.get_opt(name.as_str()).await {
                Ok(Some(object)) => object,
                // The watch will say that it is gone.
                Ok(None) => continue,
                Err(error) => {
                    let error = crate::exit::chain(&error);
                    tracing::info!(watch = self.name, %name, error, "cannot read a source, lists all");
                    return false;
                }
            };
            if let Some(withheld) = &mut self.withheld {
                withheld.fetched(name, version(&object));
            }
            // Nobody listening shows at the next event.
            self.tell(known.take(Event::Apply(object), trim)).await;
        }
        true
    }

    fn complain(&self, error: &watcher::Error, failures: u32) {
        self.context.metrics.watch_failed(self.name);
        let watch = self.name;
        if self.heartbeat.take_silent() {
            let silence = self.context.limits.silence.as_secs_f64();
            let fault = FailureKind { what: "a watch fell silent", reason: watch };
            if self.is_first(fault, "") {
                // Where nothing changes bookmarks can be late: no warning, unless it cannot be
                // begun.
                tracing::info!(
                    watch,
                    silent_s = silence,
                    "nothing was heard of a watch, not even a bookmark: it is taken for dead and \
                     begun anew"
                );
            }
            return;
        }
        // An expired version is routine: the list that follows mends it.
        if matches!(error, watcher::Error::WatchError(status) if status.code == 410) {
            return;
        }
        let error = self.why(error);
        // The first failure of a series is often a server that restarts.
        let what = if failures < 2 { "a watch was cut, tries again" } else { CANNOT_WATCH };
        if !self.is_first(FailureKind { what, reason: watch }, &error) {
            tracing::debug!(watch, error, "{what}");
        } else if failures < 2 {
            tracing::info!(watch, error, "{what}");
        } else {
            tracing::warn!(watch, error, "{what}");
        }
    }

    fn is_first(&self, fault: FailureKind, error: &str) -> bool {
        self.context.repeats.is_first(fault, Instant::now(), || error.to_owned())
    }

    /// Describes a failure, in the server's words if there are any.
    fn why(&self, error: &watcher::Error) -> String {
        use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
        let status = match error {
            InitialListFailed(kube::Error::Api(status))
            | WatchFailed(kube::Error::Api(status))
            | WatchStartFailed(kube::Error::Api(status))
            | WatchError(status) => status,
            other => return crate::exit::chain(other),
        };
        if status.code == 404 && self.name == BUNDLES {
            // Its text is that of a web server without such a page.
            return "the cluster has no Bundle resource; apply the CRD that `trustd crd` prints"
                .into();
        }
        format!("the API server answered {}: {}", status.code, status.message)
    }
}

async fn something_else_is_read(withheld: &mut Option<Withheld>) {
    match withheld {
        Some(withheld) => withheld.changed().await,
        None => std::future::pending().await,
    }
}

/// The version of an object as a number, by which versions of one object can be compared
/// (KEP-5504).
fn version<K: Resource>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_ref()?.parse().ok()
}

/// Returns true if the server refuses to stream lists, as 1.33 does by default.
fn is_no_streaming(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status))
        if status.is_invalid() || status.code == 400)
}

/// The objects that a watch has reported.
#[derive(Debug, Default)]
struct KnownObjects {
    places: BTreeSet<ObjectKey>,
    /// Those seen in the list that is being read.
    listed: BTreeSet<ObjectKey>,
    synced: bool,
}

impl KnownObjects {
    /// Translates an event of kube's watcher.
    fn take<K>(
        &mut self,
        event: Event<K>,
        trim: &impl Fn(K) -> (ObjectKey, Option<WatchedObject>),
    ) -> Vec<WatchEvent> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let (key, object) = trim(object);
                if object.is_some() {
                    self.listed.insert(key.clone());
                }
                vec![self.told(key, object)]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let before = std::mem::replace(&mut self.places, listed);
                let gone = before.difference(&self.places).cloned().map(WatchEvent::Deleted);
                let first = !std::mem::replace(&mut self.synced, true);
                gone.chain(first.then_some(WatchEvent::Synced)).collect()
            }
            Event::Apply(object) => {
                let (key, object) = trim(object);
                vec![self.told(key, object)]
            }
            Event::Delete(object) => {
                let (key, _) = trim(object);
                vec![self.told(key, None)]
            }
        }
    }

    fn told(&mut self, key: ObjectKey, object: Option<WatchedObject>) -> WatchEvent {
        match object {
            Some(object) => {
                self.places.insert(key.clone());
                WatchEvent::Applied(key, object)
            }
            None => {
                self.places.remove(&key);
                WatchEvent::Deleted(key)
            }
        }
    }
}

/// The plural of Bundle, as URLs have it, and the name of its watch.
const BUNDLES: &str = "bundles";
/// Sources are read whole, and a page is held in memory: 20 of them at 1 MiB, a third more as
/// base64.
const SOURCES_PER_PAGE: u32 = 20;
const CANNOT_WATCH: &str = "cannot watch, tries again";

#[cfg(test)]
mod tests;
