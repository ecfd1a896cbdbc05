//! The order of modules within each product crate: a module uses only those to its left.
//!
//! Nested modules belong to their top-level module. The crate root and test code may use anything.
//! Paths are read from tokens, so those inside macros count; what a macro *produces* is not seen.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{Item, UseTree, Visibility};

use crate::finding::Finding;
use crate::manifest::{Package, TargetKind, packages};
use crate::modules::{Module, modules_of};
use crate::rust::{self, after_documentation, after_punct};
use crate::tree::Tree;

/// The page where the orders are written down for people.
const PAGE: &str = "docs/architecture.md";

/// A product crate and its top-level modules, lowest first.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The package.
    pub package: &'static str,
    /// The modules, separated by spaces: each may use those before it.
    pub modules: &'static str,
}

/// The orders of the product crates.
pub const ORDERS: [Order; 6] = [
    Order {
        package: "trustd-core",
        modules: "escape names time pem certificate bundle selector spec format world plan outcome",
    },
    Order { package: "trustd-api", modules: "labels v1alpha1 validate object manifest" },
    Order { package: "trustd", modules: "exit settings cli files telemetry controller cmd" },
    Order {
        package: "tlsbench-core",
        modules: "units escape random words problem toml_file scenario hop placement lab proxyconf pace tally usage stats compare record calibration warning verdicts change aa search cost advice report",
    },
    Order {
        package: "tlsbench-engine",
        modules: "clock affinity netns shard tls http1 http2 wire session load hop probe process topology calibrate testserver run trial fuzzing",
    },
    Order {
        package: "tlsbench",
        modules: "exit settings cli build environment signals store record_file scenario progress lab cmd",
    },
];

/// The packages of [`ORDERS`].
pub const PRODUCTS: [&str; 6] =
    ["trustd-core", "trustd-api", "trustd", "tlsbench-core", "tlsbench-engine", "tlsbench"];

impl Order {
    fn rank(&self, module: &str) -> Option<usize> {
        self.modules.split(' ').position(|known| known == module)
    }
}

/// Finds modules off the list, upward uses, and roots that hide who uses what.
#[must_use]
pub fn check(tree: &Tree, orders: &[Order]) -> Vec<Finding> {
    let (packages, mut findings) = packages(tree);
    for order in orders {
        if let Some(package) = packages.iter().find(|package| package.name == order.package) {
            check_package(tree, package, order, &mut findings);
        }
    }
    findings
}

/// Finds orders that the architecture page does not state in the same words.
#[must_use]
pub fn check_page(tree: &Tree, orders: &[Order]) -> Vec<Finding> {
    let page = tree.text(PAGE).unwrap_or_default();
    let lines: Vec<Vec<&str>> =
        page.lines().map(|line| line.split_whitespace().collect()).collect();
    orders
        .iter()
        .filter(|order| {
            let wanted: Vec<&str> =
                std::iter::once(order.package).chain(order.modules.split(' ')).collect();
            !lines.contains(&wanted)
        })
        .map(|order| {
            let Order { package, modules } = order;
            let what = format!("no line says `{package} {modules}`");
            Finding::new(PAGE, 1, what, "keep the page and tests/tidy/src/order.rs in step")
        })
        .collect()
}

fn check_package(tree: &Tree, package: &Package, order: &Order, findings: &mut Vec<Finding>) {
    for target in package.targets.iter().filter(|target| target.kind != TargetKind::Aside) {
        let (modules, unreadable) = modules_of(tree, target);
        findings.extend(unreadable);
        let Some(root) = modules.iter().find(|module| module.path.is_empty()) else { continue };
        let exported = check_root(root, order, findings);
        for mut module in modules {
            if module.test_only || module.path.is_empty() {
                continue;
            }
            rust::drop_test_code(&mut module.syntax);
            let mut reader = Reader { module: &module, order, exported: &exported, findings };
            reader.read(rust::tokens(&module.syntax), module.path.len());
        }
    }
}

/// Checks the root file, and says which module each re-exported name comes from.
fn check_root(
    root: &Module,
    order: &Order,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, String> {
    let mut exported = BTreeMap::new();
    for item in &root.syntax.items {
        match item {
            Item::Mod(module) if !rust::is_test_only(&module.attrs) => {
                let name = module.ident.to_string();
                if order.rank(&name).is_none() {
                    let what = format!("module `{name}` has no place in the order of its crate");
                    let remedy =
                        format!("add it to the order in tests/tidy/src/order.rs and {PAGE}");
                    let line = module.ident.span().start().line;
                    findings.push(Finding::new(&root.file, line, what, remedy));
                }
            }
            Item::Use(item) if !matches!(item.vis, Visibility::Inherited) => {
                export(&item.tree, None, order, root, &mut exported, findings);
            }
            _ => {}
        }
    }
    exported
}

fn export(
    tree: &UseTree,
    from: Option<&str>,
    order: &Order,
    root: &Module,
    exported: &mut BTreeMap<String, String>,
    findings: &mut Vec<Finding>,
) {
    let mut keep = |name: String| {
        if let Some(from) = from {
            exported.insert(name, from.to_owned());
        }
    };
    match tree {
        UseTree::Path(path) => {
            let name = path.ident.to_string();
            let first = if name == "crate" || name == "self" { None } else { Some(name.as_str()) };
            export(&path.tree, from.or(first), order, root, exported, findings);
        }
        UseTree::Name(name) => keep(name.ident.to_string()),
        UseTree::Rename(rename) => keep(rename.rename.to_string()),
        UseTree::Group(group) => {
            for tree in &group.items {
                export(tree, from, order, root, exported, findings);
            }
        }
        UseTree::Glob(glob) => {
            if let Some(from) = from.filter(|from| order.rank(from).is_some()) {
                let what = format!("`pub use {from}::*` in the root hides who uses `{from}`");
                let line = glob.star_token.spans.first().map_or(1, |span| span.start().line);
                findings.push(Finding::new(&root.file, line, what, "name the items"));
            }
        }
    }
}

struct Reader<'a> {
    module: &'a Module,
    order: &'a Order,
    exported: &'a BTreeMap<String, String>,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    /// Reads tokens that stand `depth` modules below the root.
    fn read(&mut self, tokens: TokenStream, depth: usize) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let Some((token, after)) = rest.split_first() {
            if let Some(after) = after_documentation(rest) {
                rest = after;
                continue;
            }
            rest = after;
            match token {
                TokenTree::Ident(ident) if ident == "crate" => rest = self.path(after, 0),
                TokenTree::Ident(ident) if ident == "super" => {
                    rest = self.path(after, depth.saturating_sub(1));
                }
                TokenTree::Ident(ident) if ident == "mod" => {
                    if let [_, TokenTree::Group(body), after @ ..] = after
                        && body.delimiter() == Delimiter::Brace
                    {
                        self.read(body.stream(), depth + 1);
                        rest = after;
                    }
                }
                TokenTree::Group(group) => self.read(group.stream(), depth),
                _ => {}
            }
        }
    }

    /// Reads on after a `crate` or `super` that names the module `depth` below the root.
    fn path<'t>(&mut self, tokens: &'t [TokenTree], depth: usize) -> &'t [TokenTree] {
        if let Some((TokenTree::Ident(ident), _)) = tokens.split_first()
            && ident == "as"
            && depth == 0
        {
            self.hides(ident.span().start().line, "a new name for the crate root");
        }
        let Some(after) = after_punct(tokens, ':').and_then(|rest| after_punct(rest, ':')) else {
            return tokens;
        };
        self.segment(after, depth)
    }

    fn segment<'t>(&mut self, tokens: &'t [TokenTree], depth: usize) -> &'t [TokenTree] {
        let Some((first, rest)) = tokens.split_first() else { return tokens };
        let line = first.span().start().line;
        match first {
            TokenTree::Ident(ident) if ident == "super" => self.path(rest, depth.saturating_sub(1)),
            TokenTree::Ident(ident) if ident == "self" && depth == 0 => {
                self.hides(line, "a new name for the crate root");
                rest
            }
            TokenTree::Ident(ident) if depth == 0 => {
                self.used(ident.to_string().trim_start_matches("r#"), line);
                rest
            }
            TokenTree::Punct(star) if star.as_char() == '*' && depth == 0 => {
                self.hides(line, "a glob of the crate root");
                rest
            }
            TokenTree::Group(group) => {
                let parts: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in parts.split(
                    |token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','),
                ) {
                    self.segment(part, depth);
                }
                rest
            }
            _ => tokens,
        }
    }

    fn used(&mut self, name: &str, line: usize) {
        let target = self.exported.get(name).map_or(name, String::as_str);
        let Some(own) = self.module.path.first() else { return };
        // A module off the list is reported at its declaration.
        let (Some(target_rank), Some(own_rank)) = (self.order.rank(target), self.order.rank(own))
        else {
            return;
        };
        if target_rank > own_rank {
            let what = format!("`{own}` uses `{target}`, which stands above it");
            let remedy = format!(
                "move what is needed into `{own}` or a module before it (order: {})",
                self.order.modules
            );
            self.findings.push(Finding::new(&self.module.file, line, what, remedy));
        }
    }

    fn hides(&mut self, line: usize, what: &str) {
        let what = format!("{what} hides which modules are used");
        self.findings.push(Finding::new(&self.module.file, line, what, "name the modules"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW_HIGH: [Order; 1] = [Order { package: "p", modules: "low mid high" }];

    /// Lines of `src/mid.rs` (or of the given file) that are found fault with.
    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![
            ("Cargo.toml", "[package]\nname = \"p\"\n"),
            ("src/lib.rs", "mod low;\nmod mid;\nmod high;\n"),
            ("src/low.rs", ""),
            ("src/high.rs", ""),
            ("src/mid.rs", ""),
        ];
        for &(path, text) in files {
            all.retain(|(known, _)| *known != path);
            all.push((path, text));
        }
        let tree =
            all.into_iter().fold(Tree::default(), |tree, (path, text)| tree.with(path, text));
        check(&tree, &LOW_HIGH).iter().map(ToString::to_string).collect()
    }

    fn mid(text: &str) -> usize {
        faults(&[("src/mid.rs", text)]).len()
    }

    #[test]
    fn an_upward_use_is_found_however_it_is_written() {
        for text in [
            "use crate::high::X;",
            "use crate::high;",
            "use crate::{low::A, high::B};",
            "use {crate::high::B, std::fmt};",
            "fn f() { crate::high::g(); }",
            "fn f() { println!(\"{}\", crate::high::g()); }",
            "use super::high::X;",
            "use self::super::high::X;",
            "use super::{low, high};",
            "mod inner { use super::super::high::X; }",
            "mod inner { fn f() { super::super::high::g(); } }",
            "mod inner { use super::{super::high::X}; }",
            "macro_rules! m { () => { $crate::high::g() }; }",
            "fn f(x: crate::r#high::X) {}",
            "use super::*;",
            "use crate::*;",
            "use crate as root;",
            "use crate::{self as root};",
            "use super as root;",
        ] {
            assert_eq!(mid(text), 1, "{text}");
        }
    }

    #[test]
    fn uses_downward_and_sideways_and_mere_words_pass() {
        for text in [
            "use crate::low::X; use super::low::Y; use crate::mid::Z;",
            "mod inner { use super::high; } mod high {}",
            "//! crate::high::X\n/// [`crate::high`]\nfn f() {} // crate::high::X",
            "fn f() -> &'static str { \"crate::high::X\" }",
            "pub(crate) fn f() {} pub(super) fn g() {} mod i { pub(in crate::mid) fn h() {} }",
            "#[cfg(test)] mod tests { use crate::high::X; use super::*; }",
            "#[cfg(test)] use crate::high::X;",
            "mod inner { use super::*; }",
            "use other::high::X;",
        ] {
            assert_eq!(mid(text), 0, "{text}");
        }
    }

    #[test]
    fn the_message_names_file_line_and_remedy() {
        let found = faults(&[("src/mid.rs", "//! Words.\n\nuse crate::high::X;\n")]);
        assert_eq!(
            found,
            ["src/mid.rs:3: `mid` uses `high`, which stands above it; move what is needed into \
              `mid` or a module before it (order: low mid high)"]
        );
    }

    #[test]
    fn nested_files_belong_to_their_top_module() {
        let found = faults(&[
            ("src/mid.rs", "mod part;"),
            ("src/mid/part.rs", "use super::super::high::X;\nuse super::Y;\nuse crate::mid::Z;\n"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("src/mid/part.rs:1:"));
    }

    #[test]
    fn files_of_test_modules_may_use_anything() {
        let found = faults(&[
            ("src/mid.rs", "#[cfg(test)] mod tests;"),
            ("src/mid/tests.rs", "use crate::high::X;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_module_off_the_list_is_found_at_its_declaration() {
        let found = faults(&[("src/lib.rs", "mod low;\nmod extra;\nmod mid;\nmod high;\n")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("src/lib.rs:2: module `extra` has no place"), "{found:?}");
        assert!(found[0].contains("docs/architecture.md"));
    }

    #[test]
    fn re_exports_of_the_root_do_not_hide_an_upward_use() {
        let root = "mod low;\nmod mid;\nmod high;\npub use high::{X, Y as Z};\n";
        let found = faults(&[("src/lib.rs", root), ("src/mid.rs", "use crate::{X, Z};")]);
        assert_eq!(found.len(), 2, "{found:?}");
        let root = "mod low;\nmod mid;\nmod high;\npub use high::*;\n";
        assert_eq!(faults(&[("src/lib.rs", root)]).len(), 1);
    }

    #[test]
    fn programs_have_the_order_too() {
        let found = faults(&[
            ("src/main.rs", "mod extra;\nfn main() { p::high::g(); }\n"),
            ("src/extra.rs", ""),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("src/main.rs:1:"));
    }

    #[test]
    fn the_page_must_state_each_order() {
        let page = |text| check_page(&Tree::of([(PAGE, text)]), &LOW_HIGH).len();
        assert_eq!(page("text\n```\np     low mid high\n```\n"), 0);
        assert_eq!(page("```\np low high mid\n```\n"), 1);
        assert_eq!(check_page(&Tree::default(), &LOW_HIGH).len(), 1);
    }
}
