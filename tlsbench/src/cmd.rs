//! The verbs: each gathers, judges and prints.

use std::io::{self, Write};

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
            (out.write_all(text.as_bytes()), exit)
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
            (calibrate::print(&calibration, *output, out), calibrate::exit(&calibration))
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
            (out.write_all(text.as_bytes()), Exit::Fine)
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
            (out.write_all(answer.text.as_bytes()), answer.exit)
        }
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(exit),
    }
}
