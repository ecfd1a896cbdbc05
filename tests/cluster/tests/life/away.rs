//! The API server is away for longer than a lease lasts.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::fleet::{SIZE, metric};
use crate::lead::{SLOW, leads};

#[tokio::test]
async fn an_api_server_away_for_longer_than_the_renew_deadline_is_survived() -> Result<()> {
    let fleet = crate::turn!();
    let proxy = fleet.cluster.proxy()?;
    let trustd = fleet.candidate(&fleet.accounts[0].through(&proxy)?)?;
    leads(&trustd).await?;
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    let history = fleet.history().await?;
    proxy.delay(SLOW);
    let generation = fleet.rotate().await?;
    fleet.midst(generation).await?;
    fleet.cluster.stop_server();
    metric(&trustd, "trustd_leader", 0.0).await?;
    tokio::time::sleep(AWAY).await;
    ensure!(trustd.probe("/healthz").await?.status == 200, "it calls itself dead");
    fleet.cluster.start_server().await?;
    leads(&trustd).await?;
    fleet.all_hold(generation, &[]).await?;
    proxy.delay(Duration::ZERO);
    fleet.all_hold(fleet.rotate().await?, &[]).await?;
    fleet.counts([SIZE, SIZE, 0, 0]).await?;
    fleet.only_forward(history).await
}

/// How long the API server is away; the renew deadline has passed before it begins.
const AWAY: Duration = Duration::from_secs(30);
