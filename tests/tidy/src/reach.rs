//! Dead code that no compiler complains of: a `.rs` file that no target of any package has, and an
//! example in documentation. Libraries say `doctest = false`, because looking for examples took
//! longer than all unit tests.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::manifest::packages;
use crate::modules::modules;
use crate::tree::Tree;

/// Finds `.rs` files that no `mod` reaches from any target.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    let (packages, mut findings) = packages(tree);
    let reached: BTreeSet<String> =
        modules(tree, &packages).into_iter().map(|(_, _, module)| module.file).collect();
    for (path, text) in tree.texts(".rs") {
        findings.extend(example(path, text));
        if reached.contains(path) {
            continue;
        }
        if let Err(finding) = crate::rust::parse(path, text) {
            findings.push(finding);
            continue;
        }
        let remedy = "declare it with `mod`, or as a target in a Cargo.toml, or delete it";
        findings.push(Finding::new(path, 1, "no target compiles this file", remedy));
    }
    findings
}

/// The first code in a file's documentation that rustdoc would compile.
fn example(path: &str, text: &str) -> Option<Finding> {
    let docs = text.lines().enumerate().filter_map(|(index, line)| {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?;
        Some((index + 1, doc.trim_start().strip_prefix("```")?))
    });
    // Every second fence is the end of one.
    let mut opened = docs.step_by(2);
    let (line, _) = opened.find(|(_, language)| ["", "rust"].contains(&language.trim()))?;
    let remedy = "make it a test, name another language, or take `doctest` out of the Cargo.toml";
    Some(Finding::new(path, line, "no test runs this example", remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nothing_reaches_is_found_and_others_pass() {
        let tree = Tree::of([
            (
                "p/Cargo.toml",
                "[package]\nname = \"p\"\nautotests = false\n\
                 [[test]]\nname = \"t\"\npath = \"../tests/p/main.rs\"\n",
            ),
            ("p/src/lib.rs", "mod used; // mod dead;\n"),
            ("p/src/used.rs", ""),
            ("p/src/dead.rs", ""),
            ("p/tests/undeclared.rs", ""),
            ("tests/p/main.rs", "mod part;"),
            ("tests/p/part.rs", ""),
            ("tests/p/forgotten.rs", ""),
        ]);
        let found: Vec<String> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["p/src/dead.rs", "p/tests/undeclared.rs", "tests/p/forgotten.rs"]);
    }

    #[test]
    fn an_example_that_nothing_runs_is_found_and_pictures_pass() {
        let said = |text: &str| example("a.rs", text).map(|finding| finding.line);
        assert_eq!(said("//! ```text\n//! a\n//! ```\n\n/// ```\n/// f();\n/// ```\n"), Some(5));
        assert_eq!(said("    /// ```rust\n    /// f();\n    /// ```\n"), Some(1));
        assert_eq!(said("/// ```text\n/// a\n/// ```\nlet fence = \"```\";\n"), None);
    }
}
