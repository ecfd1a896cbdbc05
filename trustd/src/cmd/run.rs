//! `trustd run`: from flags to a running controller.

mod connect;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};
use trustd_core::bundle::Filters;
use trustd_core::names::Namespace;
use trustd_core::world::Settings;

use super::offline::{Loaded, Location};
use super::{Answer, Env, diff};
use crate::cli::{LogFormat, Output, Planning, Run};
use crate::controller::{self, ClusterSnapshot, Election, Options, WatchLimits};
use crate::exit::{Exit, Hint as _};
use crate::files::{self, Input};
use crate::settings;
use crate::telemetry::{Format, Stream, start_log};

pub(super) fn run(arguments: &Run, env: &Env) -> anyhow::Result<Answer> {
    let format = match arguments.telling.log_format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    };
    let stream = if arguments.dry_run { Stream::Stderr } else { Stream::Stdout };
    start_log(format, arguments.telling.log_level, stream);
    let ignored = arguments.webhook.given();
    if !ignored.is_empty() {
        let flags = ignored.join(" ");
        tracing::warn!(
            flags,
            "trustd has no webhook: the CRD itself checks Bundles; flags ignored"
        );
    }
    let options = options(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let config = connect::config(&arguments.connection).await?;
        let connections = controller::connect(config).context("cannot set up the connections")?;
        if arguments.dry_run {
            let preview = controller::snapshot(connections.work, options.settings).await?;
            return show(preview, env);
        }
        let stop = stop().context("cannot listen for signals")?;
        controller::run(connections, options, stop).await?;
        Ok(Answer { text: String::new(), exit: Exit::Fine })
    })
}

/// Shows what a run would change.
fn show(preview: ClusterSnapshot, env: &Env) -> anyhow::Result<Answer> {
    let ClusterSnapshot { world, shown, specs, invalid } = preview;
    let invalid = invalid.into_iter().map(|invalid| (Location::cluster(), invalid)).collect();
    let loaded = Loaded { world, specs, invalid, ..Loaded::default() };
    let form = diff::Form { output: Output::Table, strict: false };
    diff::show(&loaded, &shown, form, env)
}

/// Resolves the flags; everything that can be wrong with them is found here.
fn options(arguments: &Run) -> anyhow::Result<Options> {
    let (settings, package) = planning(&arguments.planning)?;
    let path = &arguments.telling.readiness_probe_path;
    if !path.starts_with('/') {
        bail!("--readiness-probe-path `{path}` must begin with `/`");
    }
    let (health, metrics) =
        (arguments.telling.readiness_probe_port, arguments.telling.metrics_port);
    if health == metrics && health != 0 {
        bail!("--readiness-probe-port and --metrics-port are both {health}; choose two ports");
    }
    Ok(Options {
        settings,
        package,
        write_concurrency: arguments.write_concurrency,
        election: election(arguments)?,
        health_port: health,
        readiness_path: path.clone(),
        metrics_port: metrics,
        identity: identity(),
        watches: WatchLimits {
            silence: arguments.telling.watch_silence_max,
            unsynced: arguments.telling.watch_unsynced_max,
        },
    })
}

fn planning(flags: &Planning) -> anyhow::Result<(Settings, Option<PathBuf>)> {
    let package = Some(&flags.default_package_location).filter(|p| !p.as_os_str().is_empty());
    let default_cas = match package {
        None => None,
        Some(path) => {
            let bytes = files::read(&Input::Path(path.clone()))?;
            let read = settings::default_package(path, &bytes)
                .with_context(|| format!("cannot use default CA package `{}`", path.display()))?;
            Some(read)
        }
    };
    let namespaces = flags.target_namespaces.iter().filter(|namespace| !namespace.is_empty());
    let settings = Settings {
        trust_namespace: flags.trust_namespace.as_str().into(),
        target_namespaces: namespaces.map(|name| Namespace::from(name.as_str())).collect(),
        secret_targets: flags.secret_targets_enabled,
        filters: Filters {
            expired: flags.filter_expired_certificates,
            non_ca: flags.filter_non_ca_certs,
        },
        default_cas,
    };
    Ok((settings, package.cloned()))
}

fn election(arguments: &Run) -> anyhow::Result<Option<Election>> {
    let flags = &arguments.election;
    if !flags.leader_elect || arguments.dry_run {
        return Ok(None);
    }
    let (duration, renew_deadline) =
        (flags.leader_election_lease_duration, flags.leader_election_renew_deadline);
    if duration.subsec_nanos() != 0 || duration.is_zero() {
        bail!("--leader-election-lease-duration must be whole seconds, as the Lease counts them");
    }
    if renew_deadline >= duration {
        bail!(
            "--leader-election-lease-duration must be longer than --leader-election-renew-deadline"
        );
    }
    if duration <= WRITE_LIMIT {
        bail!(
            "--leader-election-lease-duration must be longer than the {} s that a write may take",
            WRITE_LIMIT.as_secs()
        );
    }
    let namespace = match &flags.leader_election_namespace {
        Some(namespace) => namespace.clone(),
        None => std::fs::read_to_string(POD_NAMESPACE)
            .with_context(|| format!("cannot find the namespace of the Lease in `{POD_NAMESPACE}`"))
            .hint(
                "outside of a cluster give --leader-election-namespace, or --leader-elect=false if \
                 no other trustd or trust-manager runs",
            )?
            .trim()
            .to_owned(),
    };
    Ok(Some(Election { namespace, duration, renew_deadline }))
}

/// Host name and a random part, as client-go's leaders call themselves.
fn identity() -> String {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy().into_owned();
    format!("{host}_{}", controller::random_word())
}

/// Done at the first SIGTERM or SIGINT.
fn stop() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The file in which a Pod finds the name of its namespace.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The same as `controller::write::WRITE_TIMEOUT`: a shorter lease would allow no write at all.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Watching and writing is waiting; TLS of large bodies is what takes CPU.
const WORKERS: usize = 2;
