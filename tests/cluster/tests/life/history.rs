//! Every version of every target, in order: the witness that none goes back to older content.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};

/// Watches targets from its start to its end, and goes on from where it was when a watch ends. A server
/// that was started again may not remember so much: then it looks anew at what is there.
pub(crate) struct History {
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// What each namespace's target has held, one after the other.
    held: BTreeMap<String, Vec<String>>,
    version: String,
}

impl History {
    /// Begins with what is there now. `key` is the data key to look at.
    pub(crate) async fn begin(client: Client, selector: &str, key: &'static str) -> Result<Self> {
        let maps = Api::<ConfigMap>::all(client);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        look(&maps, selector, key, &shared).await?;
        let selector = selector.to_owned();
        let task = tokio::spawn(async move {
            let params = WatchParams::default().labels(&selector).timeout(290);
            loop {
                let version = shared.lock().unwrap().version.clone();
                if let Err(error) = follow(&maps, &params, &version, key, &shared).await {
                    if matches!(&error, kube::Error::Api(status) if status.code == 410) {
                        let _ = look(&maps, &selector, key, &shared).await;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
        Ok(Self { seen, task })
    }

    /// Fails unless each target only ever went forward through `order`. Versions up to `version` are
    /// waited for, so that none is overlooked.
    pub(crate) async fn only_forward(self, order: &[String], version: &str) -> Result<()> {
        let wanted: u64 = version.parse()?;
        cluster::eventually("all versions are seen", Duration::from_secs(60), async || {
            let seen = self.seen.lock().unwrap();
            let is: u64 = seen.version.parse()?;
            ensure!(is >= wanted, "seen up to {is} of {wanted}");
            Ok(())
        })
        .await?;
        let seen = self.seen.lock().unwrap();
        for (namespace, held) in &seen.held {
            let steps: Vec<usize> = held
                .iter()
                .map(|text| order.iter().position(|known| known == text))
                .collect::<Option<_>>()
                .ok_or_else(|| anyhow::anyhow!("{namespace} held something unknown: {held:?}"))?;
            if !steps.is_sorted() {
                bail!("the target in {namespace} went through generations {steps:?}");
            }
        }
        Ok(())
    }
}

impl Seen {
    fn note(&mut self, target: &ConfigMap, key: &str) {
        let held = target.data.as_ref().and_then(|data| data.get(key));
        if let Some(held) = held {
            let all = self.held.entry(target.namespace().unwrap_or_default()).or_default();
            let held = normal(held);
            if all.last() != Some(&held) {
                all.push(held);
            }
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(
    maps: &Api<ConfigMap>,
    selector: &str,
    key: &str,
    shared: &Mutex<Seen>,
) -> kube::Result<()> {
    let now = maps.list(&ListParams::default().labels(selector)).await?;
    let mut seen = shared.lock().unwrap();
    seen.version = now.metadata.resource_version.unwrap_or_default();
    for target in &now.items {
        seen.note(target, key);
    }
    Ok(())
}

async fn follow(
    maps: &Api<ConfigMap>,
    params: &WatchParams,
    version: &str,
    key: &str,
    shared: &Mutex<Seen>,
) -> kube::Result<()> {
    let mut events = std::pin::pin!(maps.watch(params, version).await?);
    while let Some(event) = events.try_next().await? {
        let mut seen = shared.lock().unwrap();
        match event {
            WatchEvent::Added(target)
            | WatchEvent::Modified(target)
            | WatchEvent::Deleted(target) => {
                seen.version = target.resource_version().unwrap_or_default();
                seen.note(&target, key);
            }
            WatchEvent::Bookmark(bookmark) => seen.version = bookmark.metadata.resource_version,
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        }
    }
    Ok(())
}

/// PEM without what line ends make different.
pub(crate) fn normal(pem: &str) -> String {
    pem.split_whitespace().collect()
}
