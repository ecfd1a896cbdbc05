//! The run directory: the record of a run over placements and the configuration of its hops. A
//! directory that was made for a run that measured nothing is removed again; one that was there
//! before is never touched.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::store;

/// The run directory: a record, and the folder of what belongs to it.
pub(super) struct RunDir {
    pub(super) record: PathBuf,
    /// The folder beside the record, and named like it: the configuration of hops is part of what
    /// was measured. For a record that is no file it is a temporary one.
    pub(super) folder: PathBuf,
    /// Folders that were made for this run, the innermost first.
    made: Vec<PathBuf>,
    is_kept: Cell<bool>,
    /// Taken away in the end, unless an error names a file of it.
    scratch: RefCell<Option<TempDir>>,
}

impl RunDir {
    /// Sees that a record can be written there.
    pub(super) fn prepare(record: PathBuf) -> anyhow::Result<Self> {
        let scratch = match store::is_stream(&record) {
            true => {
                Some(tempfile::tempdir().context("cannot make a folder for what hops are told")?)
            }
            false => None,
        };
        let folder = match &scratch {
            Some(scratch) => scratch.path().join("run"),
            None => beside(&record)?,
        };
        // The list is taken before anything is made: `exists` would be true for all of them
        // afterwards.
        let is_new = |folder: &&Path| !folder.exists();
        let made = folder.ancestors().take_while(is_new).map(Path::to_owned).collect();
        store::prepare(&record)?;
        let (is_kept, scratch) = (Cell::new(false), RefCell::new(scratch));
        Ok(Self { record, folder, made, is_kept, scratch })
    }

    /// Something was measured, and all that belongs to it stays.
    pub(super) fn keep(&self) {
        self.is_kept.set(true);
    }

    /// Takes away what was made, unless something was measured or the error names a file of it,
    /// such as the configuration of a proxy that did not start.
    pub(super) fn clear(&self, error: &anyhow::Error) {
        let is_named = || format!("{error:#}").contains(&*self.folder.to_string_lossy());
        // Nothing was made here, so nothing may be removed: the folder was somebody's before the
        // run.
        let Some((innermost, above)) = self.made.split_first() else { return };
        if self.is_kept.get() || is_named() {
            if is_named()
                && let Some(scratch) = self.scratch.take()
            {
                let _ = scratch.keep();
            }
            return;
        }
        // What cannot be taken away is in nobody's way, and the error is told whatever comes of
        // this.
        let _ = fs::remove_dir_all(innermost);
        for folder in above {
            // Parents go only when empty. Another run may have put its own folder there meanwhile.
            let _ = fs::remove_dir(folder);
        }
    }
}

fn beside(record: &Path) -> anyhow::Result<PathBuf> {
    // A record without an extension has the name that the folder would have.
    let extension = if record.extension().is_some() { "" } else { "d" };
    std::path::absolute(record.with_extension(extension)).context("this directory has no path")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place in a folder, where hops were told something.
    fn used(folder: &Path) -> RunDir {
        let run_dir = RunDir::prepare(folder.join("runs/run.json")).unwrap();
        fs::create_dir_all(run_dir.folder.join("a/lb")).unwrap();
        fs::write(run_dir.folder.join("a/lb/nginx.conf"), "").unwrap();
        run_dir
    }

    #[test]
    fn what_was_made_for_nothing_goes_unless_it_explains_why() {
        let scratch = tempfile::tempdir().unwrap();
        let runs = scratch.path().join("runs");
        used(scratch.path()).clear(&anyhow::anyhow!("the limit is too low"));
        assert!(!runs.exists() && scratch.path().exists());

        let run_dir = used(scratch.path());
        let hop = run_dir.folder.join("a/lb");
        let cause = anyhow::anyhow!("the hop in `{}` did not start", hop.display());
        run_dir.clear(&cause.context("cannot put up `a`"));
        assert!(hop.join("nginx.conf").exists());
        fs::remove_dir_all(&runs).unwrap();

        let run_dir = used(scratch.path());
        run_dir.keep();
        run_dir.clear(&anyhow::anyhow!("it was killed, after a round"));
        assert!(hop.join("nginx.conf").exists());

        // This one finds the folder there already.
        used(scratch.path()).clear(&anyhow::anyhow!("the limit is too low"));
        assert!(hop.join("nginx.conf").exists());
    }

    #[test]
    fn a_record_that_is_no_file_leaves_no_folder_beside_it() {
        let run_dir = RunDir::prepare("/dev/null".into()).unwrap();
        fs::create_dir_all(run_dir.folder.join("a/lb")).unwrap();
        let folder = run_dir.folder.clone();
        assert!(!folder.starts_with("/dev"));
        drop(run_dir);
        assert!(!folder.exists());

        let run_dir = RunDir::prepare("-".into()).unwrap();
        fs::create_dir_all(run_dir.folder.join("a/lb")).unwrap();
        let folder = run_dir.folder.clone();
        run_dir.clear(&anyhow::anyhow!("the hop in `{}` did not start", folder.display()));
        drop(run_dir);
        assert!(folder.exists());
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_folder_lies_beside_its_record_and_is_not_the_same() {
        let folder = |record: &str| beside(Path::new(record)).unwrap();
        assert!(folder("a/run.json").ends_with("a/run") && folder("a/run.json").is_absolute());
        assert!(folder("run").ends_with("run.d"));
    }
}
