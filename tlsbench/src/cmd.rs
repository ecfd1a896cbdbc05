//! The verbs: each gathers, judges and prints.

use std::io::{self, Write};

use crate::exit::Exit;
use crate::settings::Settings;

mod doctor;

/// Runs a verb and prints its result.
///
/// A reader that stops reading early (`tlsbench doctor | head`) is no failure.
///
/// # Errors
/// Fails when the verb cannot do its work.
pub fn run(settings: &Settings, out: &mut impl Write) -> anyhow::Result<Exit> {
    let Settings::Doctor { output } = *settings;
    let lines = doctor::look()?;
    match doctor::print(&lines, output, out) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(doctor::exit(&lines)),
    }
}
