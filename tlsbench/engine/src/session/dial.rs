//! Sockets that begin to connect, and why they cannot.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use tlsbench_core::tally::Failure;

/// A socket that has begun to connect, from a source address if there is one.
pub(crate) fn dial(to: SocketAddr, from: Option<IpAddr>) -> Result<TcpStream, Failure> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, flags, None).map_err(failure)?;
    // A request of two segments must not wait for the ACK of its first.
    sockopt::set_tcp_nodelay(&socket, true).map_err(failure)?;
    if let Some(from) = from {
        port_on_connect(&socket);
        bind(&socket, &SocketAddr::new(from, 0)).map_err(|errno| match errno {
            // The latter two where it is of the other family.
            Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::INVAL => Failure::SourceNotLocal,
            errno => failure(errno),
        })?;
    }
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(Errno::ADDRNOTAVAIL) if !has_source(to, family) => Err(Failure::Unroutable),
        Err(errno) => Err(failure(errno)),
    }
}

/// Returns whether an address of this machine can reach another. A datagram socket asks the kernel
/// for route and source as a stream does, sends nothing, and has ports of its own, which are not
/// exhausted.
fn has_source(to: SocketAddr, family: AddressFamily) -> bool {
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    // What cannot be asked is no proof.
    socket.is_ok_and(|socket| connect(&socket, &to) != Err(Errno::ADDRNOTAVAIL))
}

/// Returns whether the socket is connected now that the kernel says something about it.
pub(crate) fn outcome(socket: &TcpStream) -> Result<(), Failure> {
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
        Errno::AFNOSUPPORT => Failure::FamilyOff,
        Errno::CONNREFUSED => Failure::ConnectRefused,
        Errno::HOSTUNREACH | Errno::NETUNREACH => Failure::Unroutable,
        Errno::MFILE | Errno::NFILE => Failure::OpenFiles,
        Errno::TIMEDOUT => Failure::Timeout,
        _ => Failure::ConnectOther,
    }
}

/// Returns whether nothing is wrong but that the socket has to be waited for.
pub(super) fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(to: &str, from: Option<&str>) -> Option<Failure> {
        dial(to.parse().unwrap(), from.map(|from| from.parse().unwrap())).err()
    }

    #[test]
    fn a_source_that_is_not_ours_has_a_name_of_its_own() {
        // TEST-NET-1 (RFC 5737), which nobody has.
        assert_eq!(failed("127.0.0.1:9", Some("192.0.2.1")), Some(Failure::SourceNotLocal));
        assert_eq!(failed("127.0.0.1:9", Some("::1")), Some(Failure::SourceNotLocal));
        assert_ne!(failed("127.0.0.1:9", Some("127.0.0.2")), Some(Failure::SourceNotLocal));
    }

    #[test]
    fn errors_of_the_kernel_have_names_with_cures() {
        for (errno, wanted) in [
            (Errno::ADDRNOTAVAIL, Failure::AddressesExhausted),
            (Errno::AFNOSUPPORT, Failure::FamilyOff),
            (Errno::CONNREFUSED, Failure::ConnectRefused),
            (Errno::HOSTUNREACH, Failure::Unroutable),
            (Errno::MFILE, Failure::OpenFiles),
            (Errno::NETUNREACH, Failure::Unroutable),
            (Errno::NFILE, Failure::OpenFiles),
            (Errno::PERM, Failure::ConnectOther),
        ] {
            assert_eq!(failure(errno), wanted, "{errno}");
        }
    }
}
