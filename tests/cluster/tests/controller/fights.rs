//! Others that undo a target again and again: how often trustd answers, and what it tells.

use anyhow::{Result, ensure};
use cluster::{TRUST_NAMESPACE, eventually};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::alone::alone;
use crate::fixtures::{bundle, pem};
use crate::scene::{self, KEY, SOON, Scene, apply, bundles, says, synced};

/// How often trustd wrote the target in `a` after the mark.
async fn writes_in_a(scene: &Scene, mark: cluster::audit::Mark) -> Result<usize> {
    let writes = scene.target_writes(mark).await?;
    Ok(writes.iter().filter(|it| it.namespace == scene.place("a") && it.code < 400).count())
}

/// Undoes the scene's target in `a` whenever it is as it should be, until trustd gives in: its status
/// names the opponent.
async fn fight(scene: &Scene, undo: impl AsyncFn(&ConfigMap) -> Result<()>) -> Result<String> {
    eventually("the target is contested", SOON, async || {
        let target = scene.maps("a").get_opt(&scene.name).await?;
        let held = target.as_ref().and_then(|target| target.data.as_ref()?.get(KEY));
        if let Some(target) = &target
            && held == Some(&bundle(&["alpha"]))
        {
            undo(target).await?;
        }
        let condition = &scene.status().await?["conditions"][0];
        ensure!(condition["reason"] == "TargetContested", "its status is {condition}");
        Ok(condition["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

/// Waits until the watch has told of everything up to now: it has told of a later change.
async fn all_is_seen(scene: &Scene, suffix: &str) -> Result<()> {
    scene.namespace(suffix).await?;
    scene.holds(suffix, &["alpha"]).await?;
    Ok(())
}

#[tokio::test]
async fn whoever_undoes_a_target_again_and_again_is_named_and_answered_rarely() -> Result<()> {
    let scene = synced!("fought");
    let mark = scene.mark().await?;
    let params =
        || PatchParams { field_manager: Some("a-script".to_owned()), ..PatchParams::default() };
    let message = fight(&scene, async |_| {
        let patch = Patch::Merge(json!({"data": {KEY: "theirs"}}));
        scene.maps("a").patch(&scene.name, &params(), &patch).await?;
        Ok(())
    })
    .await?;
    ensure!(message.contains("undone by field manager `a-script`"), "{message}");
    let written = writes_in_a(&scene, mark).await?;
    ensure!(written == 2, "{written} writes");
    scene.counts_all(1, 0, 1, 0).await?;
    // What is left undone stays so, and one more edit changes nothing.
    let patch = Patch::Merge(json!({"data": {KEY: "theirs again"}}));
    scene.maps("a").patch(&scene.name, &params(), &patch).await?;
    all_is_seen(&scene, "b").await?;
    ensure!(writes_in_a(&scene, mark).await? == written);

    let events = scene.events().await?;
    let told = |reason: &str| events.iter().filter(|(_, it, _)| it == reason).count();
    ensure!((told("TargetContested"), told("Synced")) == (1, 1), "{events:#?}");
    let labels = [&*format!("bundle=\"{}\"", scene.name)];
    let metric = scene.trustd.metric("trustd_targets_contested_total", &labels).await?;
    ensure!(metric == Some(1.0), "{metric:?}");

    // Changed content is written at once all the same.
    scene.source(&["beta"]).await?;
    scene.holds("a", &["beta"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_target_that_is_deleted_or_replaced_again_and_again_is_contested() -> Result<()> {
    let scene = synced!("replaced");
    let mark = scene.mark().await?;
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": scene.name},
        "data": {"settings": "theirs"},
    });
    let message = fight(&scene, async |_| {
        let maps = scene.maps("a");
        maps.delete(&scene.name, &DeleteParams::default()).await?;
        // Trustd may be quicker.
        let params = kube::api::PostParams {
            field_manager: Some("recreator".to_owned()),
            ..Default::default()
        };
        let _ = maps.create(&params, &serde_json::from_value(theirs.clone())?).await;
        Ok(())
    })
    .await?;
    ensure!(message.contains("undone by"), "{message}");
    let written = writes_in_a(&scene, mark).await?;
    // First contact with what was made meanwhile may take one more.
    ensure!((2..=4).contains(&written), "{written} writes");
    Ok(())
}

#[tokio::test]
async fn an_object_that_a_controller_keeps_is_not_fought_over() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "base").await?;
    let place = turn.namespace("kept", &[("kept", "yes")]).await?;
    // The controller manager keeps this one in every namespace, with one key and no other.
    let name = "kube-root-ca.crt";
    let maps = Api::<ConfigMap>::namespaced(client.clone(), &place);
    eventually("the publisher's object", SOON, async || Ok(maps.get(name).await?)).await?;
    let object = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": name},
        "spec": {"sources": [{"inLine": pem(&["alpha"])}], "target": {
            "configMap": {"key": KEY}, "namespaceSelector": {"matchLabels": {"kept": "yes"}},
        }},
    });
    let mark = scene::mark(cluster).await?;
    apply(&bundles(&client), name, "tests", &object).await?;
    let trustd = scene::start(cluster, &account, [])?;
    let message = says(&client, name, "False", "TargetContested").await?;
    ensure!(message.contains("undone by field manager `kube-controller-manager`"), "{message}");
    let written = async |mark| -> Result<usize> {
        let writes = scene::writes(cluster, &account.user(), mark).await?;
        Ok(writes.iter().filter(|it| it.namespace == place && it.code < 400).count())
    };
    let before = written(mark).await?;
    ensure!((3..=4).contains(&before), "{before} writes");
    ensure!(trustd.terminate(SOON).await?.success(), "{}", trustd.process().end_of_log());

    // Started again, it tries once, and then it is contested as before.
    let mark = scene::mark(cluster).await?;
    let trustd = scene::start(cluster, &account, [])?;
    eventually("it is contested anew", SOON, async || {
        let labels = ["bundle=\"kube-root-ca.crt\""];
        let metric = trustd.metric("trustd_targets_contested_total", &labels).await?;
        ensure!(metric == Some(1.0), "{metric:?}");
        Ok(())
    })
    .await?;
    says(&client, name, "False", "TargetContested").await?;
    let after = written(mark).await?;
    ensure!(after <= 2, "{after} writes");
    bundles(&client).delete(name, &DeleteParams::default()).await?;
    trustd.process().must_run()
}

#[tokio::test]
async fn two_instances_under_one_name_stop_fighting() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "base").await?;
    let place = turn.namespace("ring", &[]).await?;
    let other = turn.namespace("other-trust", &[]).await?;
    for (namespace, ca) in [(TRUST_NAMESPACE, "alpha"), (other.as_str(), "beta")] {
        let source = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"},
                            "data": {"ca.crt": pem(&[ca])}});
        apply(&Api::<ConfigMap>::namespaced(client.clone(), namespace), "ca", "tests", &source)
            .await?;
    }
    let name = turn.name("contested");
    let contested = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": name},
        "spec": {
            "sources": [{"configMap": {"name": "ca", "key": "ca.crt"}}],
            "target": {"configMap": {"key": KEY}, "namespaceSelector": {"matchLabels":
                {"kubernetes.io/metadata.name": place}}},
        },
    });
    apply(&bundles(&client), &name, "tests", &contested).await?;
    let mark = scene::mark(cluster).await?;
    let one = scene::start(cluster, &account, [])?;
    let flags = [
        "--leader-election-namespace".to_owned(),
        other.clone(),
        "--trust-namespace".to_owned(),
        other,
    ];
    let two = cluster::Controller::trustd(
        cluster,
        env!("CARGO_BIN_EXE_trustd"),
        cluster.admin_kubeconfig(),
        flags,
    )?;
    one.ready(SOON).await?;
    two.ready(SOON).await?;
    eventually("one of them finds the target contested", SOON, async || {
        let metric = "trustd_targets_contested_total";
        let counts = [one.metric(metric, &[]).await?, two.metric(metric, &[]).await?];
        ensure!(counts.iter().flatten().sum::<f64>() >= 1.0, "{counts:?}");
        Ok(())
    })
    .await?;
    eventually("the event", SOON, async || {
        let events = scene::events(&client, &name).await?;
        ensure!(events.iter().any(|(_, reason, _)| reason == "TargetContested"), "{events:#?}");
        Ok(())
    })
    .await?;
    let writes = || -> Result<usize> {
        let events = cluster.audit().since(mark)?.into_iter();
        Ok(events.filter(|it| it.is_write() && it.namespace == place && it.name == name).count())
    };
    // Three flips on one side, at most as many and the first writes on the other.
    let before = writes()?;
    ensure!(before <= 8, "{before} writes");
    // Others are served meanwhile, and the contested one is not written again.
    let mut peaceful = contested.clone();
    peaceful["metadata"]["name"] = turn.name("peaceful").into();
    peaceful["spec"]["sources"] = json!([{"inLine": pem(&["gamma"])}]);
    apply(&bundles(&client), &turn.name("peaceful"), "tests", &peaceful).await?;
    says(&client, &turn.name("peaceful"), "True", "Synced").await?;
    let after = writes()?;
    ensure!(after <= before + 1, "{before} writes, then {after}");
    Ok(())
}
