//! Sources that come, change and go, what a Bundle asks for, and namespaces that it selects.

use anyhow::{Result, ensure};
use cluster::{TRUST_NAMESPACE, eventually};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use crate::alone::alone;
use crate::fixtures::{bundle, pem};
use crate::scene::{self, KEY, LABEL, SOON, scene, synced};

#[tokio::test]
async fn a_source_is_followed_as_it_changes_goes_and_comes_back() -> Result<()> {
    let scene = synced!("followed");
    scene.source(&["alpha", "beta"]).await?;
    scene.holds("a", &["alpha", "beta"]).await?;
    scene.source(&["gamma"]).await?;
    scene.holds("a", &["gamma"]).await?;

    let sources = scene.api::<ConfigMap>(TRUST_NAMESPACE);
    sources.delete(&scene.name, &DeleteParams::default()).await?;
    let message = scene.says("False", "SourceNotFound").await?;
    let wanted = format!("ConfigMap {TRUST_NAMESPACE}/{} not found", scene.name);
    assert_eq!(message, format!("Bundle source was not found: {wanted}"));
    scene.holds("a", &["gamma"]).await?;

    scene.source(&["delta"]).await?;
    scene.holds("a", &["delta"]).await?;
    scene.says("True", "Synced").await?;
    scene.source_of(json!({"data": {"other": "x"}})).await?;
    let message = scene.says("False", "SourceNotFound").await?;
    assert!(message.ends_with("at key \"ca.crt\""), "{message}");
    scene.holds("a", &["delta"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_made_invalid_freezes_its_targets_until_it_is_mended() -> Result<()> {
    let scene = synced!("frozen");
    let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    scene.source_of(json!({"data": {"ca.crt": format!("{}{key}", pem(&["beta"]))}})).await?;
    let message = scene.says("False", "SourceBuildError").await?;
    assert!(message.contains("this is a `PRIVATE KEY` block"), "{message}");
    assert!(!message.contains("c2VjcmV0"), "the content of a source is quoted: {message}");
    let status = scene.status().await?;
    assert_eq!(status["targets"], json!({"desired": 1, "synced": 0, "failed": 0, "refused": 0}));
    assert!(status["certificates"].is_null(), "{status}");
    eventually("the event", SOON, async || {
        let events = scene.events().await?;
        let said = ("Warning".to_owned(), "SourceBuildError".to_owned(), message.clone());
        ensure!(events.iter().filter(|event| **event == said).count() == 1, "{events:#?}");
        Ok(())
    })
    .await?;

    // Clean-up goes on meanwhile, and so does the repair of what is known.
    scene.namespace("new").await?;
    scene.cluster.namespace(&scene.place("a"), &[]).await?;
    scene.is_gone("a").await?;
    assert!(scene.maps("new").get_opt(&scene.name).await?.is_none(), "nothing is known to write");

    scene.source(&["beta"]).await?;
    scene.holds("new", &["beta"]).await?;
    scene.says("True", "Synced").await?;
    Ok(())
}

#[tokio::test]
async fn sources_added_to_a_bundle_and_taken_out_of_it_change_its_targets() -> Result<()> {
    let scene = synced!("several");
    let other = format!("{}-other", scene.name);
    scene.secret(&other, &[("tls.crt", &pem(&["beta"]))]).await?;
    let mut spec = scene.spec();
    spec["sources"] = json!([
        {"configMap": {"name": scene.name, "key": "ca.crt"}},
        {"secret": {"name": other, "key": "tls.crt"}},
        {"inLine": pem(&["gamma", "alpha"])},
    ]);
    scene.bundle(spec.clone()).await?;
    scene.holds("a", &["alpha", "beta", "gamma"]).await?;
    spec["sources"] = json!([{"secret": {"name": other, "key": "tls.crt"}}]);
    scene.bundle(spec).await?;
    scene.holds("a", &["beta"]).await?;
    // What is no source any more moves nothing.
    let mark = scene.mark().await?;
    scene.source(&["delta"]).await?;
    scene.secret(&other, &[("tls.crt", &pem(&["epsilon"]))]).await?;
    scene.holds("a", &["epsilon"]).await?;
    assert_eq!(scene.target_writes(mark).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn all_keys_means_those_that_are_there_now() -> Result<()> {
    let scene = scene!("all-keys");
    scene.namespace("a").await?;
    let [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map(|name| pem(&[name]));
    let name = &scene.name;
    scene.secret(name, &[("one", &alpha), ("two", &beta), ("note", "no certificate")]).await?;
    let mut spec = scene.spec();
    spec["sources"] = json!([{"secret": {"name": name, "includeAllKeys": true}}]);
    scene.bundle(spec.clone()).await?;
    scene.holds("a", &["alpha", "beta"]).await?;
    scene.secret(name, &[("one", &alpha), ("two", &beta), ("three", &gamma)]).await?;
    scene.holds("a", &["alpha", "beta", "gamma"]).await?;
    scene.secret(name, &[("three", &gamma)]).await?;
    scene.holds("a", &["gamma"]).await?;

    // A TLS Secret holds a private key by its type.
    let tls = format!("{}-tls", scene.name);
    let key = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";
    scene.secret_of("kubernetes.io/tls", &tls, &[("tls.crt", &beta), ("tls.key", key)]).await?;
    spec["sources"][0]["secret"]["name"] = tls.clone().into();
    scene.bundle(spec.clone()).await?;
    let message = scene.says("False", "SourceBuildError").await?;
    assert!(message.contains(&tls) && message.contains("includeAllKeys"), "{message}");
    scene.holds("a", &["gamma"]).await?;
    spec["sources"] = json!([{"secret": {"name": tls, "key": "tls.crt"}}]);
    scene.bundle(spec).await?;
    scene.holds("a", &["beta"]).await?;
    Ok(())
}

#[tokio::test]
async fn selected_sources_come_and_go_with_their_labels() -> Result<()> {
    let scene = scene!("selected");
    scene.namespace("a").await?;
    let source = async |suffix: &str, ca: &str, labelled: bool| {
        let labels = if labelled { json!({LABEL: scene.name}) } else { json!({}) };
        let content = json!({"metadata": {"labels": labels}, "data": {"ca.crt": pem(&[ca])}});
        scene.object::<ConfigMap>(&scene.place(suffix), content).await
    };
    let mut spec = scene.spec();
    spec["sources"] = json!([
        {"configMap": {"selector": scene.selector(), "key": "ca.crt"}},
        {"inLine": pem(&["delta"])},
    ]);
    scene.bundle(spec).await?;
    scene.holds("a", &["delta"]).await?;
    source("one", "alpha", true).await?;
    scene.holds("a", &["alpha", "delta"]).await?;
    source("two", "beta", false).await?;
    source("three", "gamma", true).await?;
    scene.holds("a", &["alpha", "gamma", "delta"]).await?;
    source("two", "beta", true).await?;
    source("one", "alpha", false).await?;
    scene.holds("a", &["beta", "gamma", "delta"]).await?;
    let sources = scene.api::<ConfigMap>(TRUST_NAMESPACE);
    sources.delete(&scene.place("three"), &DeleteParams::default()).await?;
    scene.holds("a", &["beta", "delta"]).await?;

    // An object that is selected and lacks the key is a fault of the whole Bundle.
    let odd = json!({"metadata": {"labels": {LABEL: scene.name}}, "data": {"other": "x"}});
    scene.object::<ConfigMap>(&scene.place("odd"), odd).await?;
    let message = scene.says("False", "SourceNotFound").await?;
    assert!(message.contains(&scene.place("odd")), "{message}");
    sources.delete(&scene.place("odd"), &DeleteParams::default()).await?;
    scene.says("True", "Synced").await?;
    Ok(())
}

#[tokio::test]
async fn a_renamed_key_and_another_kind_leave_nothing_behind() -> Result<()> {
    let scene = synced!("reshaped");
    let mark = scene.mark().await?;
    let mut spec = scene.spec();
    spec["target"]["configMap"]["key"] = "roots.pem".into();
    scene.bundle(spec.clone()).await?;
    scene
        .becomes("the key is renamed", "a", |target| {
            let data = target.data.clone().unwrap_or_default();
            ensure!(data.keys().eq(["roots.pem"]), "{:?}", data.keys());
            Ok(())
        })
        .await?;
    scene.says("True", "Synced").await?;
    assert_eq!(scene.target_writes(mark).await?.len(), 1, "one apply takes the old key along");

    spec["target"]["secret"] = json!({"key": "ca.pem"});
    scene.bundle(spec.clone()).await?;
    let secrets = scene.secrets("a");
    let secret =
        eventually("the Secret", SOON, async || Ok(secrets.get(&scene.name).await?)).await?;
    let data = secret.data.unwrap_or_default();
    assert_eq!(data["ca.pem"].0, bundle(&["alpha"]).into_bytes());
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    scene.says("True", "Synced").await?;

    spec["target"].as_object_mut().unwrap().remove("configMap");
    scene.bundle(spec.clone()).await?;
    scene.is_gone("a").await?;
    assert!(secrets.get_opt(&scene.name).await?.is_some());
    scene.says("True", "Synced").await?;

    // Without a target a Bundle resolves, and writes nowhere.
    spec.as_object_mut().unwrap().remove("target");
    scene.bundle(spec).await?;
    eventually("the Secret is gone", SOON, async || {
        ensure!(secrets.get_opt(&scene.name).await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    scene.says("True", "Synced").await?;
    Ok(())
}

#[tokio::test]
async fn formats_that_cannot_be_written_stop_the_bundle_by_name_until_they_go() -> Result<()> {
    let scene = synced!("formats");
    let mut spec = scene.spec();
    spec["target"]["additionalFormats"] = json!({"pkcs12": {"key": "trust.p12"}});
    scene.bundle(spec).await?;
    let message = scene.says("False", "AdditionalFormatsUnsupported").await?;
    assert!(message.contains("trust.p12"), "{message}");
    scene.source(&["beta"]).await?;
    scene.bundle(scene.spec()).await?;
    scene.holds("a", &["beta"]).await?;
    scene.says("True", "Synced").await?;
    Ok(())
}

#[tokio::test]
async fn namespaces_are_labelled_in_and_out_made_and_deleted() -> Result<()> {
    let scene = synced!("moving");
    let away = scene.place("away");
    scene.cluster.namespace(&away, &[("color", "red")]).await?;
    let mark = scene.mark().await?;
    scene.namespace("away").await?;
    scene.holds("away", &["alpha"]).await?;
    // A label that does not matter moves nothing.
    scene.cluster.namespace(&away, &[(LABEL, &scene.name), ("color", "blue")]).await?;
    scene.cluster.namespace(&away, &[]).await?;
    scene.is_gone("away").await?;
    let verbs: Vec<String> =
        scene.target_writes(mark).await?.into_iter().map(|it| it.verb).collect();
    assert_eq!(verbs, ["patch", "delete"]);
    scene.counts(1, 1).await?;

    scene.namespace("late").await?;
    scene.holds("late", &["alpha"]).await?;
    scene.counts(2, 2).await?;
    let namespaces = scene.namespaces();
    namespaces.delete(&scene.place("late"), &DeleteParams::default()).await?;
    scene.counts(1, 1).await?;
    eventually("the namespace is gone", SOON, async || {
        ensure!(namespaces.get_opt(&scene.place("late")).await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    scene.namespace("late").await?;
    scene.holds("late", &["alpha"]).await?;
    scene.says("True", "Synced").await?;

    // Another selector moves the Bundle as a whole.
    let mut spec = scene.spec();
    spec["target"]["namespaceSelector"] =
        json!({"matchLabels": {"kubernetes.io/metadata.name": scene.place("away")}});
    scene.bundle(spec).await?;
    scene.holds("away", &["alpha"]).await?;
    scene.is_gone("a").await?;
    scene.is_gone("late").await
}

#[tokio::test]
async fn a_bundle_without_selector_writes_to_every_namespace_the_trust_namespace_too() -> Result<()>
{
    let turn = alone!();
    let cluster = turn.cluster();
    let account = scene::install(cluster, "base").await?;
    let trustd = scene::start(cluster, &account, [])?;
    let place = turn.namespace("one", &[]).await?;
    let client = cluster.admin().await?;
    let everywhere = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": "everywhere"},
        "spec": {"sources": [{"inLine": pem(&["alpha"])}], "target": {"configMap": {"key": KEY}}},
    });
    scene::apply(&scene::bundles(&client), "everywhere", "tests", &everywhere).await?;
    trustd.ready(SOON).await?;
    let message = scene::says(&client, "everywhere", "True", "Synced").await?;
    assert_eq!(message, "Successfully synced Bundle to all namespaces");
    for namespace in [place.as_str(), TRUST_NAMESPACE, "default", "kube-system"] {
        let target = Api::<ConfigMap>::namespaced(client.clone(), namespace);
        let target = target.get("everywhere").await?;
        assert_eq!(target.data.unwrap_or_default()[KEY], bundle(&["alpha"]), "{namespace}");
    }
    Ok(())
}

#[tokio::test]
async fn a_crd_that_comes_late_is_picked_up() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let account = scene::install(cluster, "base").await?;
    cluster.remove_crd("bundles.trust.cert-manager.io").await?;
    let trustd = scene::start(cluster, &account, [])?;
    eventually("trustd complains of the missing CRD", SOON, async || {
        let failures = trustd.metric("trustd_watch_failures_total", &["watch=\"bundles\""]).await?;
        ensure!(failures.unwrap_or_default() >= 2.0, "{failures:?} failures");
        Ok(())
    })
    .await?;
    let log = trustd.process().log();
    assert!(log.contains("no Bundle resource; apply the CRD that `trustd crd` prints"), "{log}");
    assert_eq!(trustd.probe("/readyz").await?.status, 503);
    assert_eq!(trustd.probe("/healthz").await?.status, 200);

    cluster.install_crds().await?;
    let place = turn.namespace("one", &[]).await?;
    let client = cluster.admin().await?;
    let late = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": "late"},
        "spec": {
            "sources": [{"inLine": pem(&["alpha"])}],
            "target": {"configMap": {"key": KEY}, "namespaceSelector": {"matchLabels":
                {"kubernetes.io/metadata.name": place}}},
        },
    });
    scene::apply(&scene::bundles(&client), "late", "tests", &late).await?;
    trustd.ready(SOON).await?;
    scene::says(&client, "late", "True", "Synced").await?;
    Api::<ConfigMap>::namespaced(client, &place).get("late").await?;
    Ok(())
}
