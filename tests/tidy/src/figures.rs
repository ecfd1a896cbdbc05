//! Figures of how the code reads, per crate: for a table before and after a change of names.

use std::fmt;

use crate::circles::circles_of;
use crate::manifest::{Package, TargetKind, packages};
use crate::modules::modules_of;
use crate::prose::{COLUMNS_MAX, code_lines, comment_lines, doc_blocks};
use crate::rust;
use crate::tree::Tree;
use crate::types::{homonyms, types_of};

/// Figures of one crate, its test code left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The package.
    pub package: String,
    /// Files.
    pub files: usize,
    /// Lines, blank ones too.
    pub lines: usize,
    /// Lines of code of the longest file.
    pub longest: usize,
    /// Doc blocks.
    pub docs: usize,
    /// Doc blocks that begin with neither a noun phrase nor a verb.
    pub headless: usize,
    /// Types.
    pub types: usize,
    /// Types whose name is one word.
    pub one_word: usize,
    /// Types whose name the crate defines more than once.
    pub homonyms: usize,
    /// Lines that are only a comment.
    pub comments: usize,
    /// Lines of comment or documentation over [`COLUMNS_MAX`].
    pub wide: usize,
    /// Circles of files.
    pub circles: usize,
}

/// The heading of the table that [`Figures`] are the rows of.
pub const HEADING: &str = "\
| crate | files | lines | longest file | headless docs | one-word types | types defined twice | `//` comments | wide comments | circles |
|---|---|---|---|---|---|---|---|---|---|";

/// The figures of each package that has a library or a program.
#[must_use]
pub fn figures(tree: &Tree, products: &[&str]) -> Vec<Figures> {
    let (packages, _) = packages(tree);
    packages
        .iter()
        .filter(|package| products.contains(&package.name.as_str()))
        .map(|package| of_package(tree, package))
        .collect()
}

fn of_package(tree: &Tree, package: &Package) -> Figures {
    let mut sum = Figures { package: package.name.clone(), ..Figures::default() };
    for target in package.targets.iter().filter(|target| target.kind != TargetKind::Aside) {
        for mut module in modules_of(tree, target).0 {
            let Some(text) = tree.text(&module.file).filter(|_| !module.test_only) else {
                continue;
            };
            let all_code = code_lines(&module.syntax);
            rust::drop_test_code(&mut module.syntax);
            let docs = doc_blocks(&module.syntax);
            let code = code_lines(&module.syntax);
            // Tests stand at the bottom of a file.
            let end = code.last().copied().unwrap_or(0).max(1);
            sum.files += 1;
            sum.lines += end;
            sum.longest = sum.longest.max(code.len());
            sum.docs += docs.len();
            sum.headless += docs.iter().filter(|block| block.is_headless()).count();
            sum.comments += comment_lines(text, &all_code).filter(|(line, _)| *line <= end).count();
            let lines = text.lines().take(end).enumerate();
            sum.wide += lines
                .filter(|(index, line)| {
                    line.trim_start().starts_with("//")
                        && !all_code.contains(&(index + 1))
                        && line.chars().count() > COLUMNS_MAX
                })
                .count();
        }
    }
    let types = types_of(tree, package);
    sum.types = types.len();
    sum.one_word = types.iter().filter(|one| one.is_one_word()).count();
    sum.homonyms = homonyms(&types).values().map(Vec::len).sum();
    sum.circles = circles_of(tree, package).len();
    sum
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.package,
            self.files,
            self.lines,
            self.longest,
            Share(self.headless, self.docs),
            Share(self.one_word, self.types),
            Share(self.homonyms, self.types),
            Share(self.comments, self.lines),
            self.wide,
            self.circles,
        )
    }
}

/// A part of a whole, printed in percent and as both numbers.
struct Share(usize, usize);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(part, whole) = *self;
        // In tenths of a percent, rounded half up.
        let tenths = (part * 2000 + whole) / (whole * 2).max(1);
        write!(f, "{}.{} % ({part} of {whole})", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_a_small_crate() {
        let tree = Tree::of([
            ("Cargo.toml", "[package]\nname = \"p\"\n"),
            ("src/lib.rs", "//! What.\n\nmod a;\nmod b;\n// Why.\nstruct One;\n"),
            ("src/a.rs", "//! A file.\nuse crate::b::TwoWords;\nstruct One;\n"),
            (
                "src/b.rs",
                "use crate::a::One;\nstruct TwoWords;\n\n#[cfg(test)]\nmod tests {\n    // No.\n    struct One;\n}\n",
            ),
        ]);
        let found = figures(&tree, &["p"]);
        assert_eq!(
            found,
            [Figures {
                package: "p".into(),
                files: 3,
                lines: 11,
                longest: 3,
                docs: 2,
                headless: 1,
                types: 3,
                one_word: 2,
                homonyms: 2,
                comments: 1,
                wide: 0,
                circles: 1,
            }]
        );
        assert_eq!(
            found[0].to_string(),
            "| p | 3 | 11 | 3 | 50.0 % (1 of 2) | 66.7 % (2 of 3) | 66.7 % (2 of 3) | 9.1 % (1 of 11) | 0 | 1 |"
        );
    }
}
