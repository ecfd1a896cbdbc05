//! Errors that keep a run from being one.

use std::io;

use thiserror::Error;

use crate::tls::TlsError;

/// An error that keeps a run from being one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// A shard could not wait for its sockets: epoll or a timer failed.
    #[error("cannot wait for the sockets of a shard")]
    Poll {
        /// The cause.
        source: io::Error,
    },
    /// The thread that resolves names again could not be started.
    #[error("cannot start the thread that resolves names")]
    Resolver {
        /// The cause.
        source: io::Error,
    },
    /// The thread of a shard could not be started.
    #[error("cannot start the thread of a shard")]
    Thread {
        /// The cause.
        source: io::Error,
    },
    /// TLS cannot be spoken as the scenario wants it.
    #[error("cannot speak TLS with `{target}`")]
    Tls {
        /// The target.
        target: String,
        /// The cause.
        source: TlsError,
    },
}
