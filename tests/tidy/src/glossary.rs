//! Words: every term that the glossary defines is a word of the product's code.
//!
//! Identifiers, strings and doc comments count; other comments and tests do not.

use proc_macro2::{TokenStream, TokenTree};

use crate::finding::Finding;
use crate::manifest::{TargetKind, packages};
use crate::modules::modules;
use crate::order::ORDERS;
use crate::rust;
use crate::tree::Tree;

const GLOSSARY: &str = "docs/glossary.md";

/// Finds terms of the glossary's tables that no product code uses, and terms defined twice.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(GLOSSARY) else {
        return vec![Finding::new(GLOSSARY, 1, "there is no glossary", "write one")];
    };
    let words = words_of_product(tree);
    let mut findings = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for (line, term) in terms(text) {
        let spelled = spell(&term);
        if known.contains(&spelled) {
            let what = format!("`{term}` is defined twice");
            findings.push(Finding::new(GLOSSARY, line, what, "keep one of the two"));
        }
        if !words.contains(&format!(" {spelled} ")) && !words.contains(&format!(" {spelled}s ")) {
            let what = format!("no product code uses the term `{term}`");
            let remedy = "use the word in code, or take the row out";
            findings.push(Finding::new(GLOSSARY, line, what, remedy));
        }
        known.push(spelled);
    }
    findings
}

/// The first cell of each row of each table, with its line.
fn terms(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_body = false;
    for (index, line) in text.lines().enumerate() {
        let Some(row) = line.trim().strip_prefix('|') else {
            in_body = false;
            continue;
        };
        let first = row.split('|').next().unwrap_or_default().trim();
        if !first.is_empty() && first.chars().all(|letter| letter == '-' || letter == ':') {
            in_body = true;
        } else if in_body {
            found.push((index + 1, first.replace(['*', '`'], "").trim().to_owned()));
        }
    }
    found
}

/// All words of the product in a row, with gaps where one piece of text ends.
fn words_of_product(tree: &Tree) -> String {
    let (packages, _) = packages(tree);
    let mut words = String::from(" ");
    for (package, target, mut module) in modules(tree, &packages) {
        let is_product = ORDERS.iter().any(|order| order.package == package.name)
            && target.kind != TargetKind::Aside
            && !module.test_only;
        if is_product {
            rust::drop_test_code(&mut module.syntax);
            collect(rust::tokens(&module.syntax), &mut words);
        }
    }
    words
}

fn collect(tokens: TokenStream, words: &mut String) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    let mut documentation = String::new();
    while let Some((token, after)) = rest.split_first() {
        if let Some(after) = rust::after_documentation(rest) {
            // Lines of one comment are one text: a term may break across them.
            let skipped = rest.len() - after.len();
            for token in rest.iter().take(skipped) {
                if let TokenTree::Group(group) = token {
                    documentation.push_str(&literals(group.stream()));
                    documentation.push(' ');
                }
            }
            rest = after;
            continue;
        }
        push(&std::mem::take(&mut documentation), words);
        match token {
            TokenTree::Group(group) => collect(group.stream(), words),
            TokenTree::Ident(ident) => push(&ident.to_string(), words),
            TokenTree::Literal(literal) => push(&literal.to_string(), words),
            TokenTree::Punct(_) => {}
        }
        rest = after;
    }
    push(&documentation, words);
}

fn literals(tokens: TokenStream) -> String {
    tokens
        .into_iter()
        .filter_map(|token| match token {
            TokenTree::Literal(literal) => Some(unescape(&literal)),
            _ => None,
        })
        .collect()
}

fn unescape(literal: &proc_macro2::Literal) -> String {
    syn::parse_str::<syn::LitStr>(&literal.to_string())
        .map_or_else(|_| literal.to_string(), |text| text.value())
}

fn push(text: &str, words: &mut String) {
    let spelled = spell(text);
    if !spelled.is_empty() {
        words.push_str(&spelled);
        words.push_str(" | ");
    }
}

/// A text as lower-case words: `TrustNamespace`, `trust_namespace`, "trust namespace" are the same.
fn spell(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut spelled = String::new();
    for (index, &letter) in letters.iter().enumerate() {
        let (before, after) = letters.split_at(index);
        if begins_word(before, letter, after) && !spelled.ends_with(' ') {
            spelled.push(' ');
        }
        if letter.is_alphanumeric() {
            spelled.extend(letter.to_lowercase());
        }
    }
    spelled.trim().to_owned()
}

/// Returns true if a word ends before this letter; `from` begins with the letter itself.
fn begins_word(before: &[char], letter: char, from: &[char]) -> bool {
    let Some(&last) = before.last() else { return false };
    let is_lower = |letter: Option<&char>| letter.is_some_and(|letter| letter.is_lowercase());
    // The plural of capitals (`CAs`) is one word.
    let is_plural = from.get(1) == Some(&'s') && !is_lower(from.get(2));
    let ends_capitals = last.is_uppercase() && is_lower(from.get(1)) && !is_plural;
    !letter.is_alphanumeric()
        || last.is_numeric() != letter.is_numeric()
        || letter.is_uppercase() && (last.is_lowercase() || ends_capitals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(terms: &[&str], code: &str) -> Vec<String> {
        let rows: String = terms.iter().map(|term| format!("| {term} | meaning |\n")).collect();
        let glossary = format!("# Words\n\n| term | meaning |\n|---|---|\n{rows}\nrest\n");
        let tree = Tree::of([
            ("Cargo.toml", "[package]\nname = \"trustd-core\"\n"),
            ("src/lib.rs", code),
            (GLOSSARY, &glossary),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unused_term_is_found_at_its_line() {
        assert_eq!(
            faults(&["bundle", "sparrow"], "struct Bundle;"),
            ["docs/glossary.md:6: no product code uses the term `sparrow`; \
              use the word in code, or take the row out"]
        );
    }

    #[test]
    fn a_term_may_be_an_identifier_a_string_or_documentation() {
        for (term, code) in [
            ("trust namespace", "fn trust_namespace() {}"),
            ("Trust Namespace", "struct TrustNamespace;"),
            ("**trust namespace**", "const A: &str = \"the trust namespace!\";"),
            ("trust namespace", "/// of the trust\n/// namespace\nstruct A;"),
            ("trust namespace", "m! { /// The trust namespace.\n A }"),
            ("trust namespace", "//! Trust namespaces.\n"),
            ("`PKCS#12`", "struct Pkcs12;"),
            ("default CA", "struct DefaultCas;"),
            ("CA", "/// All CAs.\nstruct A;"),
        ] {
            assert!(faults(&[term], code).is_empty(), "{term} in {code}");
        }
    }

    #[test]
    fn comments_tests_parts_of_words_and_neighbours_do_not_count() {
        for code in [
            "// hop\n",
            "#[cfg(test)] mod tests { fn hop() {} }",
            "fn shop() {} fn hope() {}",
            "fn tr() {} fn ust() {}",
        ] {
            assert_eq!(faults(&["hop"], code).len(), 1, "{code}");
        }
        assert_eq!(faults(&["trust namespace"], "fn trust() {} fn namespace() {}").len(), 1);
    }

    #[test]
    fn code_outside_of_the_product_does_not_count() {
        let tree = Tree::of([
            ("Cargo.toml", "[package]\nname = \"tidy\"\n"),
            ("src/lib.rs", "fn hop() {}"),
            (GLOSSARY, "| term | meaning |\n|---|---|\n| hop | x |\n"),
        ]);
        assert_eq!(check(&tree).len(), 1);
    }

    #[test]
    fn a_term_is_defined_once_and_the_glossary_exists() {
        assert_eq!(faults(&["hop", "Hop"], "fn hop() {}").len(), 1);
        assert_eq!(check(&Tree::default()).len(), 1);
    }
}
