//! Writing a file whole or not at all.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use super::FileError;

/// The result of writing a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// The file held something else, or was not there.
    Changed,
    /// The file held these bytes already and was not touched.
    Same,
}

/// Makes `path` hold `bytes`, and makes the directories above it.
///
/// A reader sees the old file or the new one, never half of it: the bytes go to a temporary file in
/// the same directory, which then takes the name. A new file is readable by everyone (mode 0644:
/// certificates are public); one that is there keeps its mode and owner. Symbolic links are
/// followed and stay. What is there and is no regular file, such as a pipe or a device, is written
/// into. Where nothing would change, nothing is written, so that whoever watches the file is not
/// woken.
///
/// A file is written in place where it can be no other way: its directory is not ours to write in,
/// its owner could not be kept, or it is a mount point.
///
/// # Errors
/// When a directory cannot be made or the file cannot be written; the old file is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> Result<Wrote, FileError> {
    write_bytes(path, bytes).map_err(|source| FileError::Write { path: path.to_owned(), source })
}

/// Removes the file that [`write()`] made of `path`, if it is there. A symbolic link stays, without
/// the file that it leads to, and so does what is no regular file.
///
/// # Errors
/// When the file is there and cannot be removed.
pub fn remove(path: &Path) -> Result<(), FileError> {
    let removed = match Destination::of(path) {
        Ok(Destination::File { path, there: Some(_) }) => fs::remove_file(path),
        Ok(Destination::File { there: None, .. } | Destination::Stream(_)) => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(|source| FileError::Remove { path: path.to_owned(), source })
}

fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<Wrote> {
    let (path, there) = match Destination::of(path)? {
        Destination::File { path, there } => (path, there),
        Destination::Stream(path) => {
            // An open file may be a regular one that holds something: behind that.
            OpenOptions::new().append(true).open(path)?.write_all(bytes)?;
            return Ok(Wrote::Changed);
        }
    };
    let Some(there) = there else {
        replace(&path, None, bytes)?;
        return Ok(Wrote::Changed);
    };
    if holds(&path, &there, bytes).unwrap_or(false) {
        return Ok(Wrote::Same);
    }
    match replace(&path, Some(&there), bytes) {
        Err(error) if is_refused(&error) => {
            OpenOptions::new().write(true).truncate(true).open(path)?.write_all(bytes)?;
        }
        replaced => replaced?,
    }
    Ok(Wrote::Changed)
}

/// The destination of a write, with symbolic links followed.
enum Destination {
    /// A regular file, or a name that is free.
    File {
        /// The path without symbolic links in its last part.
        path: PathBuf,
        /// The file that exists already.
        there: Option<Metadata>,
    },
    /// A device, a pipe, or a file that is open already (`/dev/fd/3`).
    Stream(PathBuf),
}

impl Destination {
    fn of(path: &Path) -> io::Result<Self> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            let there = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Self::File { path, there: None });
                }
                there => there?,
            };
            let kind = there.file_type();
            if kind.is_file() {
                return Ok(Self::File { path, there: Some(there) });
            }
            if kind.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if kind.is_block_device() {
                return Err(io::Error::other("it is a block device, and this would destroy it"));
            }
            if !kind.is_symlink() {
                return Ok(Self::Stream(path));
            }
            let folder = folder(&path);
            // Links of /proc name an open file, not a path: `/dev/stderr` leads there.
            if fs::canonicalize(folder)?.starts_with("/proc") {
                return Ok(Self::Stream(path));
            }
            path = folder.join(fs::read_link(&path)?);
        }
        Err(io::Error::other("it leads through too many symbolic links"))
    }
}

/// Puts a new file under the name, with the mode and the owner of the old one.
fn replace(path: &Path, there: Option<&Metadata>, bytes: &[u8]) -> io::Result<()> {
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    // The name begins with `..`, which `find` passes over: a watcher of this directory never reads
    // it.
    let mut file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder)?;
    file.write_all(bytes)?;
    let mut mode = MODE;
    if let Some(there) = there {
        let made = file.as_file().metadata()?;
        if (made.uid(), made.gid()) != (there.uid(), there.gid()) {
            fchown(file.as_file(), Some(there.uid()), Some(there.gid()))?;
        }
        mode = there.mode() & MODE_BITS;
    }
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}

fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

/// Returns true if a regular file has these bytes.
fn holds(path: &Path, there: &Metadata, bytes: &[u8]) -> io::Result<bool> {
    if there.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut held = Vec::with_capacity(bytes.len());
    File::open(path)?.take(there.len().saturating_add(1)).read_to_end(&mut held)?;
    Ok(held == bytes)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

const MODE: u32 = 0o644;
/// The bits that chmod(2) sets: permissions, set-id and sticky bits.
const MODE_BITS: u32 = 0o7777;
/// The number of links that Linux follows.
const LINKS_MAX: u32 = 40;
const TEMPORARY_PREFIX: &str = "..trustd-";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;
    use std::thread;

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
    fn everyone_may_read_a_new_file_and_an_old_one_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & MODE_BITS;
        write(&path, b"one").unwrap();
        assert_eq!(mode(), 0o644);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(write(&path, b"one").unwrap(), Wrote::Same);
        assert_eq!(write(&path, b"two").unwrap(), Wrote::Changed);
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_link_keeps_pointing_and_its_target_is_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("far")).unwrap();
        fs::write(at("far/target"), b"old").unwrap();
        symlink("far/target", at("link")).unwrap();
        symlink(at("link"), at("chain")).unwrap();
        symlink("far/new", at("dangling")).unwrap();
        for (link, target) in [("chain", "far/target"), ("dangling", "far/new")] {
            assert_eq!(write(&at(link), b"new").unwrap(), Wrote::Changed);
            assert_eq!(write(&at(link), b"new").unwrap(), Wrote::Same);
            assert_eq!(fs::read(at(target)).unwrap(), b"new");
            remove(&at(link)).unwrap();
            assert!(!at(target).exists());
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
            remove(&at(link)).unwrap();
        }
        symlink("ring", at("ring")).unwrap();
        assert!(write(&at("ring"), b"x").is_err());
    }

    #[test]
    fn a_pipe_is_written_into_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let reader = thread::spawn({
            let path = path.clone();
            move || fs::read(path).unwrap()
        });
        assert_eq!(write(&path, b"one").unwrap(), Wrote::Changed);
        remove(&path).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(reader.join().unwrap(), b"one");
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
