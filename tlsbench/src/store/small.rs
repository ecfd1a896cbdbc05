//! Files that people write: scenarios, profiles, prices and calibrations.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A file of a person could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SmallError {
    /// The system did not let it be read, or it is not UTF-8.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file that is too large to be one.
    #[error(
        "`{path}` is larger than {SMALL_BYTES_MAX} bytes, the most that is read of such a file"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a file that a person writes, to its end.
///
/// # Errors
/// When it cannot be read, is not UTF-8, or has more than 1 MiB.
pub fn read_small(path: &Path) -> Result<String, SmallError> {
    let failed = |source| SmallError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(SMALL_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > SMALL_BYTES_MAX {
        return Err(SmallError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// 1 MiB: 200 placements of ten hops take a tenth of it.
const SMALL_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_is_refused_by_name_and_limit() {
        let text = read_small(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(text.starts_with("`/dev/zero` is larger than 1048576 bytes"), "{text}");
    }

    #[test]
    fn a_file_may_be_as_large_as_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, "#".repeat(1 << 20)).unwrap();
        assert_eq!(read_small(&path).unwrap().len(), 1 << 20);
        std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
        assert!(matches!(read_small(&path), Err(SmallError::TooLarge { .. })));
        let missing = read_small(&folder.path().join("none")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read `"), "{missing}");
    }
}
