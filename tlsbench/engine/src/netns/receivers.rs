//! Threads of the kernel that receive packets, each for one interface: where they are seen, the
//! work of receiving can be charged to whom it is for.
//!
//! By default veth hands a packet over in the context of its sender, who then pays for all that its
//! receiver's TCP does with it.

use std::io;

use procfs::process::all_processes;
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::clock::cpu_of_process;

/// Lets a thread of the kernel receive for an interface of the calling thread's namespace, whose
/// NAPI is on, or lets it no more.
///
/// # Errors
/// When the kernel, older than 5.12, has no such threads.
pub(super) fn set_threaded(interface: &str, is_on: bool) -> io::Result<()> {
    // What is mounted on /sys shows another namespace. This one is of the calling thread's, is
    // mounted nowhere, and goes with its descriptor.
    let sysfs = fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&sysfs)?;
    let root = fsmount(&sysfs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let path = format!("class/net/{interface}/threaded");
    let file = openat(&root, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, if is_on { b"1" } else { b"0" })?;
    Ok(())
}

/// The threads that receive for interfaces: of each the only one, whose CPU time can be read.
/// `None` if it is not seen, as from within another PID namespace.
pub(super) fn find(interfaces: &[String]) -> io::Result<Vec<Option<u32>>> {
    let named: Vec<(u32, String)> = all_processes()
        .map_err(io::Error::other)?
        .flatten()
        .filter_map(|process| {
            let name = process.stat().ok()?.comm;
            let pid = u32::try_from(process.pid()).ok()?;
            name.starts_with(PREFIX).then_some((pid, name))
        })
        .collect();
    let of = |interface: &String| {
        let begin = format!("{PREFIX}{interface}-");
        let mut its = named.iter().filter(|(_, name)| name.starts_with(&begin));
        let (first, second) = (its.next(), its.next());
        // An interface of another process may have the same name in a namespace of its own.
        let pid = first.filter(|_| second.is_none()).map(|(pid, _)| *pid)?;
        cpu_of_process(pid).is_ok().then_some(pid)
    };
    Ok(interfaces.iter().map(of).collect())
}

/// Lets a thread of the kernel come before all processes, as receiving does otherwise, and keeps it
/// to these cores; to all where none are named.
pub(super) fn settle(pid: u32, cores: &[usize]) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let mut set = CpuSet::new();
    for core in cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
        set.set(*core);
    }
    if !cores.is_empty() {
        sched_setaffinity(Some(pid), &set)?;
    }
    setpriority_process(Some(pid), FIRST)?;
    Ok(())
}

/// The niceness of what comes before all others.
const FIRST: i32 = -20;
/// The prefix of such threads' names: `napi/<interface>-<number>` (`napi_kthread_create` in dev.c).
const PREFIX: &str = "napi/";
