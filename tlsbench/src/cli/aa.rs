//! Syntax of `tlsbench aa`.

use std::path::PathBuf;

use clap::Args;
use tlsbench_core::lab::{EngineName, Pass, Workload};
use tlsbench_core::placement::KnownPlacement;
use tlsbench_core::scenario::{Draft, LoadDraft, TimingDraft};
use tlsbench_core::units::Nanos;

use super::OutputArg;
use crate::settings;

/// Placements to measure against themselves, or records of that.
#[derive(Debug, Args)]
pub(super) struct AaArgs {
    /// Records of earlier runs of `tlsbench aa`; none measures anew.
    #[arg(value_name = "RUN.json")]
    records: Vec<PathBuf>,

    #[command(flatten, next_help_heading = "Where it is measured anew")]
    measured: MeasuredArgs,

    /// The form of the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputArg,
}

#[derive(Debug, Args)]
struct MeasuredArgs {
    /// Placements to measure against themselves [default: all eight and their baselines].
    #[arg(
        long = "placement",
        value_name = "NAME,…",
        value_delimiter = ',',
        conflicts_with = "records"
    )]
    placements: Vec<KnownPlacement>,

    /// Workloads [default: those of `tlsbench run`].
    #[arg(
        long = "workload",
        value_name = "NAME,…",
        value_delimiter = ',',
        conflicts_with = "records"
    )]
    workloads: Vec<Workload>,

    /// The engine of every hop: `builtin`, `nginx`, `haproxy` or, where none is a relay, `caddy`
    /// [default: builtin].
    #[arg(long, value_name = "NAME", conflicts_with = "records")]
    engine: Option<EngineName>,

    /// Give each hop a network namespace of its own, as `tlsbench run --netns` does.
    #[arg(long, conflicts_with = "records")]
    netns: bool,

    /// The file for the record [default: runs/<start time>.json].
    #[arg(long, value_name = "FILE.json", conflicts_with = "records")]
    record: Option<PathBuf>,

    /// The time that each slice is measured [default: that of `tlsbench run`].
    #[arg(long, value_name = "TIME", conflicts_with = "records")]
    round: Option<Nanos>,

    /// Rounds [default: those of `tlsbench run`; a verdict takes six].
    #[arg(long, value_name = "NUMBER", conflicts_with = "records")]
    rounds: Option<u32>,

    /// Time before each slice that is not measured [default: that of `tlsbench run`].
    #[arg(long, value_name = "TIME", conflicts_with = "records")]
    warm_up: Option<Nanos>,

    /// The seed of the order within rounds [default: 1].
    #[arg(long, value_name = "NUMBER", conflicts_with = "records")]
    seed: Option<u64>,
}

impl AaArgs {
    pub(super) fn settings(&self) -> settings::AaSettings {
        let output = self.output.into();
        if !self.records.is_empty() {
            return settings::AaSettings::Recorded { records: self.records.clone(), output };
        }
        let MeasuredArgs { placements, workloads, engine, netns, record, .. } = &self.measured;
        let MeasuredArgs { round, rounds, warm_up, seed, .. } = &self.measured;
        let flags = Draft {
            load: LoadDraft { seed: *seed, ..LoadDraft::default() },
            timing: TimingDraft {
                round: *round,
                rounds: *rounds,
                warm_up: *warm_up,
                ..TimingDraft::default()
            },
            ..Draft::default()
        };
        settings::AaSettings::Measured(Box::new(settings::RunSettings {
            flags,
            sni: None,
            connect_to: None,
            scenario: None,
            print_scenario: false,
            record: record.clone(),
            output,
            lab: settings::LabSettings {
                placements: placements.iter().map(ToString::to_string).collect(),
                workloads: workloads.clone(),
                passes: vec![Pass::Cpu],
                engines: super::run::engines(*engine, None, None),
                netns: *netns,
                ..settings::LabSettings::default()
            },
        }))
    }
}

pub(super) const NOTES: &str = "\
Exit codes: 0 passed, 1 more verdicts are wrong than chance explains, 2 fewer than 20 comparisons came to a \
verdict, or nothing was measured. How to read the result: docs/aa.md.

Example: tlsbench aa --engine nginx";
