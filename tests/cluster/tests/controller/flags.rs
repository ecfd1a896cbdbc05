//! Flags that change what trustd may do, with the manifests of `deploy/` that belong to them.

use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use cluster::{TRUST_NAMESPACE, Turn, eventually};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::{Value as Json, json};

use crate::alone::alone;
use crate::fixtures::{bundle, ca, pem};
use crate::scene::{self, KEY, SOON, apply, bundles, says};

/// Applies a Bundle with this one certificate, and these targets.
async fn bundle_with(client: &Client, name: &str, ca: &str, target: Json) -> Result<()> {
    let bundle = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": name},
        "spec": {"sources": [{"inLine": pem(&[ca])}], "target": target},
    });
    apply(&bundles(client), name, "tests", &bundle).await?;
    Ok(())
}

fn maps(client: &Client, place: &str) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), place)
}

/// The flags that the installed Deployment runs trustd with.
async fn deployed_flags(client: &Client) -> Result<Vec<String>> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), TRUST_NAMESPACE);
    let deployment = json!(deployments.get("trustd").await?);
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let arguments: Vec<String> = serde_json::from_value(arguments.clone())?;
    ensure!(arguments.first().is_some_and(|verb| verb == "run"), "{arguments:?}");
    Ok(arguments.into_iter().skip(1).collect())
}

#[tokio::test]
async fn target_namespaces_are_all_that_trustd_asks_for() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    cluster.namespace("production", &[]).await?;
    let left = turn.namespace("left", &[]).await?;
    let source = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"},
                        "data": {"ca.crt": pem(&["alpha"])}});
    apply(&maps(&client, TRUST_NAMESPACE), "ca", "tests", &source).await?;
    // As it is when a namespace was taken out of the list.
    let account = scene::install(cluster, "base").await?;
    let trustd = scene::start(cluster, &account, [])?;
    let everywhere = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": "limited"},
        "spec": {"sources": [{"configMap": {"name": "ca", "key": "ca.crt"}}],
                 "target": {"configMap": {"key": KEY}}},
    });
    apply(&bundles(&client), "limited", "tests", &everywhere).await?;
    says(&client, "limited", "True", "Synced").await?;
    let before = maps(&client, &left).get("limited").await?;
    ensure!(trustd.terminate(SOON).await?.success(), "{}", trustd.process().end_of_log());

    let account = scene::install(cluster, "target-namespaces").await?;
    let flags = deployed_flags(&client).await?;
    assert!(flags.contains(&"--target-namespaces=production".to_owned()), "{flags:?}");
    let mark = scene::mark(cluster).await?;
    let trustd = scene::start(cluster, &account, flags.iter().map(String::as_str))?;
    trustd.ready(SOON).await?;
    let beta = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"},
                      "data": {"ca.crt": pem(&["beta"])}});
    apply(&maps(&client, TRUST_NAMESPACE), "ca", "tests", &beta).await?;
    eventually("the target follows", SOON, async || {
        let data = maps(&client, "production").get("limited").await?.data.unwrap_or_default();
        ensure!(data[KEY] == bundle(&["beta"]), "{data:?}");
        Ok(())
    })
    .await?;
    eventually("the status tells of allowed namespaces", SOON, async || {
        let message = says(&client, "limited", "True", "Synced").await?;
        ensure!(message == "Successfully synced Bundle to all allowed namespaces", "{message}");
        let targets = bundles(&client).get("limited").await?.data["status"]["targets"].clone();
        ensure!(targets["desired"] == 1 && targets["synced"] == 1, "{targets}");
        Ok(())
    })
    .await?;
    let after = maps(&client, &left).get("limited").await?;
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "left behind");
    let asked = cluster.audit().since(mark)?;
    let refused: Vec<String> = asked
        .iter()
        .filter(|event| event.user == account.user() && event.code == 403)
        .map(ToString::to_string)
        .collect();
    assert_eq!(refused, Vec::<String>::new());
    Ok(())
}

/// A Bundle for both kinds in one namespace.
fn both(place: &str) -> Json {
    json!({
        "configMap": {"key": KEY}, "secret": {"key": KEY},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place}},
    })
}

#[tokio::test]
async fn secrets_are_written_only_where_they_are_switched_on() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let place = turn.namespace("both", &[]).await?;
    let secrets = Api::<Secret>::namespaced(client.clone(), &place);
    let account = scene::install(cluster, "base").await?;
    bundle_with(&client, "both", "alpha", both(&place)).await?;
    let trustd = scene::start(cluster, &account, [])?;
    let message = says(&client, "both", "False", "SecretTargetsDisabled").await?;
    assert_eq!(message, "Bundle has Secret targets but the feature is disabled");
    // The other half is written all the same.
    holds(&client, &place, "alpha").await?;
    assert!(secrets.get_opt("both").await?.is_none());
    ensure!(trustd.terminate(SOON).await?.success(), "{}", trustd.process().end_of_log());

    let account = scene::install(cluster, "secret-targets").await?;
    let flags = deployed_flags(&client).await?;
    let trustd = scene::start(cluster, &account, flags.iter().map(String::as_str))?;
    says(&client, "both", "True", "Synced").await?;
    let secret = secrets.get("both").await?;
    assert_eq!(secret.data.unwrap_or_default()[KEY].0, bundle(&["alpha"]).into_bytes());
    ensure!(trustd.terminate(SOON).await?.success(), "{}", trustd.process().end_of_log());

    // Switched off again: what was written stays, even when it is not wanted any more.
    let account = scene::install(cluster, "base").await?;
    let trustd = scene::start(cluster, &account, [])?;
    says(&client, "both", "False", "SecretTargetsDisabled").await?;
    let mut target = both(&place);
    target.as_object_mut().unwrap().remove("secret");
    bundle_with(&client, "both", "beta", target).await?;
    says(&client, "both", "True", "Synced").await?;
    holds(&client, &place, "beta").await?;
    let left = secrets.get("both").await?;
    assert_eq!(left.data.unwrap_or_default()[KEY].0, bundle(&["alpha"]).into_bytes());
    drop(trustd);
    Ok(())
}

async fn holds(client: &Client, place: &str, ca: &str) -> Result<()> {
    eventually(&format!("the target holds {ca}"), SOON, async || {
        let data = maps(client, place).get("both").await?.data.unwrap_or_default();
        ensure!(data[KEY] == bundle(&[ca]), "{data:?}");
        Ok(())
    })
    .await
}

/// Runs `trustd run --dry-run` as this account; gives its exit code and what it printed.
async fn dry_run(turn: &Turn<'_>, account: &cluster::access::Account) -> Result<(i32, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trustd"));
    command.args(["run", "--dry-run", "--kubeconfig"]).arg(account.kubeconfig());
    command.env_remove("KUBECONFIG").current_dir(turn.cluster().folder().path());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let code = output.status.code().unwrap_or(-1);
    ensure!(code < 2, "{}", String::from_utf8_lossy(&output.stderr));
    Ok((code, text))
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_written_and_writes_nothing() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "base").await?;
    let place = turn.namespace("dry", &[]).await?;
    let target = |key: &str| {
        json!({"configMap": {"key": key}, "namespaceSelector":
            {"matchLabels": {"kubernetes.io/metadata.name": place}}})
    };
    bundle_with(&client, "dry", "alpha", target(KEY)).await?;
    let mark = scene::mark(cluster).await?;
    let (code, text) = dry_run(&turn, &account).await?;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("create") && text.contains(&place), "{text}");
    assert_eq!(scene::writes(cluster, &account.user(), mark).await?, [], "not even a lease");

    let trustd = scene::start(cluster, &account, [])?;
    says(&client, "dry", "True", "Synced").await?;
    ensure!(trustd.terminate(SOON).await?.success(), "{}", trustd.process().end_of_log());
    let (code, text) = dry_run(&turn, &account).await?;
    assert_eq!(code, 0, "{text}");
    bundle_with(&client, "dry", "alpha", target("roots.pem")).await?;
    let (code, text) = dry_run(&turn, &account).await?;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("update") && text.contains("roots.pem"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_expires_is_left_out_though_nothing_else_happens() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "base").await?;
    let place = turn.namespace("clock", &[]).await?;
    let trustd = scene::start(cluster, &account, ["--filter-expired-certificates"])?;
    trustd.ready(SOON).await?;
    let short = ca("short-lived", SystemTime::now() + Duration::from_secs(6), 0);
    let clock = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": "clock"},
        "spec": {
            "sources": [{"inLine": format!("{}{short}", pem(&["alpha"]))}],
            "target": {"configMap": {"key": KEY}, "namespaceSelector":
                {"matchLabels": {"kubernetes.io/metadata.name": place}}},
        },
    });
    apply(&bundles(&client), "clock", "tests", &clock).await?;
    let held = || async {
        let target = maps(&client, &place).get_opt("clock").await?;
        anyhow::Ok(target.and_then(|target| target.data?.remove(KEY)).unwrap_or_default())
    };
    eventually("both are there", SOON, async || {
        let count = held().await?.matches("BEGIN CERTIFICATE").count();
        ensure!(count == 2, "{count} certificates");
        Ok(())
    })
    .await?;
    eventually("the one that expired is gone", SOON, async || {
        let held = held().await?;
        ensure!(held == bundle(&["alpha"]), "{held}");
        Ok(())
    })
    .await?;
    eventually("it is counted", SOON, async || {
        let status = bundles(&client).get("clock").await?.data["status"]["certificates"].clone();
        ensure!(status["total"] == 1 && status["filtered"] == 1, "{status}");
        Ok(())
    })
    .await?;
    bundles(&client).delete("clock", &DeleteParams::default()).await?;
    Ok(())
}
