//! Circles of files: files of one crate that use each other, directly or through others.
//!
//! An arrow leads from the file that names a path to the file that defines what the path ends in,
//! through re-exports. A module's arrows to its own children do not count: `a.rs` stands for the
//! folder `a/`, and declares, re-exports and calls what is in it. Test code is left out.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Item, UseTree};

use crate::finding::Finding;
use crate::manifest::{Package, TargetKind, packages};
use crate::modules::modules_of;
use crate::rust::{self, after_punct};
use crate::tree::Tree;

/// Names from the root of a crate.
type Path = Vec<String>;

/// Re-exports followed before a path is given up: more than any crate here has in a row.
const HOPS_MAX: usize = 16;

/// A set of files in which each can be reached from each, with the arrows that make it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// The files, sorted.
    pub files: Vec<String>,
    /// Arrows between them: user, line of the first use, used.
    pub arrows: Vec<(String, usize, String)>,
}

/// Finds circles of files in the product crates.
#[must_use]
pub fn check(tree: &Tree, products: &[&str]) -> Vec<Finding> {
    let (packages, mut findings) = packages(tree);
    for package in packages.iter().filter(|one| products.contains(&one.name.as_str())) {
        for circle in circles_of(tree, package) {
            let files = circle.files.join(", ");
            for (user, line, used) in circle.arrows {
                let what = format!("uses `{used}`, and both are in the circle {files}");
                let remedy = "move what both need into a file below both";
                findings.push(Finding::new(&user, line, what, remedy));
            }
        }
    }
    findings
}

/// The circles of a package's library and programs.
#[must_use]
pub fn circles_of(tree: &Tree, package: &Package) -> Vec<Circle> {
    let targets = package.targets.iter().filter(|target| target.kind != TargetKind::Aside);
    targets
        .flat_map(|target| {
            let mut scopes = Scopes::default();
            for mut module in modules_of(tree, target).0 {
                if !module.test_only {
                    rust::drop_test_code(&mut module.syntax);
                    scopes.read(&module.path, &module.file, &module.syntax.items);
                }
            }
            circles(&scopes.arrows())
        })
        .collect()
}

/// A module: what it defines and what it names.
#[derive(Debug, Default)]
struct Scope {
    file: String,
    items: BTreeSet<String>,
    /// Imported and re-exported names, each with the path as written.
    imports: BTreeMap<String, Path>,
    /// Modules that `*` was imported from, as written.
    globs: Vec<Path>,
    /// Every path in the module's code, with its line, as written.
    named: Vec<(Path, usize)>,
}

/// The modules of one target, by their path.
#[derive(Debug, Default)]
struct Scopes(BTreeMap<Path, Scope>);

/// A user's file, the used file, and the first line that says so.
type Arrows = BTreeMap<String, BTreeMap<String, usize>>;

impl Scopes {
    fn read(&mut self, path: &Path, file: &str, items: &[Item]) {
        let mut scope = Scope { file: file.to_owned(), ..Scope::default() };
        for item in items {
            match item {
                Item::Mod(module) => {
                    if let Some((_, items)) = &module.content {
                        let mut inner = path.clone();
                        inner.push(name_of(&module.ident));
                        self.read(&inner, file, items);
                    }
                    continue;
                }
                Item::Use(item) => scope.import(&item.tree, Vec::new()),
                _ => scope.items.extend(defined_by(item)),
            }
            scope.scan(item.to_token_stream());
        }
        self.0.insert(path.clone(), scope);
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (module, scope) in &self.0 {
            for (path, line) in &scope.named {
                let Some(path) = self.absolute(module, path) else { continue };
                let Some((owner, used)) = self.definition(&path, HOPS_MAX) else { continue };
                if used.file == scope.file || owner.starts_with(module) {
                    continue;
                }
                let lines = arrows.entry(scope.file.clone()).or_default();
                let first = lines.entry(used.file.clone()).or_insert(*line);
                *first = (*first).min(*line);
            }
        }
        arrows
    }

    /// The path from the root of the crate; `None` if it leads out of the crate or to a local name.
    fn absolute(&self, module: &Path, path: &[String]) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let mut from = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => module.split_last()?.1.to_vec(),
            name => {
                let mut child = module.clone();
                child.push(name.to_owned());
                if self.0.contains_key(&child) {
                    child
                } else {
                    let import = self.0.get(module)?.imports.get(name)?;
                    // An import that begins with its own name comes from another crate.
                    (import.first() != Some(first)).then(|| self.absolute(module, import))??
                }
            }
        };
        let mut rest = rest;
        while let Some((first, after)) = rest.split_first()
            && first == "super"
        {
            from.pop();
            rest = after;
        }
        from.extend(rest.iter().cloned());
        Some(from)
    }

    /// The module that defines what a path from the root ends in.
    fn definition(&self, path: &[String], hops: usize) -> Option<(&Path, &Scope)> {
        self.defined(path, hops).or_else(|| {
            // A macro may define what no item shows.
            let depth = self.deepest(path);
            self.0.get_key_value(path.get(..depth)?)
        })
    }

    fn defined(&self, path: &[String], hops: usize) -> Option<(&Path, &Scope)> {
        let hops = hops.checked_sub(1)?;
        let (module, rest) = path.split_at(self.deepest(path));
        let found = self.0.get_key_value(module)?;
        let Some((name, rest)) = rest.split_first() else { return Some(found) };
        let (module, scope) = found;
        if scope.items.contains(name) {
            return Some(found);
        }
        if let Some(import) = scope.imports.get(name) {
            let mut target = self.absolute(module, import)?;
            target.extend(rest.iter().cloned());
            return self.defined(&target, hops);
        }
        scope.globs.iter().find_map(|glob| {
            let mut target = self.absolute(module, glob)?;
            target.push(name.clone());
            target.extend(rest.iter().cloned());
            self.defined(&target, hops)
        })
    }

    /// The number of names at the start of a path that are modules.
    fn deepest(&self, path: &[String]) -> usize {
        let is_module =
            |depth: usize| path.get(..depth).is_some_and(|path| self.0.contains_key(path));
        (0..=path.len()).rev().find(|&depth| is_module(depth)).unwrap_or(0)
    }
}

impl Scope {
    fn import(&mut self, tree: &UseTree, mut prefix: Path) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(name_of(&path.ident));
                self.import(&path.tree, prefix);
            }
            UseTree::Name(name) if name.ident == "self" => {
                if let Some(last) = prefix.last().cloned() {
                    self.imports.insert(last, prefix);
                }
            }
            UseTree::Name(name) => {
                prefix.push(name_of(&name.ident));
                self.imports.insert(name_of(&name.ident), prefix);
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    prefix.push(name_of(&rename.ident));
                }
                self.imports.insert(name_of(&rename.rename), prefix);
            }
            UseTree::Glob(_) => self.globs.push(prefix),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, prefix.clone()));
            }
        }
    }

    /// Collects the paths in tokens, also those within macros and those of `use` in a function.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let Some((token, after)) = rest.split_first() {
            if let Some(after) = rust::after_documentation(rest) {
                rest = after;
                continue;
            }
            rest = match token {
                TokenTree::Ident(_) => self.path(rest, &Vec::new()),
                TokenTree::Group(group) => {
                    self.scan(group.stream());
                    after
                }
                // What follows is a method, a field, or a part of a path that was read before.
                TokenTree::Punct(dot) if dot.as_char() == '.' => match after.split_first() {
                    Some((TokenTree::Ident(_), after)) => after,
                    _ => after,
                },
                _ => after,
            };
        }
    }

    fn path<'t>(&mut self, tokens: &'t [TokenTree], prefix: &Path) -> &'t [TokenTree] {
        let mut path = prefix.clone();
        let mut rest = tokens;
        let line = tokens.first().map_or(0, |token| token.span().start().line);
        while let Some((token, after)) = rest.split_first() {
            match token {
                TokenTree::Ident(ident) => path.push(name_of(ident)),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let parts: Vec<TokenTree> = group.stream().into_iter().collect();
                    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
                    for part in parts.split(is_comma).filter(|part| !part.is_empty()) {
                        self.path(part, &path);
                    }
                    return after;
                }
                _ => break,
            }
            rest = after;
            match after_punct(after, ':').and_then(|after| after_punct(after, ':')) {
                Some(after) => rest = after,
                None => break,
            }
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        self.named.push((path, line));
        // What is no part of a path, as a `*` or a `<`, is read by whoever called.
        if rest.len() == tokens.len() { tokens.get(1..).unwrap_or_default() } else { rest }
    }
}

fn name_of(ident: &impl ToString) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

fn defined_by(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => name_of(&item.ident),
        Item::Enum(item) => name_of(&item.ident),
        Item::Fn(item) => name_of(&item.sig.ident),
        Item::Macro(item) => name_of(item.ident.as_ref()?),
        Item::Static(item) => name_of(&item.ident),
        Item::Struct(item) => name_of(&item.ident),
        Item::Trait(item) => name_of(&item.ident),
        Item::Type(item) => name_of(&item.ident),
        Item::Union(item) => name_of(&item.ident),
        _ => return None,
    })
}

/// Strongly connected components of more than one file.
///
/// Compares what can be reached from each file; a crate has some hundred files, so Tarjan's linear
/// algorithm would save milliseconds.
fn circles(arrows: &Arrows) -> Vec<Circle> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        arrows.keys().map(|file| (file, reach(arrows, file))).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (file, from_here) in &reached {
        let together: BTreeSet<&String> = from_here
            .iter()
            .copied()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(*file)))
            .collect();
        if !together.contains(*file) || !seen.insert(together.clone()) {
            continue;
        }
        let inner = together.iter().flat_map(|&user| {
            let used = arrows.get(user).into_iter().flatten();
            used.filter(|(used, _)| together.contains(used))
                .map(move |(used, line)| (user.clone(), *line, used.clone()))
        });
        let arrows = inner.collect();
        found.push(Circle { files: together.into_iter().cloned().collect(), arrows });
    }
    found
}

fn reach<'a>(arrows: &'a Arrows, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = arrows.get(from).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(arrows.get(file).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arrows of the circles that a crate with these files has.
    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let mut tree = Tree::of([("Cargo.toml", "[package]\nname = \"p\"\n")]);
        for (path, text) in files {
            tree = tree.with(path, text);
        }
        check(&tree, &["p"])
            .into_iter()
            .map(|found| format!("{}:{} {}", found.path, found.line, found.what))
            .collect()
    }

    fn two(a: &str, b: &str) -> usize {
        faults(&[
            ("src/lib.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\npub use b::*;\n"),
            ("src/a.rs", &format!("pub struct A;\n{a}")),
            ("src/b.rs", &format!("pub struct B;\n{b}")),
            ("src/c.rs", "use crate::a::A;\nuse crate::b::B;\n"),
        ])
        .len()
    }

    #[test]
    fn two_files_that_use_each_other_are_found_however_it_is_written() {
        for used in [
            "use crate::a::A;",
            "use super::a;\nfn f() { a::A; }",
            "use crate::{a::{A, self}};",
            "fn f() { crate::a::A; }",
            "fn f() { use crate::{a::A}; }",
            "fn f() { println!(\"{}\", crate::a::A) }",
            "use crate::A;",
            "use crate::a::*;",
            "mod inner { use super::super::a::A; }",
            "fn f(a: &super::a::A) {}",
        ] {
            assert_eq!(two("use crate::b::B;", used), 2, "{used}");
            assert_eq!(two("use crate::B;", used), 2, "{used}");
            assert_eq!(two("", used), 0, "{used}");
        }
    }

    #[test]
    fn a_circle_through_a_third_file_is_found_with_its_lines() {
        let found = faults(&[
            ("src/lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("src/a.rs", "use crate::b::B;\npub struct A;\n"),
            ("src/b.rs", "pub struct B;\nuse crate::c::C;\n"),
            ("src/c.rs", "//! Words.\n\npub struct C(super::a::A);\n"),
        ]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[1].starts_with("src/b.rs:2 uses `src/c.rs`"), "{found:?}");
        assert!(found[2].starts_with("src/c.rs:3 uses `src/a.rs`"), "{found:?}");
    }

    #[test]
    fn a_module_and_its_children_make_no_circle_but_two_children_do() {
        let child = |text: &str| {
            faults(&[
                ("src/lib.rs", "mod a;\n"),
                ("src/a.rs", "mod b;\nmod c;\npub use c::C;\npub struct A(b::B);\n"),
                ("src/a/b.rs", &format!("use super::A;\npub struct B;\n{text}")),
                ("src/a/c.rs", "use super::b::B;\npub struct C;\n"),
            ])
            .len()
        };
        assert_eq!(child(""), 0);
        assert_eq!(child("use super::c::C;"), 2);
        // The parent re-exports what its other child defines.
        assert_eq!(child("use super::C;"), 2);
    }

    #[test]
    fn tests_words_methods_and_other_crates_are_no_arrows() {
        for used in [
            "#[cfg(test)] mod tests { use crate::a::A; }",
            "/// [`crate::a::A`]\nfn f() {} // crate::a::A",
            "fn f() -> &'static str { \"crate::a::A\" }",
            "use a::A;",
            "fn f(b: B) { b.a::<u8>(); }",
        ] {
            assert_eq!(two("use crate::b::B;", used), 0, "{used}");
        }
    }

    #[test]
    fn other_packages_are_not_asked() {
        let tree = Tree::of([
            ("Cargo.toml", "[package]\nname = \"q\"\n"),
            ("src/lib.rs", "mod a;\nmod b;\n"),
            ("src/a.rs", "use crate::b::B;\npub struct A;\n"),
            ("src/b.rs", "use crate::a::A;\npub struct B;\n"),
        ]);
        assert!(check(&tree, &["p"]).is_empty());
        assert_eq!(check(&tree, &["q"]).len(), 2);
    }
}
