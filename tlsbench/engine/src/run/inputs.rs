//! What a scenario names and does not hold: addresses, roots, certificates.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tlsbench_core::plan::{Scenario, Scheme, Target};

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
    /// Files of a client certificate that cannot be read.
    #[error("cannot read `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// A client certificate or roots that are of no use.
    #[error("cannot use what TLS needs")]
    Tls {
        /// What is wrong.
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
        let tls = |source| InputsError::Tls { source };
        let ca_bundle = match scenario.tls.ca_bundle.as_ref().filter(|_| secure) {
            Some(path) => {
                let opened = ReloadingRoots::open(path, Clock::Monotonic.now()).map_err(tls)?;
                Some(Arc::new(opened))
            }
            None => None,
        };
        let roots = match &ca_bundle {
            Some(bundle) => Some(bundle.current()),
            None if secure => Some(Arc::new(Roots::platform().map_err(tls)?)),
            None => None,
        };
        let identity = match &scenario.tls.client_certificate {
            Some(files) => {
                Some(Identity::from_pem(&read(&files.chain)?, &read(&files.key)?).map_err(tls)?)
            }
            None => None,
        };
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

fn read(path: &Path) -> Result<Vec<u8>, InputsError> {
    std::fs::read(path).map_err(|source| InputsError::File { path: path.to_owned(), source })
}
