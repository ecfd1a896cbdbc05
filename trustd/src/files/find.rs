//! Finding manifests: the files that a list of paths stands for, each once, in a fixed order.
//!
//! As kubectl does with `-R -f`: a directory stands for every *.yaml, *.yml and *.json below it, a
//! link to a file is followed, a link to a directory inside a directory is not. Unlike kubectl,
//! names that begin with `..` are passed over: in a mounted ConfigMap or Secret that is where the
//! kubelet keeps the files that the visible names link to, and each would be read twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{FileError, Input};

/// The files that `inputs` stand for: in their order, within a directory by name, each file once
/// however many ways lead to it. A path that is no directory stays as it is, whatever its name.
///
/// # Errors
/// When a path cannot be looked at, a directory cannot be listed, holds no manifest, or there are
/// more than [`FILES_MAX`] of them.
pub fn manifests(inputs: &[Input]) -> Result<Vec<Input>, FileError> {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for input in inputs {
        let path = match input {
            Input::Path(path) => path,
            Input::Stdin => {
                if !files.contains(&Input::Stdin) {
                    files.push(Input::Stdin);
                }
                continue;
            }
        };
        let cannot_read = |source| FileError::Read { path: path.clone(), source };
        let found = if fs::metadata(path).map_err(cannot_read)?.is_dir() {
            let found = below(path)?.files;
            if found.is_empty() {
                return Err(FileError::NoManifests { path: path.clone() });
            }
            found
        } else {
            vec![path.clone()]
        };
        for file in found {
            let identity = fs::canonicalize(&file)
                .map_err(|source| FileError::Read { path: file.clone(), source })?;
            if seen.insert(identity) {
                files.push(Input::Path(file));
            }
        }
        if files.len() > FILES_MAX {
            return Err(FileError::TooMany { path: path.clone(), limit: FILES_MAX });
        }
    }
    Ok(files)
}

/// A directory and all that counts below it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Below {
    /// Manifests, by name within each directory.
    pub(super) files: Vec<PathBuf>,
    /// The directory itself and every directory below it.
    pub(super) folders: Vec<PathBuf>,
}

/// Every manifest and every directory below `root`.
pub(super) fn below(root: &Path) -> Result<Below, FileError> {
    let mut found = Below::default();
    // A stack of what is still to be looked at, the next on top. Links to directories are not
    // followed, so this ends.
    let mut ahead = vec![(root.to_owned(), true)];
    while let Some((path, is_folder)) = ahead.pop() {
        if !is_folder {
            found.files.push(path);
        } else {
            let listed =
                list(&path).map_err(|source| FileError::List { path: path.clone(), source });
            ahead.extend(listed?.into_iter().rev());
            found.folders.push(path);
        }
        if found.files.len() + found.folders.len() + ahead.len() > FILES_MAX {
            return Err(FileError::TooMany { path: root.to_owned(), limit: FILES_MAX });
        }
    }
    Ok(found)
}

/// Lists the relevant entries of a directory by name, and whether each is a directory itself.
fn list(folder: &Path) -> std::io::Result<Vec<(PathBuf, bool)>> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"..") {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            listed.push((path, true));
        } else if is_manifest_name(&path) {
            // A broken link counts, so that reading it fails: losing it would be silent.
            let is_file = kind.is_file() || fs::metadata(&path).map_or(true, |data| data.is_file());
            if is_file {
                listed.push((path, false));
            }
        }
    }
    listed.sort();
    Ok(listed)
}

fn is_manifest_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| MANIFEST_EXTENSIONS.iter().any(|e| extension == *e))
}

const MANIFEST_EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];
/// The most files and directories that one run looks at: ten for each of 1,000 Bundles, twenty
/// times what the largest known installations have.
pub const FILES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(root: &Path, inputs: &[&str]) -> Vec<String> {
        let inputs: Vec<Input> =
            inputs.iter().map(|input| Input::from(root.join(input).as_path())).collect();
        let found = manifests(&inputs).unwrap();
        found
            .iter()
            .map(|input| input.path().strip_prefix(root).unwrap().display().to_string())
            .collect()
    }

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    #[test]
    fn a_directory_stands_for_the_manifests_below_it_by_name() {
        let folder =
            folder_with(&["b.yaml", "a/z.json", "a/deep/y.yml", "c.txt", "README", "x.yaml.bak"]);
        assert_eq!(names(folder.path(), &[""]), ["a/deep/y.yml", "a/z.json", "b.yaml"]);
    }

    #[test]
    fn a_file_that_is_named_is_taken_whatever_its_name_and_order_is_the_users() {
        let folder = folder_with(&["b.txt", "a/z.json"]);
        assert_eq!(names(folder.path(), &["b.txt", "a"]), ["b.txt", "a/z.json"]);
    }

    #[test]
    fn each_file_is_taken_once_however_many_ways_lead_to_it() {
        let folder = folder_with(&["a.yaml", "d/b.yaml"]);
        symlink("a.yaml", folder.path().join("link.yaml")).unwrap();
        assert_eq!(names(folder.path(), &["", "a.yaml", "d"]), ["a.yaml", "d/b.yaml"]);
    }

    #[test]
    fn a_mounted_config_map_is_read_once_and_by_its_visible_names() {
        let folder = folder_with(&["..2026_11_21/a.yaml"]);
        symlink("..2026_11_21", folder.path().join("..data")).unwrap();
        symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
        assert_eq!(names(folder.path(), &[""]), ["a.yaml"]);
    }

    #[test]
    fn links_to_directories_are_followed_when_named_and_not_when_met() {
        let folder = folder_with(&["real/a.yaml", "other/b.yaml"]);
        symlink("../real", folder.path().join("other/loop")).unwrap();
        symlink(".", folder.path().join("real/self.yaml")).unwrap();
        assert_eq!(names(folder.path(), &["other"]), ["other/b.yaml"]);
        assert_eq!(names(folder.path(), &["other/loop"]), ["other/loop/a.yaml"]);
    }

    #[test]
    fn a_broken_link_is_an_error_and_not_a_loss() {
        let folder = folder_with(&["a.yaml"]);
        symlink("gone", folder.path().join("b.yaml")).unwrap();
        let error = manifests(&[Input::from(folder.path())]).unwrap_err();
        assert!(error.to_string().ends_with("b.yaml`"), "{error}");
    }

    #[test]
    fn a_directory_without_manifests_is_an_error() {
        let folder = folder_with(&["notes.txt"]);
        let error = manifests(&[Input::from(folder.path())]).unwrap_err();
        assert!(matches!(error, FileError::NoManifests { .. }), "{error:?}");
    }

    #[test]
    fn stdin_is_read_once() {
        let found = manifests(&[Input::Stdin, Input::Stdin]).unwrap();
        assert_eq!(found, [Input::Stdin]);
    }
}
