//! Names of types: one name, one thing in a crate.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};

use crate::finding::Finding;
use crate::manifest::{Package, TargetKind, packages};
use crate::modules::modules_of;
use crate::rust;
use crate::tree::Tree;

/// Names that a crate may define more than once: the package, the name, and why.
pub const SHARED_NAMES: [(&str, &str, &str); 0] = [];

/// A `struct`, `enum`, `union` or `trait` that a product crate defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// The name.
    pub name: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

impl TypeName {
    /// Returns true if the name is a single word: `Desk`, not `WriteOutcome`.
    #[must_use]
    pub fn is_one_word(&self) -> bool {
        let mut letters = self.name.chars();
        letters.next().is_some_and(char::is_uppercase)
            && letters.all(|letter| letter.is_lowercase() || letter.is_ascii_digit())
    }
}

/// All types that a package's library and programs define, test code left out.
#[must_use]
pub fn types_of(tree: &Tree, package: &Package) -> Vec<TypeName> {
    let mut found = Vec::new();
    for target in package.targets.iter().filter(|target| target.kind != TargetKind::Aside) {
        for mut module in modules_of(tree, target).0 {
            if module.test_only {
                continue;
            }
            rust::drop_test_code(&mut module.syntax);
            collect(rust::tokens(&module.syntax), &module.file, &mut found);
        }
    }
    found
}

/// Read from tokens, so that types which a macro is given count too.
fn collect(tokens: TokenStream, file: &str, found: &mut Vec<TypeName>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        match (token, tokens.get(index + 1)) {
            (TokenTree::Ident(keyword), Some(TokenTree::Ident(name)))
                if ["struct", "enum", "union", "trait"].iter().any(|known| keyword == known) =>
            {
                let line = name.span().start().line;
                found.push(TypeName { name: name.to_string(), file: file.to_owned(), line });
            }
            (TokenTree::Group(group), _) => collect(group.stream(), file, found),
            _ => {}
        }
    }
}

/// The types of a package whose name it defines more than once, by name.
#[must_use]
pub fn homonyms(types: &[TypeName]) -> BTreeMap<&str, Vec<&TypeName>> {
    let mut by_name: BTreeMap<&str, Vec<&TypeName>> = BTreeMap::new();
    for one in types {
        by_name.entry(&one.name).or_default().push(one);
    }
    by_name.retain(|_, all| all.len() > 1);
    by_name
}

/// Finds names that a product crate defines more than once and that are not among `shared`.
#[must_use]
pub fn check(tree: &Tree, products: &[&str], shared: &[(&str, &str, &str)]) -> Vec<Finding> {
    let (packages, mut findings) = packages(tree);
    for package in packages.iter().filter(|one| products.contains(&one.name.as_str())) {
        let types = types_of(tree, package);
        let homonyms = homonyms(&types);
        for (name, all) in &homonyms {
            if shared
                .iter()
                .any(|(crate_name, known, _)| *crate_name == package.name && known == name)
            {
                continue;
            }
            for one in all.iter().skip(1) {
                let what = format!(
                    "`{name}` names a type at {}:{} too",
                    all.first().map_or("", |first| &first.file),
                    all.first().map_or(0, |first| first.line),
                );
                let remedy = "name each for what it holds, or add it with a reason to \
                              tests/tidy/src/types.rs";
                findings.push(Finding::new(&one.file, one.line, what, remedy));
            }
        }
        for (_, known, _) in shared.iter().filter(|(crate_name, ..)| *crate_name == package.name) {
            if !homonyms.contains_key(known) {
                let what = format!("`{known}` is defined once, and allowed twice");
                let remedy = "take it out of tests/tidy/src/types.rs";
                findings.push(Finding::new(&package.manifest, 1, what, remedy));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: [(&str, &str); 2]) -> Tree {
        Tree::of([("Cargo.toml", "[package]\nname = \"p\"\n"), files[0], files[1]])
    }

    #[test]
    fn a_name_defined_twice_is_found_at_the_second_place() {
        let tree = tree([
            ("src/lib.rs", "mod a;\npub struct Place;\nstruct Other;\n"),
            ("src/a.rs", "words! {\n    enum Place { A }\n}\nstruct Alone;\n"),
        ]);
        let found = check(&tree, &["p"], &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].path.as_str(), found[0].line), ("src/lib.rs", 2));
        assert!(found[0].what.contains("src/a.rs:2"), "{found:?}");
        assert!(check(&tree, &["p"], &[("p", "Place", "a reason")]).is_empty());
        assert!(check(&tree, &["q"], &[]).is_empty());
    }

    #[test]
    fn an_allowance_that_nothing_needs_is_found() {
        let tree = tree([("src/lib.rs", "struct Once;\n"), ("src/b.rs", "")]);
        assert_eq!(check(&tree, &["p"], &[("p", "Once", "a reason")]).len(), 1);
    }

    #[test]
    fn test_code_and_words_in_texts_are_no_types() {
        let tree = tree([
            ("src/lib.rs", "mod a;\nstruct A;\n#[cfg(test)]\nmod tests { struct A; }\n"),
            ("src/a.rs", "/// struct A\nfn f() -> &'static str { \"struct A\" }\n"),
        ]);
        assert!(check(&tree, &["p"], &[]).is_empty());
    }

    #[test]
    fn words_of_a_name_are_counted() {
        let one_word =
            |name: &str| TypeName { name: name.into(), file: String::new(), line: 1 }.is_one_word();
        assert!(one_word("Desk"));
        assert!(one_word("Http2"));
        assert!(!one_word("WriteOutcome"));
        assert!(!one_word("IO"));
    }
}
