//! Over a fleet in which nothing is to be done nothing is written, and a small change is little work.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::eventually;
use kube::api::DeleteParams;
use serde_json::json;

use crate::faults::{label, manager, target};
use crate::fleet::{SIZE, SOON, bundles, counts, metric};

#[tokio::test]
async fn a_minute_in_which_nothing_happens_sees_no_write_but_the_lease_s() -> Result<()> {
    let fleet = crate::turn!();
    let trustd = fleet.candidate(fleet.accounts[0].kubeconfig())?;
    metric(&trustd, "trustd_leader", 1.0).await?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    fleet.counts([SIZE, SIZE, 0, 0]).await?;
    let mark = fleet.cluster.mark().await?;
    tokio::time::sleep(MINUTE).await;
    let mut writes = fleet.cluster.writes_of(&fleet.accounts[0].user(), mark).await?;
    let renewals = writes.len();
    writes.retain(|event| event.resource != "leases");
    ensure!(writes.is_empty(), "{writes:#?}");
    ensure!(renewals > 0, "it did not even renew its lease");
    metric(&trustd, "trustd_leader", 1.0).await
}

#[tokio::test]
async fn a_label_on_one_of_500_namespaces_plans_its_own_targets_alone() -> Result<()> {
    let fleet = crate::turn!();
    let trustd = fleet.trustd(fleet.accounts[0].kubeconfig())?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    for (name, key) in [("some", "some"), ("others", "others")] {
        let bundle = json!({
            "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
            "metadata": {"name": name},
            "spec": {
                "sources": [{"configMap": {"name": "fleet-source", "key": "ca.crt"}}],
                "target": {
                    "configMap": {"key": "ca.crt"},
                    "namespaceSelector": {"matchLabels": {key: "yes"}},
                },
            },
        });
        let bundle = kube::api::Patch::Apply(bundle);
        bundles(&fleet.client).patch(name, &manager(), &bundle).await?;
        counts(&fleet.client, name, [0, 0, 0, 0]).await?;
    }
    let planned = async || {
        let planned = trustd.metric("trustd_targets_planned_total", &[]).await?;
        planned.context("no such metric")
    };
    let before = planned().await?;
    label(&fleet, 7, json!({"some": "yes"})).await?;
    eventually("its target", SOON, async || Ok(target(&fleet, 7).get("some").await?)).await?;
    let after = planned().await?;
    // Of two Bundles that it may have entered or left, and the third that it stays in, each with a
    // ConfigMap and, to see whether there is one to clean up, a Secret.
    ensure!(after - before <= 6.0, "{} targets were planned", after - before);
    label(&fleet, 7, json!({"some": null})).await?;
    for name in ["some", "others"] {
        bundles(&fleet.client).delete(name, &DeleteParams::default()).await?;
    }
    Ok(())
}

const MINUTE: Duration = Duration::from_secs(60);
