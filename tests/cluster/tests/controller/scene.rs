//! One cluster and one trustd for many tests, and the part of them that belongs to one test.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cluster::access::Account;
use cluster::assets::repository;
use cluster::audit::{Event, Mark};
use cluster::{Cluster, Controller, Options, TRUST_NAMESPACE, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::fixtures;

/// How long what takes a moment may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The label of a scene's namespaces.
pub(crate) const LABEL: &str = "tests.trustd/scene";

/// The data key that Bundles of tests write.
pub(crate) const KEY: &str = "ca-bundle.crt";

/// The cluster with its trustd, which write Secrets too, log everything as JSON and lead.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) account: Account,
    pub(crate) trustd: Controller,
    /// Since when [`UNTOUCHED`] is synced, and where the audit log ended then.
    pub(crate) untouched: (Instant, Mark),
}

/// A Bundle with [`UNTOUCHED_NAMESPACES`] that no test does anything to.
pub(crate) const UNTOUCHED: &str = "untouched";

/// How many there are.
pub(crate) const UNTOUCHED_NAMESPACES: usize = 50;

impl Stage {
    /// The one that all scenes share, set up by the first that asks. Nothing where there is no
    /// control plane to run.
    pub(crate) fn shared() -> Result<Option<&'static Self>> {
        static SHARED: OnceLock<Result<Option<Stage>, String>> = OnceLock::new();
        let set_up = || {
            let Some(cluster) = Cluster::start(&Options::default())? else { return Ok(None) };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(Self::set_up(cluster)).map(Some)
        };
        // On a thread of its own, for a test's runtime cannot be blocked on.
        let on_a_thread = || {
            let done = std::thread::scope(|scope| scope.spawn(set_up).join());
            done.map_err(|_| anyhow!("it panicked")).flatten().map_err(|error| format!("{error:#}"))
        };
        match SHARED.get_or_init(on_a_thread) {
            Ok(stage) => Ok(stage.as_ref()),
            Err(text) => Err(anyhow!("{text}").context("the shared stage was not set up")),
        }
    }

    async fn set_up(cluster: Cluster) -> Result<Self> {
        let account = install(&cluster, "secret-targets").await?;
        let flags = ["--secret-targets-enabled=true", "--log-format=json", "-v=5"];
        let trustd = start(&cluster, &account, flags)?;
        trustd.ready(SOON).await?;
        let untouched = leave_untouched(&cluster).await?;
        Ok(Self { cluster, account, trustd, untouched })
    }
}

async fn leave_untouched(cluster: &Cluster) -> Result<(Instant, Mark)> {
    for number in 0..UNTOUCHED_NAMESPACES {
        cluster.namespace(&format!("{UNTOUCHED}-{number}"), &[(LABEL, UNTOUCHED)]).await?;
    }
    let client = cluster.admin().await?;
    let bundle = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": UNTOUCHED},
        "spec": {
            "sources": [{"inLine": fixtures::pem(&["alpha", "beta"])}],
            "target": {"configMap": {"key": KEY}, "secret": {"key": KEY}, "namespaceSelector":
                {"matchLabels": {LABEL: UNTOUCHED}}},
        },
    });
    apply(&bundles(&client), UNTOUCHED, "tests", &bundle).await?;
    says(&client, UNTOUCHED, "True", "Synced").await?;
    Ok((Instant::now(), mark(cluster).await?))
}

/// Applies a folder of `deploy/`, with no more permissions than are in there, and gives trustd's
/// account.
pub(crate) async fn install(cluster: &Cluster, folder: &str) -> Result<Account> {
    cluster.namespace(TRUST_NAMESPACE, &[]).await?;
    let bindings = "clusterrolebindings,rolebindings";
    let ours = "--selector=app.kubernetes.io/part-of=trustd";
    cluster.kubectl(["delete", bindings, "--all-namespaces", ours]).await?;
    cluster.apply(&repository().join("deploy").join(folder)).await?;
    cluster.service_account(TRUST_NAMESPACE, "trustd").await
}

/// Starts trustd with these flags, as that account.
pub(crate) fn start<'f>(
    cluster: &Cluster,
    account: &Account,
    flags: impl IntoIterator<Item = &'f str>,
) -> Result<Controller> {
    let trustd = env!("CARGO_BIN_EXE_trustd");
    // Outside of a Pod the namespace of the lease must be named.
    let flags = ["--leader-election-namespace=cert-manager"].into_iter().chain(flags);
    Controller::trustd(cluster, trustd, account.kubeconfig(), flags)
}

/// What belongs to one test: one Bundle, and namespaces of a label, all of a name of their own.
pub(crate) struct Scene {
    pub(crate) cluster: &'static Cluster,
    pub(crate) trustd: &'static Controller,
    pub(crate) client: Client,
    /// The name of its Bundle, and how everything of it begins.
    pub(crate) name: String,
    user: String,
}

/// A scene, or the end of the test where there is no control plane to run.
macro_rules! scene {
    ($name:expr) => {
        match crate::scene::Scene::new($name).await? {
            Some(scene) => scene,
            None => return Ok(()),
        }
    };
}
pub(crate) use scene;

/// The same, of a scene that is synced.
macro_rules! synced {
    ($name:expr) => {
        match crate::scene::Scene::synced($name).await? {
            Some(scene) => scene,
            None => return Ok(()),
        }
    };
}
pub(crate) use synced;

impl Scene {
    pub(crate) async fn new(base: &str) -> Result<Option<Self>> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(stage) = Stage::shared()? else { return Ok(None) };
        let Stage { cluster, account, trustd, .. } = stage;
        Ok(Some(Self {
            cluster,
            trustd,
            client: cluster.admin().await?,
            name: format!("{base}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
            user: account.user(),
        }))
    }

    /// A scene at its beginning: ConfigMap source with alpha, one namespace `a`, one Bundle from the
    /// one to the other, synced.
    pub(crate) async fn synced(base: &str) -> Result<Option<Self>> {
        let Some(scene) = Self::new(base).await? else { return Ok(None) };
        scene.source(&["alpha"]).await?;
        scene.namespace("a").await?;
        scene.bundle(scene.spec()).await?;
        scene.holds("a", &["alpha"]).await?;
        scene.says("True", "Synced").await?;
        Ok(Some(scene))
    }

    /// The full name of a namespace.
    pub(crate) fn place(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.name)
    }

    /// Makes a namespace that the scene's Bundle selects.
    pub(crate) async fn namespace(&self, suffix: &str) -> Result<String> {
        let name = self.place(suffix);
        self.cluster.namespace(&name, &[(LABEL, &self.name)]).await?;
        Ok(name)
    }

    /// From ConfigMap `<name>` of the trust namespace to ConfigMaps in the scene's namespaces.
    pub(crate) fn spec(&self) -> Json {
        json!({
            "sources": [{"configMap": {"name": self.name, "key": "ca.crt"}}],
            "target": {"configMap": {"key": KEY}, "namespaceSelector": self.selector()},
        })
    }

    pub(crate) fn selector(&self) -> Json {
        json!({"matchLabels": {LABEL: self.name}})
    }

    /// Gives the scene's source these certificates.
    pub(crate) async fn source(&self, names: &[&str]) -> Result<()> {
        self.source_of(json!({"data": {"ca.crt": fixtures::pem(names)}})).await
    }

    /// Gives the scene's source this content.
    pub(crate) async fn source_of(&self, content: Json) -> Result<()> {
        self.object::<ConfigMap>(&self.name, content).await
    }

    /// Applies an object of the trust namespace.
    pub(crate) async fn object<K>(&self, name: &str, mut content: Json) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned,
        K: std::fmt::Debug,
    {
        content["apiVersion"] = K::api_version(&()).as_ref().into();
        content["kind"] = K::kind(&()).as_ref().into();
        content["metadata"]["name"] = name.into();
        apply(&self.api::<K>(TRUST_NAMESPACE), name, "tests", &content).await?;
        Ok(())
    }

    /// Applies a Secret of the trust namespace.
    pub(crate) async fn secret(&self, name: &str, texts: &[(&str, &str)]) -> Result<()> {
        self.secret_of("Opaque", name, texts).await
    }

    /// Applies a Secret of this type. Not with `stringData`: an apply takes no key out that came so.
    pub(crate) async fn secret_of(
        &self,
        type_: &str,
        name: &str,
        texts: &[(&str, &str)],
    ) -> Result<()> {
        let encoded =
            |(key, text): &(&str, &str)| ((*key).to_owned(), json!(BASE64_STANDARD.encode(text)));
        let data: serde_json::Map<_, _> = texts.iter().map(encoded).collect();
        self.object::<Secret>(name, json!({"type": type_, "data": data})).await
    }

    /// Applies the scene's Bundle with this spec.
    pub(crate) async fn bundle(&self, spec: Json) -> Result<DynamicObject> {
        self.bundle_as(&self.name, spec, json!({})).await
    }

    pub(crate) async fn bundle_as(
        &self,
        name: &str,
        spec: Json,
        annotations: Json,
    ) -> Result<DynamicObject> {
        let bundle = json!({
            "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
            "metadata": {"name": name, "annotations": annotations}, "spec": spec,
        });
        apply(&self.bundles(), name, "tests", &bundle).await
    }

    pub(crate) fn bundles(&self) -> Api<DynamicObject> {
        bundles(&self.client)
    }

    pub(crate) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    /// ConfigMaps of a namespace of the scene.
    pub(crate) fn maps(&self, suffix: &str) -> Api<ConfigMap> {
        self.api(&self.place(suffix))
    }

    /// Secrets of a namespace of the scene.
    pub(crate) fn secrets(&self, suffix: &str) -> Api<Secret> {
        self.api(&self.place(suffix))
    }

    /// The target in a namespace of the scene.
    pub(crate) async fn target(&self, suffix: &str) -> Result<ConfigMap> {
        Ok(self.maps(suffix).get(&self.name).await?)
    }

    /// Waits until the target there holds exactly these certificates under [`KEY`].
    pub(crate) async fn holds(&self, suffix: &str, names: &[&str]) -> Result<ConfigMap> {
        let wanted = fixtures::bundle(names);
        let place = self.place(suffix);
        self.becomes(&format!("the target in `{place}` holds {names:?}"), suffix, |target| {
            let held = target.data.as_ref().and_then(|data| data.get(KEY));
            ensure!(held == Some(&wanted), "it holds {:?}", target.data);
            Ok(())
        })
        .await
    }

    /// Waits until the target there is as `check` says.
    pub(crate) async fn becomes(
        &self,
        what: &str,
        suffix: &str,
        check: impl Fn(&ConfigMap) -> Result<()>,
    ) -> Result<ConfigMap> {
        eventually(what, SOON, async || {
            let target = self.target(suffix).await?;
            check(&target)?;
            Ok(target)
        })
        .await
    }

    /// Waits until there is no target in that namespace.
    pub(crate) async fn is_gone(&self, suffix: &str) -> Result<()> {
        eventually(&format!("no target in `{}`", self.place(suffix)), SOON, async || {
            let left = self.maps(suffix).get_opt(&self.name).await?;
            ensure!(left.is_none(), "there is {left:?}");
            Ok(())
        })
        .await
    }

    /// Waits until the condition has this status and reason for what the Bundle asks for now, and
    /// gives its message.
    pub(crate) async fn says(&self, status: &str, reason: &str) -> Result<String> {
        says(&self.client, &self.name, status, reason).await
    }

    /// Waits until trustd counts so many targets that there should be, and that are as they should be.
    pub(crate) async fn counts(&self, desired: u32, synced: u32) -> Result<()> {
        self.counts_all(desired, synced, 0, 0).await
    }

    /// The same, with those that failed and those that are refused.
    pub(crate) async fn counts_all(
        &self,
        desired: u32,
        synced: u32,
        failed: u32,
        refused: u32,
    ) -> Result<()> {
        let wanted =
            [("desired", desired), ("synced", synced), ("failed", failed), ("refused", refused)];
        let bundle = format!("bundle=\"{}\"", self.name);
        eventually("trustd's counts of targets", SOON, async || {
            for (state, count) in wanted {
                let labels = [bundle.as_str(), &format!("state=\"{state}\"")];
                let found = self.trustd.metric("trustd_bundle_targets", &labels).await?;
                ensure!(found == Some(count.into()), "{found:?} {state}, not {count}");
            }
            Ok(())
        })
        .await
    }

    /// The Bundle's status.
    pub(crate) async fn status(&self) -> Result<Json> {
        Ok(self.bundles().get(&self.name).await?.data["status"].clone())
    }

    /// Where the audit log ends now.
    pub(crate) async fn mark(&self) -> Result<Mark> {
        mark(self.cluster).await
    }

    /// What trustd wrote of this scene after the mark, events aside: those have no name in the log.
    pub(crate) async fn writes(&self, mark: Mark) -> Result<Vec<Event>> {
        let mut events = writes(self.cluster, &self.user, mark).await?;
        events.retain(|event| event.name == self.name || event.namespace.starts_with(&self.name));
        Ok(events)
    }

    /// As [`Scene::writes`], of targets alone.
    pub(crate) async fn target_writes(&self, mark: Mark) -> Result<Vec<Event>> {
        let mut events = self.writes(mark).await?;
        events.retain(|event| event.resource != "bundles");
        Ok(events)
    }

    /// The events on the scene's Bundle, as (type, reason, note).
    pub(crate) async fn events(&self) -> Result<Vec<(String, String, String)>> {
        events(&self.client, &self.name).await
    }
}

/// Where the audit log ends, with everything in it that was answered so far.
pub(crate) async fn mark(cluster: &Cluster) -> Result<Mark> {
    cluster.mark().await
}

/// What this user asked to change after the mark, up to now.
pub(crate) async fn writes(cluster: &Cluster, user: &str, mark: Mark) -> Result<Vec<Event>> {
    cluster.writes_of(user, mark).await
}

pub(crate) fn bundles(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("trust.cert-manager.io", "v1alpha1", "Bundle");
    Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
}

/// Applies an object under this manager's name, by force.
pub(crate) async fn apply<K>(api: &Api<K>, name: &str, manager: &str, object: &Json) -> Result<K>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let params = PatchParams::apply(manager).force();
    let applied = api.patch(name, &params, &Patch::Apply(object)).await;
    applied.with_context(|| format!("cannot apply `{name}` as `{manager}`"))
}

/// Waits until a Bundle's condition says this of its present generation, and gives the message.
pub(crate) async fn says(
    client: &Client,
    bundle: &str,
    status: &str,
    reason: &str,
) -> Result<String> {
    let bundles = bundles(client);
    eventually(&format!("Bundle `{bundle}` is {reason}"), SOON, async || {
        let bundle = bundles.get(bundle).await?;
        let condition = &bundle.data["status"]["conditions"][0];
        let now = condition["observedGeneration"].as_i64() == bundle.metadata.generation;
        ensure!(
            now && condition["status"] == status && condition["reason"] == reason,
            "its status is {}",
            bundle.data["status"]
        );
        Ok(condition["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

/// The events on a Bundle, as (type, reason, note).
pub(crate) async fn events(client: &Client, bundle: &str) -> Result<Vec<(String, String, String)>> {
    use k8s_openapi::api::events::v1::Event;
    let all = Api::<Event>::namespaced(client.clone(), "default");
    let text = |text: Option<String>| text.unwrap_or_default();
    let found = all.list(&ListParams::default()).await?.items.into_iter();
    let found = found.filter(|event| {
        event.regarding.as_ref().is_some_and(|it| it.name.as_deref() == Some(bundle))
    });
    Ok(found.map(|event| (text(event.type_), text(event.reason), text(event.note))).collect())
}

/// The parts of a target that trustd says something about.
pub(crate) fn shape(target: &impl Serialize) -> Result<Json> {
    let whole = serde_json::to_value(target)?;
    let of = |part: &str| whole["metadata"][part].clone();
    Ok(json!({
        "labels": of("labels"), "annotations": of("annotations"),
        "ownerReferences": of("ownerReferences"),
        "data": whole["data"], "binaryData": whole["binaryData"],
    }))
}
