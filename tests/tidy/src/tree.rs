//! The repository as values: paths, and the text of the files that checks read.
//!
//! Files that git ignores are left out. Nothing here writes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use thiserror::Error;

/// Every file of the repository, by its path from the root with `/` between the parts.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, Option<String>>,
}

/// A repository that could not be read.
#[derive(Debug, Error)]
pub enum TreeError {
    /// A folder could not be listed.
    #[error("cannot list files below `{root}`")]
    List {
        /// The root of the walk.
        root: PathBuf,
        /// The cause.
        source: ignore::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Tree {
    /// Reads the repository below a folder.
    ///
    /// # Errors
    /// Fails when a folder cannot be listed or a text file cannot be read.
    pub fn read(root: &Path) -> Result<Self, TreeError> {
        let mut tree = Self::default();
        let walk = WalkBuilder::new(root)
            .hidden(false)
            .parents(false)
            .git_global(false)
            .require_git(false)
            .filter_entry(|entry| entry.file_name() != ".git")
            .build();
        for entry in walk {
            let entry =
                entry.map_err(|source| TreeError::List { root: root.to_owned(), source })?;
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let Ok(relative) = entry.path().strip_prefix(root) else { continue };
            let path = relative.to_string_lossy().replace('\\', "/");
            let text =
                if is_read(&path) {
                    Some(std::fs::read_to_string(entry.path()).map_err(|source| {
                        TreeError::Read { path: entry.path().to_owned(), source }
                    })?)
                } else {
                    None
                };
            tree.files.insert(path, text);
        }
        Ok(tree)
    }

    /// A tree from paths and texts.
    #[must_use]
    pub fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        files.into_iter().fold(Self::default(), |tree, (path, text)| tree.with(path, text))
    }

    /// The same tree with one file more.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), Some(text.to_owned()));
        self
    }

    /// The text of a file, where it exists and is of a kind that checks read.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Returns true if a file has this path.
    #[must_use]
    pub fn has_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Returns true if a file lies below this folder; the root is the empty path.
    #[must_use]
    pub fn has_folder(&self, path: &str) -> bool {
        path.is_empty() || self.files.keys().any(|file| below(file, path).is_some())
    }

    /// Paths and texts of all files with this ending (`.rs`), sorted.
    pub fn texts<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Paths of all files below a folder, sorted.
    pub fn paths_below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.keys().map(String::as_str).filter(move |path| below(path, folder).is_some())
    }
}

/// Returns the rest of a path below a folder.
#[must_use]
pub fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() { Some(path) } else { path.strip_prefix(folder)?.strip_prefix('/') }
}

/// The folder that holds a file; empty at the root.
#[must_use]
pub fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A relative path as seen from a folder, without `.` and `..`; nothing when it leaves the root.
#[must_use]
pub fn join(folder: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn is_read(path: &str) -> bool {
    [".rs", ".md", ".toml"].iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text_and_leaves_out_what_git_ignores() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &[u8]| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(".gitignore", b"/target\n");
        write(".ci/run", b"#!/bin/bash\n");
        write(".git/config.md", b"no");
        write("target/debug/x.rs", b"no");
        write("a/src/lib.rs", b"//! yes\n");
        write("a/picture.png", &[0xff, 0xfe]);

        let tree = Tree::read(root.path()).unwrap();
        let paths: Vec<&str> = tree.paths_below("").collect();
        assert_eq!(paths, [".ci/run", ".gitignore", "a/picture.png", "a/src/lib.rs"]);
        assert_eq!(tree.text("a/src/lib.rs"), Some("//! yes\n"));
        assert_eq!(tree.text("a/picture.png"), None);
        assert!(tree.has_folder("a/src"));
        assert!(!tree.has_folder("a/sr"));
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(Tree::read(Path::new("/no/such/folder")).is_err());
    }

    #[test]
    fn joins_paths_and_refuses_to_leave_the_root() {
        assert_eq!(join("docs", "../README.md").as_deref(), Some("README.md"));
        assert_eq!(join("", "./a//b").as_deref(), Some("a/b"));
        assert_eq!(join("docs", "../../x"), None);
    }
}
