//! Tests with real namespaces, which take root and a kernel that allows them: no test can see to
//! that, so where they are not allowed the tests say so, and are left out.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use tlsbench_core::record::lab::Receiving;

use super::link::{LOOPBACK, Link};
use super::netlink::{End, Netlink};
use super::*;
use crate::clock::{Clock, cpu_of_process};

/// A fresh one; `None` if they are not allowed.
fn fresh() -> Option<Netns> {
    match Netns::new() {
        Ok(netns) => Some(netns),
        Err(error @ (NetnsError::Denied(_) | NetnsError::Make(_))) => {
            skip(&error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Namespaces for clients and two hops; `None` if there can be none.
fn chain(receiving: Receiving) -> Option<Chain> {
    fresh()?;
    if receiving == Receiving::Receiver && !has_receivers() {
        return None;
    }
    Some(Chain::lay(2, receiving, [&[], &[]]).unwrap())
}

/// Returns whether threads of the kernel that receive are seen.
fn has_receivers() -> bool {
    match charged().unwrap() {
        (Receiving::Receiver, _) => true,
        (Receiving::Sender, why) => {
            skip(&format!("{why:?}"));
            false
        }
    }
}

fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Waits until something holds, at most for ten seconds.
fn within(mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > Duration::from_secs(10) {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Returns whether a process or thread of the machine is in a namespace.
fn is_anybody_in(inode: u64) -> bool {
    let folders = |path: &str| std::fs::read_dir(path).into_iter().flatten().flatten();
    folders("/proc").any(|process| {
        folders(&format!("{}/task", process.path().display())).any(|task| {
            let link = task.path().join("ns/net");
            std::fs::metadata(link).is_ok_and(|seen| seen.ino() == inode)
        })
    })
}

fn interfaces() -> BTreeSet<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let lines = text.lines().skip(2);
    lines.filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

#[test]
fn what_listens_in_one_is_reached_from_within_and_from_nowhere_else() {
    let (Some(one), Some(other)) = (fresh(), fresh()) else { return };
    let listen = || {
        Netlink::route().unwrap().set_up(LOOPBACK).unwrap();
        TcpListener::bind("127.0.0.1:0").unwrap()
    };
    let listener = one.within(listen).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = move || TcpStream::connect(address).map(drop).map_err(|error| error.kind());
    assert_eq!(one.within(connect).unwrap(), Ok(()));
    // A thread that is started there is there, too.
    assert_eq!(one.within(|| thread::spawn(connect).join().unwrap()).unwrap(), Ok(()));
    assert_eq!(connect(), Err(ErrorKind::ConnectionRefused));
    // The same address is free in another.
    let second = other.within(|| {
        Netlink::route().unwrap().set_up(LOOPBACK).unwrap();
        assert_eq!(connect(), Err(ErrorKind::ConnectionRefused));
        TcpListener::bind(address).unwrap()
    });
    assert_eq!(second.unwrap().local_addr().unwrap(), address);
    assert_eq!(one.within(interfaces).unwrap(), BTreeSet::from(["lo".to_owned()]));
}

#[test]
fn processes_that_are_started_in_one_are_there_and_it_is_gone_when_all_of_them_are() {
    let Some(netns) = fresh() else { return };
    let inode = netns.0.metadata().unwrap().ino();
    assert!(!is_anybody_in(inode), "somebody is in it already");
    let mut child = netns.within(|| Command::new("sleep").arg("1000").spawn().unwrap()).unwrap();
    let seen = std::fs::metadata(format!("/proc/{}/ns/net", child.id())).map(|seen| seen.ino());
    let is_in = is_anybody_in(inode);
    // The other side of a pair goes when the kernel takes the namespace down, and not before.
    let other = fresh().unwrap();
    let made = netns.within(|| {
        let ends = [End { name: "here", index: 2 }, End { name: "there", index: 2 }];
        Netlink::route().unwrap().make_pair(&ends[0], &ends[1], other.0.as_fd())
    });
    let has_peer = || other.within(interfaces).unwrap().contains("there");
    drop(netns);
    let stays = has_peer();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(seen.unwrap(), inode);
    made.unwrap().unwrap();
    assert!(is_in && stays, "{is_in} {stays}");
    assert!(within(|| !has_peer()), "the namespace is there without anybody in it");
    assert!(!is_anybody_in(inode));
}

#[test]
fn each_place_of_a_chain_reaches_its_neighbours_and_no_others() {
    let Some(chain) = chain(Receiving::Sender) else { return };
    let addresses = chain.addresses();
    let listeners: Vec<TcpListener> = (0..2)
        .map(|hop| chain.hop(hop).unwrap().within(|| TcpListener::bind(addresses[hop])).unwrap())
        .collect::<Result<_, _>>()
        .unwrap();
    let connect = |to: SocketAddr| move || TcpStream::connect(to).map_err(|error| error.kind());
    let client = chain.client().unwrap();
    let at_first = client.within(connect(addresses[0])).unwrap().unwrap();
    assert_eq!(at_first.local_addr().unwrap().ip().to_string(), "198.18.1.1");
    let at_second = chain.hop(0).unwrap().within(connect(addresses[1])).unwrap().unwrap();
    assert_eq!(at_second.local_addr().unwrap().ip().to_string(), "198.18.2.1");
    let beyond = client.within(connect(addresses[1])).unwrap();
    assert_eq!(beyond.unwrap_err(), ErrorKind::NetworkUnreachable);
    drop(listeners);
    let setting =
        |name: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
    for place in [&*client, chain.hop(0).unwrap(), chain.hop(1).unwrap()] {
        let (reuse, ports) =
            place.within(|| (setting("tcp_tw_reuse"), setting("ip_local_port_range"))).unwrap();
        assert_eq!((reuse.trim(), ports.trim()), ("1", "10000\t65535"));
    }
    assert_eq!(chain.receivers_of_clients(), [0; 0]);
}

/// Moves bytes from the clients' place to the first hop; CPU time of the thread that sends them.
fn send_much(chain: &Chain) -> u64 {
    let address = chain.addresses()[0];
    let listener = chain.hop(0).unwrap().within(|| TcpListener::bind(address)).unwrap().unwrap();
    thread::scope(|scope| {
        let read = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut buffer, mut all) = (vec![0; 256 << 10], 0);
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => return all,
                    count => all += count,
                }
            }
        });
        let used = chain.client().unwrap().within(|| {
            let mut stream = TcpStream::connect(address).unwrap();
            let (buffer, begun) = (vec![7; 64 << 10], Clock::ThreadCpu.now());
            (0..PIECES).for_each(|_| stream.write_all(&buffer).unwrap());
            (Clock::ThreadCpu.now() - begun).0
        });
        assert_eq!(read.join().unwrap(), PIECES * (64 << 10));
        used.unwrap()
    })
}

#[test]
fn threads_receive_for_the_place_that_packets_are_for_and_end_with_the_chain() {
    let Some(chain) = chain(Receiving::Receiver) else { return };
    let used = |pids: &[u32]| pids.iter().map(|pid| cpu_of_process(*pid).unwrap().0).sum::<u64>();
    let all = [chain.receivers_of_clients(), chain.receivers_of_hop(0), chain.receivers_of_hop(1)];
    let pids = all.concat();
    assert_eq!(all.map(<[u32]>::len), [1, 2, 1], "one for each end of a link");
    let before = all.map(used);
    let sent = send_much(&chain);
    let after = all.map(used);
    let received = after[1] - before[1];
    // Receiving is work of about the same order as sending.
    assert!(received * 20 > sent, "{received} ns where {sent} ns were used to send");
    // Acknowledgements are received as well, and nothing reached the second hop.
    assert!(after[0] > before[0], "{before:?} {after:?}");
    assert!(after[2] - before[2] < received / 10, "{before:?} {after:?}");
    drop(chain);
    assert_gone(&pids);
}

fn assert_gone(pids: &[u32]) {
    let is_there = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(!pids.iter().any(is_there), "{pids:?}");
}

#[test]
fn threads_come_before_processes_and_keep_to_the_cores_of_whom_they_receive_for() {
    if fresh().is_none() || !has_receivers() {
        return;
    }
    let cores = crate::affinity::allowed().unwrap();
    let (first, last) = (&cores[..1], &cores[cores.len() - 1..]);
    let chain = Chain::lay(1, Receiving::Receiver, [first, last]).unwrap();
    let (clients, hop) =
        (chain.receivers_of_clients().to_vec(), chain.receivers_of_hop(0).to_vec());
    for (pids, cores) in [(&clients, first), (&hop, last)] {
        let pid = i32::try_from(pids[0]).unwrap();
        let stat = procfs::process::Process::new(pid).unwrap().stat().unwrap();
        assert_eq!((pids.len(), stat.nice), (1, -20));
        let set = rustix::thread::sched_getaffinity(rustix::process::Pid::from_raw(pid)).unwrap();
        assert!(set.count() == 1 && set.is_set(cores[0]), "{set:?}");
    }
    drop(chain);
    assert_gone(&[clients, hop].concat());
}

#[test]
fn names_of_interfaces_fit_and_are_told_apart() {
    assert_eq!((names_of(0), names_of(35), names_of(36)), ("t0".into(), "tz".into(), "t10".into()));
    // The largest number of a process, and what the kernel calls a thread with the least that it
    // has.
    let longest = format!("napi/{}zzz-", names_of((1 << 22) - 1));
    assert_eq!(longest.len(), 15, "{longest}");
    let Some((one, other)) = fresh().zip(fresh()) else { return };
    if !has_receivers() {
        return;
    }
    let link = Link::join(1, &one, &other, Receiving::Receiver).unwrap();
    let begin = names_of(std::process::id());
    assert!(link.at_hop.starts_with(&begin) && link.at_client.starts_with(&begin));
    let found = receivers::find(&[link.at_hop.clone(), link.at_client.clone()]).unwrap();
    assert!(found[0].is_some() && found[1].is_some() && found[0] != found[1], "{found:?}");
    // With one of them left, what it is called begins with a name that is nobody's.
    one.within(|| receivers::set_threaded(&link.at_client, false)).unwrap().unwrap();
    let shorter = link.at_hop[..link.at_hop.len() - 1].to_owned();
    let found = receivers::find(&[link.at_hop.clone(), shorter]).unwrap();
    assert!(found[0].is_some() && found[1].is_none(), "{found:?}");
    Link::part(&other);
}

#[test]
fn what_the_kernel_refuses_is_an_error() {
    let Some(netns) = fresh() else { return };
    let refused = |done: io::Result<()>| done.unwrap_err().raw_os_error().unwrap();
    netns
        .within(|| {
            let mut route = Netlink::route().unwrap();
            assert_eq!(refused(route.set_up(7)), libc::ENODEV);
            assert_eq!(refused(route.delete(7)), libc::ENODEV);
            let mut generic = Netlink::generic().unwrap();
            let ethtool = generic.ethtool().unwrap();
            assert_eq!(
                refused(generic.set_features(ethtool, 7, &[("rx-gro", true)])),
                libc::ENODEV
            );
            let unknown = generic.set_features(ethtool, LOOPBACK, &[("no-such", true)]);
            assert_eq!(refused(unknown), libc::EOPNOTSUPP);
            assert!(receivers::set_threaded("nothing", true).is_err());
        })
        .unwrap();
}

/// 128 MiB in pieces of 64 KiB.
const PIECES: usize = 2_048;
