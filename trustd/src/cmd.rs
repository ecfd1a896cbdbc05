//! The verbs: each gathers what it needs, asks for an answer and prints it.

mod contents;
mod crd;
mod diff;
mod inspect;
mod offline;
mod preview;
mod render;
mod run;
mod show;
mod verify;
mod warnings;

use std::io::IsTerminal as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use trustd_core::time::Timestamp;

use crate::cli::{Cli, Verb};
use crate::exit::{self, Exit};

/// The environment of a verb.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    /// The time.
    pub now: Timestamp,
    /// Columns of the terminal that stdout is; nothing where stdout is a file or a pipe.
    pub columns: Option<u16>,
}

impl Env {
    /// The env of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        let stdout = std::io::stdout();
        let columns = stdout
            .is_terminal()
            .then(|| rustix::termios::tcgetwinsize(&stdout).ok())
            .flatten()
            .map(|size| size.ws_col)
            .filter(|columns| *columns > 0);
        Self { now: Timestamp::from_unix(seconds), columns }
    }
}

/// The output of a verb, and its exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answer {
    text: String,
    exit: Exit,
}

/// Does what the command line asks for and prints the answer.
///
/// # Errors
/// When it could not be done; nothing has been printed then.
pub fn run(arguments: &Cli, env: &Env) -> anyhow::Result<Exit> {
    let answer = match &arguments.verb {
        Verb::Crd => crd::answer()?,
        Verb::Diff(arguments) => diff::answer(arguments, env)?,
        Verb::Inspect(arguments) => inspect::answer(arguments, env)?,
        Verb::Render(arguments) => render::run(arguments, env)?,
        Verb::Run(arguments) => run::run(arguments, env)?,
        Verb::Verify(arguments) => verify::answer(arguments, env)?,
    };
    exit::print(&answer.text).context("cannot write to stdout")?;
    Ok(answer.exit)
}
