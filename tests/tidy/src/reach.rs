//! Dead files: a `.rs` file that no target of any package compiles is silently ignored by cargo.

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
}
