//! How wide what is printed may be.

use std::io::{self, IsTerminal as _};

/// Columns of characters: those of the terminal that standard output is, else of a common one.
pub(super) fn columns() -> u16 {
    let stdout = io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
    size.map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}

/// What a report in a file, a log of the CI or a pipe is read in.
const COLUMNS: u16 = 120;
