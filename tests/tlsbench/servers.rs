//! Real servers, each in a folder of its own on a loopback address of its own, without privileges.
//! They end when they are dropped, also by a test that fails.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

mod haproxy;
mod nginx;
mod s_server;

pub(crate) use haproxy::Haproxy;
pub(crate) use nginx::{Nginx, Served};
pub(crate) use s_server::SServer;

/// A program that listens, in a process group of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl Server {
    /// Starts a program in its folder and waits until it accepts connections; what it prints goes
    /// into files there.
    fn start(mut command: Command, folder: TempDir, address: SocketAddr) -> Self {
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        command.current_dir(folder.path()).process_group(0).stdin(Stdio::null());
        command.stdout(file(OUTPUT)).stderr(file(ERRORS));
        let child = command.spawn().unwrap();
        let mut server = Self { address, folder, child };
        let what = format!("{command:?} accepts connections at {address}");
        let accepts = within(START_MAX, || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: it ended, {ended:?}\n{}", server.said());
            TcpStream::connect(address).is_ok()
        });
        assert!(accepts, "{what}: not within {START_MAX:?}\n{}", server.said());
        server
    }

    /// A file of its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it printed.
    pub(crate) fn said(&self) -> String {
        let read = |name| fs::read_to_string(self.file(name)).unwrap_or_default();
        read(OUTPUT) + &read(ERRORS)
    }

    /// Sends a signal to the program alone.
    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Sends a signal to the program and all that it started.
    pub(crate) fn signal_all(&self, signal: Signal) {
        kill_process_group(self.pid(), signal).unwrap();
    }

    /// Ends it at once, as by a crash.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        // Its group is gone when it has been waited for.
        if self.child.try_wait()?.is_none() {
            kill_process_group(self.pid(), Signal::KILL)?;
        }
        self.child.wait()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// Where a program is; without it a test can say nothing, and only the CI fails.
pub(crate) fn installed(program: &str, package: &str) -> Option<PathBuf> {
    // Servers lie where only root's PATH leads.
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|folder| folder.join(program)).find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("`{program}` is missing: install Debian's package `{package}`"));
    }
    found
}

/// Leaves a test out, which the CI does not allow.
pub(crate) fn skip(why: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("skipped: {why}");
}

/// Whether something becomes true in time.
pub(crate) fn within(max: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + max;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// An address that nobody else has: clients' ports are of 127.0.0.1, and so are never in the way of
/// a server, and the number of the process keeps other test programs away.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let [.., last] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let ip = Ipv4Addr::new(127, 64 | (high & 63), low, last);
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).unwrap();
}

/// The lines of a log once there are so many: servers write them a little later than they answer.
fn lines(log: &Path, wanted: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let there = within(START_MAX, || {
        let text = fs::read_to_string(log).unwrap_or_default();
        lines = text.lines().map(str::to_owned).collect();
        lines.len() >= wanted
    });
    assert!(there, "{} lines in `{}`, not {wanted}", lines.len(), log.display());
    lines
}

const OUTPUT: &str = "output.log";
const ERRORS: &str = "errors.log";
/// A server starts within 100 ms; a busy machine is given a hundred times that.
const START_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);
