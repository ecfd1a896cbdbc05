//! Comments and documentation as text: how a block begins, how wide a line is, how many there are.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::{File, LitStr};

use crate::finding::Finding;
use crate::manifest::{TargetKind, packages};
use crate::modules::modules;
use crate::rust;
use crate::tree::Tree;

/// Columns that a line of comment or documentation may have, as rustfmt allows for code.
pub const COLUMNS_MAX: usize = 100;

/// Words that begin a block without saying what the item is: questions, pronouns, prepositions.
///
/// RFC 1574 and rustdoc's own guide ask for a summary that begins with a noun phrase or with a verb
/// in the third person.
const HEADLESS: [&str; 44] = [
    "above", "after", "also", "and", "as", "at", "before", "behind", "below", "beside", "between",
    "but", "by", "for", "from", "how", "if", "in", "into", "it", "its", "not", "nothing", "of",
    "on", "only", "out", "so", "that", "their", "then", "they", "to", "until", "what", "when",
    "where", "whether", "which", "who", "whose", "why", "with", "without",
];

/// A run of doc comment lines that belong to one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocBlock {
    /// The first line, from 1.
    pub line: usize,
    /// The first word, as written.
    pub first_word: String,
}

impl DocBlock {
    /// Returns true if the block begins with neither a noun phrase nor a verb.
    #[must_use]
    pub fn is_headless(&self) -> bool {
        let word = self.first_word.trim_end_matches(['.', ',', ':', ';', '?']);
        HEADLESS.contains(&word.to_lowercase().as_str())
    }
}

/// The doc blocks of a file, also those within macros.
#[must_use]
pub fn doc_blocks(file: &File) -> Vec<DocBlock> {
    let mut lines = Vec::new();
    doc_lines(rust::tokens(file), &mut lines);
    let mut blocks = Vec::new();
    let mut last: Option<(usize, bool)> = None;
    for (line, is_inner, text) in lines {
        let follows = last.is_some_and(|(before, inner)| before + 1 == line && inner == is_inner);
        if !follows {
            let first_word = text.split_whitespace().next().unwrap_or_default().to_owned();
            blocks.push(DocBlock { line, first_word });
        }
        last = Some((line, is_inner));
    }
    blocks
}

fn doc_lines(tokens: TokenStream, found: &mut Vec<(usize, bool, String)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rust::after_documentation(rest) {
            // `#[doc]` or `#![doc]`: the group stands right before what follows.
            let is_inner = rest.len() - after.len() == 3;
            if let Some(TokenTree::Group(group)) = rest.get(rest.len() - after.len() - 1)
                && let Some(TokenTree::Literal(text)) = group.stream().into_iter().nth(2)
                && let Ok(text) = syn::parse2::<LitStr>(TokenTree::from(text).into())
            {
                found.push((first.span().start().line, is_inner, text.value()));
            }
            rest = after;
            continue;
        }
        if let TokenTree::Group(group) = first {
            doc_lines(group.stream(), found);
        }
        rest = after;
    }
}

/// A line that is only a `//` comment, with what follows the slashes; documentation is none.
pub fn comment_lines<'a>(
    text: &'a str,
    code: &'a BTreeSet<usize>,
) -> impl Iterator<Item = (usize, &'a str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_start())).filter_map(
        |(number, line)| {
            let comment = line.strip_prefix("//")?;
            let is_doc = comment.starts_with('!')
                || (comment.starts_with('/') && !comment.starts_with("//"));
            // A string over several lines may hold what looks like a comment.
            (!is_doc && !code.contains(&number)).then_some((number, comment))
        },
    )
}

/// Finds headless doc blocks, and lines of comment or documentation over [`COLUMNS_MAX`], in the
/// libraries and programs of these packages, their unit tests included.
#[must_use]
pub fn check(tree: &Tree, names: &[&str]) -> Vec<Finding> {
    let (mut packages, mut findings) = packages(tree);
    packages.retain(|package| names.contains(&package.name.as_str()));
    let mut seen = BTreeSet::new();
    for (_, target, module) in modules(tree, &packages) {
        if target.kind == TargetKind::Aside {
            continue;
        }
        let Some(text) = tree.text(&module.file) else { continue };
        if !seen.insert(module.file.clone()) {
            continue;
        }
        for block in doc_blocks(&module.syntax).iter().filter(|block| block.is_headless()) {
            let what = format!("this documentation begins with `{}`", block.first_word);
            let remedy = "begin with a noun phrase, or with a verb in the third person";
            findings.push(Finding::new(&module.file, block.line, what, remedy));
        }
        let code = code_lines(&module.syntax);
        for (index, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            let is_comment = line.trim_start().starts_with("//") && !code.contains(&(index + 1));
            if is_comment && columns > COLUMNS_MAX {
                let what =
                    format!("a comment of {columns} columns, and {COLUMNS_MAX} are the limit");
                findings.push(Finding::new(&module.file, index + 1, what, "break the line"));
            }
        }
    }
    findings
}

/// The numbers of all lines that hold code.
#[must_use]
pub fn code_lines(file: &File) -> BTreeSet<usize> {
    let mut lines = BTreeSet::new();
    rust::each_line_of_code(rust::tokens(file), &mut |first, last| lines.extend(first..=last));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<usize> {
        let tree = Tree::of([("Cargo.toml", "[package]\nname = \"p\"\n"), ("src/lib.rs", text)]);
        check(&tree, &["p"]).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_headless_block_is_found_wherever_it_stands() {
        assert_eq!(faults("//! What this is.\n"), [1]);
        assert_eq!(faults("//! Words.\n\n/// Of a thing.\n/// What follows.\nfn f() {}\n"), [3]);
        assert_eq!(faults("struct A {\n    /// Whether it is.\n    b: bool,\n}\n"), [2]);
        assert_eq!(faults("words! {\n    /// Nothing.\n    A,\n}\n"), [2]);
        assert_eq!(faults("enum A {\n    /// B.\n    B,\n    /// If, then.\n    C,\n}\n"), [4]);
        assert_eq!(faults("#[cfg(test)]\nmod tests {\n    /// It works.\n    fn f() {}\n}\n"), [3]);
    }

    #[test]
    fn nouns_verbs_code_and_second_lines_pass() {
        let text = "//! A module.\n//! What it is not.\n\n/// Returns a thing.\nfn f() {}\n\
                    /// `None` if there is none.\nfn g() {}\n/// [`what`] it says.\nfn h() {}\n\
                    // What a comment may begin with.\nfn i() -> &'static str { \"/// What\" }\n";
        assert_eq!(faults(text), [] as [usize; 0]);
    }

    #[test]
    fn wide_comments_are_found_and_wide_strings_pass() {
        let wide = "x".repeat(COLUMNS_MAX - 2);
        assert_eq!(faults(&format!("//{wide}\n///{wide}\nfn f() {{}}\n")), [2]);
        assert_eq!(faults(&format!("fn f() -> &'static str {{\n    \"a\n//{wide}y\n\"\n}}\n")), []);
    }

    #[test]
    fn comments_are_told_from_documentation_and_strings() {
        let text = "//! Doc.\n// One.\n/// Doc.\nfn f() -> &'static str {\n    // Two.\n    \"a\n// no\n\"\n}\n//// Four.\n";
        let code = code_lines(&rust::parse("a.rs", text).unwrap());
        let lines: Vec<usize> = comment_lines(text, &code).map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 5, 10]);
    }
}
