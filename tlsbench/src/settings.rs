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
    Aa(Aa),
    /// Say what placements cost for somebody's traffic.
    Advise(Advise),
    /// Measure what single operations take on this machine.
    Calibrate {
        /// How to print it.
        output: Output,
        /// A file for the JSON document, beside what is printed.
        out: Option<PathBuf>,
    },
    /// Say what changed between records.
    Compare(Compare),
    /// Say whether this machine is fit to measure.
    Doctor {
        /// How to print it.
        output: Output,
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
    Pki(Pki),
    /// Make documents from records.
    Report(Report),
    /// Measure endpoints.
    Run(Box<Run>),
    /// Search the highest rate that meets a goal.
    Search(Box<Search>),
}

/// What `aa` is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Aa {
    /// Measure.
    Measured(Box<Run>),
    /// Judge what was measured.
    Recorded {
        /// The records.
        records: Vec<PathBuf>,
        /// How to print it.
        output: Output,
    },
}

/// What `advise` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advise {
    /// The records.
    pub records: Vec<PathBuf>,
    /// The traffic, and what is asked of placements.
    pub profile: PathBuf,
    /// What things cost.
    pub prices: PathBuf,
    /// Which machines were measured and are priced.
    pub machines: Machines,
    /// How to print it.
    pub output: Output,
}

/// Which machines were measured and are priced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Machines {
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
pub struct Compare {
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
    pub output: Output,
}

/// What `pki` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pki {
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
pub struct Report {
    /// The records, in the order of the report.
    pub records: Vec<PathBuf>,
    /// The documents that are wanted.
    pub formats: BTreeSet<Format>,
    /// Where they go: a file, or for several formats a file without its ending.
    pub out: Option<PathBuf>,
}

/// A form of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
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

impl Format {
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
pub struct Run {
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
    pub output: Output,
    /// What is said of placements on this machine.
    pub lab: LabRun,
}

/// What `run` is to do where no endpoint is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabRun {
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
pub struct Search {
    /// Endpoints or placements, and how they are spoken to.
    pub run: Run,
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
pub enum Output {
    /// For programs.
    Json,
    /// For people.
    Table,
}
