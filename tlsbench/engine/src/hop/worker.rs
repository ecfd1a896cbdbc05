//! One thread of a hop: it accepts, ends and begins TLS, and hands connections to what the hop is.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tlsbench_core::plan::hop::{Hop, HopKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::count::{Counts, Refusal};
use super::http::pool::Pool;
use super::http::{forward, http2};
use super::limits::{HANDSHAKES_MAX, Limits, connections_max};
use super::preamble::{self, Ends, PREAMBLE_MAX, Preamble};
use super::stream::{Socket, Stream};
use super::{backend, relay};

/// What all workers of a hop share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) hop: Hop,
    /// Where the hop listens, its port known.
    pub(super) address: SocketAddr,
    pub(super) limits: Limits,
    /// Where connections for a name go, in small letters.
    pub(super) routes: BTreeMap<String, SocketAddr>,
    /// TLS of each replica.
    pub(super) tls: Vec<ReplicaTls>,
}

/// TLS of one replica.
#[derive(Clone, Debug)]
pub(super) struct ReplicaTls {
    pub(super) server: Option<Arc<ServerConfig>>,
    pub(super) client: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// One thread's part of a hop.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) counts: Arc<Counts>,
    replicas: Vec<Replica>,
    turn: AtomicUsize,
    connections: Slots,
    handshakes: Slots,
}

/// A number of things that there may be at a time.
struct Slots {
    free: Arc<Semaphore>,
    max: usize,
}

/// A connection's place among all that are open, and among those that have not said yet what they
/// want.
struct Place {
    connection: Option<OwnedSemaphorePermit>,
    handshake: Handshaking,
}

/// A place among the handshakes that are under way, until this goes.
pub(super) type Handshaking = Option<OwnedSemaphorePermit>;

/// One thread's part of a replica.
pub(super) struct Replica {
    pub(super) pool: Pool,
    acceptor: Option<TlsAcceptor>,
    connector: Option<(TlsConnector, ServerName<'static>)>,
}

/// A connection that was accepted, with TLS on it if there is to be some.
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) ends: Ends,
    pub(super) replica: usize,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, counts: Arc<Counts>) -> Self {
        let replicas = {
            let idle_max = shared.hop.dial.as_ref().map_or(0, |dial| dial.pool);
            shared.tls.iter().map(|tls| Replica::new(tls, idle_max)).collect()
        };
        let connections = connections_max(shared.hop.kind, shared.hop.workers.get());
        Self {
            shared,
            counts,
            replicas,
            turn: AtomicUsize::new(0),
            connections: Slots::new(connections),
            handshakes: Slots::new(HANDSHAKES_MAX),
        }
    }

    /// Serves until told to stop; connections end with the runtime.
    pub(super) async fn run(self: Arc<Self>, listener: StdListener, mut stop: watch::Receiver<()>) {
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
                accepted = self.accept(&listener) => accepted,
                _ = stop.changed() => return,
            };
            match accepted {
                Ok((tcp, from, place)) => {
                    self.counts.accepted.one();
                    let worker = Arc::clone(&self);
                    tokio::spawn(async move {
                        // Counted also when the runtime ends before the connection does.
                        let _open = Open(&worker.counts);
                        let Place { connection: _connection, handshake } = place;
                        if let Err(why) = worker.serve(tcp, from, handshake).await {
                            worker.counts.refused(why);
                        }
                    });
                }
                Err(_) => {
                    self.counts.refused(Refusal::Accept);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts a connection once there is a place for it. Until then it waits in the kernel's queue.
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> std::io::Result<(TcpStream, SocketAddr, Place)> {
        let place = Place {
            connection: self.connections.take().await,
            handshake: self.handshakes.take().await,
        };
        let (tcp, from) = listener.accept().await?;
        Ok((tcp, from, place))
    }

    /// How long a client may say nothing: before its first request, or between two.
    pub(super) fn silence_max(&self, is_first: bool) -> Duration {
        let limits = &self.shared.limits;
        match is_first {
            _ if self.connections.are_scarce() => limits.keep_alive_pressed,
            true => limits.head,
            false => limits.keep_alive,
        }
    }

    pub(super) fn replica(&self, index: usize) -> &Replica {
        // There is at least one, and indices come from `serve`.
        #[expect(clippy::indexing_slicing, reason = "indices are made from the number of replicas")]
        &self.replicas[index]
    }

    async fn serve(
        self: &Arc<Self>,
        tcp: TcpStream,
        from: SocketAddr,
        handshake: Handshaking,
    ) -> Result<(), Refusal> {
        let mut to = self.shared.address;
        if to.ip().is_unspecified() {
            to = tcp.local_addr().unwrap_or(to);
        }
        let mut ends = Ends { from, to };
        let mut socket = Socket::new(tcp);
        if self.shared.hop.listen.proxy_protocol {
            let read = timeout(self.shared.limits.handshake, read_preamble(&mut socket)).await;
            ends = read.unwrap_or(Err(Refusal::ProxyHeader))?.unwrap_or(ends);
        }
        let replica = self.turn.fetch_add(1, Ordering::Relaxed) % self.replicas.len().max(1);
        let stream = self.begin(self.replica(replica), socket).await?;
        let client = Client { stream, ends, replica };
        if client.stream.speaks_http2() {
            return http2::serve(self, client, handshake).await;
        }
        match (self.shared.hop.kind, &self.shared.hop.dial) {
            (HopKind::SniRelay, Some(dial)) => {
                relay::sni_relay(self, client, dial.address, handshake).await
            }
            (HopKind::Relay, Some(dial)) => {
                drop(handshake);
                relay::relay(self, client, dial.address).await
            }
            (HopKind::Http, _) => {
                drop(handshake);
                forward::forward(self, client).await
            }
            (HopKind::Backend, _) => {
                drop(handshake);
                backend::answer(self, client).await
            }
            (HopKind::Relay | HopKind::SniRelay, None) => Err(Refusal::Dial),
        }
    }

    /// Ends TLS, if there is to be some.
    async fn begin(&self, replica: &Replica, socket: Socket) -> Result<Stream, Refusal> {
        let Some(acceptor) = &replica.acceptor else { return Ok(Stream::Plain(socket)) };
        let accepting = acceptor.accept(socket);
        let Ok(Ok(tls)) = timeout(self.shared.limits.handshake, accepting).await else {
            self.counts.listened.failed();
            return Err(Refusal::Handshake);
        };
        let stream = Stream::Server(Box::new(tls));
        self.counts.listened.done(stream.handshake());
        Ok(stream)
    }

    /// Connects to the next hop.
    pub(super) async fn dial(
        &self,
        replica: &Replica,
        to: SocketAddr,
        ends: &Ends,
    ) -> Result<Stream, Refusal> {
        self.counts.dialled.one();
        let begun = timeout(self.shared.limits.connect, self.connect(to, ends)).await;
        let Ok(Ok(tcp)) = begun else { return Err(Refusal::Dial) };
        let Some((connector, name)) = &replica.connector else {
            return Ok(Stream::Plain(Socket::new(tcp)));
        };
        let tls = connector.connect(name.clone(), Socket::new(tcp));
        let Ok(Ok(tls)) = timeout(self.shared.limits.handshake, tls).await else {
            self.counts.dialled_tls.failed();
            return Err(Refusal::DialHandshake);
        };
        let stream = Stream::Client(Box::new(tls));
        self.counts.dialled_tls.done(stream.handshake());
        Ok(stream)
    }

    async fn connect(&self, to: SocketAddr, ends: &Ends) -> std::io::Result<TcpStream> {
        let mut tcp = TcpStream::connect(to).await?;
        tcp.set_nodelay(true)?;
        if self.shared.hop.dial.as_ref().is_some_and(|dial| dial.proxy_protocol) {
            let mut header = Vec::new();
            preamble::write(ends, &mut header);
            tcp.write_all(&header).await?;
        }
        Ok(tcp)
    }
}

impl Slots {
    fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(max)), max }
    }

    /// Takes one as soon as there is one.
    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // Fails on a semaphore that was closed, which this never is.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Whether fewer than an eighth are left.
    fn are_scarce(&self) -> bool {
        self.free.available_permits() < self.max / 8
    }
}

impl Replica {
    fn new(tls: &ReplicaTls, idle_max: u32) -> Self {
        let acceptor = tls.server.as_ref().map(|config| TlsAcceptor::from(Arc::clone(config)));
        let connector = tls
            .client
            .as_ref()
            .map(|(config, name)| (TlsConnector::from(Arc::clone(config)), name.clone()));
        let pool = Pool::new(usize::try_from(idle_max).unwrap_or(usize::MAX));
        Self { pool, acceptor, connector }
    }
}

/// Reads a header of the PROXY protocol; what came after it is read again by others.
async fn read_preamble(socket: &mut Socket) -> Result<Option<Ends>, Refusal> {
    let mut bytes = Vec::with_capacity(PREAMBLE_USUAL);
    loop {
        match preamble::read(&bytes) {
            Ok(Preamble::Unfinished) => {}
            Ok(Preamble::Whole { bytes: length, ends }) => {
                socket.unread(bytes.split_off(length));
                return Ok(ends);
            }
            Err(_) => return Err(Refusal::ProxyHeader),
        }
        bytes.reserve(PREAMBLE_USUAL);
        let read = socket.read_buf(&mut bytes).await;
        if bytes.len() > PREAMBLE_MAX + PREAMBLE_USUAL || !read.is_ok_and(|length| length > 0) {
            return Err(Refusal::ProxyHeader);
        }
    }
}

/// A connection that is open until this goes.
struct Open<'c>(&'c Counts);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.closed.one();
    }
}

/// Room for a header and the hello behind it.
const PREAMBLE_USUAL: usize = 1 << 10;
/// A second is shorter than every wait of a connection, and too long to cost anything.
const TICK: Duration = Duration::from_secs(1);
/// When descriptors are out, somebody has to close some first: 100 looks a second.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
