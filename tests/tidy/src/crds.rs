//! CRDs in step: `deploy/crds/*.yaml` must be what `trustd crd` prints.
//!
//! Running the program is the work of `tests/trustd`, which cargo builds it for. Here we make sure
//! that such a test exists: each file must be named in a string there.

use proc_macro2::{TokenStream, TokenTree};

use crate::finding::Finding;
use crate::rust;
use crate::tree::Tree;

const CRDS: &str = "deploy/crds";
const TESTS: &str = "tests/trustd";

/// Finds CRD files that no test of the program names.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut strings = Vec::new();
    for (path, text) in tree.texts(".rs") {
        if crate::tree::below(path, TESTS).is_none() {
            continue;
        }
        match rust::parse(path, text) {
            Ok(file) => collect(rust::tokens(&file), &mut strings),
            Err(finding) => findings.push(finding),
        }
    }
    for path in tree.paths_below(CRDS).filter(|path| path.ends_with(".yaml")) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_named = strings.iter().any(|text| {
            text.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        });
        if !is_named {
            let what = "no test compares this file with what `trustd crd` prints";
            let remedy = format!("name it in a test in {TESTS}/ that runs the program");
            findings.push(Finding::new(path, 1, what, remedy));
        }
    }
    findings
}

fn collect(tokens: TokenStream, strings: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let Some((token, after)) = rest.split_first() {
        if let Some(after) = rust::after_documentation(rest) {
            rest = after;
            continue;
        }
        match token {
            TokenTree::Group(group) => collect(group.stream(), strings),
            TokenTree::Literal(literal) => {
                let text = syn::parse_str::<syn::LitStr>(&literal.to_string());
                strings.extend(text.ok().map(|text| text.value()));
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(test: &str) -> Vec<String> {
        let tree = Tree::of([("deploy/crds/bundles.yaml", ""), ("tests/trustd/main.rs", test)]);
        check(&tree).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn a_crd_that_no_test_names_is_found() {
        for test in [
            "",
            "// deploy/crds/bundles.yaml\n",
            "/// deploy/crds/bundles.yaml\nfn f() {}",
            "fn f() { g(\"other-bundles.yaml\"); }",
        ] {
            assert_eq!(faults(test), ["deploy/crds/bundles.yaml"], "{test}");
        }
        let elsewhere = Tree::of([
            ("deploy/crds/bundles.yaml", ""),
            ("tests/cluster/a.rs", "const A: &str = \"bundles.yaml\";"),
        ]);
        assert_eq!(check(&elsewhere).len(), 1);
    }

    #[test]
    fn a_crd_named_in_a_string_passes() {
        for test in [
            "fn f() { same(include_str!(\"../../deploy/crds/bundles.yaml\")); }",
            "fn f() { read(root().join(\"deploy\").join(\"crds\").join(\"bundles.yaml\")); }",
        ] {
            assert_eq!(faults(test), [""; 0], "{test}");
        }
    }
}
