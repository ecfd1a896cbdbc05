//! What others do to a target, and whether trustd mends it.

use anyhow::{Result, ensure};
use cluster::eventually;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value as Json, json};

use crate::fixtures::bundle;
use crate::scene::{KEY, SOON, Scene, apply, scene, shape, synced};

const HASH: &str = "trust.cert-manager.io/hash";
const CONTENT: &str = "trust.cert-manager.io/content";
const BUNDLE: &str = "trust.cert-manager.io/bundle";

/// A scene with template metadata on its targets.
async fn with_template(base: &str) -> Result<Option<Scene>> {
    let Some(scene) = Scene::synced(base).await? else { return Ok(None) };
    let mut spec = scene.spec();
    spec["target"]["configMap"]["metadata"] =
        json!({"labels": {"team": "trust"}, "annotations": {"example.com/note": "roots"}});
    scene.bundle(spec).await?;
    scene.says("True", "Synced").await?;
    Ok(Some(scene))
}

macro_rules! with_template {
    ($name:expr) => {
        match with_template($name).await? {
            Some(scene) => scene,
            None => return Ok(()),
        }
    };
}

/// An edit as `kubectl edit` makes it, under this manager's name.
async fn edit(scene: &Scene, manager: &str, patch: Json) -> Result<ConfigMap> {
    edit_in(scene, "a", manager, patch).await
}

async fn edit_in(scene: &Scene, suffix: &str, manager: &str, patch: Json) -> Result<ConfigMap> {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    Ok(scene.maps(suffix).patch(&scene.name, &params, &Patch::Merge(patch)).await?)
}

/// Waits until the target is as it was.
async fn is_mended(scene: &Scene, suffix: &str, what: &str, wanted: &Json) -> Result<()> {
    scene
        .becomes(&format!("{what} is mended"), suffix, |target| {
            let found = shape(target)?;
            ensure!(found == *wanted, "it is {found:#}, not {wanted:#}");
            Ok(())
        })
        .await?;
    Ok(())
}

/// Waits until everything that happened so far has been dealt with: a target that is deleted twice in
/// a row has been made anew twice, and the same watch told of what came before.
async fn all_is_dealt_with(scene: &Scene) -> Result<()> {
    for _ in 0..2 {
        let before = scene.holds("fence", &["alpha"]).await?;
        scene.maps("fence").delete(&scene.name, &DeleteParams::default()).await?;
        scene
            .becomes("the other target is made anew", "fence", |target| {
                ensure!(target.metadata.uid != before.metadata.uid, "it is the old one");
                Ok(())
            })
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_others_change_is_mended_with_one_write() -> Result<()> {
    let scene = with_template!("tampered");
    let wanted = shape(&scene.target("a").await?)?;
    assert_eq!(wanted["annotations"].as_object().map(serde_json::Map::len), Some(3));
    let labels = |key: &str, value: Json| json!({"metadata": {"labels": {key: value}}});
    let annotations = |key: &str, value: Json| json!({"metadata": {"annotations": {key: value}}});
    let cases = [
        ("an edited key", json!({"data": {KEY: "nothing"}})),
        ("a removed key", json!({"data": {KEY: null}})),
        ("an edited hash", annotations(HASH, "0".into())),
        ("a removed hash", annotations(HASH, Json::Null)),
        ("an edited content mark", annotations(CONTENT, "0".into())),
        ("a removed owner reference", json!({"metadata": {"ownerReferences": []}})),
        ("an edited template label", labels("team", "other".into())),
        ("a removed template label", labels("team", Json::Null)),
        ("an edited template annotation", annotations("example.com/note", "other".into())),
        ("a removed template annotation", annotations("example.com/note", Json::Null)),
        ("a removed label", labels(BUNDLE, Json::Null)),
        ("a label that names another Bundle", labels(BUNDLE, "another".into())),
    ];
    // Each in a namespace of its own: three in a row would be a fight.
    let all = u32::try_from(cases.len())?;
    for at in 0..cases.len() {
        scene.namespace(&format!("case-{at}")).await?;
    }
    scene.counts(all + 1, all + 1).await?;
    for (at, (what, patch)) in cases.into_iter().enumerate() {
        let suffix = format!("case-{at}");
        let mark = scene.mark().await?;
        edit_in(&scene, &suffix, "tenant", patch).await?;
        is_mended(&scene, &suffix, what, &wanted).await?;
        scene.counts(all + 1, all + 1).await?;
        let writes = scene.target_writes(mark).await?;
        // The tenant's own edit is not among them: they are trustd's.
        ensure!(writes.len() == 1, "{what}: {writes:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_target_is_made_anew() -> Result<()> {
    let scene = synced!("deleted");
    let before = scene.target("a").await?;
    let mark = scene.mark().await?;
    scene.maps("a").delete(&scene.name, &DeleteParams::default()).await?;
    let after = scene.holds("a", &["alpha"]).await?;
    assert_ne!(before.metadata.uid, after.metadata.uid);
    assert_eq!(shape(&before)?, shape(&after)?);
    assert_eq!(scene.target_writes(mark).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_apply_by_force_is_mended_where_it_changed_something() -> Result<()> {
    let scene = synced!("forced");
    scene.namespace("fence").await?;
    scene.holds("fence", &["alpha"]).await?;
    let apply_as = async |manager: &str, text: &str| {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": scene.name},
            "data": {KEY: text},
        });
        apply(&scene.maps("a"), &scene.name, manager, &object).await
    };
    // The same value: it is held by both from now on, and nothing is wrong with it.
    let mark = scene.mark().await?;
    let shared = apply_as("tenant", &bundle(&["alpha"])).await?;
    all_is_dealt_with(&scene).await?;
    let found = scene.target("a").await?;
    assert_eq!(found.metadata.resource_version, shared.metadata.resource_version);
    let writes = scene.target_writes(mark).await?;
    assert!(writes.iter().all(|it| it.namespace == scene.place("fence")), "{writes:#?}");

    // Another value: taken back, and ours alone again.
    apply_as("tenant", "nothing").await?;
    let mended = scene.holds("a", &["alpha"]).await?;
    let holders: Vec<String> = mended
        .metadata
        .managed_fields
        .iter()
        .flatten()
        .filter(|entry| json!(entry)["fieldsV1"]["f:data"][format!("f:{KEY}")].is_object())
        .filter_map(|entry| entry.manager.clone())
        .collect();
    assert_eq!(holders, ["trust-manager"]);
    Ok(())
}

#[tokio::test]
async fn an_edit_under_our_own_name_that_keeps_keys_and_marks_is_not_noticed() -> Result<()> {
    let scene = synced!("own-name");
    scene.namespace("fence").await?;
    scene.holds("fence", &["alpha"]).await?;
    let mark = scene.mark().await?;
    edit(&scene, "trust-manager", json!({"data": {KEY: "nothing"}})).await?;
    let mut whole = json!(scene.target("a").await?);
    whole["data"][KEY] = "nothing at all".into();
    for part in ["managedFields", "resourceVersion", "uid", "creationTimestamp"] {
        whole["metadata"].as_object_mut().unwrap().remove(part);
    }
    apply(&scene.maps("a"), &scene.name, "trust-manager", &whole).await?;
    all_is_dealt_with(&scene).await?;
    let found = scene.target("a").await?;
    assert_eq!(found.data.unwrap_or_default()[KEY], "nothing at all");
    let writes = scene.target_writes(mark).await?;
    assert!(writes.iter().all(|it| it.namespace == scene.place("fence")), "{writes:#?}");

    // With the next content it is right again.
    scene.source(&["beta"]).await?;
    scene.holds("a", &["beta"]).await?;
    Ok(())
}

#[tokio::test]
async fn an_apply_under_our_own_name_that_drops_our_marks_is_mended() -> Result<()> {
    let scene = synced!("own-partial");
    let wanted = shape(&scene.target("a").await?)?;
    let partial = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": scene.name, "labels": {BUNDLE: scene.name}},
        "data": {KEY: "nothing", "other": "more"},
    });
    apply(&scene.maps("a"), &scene.name, "trust-manager", &partial).await?;
    is_mended(&scene, "a", "a partial apply", &wanted).await
}

#[tokio::test]
async fn an_apply_under_our_own_name_that_adds_a_key_is_mended() -> Result<()> {
    let scene = synced!("own-added");
    let target = scene.target("a").await?;
    let wanted = shape(&target)?;
    let mut whole = json!(target);
    whole["data"]["other"] = "more".into();
    for part in ["managedFields", "resourceVersion", "uid", "creationTimestamp"] {
        whole["metadata"].as_object_mut().unwrap().remove(part);
    }
    apply(&scene.maps("a"), &scene.name, "trust-manager", &whole).await?;
    is_mended(&scene, "a", "a key too many", &wanted).await
}

#[tokio::test]
async fn a_key_that_was_edited_under_our_own_name_goes_when_it_is_renamed() -> Result<()> {
    let scene = synced!("own-renamed");
    edit(&scene, "trust-manager", json!({"data": {KEY: "nothing"}})).await?;
    let mut spec = scene.spec();
    spec["target"]["configMap"]["key"] = "roots.pem".into();
    scene.bundle(spec).await?;
    scene
        .becomes("the old key is gone", "a", |target| {
            let data = target.data.clone().unwrap_or_default();
            ensure!(data.keys().eq(["roots.pem"]), "{:?}", data.keys());
            Ok(())
        })
        .await?;
    scene.says("True", "Synced").await?;
    Ok(())
}

#[tokio::test]
async fn what_others_add_stays() -> Result<()> {
    let scene = synced!("extended");
    scene.namespace("fence").await?;
    scene.holds("fence", &["alpha"]).await?;
    let mark = scene.mark().await?;
    let extended = edit(
        &scene,
        "tenant",
        json!({"metadata": {"labels": {"mine": "x"}, "annotations": {"mine": "y"}},
               "data": {"mine": "z"}}),
    )
    .await?;
    all_is_dealt_with(&scene).await?;
    let found = scene.target("a").await?;
    assert_eq!(found.metadata.resource_version, extended.metadata.resource_version);
    let writes = scene.target_writes(mark).await?;
    assert!(writes.iter().all(|it| it.namespace == scene.place("fence")), "{writes:#?}");
    scene.source(&["beta"]).await?;
    let found = scene.holds("a", &["beta"]).await;
    // `holds` asks for our key alone.
    let found = found?;
    assert_eq!(found.data.unwrap_or_default()["mine"], "z");
    assert_eq!(found.metadata.labels.unwrap_or_default()["mine"], "x");
    Ok(())
}

#[tokio::test]
async fn secrets_are_mended_shared_and_released_as_config_maps_are() -> Result<()> {
    let scene = scene!("secrets");
    scene.source(&["alpha"]).await?;
    for suffix in ["a", "b"] {
        scene.cluster.namespace(&scene.place(suffix), &[]).await?;
    }
    let theirs = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": scene.name},
        "type": "example.com/theirs", "stringData": {"theirs": "1"},
    });
    let before = apply(&scene.secrets("b"), &scene.name, "tenant", &theirs).await?;
    let mut spec = scene.spec();
    spec["target"] = json!({"secret": {"key": KEY}, "namespaceSelector": scene.selector()});
    scene.bundle(spec).await?;
    for suffix in ["a", "b"] {
        scene.namespace(suffix).await?;
        secret_holds(&scene, suffix, &["alpha"]).await?;
    }
    let own = scene.secrets("a").get(&scene.name).await?;
    assert_eq!(own.type_.as_deref(), Some("Opaque"));
    assert_eq!(own.metadata.owner_references.map(|owners| owners.len()), Some(1));
    let shared = scene.secrets("b").get(&scene.name).await?;
    assert_eq!(shared.metadata.owner_references, None);
    assert_eq!(shared.type_, before.type_);

    let broken = Patch::Merge(json!({"data": {KEY: "bm90aGluZw=="}}));
    let params = PatchParams { field_manager: Some("tenant".to_owned()), ..PatchParams::default() };
    scene.secrets("a").patch(&scene.name, &params, &broken).await?;
    secret_holds(&scene, "a", &["alpha"]).await?;
    scene.source(&["beta"]).await?;
    for suffix in ["a", "b"] {
        secret_holds(&scene, suffix, &["beta"]).await?;
        scene.cluster.namespace(&scene.place(suffix), &[]).await?;
    }
    eventually("ours is gone and theirs is theirs alone", SOON, async || {
        let left = scene.secrets("a").get_opt(&scene.name).await?.map(|it| it.metadata);
        ensure!(left.is_none(), "{left:?} is left");
        let now = scene.secrets("b").get(&scene.name).await?;
        let keys: Vec<_> = now.data.iter().flat_map(|data| data.keys()).collect();
        ensure!(keys == ["theirs"], "it has {keys:?}");
        ensure!(now.metadata.labels == before.metadata.labels, "{:?}", now.metadata.labels);
        Ok(())
    })
    .await
}

/// Waits until the Secret there holds exactly these certificates.
async fn secret_holds(scene: &Scene, suffix: &str, names: &[&str]) -> Result<()> {
    eventually(&format!("the Secret in `{suffix}` holds {names:?}"), SOON, async || {
        let data = scene.secrets(suffix).get(&scene.name).await?.data.unwrap_or_default();
        let held = data.get(KEY).map(|held| String::from_utf8_lossy(&held.0).into_owned());
        ensure!(held == Some(bundle(names)), "it holds {held:?}");
        Ok(())
    })
    .await
}
