//! The kinds of hop that pass bytes on: a relay, and a relay that looks for the server name first.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use tlsbench_core::units::Nanos;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::count::{Counts, Refusal};
use super::delay::Delayed;
use super::hello::{self, Hello, HelloError};
use super::limits::Patience;
use super::pump::{Direction, Pump};
use super::stream::{Socket, Stream};
use super::worker::{Client, Handshaking, Worker};

/// Passes everything on to one address.
pub(super) async fn relay(worker: &Worker, client: Client, to: SocketAddr) -> Result<(), Refusal> {
    let Client { stream: mut near, ends, replica } = client;
    let dialled = worker.dial(worker.replica(replica), to, &ends).await;
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
pub(super) async fn sni_relay(
    worker: &Worker,
    mut client: Client,
    default: SocketAddr,
    handshake: Handshaking,
) -> Result<(), Refusal> {
    let Stream::Plain(socket) = &mut client.stream else { return Err(Refusal::HelloNotTls) };
    let read = timeout(worker.shared.limits.handshake, hello(socket)).await;
    let name = read.unwrap_or(Err(Refusal::HelloTimeout))?;
    drop(handshake);
    let to = name.and_then(|name| worker.shared.routes.get(&name).copied()).unwrap_or(default);
    relay(worker, client, to).await
}

/// Reads a hello, and leaves it to be read again.
async fn hello(socket: &mut Socket) -> Result<Option<String>, Refusal> {
    let mut bytes = Vec::with_capacity(HELLO_USUAL);
    loop {
        if bytes.capacity() - bytes.len() < HELLO_USUAL / 2 {
            bytes.reserve(HELLO_USUAL);
        }
        match socket.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Err(Refusal::HelloUnfinished),
            Ok(_) => {}
        }
        match hello::read(&bytes) {
            Ok(Hello::Unfinished) => {}
            Ok(Hello::Whole(name)) => {
                socket.unread(bytes);
                return Ok(name);
            }
            Err(HelloError::Malformed) => return Err(Refusal::HelloMalformed),
            Err(HelloError::NotTls) => return Err(Refusal::HelloNotTls),
            Err(HelloError::TooLong) => return Err(Refusal::HelloTooLong),
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
    let counts: &Counts = &worker.counts;
    let mut patience = Patience::new(worker.shared.limits.relay);
    let mut ended = [false; 2];
    poll_fn(|cx| {
        let [up_ended, down_ended] = &mut ended;
        *up_ended = up.poll(cx, near, far, *down_ended, &counts.up)?.is_ready();
        *down_ended = down.poll(cx, far, near, *up_ended, &counts.down)?.is_ready();
        if *up_ended && *down_ended {
            return Poll::Ready(Ok(()));
        }
        patience
            .poll_idle(cx, up.moved() + down.moved())
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

/// Most hellos are shorter.
const HELLO_USUAL: usize = 2 << 10;
