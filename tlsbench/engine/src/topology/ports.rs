//! Free ports of the loopback interface for hops.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Addresses that nobody listens at. They are not of the range from which the system takes ports
/// for outgoing connections, so that none is taken before the hop has it. `None` if there are too
/// few.
pub(super) fn free_addresses(count: usize) -> Option<Vec<SocketAddr>> {
    let mut held = Vec::with_capacity(count);
    // Runs at the same time begin far from each other, however close their numbers are, and no port
    // is given twice by this one until all others were.
    let span = u32::from(PORTS_TO - PORTS_FROM);
    let begin = (std::process::id() % span) * STRIDE;
    for _ in 0..span {
        if held.len() == count {
            break;
        }
        let turn = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(begin);
        let port = PORTS_FROM + u16::try_from(turn % span).unwrap_or_default();
        // All are held until the last is found, so that none is given twice.
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    }
    let addresses: Vec<SocketAddr> =
        held.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    (addresses.len() == count).then_some(addresses)
}

/// Returns whether somebody listens at one of these addresses, none of which is ours any more.
pub(super) fn is_one_taken(addresses: &[SocketAddr]) -> bool {
    let is_taken = |address: &SocketAddr| {
        let bound = TcpListener::bind(address);
        bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    };
    addresses.iter().any(is_taken)
}

/// A prime: processes whose numbers follow each other begin this many ports apart.
const STRIDE: u32 = 4_877;
/// The number of ports were tried so far.
static NEXT: AtomicU32 = AtomicU32::new(0);
/// Ports above those of well-known services and below those of outgoing connections (32,768 on
/// Linux).
pub(super) const PORTS_FROM: u16 = 20_000;
pub(super) const PORTS_TO: u16 = 32_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn hops_get_ports_that_nobody_has_however_often_they_are_asked_for() {
        let first = free_addresses(1).unwrap();
        let _taken = TcpListener::bind(first[0]).unwrap();
        // All ports of the range come up, and its beginning again.
        for _ in 0..=(PORTS_TO - PORTS_FROM) / 100 {
            let all = free_addresses(100).unwrap();
            let ports: BTreeSet<u16> = all.iter().map(SocketAddr::port).collect();
            assert_eq!(ports.len(), 100, "each once: {all:?}");
            assert!(ports.iter().all(|port| (PORTS_FROM..PORTS_TO).contains(port)), "{all:?}");
            assert!(!all.contains(&first[0]), "somebody has {}", first[0]);
        }
    }

    #[test]
    fn a_port_that_somebody_took_meanwhile_is_seen() {
        let all = free_addresses(3).unwrap();
        assert!(!is_one_taken(&all));
        let taken = TcpListener::bind(all[1]).unwrap();
        assert!(is_one_taken(&all));
        drop(taken);
        assert!(!is_one_taken(&all));
        // An address of another network namespace is nobody's here.
        assert!(!is_one_taken(&["198.18.1.2:8443".parse().unwrap()]));
    }
}
