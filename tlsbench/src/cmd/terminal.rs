//! The width of printed tables.

use std::io::{self, IsTerminal as _};

/// Columns of characters: those of the terminal that standard output is, else of a common one.
pub(super) fn columns() -> u16 {
    let stdout = io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
    size.map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}

/// The width of files, logs and pipes.
const COLUMNS: u16 = 120;
