//! Reading one input whole: a file or stdin, never more than a limit.

use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::FileError;

/// Something to read that the user named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// A file or a directory.
    Path(PathBuf),
    /// Standard input, written `-`.
    Stdin,
}

impl From<&Path> for Input {
    fn from(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::Path(path.to_owned()) }
    }
}

impl FromStr for Input {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(Path::new(text)))
    }
}

impl Input {
    /// The path as the user gave it, `-` for stdin.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Path(path) => path,
            Self::Stdin => Path::new("-"),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path().display())
    }
}

/// Reads one file, or stdin, to its end.
///
/// # Errors
/// When it cannot be read, is a directory, or is larger than [`FILE_BYTES_MAX`].
pub fn read(input: &Input) -> Result<Vec<u8>, FileError> {
    match input {
        Input::Path(path) => {
            let failed = |source: io::Error| match source.kind() {
                io::ErrorKind::IsADirectory => FileError::IsDirectory { path: path.clone() },
                _ => FileError::Read { path: path.clone(), source },
            };
            let file = File::open(path).map_err(failed)?;
            // Opening a directory succeeds on Linux; reading it fails, which `failed` sees.
            read_limited(file, FILE_BYTES_MAX).map_err(failed)
        }
        Input::Stdin => read_limited(io::stdin().lock(), FILE_BYTES_MAX)
            .map_err(|source| FileError::Read { path: input.path().to_owned(), source }),
    }?
    .ok_or_else(|| FileError::TooLarge {
        path: input.path().to_owned(),
        limit_mib: FILE_BYTES_MAX / MIB,
    })
}

/// All of `source`, or nothing if there is more than `limit` bytes of it.
fn read_limited(source: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

const MIB: u64 = 1024 * 1024;
/// The largest input that is read. etcd takes objects of at most 1.5 MiB, so this holds a list of
/// more than 42 of the largest there are, or of 300 copies of all public roots (220 KB each).
pub const FILE_BYTES_MAX: u64 = 64 * MIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_be_as_large_as_the_limit_and_no_larger() {
        assert_eq!(read_limited(&b"1234"[..], 4).unwrap(), Some(b"1234".to_vec()));
        assert_eq!(read_limited(&b"12345"[..], 4).unwrap(), None);
    }

    #[test]
    fn an_endless_file_is_refused_by_name_and_limit() {
        let error = read(&Input::from(Path::new("/dev/zero"))).unwrap_err();
        let text = error.to_string();
        assert_eq!(text, "`/dev/zero` is larger than 64 MiB, the most that is read");
    }

    #[test]
    fn a_directory_is_not_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(&Input::from(folder.path())).unwrap_err();
        assert!(matches!(error, FileError::IsDirectory { .. }), "{error:?}");
    }

    #[test]
    fn a_missing_file_is_named_with_its_cause() {
        let error = read(&Input::from(Path::new("/nowhere/x"))).unwrap_err();
        let line = crate::exit::chain(&error);
        assert_eq!(line, "cannot read `/nowhere/x`: No such file or directory (os error 2)");
    }

    #[test]
    fn a_dash_is_stdin_and_a_path_to_a_file_named_dash_is_not() {
        assert_eq!("-".parse(), Ok(Input::Stdin));
        assert_eq!("./-".parse(), Ok(Input::Path("./-".into())));
    }
}
