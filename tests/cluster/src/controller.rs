//! A controller under test: trustd, or the peer, as a program with an account and ports of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::http::{self, Answer};
use crate::process::{Process, Program, Signal};
use crate::{eventually, ports};

/// A running controller. Dropping it kills it, and shows the end of its log when a test panics.
#[derive(Debug)]
pub struct Controller {
    process: Process,
    health_port: u16,
    metrics_port: u16,
}

static STARTED: AtomicU32 = AtomicU32::new(0);

impl Controller {
    /// Starts `trustd run` with this kubeconfig and these flags.
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn trustd<S: Into<OsString>>(
        cluster: &Cluster,
        binary: impl Into<PathBuf>,
        kubeconfig: &Path,
        flags: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let program = Program::new("trustd", binary).arg("run");
        Self::start(cluster, program, kubeconfig, flags)
    }

    /// Starts the peer with this kubeconfig and these flags. It gets a certificate for its webhook,
    /// which nobody calls.
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn peer<S: Into<OsString>>(
        cluster: &Cluster,
        binary: impl Into<PathBuf>,
        kubeconfig: &Path,
        flags: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let identity = cluster.plane().authority().server("peer")?;
        cluster.folder().write("peer-webhook/tls.crt", &identity.certificate)?;
        cluster.folder().write("peer-webhook/tls.key", &identity.key)?;
        let certificates = cluster.folder().join("peer-webhook");
        let program = Program::new("trust-manager", binary).args([
            "--webhook-host=127.0.0.1".to_owned(),
            format!("--webhook-port={}", ports::free()?),
            format!("--webhook-certificate-dir={}", certificates.display()),
        ]);
        Self::start(cluster, program, kubeconfig, flags)
    }

    fn start<S: Into<OsString>>(
        cluster: &Cluster,
        program: Program,
        kubeconfig: &Path,
        flags: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let (health_port, metrics_port) = (ports::free()?, ports::free()?);
        let program = program
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args([
                format!("--readiness-probe-port={health_port}"),
                format!("--metrics-port={metrics_port}"),
            ])
            .args(flags);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let process = program.start(cluster.folder().join(format!("controller-{number}.log")))?;
        Ok(Self { process, health_port, metrics_port })
    }

    /// Waits until its readiness probe is content.
    ///
    /// # Errors
    /// Fails when it ends or is not ready in time, with the end of its log.
    pub async fn ready(&self, limit: Duration) -> Result<()> {
        let name = self.process.name();
        eventually(&format!("{name} is ready"), limit, async || {
            let answer = self.probe("/readyz").await?;
            ensure!(answer.status == 200, "it says {}: {}", answer.status, answer.body);
            Ok(())
        })
        .await
        .with_context(|| format!("the end of the log of {name}:\n{}", self.process.end_of_log()))
    }

    /// Asks its health port for `/healthz` or `/readyz`.
    ///
    /// # Errors
    /// Fails when it has ended or does not answer.
    pub async fn probe(&self, path: &str) -> Result<Answer> {
        self.process.must_run()?;
        http::get(self.health_port, path).await
    }

    /// Its metrics, as text.
    ///
    /// # Errors
    /// Fails when it has ended or does not answer.
    pub async fn metrics(&self) -> Result<String> {
        self.process.must_run()?;
        let answer = http::get(self.metrics_port, "/metrics").await?;
        ensure!(answer.status == 200, "the metrics say {}: {}", answer.status, answer.body);
        Ok(answer.body)
    }

    /// The sum of all series of a metric whose labels hold all of these (`bundle="b"`); nothing when
    /// there is none.
    ///
    /// # Errors
    /// Fails when it has ended or does not answer.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<Option<f64>> {
        Ok(sum_of(&self.metrics().await?, name, labels))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// Fails when it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// Fails when it still runs after `limit`.
    pub async fn terminate(&self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.process.wait(limit).await
    }

    /// Kills it.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// The process: its id, its log, its end.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn sum_of(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut sum = None;
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let (series, value) = match rest.split_once('}') {
            Some((series, value)) if series.starts_with('{') => (series, value),
            _ if rest.starts_with(' ') => ("", rest),
            _ => continue,
        };
        if labels.iter().all(|label| series.contains(label)) {
            let value = value.split_whitespace().next().and_then(|value| value.parse().ok());
            sum = Some(sum.unwrap_or(0.0) + value.unwrap_or(0.0));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_the_sum_of_its_series() {
        let text = "# HELP w writes\nw_total{verb=\"apply\",kind=\"ConfigMap\"} 3\n\
                    w_total{verb=\"delete\",kind=\"ConfigMap\"} 1 17.5\nw_total_created 9\nup 1\n";
        assert_eq!(sum_of(text, "w_total", &[]), Some(4.0));
        assert_eq!(sum_of(text, "w_total", &["verb=\"apply\"", "kind="]), Some(3.0));
        assert_eq!(sum_of(text, "w_total", &["verb=\"get\""]), None);
        assert_eq!(sum_of(text, "up", &[]), Some(1.0));
        assert_eq!(sum_of(text, "w", &[]), None);
    }
}
