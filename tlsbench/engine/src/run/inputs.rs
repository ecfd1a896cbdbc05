//! What a scenario names and does not hold: addresses, roots, certificates.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tlsbench_core::plan::{ClientCertificate, Scenario, Scheme, Target};

use crate::clock::Clock;
use crate::tls::{Identity, ReloadingRoots, Roots, TlsError};

/// What a scenario names, gathered.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The addresses of each target, in the scenario's order; never none.
    pub addresses: Vec<Vec<SocketAddr>>,
    /// Roots, where there is TLS.
    pub roots: Option<Arc<Roots>>,
    /// The file that they came from, where it is one: it is read again when it was replaced.
    pub ca_bundle: Option<Arc<ReloadingRoots>>,
    /// The client certificate.
    pub identity: Option<Identity>,
}

/// Why something a scenario names could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InputsError {
    /// A file that cannot be read.
    #[error("cannot read `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// A client certificate that is of no use.
    #[error("cannot use client certificate `{chain}` with key `{key}`")]
    Identity {
        /// The file of the certificate and its chain.
        chain: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong with them.
        source: TlsError,
    },
    /// This machine's roots are of no use.
    #[error("cannot use the roots of this machine, and no other was named with `tls.ca_bundle`")]
    PlatformRoots {
        /// What is wrong with them.
        source: TlsError,
    },
    /// A CA bundle that is of no use; the cause names its file.
    #[error(transparent)]
    Roots {
        /// What is wrong with it.
        source: TlsError,
    },
    /// A host without addresses.
    #[error("cannot resolve `{host}`")]
    Resolve {
        /// The host.
        host: String,
        /// What failed.
        source: io::Error,
    },
}

impl Inputs {
    /// Resolves the targets' hosts and reads the files that TLS needs.
    ///
    /// # Errors
    /// Fails when a host has no address or a file is of no use.
    pub fn gather(scenario: &Scenario) -> Result<Self, InputsError> {
        let addresses = scenario.targets.iter().map(resolve).collect::<Result<_, _>>()?;
        let secure = scenario.targets.iter().any(|target| target.scheme == Scheme::Https);
        let ca_bundle = match scenario.tls.ca_bundle.as_ref().filter(|_| secure) {
            Some(path) => {
                let opened = ReloadingRoots::open(path, Clock::Monotonic.now())
                    .map_err(|source| InputsError::Roots { source })?;
                Some(Arc::new(opened))
            }
            None => None,
        };
        let platform = || Roots::platform().map_err(|source| InputsError::PlatformRoots { source });
        let roots = match &ca_bundle {
            Some(bundle) => Some(bundle.current()),
            None if secure => Some(Arc::new(platform()?)),
            None => None,
        };
        let identity = scenario.tls.client_certificate.as_ref().map(identity).transpose()?;
        Ok(Self { addresses, roots, ca_bundle, identity })
    }
}

/// The addresses of a target: those it is to be connected to, or those of its host.
///
/// # Errors
/// Fails when there are none.
pub fn resolve(target: &Target) -> Result<Vec<SocketAddr>, InputsError> {
    if !target.connect_to.is_empty() {
        return Ok(target.connect_to.clone());
    }
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let failed = |source| InputsError::Resolve { host: host.to_owned(), source };
    let found: Vec<_> = (host, target.port).to_socket_addrs().map_err(failed)?.collect();
    if found.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    Ok(found)
}

fn identity(files: &ClientCertificate) -> Result<Identity, InputsError> {
    let ClientCertificate { chain, key } = files;
    let failed = |source| InputsError::Identity { chain: chain.clone(), key: key.clone(), source };
    Identity::from_pem(&read(chain)?, &read(key)?).map_err(failed)
}

fn read(path: &Path) -> Result<Vec<u8>, InputsError> {
    std::fs::read(path).map_err(|source| InputsError::File { path: path.to_owned(), source })
}
