//! What the program is to do, once its arguments are read: values without syntax.

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
        /// How to print it.
        output: OutputFormat,
        /// A file for the JSON document, beside what is printed.
        out: Option<PathBuf>,
    },
    /// Say what changed between records.
    Compare(CompareSettings),
    /// Say whether this machine is fit to measure.
    Doctor {
        /// How to print it.
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
        /// Where the sum goes.
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

/// What `aa` is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum AaSettings {
    /// Measure.
    Measured(Box<RunSettings>),
    /// Judge what was measured.
    Recorded {
        /// The records.
        records: Vec<PathBuf>,
        /// How to print it.
        output: OutputFormat,
    },
}

/// What `advise` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdviseSettings {
    /// The records.
    pub records: Vec<PathBuf>,
    /// The traffic, and what is asked of placements.
    pub profile: PathBuf,
    /// What things cost.
    pub prices: PathBuf,
    /// Which machines were measured and are priced.
    pub machines: MachineScaling,
    /// How to print it.
    pub output: OutputFormat,
}

/// Which machines were measured and are priced.
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

/// What `compare` is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareSettings {
    /// Records of which it is told what changed.
    pub records: Vec<PathBuf>,
    /// Records that they are held against.
    pub against: Vec<PathBuf>,
    /// Parameters that may differ between the sides.
    pub axes: Vec<String>,
    /// Whether records were measured in pairs.
    pub paired: bool,
    /// What must not change how far.
    pub conditions: Vec<Condition>,
    /// How to print it.
    pub output: OutputFormat,
}

/// What `pki` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PkiSettings {
    /// Where the files go.
    pub folder: PathBuf,
    /// Further names and addresses of servers.
    pub names: Vec<String>,
    /// How long certificates are valid.
    pub days: NonZeroU32,
    /// The namespace of the manifests.
    pub namespace: String,
}

/// What `report` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// The records, in the order of the report.
    pub records: Vec<PathBuf>,
    /// The documents that are wanted.
    pub formats: BTreeSet<ReportFormat>,
    /// Where they go: a file, or for several formats a file without its ending.
    pub out: Option<PathBuf>,
}

/// A form of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportFormat {
    /// For spreadsheets and data frames.
    Csv,
    /// For people, with pictures.
    Html,
    /// For programs.
    Json,
    /// For people.
    Markdown,
    /// For Prometheus.
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

/// What `run` is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSettings {
    /// What the flags say of the scenario; they win over the file.
    pub flags: Draft,
    /// The name for SNI and verification of every target, wherever that was named.
    pub sni: Option<String>,
    /// The addresses of every target, likewise.
    pub connect_to: Option<Vec<SocketAddr>>,
    /// The scenario file.
    pub scenario: Option<PathBuf>,
    /// Print the scenario and measure nothing.
    pub print_scenario: bool,
    /// Where the record goes.
    pub record: Option<PathBuf>,
    /// How the result is printed.
    pub output: OutputFormat,
    /// What is said of placements on this machine.
    pub lab: LabSettings,
}

/// What `run` is to do where no endpoint is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabSettings {
    /// The placements, whose twins come along; none means all.
    pub placements: Vec<String>,
    /// The workloads; none means the usual ones.
    pub workloads: Vec<Workload>,
    /// What is measured; none means all.
    pub passes: Vec<Pass>,
    /// Whether every figure is wanted, however long it takes.
    pub thorough: bool,
    /// Idle connections that are held.
    pub idle: Option<u32>,
    /// Idle upstream connections of an HTTP hop.
    pub pool: Option<u32>,
    /// Whether each hop is in a network namespace of its own.
    pub netns: bool,
    /// The kind of every key.
    pub key: Option<KeyKind>,
    /// What hops are made of, by role; builtin where nothing is said.
    pub engines: BTreeMap<Role, EngineName>,
    /// A directory of `tlsbench pki`.
    pub pki: Option<PathBuf>,
    /// Draw the placements and measure nothing.
    pub show: bool,
}

/// What `search` is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSettings {
    /// Endpoints or placements, and how they are spoken to.
    pub run: RunSettings,
    /// What the 99th percentile may be.
    pub p99: Nanos,
    /// The first rate, per second.
    pub start: Option<f64>,
    /// The highest rate that may be asked for, per second.
    pub max_rate: Option<f64>,
    /// How long a trial is.
    pub trial: Nanos,
    /// How long the one is that confirms the result.
    pub confirm: Nanos,
    /// How far apart the ends of the result may be, as a part of the lower one.
    pub resolution: f64,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// For programs.
    Json,
    /// For people.
    Table,
}
