//! A check that it is really the hop that listens at an address, and not somebody who was there
//! before.
//!
//! Looked at is the network namespace of the hop, which may be another than this process's.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};

use procfs::process::{FDTarget, Process};

use crate::probe::Processes;

/// The process that listens at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// A process that is, or descends from, the one that was asked for.
    Hop,
    /// Nobody, or nobody that can be seen.
    Nobody,
    /// Somebody else.
    Other,
}

/// Returns who listens at an address: the process or one below it, or somebody else.
pub(super) fn listener(address: SocketAddr, pid: u32) -> Listener {
    // The sockets first: one that is the hop's is then found among its descriptors.
    let inodes = sockets(address, pid);
    if inodes.is_empty() {
        return Listener::Nobody;
    }
    let Ok(all) = Processes::now() else { return Listener::Nobody };
    let holds = |pid: u32| {
        let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
        let descriptors = process.and_then(|process| process.fd().ok());
        descriptors.into_iter().flatten().flatten().any(
            |descriptor| matches!(descriptor.target, FDTarget::Socket(inode) if inodes.contains(&inode)),
        )
    };
    if all.pids_below(pid).any(holds) { Listener::Hop } else { Listener::Other }
}

/// Inodes of sockets that listen at an address, or at its port of all addresses, where a process
/// is.
///
/// The kernel lists those that listen first (`tcp_seq_start`), and only they are read: behind them
/// there may be tens of thousands that wait for the end of their time.
fn sockets(address: SocketAddr, pid: u32) -> Vec<u64> {
    let tables = ["tcp", "tcp6"].map(|table| File::open(format!("/proc/{pid}/net/{table}")));
    let of_table = |table| {
        let lines = BufReader::new(table).lines().map_while(Result::ok).skip(1);
        lines.map_while(|line| listening(&line)).collect::<Vec<_>>()
    };
    let all = tables.into_iter().flatten().flat_map(of_table);
    let is_it = |at: &SocketAddr| {
        at.port() == address.port() && (at.ip() == address.ip() || at.ip().is_unspecified())
    };
    all.filter(|(at, _)| is_it(at)).map(|(_, inode)| inode).collect()
}

/// The address and inode of a line of `/proc/net/tcp`; `None` if it does not listen.
fn listening(line: &str) -> Option<(SocketAddr, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (ip, port) = words.nth(1)?.split_once(':')?;
    // Behind the other side's address there is the state, and behind six more words the inode.
    let is_listening = words.nth(1)? == LISTEN;
    let inode = words.nth(5)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of four bytes, as the machine has them.
    let word = |at: usize| {
        let digits = ip.get(at..at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip: IpAddr = match ip.len() {
        8 => word(0)?.into(),
        _ => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut bytes = [0; 16];
            bytes.iter_mut().zip(words.as_flattened()).for_each(|(byte, word)| *byte = *word);
            bytes.into()
        }
    };
    is_listening.then_some((SocketAddr::new(ip, port), inode))
}

/// `TCP_LISTEN` of the kernel's `tcp_states.h`.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command};

    use super::*;

    /// A process that listens nowhere.
    struct Stranger(Child);

    impl Drop for Stranger {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_listener_is_the_hop_s_or_somebody_else_s() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        assert_eq!(listener(address, std::process::id()), Listener::Hop);
        let stranger = Stranger(Command::new("sleep").arg("1000").spawn().unwrap());
        assert_eq!(listener(address, stranger.0.id()), Listener::Other);
        // No process has this number, so nobody sees what it sees.
        assert_eq!(listener(address, u32::MAX), Listener::Nobody);
        drop(held);
        assert_eq!(listener(address, std::process::id()), Listener::Nobody);
        // At the same port of another address.
        let other = TcpListener::bind("127.8.7.6:0").unwrap();
        let of_other = other.local_addr().unwrap();
        let beside = SocketAddr::from(([127, 8, 7, 5], of_other.port()));
        assert_eq!(listener(beside, std::process::id()), Listener::Nobody);
        let all = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = all.local_addr().unwrap().port();
        for (address, wanted) in [
            (SocketAddr::from(([127, 0, 0, 1], port)), Listener::Hop),
            (SocketAddr::from(([127, 9, 9, 9], port)), Listener::Hop),
        ] {
            assert_eq!(listener(address, std::process::id()), wanted, "{address}");
        }
        // Who was accepted has the listener's address, and listens to nobody.
        let (_client, _server) = (TcpStream::connect(of_other).unwrap(), other.accept().unwrap());
        assert_eq!(listener(of_other, std::process::id()), Listener::Hop);
        drop(other);
        assert_eq!(listener(of_other, std::process::id()), Listener::Nobody);
        // Machines without IPv6 have none to listen at.
        let Ok(six) = TcpListener::bind("[::1]:0") else { return };
        let address = six.local_addr().unwrap();
        assert_eq!(listener(address, std::process::id()), Listener::Hop);
    }
}
