//! Syntax of `tlsbench search`.

use std::path::PathBuf;

use clap::Args;
use tlsbench_core::lab::EngineName;
use tlsbench_core::scenario::{Draft, KeyKind, LoadDraft, TargetDraft};
use tlsbench_core::units::Nanos;

use super::{OutputArg, run};
use crate::settings;

/// The goal of a search, and the endpoints or placements to search.
#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// The limit of the 99th percentile, counted from when an operation should have begun.
    #[arg(long, value_name = "TIME", default_value = "100ms")]
    p99: Nanos,

    /// The first rate, per second; 10 where a target is not on this machine or in a private
    /// network.
    #[arg(long, value_name = "PER SECOND", value_parser = rate)]
    start: Option<f64>,

    /// The highest rate that may be asked for, per second; has to be said where a target is not on
    /// this machine or in a private network [default: 1000000].
    #[arg(long, value_name = "PER SECOND", value_parser = rate)]
    max_rate: Option<f64>,

    /// The length of a trial.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    trial: Nanos,

    /// The length of the trial that confirms the result.
    #[arg(long, value_name = "TIME", default_value = "15s")]
    confirm: Nanos,

    /// The largest distance between the ends of the result, in percent of the lower one.
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    resolution: u32,

    /// The form of the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputArg,

    #[command(flatten)]
    endpoints: EndpointArgs,

    #[command(flatten, next_help_heading = "Placements, where no endpoint is named")]
    placements: TrialPlacementArgs,
}

impl SearchArgs {
    pub(super) fn settings(&self) -> settings::SearchSettings {
        let mut run = self.endpoints.settings();
        run.lab = self.placements.settings();
        run.output = self.output.into();
        settings::SearchSettings {
            run,
            p99: self.p99,
            start: self.start,
            max_rate: self.max_rate,
            trial: self.trial,
            confirm: self.confirm,
            resolution: f64::from(self.resolution) / 100.0,
        }
    }
}

/// Endpoints, and how connections are made to them: flags that a search of rates has as well.
#[derive(Args, Clone, Debug)]
struct EndpointArgs {
    /// An endpoint: `NAME=https://host:port/path`, or the URL alone; each is searched by itself.
    #[arg(long = "target", value_name = "NAME=URL", value_parser = run::target)]
    targets: Vec<TargetDraft>,

    /// A scenario file (TOML), of endpoints or of placements; flags win over it, and its load and
    /// times do not count.
    #[arg(short = 'c', long, value_name = "FILE.toml")]
    scenario: Option<PathBuf>,

    /// Keep connections, so that it is requests that arrive.
    #[arg(short, long)]
    keep_alive: bool,

    /// Requests on each connection before it is closed [default: 1].
    #[arg(long, value_name = "NUMBER", conflicts_with = "keep_alive")]
    requests_per_connection: Option<u64>,

    /// Most connections at a time [default: 1000; 64 with --keep-alive].
    #[arg(long, value_name = "NUMBER")]
    pool: Option<u32>,

    #[command(flatten, next_help_heading = "Connections")]
    connections: run::ConnectionArgs,

    #[command(flatten, next_help_heading = "TLS")]
    tls: run::TlsArgs,

    #[command(flatten, next_help_heading = "Requests")]
    request: run::RequestArgs,

    #[command(flatten, next_help_heading = "Time")]
    timeouts: run::TimeoutArgs,
}

/// Placements of which rates are searched.
#[derive(Args, Clone, Debug)]
struct TrialPlacementArgs {
    /// Placements [default: all eight].
    #[arg(long = "placement", value_name = "NAME,…", value_delimiter = ',')]
    placements: Vec<String>,

    /// The engine of every hop: `builtin`, `nginx`, `haproxy` or, where none is a relay, `caddy`
    /// [default: builtin].
    #[arg(long, value_name = "NAME")]
    engine: Option<EngineName>,

    /// The kind of every key [default: ecdsa-p256].
    #[arg(long, value_name = "KIND")]
    key: Option<KeyKind>,
}

impl EndpointArgs {
    fn settings(&self) -> settings::RunSettings {
        let load = LoadDraft {
            keep: run::said(self.keep_alive),
            requests_per_connection: self.requests_per_connection,
            pool: self.pool,
            ..LoadDraft::default()
        };
        settings::RunSettings {
            flags: Draft {
                target: run::list(&self.targets),
                tls: self.tls.draft(),
                request: self.request.draft(),
                load,
                timeout: self.timeouts.draft(),
                ..self.connections.draft()
            },
            sni: self.tls.sni.clone(),
            connect_to: run::list(&self.connections.connect_to),
            scenario: self.scenario.clone(),
            print_scenario: false,
            record: None,
            output: settings::OutputFormat::Table,
            lab: settings::LabSettings::default(),
        }
    }
}

impl TrialPlacementArgs {
    fn settings(&self) -> settings::LabSettings {
        settings::LabSettings {
            placements: self.placements.clone(),
            engines: run::engines(self.engine, None, None),
            key: self.key,
            ..settings::LabSettings::default()
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (1.0..=MOST).contains(rate));
    rate.ok_or_else(|| "write a number from 1 to 1000000".to_owned())
}

/// More starts in a second no generator makes.
const MOST: f64 = 1e6;

pub(super) const NOTES: &str = "\
A rate meets the goal when at most 0.1 % of operations fail, at least 99 % of what should have begun comes to a \
good end, and p99 is within the limit. See docs/search.md.

Exit codes: 0 found for all, 1 some met the goal at no rate, 2 not searched.

Example: tlsbench search --target https://127.0.0.1:8443/ --ca-bundle ca-bundle.crt --p99 50ms";
