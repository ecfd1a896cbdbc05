//! The default CA package as a file that may change: polled by content, the last good one stays.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use trustd_core::certificate::Sha256;
use trustd_core::world::DefaultCas;

use crate::exit::chain;
use crate::files::{self, Input};
use crate::settings;
use crate::telemetry::Metrics;

/// A change of the file.
#[derive(Debug)]
pub(super) enum PackageUpdate {
    /// The file holds this package now.
    Changed(DefaultCas),
    /// The file cannot be read, or holds no package, for this reason; the last good one stays.
    Unusable(String),
}

/// Polls the file and reports every change, good or bad, once.
pub(super) async fn poll(
    path: PathBuf,
    tell: mpsc::Sender<PackageUpdate>,
    metrics: Metrics,
    every: Duration,
) {
    let mut seen: Option<Sha256> = None;
    let mut unreadable = false;
    loop {
        let at = path.clone();
        let looked = tokio::task::spawn_blocking(move || files::read(&Input::Path(at))).await;
        let news = match looked {
            Ok(Ok(bytes)) => {
                let digest = Sha256::of(&bytes);
                // A file that was away and is back unchanged is news as well: it can be used again.
                let changed = seen.replace(digest) != Some(digest) || unreadable;
                unreadable = false;
                changed.then(|| match settings::default_package(&path, &bytes) {
                    Ok(package) => PackageUpdate::Changed(package),
                    Err(error) => PackageUpdate::Unusable(chain(&error)),
                })
            }
            Ok(Err(error)) if !unreadable => {
                unreadable = true;
                Some(PackageUpdate::Unusable(chain(&error)))
            }
            _ => None,
        };
        match &news {
            Some(PackageUpdate::Changed(package)) => {
                tracing::info!(package = %package.identity, "read the default CA package");
            }
            Some(PackageUpdate::Unusable(error)) => {
                metrics.package_failed();
                tracing::error!(
                    path = %path.display(), error,
                    "the default CA package cannot be used; the last good one stays"
                );
            }
            None => {}
        }
        if let Some(news) = news
            && tell.send(news).await.is_err()
        {
            return;
        }
        tokio::time::sleep(every).await;
    }
}

/// A package changes a few times a year; a minute is soon enough.
pub(super) const EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_told_once_whether_it_is_good_or_bad() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("package.json");
        let good = r#"{"name":"n","version":"1","bundle":""}"#;
        std::fs::write(&path, good).unwrap();
        let (tell, mut told) = mpsc::channel(1);
        let metrics = Metrics::new();
        let every = Duration::from_millis(1);
        let polling = tokio::spawn(poll(path.clone(), tell, metrics.clone(), every));
        let replace = |text: &str| {
            let other = folder.path().join("other");
            std::fs::write(&other, text).unwrap();
            std::fs::rename(&other, &path).unwrap();
        };
        let good_again = |news: Option<PackageUpdate>| {
            assert!(matches!(news, Some(PackageUpdate::Changed(_))), "{news:?}");
        };
        good_again(told.recv().await);
        replace("{}");
        let Some(PackageUpdate::Unusable(error)) = told.recv().await else { panic!("no fault") };
        assert_eq!(error, "`name` is missing or empty");
        replace(good);
        good_again(told.recv().await);
        std::fs::remove_file(&path).unwrap();
        let Some(PackageUpdate::Unusable(error)) = told.recv().await else { panic!("no fault") };
        assert!(error.contains("cannot read"), "{error}");
        replace(good);
        good_again(told.recv().await);
        assert!(metrics.text().contains("trustd_default_package_failures_total 2"));
        polling.abort();
    }
}
