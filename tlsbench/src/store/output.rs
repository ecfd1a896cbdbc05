//! Documents on their way to the place that a path names. Regular files are replaced by a rename,
//! so that a reader sees the old one or the new one. All else is written into: a rename would put a
//! regular file where a device, a pipe or a symbolic link was.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The destination of a document, with symbolic links followed.
#[derive(Debug)]
pub(super) enum OutputTarget {
    /// A regular file, or a name that is free.
    File {
        /// The path without symbolic links in its last part.
        path: PathBuf,
        /// The file that is there already, whose mode and owner stay.
        there: Option<Metadata>,
    },
    /// Standard output of this process.
    Stdout,
    /// A device, a pipe, or a file that is open already (`/dev/fd/3`).
    Stream(PathBuf),
}

impl OutputTarget {
    /// # Errors
    /// For a block device, a directory, and where a part of the path cannot be read.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        if is_stdout(path) {
            return Ok(Self::Stdout);
        }
        let mut path = path.to_owned();
        // Links are followed by hand: `canonicalize` fails where the last one leads to a name that
        // is still free.
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
            // Writing to one would destroy a file system, and nobody means that by `--record`.
            if kind.is_block_device() {
                return Err(io::Error::other(
                    "it is a block device, and a document would destroy it",
                ));
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

    /// Checks that the document can be written later on, and makes the directory for it.
    ///
    /// # Errors
    /// When it cannot.
    pub(super) fn prepare(&self) -> io::Result<()> {
        match self {
            // A temporary file is made and dropped: only making one shows that the directory can be
            // written to.
            Self::File { path, there } => match temporary(path) {
                Err(error) if there.is_some() && is_refused(&error) => {
                    OpenOptions::new().write(true).open(path).map(drop)
                }
                made => made.map(drop),
            },
            // To open a pipe and close it again would end it for its reader.
            Self::Stdout | Self::Stream(_) => Ok(()),
        }
    }

    /// # Errors
    /// When it cannot be written; a regular file is then as it was, unless it had to be written in
    /// place.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File { path, there: None } => {
                // In the same directory, because a rename works within one file system only.
                let mut file = temporary(path)?;
                file.write_all(bytes)?;
                file.persist(path).map(drop).map_err(|failed| failed.error)
            }
            Self::File { path, there: Some(there) } => match replace(path, there, bytes) {
                Err(error) if is_refused(&error) => {
                    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(bytes)
                }
                replaced => replaced,
            },
            Self::Stdout => match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush())
            {
                // A reader that stops reading early is no failure.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                written => written,
            },
            // An open file may be a regular one that holds something: behind that.
            Self::Stream(path) => OpenOptions::new().append(true).open(path)?.write_all(bytes),
        }
    }
}

/// Returns true if a path means standard output of this process: `-`, and the names that the kernel
/// has for it.
pub(super) fn is_stdout(path: &Path) -> bool {
    STDOUT.iter().any(|name| path.as_os_str() == *name)
}

/// Puts a new file with the mode and the owner of the old one under its name.
fn replace(path: &Path, there: &Metadata, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary(path)?;
    file.write_all(bytes)?;
    // Owner before mode: changing the owner clears the set-user-ID bits (chown(2)).
    keep_owner(file.as_file(), there)?;
    file.as_file().set_permissions(Permissions::from_mode(there.mode() & MODE_BITS))?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}

fn keep_owner(file: &File, there: &Metadata) -> io::Result<()> {
    let made = file.metadata()?;
    if (made.uid(), made.gid()) == (there.uid(), there.gid()) {
        return Ok(());
    }
    fchown(file, Some(there.uid()), Some(there.gid()))
}

/// Returns true if a file can only be written in place: its directory is not ours to write in, its
/// owner could not be kept, or it is a mount point, as a single file is that a container was given.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

/// A file in the directory of `path`, gone again unless it is given the name.
fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    // Documents are for others as well: as readable as the umask lets any new file be.
    let readable = Permissions::from_mode(0o666);
    tempfile::Builder::new().permissions(readable).tempfile_in(folder)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

const STDOUT: [&str; 4] = ["-", "/dev/fd/1", "/dev/stdout", "/proc/self/fd/1"];
/// The limit of symbolic links, as Linux has it.
const LINKS_MAX: u32 = 40;
/// Bits that chmod(2) sets: permissions, set-id and sticky bits.
const MODE_BITS: u32 = 0o7777;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;
    use std::thread;

    use super::super::{is_stream, write};
    use super::*;

    #[test]
    fn a_symbolic_link_keeps_pointing_and_its_target_has_the_document() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("far")).unwrap();
        fs::write(at("far/target"), "old").unwrap();
        symlink("far/target", at("link")).unwrap();
        symlink(at("link"), at("chain")).unwrap();
        symlink("far/new", at("dangling")).unwrap();
        for (link, target) in [("chain", "far/target"), ("dangling", "far/new")] {
            write(&at(link), link).unwrap();
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
            assert_eq!(fs::read_to_string(at(target)).unwrap(), link);
            assert!(!is_stream(&at(link)));
        }
        assert_eq!(fs::read_dir(at("far")).unwrap().count(), 2);
        symlink("ring", at("ring")).unwrap();
        assert!(write(&at("ring"), "").is_err());
    }

    #[test]
    fn a_mode_and_an_owner_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let old = fs::metadata(&path).unwrap();
        // Only root may give files away; for others the owner is their own.
        let owner = if old.uid() == 0 { (4_321, 1_234) } else { (old.uid(), old.gid()) };
        std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1)).unwrap();
        write(&path, "new").unwrap();
        let new = fs::metadata(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(new.mode() & MODE_BITS, 0o640);
        assert_eq!((new.uid(), new.gid()), owner);
        assert_ne!(new.ino(), old.ino(), "not written in place");
    }

    #[test]
    fn a_pipe_is_written_into_and_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(is_stream(&path));
        let reader = thread::spawn({
            let path = path.clone();
            move || fs::read_to_string(path).unwrap()
        });
        write(&path, "document").unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(reader.join().unwrap(), "document");
    }

    #[test]
    fn standard_output_has_four_names() {
        for name in STDOUT {
            assert!(
                matches!(OutputTarget::of(Path::new(name)).unwrap(), OutputTarget::Stdout),
                "{name}"
            );
        }
        assert!(matches!(OutputTarget::of(Path::new("./-")).unwrap(), OutputTarget::File { .. }));
        assert!(matches!(
            OutputTarget::of(Path::new("/dev/fd/2")).unwrap(),
            OutputTarget::Stream(_)
        ));
        assert!(matches!(
            OutputTarget::of(Path::new("/dev/null")).unwrap(),
            OutputTarget::Stream(_)
        ));
    }
}
