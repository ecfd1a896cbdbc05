//! The command line: its syntax and its help.

mod aa;
mod advise;
mod compare;
mod report;
mod run;
mod search;

use std::ffi::OsString;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand, ValueEnum};
use tlsbench_core::scenario::is_dns_name;

use crate::settings::{OutputFormat, PkiSettings, Settings};

/// Measures what TLS costs at the load balancer, the ingress and the backend.
///
/// Runs on Linux only.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    verb: VerbArgs,
}

#[derive(Debug, Subcommand)]
enum VerbArgs {
    /// Measure placements against themselves, to see how far verdicts on this machine can be
    /// trusted.
    ///
    /// Each placement is measured twice in every round, under two names, so that every difference
    /// that is found between the two is a false positive.
    #[command(after_help = aa::NOTES)]
    Aa(aa::AaArgs),
    /// Estimate what placements cost for your traffic, and recommend one.
    ///
    /// Reads recorded runs only. Amounts of money are given only for costs that passed the hold-out
    /// check, on a machine that was calibrated.
    #[command(after_help = advise::NOTES)]
    Advise(advise::AdviseArgs),
    /// Measure the cost of single cryptographic and kernel operations on this machine.
    ///
    /// Takes up to ten seconds of one core. Exit code 1 means that a figure is not steady.
    Calibrate {
        /// The form of the result.
        #[arg(short, long, value_enum, default_value_t = OutputArg::Table)]
        output: OutputArg,

        /// The file for the JSON document (docs/calibration.md), beside what is printed.
        #[arg(long, value_name = "FILE.json")]
        out: Option<PathBuf>,
    },
    /// Compare two sets of recorded runs, and check limits of change.
    ///
    /// The record is the unit: five a side are needed for a verdict. Records that did not measure
    /// the same are refused.
    #[command(after_help = compare::NOTES)]
    Compare(compare::CompareArgs),
    /// Check whether this machine is fit to measure, and say what to change.
    ///
    /// Looks at cores, clocks, other load, kernel limits and proxies for about four seconds, and
    /// computes and sends requests to itself for part of them. Changes nothing.
    Doctor {
        /// The form of the result.
        #[arg(short, long, value_enum, default_value_t = OutputArg::Table)]
        output: OutputArg,
    },
    /// Be one builtin hop, as a run starts it; see its source for what goes over its pipes.
    #[command(hide = true)]
    Hop {
        /// Be a proxy's supervisor instead: run this program, and end it when the input ends.
        #[arg(long, num_args = 1.., value_name = "PROGRAM", allow_hyphen_values = true)]
        exec: Vec<OsString>,
    },
    /// Add the records of several generators that ran the same scenario at the same time.
    Merge {
        /// Records of `tlsbench run`.
        #[arg(required = true, num_args = 1.., value_name = "RECORD.json")]
        records: Vec<PathBuf>,

        /// The file for the sum.
        #[arg(long, value_name = "FILE.json")]
        record: PathBuf,
    },
    /// Make certificates for a lab: a root, servers and clients with each kind of key.
    ///
    /// Writes PEM files, and Kubernetes Secrets with the same certificates. Keys are readable by
    /// their owner only; the authority's own keys are not kept.
    Pki {
        /// The directory to write to, which has no certificates yet.
        #[arg(value_name = "DIR")]
        folder: PathBuf,

        /// Another DNS name or address of the servers; can be given several times.
        #[arg(long = "name", value_name = "NAME", value_parser = server_name)]
        names: Vec<String>,

        /// The validity of the certificates, in days.
        #[arg(long, default_value = "90", value_parser = clap::value_parser!(u32).range(1..=3_650))]
        days: u32,

        /// The namespace of the Secrets: the one that trustd trusts.
        #[arg(long, default_value = "cert-manager", value_parser = namespace)]
        namespace: String,
    },
    /// Write reports from recorded runs; measures nothing and needs no network.
    #[command(after_help = report::NOTES)]
    Report(report::ReportArgs),
    /// Measure placements on this machine, or endpoints that already run, and leave a record.
    #[command(after_help = RUN_NOTES)]
    Run(Box<run::RunArgs>),
    /// Find the highest rate at which endpoints, or placements on this machine, meet a goal.
    #[command(after_help = search::NOTES)]
    Search(Box<search::SearchArgs>),
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OutputArg {
    /// A table, and warnings.
    #[default]
    Table,
    /// One JSON object.
    Json,
}

impl Cli {
    /// Reads the arguments of the process, which ends with a message where they are wrong.
    #[must_use]
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| without_value(error).exit())
    }

    /// Returns the settings that the arguments ask for.
    #[must_use]
    pub fn settings(&self) -> Settings {
        match &self.verb {
            VerbArgs::Aa(aa) => Settings::Aa(aa.settings()),
            VerbArgs::Advise(advise) => Settings::Advise(advise.settings()),
            VerbArgs::Calibrate { output, out } => {
                Settings::Calibrate { output: (*output).into(), out: out.clone() }
            }
            VerbArgs::Compare(compare) => Settings::Compare(compare.settings()),
            VerbArgs::Doctor { output } => Settings::Doctor { output: (*output).into() },
            VerbArgs::Hop { exec } => Settings::Hop { exec: exec.clone() },
            VerbArgs::Merge { records, record } => {
                Settings::Merge { records: records.clone(), record: record.clone() }
            }
            VerbArgs::Pki { folder, names, days, namespace } => Settings::Pki(PkiSettings {
                folder: folder.clone(),
                names: names.clone(),
                days: NonZeroU32::new(*days).unwrap_or(NonZeroU32::MIN),
                namespace: namespace.clone(),
            }),
            VerbArgs::Report(report) => Settings::Report(report.settings()),
            VerbArgs::Search(search) => Settings::Search(Box::new(search.settings())),
            VerbArgs::Run(run) => Settings::Run(Box::new(run.settings())),
        }
    }
}

impl From<OutputArg> for OutputFormat {
    fn from(format: OutputArg) -> Self {
        match format {
            OutputArg::Json => Self::Json,
            OutputArg::Table => Self::Table,
        }
    }
}

/// The message without a value that was refused, where that may be a secret: it ends up in logs.
fn without_value(mut error: clap::Error) -> clap::Error {
    // clap repeats a refused value in its message, and CI logs are read by many.
    let is_secret = |flag: &ContextValue| match flag {
        ContextValue::String(flag) => SECRET_VALUES.iter().any(|secret| flag.contains(secret)),
        _ => false,
    };
    if error.get(ContextKind::InvalidArg).is_some_and(is_secret)
        && let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && !value.is_empty()
    {
        let shown = ContextValue::String("redacted".to_owned());
        error.insert(ContextKind::InvalidValue, shown);
    }
    error
}

/// Checks a name for a server's certificate: an address, or a DNS name with or without a wildcard.
fn server_name(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("*.").unwrap_or(text);
    if text.parse::<IpAddr>().is_ok() || is_dns_name(host) {
        Ok(text.to_owned())
    } else {
        Err("write a DNS name, one with a wildcard as its first label, or an address".to_owned())
    }
}

/// A DNS label (RFC 1123), as Kubernetes asks of namespaces.
fn namespace(text: &str) -> Result<String, String> {
    let is_inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let has_ends = text.bytes().next().is_some_and(|byte| is_inner(&byte))
        && text.bytes().last().is_some_and(|byte| is_inner(&byte));
    if has_ends && text.len() <= 63 && text.bytes().all(|byte| is_inner(&byte) || byte == b'-') {
        Ok(text.to_owned())
    } else {
        Err("write up to 63 of a-z, 0-9 and `-`, with neither end a `-`".to_owned())
    }
}

const RUN_NOTES: &str = "\
What flags say of a run can stand in a scenario file too; --print-scenario prints one. Endpoints outside of this \
machine and private networks get a low load unless --rate or --connections says otherwise.

Exit codes: 0 measured and valid, 1 measured and a gate failed, or nothing succeeded, 2 not measured.

Example: tlsbench run --target shop=https://shop.example/ --rate 50 --ca-bundle ca-bundle.crt";

/// Flags whose values may be secrets.
const SECRET_VALUES: [&str; 3] = ["--data", "--header", "--target"];

const EXIT_CODES: &str = "Exit codes: 0 all is fine, 1 the answer is no, 2 it could not be done";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use tlsbench_core::scenario::redact;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_value_that_is_refused_is_not_told_where_it_may_be_a_secret() {
        for arguments in [
            ["tlsbench", "run", "-H", "Bearer hush"],
            ["tlsbench", "run", "--target", "=https://u:hush@h/"],
        ] {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert!(error.to_string().contains("hush"), "so this test tests something: {error}");
            let text = without_value(error).to_string();
            assert!(!text.contains("hush") && text.contains("'redacted' for '--"), "{text}");
        }
    }

    /// A flag is shown in records where `redact` knows that its value is no secret.
    #[test]
    fn a_record_shows_the_values_of_all_flags_but_three() {
        let command = Cli::command();
        for verb in ["aa", "run", "search"] {
            let verb = command.find_subcommand(verb).unwrap();
            // What is hidden is refused, with a hint at the flag that is meant.
            let offered = || verb.get_arguments().filter(|arg| !arg.is_hide_set());
            for arg in offered().filter(|arg| arg.get_action().takes_values()) {
                let Some(long) = arg.get_long() else { continue };
                let flag = format!("--{long}");
                let seen = redact(&[flag.clone(), "value".to_owned()]);
                let is_secret = ["--data", "--header"].contains(&flag.as_str());
                let wanted = if is_secret { "redacted" } else { "value" };
                assert_eq!(seen[1], wanted, "{flag}: see SHOWN_FLAGS of tlsbench-core");
                if let Some(short) = arg.get_short() {
                    let seen = redact(&[format!("-{short}"), "value".to_owned()]);
                    assert_eq!(seen[1], wanted, "-{short}: see Kind::of_letter");
                }
            }
            for arg in offered().filter(|arg| !arg.get_action().takes_values()) {
                let Some(short) = arg.get_short() else { continue };
                let seen = redact(&[format!("-{short}d"), "hush".to_owned()]);
                assert_eq!(seen[1], "redacted", "-{short}");
                assert_eq!(seen[0], format!("-{short}d"), "-{short}: see Kind::of_letter");
            }
        }
    }

    #[test]
    fn doctor_prints_a_table_unless_told_otherwise() {
        let settings = |arguments: &[&str]| Cli::parse_from(arguments).settings();
        let table = Settings::Doctor { output: OutputFormat::Table };
        assert_eq!(settings(&["tlsbench", "doctor"]), table);
        let json = Settings::Doctor { output: OutputFormat::Json };
        assert_eq!(settings(&["tlsbench", "doctor", "-o", "json"]), json);
    }
}
