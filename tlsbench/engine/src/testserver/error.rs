//! The reason why a test server cannot start.

use std::io;

use thiserror::Error;

/// The reason why a test server could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TestServerError {
    /// The parts of its TLS do not fit together.
    #[error("cannot configure the test server's TLS")]
    Config {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There was no port or no thread.
    #[error("cannot start the test server")]
    Start {
        /// The cause.
        source: io::Error,
    },
}
