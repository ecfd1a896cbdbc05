//! Watches: what the cluster holds, told as changes, each object reduced on arrival to what planning
//! needs of it.
//!
//! Nothing is decided here. A watch never ends: what it cannot read it reports and tries again, and
//! after a new list it tells what vanished meanwhile.

mod reduce;

use std::collections::BTreeSet;
use std::fmt::Debug;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::PartialObjectMeta;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use trustd_api::labels;
use trustd_api::object::Object as Whole;
use trustd_core::names::Kind;
use trustd_core::world::Settings;

pub(super) use reduce::{Object, Place, observed};

use super::backoff::{self, Jitter};
use crate::telemetry::Metrics;

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Sighting {
    /// An object is there, in this form.
    Is(Place, Object),
    /// An object is not there, or not of interest, any more.
    Gone(Place),
    /// Everything that there was at first has been told. Said once by each watch.
    Synced,
}

/// Starts every watch that these settings need. Each says [`Sighting::Synced`] once; how many they
/// are is the answer.
pub(super) fn start(
    tasks: &mut JoinSet<()>,
    client: &Client,
    settings: &Settings,
    metrics: &Metrics,
    tell: &mpsc::Sender<Sighting>,
) -> usize {
    let before = tasks.len();
    let gvk = GroupVersionKind::gvk(labels::GROUP, labels::VERSION, labels::KIND);
    let bundles = ApiResource::from_gvk_with_plural(&gvk, BUNDLES);
    let watch = |name| Watch { name, selector: None, metrics: metrics.clone(), tell: tell.clone() };
    let all = Api::<DynamicObject>::all_with(client.clone(), &bundles);
    tasks.spawn(watch(BUNDLES).run(all, reduce::bundle));
    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
    tasks.spawn(watch("namespaces").run(namespaces, reduce::namespace));
    let trust = settings.trust_namespace.as_str();
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), trust);
    tasks.spawn(
        watch("source configmaps")
            .run(config_maps, |object: ConfigMap| reduce::source(&Whole::ConfigMap(&object))),
    );
    let secrets = Api::<Secret>::namespaced(client.clone(), trust);
    tasks.spawn(
        watch("source secrets")
            .run(secrets, |object: Secret| reduce::source(&Whole::Secret(&object))),
    );
    let labelled = |name| Watch { selector: Some(labels::BUNDLE_LABEL), ..watch(name) };
    for namespace in scopes(settings) {
        let api = scoped::<ConfigMap>(client, namespace.as_deref());
        tasks.spawn(labelled("target configmaps").run(api, reduce::target(Kind::ConfigMap)));
        if settings.secret_targets {
            let api = scoped::<Secret>(client, namespace.as_deref());
            tasks.spawn(labelled("target secrets").run(api, reduce::target(Kind::Secret)));
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

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<PartialObjectMeta<K>>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    PartialObjectMeta<K>: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// One watch.
struct Watch {
    name: &'static str,
    selector: Option<&'static str>,
    metrics: Metrics,
    tell: mpsc::Sender<Sighting>,
}

impl Watch {
    /// Watches until nobody listens any more.
    async fn run<K, R>(self, api: Api<K>, reduce: R)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        R: Fn(K) -> (Place, Option<Object>) + Send + 'static,
    {
        let mut strategy = InitialListStrategy::StreamingList;
        let mut jitter = Jitter::new();
        let mut failures = 0;
        let mut known = Known::default();
        loop {
            let mut config =
                watcher::Config { initial_list_strategy: strategy.clone(), ..Default::default() };
            config.label_selector = self.selector.map(str::to_owned);
            let mut events = watcher::watcher(api.clone(), config).boxed();
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        failures = 0;
                        for sighting in known.take(event, &reduce) {
                            if self.tell.send(sighting).await.is_err() {
                                return;
                            }
                        }
                    }
                    Err(error) if is_no_streaming(&error) && strategy != Default::default() => {
                        tracing::debug!(watch = self.name, "no streaming lists here, lists pages");
                        strategy = InitialListStrategy::default();
                        break;
                    }
                    Err(error) => {
                        failures += 1;
                        self.complain(&error, failures);
                        let pause = backoff::after_failures(failures).min(backoff::WATCH_LONGEST);
                        tokio::time::sleep(jitter.upper_half_of(pause)).await;
                    }
                }
            }
        }
    }

    fn complain(&self, error: &watcher::Error, failures: u32) {
        self.metrics.watch_failed(self.name);
        // An expired version is routine: the list that follows mends it.
        if matches!(error, watcher::Error::WatchError(status) if status.code == 410) {
            return;
        }
        let reason = self.why(error);
        // The first failure of a series is often a server that restarts.
        if failures < 2 {
            tracing::info!(watch = self.name, error = reason, "a watch was cut, tries again");
        } else {
            tracing::warn!(watch = self.name, error = reason, "cannot watch, tries again");
        }
    }

    /// Why it failed, in the server's words where there are some.
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

/// Whether the server refuses to stream lists, as 1.33 does by default.
fn is_no_streaming(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status))
        if status.is_invalid() || status.code == 400)
}

/// The objects that a watch has told of.
#[derive(Debug, Default)]
struct Known {
    places: BTreeSet<Place>,
    /// Those seen in the list that is being read.
    listed: BTreeSet<Place>,
    synced: bool,
}

impl Known {
    /// What an event comes to.
    fn take<K>(
        &mut self,
        event: Event<K>,
        reduce: &impl Fn(K) -> (Place, Option<Object>),
    ) -> Vec<Sighting> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let (place, object) = reduce(object);
                if object.is_some() {
                    self.listed.insert(place.clone());
                }
                vec![self.told(place, object)]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let before = std::mem::replace(&mut self.places, listed);
                let gone = before.difference(&self.places).cloned().map(Sighting::Gone);
                let first = !std::mem::replace(&mut self.synced, true);
                gone.chain(first.then_some(Sighting::Synced)).collect()
            }
            Event::Apply(object) => {
                let (place, object) = reduce(object);
                vec![self.told(place, object)]
            }
            Event::Delete(object) => {
                let (place, _) = reduce(object);
                vec![self.told(place, None)]
            }
        }
    }

    fn told(&mut self, place: Place, object: Option<Object>) -> Sighting {
        match object {
            Some(object) => {
                self.places.insert(place.clone());
                Sighting::Is(place, object)
            }
            None => {
                self.places.remove(&place);
                Sighting::Gone(place)
            }
        }
    }
}

/// The plural of Bundle, as URLs have it, and the name of its watch.
const BUNDLES: &str = "bundles";

#[cfg(test)]
mod tests;
