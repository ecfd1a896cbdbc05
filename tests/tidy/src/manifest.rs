//! Cargo.toml files: the packages, what they build and what they depend on.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::finding::Finding;
use crate::tree::{Tree, folder_of, join};

/// One package of the repository.
#[derive(Clone, Debug)]
pub struct Package {
    /// The name.
    pub name: String,
    /// The path of its Cargo.toml.
    pub manifest: String,
    /// Every dependency, of whatever kind.
    pub dependencies: Vec<Dependency>,
    /// The root files of its targets.
    pub targets: Vec<Target>,
}

/// A dependency as written in a manifest.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The name of the package, renames undone.
    pub package: String,
    /// The line of the manifest that says so.
    pub line: usize,
}

/// A root file that cargo compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Path of the root file.
    pub root: String,
    /// The kind.
    pub kind: TargetKind,
}

/// The kinds of targets that make a difference here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A build script, test, bench or example.
    Aside,
    /// A program.
    Bin,
    /// A library.
    Lib,
}

impl Package {
    /// The folder of the package.
    #[must_use]
    pub fn folder(&self) -> &str {
        folder_of(&self.manifest)
    }
}

type Table<'a> = DeTable<'a>;

/// All packages, and a finding for each manifest that cannot be read.
#[must_use]
pub fn packages(tree: &Tree) -> (Vec<Package>, Vec<Finding>) {
    let mut packages = Vec::new();
    let mut findings = Vec::new();
    let root = tree.text("Cargo.toml").and_then(|text| DeTable::parse(text).ok());
    let renames =
        root.as_ref().and_then(|root| table(table(root.get_ref(), "workspace")?, "dependencies"));
    for (path, text) in tree.texts(".toml") {
        if path != "Cargo.toml" && !path.ends_with("/Cargo.toml") {
            continue;
        }
        match DeTable::parse(text) {
            Ok(manifest) => packages.extend(package(tree, path, text, manifest.get_ref(), renames)),
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let what = format!("this is not TOML ({})", error.message());
                findings.push(Finding::new(path, line, what, "mend it"));
            }
        }
    }
    (packages, findings)
}

fn package(
    tree: &Tree,
    path: &str,
    text: &str,
    manifest: &Table<'_>,
    renames: Option<&Table<'_>>,
) -> Option<Package> {
    let about = table(manifest, "package")?;
    Some(Package {
        name: string(about, "name")?.to_owned(),
        manifest: path.to_owned(),
        dependencies: dependencies(text, manifest, renames),
        targets: targets(tree, folder_of(path), manifest, about),
    })
}

fn dependencies(text: &str, manifest: &Table<'_>, renames: Option<&Table<'_>>) -> Vec<Dependency> {
    let per_platform = table(manifest, "target").into_iter().flat_map(|platforms| {
        platforms.iter().filter_map(|(_, platform)| platform.get_ref().as_table())
    });
    let mut found = Vec::new();
    for holder in std::iter::once(manifest).chain(per_platform) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in table(holder, kind).into_iter().flat_map(Table::iter) {
                let name = key.get_ref().as_ref();
                let package = renamed(value).or_else(|| renamed(renames?.get(name)?));
                found.push(Dependency {
                    package: package.unwrap_or(name).to_owned(),
                    line: line_of(text, key.span().start),
                });
            }
        }
    }
    found
}

fn renamed<'a>(dependency: &'a Spanned<DeValue<'_>>) -> Option<&'a str> {
    string(dependency.get_ref().as_table()?, "package")
}

fn targets(tree: &Tree, folder: &str, manifest: &Table<'_>, about: &Table<'_>) -> Vec<Target> {
    let mut found: Vec<Target> = Vec::new();
    let mut add = |path: &str, kind: TargetKind| {
        if let Some(root) = join(folder, path)
            && tree.has_file(&root)
            && !found.iter().any(|target| target.root == root)
        {
            found.push(Target { root, kind });
        }
    };
    let lib = table(manifest, "lib").and_then(|lib| string(lib, "path"));
    add(lib.unwrap_or("src/lib.rs"), TargetKind::Lib);
    add(string(about, "build").unwrap_or("build.rs"), TargetKind::Aside);
    let kinds = [
        ("bin", "autobins", "src/bin", TargetKind::Bin),
        ("test", "autotests", "tests", TargetKind::Aside),
        ("bench", "autobenches", "benches", TargetKind::Aside),
        ("example", "autoexamples", "examples", TargetKind::Aside),
    ];
    for (section, switch, place, kind) in kinds {
        for entry in array_of_tables(manifest, section) {
            if let Some(path) = string(entry, "path") {
                add(path, kind);
            } else if let Some(name) = string(entry, "name") {
                add(&format!("{place}/{name}.rs"), kind);
                add(&format!("{place}/{name}/main.rs"), kind);
            }
        }
        if about.get(switch).and_then(|value| value.get_ref().as_bool()) == Some(false) {
            continue;
        }
        if kind == TargetKind::Bin {
            add("src/main.rs", kind);
        }
        let Some(place_in_tree) = join(folder, place) else { continue };
        for path in tree.paths_below(&place_in_tree) {
            let Some(rest) = crate::tree::below(path, &place_in_tree) else { continue };
            let depth = rest.matches('/').count();
            if rest.ends_with(".rs") && depth == 0 || rest.ends_with("/main.rs") && depth == 1 {
                add(&format!("{place}/{rest}"), kind);
            }
        }
    }
    found
}

fn table<'a, 'i>(table: &'a Table<'i>, key: &str) -> Option<&'a Table<'i>> {
    table.get(key)?.get_ref().as_table()
}

fn string<'a>(table: &'a Table<'_>, key: &str) -> Option<&'a str> {
    table.get(key)?.get_ref().as_str()
}

fn array_of_tables<'a, 'i>(table: &'a Table<'i>, key: &str) -> impl Iterator<Item = &'a Table<'i>> {
    let array = table.get(key).and_then(|value| value.get_ref().as_array());
    array.into_iter().flat_map(|array| array.iter()).filter_map(|entry| entry.get_ref().as_table())
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_dependencies_of_all_kinds_and_undoes_renames() {
        let tree = Tree::of([
            (
                "Cargo.toml",
                "[workspace.dependencies]\ncore = { package = \"real-core\", path = \"x\" }\n",
            ),
            (
                "p/Cargo.toml",
                "[package]\nname = \"p\"\n[dependencies]\na = \"1\"\ncore.workspace = true\n\
                 [dev-dependencies]\nb = { package = \"bee\", version = \"1\" }\n\
                 [target.'cfg(unix)'.build-dependencies]\nc = \"1\"\n",
            ),
        ]);
        let (packages, findings) = packages(&tree);
        assert!(findings.is_empty());
        let found: Vec<(&str, usize)> = packages[0]
            .dependencies
            .iter()
            .map(|dependency| (dependency.package.as_str(), dependency.line))
            .collect();
        assert_eq!(found, [("a", 4), ("real-core", 5), ("bee", 7), ("c", 9)]);
    }

    #[test]
    fn finds_declared_and_discovered_targets() {
        let tree = Tree::of([
            (
                "p/Cargo.toml",
                "[package]\nname = \"p\"\nautotests = false\n\
                 [[test]]\nname = \"far\"\npath = \"../tests/p/main.rs\"\n\
                 [[bench]]\nname = \"speed\"\nharness = false\n",
            ),
            ("p/src/lib.rs", ""),
            ("p/src/main.rs", ""),
            ("p/src/bin/tool.rs", ""),
            ("p/src/bin/large/main.rs", ""),
            ("p/src/bin/large/part.rs", ""),
            ("p/build.rs", ""),
            ("p/tests/undeclared.rs", ""),
            ("p/benches/speed.rs", ""),
            ("tests/p/main.rs", ""),
        ]);
        let (packages, _) = packages(&tree);
        let roots: Vec<&str> =
            packages[0].targets.iter().map(|target| target.root.as_str()).collect();
        assert_eq!(
            roots,
            [
                "p/src/lib.rs",
                "p/build.rs",
                "p/src/main.rs",
                "p/src/bin/large/main.rs",
                "p/src/bin/tool.rs",
                "tests/p/main.rs",
                "p/benches/speed.rs",
            ]
        );
    }

    #[test]
    fn broken_toml_is_a_finding_at_its_line() {
        let (_, findings) = packages(&Tree::of([("p/Cargo.toml", "[package]\nname = = 3\n")]));
        assert_eq!((findings[0].path.as_str(), findings[0].line), ("p/Cargo.toml", 2));
    }
}
