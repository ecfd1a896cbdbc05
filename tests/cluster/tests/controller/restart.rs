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
    trustd.process().must_run()
}
