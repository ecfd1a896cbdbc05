//! The accept loop of one thread: terminates PROXY protocol and TLS, and hands each connection to
//! the code for the hop's kind.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use tlsbench_core::hop::HopKind;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::backend;
use super::context::{Client, Permit, Replica, Worker};
use super::counters::{Refusal, WorkerCounters};
use super::forward;
use super::http2::server;
use super::l4::relay;
use super::proxy_protocol::{self, Addresses, HEADER_MAX, ProxyHeader};
use super::stream::{Socket, Stream};

/// The permits of one connection.
struct ConnectionPermits {
    /// Held while the connection is open.
    connection: Permit,
    /// Held until the client has said what it wants.
    handshake: Permit,
}

/// Serves until the hop stops; connections end with the runtime.
pub(super) async fn run(worker: Arc<Worker>, listener: StdListener, mut stop: watch::Receiver<()>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    // A timer that is due before all others makes tokio wake its own loop by a system call. With
    // one that is always due sooner, none of the long ones of connections ever is.
    tokio::spawn(async {
        loop {
            sleep(TICK).await;
        }
    });
    loop {
        let accepted = tokio::select! {
            accepted = accept(&worker, &listener) => accepted,
            _ = stop.changed() => return,
        };
        match accepted {
            Ok((tcp, from, permits)) => {
                worker.counters.accepted.one();
                let worker = Arc::clone(&worker);
                tokio::spawn(async move {
                    // Counted also when the runtime ends before the connection does.
                    let _open = OpenConnection(&worker.counters);
                    let ConnectionPermits { connection: _connection, handshake } = permits;
                    if let Err(why) = serve(&worker, tcp, from, handshake).await {
                        worker.counters.refused(why);
                    }
                });
            }
            Err(_) => {
                worker.counters.refused(Refusal::Accept);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Accepts a connection once there are permits for it. Until then it waits in the kernel's queue.
async fn accept(
    worker: &Worker,
    listener: &TcpListener,
) -> std::io::Result<(TcpStream, SocketAddr, ConnectionPermits)> {
    let permits = ConnectionPermits {
        // Permits come before accept(2): without one, the connection stays in the kernel's queue,
        // where it costs no descriptor of ours and its client backs off by itself.
        connection: worker.connections.take().await,
        handshake: worker.handshakes.take().await,
    };
    let (tcp, from) = listener.accept().await?;
    Ok((tcp, from, permits))
}

async fn serve(
    worker: &Arc<Worker>,
    tcp: TcpStream,
    from: SocketAddr,
    handshake: Permit,
) -> Result<(), Refusal> {
    let mut to = worker.shared.address;
    if to.ip().is_unspecified() {
        to = tcp.local_addr().unwrap_or(to);
    }
    let mut addresses = Addresses { from, to };
    let mut socket = Socket::new(tcp);
    if worker.shared.hop.listen.proxy_protocol {
        let reading = read_proxy_header(&mut socket);
        let read = timeout(worker.shared.limits.handshake, reading).await;
        addresses = read.unwrap_or(Err(Refusal::ProxyHeader))?.unwrap_or(addresses);
    }
    // A replica is chosen for each connection and not for each request, as a balancer of TCP
    // connections has it. Session tickets of another replica may then be of no use.
    let replica = worker.next_replica();
    let stream = terminate_tls(worker, worker.replica(replica), socket).await?;
    let client = Client { stream, addresses, replica };
    if client.stream.speaks_http2() {
        return server::serve(worker, client, handshake).await;
    }
    match (worker.shared.hop.kind, &worker.shared.hop.dial) {
        (HopKind::SniRelay, Some(dial)) => {
            relay::sni_relay(worker, client, dial.address, handshake).await
        }
        // A plain relay knows at once where its bytes go, so its handshake permit is free for
        // others.
        (HopKind::Relay, Some(dial)) => {
            drop(handshake);
            relay::relay(worker, client, dial.address).await
        }
        (HopKind::Http, _) => {
            drop(handshake);
            forward::http1::forward(worker, client).await
        }
        (HopKind::Backend, _) => {
            drop(handshake);
            backend::http1::answer(worker, client).await
        }
        (HopKind::Relay | HopKind::SniRelay, None) => Err(Refusal::Dial),
    }
}

/// Terminates TLS, if the hop is to.
async fn terminate_tls(
    worker: &Worker,
    replica: &Replica,
    socket: Socket,
) -> Result<Stream, Refusal> {
    let Some(acceptor) = &replica.acceptor else { return Ok(Stream::Plain(socket)) };
    let accepting = acceptor.accept(socket);
    // A client that stalls its handshake on purpose (slowloris) holds one permit for as long as the
    // limit, and no longer.
    let Ok(Ok(tls)) = timeout(worker.shared.limits.handshake, accepting).await else {
        worker.counters.listened.failed();
        return Err(Refusal::Handshake);
    };
    let stream = Stream::Server(Box::new(tls));
    worker.counters.listened.done(stream.handshake());
    Ok(stream)
}

/// Reads a header of the PROXY protocol; what came after it is read again by others.
async fn read_proxy_header(socket: &mut Socket) -> Result<Option<Addresses>, Refusal> {
    let mut bytes = Vec::with_capacity(HEADER_USUAL);
    loop {
        match proxy_protocol::read(&bytes) {
            Ok(ProxyHeader::Unfinished) => {}
            Ok(ProxyHeader::Whole { bytes: length, addresses }) => {
                socket.unread(bytes.split_off(length));
                return Ok(addresses);
            }
            Err(_) => return Err(Refusal::ProxyHeader),
        }
        bytes.reserve(HEADER_USUAL);
        let read = socket.read_buf(&mut bytes).await;
        if bytes.len() > HEADER_MAX + HEADER_USUAL || !read.is_ok_and(|length| length > 0) {
            return Err(Refusal::ProxyHeader);
        }
    }
}

/// A guard that counts a connection as closed when it is dropped.
struct OpenConnection<'c>(&'c WorkerCounters);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.closed.one();
    }
}

/// Room for a header and the ClientHello behind it.
const HEADER_USUAL: usize = 1 << 10;
/// A second is shorter than every wait of a connection, and too long to cost anything.
const TICK: Duration = Duration::from_secs(1);
/// The pause when descriptors are out, until somebody has closed some: 100 attempts a second.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
