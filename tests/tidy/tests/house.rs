//! The checks, over the real tree.

#![allow(clippy::unwrap_used, reason = "an unreadable tree fails every test")]

use std::path::Path;
use std::sync::LazyLock;

use tidy::finding::Finding;
use tidy::tree::Tree;

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Tree::read(&root).unwrap()
});

/// The crates that users run.
const PRODUCTS: [&str; 6] = tidy::order::PRODUCTS;

fn none(findings: &[Finding]) {
    let text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    assert!(findings.is_empty(), "\n{text}");
}

#[test]
fn the_tree_is_the_repository() {
    for path in ["Cargo.toml", "LICENSE", "trustd/core/src/lib.rs", "tests/tidy/src/lib.rs"] {
        assert!(TREE.has_file(path), "{path}");
    }
    let (packages, findings) = tidy::manifest::packages(&TREE);
    none(&findings);
    for order in tidy::order::ORDERS {
        let package = packages.iter().find(|package| package.name == order.package);
        assert!(package.is_some_and(|package| !package.targets.is_empty()), "{}", order.package);
    }
}

#[test]
fn modules_use_only_what_stands_before_them() {
    none(&tidy::order::check(&TREE, &tidy::order::ORDERS));
}

#[test]
fn the_architecture_page_states_the_orders() {
    none(&tidy::order::check_page(&TREE, &tidy::order::ORDERS));
}

#[test]
fn crates_depend_only_on_lower_floors() {
    none(&tidy::floors::check(&TREE));
}

#[test]
fn every_source_file_is_compiled() {
    none(&tidy::reach::check(&TREE));
}

#[test]
fn files_can_be_read_in_one_sitting() {
    none(&tidy::size::check(&TREE));
}

#[test]
fn the_glossary_holds_words_of_the_code() {
    none(&tidy::glossary::check(&TREE));
}

#[test]
fn links_lead_somewhere() {
    none(&tidy::links::check(&TREE));
}

#[test]
fn every_crd_has_a_test_against_the_program() {
    none(&tidy::crds::check(&TREE));
}

#[test]
fn files_of_a_crate_do_not_use_each_other_in_circles() {
    none(&tidy::circles::check(&TREE, &PRODUCTS));
}

#[test]
fn documentation_begins_with_what_it_describes() {
    none(&tidy::prose::check(&TREE, &PRODUCTS));
}

#[test]
fn documentation_of_tidy_begins_with_what_it_describes() {
    none(&tidy::prose::check(&TREE, &["tidy"]));
}

#[test]
fn a_crate_defines_a_type_name_once() {
    none(&tidy::types::check(&TREE, &PRODUCTS, &tidy::types::SHARED_NAMES));
}
