//! What the program tells its caller by its exit code.

use std::process::ExitCode;

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The verb could not do its work: 2, as for wrong arguments.
    Failed,
    /// All is well: 0.
    Fine,
    /// The work is done and the answer is no: 1.
    Negative,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Negative => 1,
            Exit::Failed => 2,
        })
    }
}
