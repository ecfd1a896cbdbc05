//! What trust-manager gets wrong, or leaves undone, and trustd does not.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, ensure};
use cluster::{LABEL as MARK, TRUST_NAMESPACE, eventually};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value as Json, json};

use crate::fixtures::{bundle, ca, pem};
use crate::scene::{KEY, LABEL, SOON, Scene, apply, says, scene, synced};

/// A century: as long as the fixtures live.
const LONG: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[tokio::test]
async fn one_namespace_that_cannot_be_written_holds_up_no_other() -> Result<()> {
    let scene = scene!("immutable");
    for suffix in ["b", "c"] {
        scene.cluster.namespace(&scene.place(suffix), &[]).await?;
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": scene.name},
            "immutable": true, "data": {"theirs": "1"},
        });
        apply(&scene.maps(suffix), &scene.name, "tenant", &object).await?;
    }
    for suffix in ["a", "b", "c", "d"] {
        scene.namespace(suffix).await?;
    }
    scene.source(&["alpha"]).await?;
    scene.bundle(scene.spec()).await?;
    scene.says("False", "SyncConfigMapTargetFailed").await?;
    for suffix in ["a", "d"] {
        scene.holds(suffix, &["alpha"]).await?;
    }
    scene.counts_all(4, 2, 2, 0).await?;
    // The first failure is told at once, all of them within ten seconds.
    eventually("the status counts and names them", SOON, async || {
        let status = scene.status().await?;
        let wanted = json!({"desired": 4, "synced": 2, "failed": 2, "refused": 0});
        ensure!(status["targets"] == wanted, "{status}");
        let (b, c) = (scene.place("b"), scene.place("c"));
        let wanted = format!("Failed to sync bundle to ConfigMap in {b}, {c}: immutable");
        ensure!(status["conditions"][0]["message"] == wanted, "{status}");
        Ok(())
    })
    .await?;
    // One event, not one for each namespace.
    eventually("the event", SOON, async || {
        let events = scene.events().await?;
        let reason = events.first().map(|(_, reason, _)| reason.as_str());
        ensure!(events.len() == 1 && reason == Some("SyncConfigMapTargetFailed"), "{events:#?}");
        Ok(())
    })
    .await?;
    for suffix in ["b", "c"] {
        scene.maps(suffix).delete(&scene.name, &DeleteParams::default()).await?;
    }
    // Nobody tells of objects that do not bear our label: both are tried again by themselves.
    scene.holds("b", &["alpha"]).await?;
    scene.says("True", "Synced").await?;
    scene.counts(4, 4).await
}

/// Refuses this verb on ConfigMaps of one namespace, until it is lifted.
struct Policy<'s> {
    scene: &'s Scene,
    name: String,
}

impl<'s> Policy<'s> {
    async fn refuse(scene: &'s Scene, suffix: &str, verb: &str) -> Result<Self> {
        let name = scene.place("policy");
        let place = scene.place(suffix);
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name, "labels": {MARK: "0"}},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                    "operations": [verb],
                }], "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place}}},
                "validations": [{"expression": "false", "message": "100% of these are refused"}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name, "labels": {MARK: "0"}},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        });
        let policies = Api::<ValidatingAdmissionPolicy>::all(scene.client.clone());
        apply(&policies, &name, "tests", &policy).await?;
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(scene.client.clone());
        apply(&bindings, &name, "tests", &binding).await?;
        let maps = scene.maps(suffix);
        eventually("the policy is in force", SOON, async || {
            let probe: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "probe"}}))?;
            let made = match verb {
                "DELETE" => {
                    let _ = maps.create(&PostParams::default(), &probe).await;
                    maps.delete("probe", &DeleteParams::default()).await.map(drop)
                }
                _ => maps.create(&PostParams::default(), &probe).await.map(drop),
            };
            match made {
                Err(kube::Error::Api(status)) if status.message.contains("100%") => Ok(()),
                other => Err(anyhow!("{other:?}")),
            }
        })
        .await?;
        Ok(Self { scene, name })
    }

    async fn lift(self) -> Result<()> {
        let client = self.scene.client.clone();
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client);
        bindings.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_clean_up_that_fails_is_told_and_tried_again() -> Result<()> {
    let scene = synced!("stuck");
    scene.namespace("b").await?;
    scene.holds("b", &["alpha"]).await?;
    let policy = Policy::refuse(&scene, "a", "DELETE").await?;
    scene.cluster.namespace(&scene.place("a"), &[]).await?;
    let message = scene.says("False", "SyncConfigMapTargetFailed").await?;
    let wanted = format!("Failed to sync bundle to ConfigMap in {}: policy", scene.place("a"));
    assert_eq!(message, wanted);
    scene.counts_all(1, 1, 1, 0).await?;
    policy.lift().await?;
    scene.is_gone("a").await?;
    scene.says("True", "Synced").await?;
    scene.counts(1, 1).await
}

#[tokio::test]
async fn nothing_is_written_into_a_namespace_that_is_going() -> Result<()> {
    let scene = synced!("going");
    scene.namespace("b").await?;
    let held = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "finalizers": ["tests.trustd/held"]},
    });
    apply(&scene.maps("b"), "held", "tests", &held).await?;
    scene.holds("b", &["alpha"]).await?;
    scene.namespaces().delete(&scene.place("b"), &DeleteParams::default()).await?;
    scene.is_gone("b").await?;
    scene.counts(1, 1).await?;
    // It stays on its way out while another content goes round.
    let mark = scene.mark().await?;
    scene.source(&["beta"]).await?;
    scene.holds("a", &["beta"]).await?;
    scene.says("True", "Synced").await?;
    let writes = scene.target_writes(mark).await?;
    ensure!(writes.len() == 1 && writes[0].namespace == scene.place("a"), "{writes:#?}");
    let free = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held"}});
    apply(&scene.maps("b"), "held", "tests", &free).await?;
    eventually("the namespace is gone", SOON, async || {
        let left = scene.namespaces().get_opt(&scene.place("b")).await?;
        ensure!(left.is_none(), "it is there");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_too_large_is_not_even_tried() -> Result<()> {
    let scene = synced!("large");
    let until = SystemTime::now() + LONG;
    let names: Vec<String> = (0..3).map(|at| scene.place(&format!("source-{at}"))).collect();
    for name in &names {
        // 300,000 bytes are 400,000 in base64, and 406,000 as PEM.
        let content = json!({"data": {"ca.crt": ca(name, until, 300_000)}});
        scene.object::<ConfigMap>(name, content).await?;
    }
    let of = |names: &[String]| -> Vec<Json> {
        names.iter().map(|name| json!({"configMap": {"name": name, "key": "ca.crt"}})).collect()
    };
    let mut spec = scene.spec();
    let mark = scene.mark().await?;
    spec["sources"] = of(&names).into();
    scene.bundle(spec.clone()).await?;
    let message = scene.says("False", "TargetTooLarge").await?;
    assert!(message.contains("the API server takes 1048576"), "{message}");
    scene.counts_all(1, 0, 0, 1).await?;
    scene.holds("a", &["alpha"]).await?;
    assert_eq!(scene.target_writes(mark).await?, []);
    spec["sources"] = of(&names[..2]).into();
    scene.bundle(spec).await?;
    scene.says("True", "Synced").await?;
    scene.counts(1, 1).await?;
    assert_eq!(scene.target_writes(mark).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_bundle_does_not_feed_on_its_own_target() -> Result<()> {
    let scene = scene!("selfish");
    scene.namespace("a").await?;
    let source = async |suffix: &str, ca: &str| {
        let labels = json!({LABEL: scene.name});
        let content = json!({"metadata": {"labels": labels}, "data": {"ca.crt": pem(&[ca])}});
        scene.object::<ConfigMap>(&scene.place(suffix), content).await
    };
    source("one", "alpha").await?;
    source("two", "beta").await?;
    let names = [TRUST_NAMESPACE, &scene.place("a")];
    let spec = json!({
        "sources": [{"configMap": {"selector": scene.selector(), "includeAllKeys": true}}],
        "target": {
            "configMap": {"key": KEY, "metadata": {"labels": {LABEL: scene.name}}},
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": names},
            ]},
        },
    });
    scene.bundle(spec).await?;
    scene.holds("a", &["alpha", "beta"]).await?;
    scene.says("True", "Synced").await?;
    let sources = scene.api::<ConfigMap>(TRUST_NAMESPACE);
    let own = sources.get(&scene.name).await?;
    assert_eq!(own.data.unwrap_or_default()[KEY], bundle(&["alpha", "beta"]));
    sources.delete(&scene.place("two"), &DeleteParams::default()).await?;
    scene.holds("a", &["alpha"]).await?;
    eventually("the target beside the sources follows", SOON, async || {
        let own = sources.get(&scene.name).await?;
        ensure!(own.data.unwrap_or_default()[KEY] == bundle(&["alpha"]), "it does not");
        Ok(())
    })
    .await?;
    // What somebody else adds to that object is a source like any other.
    let added = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": scene.name},
        "data": {"theirs": pem(&["gamma"])},
    });
    apply(&sources, &scene.name, "tenant", &added).await?;
    scene.holds("a", &["alpha", "gamma"]).await?;
    Ok(())
}

#[tokio::test]
async fn bundles_that_read_one_another_are_refused_by_name() -> Result<()> {
    let scene = scene!("ring");
    let (one, two) = (scene.name.clone(), scene.place("two"));
    let spec = |reads: &str| {
        json!({
            "sources": [
                {"inLine": pem(&["alpha"])},
                {"configMap": {"name": reads, "key": KEY}},
            ],
            "target": {"configMap": {"key": KEY}, "namespaceSelector": {"matchLabels":
                {"kubernetes.io/metadata.name": TRUST_NAMESPACE}}},
        })
    };
    scene.bundle_as(&one, spec(&two), json!({})).await?;
    scene.bundle_as(&two, spec(&one), json!({})).await?;
    let message = scene.says("False", "SourceCycle").await?;
    assert!(message.contains(&two), "{message}");
    says(&scene.client, &two, "False", "SourceCycle").await?;
    // Broken at one place, both are well.
    let mut open = spec(&one);
    open["sources"] = json!([{"inLine": pem(&["beta"])}]);
    scene.bundle_as(&two, open, json!({})).await?;
    scene.says("True", "Synced").await?;
    let target = scene.api::<ConfigMap>(TRUST_NAMESPACE).get(&one).await?;
    assert_eq!(target.data.unwrap_or_default()[KEY], bundle(&["alpha", "beta"]));
    for name in [one, two] {
        scene.bundles().delete(&name, &DeleteParams::default()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn nothing_vanishes_silently() -> Result<()> {
    let scene = synced!("counted");
    let whole = pem(&["beta"]);
    let half = &whole[..whole.len() / 2];
    let text = format!("{}{half}\n{}{}", pem(&["alpha"]), pem(&["ec-acc"]), pem(&["gamma"]));
    scene.source_of(json!({"data": {"ca.crt": text}})).await?;
    scene.holds("a", &["alpha", "gamma"]).await?;
    scene.says("True", "Synced").await?;
    let certificates = eventually("the status counts", SOON, async || {
        let certificates = scene.status().await?["certificates"].clone();
        ensure!(certificates["skipped"] == 2, "{certificates}");
        Ok(certificates)
    })
    .await?;
    assert_eq!((&certificates["total"], &certificates["filtered"]), (&json!(2), &json!(0)));
    eventually("both are named in events, and the root that came", SOON, async || {
        let events = scene.events().await?;
        let of = |wanted: &str| events.iter().filter(|(_, reason, _)| reason == wanted).count();
        ensure!(of("CertificateLeftOut") == 2, "{events:#?}");
        ensure!(of("RootAdded") == 1 && of("RootRemoved") == 0, "{events:#?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_percent_sign_in_an_event_stays_one() -> Result<()> {
    let scene = synced!("percent");
    let name = "100% %s %d %!v(MISSING)";
    let text = ca(name, SystemTime::now() + LONG, 0);
    scene.source_of(json!({"data": {"ca.crt": text}})).await?;
    eventually("the event", SOON, async || {
        let events = scene.events().await?;
        let added = events.iter().find(|(_, reason, _)| reason == "RootAdded");
        let (.., note) = added.with_context(|| format!("{events:#?}"))?;
        ensure!(note.contains(name), "{note}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn inline_text_that_must_not_be_distributed_is_told() -> Result<()> {
    let scene = synced!("inline");
    let mut spec = scene.spec();
    let key = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n";
    spec["sources"] = json!([{"inLine": pem(&["beta"])}, {"inLine": key}]);
    scene.bundle(spec).await?;
    let message = scene.says("False", "SourceBuildError").await?;
    let wanted = "Failed to build bundle sources: spec.sources[1].inLine, line 1: only CERTIFICATE \
                  blocks may be distributed, and this is a `EC PRIVATE KEY` block; remove it";
    assert_eq!(message, wanted);
    scene.holds("a", &["alpha"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_name_that_no_label_can_hold_is_told() -> Result<()> {
    let scene = synced!("long");
    let name = format!("{}-{}", scene.name, "x".repeat(60));
    scene.bundle_as(&name, scene.spec(), json!({})).await?;
    let message = says(&scene.client, &name, "False", "InvalidSpec").await?;
    assert!(message.contains("metadata.name: Invalid value"), "{message}");
    assert!(message.contains("must be no more than 63 characters"), "{message}");
    assert!(scene.maps("a").get_opt(&name).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_source_of_the_bundles_own_name_is_shared_with_its_target() -> Result<()> {
    let scene = scene!("namesake");
    scene.namespace("a").await?;
    scene.source(&["alpha"]).await?;
    let names = [TRUST_NAMESPACE, &scene.place("a")];
    let mut spec = scene.spec();
    spec["sources"] = json!([{"configMap": {"name": scene.name, "includeAllKeys": true}}]);
    spec["target"]["namespaceSelector"] = json!({"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": names},
    ]});
    scene.bundle(spec).await?;
    scene.says("True", "Synced").await?;
    let sources = scene.api::<ConfigMap>(TRUST_NAMESPACE);
    let both = sources.get(&scene.name).await?;
    assert_eq!(both.metadata.owner_references, None, "it would go with the Bundle");
    let data = both.data.unwrap_or_default();
    assert_eq!((&data["ca.crt"], &data[KEY]), (&pem(&["alpha"]), &bundle(&["alpha"])));
    scene.source(&["beta"]).await?;
    scene.holds("a", &["beta"]).await?;
    eventually("so does the one beside its source", SOON, async || {
        let data = sources.get(&scene.name).await?.data.unwrap_or_default();
        ensure!(data[KEY] == bundle(&["beta"]), "{data:?}");
        Ok(())
    })
    .await?;
    scene.bundles().delete(&scene.name, &DeleteParams::default()).await?;
    eventually("the source is as it was", SOON, async || {
        let data = sources.get(&scene.name).await?.data.unwrap_or_default();
        ensure!(data.keys().eq(["ca.crt"]), "{:?}", data.keys());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_paused_bundle_is_not_written() -> Result<()> {
    let scene = synced!("paused");
    let paused = json!({"trust.cert-manager.io/paused": "true"});
    scene.bundle_as(&scene.name, scene.spec(), paused).await?;
    scene.says("False", "Paused").await?;
    let mark = scene.mark().await?;
    scene.source(&["beta"]).await?;
    scene.namespace("b").await?;
    scene.cluster.namespace(&scene.place("a"), &[]).await?;
    scene.counts_all(1, 0, 0, 0).await?;
    scene.holds("a", &["alpha"]).await?;
    assert_eq!(scene.target_writes(mark).await?, []);
    scene.bundle(scene.spec()).await?;
    scene.holds("b", &["beta"]).await?;
    scene.is_gone("a").await?;
    scene.says("True", "Synced").await?;
    Ok(())
}
