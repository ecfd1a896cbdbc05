//! Leadership: one writes, another takes over, and whoever lost the lease writes nothing more.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::audit::Event;
use cluster::process::Signal;
use cluster::{Controller, TRUST_NAMESPACE, eventually};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::fleet::{Fleet, LEASE, SIZE, SOON, metric, name};

/// So slow that a fan-out takes some seconds.
pub(crate) const SLOW: Duration = Duration::from_millis(80);

pub(crate) async fn leads(controller: &Controller) -> Result<()> {
    metric(controller, "trustd_leader", 1.0).await
}

/// One that leads, through a slow line, and one that waits.
async fn two(fleet: &Fleet) -> Result<(cluster::proxy::Proxy, Controller, Controller)> {
    let proxy = fleet.cluster.proxy()?;
    let first = fleet.candidate(&fleet.accounts[0].through(&proxy)?)?;
    leads(&first).await?;
    let second = fleet.candidate(fleet.accounts[1].kubeconfig())?;
    second.ready(SOON).await?;
    ensure!(second.metric("trustd_leader", &[]).await? == Some(0.0), "two lead");
    Ok((proxy, first, second))
}

#[tokio::test]
async fn another_takes_over_from_a_leader_that_was_killed_in_the_midst() -> Result<()> {
    let fleet = crate::turn!();
    let (proxy, first, second) = two(&fleet).await?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    let history = fleet.history().await?;
    let mark = fleet.cluster.mark().await?;
    proxy.delay(SLOW);
    let generation = fleet.rotate().await?;
    fleet.midst(generation).await?;
    first.kill();
    leads(&second).await?;
    fleet.all_hold(generation, &[]).await?;
    fleet.counts([SIZE, SIZE, 0, 0]).await?;
    fleet.only_forward(history).await?;
    let writes = fleet.writes(&fleet.accounts[1], mark).await?;
    let targets = writes.iter().filter(|event| event.resource == "configmaps").count();
    ensure!((1..SIZE).contains(&targets), "the second wrote {targets}: not what was left over");
    Ok(())
}

#[tokio::test]
async fn a_leader_that_was_stopped_past_its_lease_writes_nothing_more() -> Result<()> {
    let fleet = crate::turn!();
    let (proxy, first, second) = two(&fleet).await?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    let history = fleet.history().await?;
    proxy.delay(SLOW);
    let generation = fleet.rotate().await?;
    fleet.midst(generation).await?;
    first.signal(Signal::STOP)?;
    leads(&second).await?;
    fleet.all_hold(generation, &[]).await?;
    let generation = fleet.rotate().await?;
    fleet.all_hold(generation, &[]).await?;

    let mark = fleet.cluster.mark().await?;
    first.signal(Signal::CONT)?;
    metric(&first, "trustd_leader", 0.0).await?;
    // It has seen the newest content, and would have written if it wrote at all.
    let generation = fleet.rotate().await?;
    fleet.all_hold(generation, &[]).await?;
    // What had passed its last check when the process was stopped is sent when it goes on, and runs
    // into the version that it carries.
    let mut writes = fleet.writes(&fleet.accounts[0], mark).await?;
    writes.retain(|event| event.code != 409);
    ensure!(writes.is_empty(), "the old leader wrote {writes:?}");

    // It is no worse for it: when the second gives the lease back, it leads again.
    proxy.delay(Duration::ZERO);
    ensure!(second.terminate(SOON).await?.success(), "the second did not end well");
    leads(&first).await?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    fleet.only_forward(history).await
}

#[tokio::test]
async fn a_stolen_lease_ends_writes_until_it_is_won_back() -> Result<()> {
    let fleet = crate::turn!();
    let trustd = fleet.candidate(fleet.accounts[0].kubeconfig())?;
    leads(&trustd).await?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    let mark = fleet.cluster.mark().await?;
    let leases = Api::<Lease>::namespaced(fleet.client.clone(), TRUST_NAMESPACE);
    let theft = json!({"spec": {"holderIdentity": "a thief", "leaseDurationSeconds": 1}});
    leases.patch(LEASE, &PatchParams::default(), &Patch::Merge(theft)).await?;
    eventually("the loss is noticed", SOON, async || {
        let log = trustd.process().log();
        ensure!(log.contains("is no longer the leader"), "it is not");
        Ok(())
    })
    .await?;
    let generation = fleet.rotate().await?;
    leads(&trustd).await?;
    fleet.all_hold(generation, &[]).await?;
    trustd.process().must_run()?;

    // From the theft to the claim that won the lease back there is no write.
    let events = fleet.cluster.writes_of(&fleet.accounts[0].user(), mark).await?;
    let won = events.iter().position(|event| event.resource == "leases" && event.code == 200);
    let won = won.unwrap_or(events.len());
    let claimed = &events[won].received;
    let early: Vec<&Event> = events
        .iter()
        .filter(|event| event.resource == "configmaps" && event.received < *claimed)
        .collect();
    ensure!(early.is_empty(), "without the lease it wrote {early:?}");
    Ok(())
}

#[tokio::test]
async fn at_the_end_writes_are_finished_and_the_lease_is_given_back() -> Result<()> {
    let fleet = crate::turn!();
    let proxy = fleet.cluster.proxy()?;
    let trustd = fleet.candidate(&fleet.accounts[0].through(&proxy)?)?;
    leads(&trustd).await?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    let hook = crate::faults::hang(&fleet, &[0]).await?;
    let asked = hook.asked();
    proxy.delay(SLOW);
    let mark = fleet.cluster.mark().await?;
    let generation = fleet.rotate().await?;
    eventually("a write is held up by the webhook", SOON, async || {
        ensure!(hook.asked() > asked, "it is not");
        Ok(())
    })
    .await?;
    trustd.signal(Signal::TERM)?;
    eventually("it is on its way out", SOON, async || {
        let log = trustd.process().log();
        ensure!(log.contains("finishes the writes in flight"), "it is not");
        Ok(())
    })
    .await?;
    // The server drops a write whose sender has gone, once it has heard of that: this one lands only if
    // it is waited for.
    tokio::time::sleep(Duration::from_millis(500)).await;
    hook.release();
    let status = trustd.process().wait(SOON).await?;
    ensure!(status.code() == Some(0), "{status}: {}", trustd.process().end_of_log());
    ensure!(fleet.held().await?.get(&name(0)) == Some(&generation), "a write was not finished");

    let leases = Api::<Lease>::namespaced(fleet.client.clone(), TRUST_NAMESPACE);
    let lease = leases.get(LEASE).await?.spec.unwrap_or_default();
    ensure!(lease.holder_identity.as_deref() == Some(""), "{lease:?}");
    let events = fleet.cluster.writes_of(&fleet.accounts[0].user(), mark).await?;
    let writes: Vec<&Event> = events.iter().filter(|event| event.verb == "patch").collect();
    let cut_short: Vec<_> = writes.iter().filter(|event| event.code != 200).collect();
    ensure!(cut_short.is_empty(), "{cut_short:?}");
    let targets = writes.iter().filter(|event| event.resource == "configmaps").count();
    ensure!(targets < SIZE, "the fan-out was over before the end");
    let released = events.iter().rfind(|event| event.resource == "leases");
    let released = &released.ok_or_else(|| anyhow::anyhow!("the lease was not written"))?.received;
    let late: Vec<_> = events.iter().filter(|event| event.reached > *released).skip(1).collect();
    ensure!(late.is_empty(), "after the release there was {late:?}");
    Ok(())
}
