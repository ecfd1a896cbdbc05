//! Settings of each verb, once its arguments are read: values without syntax.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use tlsbench_core::change::Condition;
use tlsbench_core::lab::{EngineName, Pass, Workload};
use tlsbench_core::placement::Role;
use tlsbench_core::scenario::{Draft, KeyKind};
use tlsbench_core::units::Nanos;

/// One verb with everything it needs to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Settings {
    /// Measure placements against themselves.
    Aa(AaSettings),
    /// Say what placements cost for somebody's traffic.
    Advise(AdviseSettings),
    /// Measure what single operations take on this machine.
    Calibrate {
        /// The form of the result.
        output: OutputFormat,
        /// A file for the JSON document, beside what is printed.
        out: Option<PathBuf>,
    },
    /// Say what changed between records.
    Compare(CompareSettings),
    /// Say whether this machine is fit to measure.
    Doctor {
        /// The form of the result.
        output: OutputFormat,
    },
    /// Be a builtin hop.
    Hop {
        /// Be the supervisor of this program instead; none means the hop itself.
        exec: Vec<OsString>,
    },
    /// Add records.
    Merge {
        /// The records.
        records: Vec<PathBuf>,
        /// The file for the sum.
        record: PathBuf,
    },
    /// Make the lab's certificates.
    Pki(PkiSettings),
    /// Make documents from records.
    Report(ReportSettings),
    /// Measure endpoints.
    Run(Box<RunSettings>),
    /// Search the highest rate that meets a goal.
    Search(Box<SearchSettings>),
}

/// Settings of `aa`.
#[derive(Clone, Debug, PartialEq)]
pub enum AaSettings {
    /// Measure.
    Measured(Box<RunSettings>),
    /// Judge what was measured.
    Recorded {
        /// The records.
        records: Vec<PathBuf>,
        /// The form of the result.
        output: OutputFormat,
    },
}

/// Settings of `advise`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdviseSettings {
    /// The records.
    pub records: Vec<PathBuf>,
    /// The traffic, and what is asked of placements.
    pub profile: PathBuf,
    /// The file of prices.
    pub prices: PathBuf,
    /// The machines that were measured and that are priced.
    pub machines: MachineScaling,
    /// The form of the result.
    pub output: OutputFormat,
}

/// The machines that were measured and that are priced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineScaling {
    /// Two, by what was found of them.
    Calibrated {
        /// The calibration of the one that was measured.
        measured: PathBuf,
        /// The calibration of the one that is priced.
        priced: PathBuf,
    },
    /// One.
    Same,
    /// Nobody said.
    Unknown,
}

/// Settings of `compare`.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareSettings {
    /// Records of which it is told what changed.
    pub records: Vec<PathBuf>,
    /// Records that they are held against.
    pub against: Vec<PathBuf>,
    /// Parameters that may differ between the sides.
    pub axes: Vec<String>,
    /// The records were measured in pairs.
    pub paired: bool,
    /// Limits of change.
    pub conditions: Vec<Condition>,
    /// The form of the result.
    pub output: OutputFormat,
}

/// Settings of `pki`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PkiSettings {
    /// The directory for the files.
    pub folder: PathBuf,
    /// Further names and addresses of servers.
    pub names: Vec<String>,
    /// The validity of the certificates, in days.
    pub days: NonZeroU32,
    /// The namespace of the manifests.
    pub namespace: String,
}

/// Settings of `report`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// The records, in the order of the report.
    pub records: Vec<PathBuf>,
    /// The documents that are wanted.
    pub formats: BTreeSet<ReportFormat>,
    /// The place of the documents: a file, or for several formats a file without its ending.
    pub out: Option<PathBuf>,
}

/// A form of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportFormat {
    /// Comma-separated values, for spreadsheets and data frames.
    Csv,
    /// A page for people, with pictures.
    Html,
    /// A document for programs.
    Json,
    /// A document for people.
    Markdown,
    /// Prometheus' text format.
    Prometheus,
}

impl ReportFormat {
    /// The ending of its files.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Html => "html",
            Self::Json => "json",
            Self::Markdown => "md",
            Self::Prometheus => "prom",
        }
    }
}

/// Settings of `run`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSettings {
    /// The part of the scenario that flags say; they win over the file.
    pub flags: Draft,
    /// The name for SNI and verification of every target, wherever that was named.
    pub sni: Option<String>,
    /// The addresses of every target, likewise.
    pub connect_to: Option<Vec<SocketAddr>>,
    /// The scenario file.
    pub scenario: Option<PathBuf>,
    /// Print the scenario and measure nothing.
    pub print_scenario: bool,
    /// The file for the record.
    pub record: Option<PathBuf>,
    /// The form of the result.
    pub output: OutputFormat,
    /// The settings of placements on this machine.
    pub lab: LabSettings,
}

/// Settings of `run` where no endpoint is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabSettings {
    /// The placements, whose twins come along; none means all.
    pub placements: Vec<String>,
    /// The workloads; none means the usual ones.
    pub workloads: Vec<Workload>,
    /// The passes; an empty list means all.
    pub passes: Vec<Pass>,
    /// Every figure is wanted, however long it takes.
    pub thorough: bool,
    /// Idle connections that are held.
    pub idle: Option<u32>,
    /// Idle upstream connections of an HTTP hop.
    pub pool: Option<u32>,
    /// Each hop is in a network namespace of its own.
    pub netns: bool,
    /// The kind of every key.
    pub key: Option<KeyKind>,
    /// The engine of hops, by role; builtin where none is named.
    pub engines: BTreeMap<Role, EngineName>,
    /// A directory of `tlsbench pki`.
    pub pki: Option<PathBuf>,
    /// Draw the placements and measure nothing.
    pub show: bool,
}

/// Settings of `search`.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSettings {
    /// Endpoints or placements, and how they are spoken to.
    pub run: RunSettings,
    /// The limit of the 99th percentile.
    pub p99: Nanos,
    /// The first rate, per second.
    pub start: Option<f64>,
    /// The highest rate that may be asked for, per second.
    pub max_rate: Option<f64>,
    /// The length of a trial.
    pub trial: Nanos,
    /// The length of the trial that confirms the result.
    pub confirm: Nanos,
    /// The largest distance between the ends of the result, as a part of the lower one.
    pub resolution: f64,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// A document for programs.
    Json,
    /// A table for people.
    Table,
}
