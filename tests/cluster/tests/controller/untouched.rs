//! A Bundle that no test does anything to, while all of them go on around it. Tests run in the order of
//! their names: by the time of this one the minute is nearly over.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::scene::{self, Stage, UNTOUCHED, UNTOUCHED_NAMESPACES, bundles};

#[tokio::test]
async fn a_minute_in_which_nothing_happens_to_a_bundle_is_one_without_a_write() -> Result<()> {
    let Some(stage) = Stage::shared()? else { return Ok(()) };
    let (since, mark) = stage.untouched;
    tokio::time::sleep(MINUTE.saturating_sub(since.elapsed())).await;
    let mut writes = scene::writes(&stage.cluster, &stage.account.user(), mark).await?;
    writes.retain(|it| it.name == UNTOUCHED || it.namespace.starts_with(UNTOUCHED));
    assert_eq!(writes, []);
    let client = stage.cluster.admin().await?;
    let events = scene::events(&client, UNTOUCHED).await?;
    let reasons: Vec<&str> = events.iter().map(|(_, reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["Synced"]);
    let targets = bundles(&client).get(UNTOUCHED).await?.data["status"]["targets"].clone();
    let all = 2 * UNTOUCHED_NAMESPACES;
    assert_eq!(targets, json!({"desired": all, "synced": all, "failed": 0, "refused": 0}));
    Ok(())
}

const MINUTE: Duration = Duration::from_secs(60);
