//! The command line: its syntax and its help.

use clap::{Parser, Subcommand, ValueEnum};

use crate::settings::{Output, Settings};

/// Measures what TLS costs at the load balancer, the ingress and the backend.
///
/// Runs on Linux only.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say whether this machine is fit to measure, and what to change.
    ///
    /// Looks at clocks, cores, other load and kernel limits for about two seconds. Changes nothing.
    Doctor {
        /// How to print the result.
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A table, and a warning for each line that is unfit.
    Table,
    /// One JSON object.
    Json,
}

impl Cli {
    /// What was asked for.
    #[must_use]
    pub fn settings(&self) -> Settings {
        match self.verb {
            Verb::Doctor { output } => Settings::Doctor {
                output: match output {
                    Format::Json => Output::Json,
                    Format::Table => Output::Table,
                },
            },
        }
    }
}

const EXIT_CODES: &str = "Exit codes: 0 all is fine, 1 the answer is no, 2 it could not be done";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn doctor_prints_a_table_unless_told_otherwise() {
        let settings = |arguments: &[&str]| Cli::parse_from(arguments).settings();
        let table = Settings::Doctor { output: Output::Table };
        assert_eq!(settings(&["tlsbench", "doctor"]), table);
        let json = Settings::Doctor { output: Output::Json };
        assert_eq!(settings(&["tlsbench", "doctor", "-o", "json"]), json);
    }
}
