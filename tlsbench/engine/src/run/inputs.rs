//! The inputs of a run that a scenario names and does not hold: addresses, roots, certificates.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tlsbench_core::scenario::{
    ClientCertificate, IpVersion, Provider, Scenario, Scheme, Target, Version, without_root,
};

use super::reach::{self, UnreachableAddress};
use crate::clock::Clock;
use crate::tls::{Identity, ReloadingRoots, Roots, TlsError, crypto_provider};

/// The inputs that a scenario names, gathered.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The addresses of each target, in the scenario's order; never none.
    pub addresses: Vec<Vec<SocketAddr>>,
    /// Those of each target that are no part of these, because they do not answer.
    pub left_out: Vec<Vec<UnreachableAddress>>,
    /// Roots, where there is TLS.
    pub roots: Option<Arc<Roots>>,
    /// The file that they came from, where it is one: it is read again when it was replaced.
    pub ca_bundle: Option<Arc<ReloadingRoots>>,
    /// The client certificate.
    pub identity: Option<Identity>,
}

/// The reason why something a scenario names could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InputsError {
    /// A file that cannot be read.
    #[error("cannot read `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A client certificate that is of no use.
    #[error("cannot use client certificate `{chain}` with key `{key}`")]
    Identity {
        /// The file of the certificate and its chain.
        chain: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The cause.
        source: TlsError,
    },
    /// This machine's roots are of no use.
    #[error("cannot use the roots of this machine, and no other was named with `tls.ca_bundle`")]
    PlatformRoots {
        /// The cause.
        source: TlsError,
    },
    /// A CA bundle that is of no use; the cause names its file.
    #[error(transparent)]
    Roots {
        /// The cause.
        source: TlsError,
    },
    /// A host that has addresses, none of them of the version of IP that is asked for.
    #[error(
        "`{host}` has no {version} address, only {other}; `ip_version` or `sources` asks for {version}"
    )]
    IpVersion {
        /// The host.
        host: String,
        /// The version that is asked for.
        version: IpVersion,
        /// An address that it has.
        other: std::net::IpAddr,
    },
    /// A host without addresses.
    #[error("cannot resolve `{host}`")]
    Resolve {
        /// The host.
        host: String,
        /// The cause.
        source: io::Error,
    },
}

impl Inputs {
    /// Resolves the targets' hosts, leaves out addresses of names that do not answer, and reads the
    /// files that TLS needs.
    ///
    /// # Errors
    /// Fails when a host has no address or a file is of no use.
    pub fn gather(scenario: &Scenario) -> Result<Self, InputsError> {
        let version = scenario.effective_ip_version();
        Self::gather_by(scenario, |target| resolve(target, version))
    }

    /// The same, with addresses from elsewhere than the system's resolver.
    pub(super) fn gather_by(
        scenario: &Scenario,
        find: impl Fn(&Target) -> Result<Vec<SocketAddr>, InputsError>,
    ) -> Result<Self, InputsError> {
        let mut addresses = scenario.targets.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let left_out = leave_out(scenario, &mut addresses);
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
        let certificate = scenario.tls.client_certificate.as_ref();
        let identity =
            certificate.map(|files| identity(files, scenario.tls.provider)).transpose()?;
        Ok(Self { addresses, left_out, roots, ca_bundle, identity })
    }

    /// Returns notes on addresses that were left out.
    #[must_use]
    pub fn notes(&self, scenario: &Scenario) -> Vec<String> {
        let mut notes = Vec::new();
        for (target, left_out) in scenario.targets.iter().zip(&self.left_out) {
            let name = &target.name;
            notes
                .extend(left_out.iter().take(TOLD_MAX).map(|left_out| is_left_out(name, left_out)));
            let more = left_out.len().saturating_sub(TOLD_MAX);
            if more > 0 {
                notes.push(format!("{name}: {more} more addresses do not answer and are left out"));
            }
        }
        notes
    }
}

/// Returns the note on an address that is left out.
pub(super) fn is_left_out(
    target: &str,
    UnreachableAddress { address, why }: &UnreachableAddress,
) -> String {
    format!("{target}: {address} does not answer ({}) and is left out", why.as_str())
}

/// Takes out what does not answer where a name has other addresses. Those that the scenario names
/// itself are kept: they are what is to be measured.
fn leave_out(
    scenario: &Scenario,
    addresses: &mut [Vec<SocketAddr>],
) -> Vec<Vec<UnreachableAddress>> {
    let is_name_of_several =
        |target: &Target, found: &[SocketAddr]| target.connect_to.is_empty() && found.len() > 1;
    let mut several = BTreeSet::new();
    for (target, found) in scenario.targets.iter().zip(addresses.iter()) {
        if is_name_of_several(target, found) {
            several.extend(found.iter().copied());
        }
    }
    let unreachable = reach::unreachable(&several, &scenario.sources, reach::LIMIT);
    let targets = scenario.targets.iter().zip(addresses.iter_mut());
    targets
        .map(|(target, found)| match is_name_of_several(target, found) {
            true => reach::leave_out(found, &unreachable),
            false => Vec::new(),
        })
        .collect()
}

/// The addresses of a target: those it is to be connected to, or those of its host of a version of
/// IP.
///
/// # Errors
/// Fails when there are none.
pub fn resolve(
    target: &Target,
    version: Option<IpVersion>,
) -> Result<Vec<SocketAddr>, InputsError> {
    if !target.connect_to.is_empty() {
        return Ok(target.connect_to.clone());
    }
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let failed = |source| InputsError::Resolve { host: host.to_owned(), source };
    let whole = (host, target.port).to_socket_addrs();
    // Files of hosts know no dot at the end of a name.
    let found = whole.or_else(|_| (without_root(host), target.port).to_socket_addrs());
    let found: Vec<_> = found.map_err(failed)?.collect();
    of_version(found, version, host)
}

/// Those of the addresses of a host that are of a version of IP.
pub(super) fn of_version(
    found: Vec<SocketAddr>,
    version: Option<IpVersion>,
    host: &str,
) -> Result<Vec<SocketAddr>, InputsError> {
    let host = || host.to_owned();
    let Some(first) = found.first().map(SocketAddr::ip) else {
        return Err(InputsError::Resolve { host: host(), source: io::ErrorKind::NotFound.into() });
    };
    let Some(version) = version else { return Ok(found) };
    let is_fitting = |address: &SocketAddr| IpVersion::of(address.ip()) == version;
    let fitting: Vec<SocketAddr> = found.into_iter().filter(is_fitting).collect();
    match fitting.is_empty() {
        true => Err(InputsError::IpVersion { host: host(), version, other: first }),
        false => Ok(fitting),
    }
}

fn identity(files: &ClientCertificate, provider: Provider) -> Result<Identity, InputsError> {
    let ClientCertificate { chain, key } = files;
    let failed = |source| InputsError::Identity { chain: chain.clone(), key: key.clone(), source };
    let identity = Identity::from_pem(&read(chain)?, &read(key)?).map_err(failed)?;
    // A provider that this build lacks is told of by whoever makes a client with it.
    if let Ok(provider) = crypto_provider(provider, &[Version::Tls13], &[], &[]) {
        identity.check(&provider).map_err(failed)?;
    }
    Ok(identity)
}

fn read(path: &Path) -> Result<Vec<u8>, InputsError> {
    std::fs::read(path).map_err(|source| InputsError::File { path: path.to_owned(), source })
}

/// Addresses that are named where they are left out.
const TOLD_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str) -> Target {
        Target {
            name: "t".to_owned(),
            scheme: Scheme::Https,
            host: host.to_owned(),
            port: 443,
            path: "/".to_owned(),
            sni: None,
            connect_to: Vec::new(),
        }
    }

    #[test]
    fn a_zone_is_an_interface_by_name_or_number() {
        // The loopback interface is the first of every network namespace.
        for host in ["fe80::1%lo", "fe80::1%1"] {
            let SocketAddr::V6(found) = resolve(&target(host), None).unwrap()[0] else { panic!() };
            assert_eq!((found.ip().to_string().as_str(), found.scope_id()), ("fe80::1", 1));
        }
        let error = resolve(&target("fe80::1%nowhere"), None).unwrap_err();
        assert_eq!(error.to_string(), "cannot resolve `fe80::1%nowhere`");
    }

    #[test]
    fn a_name_with_a_dot_at_its_end_is_found_in_the_file_of_hosts() {
        let found = |host| resolve(&target(host), None).unwrap();
        assert_eq!(found("localhost."), found("localhost"));
    }

    #[test]
    fn addresses_of_another_version_of_ip_are_not_used() {
        let [v4, v6] = ["127.0.0.1:80", "[::1]:80"].map(|text| text.parse().unwrap());
        let of = |version| of_version(vec![v6, v4], version, "a").unwrap();
        assert_eq!(of(None), [v6, v4]);
        assert_eq!(of(Some(IpVersion::V4)), [v4]);
        assert_eq!(of(Some(IpVersion::V6)), [v6]);
        let error = of_version(vec![v4], Some(IpVersion::V6), "a").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`a` has no ipv6 address, only 127.0.0.1; `ip_version` or `sources` asks for ipv6"
        );
    }
}
