//! Hops as configurations of real proxies: text and the files that it names. Nothing is written or
//! started here.
//!
//! All names in a configuration are relative to the hop's own folder, so that the same hop gives
//! the same text wherever it runs. What a proxy cannot do is an error; what it does in its own way
//! is a note, for the report.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::hop::{Cryptography, DialTls, Hop, ListenTls};
use crate::scenario::{Group, Suite, Verify, Version};
use crate::units::Nanos;

mod nginx;
mod haproxy;
mod caddy;
#[cfg(test)]
mod tests;

pub use caddy::caddy;
pub use haproxy::{RESPONSE_MAX as HAPROXY_RESPONSE_MAX, haproxy};
pub use nginx::{NginxBuild, nginx};

/// A configuration and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Files of the hop's folder by name; those with keys are to be readable by their owner only.
    pub files: BTreeMap<&'static str, String>,
    /// Differences between the request and what the proxy does.
    pub notes: Vec<&'static str>,
}

/// A feature that a proxy does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{engine} cannot have {what}; {cure}")]
pub struct UnsupportedFeature {
    /// The proxy.
    pub engine: &'static str,
    /// The feature.
    pub what: String,
    /// The cure.
    pub cure: &'static str,
}

/// The file that a proxy is started with.
pub const NGINX_CONF: &str = "nginx.conf";
/// The file that a proxy is started with.
pub const CADDY_JSON: &str = "caddy.json";
/// The file that a proxy is started with.
pub const HAPROXY_CFG: &str = "haproxy.cfg";
/// One line for each connection, in HTTP at its first request: `r` for a session that was resumed,
/// `.` for a full handshake, `-` where there is no TLS, as nginx writes `$ssl_session_reused`.
pub const HANDSHAKE_LOG: &str = "handshakes.log";
/// File with the process ID of nginx.
pub const NGINX_PID: &str = "nginx.pid";
/// Socket on which HAProxy answers `show stat`.
pub const STATS_SOCKET: &str = "stats.sock";

/// A response as long as a backend's is to be: text, so that people can look at it.
fn body(bytes: u64) -> String {
    // Readable text instead of zeros: a proxy that compresses would show at once.
    let line = "tlsbench ".repeat(7) + "\n";
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    line.chars().cycle().take(length).collect()
}

/// Refuses what only built-in hops do.
fn check(engine: &'static str, hop: &Hop) -> Result<(), UnsupportedFeature> {
    let refuse = |what: &str, cure| Err(UnsupportedFeature { engine, what: what.to_owned(), cure });
    let cryptography = hop.cryptography();
    if hop.listen.address.port() == 0 {
        // These proxies do not tell which port the system chose.
        return refuse("port 0", "choose a free port first");
    }
    if hop.delay > Nanos(0) {
        return refuse("`delay`", "put a built-in relay in between");
    }
    if hop.replicas.count.get() > 1 {
        return refuse("`replicas`", "use built-in hops");
    }
    if cryptography.iter().any(|suite| suite.groups.contains(&Group::X25519MlKem768)) {
        return refuse("the group `x25519mlkem768`", "use built-in hops with aws-lc-rs");
    }
    match &hop.listen.tls {
        Some(tls) if !matches!(tls.tickets, 0 | TICKETS) => {
            refuse(&format!("`tickets` {}", tls.tickets), "set 2, as OpenSSL gives, or 0")
        }
        _ => Ok(()),
    }
}

/// Extent of verification of a dialled chain: OpenSSL verifies all or nothing.
fn verifies(engine: &'static str, tls: &DialTls) -> Result<bool, UnsupportedFeature> {
    match tls.verify {
        Verify::Every => Ok(true),
        Verify::Off => Ok(false),
        // OpenSSL has no memory of verified chains.
        Verify::First | Verify::SameChain => Err(UnsupportedFeature {
            engine,
            what: format!("`dial.tls.verify` `{}`", tls.verify),
            cure: "set `every` or `off`",
        }),
    }
}

impl Hop {
    fn cryptography(&self) -> Vec<&Cryptography> {
        let dial = self.dial.as_ref().and_then(|dial| dial.tls.as_ref());
        let listen = self.listen.tls.as_ref().map(|tls| &tls.suite);
        listen.into_iter().chain(dial.map(|tls| &tls.suite)).collect()
    }
}

impl Cryptography {
    fn speaks(&self, version: Version) -> bool {
        self.versions.is_empty() || self.versions.contains(&version)
    }

    /// Suites of TLS 1.3 by OpenSSL's names.
    fn suites_of_13(&self) -> Option<String> {
        let name = |suite: &Suite| match suite {
            Suite::Aes128Gcm => "TLS_AES_128_GCM_SHA256",
            Suite::Aes256Gcm => "TLS_AES_256_GCM_SHA384",
            Suite::ChaCha20 => "TLS_CHACHA20_POLY1305_SHA256",
        };
        joined(self.suites.iter().map(name))
    }

    /// Suites of TLS 1.2 by OpenSSL's names, for keys of every kind.
    fn suites_of_12(&self) -> Option<String> {
        let name = |suite: &Suite| match suite {
            // TLS 1.2 names the key's signature in the suite, so each is named for both kinds of
            // key.
            Suite::Aes128Gcm => "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
            Suite::Aes256Gcm => "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384",
            Suite::ChaCha20 => "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305",
        };
        joined(self.suites.iter().map(name))
    }

    /// Groups by OpenSSL's names.
    fn curves(&self) -> Option<String> {
        let name = |group: &Group| match group {
            Group::P256 => "prime256v1",
            Group::P384 => "secp384r1",
            // `check` has refused the hybrid group.
            Group::X25519 | Group::X25519MlKem768 => "X25519",
        };
        joined(self.groups.iter().map(name))
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let all: Vec<&str> = names.collect();
    (!all.is_empty()).then(|| all.join(":"))
}

/// The files that a server's and a client's TLS need.
fn add_files(configuration: &mut Configuration, hop: &Hop) {
    let files = &mut configuration.files;
    if let Some(ListenTls { chain, key, client_ca, .. }) = &hop.listen.tls {
        // Certificate and key together: HAProxy reads one file, nginx the same twice.
        files.insert(SERVER_PEM, format!("{chain}{}", key.0));
        files.extend(client_ca.as_ref().map(|ca| (CLIENT_CA, ca.clone())));
    }
    if let Some(tls) = hop.dial.as_ref().and_then(|dial| dial.tls.as_ref()) {
        files.insert(UPSTREAM_CA, tls.ca.clone());
        files.extend(
            tls.identity
                .as_ref()
                .map(|identity| (CLIENT_PEM, format!("{}{}", identity.chain, identity.key.0))),
        );
    }
}

const SERVER_PEM: &str = "server.pem";
const CLIENT_PEM: &str = "client.pem";
const CLIENT_CA: &str = "client-ca.pem";
const UPSTREAM_CA: &str = "upstream-ca.pem";
const BODY: &str = "body.txt";
/// Tickets that OpenSSL gives with each full handshake of TLS 1.3.
const TICKETS: u8 = 2;
/// A leaf, an intermediate, and one to spare.
const CHAIN_DEPTH: u8 = 3;
