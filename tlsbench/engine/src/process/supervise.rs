//! A supervisor between a run and a proxy: it ends the proxy when the run is gone, however that
//! ended.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open,
    test_kill_process_group, waitid,
};

/// Runs a program until it ends, or until standard input does or SIGTERM comes: then it is ended,
/// and all that it started with it. How it ended; `None` if it was ended.
///
/// While nothing happens it uses no CPU time, for that would be counted as the program's.
///
/// # Errors
/// When the program cannot be started.
pub fn supervise(command: &mut Command) -> io::Result<Option<ExitStatus>> {
    let (told, tells) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, tells)?;
    let mut proxy = ProxyProcess::start(command)?;
    let mut input = io::stdin().lock();
    loop {
        let (stdin, ended) = (io::stdin(), proxy.ended.as_fd());
        let is_over = match first_of([stdin.as_fd(), told.as_fd(), ended])? {
            // What is said meanwhile is for nobody; what counts is the end.
            Some(0) => input.read(&mut [0; 512])? == 0,
            Some(1) => true,
            Some(_) => return proxy.bury().map(Some),
            None => false,
        };
        if is_over {
            proxy.end()?;
            return Ok(None);
        }
    }
}

/// The program, the first of a process group of its own.
struct ProxyProcess {
    child: Child,
    group: Pid,
    /// Readable once it has ended.
    ended: OwnedFd,
}

impl ProxyProcess {
    fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = pid.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { ended: pidfd_open(group, PidfdFlags::empty())?, child, group })
    }

    fn end(&mut self) -> io::Result<()> {
        // It is waited for only at the end: until then its number, and the group's, are nobody
        // else's.
        let _ = kill_process_group(self.group, Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < GRACE && self.is_anybody_left() {
            std::thread::sleep(PAUSE);
        }
        self.bury().map(drop)
    }

    /// Ends what is left of the group, workers that outlived their master.
    fn bury(&mut self) -> io::Result<ExitStatus> {
        let _ = kill_process_group(self.group, Signal::KILL);
        self.child.wait()
    }

    /// A group of which only the first is left, dead and not waited for, still can be sent signals.
    fn is_anybody_left(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let first_is_alive = matches!(waitid(WaitId::Pid(self.group), options), Ok(None));
        first_is_alive || self.has_others()
    }

    fn has_others(&self) -> bool {
        let of_group = |process: procfs::process::Process| {
            let stat = process.stat().ok()?;
            let lives = !matches!(stat.state, 'Z' | 'X');
            Some(lives && stat.pgrp == self.group.as_raw_nonzero().get())
        };
        test_kill_process_group(self.group).is_ok()
            && procfs::process::all_processes()
                .is_ok_and(|all| all.flatten().filter_map(of_group).any(|is_one| is_one))
    }
}

/// Waits until one of them is readable or closed; `None` if a signal came in between.
fn first_of<const N: usize>(files: [BorrowedFd<'_>; N]) -> io::Result<Option<usize>> {
    let mut polled = files.each_ref().map(|file| PollFd::from_borrowed_fd(*file, PollFlags::IN));
    match poll(&mut polled, None::<&Timespec>) {
        Ok(_) => Ok(polled.iter().position(|file| !file.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// nginx and HAProxy end at once when told to, connections and all.
const GRACE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);
