//! That nothing is written which need not be.

use anyhow::{Context as _, Result, ensure};
use cluster::access::Account;
use cluster::audit::Event;
use cluster::{Controller, Turn, eventually};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::alone::alone;
use crate::fixtures::pem;
use crate::scene::{self, KEY, SOON, apply, bundles, says, synced};

#[tokio::test]
async fn one_apply_for_each_target_and_content() -> Result<()> {
    let scene = synced!("thrifty");
    for suffix in ["b", "c", "d"] {
        scene.namespace(suffix).await?;
    }
    for suffix in ["b", "c", "d"] {
        scene.holds(suffix, &["alpha"]).await?;
    }
    scene.counts(4, 4).await?;
    let mark = scene.mark().await?;
    scene.source(&["beta"]).await?;
    for suffix in ["a", "b", "c", "d"] {
        scene.holds(suffix, &["beta"]).await?;
    }
    scene.counts(4, 4).await?;
    let mut places: Vec<String> =
        scene.target_writes(mark).await?.into_iter().map(|write| write.namespace).collect();
    places.sort();
    assert_eq!(places, ["a", "b", "c", "d"].map(|suffix| scene.place(suffix)));

    // All of it came to these, each once, for the second `Synced` says what the first one said.
    eventually("the events", SOON, async || {
        let events = scene.events().await?;
        let mut reasons: Vec<&str> = events.iter().map(|(_, reason, _)| reason.as_str()).collect();
        reasons.sort_unstable();
        ensure!(reasons == ["RootAdded", "RootRemoved", "Synced"], "{events:#?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_does_not_matter_moves_nothing() -> Result<()> {
    let scene = synced!("calm");
    scene.counts(1, 1).await?;
    let mark = scene.mark().await?;
    let params = PatchParams { field_manager: Some("tenant".to_owned()), ..PatchParams::default() };
    let note = Patch::Merge(json!({"metadata": {"annotations": {"example.com/note": "x"}}}));
    scene.namespaces().patch(&scene.place("a"), &params, &note).await?;
    scene.bundles().patch(&scene.name, &params, &note).await?;
    scene.maps("a").patch(&scene.name, &params, &note).await?;
    // The same certificates in another text.
    let text = format!("# a comment\n{}\n\n{}", pem(&["alpha"]), pem(&["alpha"]));
    scene.source_of(json!({"data": {"ca.crt": text, "unread": "x"}})).await?;
    // What comes after all of that in every watch.
    scene.source(&["beta"]).await?;
    scene.holds("a", &["beta"]).await?;
    scene.counts(1, 1).await?;
    let writes = scene.target_writes(mark).await?;
    ensure!(writes.len() == 1, "{writes:#?}");
    Ok(())
}

#[tokio::test]
async fn a_label_on_one_of_many_namespaces_plans_its_own_targets_alone() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "base").await?;
    let mut places = Vec::new();
    for at in 0..20 {
        places.push(turn.namespace(&format!("n{at}"), &[("in", "yes")]).await?);
    }
    let last = turn.namespace("last", &[]).await?;
    for (name, label) in [("one", "in"), ("two", "in"), ("three", "out")] {
        let bundle = json!({
            "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
            "metadata": {"name": name},
            "spec": {"sources": [{"inLine": pem(&["alpha"])}], "target": {
                "configMap": {"key": KEY}, "namespaceSelector": {"matchLabels": {label: "yes"}},
            }},
        });
        apply(&bundles(&client), name, "tests", &bundle).await?;
    }
    let trustd = scene::start(cluster, &account, [])?;
    for name in ["one", "two", "three"] {
        says(&client, name, "True", "Synced").await?;
    }
    let planned = async || {
        let planned = trustd.metric("trustd_targets_planned_total", &[]).await?;
        planned.context("no such metric")
    };
    let before = planned().await?;
    let (key, value) = turn.label();
    cluster.namespace(&last, &[(key, &value), ("in", "yes")]).await?;
    for name in ["one", "two"] {
        eventually("the target", SOON, async || Ok(maps(&client, &last).get(name).await?)).await?;
    }
    // A ConfigMap and, to see whether there is one to clean up, a Secret for each Bundle.
    assert_eq!(planned().await? - before, 4.0);
    Ok(())
}

/// What trustd wrote since, its lease aside.
fn said(events: Vec<Event>) -> Vec<String> {
    let aside = |event: &Event| event.resource != "leases";
    events.into_iter().filter(aside).map(|event| event.to_string()).collect()
}

/// Waits until trustd leads and counts so many targets as synced, in all, and one as refused.
async fn is_settled(trustd: &Controller, targets: f64) -> Result<()> {
    trustd.ready(SOON).await?;
    eventually("trustd leads and finds all in sync", SOON, async || {
        let leader = trustd.metric("trustd_leader", &[]).await?;
        ensure!(leader == Some(1.0), "{leader:?} leader");
        let synced = trustd.metric("trustd_bundle_targets", &["state=\"synced\""]).await?;
        ensure!(synced == Some(targets), "{synced:?} synced");
        let refused = trustd.metric("trustd_bundle_targets", &["state=\"refused\""]).await?;
        ensure!(refused == Some(1.0), "{refused:?} refused");
        Ok(())
    })
    .await
}

/// Two Bundles in eight namespaces, in one of which a target is shared and in one refused: synced by a
/// trustd that has ended. Gives the namespaces.
async fn synced_cluster(turn: &Turn<'_>, account: &Account) -> Result<Vec<String>> {
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let mut places = Vec::new();
    for at in 0..8 {
        places.push(turn.namespace(&format!("n{at}"), &[]).await?);
    }
    let (key, value) = turn.label();
    for (at, data) in [(0, json!({"theirs": "1"})), (1, json!({KEY: "theirs"}))] {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mixed"}, "data": data,
        });
        apply(&maps(&client, &places[at]), "mixed", "tenant", &object).await?;
    }
    for name in ["mixed", "plain"] {
        let bundle = json!({
            "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
            "metadata": {"name": name},
            "spec": {
                "sources": [{"inLine": pem(&["alpha", "beta"])}],
                "target": {
                    "configMap": {"key": KEY, "metadata": {"labels": {"team": "trust"}}},
                    "namespaceSelector": {"matchLabels": {key: value}},
                },
            },
        });
        apply(&bundles(&client), name, "tests", &bundle).await?;
    }
    let trustd = scene::start(cluster, account, [])?;
    is_settled(&trustd, 15.0).await?;
    says(&client, "plain", "True", "Synced").await?;
    says(&client, "mixed", "False", "TargetRefused").await?;
    eventually("the counts are in the status", SOON, async || {
        let targets = bundles(&client).get("mixed").await?.data["status"]["targets"].clone();
        ensure!(targets["synced"] == 7 && targets["refused"] == 1, "{targets}");
        Ok(())
    })
    .await?;
    ensure!(trustd.terminate(SOON).await?.success(), "{}", trustd.process().end_of_log());
    Ok(places)
}

fn maps(client: &Client, place: &str) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), place)
}

#[tokio::test]
async fn a_restart_and_a_relist_over_a_synced_cluster_write_nothing() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "base").await?;
    let places = synced_cluster(&turn, &account).await?;

    let mark = scene::mark(cluster).await?;
    let proxy = cluster.proxy()?;
    let flags = ["--leader-election-namespace=cert-manager"];
    let binary = env!("CARGO_BIN_EXE_trustd");
    let trustd = Controller::trustd(cluster, binary, &account.through(&proxy)?, flags)?;
    is_settled(&trustd, 15.0).await?;
    // The refused one is asked for once, without force, as after every start.
    let probe = |line: &String| line.contains("force=false") && line.ends_with(": 409");
    let others = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| !probe(line)).collect()
    };
    let writes = said(scene::writes(cluster, &account.user(), mark).await?);
    assert_eq!(others(writes), Vec::<String>::new(), "after a restart");

    // A server that has forgotten where the watches were: everything is listed again.
    let mark = scene::mark(cluster).await?;
    let before = trustd.metric("trustd_targets_planned_total", &[]).await?;
    proxy.refuse();
    for (at, data) in [(0, json!({"theirs": "2"})), (1, json!({"more": "1"}))] {
        maps(&client, &places[at])
            .patch("mixed", &PatchParams::default(), &Patch::Merge(json!({"data": data})))
            .await?;
    }
    cluster.compact().await?;
    cluster.stop_server();
    cluster.start_server().await?;
    proxy.unblock();
    eventually("the watch of targets is back", SOON, async || {
        let planned = trustd.metric("trustd_targets_planned_total", &[]).await?;
        ensure!(planned > before, "{planned:?} planned, {before:?} before");
        Ok(())
    })
    .await?;
    is_settled(&trustd, 15.0).await?;
    let writes = said(scene::writes(cluster, &account.user(), mark).await?);
    assert_eq!(others(writes), Vec::<String>::new(), "after a relist");
    Ok(())
}
