//! Sizes: a file that is too long to be read in one sitting.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::manifest::packages;
use crate::modules::modules;
use crate::rust;
use crate::tree::Tree;

/// Lines of code that a file may have; aim at half of it.
pub const LINES_MAX: usize = 600;

/// Finds files with more lines of code than [`LINES_MAX`].
///
/// Blank lines, comments, documentation and what only tests compile do not count.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    let (packages, mut findings) = packages(tree);
    let mut files = BTreeMap::new();
    for (_, _, module) in modules(tree, &packages) {
        if !module.test_only {
            files.insert(module.file, module.syntax);
        }
    }
    for (path, mut syntax) in files {
        rust::drop_test_code(&mut syntax);
        let mut lines = BTreeSet::new();
        rust::each_line_of_code(rust::tokens(&syntax), &mut |first, last| {
            lines.extend(first..=last);
        });
        if lines.len() > LINES_MAX {
            let what = format!("{} lines of code, and {LINES_MAX} are the limit", lines.len());
            findings.push(Finding::new(&path, 1, what, "split it by subject"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> usize {
        check(&Tree::of([("Cargo.toml", "[package]\nname = \"p\"\n"), ("src/lib.rs", text)])).len()
    }

    #[test]
    fn one_line_too_many_is_found() {
        assert_eq!(faults(&"fn f() {}\n".repeat(LINES_MAX)), 0);
        assert_eq!(faults(&"fn f() {}\n".repeat(LINES_MAX + 1)), 1);
    }

    #[test]
    fn blank_lines_comments_documentation_and_tests_do_not_count() {
        let code = "fn f() {}\n".repeat(LINES_MAX);
        let rest = "\n// words\n/* more\nwords */\n/// words\n".repeat(LINES_MAX);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(faults(&format!("//! Words.\n{rest}{code}{tests}")), 0);
    }
}
