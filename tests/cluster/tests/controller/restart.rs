//! What happened while no trustd ran is made good when one starts.

use anyhow::{Result, ensure};
use cluster::{TRUST_NAMESPACE, eventually};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::{Value as Json, json};

use crate::alone::alone;
use crate::fixtures::{bundle, pem};
use crate::scene::{self, KEY, SOON, apply, bundles, says};

fn maps(client: &Client, place: &str) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), place)
}

fn map(name: &str, data: &Json) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// The events of roots that came and went, as (reason, note).
async fn roots_told(client: &Client, bundle: &str) -> Result<Vec<(String, String)>> {
    let events = scene::events(client, bundle).await?.into_iter();
    let events = events.filter(|(_, reason, _)| reason.starts_with("Root"));
    Ok(events.map(|(_, reason, note)| (reason, note)).collect())
}

/// Waits until it is told that one root came and one went, as a target at this place held it.
async fn a_root_came_and_one_went(client: &Client, bundle: &str) -> Result<()> {
    let roots = eventually("events of roots", SOON, async || {
        let mut roots = roots_told(client, bundle).await?;
        roots.sort();
        ensure!(roots.len() == 2, "{roots:?}");
        Ok(roots)
    })
    .await?;
    ensure!(roots[0].0 == "RootAdded" && roots[1].0 == "RootRemoved", "{roots:?}");
    ensure!(roots[1].1.contains(&format!("/{bundle} at key \"{KEY}\"")), "{roots:?}");
    Ok(())
}

#[tokio::test]
async fn what_happened_meanwhile_is_made_good() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "base").await?;
    let sources = maps(&client, TRUST_NAMESPACE);
    apply(&sources, "ca", "tests", &map("ca", &json!({"ca.crt": pem(&["alpha"])}))).await?;
    let mut places = Vec::new();
    for at in 0..3 {
        places.push(turn.namespace(&format!("n{at}"), &[("in", "yes")]).await?);
    }
    let late = turn.namespace("late", &[]).await?;
    let tenant = map("gone", &json!({"theirs": "1"}));
    apply(&maps(&client, &places[0]), "gone", "tenant", &tenant).await?;
    for name in ["stays", "gone"] {
        let object = json!({
            "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
            "metadata": {"name": name},
            "spec": {"sources": [{"configMap": {"name": "ca", "key": "ca.crt"}}], "target": {
                "configMap": {"key": KEY}, "namespaceSelector": {"matchLabels": {"in": "yes"}},
            }},
        });
        apply(&bundles(&client), name, "tests", &object).await?;
    }
    let trustd = scene::start(cluster, &account, [])?;
    for name in ["stays", "gone"] {
        says(&client, name, "True", "Synced").await?;
    }
    ensure!(trustd.terminate(SOON).await?.success(), "{}", trustd.process().end_of_log());

    apply(&sources, "ca", "tests", &map("ca", &json!({"ca.crt": pem(&["beta"])}))).await?;
    bundles(&client).delete("gone", &DeleteParams::default()).await?;
    maps(&client, &places[1]).delete("stays", &DeleteParams::default()).await?;
    let (key, value) = turn.label();
    cluster.namespace(&places[2], &[(key, &value)]).await?;
    cluster.namespace(&late, &[(key, &value), ("in", "yes")]).await?;

    let trustd = scene::start(cluster, &account, [])?;
    for place in [&places[0], &places[1], &late] {
        eventually(&format!("the target in `{place}` holds beta"), SOON, async || {
            let data = maps(&client, place).get("stays").await?.data.unwrap_or_default();
            ensure!(data.get(KEY) == Some(&bundle(&["beta"])), "{data:?}");
            Ok(())
        })
        .await?;
    }
    eventually("what is not wanted is gone, and the tenant's is the tenant's", SOON, async || {
        let left = maps(&client, &places[2]).get_opt("stays").await?;
        ensure!(left.is_none(), "{left:?}");
        let theirs = maps(&client, &places[0]).get("gone").await?;
        let keys: Vec<_> = theirs.data.iter().flat_map(|data| data.keys()).collect();
        ensure!(keys == ["theirs"], "{keys:?}");
        ensure!(theirs.metadata.labels.is_none(), "{:?}", theirs.metadata.labels);
        Ok(())
    })
    .await?;
    // Which roots came and went meanwhile is told, once.
    a_root_came_and_one_went(&client, "stays").await?;
    ensure!(trustd.terminate(SOON).await?.success(), "{}", trustd.process().end_of_log());
    let trustd = scene::start(cluster, &account, [])?;
    trustd.ready(SOON).await?;
    cluster
        .namespace(&turn.namespace("later", &[]).await?, &[(key, &value), ("in", "yes")])
        .await?;
    says(&client, "stays", "True", "Synced").await?;
    ensure!(roots_told(&client, "stays").await?.len() == 2, "nothing changed since");
    trustd.process().must_run()
}

#[tokio::test]
async fn a_target_that_was_replaced_meanwhile_is_taken_back_where_anything_still_tells()
-> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "base").await?;
    let (key, value) = turn.label();
    let mut places = Vec::new();
    for at in 0..3 {
        places.push(turn.namespace(&format!("r{at}"), &[]).await?);
    }
    let name = turn.name("replaced");
    let object = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": name},
        "spec": {"sources": [{"inLine": pem(&["alpha"])}], "target": {
            "configMap": {"key": KEY}, "namespaceSelector": {"matchLabels": {key: value}},
        }},
    });
    apply(&bundles(&client), &name, "tests", &object).await?;
    let trustd = scene::start(cluster, &account, [])?;
    says(&client, &name, "True", "Synced").await?;
    ensure!(trustd.terminate(SOON).await?.success(), "{}", trustd.process().end_of_log());

    for (place, kept) in places.iter().zip(["ownerReferences", "annotations", "nothing"]) {
        let before = json!(maps(&client, place).get(&name).await?);
        let mut rogue = map(&name, &json!({KEY: pem(&["gamma"])}));
        rogue["metadata"][kept] = before["metadata"][kept].clone();
        let params = kube::api::PostParams {
            field_manager: Some("kubectl-replace".to_owned()),
            ..Default::default()
        };
        maps(&client, place).replace(&name, &params, &serde_json::from_value(rogue)?).await?;
    }
    let trustd = scene::start(cluster, &account, [])?;
    for place in &places[..2] {
        eventually(&format!("the target in `{place}` is taken back"), SOON, async || {
            let target = maps(&client, place).get(&name).await?;
            let data = target.data.unwrap_or_default();
            ensure!(data.get(KEY) == Some(&bundle(&["alpha"])), "{data:?}");
            ensure!(target.metadata.owner_references.iter().flatten().count() == 1, "no owner");
            Ok(())
        })
        .await?;
    }
    // Where nothing tells, it is somebody else's, and left alone.
    let message = says(&client, &name, "False", "TargetRefused").await?;
    ensure!(message.contains(&format!("ConfigMap in {}: key", places[2])), "{message}");
    trustd.process().must_run()
}
