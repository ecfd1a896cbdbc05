//! The report of a check: a place, the fault there and its remedy.

use std::fmt;

/// One thing that is wrong, printed as `file:line: what; remedy`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root of the repository.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// The fault.
    pub what: String,
    /// The remedy.
    pub remedy: String,
}

impl Finding {
    /// A finding at a line of a file.
    #[must_use]
    pub fn new(
        path: &str,
        line: usize,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.what, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_place_fault_and_remedy() {
        let finding = Finding::new("a/b.rs", 3, "it is too long", "split it");
        assert_eq!(finding.to_string(), "a/b.rs:3: it is too long; split it");
    }
}
