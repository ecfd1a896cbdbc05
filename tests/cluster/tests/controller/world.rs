//! Faults of the world around trustd: connections that vanish in silence, policies with odd codes,
//! objects that others have filled, and a trust namespace full of what is none of its business.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use cluster::{Controller, TRUST_NAMESPACE, eventually};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value as Json, json};

use crate::alone::alone;
use crate::fixtures::{ca, pem};
use crate::scene::{self, KEY, LABEL as SCENE, SOON, apply, bundles, says, scene, synced};

#[tokio::test]
async fn connections_that_vanish_in_silence_are_noticed_told_and_made_anew() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "base").await?;
    let proxy = cluster.proxy()?;
    // Bookmarks come once a minute, so with this limit a quiet watch is begun anew again and again.
    let flags = [
        "--leader-election-namespace=cert-manager",
        "--watch-silence-max=5s",
        "--watch-unsynced-max=3s",
    ];
    let binary = env!("CARGO_BIN_EXE_trustd");
    let trustd = Controller::trustd(cluster, binary, &account.through(&proxy)?, flags)?;
    trustd.ready(SOON).await?;
    let place = turn.namespace("n", &[]).await?;
    rotate(&client, "alpha").await?;
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": place}});
    let bundle =
        bundle("swallowed", &json!({"configMap": {"name": "ca", "key": "ca.crt"}}), &selector);
    apply(&bundles(&client), "swallowed", "tests", &bundle).await?;
    holds(&client, &place, "swallowed", "alpha").await?;

    // Every connection there is: watches, the lease's, and those that writes left in the pool.
    proxy.swallow();
    rotate(&client, "beta").await?;
    holds(&client, &place, "swallowed", "beta").await?;
    eventually("the log tells of it", SOON, async || {
        let log = trustd.process().log();
        ensure!(log.contains("nothing was heard of a watch"), "{log}");
        Ok(())
    })
    .await?;
    let failures = trustd.metric("trustd_watch_failures_total", &["source configmaps"]).await?;
    ensure!(failures > Some(0.0), "{failures:?}");

    // Old connections and new ones.
    proxy.block();
    eventually("it is not ready", SOON, async || {
        let answer = trustd.probe("/readyz").await?;
        ensure!(answer.status == 503 && answer.body.contains("out of sync"), "{}", answer.body);
        Ok(())
    })
    .await?;
    ensure!(trustd.probe("/healthz").await?.status == 200, "it calls itself dead");
    eventually("every watch grows old", SOON, async || {
        for watch in WATCHES {
            let label = format!("watch=\"{watch}\"");
            let age = trustd.metric("trustd_watch_age_seconds", &[&label]).await?;
            ensure!(age > Some(5.0), "{watch}: {age:?}");
        }
        Ok(())
    })
    .await?;
    proxy.unblock();
    trustd.ready(SOON).await?;
    rotate(&client, "alpha").await?;
    holds(&client, &place, "swallowed", "alpha").await?;
    trustd.process().must_run()
}

const WATCHES: [&str; 5] =
    ["bundles", "namespaces", "source configmaps", "source secrets", "target configmaps"];

async fn rotate(client: &Client, name: &str) -> Result<()> {
    let sources = Api::<ConfigMap>::namespaced(client.clone(), TRUST_NAMESPACE);
    let source = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"},
        "data": {"ca.crt": pem(&[name])}});
    apply(&sources, "ca", "tests", &source).await?;
    Ok(())
}

fn bundle(name: &str, source: &Json, selector: &Json) -> Json {
    json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": name},
        "spec": {"sources": [source], "target": {
            "configMap": {"key": KEY}, "namespaceSelector": selector,
        }},
    })
}

async fn holds(client: &Client, place: &str, target: &str, name: &str) -> Result<()> {
    let targets = Api::<ConfigMap>::namespaced(client.clone(), place);
    eventually(&format!("{target} holds {name}"), SOON, async || {
        let held = targets.get(target).await?.data.unwrap_or_default().remove(KEY);
        ensure!(held.as_deref() == Some(pem(&[name]).trim_end()), "it holds {held:?}");
        Ok(())
    })
    .await
}

/// Puts a policy in force that denies ConfigMaps in a namespace for this reason.
async fn deny(client: &Client, name: &str, place: &str, reason: &str) -> Result<()> {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                "operations": ["CREATE", "UPDATE"],
            }]},
            "validations": [{"expression": "false", "message": "not here", "reason": reason}],
        },
    });
    let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
    apply(&policies, name, "tests", &policy).await?;
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": place}});
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector},
        },
    });
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
    apply(&bindings, name, "tests", &binding).await?;
    let maps = Api::<ConfigMap>::namespaced(client.clone(), place);
    let probe = serde_json::from_value(json!({"metadata": {"name": "probe"}}))?;
    eventually("the policy is in force", SOON, async || {
        let dry_run = PostParams { dry_run: true, field_manager: None };
        match maps.create(&dry_run, &probe).await {
            Err(kube::Error::Api(status)) if status.reason == reason => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    })
    .await
}

#[tokio::test]
async fn a_policy_is_a_policy_whatever_reason_it_gives() -> Result<()> {
    let scene = scene!("policed");
    let reasons = ["Forbidden", "RequestEntityTooLarge", "Invalid"];
    scene.source(&["alpha"]).await?;
    for (at, reason) in reasons.iter().enumerate() {
        let place = scene.place(&format!("n{at}"));
        scene.cluster.namespace(&place, &[]).await?;
        deny(&scene.client, &place, &place, reason).await?;
        scene.cluster.namespace(&place, &[(SCENE, &scene.name)]).await?;
    }
    scene.bundle(scene.spec()).await?;
    scene.counts_all(3, 0, 3, 0).await?;
    let places: Vec<String> = (0..3).map(|at| scene.place(&format!("n{at}"))).collect();
    let wanted = format!("Failed to sync bundle to ConfigMap in {}: policy", places.join(", "));
    eventually("the status names all of them", SOON, async || {
        let message = scene.says("False", "SyncConfigMapTargetFailed").await?;
        ensure!(message == wanted, "{message}");
        Ok(())
    })
    .await?;
    scene.bundles().delete(&scene.name, &DeleteParams::default()).await?;
    for place in places {
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(scene.client.clone());
        bindings.delete(&place, &DeleteParams::default()).await?;
        let policies = Api::<ValidatingAdmissionPolicy>::all(scene.client.clone());
        policies.delete(&place, &DeleteParams::default()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_others_keep_in_a_shared_object_counts_and_the_message_names_its_namespace()
-> Result<()> {
    let scene = synced!("crowded");
    let place = scene.place("b");
    scene.cluster.namespace(&place, &[]).await?;
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": scene.name},
        "data": {"theirs": "x".repeat(1_000_000)},
    });
    apply(&scene.maps("b"), &scene.name, "tenant", &theirs).await?;
    let until = SystemTime::now() + Duration::from_secs(86_400);
    let text = ca(&scene.name, until, 60_000);
    let bytes = text.trim_end().len();
    scene.source_of(json!({"data": {"ca.crt": text}})).await?;
    scene.namespace("b").await?;
    scene.counts_all(2, 1, 0, 1).await?;
    let wanted = format!(
        "Target is too large: ConfigMap in {place}: its data, {bytes} bytes of the Bundle and what others \
         keep in the object, is more than the 1048576 bytes that the API server takes"
    );
    eventually("the status says so", SOON, async || {
        let message = scene.says("False", "TargetTooLarge").await?;
        ensure!(message == wanted, "{message}");
        Ok(())
    })
    .await
}

/// As large as Helm lets a release become, in compressed form.
const RELEASE_BYTES: usize = 700_000;
const RELEASES: usize = 60;

#[tokio::test]
async fn memory_does_not_grow_with_what_no_bundle_reads_and_one_that_comes_gets_it() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "base").await?;
    let place = turn.namespace("n", &[]).await?;
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": place}});
    rotate(&client, "alpha").await?;
    let named = json!({"configMap": {"name": "ca", "key": "ca.crt"}});
    apply(&bundles(&client), "small", "tests", &bundle("small", &named, &selector)).await?;
    let resident = async || {
        let trustd = scene::start(cluster, &account, [])?;
        trustd.ready(SOON).await?;
        says(&client, "small", "True", "Synced").await?;
        Ok::<_, anyhow::Error>((resident(&trustd)?, trustd))
    };
    let (before, trustd) = resident().await?;
    trustd.terminate(SOON).await?;

    let secrets = Api::<Secret>::namespaced(client.clone(), TRUST_NAMESPACE);
    for number in 0..RELEASES {
        // Bytes that compress no better than Helm's.
        let mut word = number as u64;
        let release: Vec<u8> = std::iter::repeat_with(|| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (word >> 56) as u8
        })
        .take(RELEASE_BYTES)
        .collect();
        let secret = json!({
            "metadata": {"name": format!("sh.helm.release.v1.tests.v{number}"), "labels": {
                "owner": "helm", "version": number.to_string(),
            }},
            "type": "helm.sh/release.v1",
            "data": {
                "release": k8s_openapi::ByteString(release),
                "ca.crt": k8s_openapi::ByteString(pem(&["beta"]).into_bytes()),
            },
        });
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    }
    let (after, trustd) = resident().await?;
    let grown = after.saturating_sub(before);
    eprintln!("resident: {before} kB, with {RELEASES} Secrets of {RELEASE_BYTES} bytes {after} kB");
    // They are 41,000 kB. A few are in memory at a time while they are listed.
    ensure!(grown < 20_000, "{grown} kB more than {before} kB");

    let helm = json!({"secret": {"name": "sh.helm.release.v1.tests.v7", "key": "ca.crt"}});
    apply(&bundles(&client), "late", "tests", &bundle("late", &helm, &selector)).await?;
    holds(&client, &place, "late", "beta").await?;
    says(&client, "late", "True", "Synced").await?;
    let all = json!({"secret": {"selector": {"matchLabels": {"owner": "helm"}}, "key": "ca.crt"}});
    apply(&bundles(&client), "all", "tests", &bundle("all", &all, &selector)).await?;
    holds(&client, &place, "all", "beta").await?;
    says(&client, "all", "True", "Synced").await?;
    let events = scene::events(&client, "late").await?;
    let kinds: Vec<&str> = events.iter().map(|(_, reason, _)| reason.as_str()).collect();
    ensure!(!kinds.iter().any(|kind| kind.starts_with("Source")), "it was missed: {events:#?}");
    trustd.process().must_run()
}

/// How much of a process is in memory, in kB.
fn resident(trustd: &Controller) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", trustd.process().id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
    Ok(kilobytes.trim().parse()?)
}
