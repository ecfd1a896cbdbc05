//! That the cluster is what other tests take it for.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use cluster::{Cluster, Options, eventually};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{
    Api, ListParams, Patch, PatchParams, PostParams, VersionMatch, WatchEvent, WatchParams,
};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

fn config_map(name: &str, text: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"k": text}})).unwrap()
}

#[tokio::test]
async fn an_account_is_itself_may_what_it_may_and_is_seen_in_the_audit_log() -> Result<()> {
    let turn = crate::turn!();
    let cluster = turn.cluster();
    let namespace = turn.namespace("audited", &[]).await?;
    let account = cluster.service_account(&namespace, "robot").await?;
    let client = cluster::access::client(account.kubeconfig()).await?;
    let mark = cluster.audit().mark()?;

    let secrets = Api::<Secret>::namespaced(client.clone(), &namespace);
    match secrets.get("s").await {
        Err(kube::Error::Api(status)) if status.is_forbidden() => {}
        other => return Err(anyhow!("{other:?}")),
    }
    let maps = Api::<ConfigMap>::namespaced(client, &namespace);
    assert!(maps.create(&PostParams::default(), &config_map("c", "1")).await.is_err());

    let audit = cluster.audit();
    let writes = eventually("the write is in the log", SOON, async || {
        let writes = audit.writes_of(&account.user(), mark)?;
        ensure!(!writes.is_empty(), "no write");
        Ok(writes)
    });
    let writes = writes.await?;
    assert_eq!(writes.len(), 1);
    let write = &writes[0];
    assert_eq!(
        (write.verb.as_str(), write.resource.as_str(), write.code),
        ("create", "configmaps", 403)
    );
    assert_eq!(write.namespace, namespace);
    let reads = audit.since(mark)?;
    assert!(reads.iter().any(|it| it.user == account.user() && it.verb == "get" && it.name == "s"));
    Ok(())
}

#[tokio::test]
async fn owned_objects_and_deleted_namespaces_go() -> Result<()> {
    let turn = crate::turn!();
    let client = turn.cluster().admin().await?;
    let namespace = turn.namespace("short-lived", &[]).await?;
    turn.cluster().kubectl(["create", "configmap", "owner", "--namespace", &namespace]).await?;
    let maps = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    let owner = maps.get("owner").await?;
    let mut owned = config_map("owned", "1");
    owned.metadata.owner_references = Some(vec![serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid,
    }))?]);
    maps.create(&PostParams::default(), &owned).await?;
    maps.delete("owner", &Default::default()).await?;
    eventually("the garbage is collected", SOON, async || {
        ensure!(maps.get_opt("owned").await?.is_none(), "it is there");
        Ok(())
    })
    .await?;

    let namespaces = Api::<Namespace>::all(client);
    namespaces.delete(&namespace, &Default::default()).await?;
    eventually("the namespace is gone", SOON, async || {
        ensure!(namespaces.get_opt(&namespace).await?.is_none(), "it is there");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_turn_finds_nothing_of_the_turn_before() -> Result<()> {
    let turn = crate::turn!();
    let cluster = turn.cluster();
    let apply =
        |resource: &str| ["apply", "--server-side", "-f", resource].map(str::to_owned).to_vec();
    let namespace = turn.namespace("left", &[]).await?;
    let file = cluster.folder().write(
        "left.yaml",
        format!(
            "{{apiVersion: trust.cert-manager.io/v1alpha1, kind: Bundle, metadata: {{name: left}}, \
             spec: {{sources: [{{inLine: x}}]}}}}\n---\n\
             {{apiVersion: v1, kind: ConfigMap, metadata: {{name: left, namespace: {namespace}, \
             labels: {{trust.cert-manager.io/bundle: left}}}}}}\n---\n\
             {{apiVersion: v1, kind: Secret, metadata: {{name: left, namespace: cert-manager}}}}\n"
        ),
    )?;
    cluster.kubectl(apply(&file.display().to_string())).await?;
    let shared = Cluster::shared()?.context("the cluster of the turn")?;
    drop(turn);

    let turn = shared.turn().await?;
    let client = shared.admin().await?;
    let left = shared.kubectl(["get", "bundles", "--output=name"]).await?;
    assert_eq!(left, "");
    let maps = Api::<ConfigMap>::all(client.clone());
    let labelled = ListParams::default().labels("trust.cert-manager.io/bundle");
    assert_eq!(maps.list(&labelled).await?.items.len(), 0);
    let secrets = Api::<Secret>::namespaced(client, cluster::TRUST_NAMESPACE);
    assert_eq!(secrets.list(&ListParams::default()).await?.items.len(), 0);
    assert_ne!(turn.name("left"), namespace);
    Ok(())
}

#[tokio::test]
async fn the_server_stops_starts_hangs_and_forgets() -> Result<()> {
    let Some(cluster) = Cluster::start(&Options::default())? else { return Ok(()) };
    let client = cluster.admin().await?;
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "default");
    let old = maps.create(&PostParams::default(), &config_map("c", "1")).await?;
    let old = old.metadata.resource_version.context("no version")?;

    cluster.stop_server();
    ensure!(maps.get("c").await.is_err(), "a stopped server answered");
    cluster.start_server().await?;
    assert_eq!(maps.get("c").await?.data.unwrap()["k"], "1");

    cluster.pause_server()?;
    let silence = tokio::time::timeout(Duration::from_millis(300), maps.get("c")).await;
    cluster.resume_server()?;
    ensure!(silence.is_err(), "a hanging server answered");
    let get = async || Ok(maps.get("c").await?);
    eventually("it goes on", SOON, get).await?;

    let patch = Patch::Merge(json!({"data": {"k": "2"}}));
    maps.patch("c", &PatchParams::default(), &patch).await?;
    let exact = ListParams::default().at(&old).matching(VersionMatch::Exact);
    maps.list(&exact).await.context("the past is known before a compaction")?;
    cluster.compact().await?;
    cluster.stop_server();
    cluster.start_server().await?;
    match maps.list(&exact).await {
        Err(kube::Error::Api(status)) if status.code == 410 => {}
        other => return Err(anyhow!("a list of the past: {other:?}")),
    }
    let mut watch = std::pin::pin!(maps.watch(&WatchParams::default(), &old).await?);
    match tokio::time::timeout(SOON, watch.try_next()).await?? {
        Some(WatchEvent::Error(status)) if status.code == 410 => Ok(()),
        other => Err(anyhow!("a watch from the past: {other:?}")),
    }
}

#[tokio::test]
async fn a_proxy_breaks_what_goes_through_it_and_nothing_else() -> Result<()> {
    let turn = crate::turn!();
    let cluster = turn.cluster();
    let proxy = cluster.proxy()?;
    let namespace = turn.namespace("far", &[]).await?;
    let account = cluster.service_account(&namespace, "robot").await?;
    let far = cluster::access::client(&account.through(&proxy)?).await?;
    far.apiserver_version().await?;
    proxy.refuse();
    ensure!(far.apiserver_version().await.is_err(), "an answer through a closed door");
    cluster.admin().await?.apiserver_version().await?;
    proxy.unblock();
    eventually("an answer", SOON, async || Ok(far.apiserver_version().await?)).await?;
    Ok(())
}

#[tokio::test]
async fn kinds_come_and_go() -> Result<()> {
    let options = Options {
        without_crds: true,
        without_controller_manager: true,
        api_server_flags: vec![
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
        ],
    };
    let Some(cluster) = Cluster::start(&options)? else { return Ok(()) };
    ensure!(cluster.kubectl(["get", "bundles"]).await.is_err(), "the kind is there");
    cluster.install_crds().await?;
    cluster.kubectl(["get", "bundles"]).await?;
    cluster.remove_crd("bundles.trust.cert-manager.io").await?;
    cluster.install_crds().await
}
