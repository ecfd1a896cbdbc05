//! Syntax of `tlsbench report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::settings;

/// Records, and what is made of them.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Records of `tlsbench run`.
    #[arg(required = true, num_args = 1.., value_name = "RUN.json")]
    records: Vec<PathBuf>,

    /// The documents to make; several with commas between.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "md")]
    format: Vec<FormatArg>,

    /// The file to write; of several formats, the file without its ending.
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// One line for each figure.
    Csv,
    /// A page to publish, with pictures: one file that asks no network for anything.
    Html,
    /// One object, documented in docs/report.md.
    Json,
    /// A document to publish, without pictures.
    Md,
    /// Prometheus' text format.
    Prom,
}

impl ReportArgs {
    pub(super) fn settings(&self) -> settings::ReportSettings {
        settings::ReportSettings {
            records: self.records.clone(),
            formats: self.format.iter().map(|format| (*format).into()).collect(),
            out: self.out.clone(),
        }
    }
}

impl From<FormatArg> for settings::ReportFormat {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Self::Csv,
            FormatArg::Html => Self::Html,
            FormatArg::Json => Self::Json,
            FormatArg::Md => Self::Markdown,
            FormatArg::Prom => Self::Prometheus,
        }
    }
}

pub(super) const NOTES: &str = "\
Exit codes: 0 written, whatever the gates say, 2 not written.

Example: tlsbench report before.json after.json --format html,csv --out reports/change";
