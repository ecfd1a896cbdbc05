//! `tests/run`'s second half: runs what cargo built, and adds up the results.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use runner::execute::{Settings, run};
use runner::{cargo, libtest, summary};

/// Runs the test executables that cargo built, and adds up their results.
#[derive(Debug, Parser)]
struct Cli {
    /// Output of `cargo test --workspace --no-run --message-format=json`
    messages: PathBuf,
    /// Executables to run at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Names of executables to run first, because they take longest
    #[arg(long, value_delimiter = ',')]
    first: Vec<String>,
    /// Print the output of every executable, not only of those that fail
    #[arg(long)]
    verbose: bool,
    /// Passed on to each executable: a part of a test's name, or flags of libtest
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match run_all(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns true if every executable succeeded.
fn run_all(cli: Cli) -> Result<bool> {
    let text = std::fs::read_to_string(&cli.messages)
        .with_context(|| format!("cannot read `{}`", cli.messages.display()))?;
    let mut executables = cargo::executables(&text)?;
    ensure!(!executables.is_empty(), "`{}` names no test executable", cli.messages.display());
    let place = |name: &str| cli.first.iter().position(|first| first == name);
    executables.sort_by_key(|one| place(&one.name).unwrap_or(usize::MAX));
    let count = executables.len();
    println!("{count} test executables, {} at a time", cli.jobs);
    let wanted = cli.arguments.join(" ");
    let settings = Settings { jobs: cli.jobs, arguments: cli.arguments };
    let mut done = 0;
    let all = run(executables, &settings, |ended, output| {
        done += 1;
        if cli.verbose {
            println!("{output}");
        } else if !ended.succeeded {
            println!("{}", libtest::failures(output));
        }
        println!("[{done}/{count}] {}", ended.line());
    })?;
    println!("{}", summary::text(&all));
    let ran_nothing = all.iter().all(|ended| ended.succeeded && ended.tests.is_empty());
    ensure!(!ran_nothing, "no test ran: none has a name that holds `{wanted}`");
    Ok(summary::is_success(&all))
}
