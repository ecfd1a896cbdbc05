//! Faults in the middle of a fan-out: what can be right is right soon after, and the status tells.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use cluster::{LABEL, TRUST_NAMESPACE, eventually};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ResourceQuota};
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use kube::Resource;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyPair};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::fleet::{BUNDLE, Fleet, SIZE, SOON, bundles, counts, name};
use crate::hook::Hook;

/// So slow that a fan-out takes some seconds.
const SLOW: Duration = Duration::from_millis(60);

#[tokio::test]
async fn cut_watches_and_a_forgotten_past_lose_nothing() -> Result<()> {
    let fleet = crate::turn!();
    let proxy = fleet.cluster.proxy()?;
    let trustd = fleet.trustd(&fleet.accounts[0].through(&proxy)?)?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    let history = fleet.history().await?;
    proxy.delay(SLOW);
    let generation = fleet.rotate().await?;
    fleet.midst(generation).await?;
    proxy.cut();
    let generation = fleet.rotate().await?;
    fleet.midst(generation).await?;
    proxy.cut();
    fleet.all_hold(generation, &[]).await?;
    proxy.delay(Duration::ZERO);
    fleet.counts([SIZE, SIZE, 0, 0]).await?;
    fleet.only_forward(history).await?;

    // While it cannot look, everything changes, and the server forgets how.
    proxy.refuse();
    let generation = fleet.rotate().await?;
    target(&fleet, 1).delete(BUNDLE, &DeleteParams::default()).await?;
    label(&fleet, 2, json!({"fleet": null})).await?;
    fleet.cluster.compact().await?;
    fleet.cluster.stop_server();
    fleet.cluster.start_server().await?;
    let mark = fleet.cluster.mark().await?;
    proxy.unblock();
    let but = [name(2)];
    fleet.all_hold(generation, &but).await?;
    eventually("the target of a namespace that left goes", SOON, async || {
        ensure!(target(&fleet, 2).get_opt(BUNDLE).await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    fleet.counts([SIZE - 1, SIZE - 1, 0, 0]).await?;
    label(&fleet, 2, json!({"fleet": "yes"})).await?;
    fleet.all_hold(generation, &[]).await?;
    trustd.process().must_run()?;

    let events = fleet.cluster.asked_since(mark).await?;
    let lists: Vec<_> = events
        .iter()
        .filter(|event| event.user == fleet.accounts[0].user())
        .filter(|event| event.uri.contains("sendInitialEvents=true"))
        .collect();
    ensure!(!lists.is_empty(), "nothing was listed anew: the past was not forgotten");
    // Version 0 is whatever the server happens to remember.
    let any = lists.iter().find(|event| event.uri.contains("resourceVersion=0"));
    ensure!(any.is_none(), "{any:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_with_too_much_to_do_is_obeyed_and_everything_gets_written() -> Result<()> {
    let fleet = crate::turn!();
    // Three writes at once, of at most 600, and nobody waits in a queue.
    let level = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": "narrow", "labels": {LABEL: "fault"}},
        "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"},
        }},
    });
    let user = json!({"namespace": TRUST_NAMESPACE, "name": "trustd"});
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
        "metadata": {"name": "narrow", "labels": {LABEL: "fault"}},
        "spec": {
            "matchingPrecedence": 100, "priorityLevelConfiguration": {"name": "narrow"},
            "rules": [{
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": user}],
                "resourceRules": [{
                    "verbs": ["patch"], "apiGroups": [""], "resources": ["configmaps"],
                    "namespaces": ["*"],
                }],
            }],
        },
    });
    let trustd = fleet.trustd(fleet.accounts[0].kubeconfig())?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    let bundle = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": "second"},
        "spec": {
            "sources": [{"configMap": {"name": "fleet-source", "key": "ca.crt"}}],
            "target": {
                "configMap": {"key": "ca.crt"}, "namespaceSelector": {"matchLabels": {"fleet": "yes"}},
            },
        },
    });
    apply(&Api::<PriorityLevelConfiguration>::all(fleet.client.clone()), level).await?;
    let schemas = Api::<FlowSchema>::all(fleet.client.clone());
    let schema = apply(&schemas, schema).await?;
    let probe = cluster::access::client(fleet.accounts[0].kubeconfig()).await?;
    eventually("the narrow level is in force", SOON, async || {
        let request = http::Request::patch(
            "/api/v1/namespaces/fleet-000/configmaps/fleet?dryRun=All&fieldManager=probe",
        )
        .header("content-type", "application/merge-patch+json");
        let answer = probe.send(request.body(kube::client::Body::from(b"{}".to_vec()))?).await?;
        let matched = answer.headers().get("x-kubernetes-pf-flowschema-uid");
        ensure!(
            matched.and_then(|uid| uid.to_str().ok()) == schema.metadata.uid.as_deref(),
            "requests go through {matched:?}"
        );
        Ok(())
    })
    .await?;
    let mark = fleet.cluster.mark().await?;
    bundles(&fleet.client).patch("second", &manager(), &Patch::Apply(bundle)).await?;
    counts(&fleet.client, "second", [SIZE, SIZE, 0, 0]).await?;
    bundles(&fleet.client).delete("second", &DeleteParams::default()).await?;
    let writes = fleet.writes(&fleet.accounts[0], mark).await?;
    let refused = writes.iter().filter(|event| event.code == 429).count();
    ensure!(refused > 0, "the server never had too much to do");
    // Each refusal pauses all: no more than a burst of the slots between two of them.
    ensure!(refused < SIZE * 3, "{refused} refusals: nobody paused");
    trustd.process().must_run()
}

#[tokio::test]
async fn namespaces_that_refuse_are_counted_and_keep_nobody_else_from_being_right() -> Result<()> {
    let fleet = crate::turn!();
    let client = &fleet.client;
    let trustd = fleet.trustd(fleet.accounts[0].kubeconfig())?;
    // One more namespace, which will go and never be gone.
    let going = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": "going", "labels": {"fleet": "yes"}, "finalizers": ["tests.trustd/hold"],
        },
    });
    let namespaces = Api::<Namespace>::all(client.clone());
    apply(&namespaces, going).await?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    let in_going = Api::<ConfigMap>::namespaced(client.clone(), "going");
    eventually("the target in `going` is made", SOON, async || Ok(in_going.get(BUNDLE).await?))
        .await?;
    trustd.terminate(SOON).await?;
    let history = fleet.history().await?;

    namespaces.delete("going", &DeleteParams::default()).await?;
    let (full, denied, immutable) = ([10, 11, 12], [20, 21, 22], 30);
    for number in full {
        fill(&fleet, number).await?;
    }
    for number in denied {
        label(&fleet, number, json!({"denied": "yes"})).await?;
    }
    deny(&fleet, denied[0]).await?;
    let make_immutable = Patch::Merge(json!({"immutable": true}));
    target(&fleet, immutable).patch(BUNDLE, &PatchParams::default(), &make_immutable).await?;

    let trustd = fleet.trustd(fleet.accounts[0].kubeconfig())?;
    let generation = fleet.rotate().await?;
    let but: Vec<String> =
        full.iter().chain(&denied).chain([&immutable]).map(|number| name(*number)).collect();
    fleet.all_hold(generation, &but).await?;
    let condition = fleet.counts([SIZE, SIZE - but.len(), but.len(), 0]).await?;
    let message = condition["message"].as_str().context("no message")?;
    for word in ["quota", "policy", "immutable"] {
        ensure!(message.contains(word), "{message}");
    }
    for number in [10, 20, 30] {
        ensure!(message.contains(&name(number)), "{message}");
    }
    // The namespace controller empties it when it comes to it, and then nothing more is made there.
    eventually("what was in `going` is gone", SOON, async || {
        ensure!(in_going.get_opt(BUNDLE).await?.is_none(), "it is there");
        Ok(())
    })
    .await?;

    for number in full {
        let quotas = Api::<ResourceQuota>::namespaced(client.clone(), &name(number));
        quotas.delete("full", &DeleteParams::default()).await?;
    }
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
    bindings.delete("denied", &DeleteParams::default()).await?;
    target(&fleet, immutable).delete(BUNDLE, &DeleteParams::default()).await?;
    for number in full.into_iter().chain(denied) {
        writable(&fleet, number, true).await?;
    }
    // Another content is another chance, without waiting for the next try.
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    fleet.counts([SIZE, SIZE, 0, 0]).await?;
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    namespaces.patch("going", &PatchParams::default(), &free).await?;
    fleet.only_forward(history).await?;
    trustd.process().must_run()
}

/// Takes away the target in a namespace of the fleet, and the room for another.
async fn fill(fleet: &Fleet, number: usize) -> Result<()> {
    target(fleet, number).delete(BUNDLE, &DeleteParams::default()).await?;
    let quotas = Api::<ResourceQuota>::namespaced(fleet.client.clone(), &name(number));
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "full", "labels": {LABEL: "fault"}},
        "spec": {"hard": {"configmaps": "1"}},
    });
    apply(&quotas, quota).await?;
    eventually("the quota is in force", SOON, async || {
        let used = quotas.get("full").await?.status.and_then(|status| status.used);
        let used = used.and_then(|used| used.get("configmaps").cloned());
        ensure!(used.as_ref().is_some_and(|used| used.0 == "1"), "used: {used:?}");
        Ok(())
    })
    .await
}

/// Puts a policy in force that denies everything in namespaces with the label `denied`.
async fn deny(fleet: &Fleet, probe: usize) -> Result<()> {
    let policies = Api::<ValidatingAdmissionPolicy>::all(fleet.client.clone());
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "denied", "labels": {LABEL: "fault"}},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                "operations": ["CREATE", "UPDATE"],
            }]},
            "validations": [{"expression": "false", "message": "not here"}],
        },
    });
    apply(&policies, policy).await?;
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(fleet.client.clone());
    let selector = json!({"matchExpressions": [{"key": "denied", "operator": "Exists"}]});
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "denied", "labels": {LABEL: "fault"}},
        "spec": {
            "policyName": "denied", "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector},
        },
    });
    apply(&bindings, binding).await?;
    writable(fleet, probe, false).await
}

/// Waits until ConfigMaps can be made in a namespace of the fleet, or cannot.
async fn writable(fleet: &Fleet, number: usize, wanted: bool) -> Result<()> {
    let maps = target(fleet, number);
    let probe = serde_json::from_value(json!({"metadata": {"name": "probe"}}))?;
    eventually(&format!("writable: {wanted}"), SOON, async || {
        match maps.create(&PostParams { dry_run: true, field_manager: None }, &probe).await {
            Ok(_) if wanted => Ok(()),
            Err(kube::Error::Api(_)) if !wanted => Ok(()),
            other => Err(anyhow!("{other:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn a_webhook_that_hangs_in_some_namespaces_delays_no_others() -> Result<()> {
    let fleet = crate::turn!();
    let trustd = fleet.trustd(fleet.accounts[0].kubeconfig())?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    let history = fleet.history().await?;
    // Every twentieth, which are 5 %.
    let hung: Vec<usize> = (0..SIZE).step_by(20).collect();
    let hook = hang(&fleet, &hung).await?;
    let generation = fleet.rotate().await?;
    let but: Vec<String> = hung.iter().map(|number| name(*number)).collect();
    fleet.all_hold(generation, &but).await?;
    ensure!(
        fleet.held().await?.values().filter(|held| **held == generation).count()
            == SIZE - but.len(),
        "the webhook does not hang"
    );
    fleet.counts([SIZE, SIZE - but.len(), but.len(), 0]).await?;
    // A second rotation finds some slots taken by what hangs.
    let generation = fleet.rotate().await?;
    fleet.all_hold(generation, &but).await?;

    // Nothing but time tells that it can be written now.
    hook.release();
    fleet.all_hold(generation, &[]).await?;
    fleet.counts([SIZE, SIZE, 0, 0]).await?;
    fleet.only_forward(history).await?;
    trustd.process().must_run()
}

/// Makes a webhook hang in these namespaces of the fleet.
pub(crate) async fn hang(fleet: &Fleet, hung: &[usize]) -> Result<Hook> {
    let labelled = stream::iter(hung).map(|number| label(fleet, *number, json!({"hangs": "yes"})));
    labelled.buffer_unordered(16).try_collect::<()>().await?;
    let authority = fleet.cluster.plane().authority();
    let hook = Hook::serve(authority)?;
    let hooks = Api::<ValidatingWebhookConfiguration>::all(fleet.client.clone());
    apply(&hooks, hook.configuration(authority, "hangs")).await?;
    eventually("the webhook is asked", SOON, async || {
        let dry_run = PostParams { dry_run: true, field_manager: None };
        let probe = serde_json::from_value(json!({"metadata": {"name": "probe"}}))?;
        let maps = target(fleet, hung[0]);
        let asked = tokio::time::timeout(Duration::from_millis(500), maps.create(&dry_run, &probe));
        ensure!(asked.await.is_err() && hook.asked() > 0, "nobody asks it");
        Ok(())
    })
    .await?;
    Ok(hook)
}

#[tokio::test]
async fn content_that_fits_into_no_object_is_refused_without_a_write() -> Result<()> {
    let fleet = crate::turn!();
    let trustd = fleet.trustd(fleet.accounts[0].kubeconfig())?;
    let maps = Api::<ConfigMap>::namespaced(fleet.client.clone(), TRUST_NAMESPACE);
    for name in ["large-1", "large-2"] {
        let source = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"ca.crt": large()?},
        });
        apply(&maps, source).await?;
    }
    let bundle = |sources: &[&str]| {
        let sources: Vec<_> = sources
            .iter()
            .map(|name| json!({"configMap": {"name": name, "key": "ca.crt"}}))
            .collect();
        json!({
            "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
            "metadata": {"name": "large"},
            "spec": {"sources": sources, "target": {
                "configMap": {"key": "ca.crt"},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name(0)}},
            }},
        })
    };
    let all = bundles(&fleet.client);
    all.patch("large", &manager(), &Patch::Apply(bundle(&["large-1"]))).await?;
    counts(&fleet.client, "large", [1, 1, 0, 0]).await?;
    let before = target(&fleet, 0).get("large").await?;
    let mark = fleet.cluster.mark().await?;
    all.patch("large", &manager(), &Patch::Apply(bundle(&["large-1", "large-2"]))).await?;
    let condition = counts(&fleet.client, "large", [1, 0, 0, 1]).await?;
    ensure!(condition["reason"] == "TargetTooLarge", "{condition}");
    let writes = fleet.writes(&fleet.accounts[0], mark).await?;
    ensure!(!writes.iter().any(|event| event.resource == "configmaps"), "{writes:?}");
    ensure!(target(&fleet, 0).get("large").await? == before, "its last content did not stay");
    all.patch("large", &manager(), &Patch::Apply(bundle(&["large-2"]))).await?;
    counts(&fleet.client, "large", [1, 1, 0, 0]).await?;
    all.delete("large", &DeleteParams::default()).await?;
    trustd.process().must_run()
}

/// A CA of some 500 kB: two of them are more than an object may hold.
fn large() -> Result<String> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // An arc for examples.
    let oid = [1, 3, 6, 1, 4, 1, 32473, 1];
    params.custom_extensions = vec![CustomExtension::from_oid_content(&oid, vec![0; 500_000])];
    Ok(params.self_signed(&KeyPair::generate()?)?.pem())
}

pub(crate) fn target(fleet: &Fleet, number: usize) -> Api<ConfigMap> {
    Api::namespaced(fleet.client.clone(), &name(number))
}

pub(crate) async fn label(fleet: &Fleet, number: usize, labels: Json) -> Result<()> {
    let namespaces = Api::<Namespace>::all(fleet.client.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    namespaces.patch_metadata(&name(number), &PatchParams::default(), &patch).await?;
    Ok(())
}

pub(crate) fn manager() -> PatchParams {
    PatchParams::apply("tests").force()
}

async fn apply<K>(api: &Api<K>, object: Json) -> Result<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let name = object["metadata"]["name"].as_str().context("no name")?.to_owned();
    Ok(api.patch(&name, &manager(), &Patch::Apply(object)).await?)
}
