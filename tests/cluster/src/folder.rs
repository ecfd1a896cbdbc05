//! A temporary folder that goes away even when this process is killed or ends without unwinding.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// A folder only we may read. It is removed when this value is dropped, and when the process ends in
/// whatever way: a static is never dropped, and nothing runs after SIGKILL.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// A shell that waits for the end of its input, which the kernel closes at our end.
    remover: Child,
}

impl Folder {
    /// Makes a folder below the system's folder for temporary files.
    ///
    /// # Errors
    /// Fails when there cannot be one, or no shell.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("cluster-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let remover = Command::new("sh")
            .args(["-c", REMOVE, "sh"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal goes to the whole group, and this one must outlive us.
            .process_group(0)
            .spawn()
            .context("cannot start sh, which removes the temporary folder at the end")?;
        Ok(Self { path: folder.keep(), remover })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file that only we may read, in a folder that is made if need be, and gives its path.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.join(name);
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&path)?.write_all(content.as_ref())
        };
        write().with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        let _ = self.remover.wait();
    }
}

/// What used to write into the folder may be about to die, so it is removed until it is gone: at
/// most 100 times in 10 s.
const REMOVE: &str = r#"cat; tries=0
until rm -rf -- "$1" && [ ! -e "$1" ]; do
  tries=$((tries + 1)); [ $tries -lt 100 ] || exit 1; sleep 0.1
done"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_away_with_all_that_is_in_it() {
        let folder = Folder::new().unwrap();
        let path = folder.write("a/b/c", "text").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        let root = folder.path().to_owned();
        drop(folder);
        assert!(!root.exists());
    }
}
