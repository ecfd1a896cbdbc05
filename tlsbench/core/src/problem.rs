//! Problems of a scenario: the key, the fault and the cure.

use std::fmt;

/// One thing that keeps a scenario from being run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line of the scenario file, from 1, where one line is to blame.
    pub line: Option<usize>,
    /// The key, with its tables: `tls.resume`.
    pub key: String,
    /// The fault.
    pub seen: String,
    /// The cure.
    pub cure: String,
}

impl Problem {
    /// A problem with a key, of a file or a flag.
    pub(crate) fn new(
        key: impl Into<String>,
        seen: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { line: None, key: key.into(), seen: seen.into(), cure: cure.into() }
    }
}

impl fmt::Display for Problem {
    /// The problem, and the cure as a hint on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "`{}`: {}\nhint: {}", self.key, self.seen, self.cure)
    }
}

impl std::error::Error for Problem {}

/// The first problems, and the number of the others: the line of each is looked for in the whole
/// file, and nobody mends more than these at a time.
pub(crate) fn first(mut problems: Vec<Problem>) -> Vec<Problem> {
    let more = problems.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        // Each problem looks for its line in the whole text, so many would take quadratic time.
        problems.truncate(TOLD_MAX);
        problems.push(Problem::new("…", format!("{more} more problems"), "mend these first"));
    }
    problems
}

/// Problems that are shown at a time: a screen of them.
const TOLD_MAX: usize = 20;

/// Problems as they are found.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    pub(crate) fn add(
        &mut self,
        key: impl Into<String>,
        seen: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.0.push(Problem::new(key, seen, cure));
    }

    /// Adds a problem where something is so.
    pub(crate) fn when(&mut self, wrong: bool, key: &str, seen: &str, cure: &str) {
        if wrong {
            self.add(key, seen, cure);
        }
    }
}
