//! The kinds of hop that pass bytes on: a relay, and a relay that looks for the server name first.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use tlsbench_core::units::Nanos;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::delay::Delayed;
use super::pump::{Direction, Pump};
use crate::hop::client_hello::{self, ClientHello, ClientHelloError};
use crate::hop::context::{Client, Permit, Worker};
use crate::hop::counters::{Refusal, WorkerCounters};
use crate::hop::limits::IdleTimeout;
use crate::hop::stream::{Socket, Stream};

/// Passes everything on to one address.
pub(in crate::hop) async fn relay(
    worker: &Worker,
    client: Client,
    to: SocketAddr,
) -> Result<(), Refusal> {
    let Client { stream: mut near, addresses, replica } = client;
    // A client whose next hop cannot be reached is reset: an orderly end would look like an empty
    // answer.
    let dialled = worker.dial(worker.replica(replica), to, &addresses).await;
    let mut far = dialled.inspect_err(|_| near.reset_on_close())?;
    let delay = worker.shared.hop.delay;
    let passed = match delay {
        Nanos(0) => both(&mut near, &mut far, [Pump::default(), Pump::default()], worker).await,
        _ => match (Delayed::new(delay), Delayed::new(delay)) {
            (Ok(up), Ok(down)) => both(&mut near, &mut far, [up, down], worker).await,
            (Err(error), _) | (_, Err(error)) => Err(error),
        },
    };
    passed.map_err(|error| {
        near.reset_on_close();
        far.reset_on_close();
        match error.kind() {
            io::ErrorKind::TimedOut => Refusal::Stalled,
            _ => Refusal::Reset,
        }
    })
}

/// Passes everything on to where the server name leads.
pub(in crate::hop) async fn sni_relay(
    worker: &Worker,
    mut client: Client,
    default: SocketAddr,
    handshake: Permit,
) -> Result<(), Refusal> {
    let Stream::Plain(socket) = &mut client.stream else { return Err(Refusal::HelloNotTls) };
    let read = timeout(worker.shared.limits.handshake, read_client_hello(socket)).await;
    let name = read.unwrap_or(Err(Refusal::HelloTimeout))?;
    drop(handshake);
    let to = name.and_then(|name| worker.shared.routes.get(&name).copied()).unwrap_or(default);
    relay(worker, client, to).await
}

/// Reads a hello, and leaves it to be read again.
async fn read_client_hello(socket: &mut Socket) -> Result<Option<String>, Refusal> {
    let mut bytes = Vec::with_capacity(HELLO_USUAL);
    loop {
        if bytes.capacity() - bytes.len() < HELLO_USUAL / 2 {
            bytes.reserve(HELLO_USUAL);
        }
        match socket.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Err(Refusal::HelloUnfinished),
            Ok(_) => {}
        }
        match client_hello::read(&bytes) {
            Ok(ClientHello::Unfinished) => {}
            Ok(ClientHello::Whole(name)) => {
                socket.unread(bytes);
                return Ok(name);
            }
            Err(ClientHelloError::Malformed) => return Err(Refusal::HelloMalformed),
            Err(ClientHelloError::NotTls) => return Err(Refusal::HelloNotTls),
            Err(ClientHelloError::TooLong) => return Err(Refusal::HelloTooLong),
        }
    }
}

/// Runs both directions until both have ended, one has failed, or nothing has moved for too long.
async fn both<D: Direction>(
    near: &mut Stream,
    far: &mut Stream,
    [mut up, mut down]: [D; 2],
    worker: &Worker,
) -> io::Result<()> {
    let counters: &WorkerCounters = &worker.counters;
    let mut idle = IdleTimeout::new(worker.shared.limits.relay);
    let mut ended = [false; 2];
    poll_fn(|cx| {
        let [up_ended, down_ended] = &mut ended;
        // Each direction learns whether the other has ended: the last one needs no shutdown of its
        // own, because closing the sockets does it.
        *up_ended = up.poll(cx, near, far, *down_ended, &counters.up)?.is_ready();
        *down_ended = down.poll(cx, far, near, *up_ended, &counters.down)?.is_ready();
        if *up_ended && *down_ended {
            return Poll::Ready(Ok(()));
        }
        idle.poll_idle(cx, up.moved() + down.moved()).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

/// Most hellos are shorter.
const HELLO_USUAL: usize = 2 << 10;
