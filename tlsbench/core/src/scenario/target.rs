//! Endpoints, and what their URL says of them.

use std::net::{IpAddr, SocketAddr};

use crate::words::words;

/// An endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Name in reports.
    pub name: String,
    /// HTTP, or HTTP over TLS.
    pub scheme: Scheme,
    /// Host of the URL, for the Host header, SNI and the name that is verified. A name may end with
    /// a dot, which is sent in the Host header alone; an IPv6 address may have a zone, which never
    /// is.
    pub host: String,
    /// Port of the URL.
    pub port: u16,
    /// Path and query of the URL, beginning with `/`.
    pub path: String,
    /// Another name than the host for SNI and verification.
    pub sni: Option<String>,
    /// Addresses to connect to instead of what the host resolves to.
    pub connect_to: Vec<SocketAddr>,
}

impl Target {
    /// The addresses that are known without resolving a name.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        match self.connect_to.as_slice() {
            [] => self.bare_host().parse().into_iter().collect(),
            given => given.iter().map(SocketAddr::ip).collect(),
        }
    }

    /// The host without the zone of an IPv6 address, which is of this machine's interfaces and
    /// means nothing to the server (RFC 6874, section 3).
    #[must_use]
    pub fn bare_host(&self) -> &str {
        self.host.split_once('%').map_or(&*self.host, |(address, _)| address)
    }

    /// Returns true if it is on this machine or in a private network, as far as that is known
    /// without resolving its name (RFC 1918, 4193, 6598, 6761, and names of a cluster's services).
    #[must_use]
    pub fn is_lab(&self) -> bool {
        let addresses = self.addresses();
        if !addresses.is_empty() {
            return addresses.into_iter().all(is_private);
        }
        let host = self.host.trim_end_matches('.');
        // Names are not resolved here: the core has no network.
        ["localhost", "svc", "cluster.local"].iter().any(|zone| {
            host.strip_suffix(zone).is_some_and(|rest| {
                rest.ends_with('.') || (rest.is_empty() && *zone == "localhost")
            })
        })
    }
}

fn is_private(address: IpAddr) -> bool {
    // Canonical first: ::ffff:10.0.0.1 is a private IPv4 address.
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // RFC 6598, 100.64.0.0/10: clouds number their nodes from it.
            let is_carrier_grade = a == 100 && (64..128).contains(&b);
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_carrier_grade
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The port of a URL that names none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IpVersion {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

impl IpVersion {
    /// The version of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

words!(IpVersion { V4 = "ipv4", V6 = "ipv6" });
