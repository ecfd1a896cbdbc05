//! Syntax of `tlsbench advise`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArg;
use crate::settings;

/// Measured records, a traffic profile and prices.
#[derive(Debug, Args)]
pub(super) struct AdviseArgs {
    /// Records of placements, of one machine and one cryptography.
    #[arg(required = true, num_args = 1.., value_name = "RUN.json")]
    records: Vec<PathBuf>,

    /// The traffic, and what a placement must have; deploy/lab has examples.
    #[arg(long, value_name = "FILE.toml")]
    profile: PathBuf,

    /// The prices of cores and managed load balancers; deploy/lab has an example.
    #[arg(long, value_name = "FILE.toml")]
    prices: PathBuf,

    /// Calibration of the machine that was measured.
    #[arg(long, value_name = "FILE.json", requires = "priced")]
    measured: Option<PathBuf>,

    /// Calibration of the machine that is priced.
    #[arg(long, value_name = "FILE.json", requires = "measured")]
    priced: Option<PathBuf>,

    /// The machine that was measured is the one that is priced.
    #[arg(long, conflicts_with = "measured")]
    same_machine: bool,

    /// The form of the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputArg,
}

impl AdviseArgs {
    pub(super) fn settings(&self) -> settings::AdviseSettings {
        let machines = match (&self.measured, &self.priced) {
            (Some(measured), Some(priced)) => settings::MachineScaling::Calibrated {
                measured: measured.clone(),
                priced: priced.clone(),
            },
            _ if self.same_machine => settings::MachineScaling::Same,
            _ => settings::MachineScaling::Unknown,
        };
        settings::AdviseSettings {
            records: self.records.clone(),
            profile: self.profile.clone(),
            prices: self.prices.clone(),
            machines,
            output: self.output.into(),
        }
    }
}

pub(super) const NOTES: &str = "\
Exit codes: 0 a placement is recommended, 1 none can be, 2 could not judge. What the figures mean and when \
money is withheld: docs/advise.md.

Example: tlsbench advise runs/thorough.json --profile deploy/lab/shop.toml --prices deploy/lab/prices.toml \
--same-machine";
