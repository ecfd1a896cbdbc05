//! The verbs: each gathers, judges and answers.

mod aa;
mod advise;
mod answer;
mod calibrate;
mod compare;
mod doctor;
mod flags;
mod hop;
#[cfg(test)]
mod in_process;
mod merge;
mod pki;
mod report;
mod run;
mod search;
mod terminal;

use std::io::Write;

use crate::exit::Exit;
use crate::settings::Settings;

/// Runs a verb and prints its answer.
///
/// # Errors
/// Fails when the verb cannot do its work, or cannot keep what comes of it.
pub fn run(settings: &Settings, out: &mut impl Write) -> anyhow::Result<Exit> {
    let answer = match settings {
        Settings::Aa(settings) => aa::answer(settings)?,
        Settings::Advise(settings) => advise::answer(settings)?,
        Settings::Calibrate { output, out } => calibrate::answer(*output, out.as_deref())?,
        Settings::Compare(settings) => compare::answer(settings)?,
        Settings::Doctor { output } => doctor::answer(*output)?,
        // A hop talks over its pipes while it runs.
        Settings::Hop { exec } => return hop::run(exec, out),
        Settings::Merge { records, record } => merge::answer(records, record)?,
        Settings::Pki(settings) => pki::answer(settings)?,
        Settings::Report(settings) => report::answer(settings)?,
        Settings::Search(settings) => search::answer(settings)?,
        Settings::Run(settings) => run::answer(settings)?,
    };
    answer.print(out)
}
