//! Whose object a target is: what is shared, released, taken over and left alone.

use anyhow::{Context as _, Result, ensure};
use cluster::eventually;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::{Value as Json, json};

use crate::fixtures::{bundle, pem};
use crate::scene::{self, KEY, SOON, Scene, apply, says, scene, synced};

const SHARED: &str = "trust.cert-manager.io/shared";

/// A ConfigMap of the tenant's, where the scene's target should be in namespace `a`, which nothing
/// selects yet.
async fn tenant(scene: &Scene, data: Json) -> Result<ConfigMap> {
    scene.cluster.namespace(&scene.place("a"), &[]).await?;
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": scene.name, "labels": {"mine": "x"}}, "data": data,
    });
    apply(&scene.maps("a"), &scene.name, "tenant", &object).await
}

/// Lets the scene's Bundle select namespace `a` and read alpha.
async fn select(scene: &Scene) -> Result<()> {
    scene.source(&["alpha"]).await?;
    scene.namespace("a").await?;
    scene.bundle(scene.spec()).await?;
    Ok(())
}

pub(crate) fn is_shared(target: &ConfigMap) -> Result<()> {
    let annotations = target.metadata.annotations.clone().unwrap_or_default();
    ensure!(annotations.get(SHARED).is_some_and(|it| it == "true"), "not shared: {annotations:?}");
    let owners = target.metadata.owner_references.clone().unwrap_or_default();
    ensure!(owners.is_empty(), "it has owners: {owners:?}");
    Ok(())
}

/// The object as the tenant made it, with nothing of ours.
fn is_as_before(before: &ConfigMap, now: &ConfigMap) -> Result<()> {
    let of = |map: &ConfigMap| {
        let metadata = map.metadata.clone();
        (metadata.uid, metadata.labels, metadata.owner_references, map.data.clone())
    };
    ensure!(of(before) == of(now), "{:?} and {:?}", of(before), of(now));
    ensure!(now.metadata.annotations.iter().flatten().next().is_none(), "annotations are left");
    let manager = |entry: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        entry.manager.as_deref() == Some("trust-manager")
    };
    let ours = now.metadata.managed_fields.iter().flatten().find(manager);
    ensure!(ours.is_none(), "fields of ours are left: {ours:?}");
    Ok(())
}

#[tokio::test]
async fn an_object_of_somebody_else_is_shared_and_released() -> Result<()> {
    let scene = scene!("shared");
    let before = tenant(&scene, json!({"theirs": "1"})).await?;
    let mark = scene.mark().await?;
    select(&scene).await?;
    let shared = scene.holds("a", &["alpha"]).await?;
    is_shared(&shared)?;
    assert_eq!(shared.data.as_ref().context("no data")?["theirs"], "1");
    assert_eq!(shared.metadata.uid, before.metadata.uid);
    scene.says("True", "Synced").await?;
    scene.counts(1, 1).await?;
    let writes = scene.target_writes(mark).await?;
    ensure!(writes.len() == 1 && writes[0].uri.contains("force=false"), "{writes:#?}");
    scene.source(&["beta"]).await?;
    is_shared(&scene.holds("a", &["beta"]).await?)?;

    let released = "what was shared is released";
    let mark = scene.mark().await?;
    scene.cluster.namespace(&scene.place("a"), &[]).await?;
    scene.becomes(released, "a", |now| is_as_before(&before, now)).await?;
    // And so it is when the Bundle goes.
    scene.namespace("a").await?;
    is_shared(&scene.holds("a", &["beta"]).await?)?;
    scene.bundles().delete(&scene.name, &DeleteParams::default()).await?;
    scene.becomes(released, "a", |now| is_as_before(&before, now)).await?;
    let writes = scene.target_writes(mark).await?;
    assert!(writes.iter().all(|write| write.verb == "patch"), "{writes:#?}");
    Ok(())
}

#[tokio::test]
async fn a_key_that_somebody_else_holds_is_refused_until_its_owner_allows_it() -> Result<()> {
    let scene = scene!("refused");
    let before = tenant(&scene, json!({KEY: "theirs"})).await?;
    scene.namespace("b").await?;
    select(&scene).await?;
    let message = scene.says("False", "TargetRefused").await?;
    assert_eq!(
        message,
        format!(
            "Target belongs to somebody else: ConfigMap in {}: key \"{KEY}\" holds another manager's \
             value; remove it there, or allow it to be overwritten with the annotation \
             trust.cert-manager.io/allow-overwrite: \"true\"",
            scene.place("a")
        )
    );
    scene.holds("b", &["alpha"]).await?;
    scene.counts_all(2, 1, 0, 1).await?;
    let now = scene.target("a").await?;
    assert_eq!(now.metadata.resource_version, before.metadata.resource_version);

    let allow =
        json!({"metadata": {"annotations": {"trust.cert-manager.io/allow-overwrite": "true"}}});
    let params = PatchParams { field_manager: Some("tenant".to_owned()), ..PatchParams::default() };
    scene.maps("a").patch(&scene.name, &params, &Patch::Merge(allow)).await?;
    // Nobody tells trustd of the annotation; it looks again soon.
    is_shared(&scene.holds("a", &["alpha"]).await?)?;
    scene.says("True", "Synced").await?;
    scene.counts(2, 2).await
}

#[tokio::test]
async fn a_label_that_somebody_else_holds_is_refused_by_its_name() -> Result<()> {
    let scene = scene!("label");
    let before = tenant(&scene, json!({"theirs": "1"})).await?;
    scene.source(&["alpha"]).await?;
    scene.namespace("a").await?;
    let mut spec = scene.spec();
    spec["target"]["configMap"]["metadata"] = json!({"labels": {"mine": "y"}});
    scene.bundle(spec).await?;
    let message = scene.says("False", "TargetRefused").await?;
    let named = ": .metadata.labels.mine is held by another manager with another value";
    ensure!(message.contains(named), "{message}");
    let now = scene.target("a").await?;
    assert_eq!(now.metadata.resource_version, before.metadata.resource_version);
    Ok(())
}

#[tokio::test]
async fn a_target_is_made_soon_after_the_obstacle_in_its_place_is_deleted() -> Result<()> {
    let scene = scene!("obstacle");
    tenant(&scene, json!({KEY: pem(&["gamma"])})).await?;
    select(&scene).await?;
    scene.says("False", "TargetRefused").await?;
    let mark = scene.mark().await?;
    scene.maps("a").delete(&scene.name, &DeleteParams::default()).await?;
    scene.holds("a", &["alpha"]).await?;
    scene.says("True", "Synced").await?;
    // Until it was gone it was looked at, and not written.
    let writes = scene.target_writes(mark).await?;
    ensure!(writes.len() == 1 && writes[0].code == 201, "{writes:#?}");
    Ok(())
}

#[tokio::test]
async fn a_placeholder_in_an_object_of_somebody_else_is_filled() -> Result<()> {
    let scene = scene!("placeholder");
    tenant(&scene, json!({KEY: " \n", "theirs": "1"})).await?;
    select(&scene).await?;
    let shared = scene.holds("a", &["alpha"]).await?;
    is_shared(&shared)?;
    assert_eq!(shared.data.unwrap_or_default()["theirs"], "1");
    scene.says("True", "Synced").await?;
    Ok(())
}

#[tokio::test]
async fn a_binary_value_of_somebody_else_under_our_key_is_refused_until_it_is_allowed() -> Result<()>
{
    let scene = scene!("binary");
    scene.cluster.namespace(&scene.place("a"), &[]).await?;
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": scene.name},
        "binaryData": {KEY: "AAEC"},
    });
    apply(&scene.maps("a"), &scene.name, "tenant", &object).await?;
    select(&scene).await?;
    let message = scene.says("False", "TargetRefused").await?;
    let reason = format!("key \"{KEY}\" holds another manager's binary value (binaryData)");
    ensure!(message.contains(&reason), "{message}");
    let allow =
        json!({"metadata": {"annotations": {"trust.cert-manager.io/allow-overwrite": "true"}}});
    scene.maps("a").patch(&scene.name, &PatchParams::default(), &Patch::Merge(allow)).await?;
    let shared = scene.holds("a", &["alpha"]).await?;
    is_shared(&shared)?;
    assert_eq!(shared.binary_data, None);
    Ok(())
}

/// Replaces the target in `a` by one with nothing of ours, or no more than `metadata`, and a rogue value.
async fn replace(scene: &Scene, mut metadata: Json) -> Result<ConfigMap> {
    metadata["name"] = scene.name.as_str().into();
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
        "data": {KEY: pem(&["gamma"])},
    });
    let params = kube::api::PostParams {
        field_manager: Some("kubectl-replace".to_owned()),
        ..Default::default()
    };
    let replaced =
        scene.maps("a").replace(&scene.name, &params, &serde_json::from_value(object)?).await?;
    Ok(replaced)
}

#[tokio::test]
async fn a_target_that_is_replaced_whole_is_taken_back() -> Result<()> {
    let scene = synced!("usurped");
    let before = scene.target("a").await?;
    let replaced = replace(&scene, json!({})).await?;
    assert_eq!((replaced.metadata.labels, replaced.metadata.owner_references), (None, None));
    let after = scene.holds("a", &["alpha"]).await?;
    assert_eq!(after.metadata.uid, before.metadata.uid);
    assert_eq!(scene::shape(&before)?, scene::shape(&after)?);
    scene.says("True", "Synced").await?;
    scene.counts(1, 1).await
}

#[tokio::test]
async fn an_owner_reference_that_another_manager_holds_takes_no_data_of_tenants_along() -> Result<()>
{
    let scene = scene!("held");
    scene.source(&["alpha"]).await?;
    let uid = scene.bundle(scene.spec()).await?.metadata.uid;
    scene.cluster.namespace(&scene.place("a"), &[]).await?;
    // As an export of an old target comes back, with a key that a tenant added.
    let exported: ConfigMap = serde_json::from_value(json!({
        "metadata": {
            "name": scene.name,
            "labels": {"trust.cert-manager.io/bundle": scene.name},
            "ownerReferences": [{
                "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
                "name": scene.name, "uid": uid, "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "data": {KEY: pem(&["gamma"]), "mine": "z"},
    }))?;
    let params =
        kube::api::PostParams { field_manager: Some("restore".to_owned()), ..Default::default() };
    scene.maps("a").create(&params, &exported).await?;
    scene.namespace("a").await?;
    is_shared(&scene.holds("a", &["alpha"]).await?)?;
    scene.says("True", "Synced").await?;
    scene.counts(1, 1).await?;

    scene.bundles().delete(&scene.name, &DeleteParams::default()).await?;
    scene
        .becomes("it is the tenant's alone", "a", |target| {
            let data = target.data.clone().unwrap_or_default();
            ensure!(data.keys().eq(["mine"]), "{:?}", data.keys());
            Ok(())
        })
        .await?;
    collector_knows(&scene, "a").await?;
    let left = scene.target("a").await?;
    assert_eq!(left.data.unwrap_or_default()["mine"], "z");
    assert_eq!(left.metadata.deletion_timestamp, None);
    Ok(())
}

#[tokio::test]
async fn an_owner_reference_that_does_not_control_takes_no_shared_object_along() -> Result<()> {
    let scene = scene!("co-owned");
    let tenants = tenant(&scene, json!({"mine": "z"})).await?;
    select(&scene).await?;
    is_shared(&scene.holds("a", &["alpha"]).await?)?;
    let uid = scene.bundles().get(&scene.name).await?.metadata.uid;
    let owned = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "name": scene.name, "uid": uid,
    }]}});
    let params = PatchParams { field_manager: Some("script".to_owned()), ..PatchParams::default() };
    scene.maps("a").patch(&scene.name, &params, &Patch::Merge(owned)).await?;
    scene.becomes("the reference is taken out", "a", is_shared).await?;

    scene.bundles().delete(&scene.name, &DeleteParams::default()).await?;
    let released = "it is the tenant's alone";
    scene.becomes(released, "a", |now| is_as_before(&tenants, now)).await?;
    collector_knows(&scene, "a").await?;
    assert_eq!(scene.target("a").await?.metadata.deletion_timestamp, None);
    Ok(())
}

#[tokio::test]
async fn a_key_that_holds_what_it_should_is_held_by_both() -> Result<()> {
    let scene = scene!("agreed");
    let before = tenant(&scene, json!({KEY: bundle(&["alpha"])})).await?;
    select(&scene).await?;
    scene.says("True", "Synced").await?;
    is_shared(&scene.target("a").await?)?;
    scene.cluster.namespace(&scene.place("a"), &[]).await?;
    scene.becomes("it is theirs alone again", "a", |now| is_as_before(&before, now)).await?;
    Ok(())
}

#[tokio::test]
async fn an_object_with_another_controlling_owner_keeps_it() -> Result<()> {
    let scene = scene!("owned");
    scene.cluster.namespace(&scene.place("a"), &[]).await?;
    let place = scene.place("a");
    scene.cluster.kubectl(["create", "configmap", "landlord", "--namespace", &place]).await?;
    let landlord = scene.maps("a").get("landlord").await?;
    let owned = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"theirs": "1"},
        "metadata": {"name": scene.name, "ownerReferences": [{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "landlord", "controller": true,
            "uid": landlord.metadata.uid,
        }]},
    });
    let before = apply(&scene.maps("a"), &scene.name, "tenant", &owned).await?;
    select(&scene).await?;
    let now = scene.holds("a", &["alpha"]).await?;
    assert_eq!(now.metadata.owner_references, before.metadata.owner_references);
    scene.says("True", "Synced").await?;
    Ok(())
}

#[tokio::test]
async fn deleting_a_bundle_leaves_the_targets_to_the_garbage_collector() -> Result<()> {
    let scene = synced!("gone");
    let before = {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": scene.name},
            "data": {"theirs": "1"},
        });
        scene.cluster.namespace(&scene.place("b"), &[]).await?;
        apply(&scene.maps("b"), &scene.name, "tenant", &object).await?
    };
    scene.namespace("b").await?;
    scene.holds("b", &["alpha"]).await?;
    let mark = scene.mark().await?;
    scene.bundles().delete(&scene.name, &DeleteParams::default()).await?;
    scene.is_gone("a").await?;
    scene.becomes("the shared one is released", "b", |now| is_as_before(&before, now)).await?;
    let mut writes = scene.target_writes(mark).await?;
    // A patch for the key and an apply for the rest. Seen between the two it is released once more,
    // which its precondition refuses.
    writes.retain(|write| write.code != 409);
    let verbs: Vec<&str> = writes.iter().map(|write| write.verb.as_str()).collect();
    ensure!(verbs == ["patch", "patch"], "{writes:#?}");
    assert!(writes.iter().all(|write| write.namespace == scene.place("b")), "{writes:#?}");
    Ok(())
}

/// Waits until the garbage collector knows what is in a namespace now. It orphans the dependents that it
/// knows and deletes those that it learns of later, as of an owner that is not there.
async fn collector_knows(scene: &Scene, suffix: &str) -> Result<()> {
    let owner = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle", "name": "nobody",
        "uid": "00000000-0000-4000-8000-000000000000",
    });
    let canary = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "canary", "ownerReferences": [owner]},
    });
    let maps = scene.maps(suffix);
    // It learns of ConfigMaps in order, and so of this one last.
    apply(&maps, "canary", "tests", &canary).await?;
    eventually("a ConfigMap without an owner is collected", SOON, async || {
        ensure!(maps.get_opt("canary").await?.is_none(), "it is there");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn deleting_a_bundle_without_its_dependents_keeps_all_of_them() -> Result<()> {
    let scene = synced!("orphaned");
    let before = scene.target("a").await?;
    collector_knows(&scene, "a").await?;
    let mark = scene.mark().await?;
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    scene.bundles().delete(&scene.name, &orphan).await?;
    eventually("the Bundle is gone", SOON, async || {
        ensure!(scene.bundles().get_opt(&scene.name).await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    let now = scene.target("a").await?;
    assert_eq!((&now.metadata.uid, &now.data), (&before.metadata.uid, &before.data));
    assert_eq!(now.metadata.owner_references, None);
    assert_eq!(scene.target_writes(mark).await?, []);
    // A Bundle of that name takes them up again.
    scene.bundle(scene.spec()).await?;
    scene.says("True", "Synced").await?;
    let now = scene.target("a").await?;
    assert_eq!(now.metadata.uid, before.metadata.uid);
    assert_eq!(now.metadata.owner_references.map(|owners| owners.len()), Some(1));
    Ok(())
}

#[tokio::test]
async fn deleting_a_bundle_after_its_dependents_comes_to_an_end() -> Result<()> {
    let scene = synced!("foreground");
    let foreground = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        ..DeleteParams::default()
    };
    scene.bundles().delete(&scene.name, &foreground).await?;
    eventually("the Bundle is gone", SOON, async || {
        ensure!(scene.bundles().get_opt(&scene.name).await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    scene.is_gone("a").await
}

#[tokio::test]
async fn a_bundle_that_is_going_is_written_no_more() -> Result<()> {
    let scene = synced!("going");
    let finalizers = |names: &[&str]| Patch::Merge(json!({"metadata": {"finalizers": names}}));
    let params = PatchParams::default();
    scene.bundles().patch(&scene.name, &params, &finalizers(&["tests.trustd/held"])).await?;
    scene.bundles().delete(&scene.name, &DeleteParams::default()).await?;
    let mark = scene.mark().await?;
    scene.namespace("b").await?;
    scene.source(&["beta"]).await?;
    // What another Bundle makes of the same changes shows that they have been seen.
    let other = scene.place("other");
    scene.bundle_as(&other, scene.spec(), json!({})).await?;
    says(&scene.client, &other, "True", "Synced").await?;
    scene.source(&["gamma"]).await?;
    eventually("the other one follows", SOON, async || {
        let data = scene.maps("b").get(&other).await?.data.unwrap_or_default();
        ensure!(data[KEY] == bundle(&["gamma"]), "{data:?}");
        Ok(())
    })
    .await?;
    let mut writes = scene.writes(mark).await?;
    writes.retain(|write| write.name == scene.name);
    assert_eq!(writes, [], "neither targets nor a status");
    scene.holds("a", &["alpha"]).await?;
    scene.bundles().patch(&scene.name, &params, &finalizers(&[])).await?;
    scene.is_gone("a").await
}

#[tokio::test]
async fn a_copy_of_a_target_where_none_is_wanted_is_left_alone() -> Result<()> {
    let scene = synced!("copied");
    scene.cluster.namespace(&scene.place("elsewhere"), &[]).await?;
    let mut copy = json!(scene.target("a").await?);
    copy["metadata"]["namespace"] = scene.place("elsewhere").into();
    for part in ["managedFields", "resourceVersion", "uid", "creationTimestamp"] {
        copy["metadata"].as_object_mut().unwrap().remove(part);
    }
    let mark = scene.mark().await?;
    let maps = scene.maps("elsewhere");
    let before = maps.create(&Default::default(), &serde_json::from_value(copy.clone())?).await?;
    // And one of a shared target.
    let shared = scene.place("shared");
    copy["metadata"]["name"] = shared.as_str().into();
    copy["metadata"]["labels"]["trust.cert-manager.io/bundle"] = shared.as_str().into();
    copy["metadata"]["annotations"][SHARED] = "true".into();
    copy["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    maps.create(&Default::default(), &serde_json::from_value(copy)?).await?;
    scene.bundle_as(&shared, scene.spec(), json!({})).await?;
    says(&scene.client, &shared, "True", "Synced").await?;

    scene.source(&["beta"]).await?;
    scene.holds("a", &["beta"]).await?;
    scene.counts(1, 1).await?;
    let mut writes = scene.target_writes(mark).await?;
    writes.retain(|write| write.namespace == scene.place("elsewhere"));
    assert_eq!(writes, []);
    let now = maps.get(&scene.name).await?;
    assert_eq!(now.metadata.resource_version, before.metadata.resource_version);
    Ok(())
}

/// Waits until the target in `a` is owned by the Bundle as it is now, and by nothing else.
async fn is_owned(scene: &Scene) -> Result<()> {
    let uid = scene.bundles().get(&scene.name).await?.metadata.uid;
    scene
        .becomes("the target is the Bundle's", "a", |target| {
            let owners = target.metadata.owner_references.iter().flatten();
            let owners: Vec<_> = owners.map(|owner| Some(owner.uid.clone())).collect();
            ensure!(owners == [uid.clone()], "its owners are {owners:?}, not {uid:?}");
            ensure!(target.metadata.deletion_timestamp.is_none(), "it is going");
            let held = target.data.as_ref().and_then(|data| data.get(KEY));
            ensure!(held.is_some(), "it holds {:?}", target.data);
            Ok(())
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_bundle_made_again_at_once_has_its_targets() -> Result<()> {
    let scene = synced!("again");
    for _ in 0..5 {
        scene.bundles().delete(&scene.name, &DeleteParams::default()).await?;
        scene.bundle(scene.spec()).await?;
        is_owned(&scene).await?;
        scene.says("True", "Synced").await?;
    }
    scene.source(&["beta"]).await?;
    scene.holds("a", &["beta"]).await?;
    is_owned(&scene).await
}

#[tokio::test]
async fn an_owner_reference_of_a_restored_backup_is_replaced() -> Result<()> {
    let scene = synced!("restored");
    let stale = "00000000-0000-4000-8000-000000000000";
    // As it comes back with etcd, under our own name.
    let mut restored = json!(scene.target("a").await?);
    restored["metadata"]["ownerReferences"][0]["uid"] = stale.into();
    for part in ["managedFields", "resourceVersion", "uid", "creationTimestamp"] {
        restored["metadata"].as_object_mut().unwrap().remove(part);
    }
    apply(&scene.maps("a"), &scene.name, "trust-manager", &restored).await?;
    is_owned(&scene).await?;
    // As a backup program writes it, under its own.
    let owners = json!({"metadata": {"ownerReferences": restored["metadata"]["ownerReferences"]}});
    let params =
        PatchParams { field_manager: Some("restore".to_owned()), ..PatchParams::default() };
    scene.maps("a").patch(&scene.name, &params, &Patch::Merge(owners)).await?;
    is_owned(&scene).await?;
    scene.says("True", "Synced").await?;
    scene.counts(1, 1).await
}
