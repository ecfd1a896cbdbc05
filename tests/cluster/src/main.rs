//! `cargo run -p cluster -- up`: the tests' Kubernetes, at one's desk.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use cluster::assets::{self, Assets};
use cluster::{Cluster, Options, TRUST_NAMESPACE};
use tokio::signal::unix::{SignalKind, signal};

/// A Kubernetes control plane without nodes, for tests and for development.
#[derive(Debug, Parser)]
#[command(disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build the control plane and the peer, where they are not there yet
    Build,
    /// Run a cluster until Ctrl-C, and print how to use it
    Up {
        /// Apply this folder with a kustomization, such as deploy/base
        #[arg(short = 'k', long, value_name = "DIR")]
        kustomize: Vec<PathBuf>,
        /// One more flag for kube-apiserver
        #[arg(long, value_name = "FLAG")]
        api_server_flag: Vec<String>,
        /// Leave out the kinds of deploy/crds
        #[arg(long)]
        without_crds: bool,
    },
}

fn main() -> Result<()> {
    match Cli::parse().verb {
        Verb::Build => assets::peer().and_then(|_| Assets::find()).map(drop),
        Verb::Up { kustomize, api_server_flag, without_crds } => {
            let options = Options {
                api_server_flags: api_server_flag,
                without_crds,
                without_controller_manager: false,
            };
            // Where there is nothing to run, it has said what to install.
            let Some(cluster) = Cluster::start(&options)? else { return Ok(()) };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(keep_up(&cluster, &kustomize))
        }
    }
}

async fn keep_up(cluster: &Cluster, kustomizations: &[PathBuf]) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    // Where deploy/base goes; in a cluster of one's own it is cert-manager's.
    cluster.namespace(TRUST_NAMESPACE, &[]).await?;
    let mut text = String::new();
    for folder in kustomizations {
        text += &cluster.apply(folder).await?;
    }
    text += &format!(
        "export KUBECONFIG={}\n# kubectl: {}\n# logs:    {}\n# the cluster runs until Ctrl-C\n",
        cluster.admin_kubeconfig().display(),
        cluster.kubectl_path().display(),
        cluster.folder().path().display(),
    );
    std::io::stdout().write_all(text.as_bytes()).context("cannot print how to use the cluster")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
