//! Primitives of the kernel: a call, a pipe, a connection.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::primitive::{CalibrateError, Primitive};

pub(super) fn primitives() -> Result<Vec<Primitive>, CalibrateError> {
    let of = |name| move |source| CalibrateError::Kernel { name, source };
    let system_call = Primitive::new("system-call", None, || {
        std::hint::black_box(rustix::process::getppid());
        Ok(())
    });
    let pipe = pipe().map_err(of("pipe"))?;
    let tcp = tcp_connection().map_err(of("tcp-connection"))?;
    Ok(vec![system_call, pipe, tcp])
}

fn pipe() -> io::Result<Primitive> {
    let (mut from, mut to) = io::pipe()?;
    Ok(Primitive::new("pipe", None, move || {
        to.write_all(&[7])?;
        from.read_exact(&mut [0])?;
        Ok(())
    }))
}

/// Both sides on one thread. Several listeners, so that ports in TIME_WAIT do not run out.
fn tcp_connection() -> io::Result<Primitive> {
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listeners.push((listener.local_addr()?, listener));
    }
    let mut next = 0;
    let connection = Primitive::new("tcp-connection", None, move || {
        next = (next + 1) % listeners.len();
        let Some((address, listener)) = listeners.get(next) else { return Ok(()) };
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        drop(client);
        drop(server);
        Ok(())
    });
    Ok(connection.with_most(CONNECTIONS_MAX))
}

/// Each has 28,000 ports of its own to be connected from.
const LISTENERS: usize = 16;
/// 15 rounds × 200 and the sizing leave 3,400 sockets in TIME_WAIT, of 28,000 × 16 that can be.
const CONNECTIONS_MAX: u64 = 200;
