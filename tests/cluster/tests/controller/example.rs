//! The example that must work, from `kubectl apply` to `openssl verify`, and the pages of a program
//! that does it.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cluster::assets::repository;
use cluster::eventually;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::Value as Json;

use crate::alone::alone;
use crate::scene::{self, SOON, synced};

#[tokio::test]
async fn the_example_works_as_it_is_rendered() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let account = scene::install(cluster, "base").await?;
    let trustd = scene::start(cluster, &account, [])?;
    let example = repository().join("deploy/examples/internal-ca");
    cluster.kubectl(["apply", "--server-side", "-f", &example.display().to_string()]).await?;

    trustd.ready(SOON).await?;
    let client = cluster.admin().await?;
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "production");
    let target = eventually("the target is there", SOON, async || {
        Ok(maps.get("internal-ca-bundle").await?)
    })
    .await?;
    let message = scene::says(&client, "internal-ca-bundle", "True", "Synced").await?;
    assert_eq!(
        message,
        "Successfully synced Bundle to namespaces that match this label selector: \
         kubernetes.io/metadata.name=production"
    );
    let elsewhere = Api::<ConfigMap>::namespaced(client.clone(), "staging");
    assert!(elsewhere.get_opt("internal-ca-bundle").await?.is_none());

    let pem = target.data.as_ref().and_then(|data| data.get("ca-bundle.crt")).context("no key")?;
    let file = cluster.folder().write("ca-bundle.crt", pem)?;
    let leaf = example.join("payments.crt");
    let verified =
        Command::new("openssl").arg("verify").arg("-CAfile").arg(file).arg(leaf).output();
    let verified = verified.context("cannot run openssl")?;
    let said = String::from_utf8_lossy(&verified.stdout);
    ensure!(verified.status.success() && said.trim_end().ends_with(": OK"), "{verified:?}");

    // Rendered from what the cluster holds, the target is what the cluster holds.
    let kinds = "namespaces,secrets,configmaps,bundles";
    let world = cluster.kubectl(["get", kinds, "--all-namespaces", "--output=yaml"]).await?;
    let world = cluster.folder().write("world.yaml", world)?;
    let rendered =
        Command::new(env!("CARGO_BIN_EXE_trustd")).arg("render").arg("-f").arg(world).output()?;
    ensure!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let rendered: Json = serde_saphyr::from_slice(&rendered.stdout)?;
    assert_eq!(rendered["metadata"]["namespace"], "production");
    let rendered: ConfigMap = serde_json::from_value(rendered)?;
    assert_eq!(scene::shape(&target)?, scene::shape(&rendered)?);

    let status = trustd.terminate(SOON).await?;
    ensure!(status.success(), "{status}: {}", trustd.process().end_of_log());
    Ok(())
}

#[tokio::test]
async fn its_pages_tell_how_it_is() -> Result<()> {
    let scene = synced!("pages");
    for path in ["/readyz", "/healthz", "/livez"] {
        assert_eq!(scene.trustd.probe(path).await?.status, 200, "{path}");
    }
    let bundle = format!("bundle=\"{}\"", scene.name);
    let metric = async |name, labels: &[&str]| scene.trustd.metric(name, labels).await;
    assert_eq!(metric("trustd_leader", &[]).await?, Some(1.0));
    assert_eq!(metric("trustd_bundle_synced", &[&bundle]).await?, Some(1.0));
    assert_eq!(metric("trustd_bundle_certificates", &[&bundle]).await?, Some(1.0));
    for (state, count) in [("desired", 1.0), ("synced", 1.0), ("failed", 0.0), ("refused", 0.0)] {
        let labels = [bundle.as_str(), &format!("state=\"{state}\"")];
        assert_eq!(metric("trustd_bundle_targets", &labels).await?, Some(count), "{state}");
    }
    let expiry = metric("trustd_bundle_earliest_expiry_timestamp_seconds", &[&bundle]).await?;
    assert!(expiry.is_some_and(|at| at > 4_000_000_000.0), "alpha lives until 2124: {expiry:?}");

    scene.bundles().delete(&scene.name, &Default::default()).await?;
    eventually("the series of a deleted Bundle are gone", SOON, async || {
        let text = scene.trustd.metrics().await?;
        ensure!(!text.contains(&bundle), "they are there");
        Ok(())
    })
    .await
}
