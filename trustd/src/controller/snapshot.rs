//! A snapshot of the cluster for a preview: the same watches and the same planner, without a single
//! write.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use trustd_api::object::Object as Whole;
use trustd_api::validate::{self, Invalid};
use trustd_core::names::{BundleName, Kind};
use trustd_core::plan::{Write, plan};
use trustd_core::spec::Spec;
use trustd_core::world::{Observed, Settings, Targets, World};

use super::backoff::Jitter;
use super::clock;
use super::queue::TargetRef;
use super::reconciler::Reconciler;
use super::watch::{self, WatchContext, WatchEvent};
use crate::telemetry::Metrics;

/// A cluster as a run would find it.
#[derive(Debug, Default)]
pub struct ClusterSnapshot {
    /// The world for planning, as in a run: only the metadata of targets.
    pub world: World,
    /// The targets that would change, whole, so that it can be said how.
    pub shown: BTreeMap<BundleName, Targets>,
    /// The valid Bundles, by name.
    pub specs: BTreeMap<BundleName, Spec>,
    /// The others.
    pub invalid: Vec<Invalid>,
}

/// The cluster cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// An object cannot be read.
    #[error("cannot read {kind} {namespace}/{name}")]
    Get { kind: Kind, namespace: String, name: String, source: kube::Error },
    /// Some watches were not complete in time.
    #[error("the cluster could not be read within {} s; the log says which watch fails", .0.as_secs())]
    Late(Duration),
}

/// Reads the cluster.
///
/// # Errors
/// When it cannot be read.
pub async fn snapshot(
    client: Client,
    settings: Settings,
) -> Result<ClusterSnapshot, SnapshotError> {
    let reading = read(&client, settings);
    let (world, raw) =
        tokio::time::timeout(PATIENCE, reading).await.map_err(|_| SnapshotError::Late(PATIENCE))?;
    let mut snapshot = ClusterSnapshot { world, ..ClusterSnapshot::default() };
    for raw in raw {
        match validate::read(&raw) {
            Ok(spec) => drop(snapshot.specs.insert(spec.name.clone(), spec)),
            Err(invalid) => snapshot.invalid.push(invalid),
        }
    }
    // Where a run would look before it makes something, look.
    let planned = |write: &Write| matches!(write, Write::Create(_));
    for (unit, found) in snapshot.fetch(&client, planned).await? {
        let targets = snapshot.world.targets.entry(unit.bundle).or_default();
        targets.insert((unit.kind, unit.namespace), found);
    }
    let planned = |write: &Write| matches!(write, Write::Update { .. });
    for (unit, found) in snapshot.fetch(&client, planned).await? {
        let targets = snapshot.shown.entry(unit.bundle).or_default();
        targets.insert((unit.kind, unit.namespace), found);
    }
    Ok(snapshot)
}

impl ClusterSnapshot {
    /// The objects, whole, at the places of those targets whose write is of this sort.
    async fn fetch(
        &self,
        client: &Client,
        is: impl Fn(&Write) -> bool,
    ) -> Result<Vec<(TargetRef, Observed)>, SnapshotError> {
        let now = clock::date();
        let steps = self.specs.values().flat_map(|spec| {
            let plan = plan(spec, &self.world, now);
            let bundle = plan.bundle;
            plan.steps.into_iter().filter(|step| is(&step.write)).map(move |step| TargetRef {
                bundle: bundle.clone(),
                kind: step.kind,
                namespace: step.namespace,
            })
        });
        let units: Vec<TargetRef> = steps.collect();
        let found = stream::iter(units).map(|unit| whole(client, unit)).buffered(READS);
        let found: Vec<_> = found.collect().await;
        found.into_iter().filter_map(Result::transpose).collect()
    }
}

async fn read(
    client: &Client,
    settings: Settings,
) -> (World, Vec<std::sync::Arc<serde_json::Value>>) {
    let mut tasks = JoinSet::new();
    let (tell, mut watch_events) = mpsc::channel(super::WATCH_EVENTS_MAX);
    let mut waiting = watch::start(&mut tasks, client, &settings, &WatchContext::default(), &tell);
    drop(tell);
    let mut reconciler =
        Reconciler::new(settings, NonZeroUsize::MIN, Jitter::new(), Metrics::new());
    while waiting > 0
        && let Some(watch_event) = watch_events.recv().await
    {
        match watch_event {
            WatchEvent::Applied(key, object) => reconciler.see(key, Some(object)),
            WatchEvent::Deleted(key) => reconciler.see(key, None),
            WatchEvent::Synced => waiting -= 1,
        }
    }
    reconciler.into_world()
}

/// The object at the place of a target, if there is one.
async fn whole(
    client: &Client,
    unit: TargetRef,
) -> Result<Option<(TargetRef, Observed)>, SnapshotError> {
    let (namespace, name) = (unit.namespace.as_str(), unit.bundle.as_str());
    let found = match unit.kind {
        Kind::ConfigMap => Api::<ConfigMap>::namespaced(client.clone(), namespace)
            .get_opt(name)
            .await
            .map(|found| found.map(|object| Whole::ConfigMap(&object).observed())),
        Kind::Secret => Api::<Secret>::namespaced(client.clone(), namespace)
            .get_opt(name)
            .await
            .map(|found| found.map(|object| Whole::Secret(&object).observed())),
    };
    match found {
        Ok(found) => Ok(found.map(|observed| (unit, observed))),
        Err(source) => Err(SnapshotError::Get {
            kind: unit.kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            source,
        }),
    }
}

/// A cluster of tens of thousands of namespaces is read in seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Objects read at the same time.
const READS: usize = 16;
