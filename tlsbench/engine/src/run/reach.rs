//! Reachability of a name's addresses: one that does not would fail its part of all operations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tlsbench_core::tally::Failure;
use tlsbench_core::units::Nanos;

use crate::clock::Clock;
use crate::session::dial;

/// An address of a name that no connection is made to, because it does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreachableAddress {
    /// The address.
    pub address: SocketAddr,
    /// The reason why connecting to it failed.
    pub why: Failure,
}

/// The addresses to which no TCP connection can be made within `limit`, with why. All are tried at
/// once, from the first source address of their version of IP.
pub(super) fn unreachable(
    addresses: &BTreeSet<SocketAddr>,
    sources: &[IpAddr],
    limit: Nanos,
) -> BTreeMap<SocketAddr, Failure> {
    // In batches: a name with thousands of addresses must not use up the descriptors.
    let all: Vec<SocketAddr> = addresses.iter().copied().collect();
    all.chunks(AT_ONCE).flat_map(|some| tried(some, sources, limit)).collect()
}

/// Takes what is unreachable out of the addresses of a name, unless that is all of them.
pub(super) fn leave_out(
    addresses: &mut Vec<SocketAddr>,
    unreachable: &BTreeMap<SocketAddr, Failure>,
) -> Vec<UnreachableAddress> {
    if addresses.iter().all(|address| unreachable.contains_key(address)) {
        return Vec::new();
    }
    let of = |address: &SocketAddr| {
        let why = *unreachable.get(address)?;
        Some(UnreachableAddress { address: *address, why })
    };
    let left_out = addresses.iter().filter_map(of).collect();
    addresses.retain(|address| !unreachable.contains_key(address));
    left_out
}

fn tried(
    addresses: &[SocketAddr],
    sources: &[IpAddr],
    limit: Nanos,
) -> BTreeMap<SocketAddr, Failure> {
    let mut failed = BTreeMap::new();
    let mut waiting: Vec<(SocketAddr, TcpStream)> = Vec::new();
    for &to in addresses {
        let from = sources.iter().find(|from| from.is_ipv4() == to.is_ipv4()).copied();
        match dial::dial(to, from) {
            Ok(socket) => waiting.push((to, socket)),
            Err(failure) => {
                failed.insert(to, failure);
            }
        }
    }
    let until = Nanos(Clock::Monotonic.now().0.saturating_add(limit.0));
    while !waiting.is_empty() {
        let left = Duration::from_nanos((until - Clock::Monotonic.now()).0);
        if left.is_zero() {
            failed.extend(waiting.iter().map(|(to, _)| (*to, Failure::Timeout)));
            break;
        }
        let mut asked: Vec<PollFd<'_>> =
            waiting.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::OUT)).collect();
        let heard = poll(&mut asked, Timespec::try_from(left).ok().as_ref());
        let mut done: Vec<bool> = asked.iter().map(|of| !of.revents().is_empty()).collect();
        match heard {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            // Nothing can be said of an address that cannot be waited for.
            Err(_) => break,
        }
        done.reverse();
        waiting.retain(|(to, socket)| {
            let is_done = done.pop().unwrap_or_default();
            if is_done && let Err(failure) = dial::outcome(socket) {
                failed.insert(*to, failure);
            }
            !is_done
        });
    }
    failed
}

/// One lost SYN (1 s) and a slow path fit.
pub(super) const LIMIT: Nanos = Nanos::from_millis(2_000);
/// Sockets that are open at a time: far below what any process may have.
const AT_ONCE: usize = 64;

#[cfg(test)]
pub(super) mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A listener, the address of it, and one of its port where nothing listens.
    pub(in crate::run) fn one_of_two() -> (TcpListener, SocketAddr, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let up = listener.local_addr().unwrap();
        (listener, up, SocketAddr::from(([127, 0, 0, 2], up.port())))
    }

    /// A listener whose queue is full, so that it swallows what knocks, and what fills it.
    fn swallowing() -> (TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.3:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let to = listener.local_addr().unwrap();
        let knock = |_| dial::dial(to, None).unwrap();
        let knocks: Vec<TcpStream> = (0..8).map(knock).collect();
        (listener, knocks)
    }

    #[test]
    fn what_refuses_and_what_swallows_is_unreachable() {
        let (_listener, up, refusing) = one_of_two();
        let (silent, _knocks) = swallowing();
        let silent = silent.local_addr().unwrap();
        let all = BTreeSet::from([up, refusing, silent]);
        // Long enough for what answers, however busy the machine is.
        let seen = unreachable(&all, &["127.0.0.1".parse().unwrap()], LIMIT);
        let listed: Vec<_> = seen.iter().map(|(at, why)| (*at, *why)).collect();
        assert_eq!(listed, [(refusing, Failure::ConnectRefused), (silent, Failure::Timeout),]);
    }

    #[test]
    fn all_of_many_are_tried() {
        let (_listener, up, _) = one_of_two();
        let of = |last| SocketAddr::from(([127, 0, 1, last], up.port()));
        let mut all: BTreeSet<_> = (0..200).map(of).collect();
        all.insert(up);
        let seen = unreachable(&all, &[], LIMIT);
        assert_eq!((seen.len(), seen.contains_key(&up)), (200, false));
    }

    #[test]
    fn where_none_answers_all_are_kept() {
        let [one, two] = ["127.0.0.1:1", "127.0.0.2:1"].map(|text| text.parse().unwrap());
        let failed = BTreeMap::from([(one, Failure::Timeout), (two, Failure::Timeout)]);
        let mut addresses = vec![two, one];
        assert_eq!(leave_out(&mut addresses, &failed), []);
        assert_eq!(addresses, [two, one]);
        let three = "127.0.0.3:1".parse().unwrap();
        addresses.push(three);
        let left_out = leave_out(&mut addresses, &failed);
        assert_eq!((left_out.len(), left_out[0].address, addresses), (2, two, vec![three]));
    }
}
