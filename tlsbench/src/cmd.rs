//! The verbs: each gathers, judges and prints.

use std::io::{self, Write};
use std::path::Path;

use crate::exit::Exit;
use crate::settings::Settings;
use crate::store;

mod aa;
mod advise;
mod build;
mod calibrate;
mod compare;
mod doctor;
mod hop;
mod merge;
mod pki;
mod report;
mod run;
mod search;
mod terminal;

/// Runs a verb and prints its result.
///
/// A reader that stops reading early (`tlsbench doctor | head`) is no failure.
///
/// # Errors
/// Fails when the verb cannot do its work.
pub fn run(settings: &Settings, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (written, exit) = match settings {
        Settings::Aa(settings) => {
            let (text, exit) = aa::aa(settings)?;
            let record = match settings {
                crate::settings::Aa::Measured(run) => run.record.as_deref(),
                crate::settings::Aa::Recorded { .. } => None,
            };
            (tell(&text, record, out), exit)
        }
        Settings::Advise(settings) => {
            let (text, exit) = advise::advise(settings)?;
            (out.write_all(text.as_bytes()), exit)
        }
        Settings::Calibrate { output, out: file } => {
            if let Some(path) = file {
                store::prepare(path)?;
            }
            let calibration = calibrate::calibrate()?;
            if let Some(path) = file {
                store::write(path, &calibrate::json(&calibration)?)?;
            }
            let printed = match is_taken(file.as_deref()) {
                true => calibrate::print(&calibration, *output, &mut io::stderr()),
                false => calibrate::print(&calibration, *output, out),
            };
            (printed, calibrate::exit(&calibration))
        }
        Settings::Compare(settings) => {
            let (text, exit) = compare::compare(settings)?;
            (out.write_all(text.as_bytes()), exit)
        }
        Settings::Doctor { output } => {
            let lines = doctor::look()?;
            (doctor::print(&lines, *output, out), doctor::exit(&lines))
        }
        Settings::Hop { exec } => (Ok(()), hop::run(exec, out)?),
        Settings::Merge { records, record } => {
            let text = merge::merge(records, record)?;
            (tell(&text, Some(record), out), Exit::Fine)
        }
        Settings::Pki(settings) => {
            let text = pki::pki(settings)?;
            (out.write_all(text.as_bytes()), Exit::Fine)
        }
        Settings::Report(settings) => {
            let text = report::report(settings)?;
            (out.write_all(text.as_bytes()), Exit::Fine)
        }
        Settings::Search(settings) => {
            let (text, exit) = search::search(settings)?;
            (out.write_all(text.as_bytes()), exit)
        }
        Settings::Run(settings) => {
            let answer = run::answer(settings)?;
            (tell(&answer.text, settings.record.as_deref(), out), answer.exit)
        }
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(exit),
    }
}

/// Prints what is said beside a document: on standard error where standard output has the document.
fn tell(text: &str, document: Option<&Path>, out: &mut impl Write) -> io::Result<()> {
    match is_taken(document) {
        true => io::stderr().write_all(text.as_bytes()),
        false => out.write_all(text.as_bytes()),
    }
}

fn is_taken(document: Option<&Path>) -> bool {
    document.is_some_and(store::is_stdout)
}
