//! The default CA package as a file that may change: polled by content, the last good one stays.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use trustd_core::certificate::Sha256;
use trustd_core::world::DefaultCas;

use crate::files::{self, Input};
use crate::settings;
use crate::telemetry::Metrics;

/// Looks at the file every now and then and tells of every good change.
pub(super) async fn poll(
    path: PathBuf,
    tell: mpsc::Sender<DefaultCas>,
    metrics: Metrics,
    every: Duration,
) {
    let mut seen: Option<Sha256> = None;
    let mut complained = false;
    loop {
        let at = path.clone();
        let looked = tokio::task::spawn_blocking(move || files::read(&Input::Path(at))).await;
        match looked {
            Ok(Ok(bytes)) => {
                let digest = Sha256::of(&bytes);
                if seen.replace(digest) != Some(digest) {
                    match settings::default_package(&path, &bytes) {
                        Ok(package) => {
                            tracing::info!(package = %package.identity, "read the default CA package");
                            if tell.send(package).await.is_err() {
                                return;
                            }
                        }
                        Err(error) => {
                            metrics.package_failed();
                            tracing::error!(
                                path = %path.display(), error = crate::exit::chain(&error),
                                "the default CA package has changed and cannot be used; the last \
                                 good one stays"
                            );
                        }
                    }
                }
                complained = false;
            }
            Ok(Err(error)) if !complained => {
                complained = true;
                metrics.package_failed();
                tracing::error!(
                    error = crate::exit::chain(&error),
                    "the default CA package cannot be read"
                );
            }
            _ => {}
        }
        tokio::time::sleep(every).await;
    }
}

/// A package changes a few times a year; a minute is soon enough.
pub(super) const EVERY: Duration = Duration::from_secs(60);
