//! Network namespaces that are held by descriptors and processes alone: when those are gone,
//! however they ended, so is the namespace with all its interfaces.
//!
//! None has a name below `/run/netns`, for names stay behind where a run is killed.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::panic;
use std::path::PathBuf;
use std::thread;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use thiserror::Error;

mod netlink;
mod link;
mod receivers;
mod chain;
#[cfg(test)]
mod tests;

pub use chain::{Chain, charged};
pub use link::names_of;

/// A network namespace, until this value and all processes and threads in it are gone.
#[derive(Debug)]
pub struct Netns(File);

/// The reason why namespaces are not there, or not joined.
#[derive(Debug, Error)]
pub enum NetnsError {
    /// This process may not create them.
    #[error(
        "network namespaces take the rights of root (CAP_SYS_ADMIN and CAP_NET_ADMIN); run as root, or \
         leave out `netns` (--netns)"
    )]
    Denied(#[source] io::Error),
    /// There can be no further one.
    #[error("cannot make a network namespace; leave out `netns` (--netns)")]
    Make(#[source] io::Error),
    /// No thread could go there.
    #[error("cannot enter a network namespace")]
    Enter(#[source] io::Error),
    /// The kernel knows no such interfaces.
    #[error(
        "the kernel has no veth, which network namespaces are joined by; load it with `modprobe veth`, or \
         leave out `netns` (--netns)"
    )]
    NoVeth(#[source] io::Error),
    /// Two cannot be joined.
    #[error("cannot {step} between two network namespaces")]
    Join {
        /// The cause.
        step: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A setting of the kernel cannot be written.
    #[error("cannot write `{}`; mount /proc/sys writable, or leave out `netns` (--netns)", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// No thread of the kernel receives for an interface, or this process cannot have to do with
    /// it.
    #[error(
        "no thread of the kernel is there and seen that receives for veth interface `{interface}`, which \
         takes Linux 5.13 and the machine's first PID namespace"
    )]
    Receiver {
        /// The interface.
        interface: String,
        /// The cause, where there is one.
        source: Option<io::Error>,
    },
}

impl Netns {
    /// A fresh one, with nothing in it but a loopback interface that is down.
    ///
    /// # Errors
    /// When this process may not make one, or the kernel has no room for it.
    pub fn new() -> Result<Self, NetnsError> {
        // In a thread of its own, which ends there: all others stay where they are.
        let made = thread::spawn(|| {
            unshare_network()?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked));
        file.map(Self).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => NetnsError::Denied(source),
            _ => NetnsError::Make(source),
        })
    }

    /// Does something in it, on a thread that has the cores of the calling one: sockets, threads
    /// and processes that come of it are there for good.
    ///
    /// # Errors
    /// When no thread can be had, or go there; then nothing is done.
    pub fn within<T: Send>(&self, what: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        thread::scope(|scope| {
            let entered =
                thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, || {
                    move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
                    Ok(what())
                });
            match entered.map_err(NetnsError::Enter)?.join() {
                Ok(done) => {
                    done.map_err(|errno: rustix::io::Errno| NetnsError::Enter(errno.into()))
                }
                Err(panicked) => panic::resume_unwind(panicked),
            }
        })
    }
}

/// Gives the calling thread, and no other, a network namespace of its own.
fn unshare_network() -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe for the sake of CLONE_FILES, which is not asked for here"
    )]
    rustix::thread::unshare(UnshareFlags::NEWNET)?;
    Ok(())
}
