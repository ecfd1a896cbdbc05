//! Sockets that begin to connect, and why they cannot.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use tlsbench_core::tally::Failure;

/// A socket that has begun to connect, from a source address if there is one.
pub(super) fn dial(to: SocketAddr, from: Option<IpAddr>) -> Result<TcpStream, Failure> {
    begin(to, from).map_err(failure)
}

/// Whether the socket is connected now that the kernel says something about it.
pub(super) fn outcome(socket: &TcpStream) -> Result<(), Failure> {
    match sockopt::socket_error(socket) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(errno)) | Err(errno) => Err(failure(errno)),
    }
}

/// Makes closing a reset, which leaves no TIME_WAIT.
pub(super) fn reset_on_close(socket: &TcpStream) {
    // A socket that refuses this is gone already.
    let _ = sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO));
}

fn begin(to: SocketAddr, from: Option<IpAddr>) -> Result<TcpStream, Errno> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(from) = from {
        port_on_connect(&socket);
        bind(&socket, &SocketAddr::new(from, 0))?;
    }
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(errno) => Err(errno),
    }
}

/// Leaves the choice of the local port to connect, which can reuse one per destination; bind would
/// take a port that is free towards everybody. Where the kernel refuses, bind chooses.
#[allow(unsafe_code, reason = "neither rustix nor socket2 sets IP_BIND_ADDRESS_NO_PORT")]
fn port_on_connect(socket: &OwnedFd) {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, and `on` is as long as we say.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            // The option is of this level for sockets of both families.
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            std::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}

fn failure(errno: Errno) -> Failure {
    match errno {
        Errno::ADDRNOTAVAIL | Errno::ADDRINUSE => Failure::AddressesExhausted,
        Errno::CONNREFUSED => Failure::ConnectRefused,
        Errno::TIMEDOUT => Failure::Timeout,
        _ => Failure::ConnectOther,
    }
}

/// Whether nothing is wrong but that the socket has to be waited for.
pub(super) fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
