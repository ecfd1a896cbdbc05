//! `fanout`: how fast, and with how much CPU time and memory, one changed CA reaches many namespaces.
//!
//! Three runners, by turns on the same control plane: trustd, the peer (trust-manager), and a bare loop
//! that applies the bodies which trustd applied, with the same parallelism and nothing around it. It
//! starts everything itself, on loopback. It judges nothing: rates differ between machines, and only
//! ratios of one run are worth quoting.

mod gauge;
mod run;
mod stage;
mod table;

use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;

use run::Runners;
use stage::Stage;

/// Side by side: trustd, trust-manager and a bare loop write one Bundle into many namespaces.
#[derive(Debug, Parser)]
struct Cli {
    /// The trustd to measure, a release build [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    trustd: Option<PathBuf>,
    /// The trust-manager to measure [default: the pinned version, built once with Go]
    #[arg(long, value_name = "FILE")]
    peer: Option<PathBuf>,
    /// Leave trust-manager out
    #[arg(long, conflicts_with = "peer")]
    without_peer: bool,
    /// Namespaces and certificates, such as 500x144; may be given several times
    #[arg(long = "size", value_name = "NxM", default_values = ["500x1", "2000x1", "500x144"])]
    sizes: Vec<Size>,
    /// PEM file that certificates beyond the first are taken from
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    roots: PathBuf,
    /// Rotations by trustd and the bare loop, of which the medians are shown
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Writes in flight
    #[arg(long, value_name = "N", default_value_t = 32)]
    parallel: usize,
    /// Seconds after which trust-manager is stopped; what it did until then is extrapolated
    #[arg(long, value_name = "S", default_value_t = 60)]
    peer_seconds: u64,
    /// Print JSON instead of a Markdown table
    #[arg(long)]
    json: bool,
}

/// How large a Bundle is distributed how far.
#[derive(Clone, Copy, Debug)]
struct Size {
    namespaces: usize,
    certificates: usize,
}

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (namespaces, certificates) =
            text.split_once('x').context("write it as namespaces x certificates: 500x144")?;
        let size = Self { namespaces: namespaces.parse()?, certificates: certificates.parse()? };
        if size.namespaces == 0 || size.certificates == 0 {
            bail!("there must be a namespace and a certificate");
        }
        Ok(size)
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let runners = Runners { trustd: trustd(&cli)?, peer: peer(&cli)? };
    // As many threads as trustd has: the bare loop runs in this process.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let rows = runtime.block_on(async {
        let mut rows = Vec::new();
        for size in &cli.sizes {
            // Nothing to run it on: it has been said what to install.
            let Some(stage) = Stage::set(*size, &cli.roots).await? else { break };
            let how = run::How {
                parallel: cli.parallel,
                rounds: cli.rounds,
                peer_limit: Duration::from_secs(cli.peer_seconds),
            };
            rows.extend(run::all(&stage, &runners, &how).await?);
        }
        anyhow::Ok(rows)
    })?;
    let text = if cli.json { table::json(&rows)? } else { table::markdown(&rows) };
    std::io::stdout().write_all(text.as_bytes()).context("cannot print the results")
}

fn trustd(cli: &Cli) -> Result<PathBuf> {
    let path = match &cli.trustd {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("trustd"),
    };
    ensure!(
        path.is_file(),
        "there is no `{}`: run `cargo build --release -p trustd`, or give --trustd",
        path.display()
    );
    Ok(path)
}

fn peer(cli: &Cli) -> Result<Option<PathBuf>> {
    match &cli.peer {
        _ if cli.without_peer => Ok(None),
        Some(path) => Ok(Some(path.clone())),
        None => cluster::assets::peer(),
    }
}

/// Progress, for whoever waits.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
