//! Why a test server cannot start.

use std::io;

use thiserror::Error;

/// Why a fake server could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TestServerError {
    /// The parts of its TLS do not fit together.
    #[error("cannot configure the fake server's TLS")]
    Config {
        /// What does not fit.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There was no port or no thread.
    #[error("cannot start the fake server")]
    Start {
        /// What failed.
        source: io::Error,
    },
}
