//! Files: reading within limits, finding manifests in directories, writing whole, watching.
//!
//! Nothing here knows what the content means.

mod find;
mod read;
mod watch;
mod write;

use std::io;
use std::path::PathBuf;

pub use find::{FILES_MAX, manifests};
pub use read::{FILE_BYTES_MAX, Input, read};
pub use watch::{FileWatch, WatchTiming};
pub use write::{Wrote, remove, write};

/// A file could not be read, found or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A directory where a file is wanted.
    #[error("`{path}` is a directory, and a file is wanted")]
    IsDirectory {
        /// The path as given.
        path: PathBuf,
    },
    /// A directory could not be listed.
    #[error("cannot list directory `{path}`")]
    List {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A directory without a manifest in it.
    #[error("no file below `{path}` ends with .yaml, .yml or .json")]
    NoManifests {
        /// The directory.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The path as given, or `-`.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file could not be removed.
    #[error("cannot remove `{path}`")]
    Remove {
        /// The path as given.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is larger than anything it could be meant for.
    #[error("`{path}` is larger than {limit_mib} MiB, the most that is read")]
    TooLarge {
        /// The path as given, or `-`.
        path: PathBuf,
        /// The limit.
        limit_mib: u64,
    },
    /// More files than anybody means to pass.
    #[error("more than {limit} files below `{path}`")]
    TooMany {
        /// The directory being searched when the limit was passed.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// The file could not be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}
