//! 500 namespaces, one Bundle in all of them, one CA that is rotated again and again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use cluster::access::Account;
use cluster::assets::repository;
use cluster::audit::{Event, Mark};
use cluster::pki::Authority;
use cluster::{Cluster, Controller, LABEL, Options, TRUST_NAMESPACE, eventually};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::{Value as Json, json};
use tokio::sync::{Mutex as Turns, MutexGuard};

use crate::history::{History, normal};

/// A test's turn on a fleet.
pub(crate) struct Fleet {
    pub(crate) cluster: &'static Cluster,
    pub(crate) client: Client,
    /// Two accounts with trustd's roles, so that the audit log tells two processes apart.
    pub(crate) accounts: [Account; 2],
    ground: MutexGuard<'static, Ground>,
}

/// What is kept from turn to turn.
struct Ground {
    built: Option<(&'static Cluster, [Account; 2])>,
    /// The CAs that the source has held, in order.
    generations: Mutex<Vec<String>>,
}

/// Each with a control plane and a fleet: most of what these tests do is waiting. As many are built as
/// tests run at a time.
static GROUNDS: [Turns<Ground>; 3] = [const { Turns::const_new(Ground::new()) }; 3];

impl Ground {
    const fn new() -> Self {
        Self { built: None, generations: Mutex::new(Vec::new()) }
    }
}

impl Fleet {
    /// Waits until a ground is free, and mends what the test before may have left broken.
    pub(crate) async fn turn() -> Result<Option<Self>> {
        let [first, second, third] = &GROUNDS;
        let mut ground = tokio::select! {
            biased;
            ground = first.lock() => ground,
            ground = second.lock() => ground,
            ground = third.lock() => ground,
        };
        if ground.built.is_none() {
            let Some(cluster) = Cluster::start(&Options::default())? else { return Ok(None) };
            // It is there until the process ends, and the kernel ends its programs then.
            let cluster: &'static Cluster = Box::leak(Box::new(cluster));
            ground.built = Some((cluster, build(cluster).await?));
        }
        let (cluster, accounts) = ground.built.clone().context("it was just built")?;
        if cluster.admin().await?.apiserver_version().await.is_err() {
            let _ = cluster.resume_server();
            cluster.stop_server();
            cluster.start_server().await?;
        }
        let client = cluster.admin().await?;
        let marked = format!("{LABEL}=fault");
        let kinds = "validatingwebhookconfigurations,validatingadmissionpolicybindings,\
                     validatingadmissionpolicies,flowschemas,prioritylevelconfigurations,\
                     resourcequotas";
        let delete = ["delete", kinds, "-A", "-l", &marked, "--wait=false"];
        cluster.kubectl(delete).await?;
        // Nobody is left from the test before.
        let leases = Api::<Lease>::namespaced(client.clone(), TRUST_NAMESPACE);
        leases.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        Ok(Some(Self { cluster, client, accounts, ground }))
    }

    /// Starts a trustd that competes with nobody.
    pub(crate) fn trustd(&self, kubeconfig: &Path) -> Result<Controller> {
        self.start(kubeconfig, &["--leader-elect=false"])
    }

    /// Starts a trustd that campaigns for the lease, with times as short as they can be: a lease must
    /// outlive the 5 s that a write may take.
    pub(crate) fn candidate(&self, kubeconfig: &Path) -> Result<Controller> {
        let namespace = format!("--leader-election-namespace={TRUST_NAMESPACE}");
        let times = ["--leader-election-lease-duration=7s", "--leader-election-renew-deadline=4s"];
        self.start(kubeconfig, &[&namespace, times[0], times[1]])
    }

    fn start(&self, kubeconfig: &Path, flags: &[&str]) -> Result<Controller> {
        let binary = env!("CARGO_BIN_EXE_trustd");
        Controller::trustd(self.cluster, binary, kubeconfig, flags.iter().copied())
    }

    /// Puts a new CA into the source, and gives the number of its generation.
    pub(crate) async fn rotate(&self) -> Result<usize> {
        let pem = Authority::new()?.certificate();
        let generation = {
            let mut generations = self.ground.generations.lock().unwrap();
            generations.push(normal(&pem));
            generations.len() - 1
        };
        let source = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "fleet-source", "namespace": TRUST_NAMESPACE},
            "data": {"ca.crt": pem},
        });
        let sources = Api::<ConfigMap>::namespaced(self.client.clone(), TRUST_NAMESPACE);
        sources.patch("fleet-source", &PatchParams::apply("tests"), &Patch::Apply(source)).await?;
        Ok(generation)
    }

    /// The generation that each target holds now, by namespace.
    pub(crate) async fn held(&self) -> Result<BTreeMap<String, usize>> {
        let targets = Api::<ConfigMap>::all(self.client.clone());
        let targets = targets.list(&ListParams::default().labels(SELECTOR)).await?;
        let generations = self.ground.generations.lock().unwrap();
        let held = targets.items.into_iter().filter_map(|target| {
            let text = normal(target.data.as_ref()?.get(KEY)?);
            let generation = generations.iter().position(|known| *known == text)?;
            Some((target.namespace().unwrap_or_default(), generation))
        });
        Ok(held.collect())
    }

    /// Waits until some targets hold this generation, and more than some do not: the midst of a
    /// fan-out, if it is slow enough to be met there.
    pub(crate) async fn midst(&self, generation: usize) -> Result<()> {
        eventually("a fan-out is in its midst", SOON, async || {
            let held = self.held().await?;
            let there = held.values().filter(|held| **held == generation).count();
            ensure!(there > 0, "nobody holds generation {generation}");
            Ok(())
        })
        .await
    }

    /// Waits until every target of the fleet holds this generation, but for these namespaces.
    pub(crate) async fn all_hold(&self, generation: usize, but: &[String]) -> Result<()> {
        eventually(&format!("all hold generation {generation}"), SOON, async || {
            let held = self.held().await?;
            let others: Vec<_> = names()
                .filter(|name| !but.contains(name) && held.get(name) != Some(&generation))
                .collect();
            if !others.is_empty() {
                // A list of 500 is no small thing for a server that is being tested.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let some: Vec<_> = others.iter().take(3).map(|name| (name, held.get(name))).collect();
            ensure!(others.is_empty(), "{} do not, such as {some:?}", others.len());
            Ok(())
        })
        .await
    }

    /// Waits until the status of the Bundle counts so: desired, synced, failed, refused. Gives the
    /// condition.
    pub(crate) async fn counts(&self, wanted: [usize; 4]) -> Result<Json> {
        counts(&self.client, BUNDLE, wanted).await
    }

    /// Begins to write down what targets hold.
    pub(crate) async fn history(&self) -> Result<History> {
        History::begin(self.client.clone(), SELECTOR, KEY).await
    }

    /// Fails if a target ever went back to older content.
    pub(crate) async fn only_forward(&self, history: History) -> Result<()> {
        let targets = Api::<ConfigMap>::all(self.client.clone());
        let newest = targets.list_metadata(&ListParams::default().labels(SELECTOR)).await?;
        let versions = newest.items.iter().filter_map(|it| it.resource_version()?.parse().ok());
        let version: u64 = versions.max().context("there are no targets")?;
        let order = self.ground.generations.lock().unwrap().clone();
        history.only_forward(&order, &version.to_string()).await
    }

    /// What an account has asked to change since the mark, its lease left out.
    pub(crate) async fn writes(&self, account: &Account, mark: Mark) -> Result<Vec<Event>> {
        let mut writes = self.cluster.writes_of(&account.user(), mark).await?;
        writes.retain(|event| event.resource != "leases");
        Ok(writes)
    }
}

/// Waits until the status of a Bundle counts so, and gives its condition.
pub(crate) async fn counts(client: &Client, bundle: &str, wanted: [usize; 4]) -> Result<Json> {
    let bundles = bundles(client);
    eventually(&format!("the status of {bundle} counts {wanted:?}"), SOON, async || {
        let status = bundles.get(bundle).await?.data["status"].clone();
        let is = ["desired", "synced", "failed", "refused"]
            .map(|name| status["targets"][name].as_u64().unwrap_or_default() as usize);
        ensure!(is == wanted, "{status}");
        let condition = status["conditions"][0].clone();
        // The condition follows when nothing is pending any more.
        let is_synced = condition["status"] == "True";
        ensure!(is_synced == (wanted[0] == wanted[1]), "{status}");
        Ok(condition)
    })
    .await
}

pub(crate) fn bundles(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("trust.cert-manager.io", "v1alpha1", "Bundle");
    Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
}

/// The namespaces of the fleet.
pub(crate) fn names() -> impl Iterator<Item = String> {
    (0..SIZE).map(name)
}

/// One namespace of the fleet.
pub(crate) fn name(number: usize) -> String {
    format!("fleet-{number:03}")
}

/// Waits until a controller's metric is so.
pub(crate) async fn metric(controller: &Controller, name: &str, wanted: f64) -> Result<()> {
    eventually(&format!("{name} is {wanted}"), SOON, async || {
        let is = controller.metric(name, &[]).await?;
        if is == Some(wanted) { Ok(()) } else { Err(anyhow!("it is {is:?}")) }
    })
    .await
}

async fn build(cluster: &'static Cluster) -> Result<[Account; 2]> {
    cluster.namespace(TRUST_NAMESPACE, &[]).await?;
    cluster.apply(&repository().join("deploy/base")).await?;
    let file = cluster.folder().write("second.yaml", SECOND)?;
    cluster.kubectl(["apply", "--server-side", "-f", &file.display().to_string()]).await?;
    let accounts = [
        cluster.service_account(TRUST_NAMESPACE, "trustd").await?,
        cluster.service_account(TRUST_NAMESPACE, "second").await?,
    ];
    let client = cluster.admin().await?;
    let made = stream::iter(names()).map(|name| {
        let namespaces = Api::<Namespace>::all(client.clone());
        async move {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"fleet": "yes"}},
            });
            namespaces.patch(&name, &PatchParams::apply("tests"), &Patch::Apply(namespace)).await?;
            anyhow::Ok(())
        }
    });
    made.buffer_unordered(16).try_collect::<()>().await?;
    let bundle = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": BUNDLE},
        "spec": {
            "sources": [{"configMap": {"name": "fleet-source", "key": "ca.crt"}}],
            "target": {
                "configMap": {"key": KEY}, "namespaceSelector": {"matchLabels": {"fleet": "yes"}},
            },
        },
    });
    bundles(&client).patch(BUNDLE, &PatchParams::apply("tests"), &Patch::Apply(bundle)).await?;
    Ok(accounts)
}

/// As many namespaces as issue a fan-out.
pub(crate) const SIZE: usize = 500;

/// The Bundle, and so every target.
pub(crate) const BUNDLE: &str = "fleet";
pub(crate) const KEY: &str = "ca-bundle.crt";
const SELECTOR: &str = "trust.cert-manager.io/bundle=fleet";

pub(crate) const LEASE: &str = "trust-manager-leader-election";

/// What takes a moment, on a machine that is busy with other things.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// trustd's roles for another account.
const SECOND: &str = "
{apiVersion: v1, kind: ServiceAccount, metadata: {name: second, namespace: cert-manager}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: second}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: trustd}
subjects: [{kind: ServiceAccount, name: second, namespace: cert-manager}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: 'second:sources', namespace: cert-manager}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: 'trustd:sources'}
subjects: [{kind: ServiceAccount, name: second, namespace: cert-manager}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: 'second:leaderelection', namespace: cert-manager}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: 'trustd:leaderelection'}
subjects: [{kind: ServiceAccount, name: second, namespace: cert-manager}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: 'second:events', namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: 'trustd:events'}
subjects: [{kind: ServiceAccount, name: second, namespace: cert-manager}]
";
