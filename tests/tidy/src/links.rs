//! Links: every relative link of a Markdown file leads to a file, a folder or a heading.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::finding::Finding;
use crate::tree::{Tree, folder_of, join};

/// Finds relative links that lead nowhere.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    let pages: BTreeMap<&str, Page> =
        tree.texts(".md").map(|(path, text)| (path, read(text))).collect();
    let mut findings = Vec::new();
    for (path, page) in &pages {
        for link in &page.links {
            if let Some((what, remedy)) = fault(tree, &pages, path, &link.to) {
                findings.push(Finding::new(path, link.line, what, remedy));
            }
        }
    }
    findings
}

struct Page {
    links: Vec<Link>,
    anchors: BTreeSet<String>,
}

struct Link {
    line: usize,
    to: String,
}

fn fault(
    tree: &Tree,
    pages: &BTreeMap<&str, Page>,
    from: &str,
    to: &str,
) -> Option<(String, &'static str)> {
    if is_elsewhere(to) {
        return None;
    }
    let (file, anchor) =
        to.split_once('#').map_or((to, None), |(file, anchor)| (file, Some(anchor)));
    let folder = if file.starts_with('/') { "" } else { folder_of(from) };
    let target = if file.is_empty() { Some(from.to_owned()) } else { join(folder, file) };
    let Some(target) = target.filter(|path| tree.has_file(path) || tree.has_folder(path)) else {
        return Some((
            format!("the link to `{to}` leads nowhere"),
            "correct the path or drop the link",
        ));
    };
    let anchor = anchor.filter(|anchor| !anchor.is_empty())?;
    let page = pages.get(target.as_str())?;
    (!page.anchors.contains(anchor))
        .then(|| (format!("`{target}` has no heading `#{anchor}`"), "correct the part behind `#`"))
}

/// Returns true if a link has a scheme (`https:`, `mailto:`) or a host.
fn is_elsewhere(to: &str) -> bool {
    let scheme = to.split(['/', '#', '?']).next().unwrap_or_default();
    to.starts_with("//") || scheme.contains(':')
}

fn read(text: &str) -> Page {
    let mut page = Page { links: Vec::new(), anchors: BTreeSet::new() };
    let mut heading: Option<String> = None;
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                let before = text.bytes().take(range.start);
                let line = before.filter(|&byte| byte == b'\n').count() + 1;
                page.links.push(Link { line, to: dest_url.into_string() });
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                if let Some(title) = heading.take() {
                    add_anchor(&mut page.anchors, &slug(&title));
                }
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some(title) = &mut heading {
                    title.push_str(&part);
                }
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                page.anchors.extend(named_in(&html));
            }
            _ => {}
        }
    }
    page
}

/// The second heading of the same words gets `-1` behind its anchor, and so on.
fn add_anchor(anchors: &mut BTreeSet<String>, slug: &str) {
    let numbered = (1..).map(|number| format!("{slug}-{number}"));
    let mut names = std::iter::once(slug.to_owned()).chain(numbered);
    if let Some(free) = names.find(|name| !anchors.contains(name)) {
        anchors.insert(free);
    }
}

/// The anchor that code hosts make from a heading.
fn slug(title: &str) -> String {
    title
        .trim()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            letter if letter.is_alphanumeric() => Some(letter),
            _ => None,
        })
        .flat_map(char::to_lowercase)
        .collect()
}

fn named_in(html: &str) -> impl Iterator<Item = String> {
    [" id=\"", " name=\""].into_iter().flat_map(move |key| {
        html.split(key).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let tree = Tree::of([
            ("docs/page.md", text),
            (
                "docs/other.md",
                "# The `run` verb, twice\n\n## Why?\n\n## Why?\n\n<a id=\"x\"></a>\n",
            ),
            ("README.md", ""),
            ("deploy/chart/values.yaml", ""),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_nowhere_are_found_at_their_line() {
        assert_eq!(
            faults("# One\n\nsee [it](gone.md)\n"),
            ["docs/page.md:3: the link to `gone.md` leads nowhere; \
              correct the path or drop the link"]
        );
        for dead in [
            "[a](../../README.md)",
            "[a](README.md)",
            "![a](picture.png)",
            "[a](#two)",
            "[a](other.md#why-2)",
            "[a][b]\n\n[b]: gone.md\n",
            "| a |\n|---|\n| [a](gone.md) |\n",
            "[a](/docs/gone.md)",
        ] {
            assert_eq!(faults(&format!("# One\n\n{dead}\n")).len(), 1, "{dead}");
        }
    }

    #[test]
    fn links_that_lead_somewhere_and_mere_text_pass() {
        for alive in [
            "[a](../README.md)",
            "[a](other.md#the-run-verb-twice)",
            "[a](other.md#why) [a](other.md#why-1) [a](other.md#x)",
            "[a](../deploy/chart) [a](../deploy/chart/) [a](..)",
            "[a](../deploy/chart/values.yaml#L3)",
            "[a](#one)",
            "[a](/docs/other.md)",
            "[a](https://example.com/gone.md) <mailto:a@example.com> [a](//example.com)",
            "`[a](gone.md)`\n\n```\n[a](gone.md)\n```\n",
        ] {
            assert_eq!(faults(&format!("# One\n\n{alive}\n")), [""; 0], "{alive}");
        }
    }
}
