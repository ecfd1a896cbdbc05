//! The files of each target, found as rustc finds them: from the root file along `mod`.

use std::collections::BTreeSet;

use syn::{Expr, ExprLit, File, Item, ItemMod, Lit, Meta};

use crate::finding::Finding;
use crate::manifest::{Package, Target};
use crate::rust;
use crate::tree::{Tree, folder_of, join};

/// A file as part of a target.
#[derive(Clone)]
pub struct Module {
    /// The path of the file.
    pub file: String,
    /// Names from the root of the crate to the module; empty for the root itself.
    pub path: Vec<String>,
    /// True if only tests compile it.
    pub test_only: bool,
    /// The syntax.
    pub syntax: File,
}

/// All files that a target compiles; files without a readable syntax come back as findings.
#[must_use]
pub fn modules_of(tree: &Tree, target: &Target) -> (Vec<Module>, Vec<Finding>) {
    let mut walk = Walk { tree, seen: BTreeSet::new(), found: Vec::new(), findings: Vec::new() };
    walk.file(&target.root, folder_of(&target.root), Vec::new(), false);
    (walk.found, walk.findings)
}

/// All files of all targets of all packages, each with its package.
#[must_use]
pub fn modules<'a>(tree: &Tree, packages: &'a [Package]) -> Vec<(&'a Package, &'a Target, Module)> {
    packages
        .iter()
        .flat_map(|package| package.targets.iter().map(move |target| (package, target)))
        .flat_map(|(package, target)| {
            let (found, _) = modules_of(tree, target);
            found.into_iter().map(move |module| (package, target, module))
        })
        .collect()
}

struct Walk<'a> {
    tree: &'a Tree,
    seen: BTreeSet<String>,
    found: Vec<Module>,
    findings: Vec<Finding>,
}

impl Walk<'_> {
    /// `children` is the folder in which the file's own `mod`s lie.
    fn file(&mut self, file: &str, children: &str, path: Vec<String>, test_only: bool) {
        let Some(text) = self.tree.text(file) else { return };
        if !self.seen.insert(file.to_owned()) {
            return;
        }
        match rust::parse(file, text) {
            Ok(syntax) => {
                self.items(&syntax.items, file, Place::File { children }, &path, test_only);
                self.found.push(Module { file: file.to_owned(), path, test_only, syntax });
            }
            Err(finding) => self.findings.push(finding),
        }
    }

    fn items(
        &mut self,
        items: &[Item],
        file: &str,
        place: Place<'_>,
        path: &[String],
        test_only: bool,
    ) {
        for item in items {
            let Item::Mod(module) = item else { continue };
            let test_only = test_only || rust::is_test_only(&module.attrs);
            let name = module.ident.to_string();
            let name = name.trim_start_matches("r#");
            let mut path = path.to_vec();
            path.push(name.to_owned());
            let told = path_attribute(module);
            if let Some((_, items)) = &module.content {
                let folder = match &told {
                    Some(told) => join(place.told_from(file), told),
                    None => join(place.children(), name),
                };
                let Some(folder) = folder else { continue };
                self.items(items, file, Place::Inline { folder: &folder }, &path, test_only);
            } else if let Some(told) = &told {
                let Some(target) = join(place.told_from(file), told) else { continue };
                // A file named by `#[path]` keeps its own modules beside it, like `mod.rs`.
                self.file(&target, folder_of(&target), path, test_only);
            } else if let Some(folder) = join(place.children(), name) {
                self.file(&format!("{folder}.rs"), &folder, path.clone(), test_only);
                self.file(&format!("{folder}/mod.rs"), &folder, path, test_only);
            }
        }
    }
}

/// The place where a `mod` is written, which decides where its file is looked for.
#[derive(Clone, Copy)]
enum Place<'a> {
    File { children: &'a str },
    Inline { folder: &'a str },
}

impl<'a> Place<'a> {
    fn children(self) -> &'a str {
        match self {
            Self::File { children } => children,
            Self::Inline { folder } => folder,
        }
    }

    fn told_from<'b>(self, file: &'b str) -> &'b str
    where
        'a: 'b,
    {
        match self {
            Self::File { .. } => folder_of(file),
            Self::Inline { folder } => folder,
        }
    }
}

fn path_attribute(module: &ItemMod) -> Option<String> {
    module.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::TargetKind;

    fn walk(tree: &Tree, root: &str) -> Vec<(String, String, bool)> {
        let target = Target { root: root.into(), kind: TargetKind::Lib };
        let (found, findings) = modules_of(tree, &target);
        assert!(findings.is_empty(), "{findings:?}");
        let mut found: Vec<_> = found
            .into_iter()
            .map(|module| (module.file, module.path.join("::"), module.test_only))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn follows_mod_as_rustc_does() {
        let tree = Tree::of([
            (
                "src/lib.rs",
                "mod a; mod b; mod inline { mod deep; } #[path = \"odd/name.rs\"] mod c;\n\
                 #[cfg(test)] mod check; // mod comment;\n",
            ),
            ("src/a.rs", "mod below;"),
            ("src/a/below.rs", "#[path = \"told.rs\"] mod told;"),
            ("src/a/told.rs", ""),
            ("src/b/mod.rs", "mod leaf;"),
            ("src/b/leaf.rs", ""),
            ("src/inline/deep.rs", ""),
            ("src/odd/name.rs", "mod beside;"),
            ("src/odd/beside.rs", ""),
            ("src/check.rs", ""),
            ("src/comment.rs", ""),
        ]);
        let found = walk(&tree, "src/lib.rs");
        let found: Vec<(&str, &str, bool)> = found
            .iter()
            .map(|(file, path, test_only)| (file.as_str(), path.as_str(), *test_only))
            .collect();
        assert_eq!(
            found,
            [
                ("src/a.rs", "a", false),
                ("src/a/below.rs", "a::below", false),
                ("src/a/told.rs", "a::below::told", false),
                ("src/b/leaf.rs", "b::leaf", false),
                ("src/b/mod.rs", "b", false),
                ("src/check.rs", "check", true),
                ("src/inline/deep.rs", "inline::deep", false),
                ("src/lib.rs", "", false),
                ("src/odd/beside.rs", "c::beside", false),
                ("src/odd/name.rs", "c", false),
            ]
        );
    }
}
