//! Objects that the peer adopted, and what trustd does with them.

use anyhow::{Context as _, Result, ensure};
use cluster::{TRUST_NAMESPACE, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value as Json, json};

use crate::alone::alone;
use crate::fixtures::{bundle, objects, pem};
use crate::ownership::is_shared;
use crate::scene::{self, KEY, SOON, apply, bundles, says};

/// An object as the fixtures have it, managedFields and all, owned by this Bundle.
async fn restore<K>(api: &Api<K>, object: &Json, owner: &str) -> Result<K>
where
    K: Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    let old = object["metadata"]["ownerReferences"][0]["uid"].as_str().context("no owner")?;
    let mut object: Json = serde_json::from_str(&object.to_string().replace(old, owner))?;
    let name = object["metadata"]["name"].as_str().context("no name")?.to_owned();
    for part in ["resourceVersion", "uid", "creationTimestamp"] {
        object["metadata"].as_object_mut().unwrap().remove(part);
    }
    let whole: K = serde_json::from_value(object)?;
    api.create(&Default::default(), &whole).await?;
    // Whoever creates an object holds its fields. An update may say who does.
    Ok(api.replace(&name, &Default::default(), &whole).await?)
}

/// A Bundle with its status and everything of its name, as the peer left them.
async fn restore_all(client: &Client, name: &str) -> Result<()> {
    for object in objects(name) {
        let owner = match bundles(client).get_opt(name).await? {
            Some(bundle) => bundle.metadata.uid.context("no uid")?,
            None => String::new(),
        };
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        match object["kind"].as_str() {
            Some("Bundle") => {
                let spec = json!({
                    "apiVersion": object["apiVersion"], "kind": "Bundle",
                    "metadata": {"name": name}, "spec": object["spec"],
                });
                apply(&bundles(client), name, "tests", &spec).await?;
                let status = json!({
                    "apiVersion": object["apiVersion"], "kind": "Bundle",
                    "metadata": {"name": name}, "status": object["status"],
                });
                let params = PatchParams::apply("trust-manager").force();
                bundles(client).patch_status(name, &params, &Patch::Apply(&status)).await?;
            }
            Some("ConfigMap") => {
                let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
                restore(&api, &object, &owner).await?;
            }
            _ => {
                let api = Api::<Secret>::namespaced(client.clone(), namespace);
                restore(&api, &object, &owner).await?;
            }
        }
    }
    Ok(())
}

fn source(ca: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "internal-ca-secret"},
           "stringData": {"ca.crt": pem(&[ca])}})
}

/// The tenant's own objects, of which the peer kept hold by label and owner reference.
async fn half_released_is_let_go(client: &Client) -> Result<()> {
    let leavers = Api::<ConfigMap>::namespaced(client.clone(), "leaver");
    let secrets = Api::<Secret>::namespaced(client.clone(), "leaver");
    eventually("the tenant's own is released", SOON, async || {
        let name = "half-released";
        for metadata in [leavers.get(name).await?.metadata, secrets.get(name).await?.metadata] {
            let owners = metadata.owner_references.unwrap_or_default();
            ensure!(owners.is_empty(), "it has owners: {owners:?}");
            ensure!(metadata.labels.unwrap_or_default().is_empty(), "it has labels");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_the_peer_adopted_is_left_alone_shared_when_due_and_never_deleted() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "secret-targets").await?;
    cluster.namespace("shop", &[(turn.label().0, &turn.label().1)]).await?;
    cluster.namespace("leaver", &[(turn.label().0, &turn.label().1)]).await?;
    let secrets = Api::<Secret>::namespaced(client.clone(), TRUST_NAMESPACE);
    apply(&secrets, "internal-ca-secret", "tests", &source("alpha")).await?;
    for name in ["adopted", "half-released"] {
        restore_all(&client, name).await?;
    }
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "shop");
    let before = maps.get("adopted").await?;

    let mark = scene::mark(cluster).await?;
    let flags = ["--secret-targets-enabled=true", "--log-format=json"];
    let trustd = scene::start(cluster, &account, flags)?;
    trustd.ready(SOON).await?;
    half_released_is_let_go(&client).await?;
    says(&client, "adopted", "True", "Synced").await?;
    let writes = scene::writes(cluster, &account.user(), mark).await?;
    let in_shop: Vec<_> = writes.iter().filter(|write| write.namespace == "shop").collect();
    assert!(in_shop.is_empty(), "{in_shop:#?}");
    assert_eq!(
        maps.get("adopted").await?.metadata.resource_version,
        before.metadata.resource_version
    );
    let log = trustd.process().log();
    assert!(log.contains("\"reason\":\"Adopted\""), "{log}");

    // The next write that is due makes it shared.
    apply(&secrets, "internal-ca-secret", "tests", &source("beta")).await?;
    let shared = eventually("the adopted object is shared", SOON, async || {
        let now = maps.get("adopted").await?;
        is_shared(&now)?;
        Ok(now)
    })
    .await?;
    let data = shared.data.unwrap_or_default();
    assert_eq!(data["settings.ini"], "colour = blue");
    assert_eq!(data[KEY], bundle(&["beta"]));
    says(&client, "adopted", "True", "Synced").await?;
    bundles(&client).delete("adopted", &DeleteParams::default()).await?;
    eventually("it is the tenant's alone", SOON, async || {
        let now = maps.get("adopted").await?;
        let data = now.data.unwrap_or_default();
        ensure!(data.keys().eq(["settings.ini"]), "{:?}", data.keys());
        let annotations = now.metadata.annotations.unwrap_or_default();
        ensure!(annotations.keys().eq(["example.test/note"]), "{annotations:?}");
        ensure!(now.binary_data.is_some_and(|data| data.contains_key("logo.bin")), "no logo");
        Ok(())
    })
    .await
}
