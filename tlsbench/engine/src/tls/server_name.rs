//! Server names that live as long as the process, so that no connection copies one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use rustls::pki_types::ServerName;
use tlsbench_core::scenario;

use super::error::TlsError;

/// Reads a name once for all connections. A borrowed name is copied without allocating, and rustls
/// copies it several times in each handshake.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let bare = scenario::without_root(bare);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    ServerName::try_from(bare).map_err(|_| TlsError::ServerName { name: host.to_owned() })?;
    ServerName::try_from(lasting(bare)).map_err(|_| TlsError::ServerName { name: host.to_owned() })
}

/// The same text for the rest of the process: one copy per name, however many clients there are.
fn lasting(text: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(text) {
        return found;
    }
    let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
    known.insert(kept);
    kept
}
