//! Records and what is made of them, on disk: each file is there whole or not at all.

mod foreign;
mod output;
mod small;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::record::{AnyRecord, RecordError, RunRecord, SCHEMA};

use output::OutputTarget;
pub use small::{SmallError, read_small};

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file that is another document, or none at all.
    #[error("`{path}` is no record of `tlsbench run`: {what}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The document that it is instead, and what to do.
        what: String,
    },
    /// A record of another version of the format.
    #[error(
        "`{path}` has schema {seen}, and this program reads schema {SCHEMA}; use the tlsbench that \
         wrote it, or a newer one"
    )]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// The version that was found.
        seen: u64,
    },
    /// A file that could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file that is no record of `tlsbench run`.
    #[error("`{path}` is no record of `tlsbench run`: {place}")]
    Record {
        /// The file.
        path: PathBuf,
        /// The place in it: a field, or the whole.
        place: String,
        /// The cause, with its line.
        source: serde_json::Error,
    },
    /// A file that is too large to be a record.
    #[error("`{path}` is larger than {RECORD_BYTES_MAX} bytes, which no record is")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file that could not be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The path to write to.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Reads a record of either kind.
///
/// # Errors
/// When it cannot be read, or is none, or one of another schema; the field is named.
pub fn read_any(path: &Path) -> Result<AnyRecord, StoreError> {
    #[derive(Deserialize)]
    struct RecordKind {
        kind: Option<String>,
    }
    let text = text(path)?;
    // Read for its kind alone first: parsing it as the wrong kind would complain about fields that
    // need not be there.
    let kind = serde_json::from_str::<RecordKind>(&text).ok().and_then(|found| found.kind);
    match kind.as_deref() {
        Some(LabRecord::KIND) => Ok(AnyRecord::Lab(Box::new(parse(path, &text)?))),
        _ => Ok(AnyRecord::Run(Box::new(parse(path, &text)?))),
    }
}

fn text(path: &Path) -> Result<String, StoreError> {
    let failed = |source| StoreError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    // One byte more than allowed tells a file of just that size from a larger one, without trusting
    // the size that a pipe or `/proc` reports.
    file.take(RECORD_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > RECORD_BYTES_MAX {
        return Err(StoreError::TooLarge { path: path.to_owned() });
    }
    // Byte order marks are looked for in bytes: UTF-16 is no valid UTF-8, and the error of the
    // conversion would name a position and not the cause.
    match foreign::encoding(&bytes) {
        Some(what) => Err(StoreError::Foreign { path: path.to_owned(), what: what.to_owned() }),
        None => String::from_utf8(bytes).map_err(|error| {
            failed(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
        }),
    }
}

fn parse<R: ReadableRecord>(path: &Path, text: &str) -> Result<R, StoreError> {
    R::from_json(text).map_err(|error| match error {
        RecordError::Schema { seen } => StoreError::OtherSchema { path: path.to_owned(), seen },
        _ => match foreign::document(text) {
            Some(what) => StoreError::Foreign { path: path.to_owned(), what },
            // Read again for the place, which the plain reading does not keep.
            None => located::<R>(path, text),
        },
    })
}

/// A record of either kind, which is read alike.
trait ReadableRecord: DeserializeOwned {
    fn from_json(text: &str) -> Result<Self, RecordError>;
}

impl ReadableRecord for LabRecord {
    fn from_json(text: &str) -> Result<Self, RecordError> {
        Self::from_json(text)
    }
}

impl ReadableRecord for RunRecord {
    fn from_json(text: &str) -> Result<Self, RecordError> {
        Self::from_json(text)
    }
}

fn located<R: ReadableRecord>(path: &Path, text: &str) -> StoreError {
    let mut json = serde_json::Deserializer::from_str(text);
    let (place, source) = match serde_path_to_error::deserialize::<_, R>(&mut json) {
        Err(error) => {
            let place = match error.path().to_string().as_str() {
                // What serde_path_to_error says where it is within no field.
                "." | "?" => "at its top".to_owned(),
                field => format!("field `{field}`"),
            };
            (place, error.into_inner())
        }
        Ok(_) => ("at its end".to_owned(), serde::de::Error::custom("there is more text")),
    };
    StoreError::Record { path: path.to_owned(), place, source }
}

/// Writes a document to `path`. A regular file is replaced, by a temporary file beside it that
/// takes its name, mode and owner; symbolic links are followed and stay. What is there and is no
/// regular file, such as a pipe or `/dev/null`, is written into. `-` and `/dev/stdout` are standard
/// output.
///
/// # Errors
/// When a directory or the file cannot be made; what was there before is then untouched.
pub fn write(path: &Path, text: &str) -> Result<(), StoreError> {
    OutputTarget::of(path)
        .and_then(|output| output.write(text.as_bytes()))
        .map_err(|source| StoreError::Write { path: path.to_owned(), source })
}

/// Makes the directory of `path`, and sees that a file could be made there: before hours of
/// measuring, not after.
///
/// # Errors
/// As [`write()`].
pub fn prepare(path: &Path) -> Result<(), StoreError> {
    OutputTarget::of(path)
        .and_then(|output| output.prepare())
        .map_err(|source| StoreError::Write { path: path.to_owned(), source })
}

/// Returns true if a document for `path` goes to standard output, so that nothing else may be
/// printed there.
#[must_use]
pub fn is_stdout(path: &Path) -> bool {
    output::is_stdout(path)
}

/// Returns true if a document for `path` is written into something that cannot be written again,
/// such as a pipe or standard output.
#[must_use]
pub fn is_stream(path: &Path) -> bool {
    matches!(OutputTarget::of(path), Ok(OutputTarget::Stdout | OutputTarget::Stream(_)))
}

/// Returns true if two paths lead to one file; a path that leads nowhere is no other's.
#[must_use]
pub fn is_same(one: &Path, other: &Path) -> bool {
    // By canonical path and not by name, so that `./a.json` and a symbolic link are seen to be
    // `a.json`.
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// A target with 1,000 rounds takes near 3 MB: this is 80 such targets.
const RECORD_BYTES_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_replaces_another_whole_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/a.json");
        write(&path, "one").unwrap();
        write(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for error in [write(&file.join("a.json"), ""), prepare(&file.join("a.json"))] {
            let error = error.unwrap_err();
            assert!(error.to_string().ends_with("/file/a.json`"), "{error}");
        }
        assert!(prepare(folder.path()).is_err());
    }

    #[test]
    fn what_is_prepared_leaves_a_directory_and_nothing_in_it() {
        let folder = tempfile::tempdir().unwrap();
        prepare(&folder.path().join("runs/a.json")).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("runs")).unwrap().count(), 0);
    }
}
