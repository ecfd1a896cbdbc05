//! That nothing is left of a cluster, in whatever way the process ends that started it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::assets::Assets;
use cluster::{Cluster, Options, eventually};
use rustix::process::{Pid, Signal, kill_process};

const SOON: Duration = Duration::from_secs(60);

/// The program ids whose command line names this folder.
fn programs_of(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // A process may end between the list and the look.
        let Ok(line) = std::fs::read(entry?.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&folder.display().to_string()) && !line.starts_with("sh -c") {
            found.push(line.split(' ').next().unwrap_or_default().to_owned());
        }
    }
    Ok(found)
}

async fn nothing_left(folder: &Path) -> Result<()> {
    eventually("nothing is left", SOON, async || {
        let programs = programs_of(folder)?;
        ensure!(programs.is_empty(), "{programs:?}");
        ensure!(!folder.exists(), "{}", folder.display());
        Ok(())
    })
    .await
}

/// `cluster up`, which the test must not leave behind either.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn up() -> Result<(Up, PathBuf)> {
    let child = Command::new(env!("CARGO_BIN_EXE_cluster"))
        .arg("up")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start `cluster up`")?;
    let mut up = Up(child);
    let output = up.0.stdout.take().context("no output")?;
    for line in BufReader::new(output).lines() {
        if let Some(folder) = line?.strip_prefix("# logs:    ") {
            return Ok((up, folder.into()));
        }
    }
    anyhow::bail!("`cluster up` ended without a word on its folder")
}

async fn ends_on(signal: Signal) -> Result<()> {
    if Assets::find()?.is_none() {
        return Ok(());
    }
    let (up, folder) = up()?;
    eventually("all of it runs", SOON, async || {
        let programs = programs_of(&folder)?;
        for name in ["etcd", "kube-apiserver", "kube-controller-manager"] {
            let runs = programs.iter().any(|program| program.ends_with(&format!("/{name}")));
            ensure!(runs, "{name} is not among {programs:?}");
        }
        Ok(())
    })
    .await?;
    let id = i32::try_from(up.0.id()).ok().and_then(Pid::from_raw).context("no process id")?;
    kill_process(id, signal)?;
    nothing_left(&folder).await
}

#[tokio::test]
async fn nothing_is_left_after_an_interrupt() -> Result<()> {
    ends_on(Signal::INT).await
}

#[tokio::test]
async fn nothing_is_left_after_a_kill() -> Result<()> {
    ends_on(Signal::KILL).await
}

#[tokio::test]
async fn nothing_is_left_after_a_panic() -> Result<()> {
    let Some(cluster) = Cluster::start(&Options::default())? else { return Ok(()) };
    let folder = cluster.folder().path().to_owned();
    let outcome = std::thread::spawn(move || {
        let _cluster = cluster;
        std::panic::resume_unwind(Box::new("a panic of the test"));
    })
    .join();
    ensure!(outcome.is_err(), "it did not panic");
    nothing_left(&folder).await
}
