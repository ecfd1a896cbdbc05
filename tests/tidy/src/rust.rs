//! Rust text as syntax, so that strings and comments trip no check.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Block, File, ImplItem, Item, ItemImpl, ItemMod, ItemTrait, Meta, Stmt};
use syn::{Token, TraitItem, punctuated::Punctuated};

use crate::finding::Finding;

/// Parses a file.
///
/// # Errors
/// A finding that says where the text stops being Rust.
pub fn parse(path: &str, text: &str) -> Result<File, Finding> {
    syn::parse_file(text).map_err(|error| {
        let line = error.span().start().line;
        let what = format!("this is not Rust that tidy can read ({error})");
        Finding::new(path, line, what, "mend the syntax, or update `syn` in the workspace")
    })
}

/// Takes everything that only tests compile out of a file.
pub fn drop_test_code(file: &mut File) {
    DropTests.visit_file_mut(file);
}

/// The tokens of a file with their places; doc comments are `#[doc = "…"]` here.
#[must_use]
pub fn tokens(file: &File) -> TokenStream {
    file.to_token_stream()
}

/// Calls back with the first and last line of each token that is code, not documentation.
pub fn each_line_of_code(tokens: TokenStream, mark: &mut impl FnMut(usize, usize)) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let Some((token, after)) = rest.split_first() {
        if let Some(after) = after_documentation(rest) {
            rest = after;
            continue;
        }
        rest = after;
        if let TokenTree::Group(group) = token {
            for span in [group.span_open(), group.span_close()] {
                mark(span.start().line, span.end().line);
            }
            each_line_of_code(group.stream(), mark);
        } else {
            mark(token.span().start().line, token.span().end().line);
        }
    }
}

/// Returns true if an attribute says `cfg(test)`, alone or within `all(…)`.
#[must_use]
pub fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<Meta>().is_ok_and(|condition| requires_test(&condition))
    })
}

fn requires_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|conditions| conditions.iter().any(requires_test)),
        _ => false,
    }
}

/// Returns the tokens after a leading `#[doc …]` or `#![doc …]`.
#[must_use]
pub fn after_documentation(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    let after_sign = after_punct(tokens, '#')?;
    let (TokenTree::Group(group), rest) =
        after_punct(after_sign, '!').unwrap_or(after_sign).split_first()?
    else {
        return None;
    };
    let first = group.stream().into_iter().next();
    matches!(first, Some(TokenTree::Ident(ident)) if ident == "doc").then_some(rest)
}

/// Returns the tokens after a leading punctuation sign.
#[must_use]
pub fn after_punct(tokens: &[TokenTree], sign: char) -> Option<&[TokenTree]> {
    let (first, rest) = tokens.split_first()?;
    matches!(first, TokenTree::Punct(punct) if punct.as_char() == sign).then_some(rest)
}

struct DropTests;

impl VisitMut for DropTests {
    fn visit_file_mut(&mut self, file: &mut File) {
        file.items.retain(|item| !is_test_only(attributes_of(item)));
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !is_test_only(attributes_of(item)));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }

    fn visit_item_impl_mut(&mut self, block: &mut ItemImpl) {
        block.items.retain(|item| {
            let attributes = match item {
                ImplItem::Const(item) => &item.attrs,
                ImplItem::Fn(item) => &item.attrs,
                ImplItem::Type(item) => &item.attrs,
                _ => return true,
            };
            !is_test_only(attributes)
        });
        visit_mut::visit_item_impl_mut(self, block);
    }

    fn visit_item_trait_mut(&mut self, block: &mut ItemTrait) {
        block
            .items
            .retain(|item| !matches!(item, TraitItem::Fn(method) if is_test_only(&method.attrs)));
        visit_mut::visit_item_trait_mut(self, block);
    }

    fn visit_block_mut(&mut self, block: &mut Block) {
        block.stmts.retain(|statement| match statement {
            Stmt::Item(item) => !is_test_only(attributes_of(item)),
            Stmt::Local(local) => !is_test_only(&local.attrs),
            _ => true,
        });
        visit_mut::visit_block_mut(self, block);
    }
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(text: &str) -> String {
        let mut file = parse("a.rs", text).unwrap();
        drop_test_code(&mut file);
        tokens(&file).to_string()
    }

    #[test]
    fn test_code_is_dropped_and_the_rest_stays() {
        let text = "
            #[cfg(test)] use a::b;
            #[cfg(all(test, unix))] fn gone() {}
            #[cfg(not(test))] fn stays() {}
            #[cfg(any(test, unix))] fn stays_too() {}
            mod inner { #[cfg(test)] mod tests { fn gone() {} } fn kept() {} }
            impl X { #[cfg(test)] fn gone(&self) {} fn held(&self) {} }
            trait T { #[cfg(test)] fn gone(&self); fn asked(&self); }
            fn body() { #[cfg(test)] let gone = 1; #[cfg(test)] fn gone() {} let left = 2; }
        ";
        let left = product(text);
        assert!(!left.contains("gone"), "{left}");
        assert!(!left.contains("a :: b"), "{left}");
        for kept in ["stays", "stays_too", "kept", "held", "asked", "left"] {
            assert!(left.contains(kept), "{kept}: {left}");
        }
    }

    #[test]
    fn broken_text_is_a_finding_at_its_line() {
        let finding = parse("a.rs", "fn a() {}\nfn {\n").err().unwrap();
        assert_eq!((finding.path.as_str(), finding.line), ("a.rs", 2));
    }

    #[test]
    fn lines_of_documentation_are_not_code() {
        let file = parse("a.rs", "//! one\n\n/// three\nfn four() {\n    five();\n}\n").unwrap();
        let mut lines = std::collections::BTreeSet::new();
        each_line_of_code(tokens(&file), &mut |first, last| lines.extend(first..=last));
        assert_eq!(lines.into_iter().collect::<Vec<_>>(), [4, 5, 6]);
    }
}
