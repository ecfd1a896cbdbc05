//! The client's half of TLS, and the configurations of hops: made for one target, and what a
//! handshake negotiated.
//!
//! A [`TlsClient`] belongs to one shard and one target. It decides for each connection whether it
//! resumes, with a session store of its own; it makes no sockets and moves no bytes.

mod alpn;
mod error;
mod failure;
mod pem;
mod identity;
mod pki;
mod lab;
mod provider;
mod refusal;
mod roots;
mod store;
mod verify;
mod negotiated;
mod server_name;
mod client;
mod ends;

pub use alpn::Alpn;
pub use client::{TlsClient, Wanted};
pub(crate) use ends::{client_config, server_config, ticket_keys};
pub use error::TlsError;
pub use failure::{failure_of, failure_of_io};
pub use identity::Identity;
pub use lab::Lab;
pub use negotiated::{Kind, Negotiated};
pub use pem::SkippedBlock;
pub use pki::{Issued, Issuer, KeyKind, LabPki, PkiError, Purpose, Subject, Validity};
pub use provider::crypto_provider;
pub use roots::{ReloadingRoots, Roots};

#[cfg(test)]
mod tests;
