//! trustd in the place of the peer, and the peer in the place of trustd: on the same objects, under
//! either's CRD, and with the admission plugin that OpenShift switches on.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop; clippy exempts test functions, not their helpers"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use cluster::access::Account;
use cluster::assets::{self, repository};
use cluster::audit::{Event, Mark};
use cluster::{Cluster, Controller, Options, TRUST_NAMESPACE, Turn, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt as _};
use serde_json::{Value as Json, json};

/// Bundles of the recorded scenario whose story is about more than the peer and its own objects, or
/// that need a file beside the cluster.
const LEFT_OUT: [&str; 9] = [
    "adopted",
    "default-cas",
    "drifted",
    "extended",
    "frozen",
    "half-released",
    "immutable",
    "let",
    "seized",
];

#[tokio::test]
async fn what_the_peer_synced_is_taken_over_and_given_back_without_a_write() -> Result<()> {
    let Some(peer) = assets::peer()? else { return Ok(()) };
    let Some(cluster) = Cluster::shared()? else { return Ok(()) };
    let stage = Stage::set(cluster.turn().await?, "v0.25.0").await?;
    let first = stage.peer(&peer)?;
    let reasons = stage.settled(|status| status["conditions"][0]["status"] == "True").await?;
    ensure!(reasons.values().all(|reason| reason == "Synced"), "{reasons:?}");
    first.kill();
    let there = stage.targets().await?.len();
    ensure!(there >= 50, "the peer made only {there} targets");

    let mark = cluster.mark().await?;
    let trustd = stage.trustd()?;
    stage.settled(has_counts).await?;
    rested(&trustd).await?;
    stage.nothing_written(&stage.trustd, mark, |_| true).await?;
    let mut statuses = BTreeMap::new();
    for event in cluster.writes_of(&stage.trustd.user(), mark).await? {
        if event.resource == "bundles" {
            *statuses.entry(event.name).or_insert(0) += 1;
        }
    }
    let twice: Vec<_> = statuses.iter().filter(|(_, count)| **count > 1).collect();
    ensure!(twice.is_empty(), "statuses written more than once: {twice:?}");
    // It is in charge: what changes now is written, once.
    let mark = cluster.mark().await?;
    stage.change_a_source().await?;
    stage.changed().await?;
    let mut writes = stage.writes(&stage.trustd, mark).await?;
    writes.retain(|event| event.name == "single-secret");
    ensure!(writes.len() == 1 && writes[0].code == 200, "{writes:?}");
    // Other Bundles read the same source.
    rested(&trustd).await?;
    ensure!(trustd.terminate(SOON).await?.success(), "trustd did not end well");

    let mark = cluster.mark().await?;
    let second = stage.peer(&peer)?;
    let bundles = reasons.len() as f64;
    eventually("the peer has looked at every Bundle", SOON, async || {
        let labels = ["controller=\"bundles\"", "result=\"success\""];
        let passes = second.metric("controller_runtime_reconcile_total", &labels).await?;
        let queued = second.metric("workqueue_depth", &["name=\"bundles\""]).await?;
        ensure!(passes >= Some(bundles) && queued == Some(0.0), "{passes:?}, {queued:?} queued");
        Ok(())
    })
    .await?;
    stage.nothing_written(&stage.peer, mark, |_| true).await
}

#[tokio::test]
async fn what_v0_24_of_the_peer_wrote_is_taken_over_without_a_write() -> Result<()> {
    let Some(cluster) = Cluster::shared()? else { return Ok(()) };
    let stage = Stage::set(cluster.turn().await?, "v0.24.0").await?;
    let placed = stage.place_targets().await?;
    ensure!(placed.len() >= 50, "only {} targets were recorded", placed.len());
    let mark = cluster.mark().await?;
    let trustd = stage.trustd()?;
    stage.settled(has_counts).await?;
    rested(&trustd).await?;
    // In namespaces that the recording leaves out, such as `default`, it may write.
    let recorded = |event: &Event| placed.contains(&(event.namespace.clone(), event.name.clone()));
    stage.nothing_written(&stage.trustd, mark, recorded).await?;
    stage.change_a_source().await?;
    stage.changed().await
}

#[tokio::test]
async fn under_the_peers_crd_targets_are_synced_and_the_status_is_the_peers() -> Result<()> {
    let Some(cluster) = Cluster::shared()? else { return Ok(()) };
    let stage = Stage::set(cluster.turn().await?, "v0.25.0").await?;
    let trustd = stage.trustd()?;
    stage.settled(has_counts).await?;
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "bundles.trust.cert-manager.io"},
        "spec": read("crd-v0.25.0.json")?,
    });
    cluster.install_crd(&crd.to_string()).await?;
    let outcome = async {
        let mark = cluster.mark().await?;
        stage.change_a_source().await?;
        stage.changed().await?;
        // Something to say, so that it finds out what can be said.
        stage.break_a_source(true).await?;
        eventually("the condition turns without our fields", SOON, async || {
            let status = stage.status("single-secret").await?;
            ensure!(status["conditions"][0]["reason"] == "SourceBuildError", "{status}");
            ensure!(status.get("targets").is_none(), "{status}");
            let outdated = trustd.metric("trustd_schema_outdated", &[]).await?;
            ensure!(outdated == Some(1.0), "trustd_schema_outdated is {outdated:?}");
            Ok(())
        })
        .await?;
        stage.break_a_source(false).await?;
        eventually("it turns back", SOON, async || {
            let status = stage.status("single-secret").await?;
            ensure!(status["conditions"][0]["reason"] == "Synced", "{status}");
            Ok(())
        })
        .await?;
        // Not a status that the server cuts short, again and again.
        let statuses = cluster.writes_of(&stage.trustd.user(), mark).await?;
        let of_one = statuses.iter().filter(|event| event.name == "single-secret");
        let of_one = of_one.filter(|event| event.subresource == "status").count();
        ensure!(of_one <= 6, "{of_one} statuses for three turns");
        Ok(())
    };
    let outcome = outcome.await;
    // Others use this cluster.
    cluster.install_crds().await?;
    outcome?;
    trustd.terminate(SOON).await?;
    let trustd = stage.trustd()?;
    stage.settled(has_counts).await?;
    ensure!(trustd.metric("trustd_schema_outdated", &[]).await? == Some(0.0), "it complains");
    Ok(())
}

#[tokio::test]
async fn openshifts_check_of_owner_references_lets_trustd_through() -> Result<()> {
    let options = Options {
        api_server_flags: vec![
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
        ],
        ..Options::default()
    };
    let Some(cluster) = Cluster::start(&options)? else { return Ok(()) };
    let cluster = &cluster;
    let turn = cluster.turn().await?;
    let stage = Stage::set(turn, "v0.25.0").await?;
    let _trustd = stage.trustd()?;
    stage.settled(|status| status["targets"]["desired"] == status["targets"]["synced"]).await?;
    stage.change_a_source().await?;
    stage.changed().await?;

    // Without the right to update finalizers the same write is refused: the check is on.
    let role = ["create", "clusterrole", "writer", "--verb=create", "--resource=configmaps"];
    cluster.kubectl(role).await?;
    let writer = cluster.service_account(TRUST_NAMESPACE, "writer").await?;
    let subject = format!("--serviceaccount={TRUST_NAMESPACE}:writer");
    let binding = ["create", "clusterrolebinding", "writer", "--clusterrole=writer", &subject];
    cluster.kubectl(binding).await?;
    let target = Api::<ConfigMap>::namespaced(stage.client.clone(), "shop");
    let target = target.get("single-secret").await?;
    let copy: ConfigMap = serde_json::from_value(json!({"metadata": {
        "name": "copy", "ownerReferences": target.metadata.owner_references,
    }}))?;
    let client = cluster::access::client(writer.kubeconfig()).await?;
    let maps = Api::<ConfigMap>::namespaced(client, "shop");
    match maps.create(&PostParams { dry_run: true, field_manager: None }, &copy).await {
        Err(kube::Error::Api(status)) if status.message.contains("blockOwnerDeletion") => Ok(()),
        other => Err(anyhow!("{other:?}")),
    }
}

/// A cluster with the sources and Bundles of the recorded scenario.
struct Stage<'a> {
    turn: Turn<'a>,
    client: Client,
    recorded: Vec<Json>,
    bundles: Vec<String>,
    trustd: Account,
    peer: Account,
}

impl<'a> Stage<'a> {
    async fn set(turn: Turn<'a>, version: &str) -> Result<Self> {
        let cluster = turn.cluster();
        cluster.apply(&repository().join("deploy/secret-targets")).await?;
        let recorded = read(&format!("objects/{version}.json"))?;
        let recorded: Vec<Json> = recorded["items"].as_array().context("no items")?.clone();
        let names = recorded.iter().filter(|object| object["kind"] == "Bundle");
        let names = names.filter(|it| it["status"]["conditions"][0]["status"] == "True");
        let names = names.map(|it| it["metadata"]["name"].as_str().unwrap().to_owned());
        let admin = ["create", "clusterrolebinding", "peer", "--clusterrole=cluster-admin"];
        let subject = format!("--serviceaccount={TRUST_NAMESPACE}:peer");
        let binding = admin.into_iter().chain([&*subject, "--dry-run=client", "-o", "json"]);
        let binding = cluster.kubectl(binding).await?;
        let file = cluster.folder().write("peer-binding.json", binding)?;
        cluster.kubectl(["apply", "-f", &file.display().to_string()]).await?;
        let stage = Self {
            client: cluster.admin().await?,
            trustd: cluster.service_account(TRUST_NAMESPACE, "trustd").await?,
            peer: cluster.service_account(TRUST_NAMESPACE, "peer").await?,
            bundles: names.filter(|name| !LEFT_OUT.contains(&name.as_str())).collect(),
            turn,
            recorded,
        };
        stage.play().await?;
        Ok(stage)
    }

    /// Namespaces, sources and Bundles, as the recording has them.
    async fn play(&self) -> Result<()> {
        let kind = |kind: &'static str| self.recorded.iter().filter(move |it| it["kind"] == kind);
        let namespaces = Api::<Namespace>::all(self.client.clone());
        for namespace in kind("Namespace") {
            let name = text(&namespace["metadata"]["name"]);
            let object = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": namespace["metadata"]["labels"]},
            });
            namespaces.patch(&name, &force(), &Patch::Apply(object)).await?;
        }
        let sources = kind("Secret").chain(kind("ConfigMap"));
        for source in sources.filter(|it| !is_target(it)) {
            if source["metadata"]["namespace"] == TRUST_NAMESPACE {
                self.apply(source, bare(source), "tests").await?;
            }
        }
        for bundle in kind("Bundle").filter(|it| self.plays(it)) {
            self.apply(bundle, bare(bundle), "tests").await?;
        }
        Ok(())
    }

    /// Makes the targets and statuses that were recorded, under the peer's name.
    async fn place_targets(&self) -> Result<Vec<(String, String)>> {
        let mut placed = Vec::new();
        for target in self.recorded.iter().filter(|it| is_target(it) && self.plays(it)) {
            let name = text(&target["metadata"]["name"]);
            let bundle = api(&self.client, "Bundle", None)?.get(&name).await?;
            let mut object = bare(target);
            let metadata = &target["metadata"];
            object["metadata"]["annotations"] = metadata["annotations"].clone();
            let mut owners = metadata["ownerReferences"].clone();
            owners[0]["uid"] = json!(bundle.uid());
            object["metadata"]["ownerReferences"] = owners;
            self.apply(target, object, "trust-manager").await?;
            placed.push((text(&metadata["namespace"]), name));
        }
        let bundles = api(&self.client, "Bundle", None)?;
        for bundle in self.recorded.iter().filter(|it| it["kind"] == "Bundle" && self.plays(it)) {
            let mut status = bundle["status"].clone();
            status["conditions"][0]["observedGeneration"] = json!(1);
            let object = json!({
                "apiVersion": bundle["apiVersion"], "kind": "Bundle",
                "metadata": {"name": bundle["metadata"]["name"]}, "status": status,
            });
            let name = text(&bundle["metadata"]["name"]);
            let params = PatchParams::apply("trust-manager").force();
            bundles.patch_status(&name, &params, &Patch::Apply(object)).await?;
        }
        Ok(placed)
    }

    fn plays(&self, object: &Json) -> bool {
        self.bundles.iter().any(|name| object["metadata"]["name"] == **name)
    }

    async fn apply(&self, recorded: &Json, object: Json, manager: &str) -> Result<()> {
        let kind = text(&recorded["kind"]);
        let api = api(&self.client, &kind, recorded["metadata"]["namespace"].as_str())?;
        let name = text(&recorded["metadata"]["name"]);
        let params = PatchParams::apply(manager).force();
        let applied = api.patch(&name, &params, &Patch::Apply(object)).await;
        applied.map(drop).with_context(|| format!("cannot apply {kind} {name}"))
    }

    fn trustd(&self) -> Result<Controller> {
        let binary = env!("CARGO_BIN_EXE_trustd");
        Controller::trustd(self.turn.cluster(), binary, self.trustd.kubeconfig(), FLAGS)
    }

    fn peer(&self, binary: &std::path::Path) -> Result<Controller> {
        Controller::peer(self.turn.cluster(), binary, self.peer.kubeconfig(), FLAGS)
    }

    async fn status(&self, bundle: &str) -> Result<Json> {
        Ok(api(&self.client, "Bundle", None)?.get(bundle).await?.data["status"].clone())
    }

    /// Waits until the status of every Bundle is so, and gives the reasons by name.
    async fn settled(&self, is_so: fn(&Json) -> bool) -> Result<BTreeMap<String, String>> {
        let bundles = api(&self.client, "Bundle", None)?;
        eventually("every Bundle is settled", SOON, async || {
            let all = bundles.list(&Default::default()).await?.items;
            let odd = all.iter().find(|bundle| !is_so(&bundle.data["status"]));
            let odd = odd.map(|bundle| (bundle.name_any(), bundle.data["status"].to_string()));
            ensure!(odd.is_none() && all.len() == self.bundles.len(), "{odd:?}");
            let reason = |it: &DynamicObject| text(&it.data["status"]["conditions"][0]["reason"]);
            Ok(all.iter().map(|bundle| (bundle.name_any(), reason(bundle))).collect())
        })
        .await
    }

    async fn targets(&self) -> Result<Vec<String>> {
        let labelled = kube::api::ListParams::default().labels("trust.cert-manager.io/bundle");
        let mut found = Vec::new();
        for kind in ["ConfigMap", "Secret"] {
            let all = api(&self.client, kind, None)?.list_metadata(&labelled).await?;
            found.extend(all.items.into_iter().map(|target| target.name_any()));
        }
        Ok(found)
    }

    /// What an account has asked to change in targets since the mark.
    async fn writes(&self, account: &Account, mark: Mark) -> Result<Vec<Event>> {
        let mut writes = self.turn.cluster().writes_of(&account.user(), mark).await?;
        writes.retain(|event| matches!(event.resource.as_str(), "configmaps" | "secrets"));
        Ok(writes)
    }

    async fn nothing_written(
        &self,
        account: &Account,
        mark: Mark,
        counts: impl Fn(&Event) -> bool,
    ) -> Result<()> {
        let mut writes = self.writes(account, mark).await?;
        writes.retain(counts);
        let some: Vec<String> = writes.iter().take(5).map(ToString::to_string).collect();
        ensure!(writes.is_empty(), "{} writes, such as {some:#?}", writes.len());
        Ok(())
    }

    /// Puts another CA into the source of `single-secret`.
    async fn change_a_source(&self) -> Result<()> {
        let pem = std::fs::read_to_string(fixture("ca/gamma.pem"))?;
        self.set_source(&pem).await
    }

    async fn break_a_source(&self, broken: bool) -> Result<()> {
        let block = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        if broken { self.set_source(block).await } else { self.change_a_source().await }
    }

    async fn set_source(&self, pem: &str) -> Result<()> {
        let source = json!({"stringData": {"ca.crt": pem}});
        let secrets = api(&self.client, "Secret", Some(TRUST_NAMESPACE))?;
        let params = PatchParams { field_manager: Some("tests".to_owned()), ..Default::default() };
        secrets.patch("internal-ca-secret", &params, &Patch::Merge(source)).await?;
        Ok(())
    }

    /// Waits until `single-secret` holds it.
    async fn changed(&self) -> Result<()> {
        let pem = std::fs::read_to_string(fixture("ca/gamma.pem"))?;
        let targets = Api::<ConfigMap>::namespaced(self.client.clone(), "shop");
        eventually("the target holds the new CA", SOON, async || {
            let held = targets.get("single-secret").await?.data.unwrap_or_default();
            let held = held.get("ca-bundle.crt").context("no key")?;
            ensure!(held.trim() == pem.trim(), "{held}");
            Ok(())
        })
        .await
    }
}

/// Whether trustd has been there: the peer counts no targets.
fn has_counts(status: &Json) -> bool {
    status["targets"]["desired"].is_u64()
}

/// Waits until a trustd that has planned everything has nothing left to write.
async fn rested(trustd: &Controller) -> Result<()> {
    for gauge in ["trustd_queue_depth", "trustd_writes_in_flight"] {
        eventually("nothing is left to write", SOON, async || {
            let left = trustd.metric(gauge, &[]).await?;
            ensure!(left == Some(0.0), "{gauge} is {left:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Kind, name, place and content, without what the server adds.
fn bare(object: &Json) -> Json {
    let mut bare = json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"],
        "metadata": {
            "name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"],
            "labels": object["metadata"]["labels"],
        },
    });
    for field in ["data", "binaryData", "type", "spec"] {
        if let Some(value) = object.get(field) {
            bare[field] = value.clone();
        }
    }
    bare
}

fn is_target(object: &Json) -> bool {
    object["metadata"]["labels"].get("trust.cert-manager.io/bundle").is_some()
}

fn api(client: &Client, kind: &str, namespace: Option<&str>) -> Result<Api<DynamicObject>> {
    let (group, version) = match kind {
        "Bundle" => ("trust.cert-manager.io", "v1alpha1"),
        "ConfigMap" | "Secret" => ("", "v1"),
        other => return Err(anyhow!("no {other} here")),
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Ok(match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn force() -> PatchParams {
    PatchParams::apply("tests").force()
}

fn fixture(name: &str) -> std::path::PathBuf {
    repository().join("tests/fixtures/peer").join(name)
}

fn read(name: &str) -> Result<Json> {
    let path = fixture(name);
    let text = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

const FLAGS: [&str; 2] = ["--leader-elect=false", "--secret-targets-enabled=true"];

/// The peer writes five targets a second.
const SOON: Duration = Duration::from_secs(120);
