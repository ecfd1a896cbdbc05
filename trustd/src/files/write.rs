//! Writing a file whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::FileError;

/// What writing a file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// The file held something else, or was not there.
    Changed,
    /// The file held these bytes already and was not touched.
    Same,
}

/// Makes `path` hold `bytes`, readable by everyone (mode 0644: certificates are public), and makes
/// the directories above it.
///
/// A reader sees the old file or the new one, never half of it: the bytes go to a temporary file in
/// the same directory, which then takes the name. A link of that name is replaced, not followed.
/// Where nothing would change, nothing is written, so that whoever watches the file is not woken.
///
/// # Errors
/// When a directory cannot be made or the file cannot be written; the old file is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> Result<Wrote, FileError> {
    replace(path, bytes).map_err(|source| FileError::Write { path: path.to_owned(), source })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<Wrote> {
    if holds(path, bytes).unwrap_or(false) {
        return Ok(Wrote::Same);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    // The name begins with `..`, which `find` passes over: a watcher of this directory never reads it.
    let mut file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(MODE))?;
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(Wrote::Changed)
}

/// Whether `path` is a plain file with these bytes and the right mode.
fn holds(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let data = fs::symlink_metadata(path)?;
    let alike = data.is_file()
        && data.len() == bytes.len() as u64
        && data.permissions().mode() & 0o7777 == MODE;
    if !alike {
        return Ok(false);
    }
    let mut held = Vec::with_capacity(bytes.len());
    File::open(path)?.take(data.len().saturating_add(1)).read_to_end(&mut held)?;
    Ok(held == bytes)
}

const MODE: u32 = 0o644;
const TEMPORARY_PREFIX: &str = "..trustd-";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_by_another_and_never_rewritten_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/dir/ca-bundle.crt");
        assert_eq!(write(&path, b"one").unwrap(), Wrote::Changed);
        let held_open = File::open(&path).unwrap();
        assert_eq!(write(&path, b"two").unwrap(), Wrote::Changed);
        // Who opened the old file still reads the old file.
        assert_eq!(io::read_to_string(held_open).unwrap(), "one");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn the_same_bytes_are_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"one").unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        assert_eq!(write(&path, b"one").unwrap(), Wrote::Same);
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    }

    #[test]
    fn everyone_may_read_it_whatever_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, b"one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(write(&path, b"one").unwrap(), Wrote::Changed);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    }

    #[test]
    fn a_link_is_replaced_and_what_it_led_to_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, b"keep").unwrap();
        symlink(&target, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"keep");
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_directory_in_the_way_is_an_error_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        let error = write(&folder.path().join("a"), b"x").unwrap_err();
        assert!(error.to_string().starts_with("cannot write `"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
