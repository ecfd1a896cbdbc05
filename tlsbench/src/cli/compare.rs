//! Syntax of `tlsbench compare`.

use std::path::PathBuf;

use clap::Args;
use tlsbench_core::change::Condition;

use super::OutputArg;
use crate::settings;

/// Records of two sides.
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Records of which it is told what changed; five or more for a verdict.
    #[arg(required = true, num_args = 1.., value_name = "RUN.json")]
    records: Vec<PathBuf>,

    /// Records that they are held against; five or more for a verdict.
    #[arg(long, required = true, num_args = 1.., value_name = "RUN.json")]
    against: Vec<PathBuf>,

    /// A parameter that may differ between the sides, such as `tls.version`, or a table of several;
    /// can be given several times.
    #[arg(long = "axis", value_name = "KEY")]
    axes: Vec<String>,

    /// The first record of one side was measured beside the first of the other, and so on.
    #[arg(long)]
    paired: bool,

    /// A change that is a failure, such as `handshake_cpu > +5%`; can be given several times.
    #[arg(long = "fail-if", value_name = "CONDITION")]
    conditions: Vec<Condition>,

    /// The form of the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputArg,
}

impl CompareArgs {
    pub(super) fn settings(&self) -> settings::CompareSettings {
        settings::CompareSettings {
            records: self.records.clone(),
            against: self.against.clone(),
            axes: self.axes.clone(),
            paired: self.paired,
            conditions: self.conditions.clone(),
            output: self.output.into(),
        }
    }
}

pub(super) const NOTES: &str = "\
Exit codes: 0 compared, and with --fail-if: every condition holds; 1 the whole interval of some subject \
is past a limit; 2 cannot tell, or could not compare. Metrics and grammar: docs/compare.md.

Example: tlsbench compare new-*.json --against old-*.json --fail-if 'handshake_cpu > +5%'";
