//! The context of one thread of a hop: configuration, counters, the connections it may hold, and
//! the way to the next hop. Everything above uses it; it knows none of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tlsbench_core::hop::Hop;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::counters::{Refusal, WorkerCounters};
use super::http1::pool::Pool;
use super::limits::{HANDSHAKES_MAX, Limits, connections_max};
use super::proxy_protocol::{self, Addresses};
use super::stream::{Socket, Stream};

/// The part of a hop that all of its threads share.
#[derive(Debug)]
pub(super) struct HopContext {
    pub(super) hop: Hop,
    /// The address that the hop listens at, its port known.
    pub(super) address: SocketAddr,
    pub(super) limits: Limits,
    /// The next hop for each server name, in small letters.
    pub(super) routes: BTreeMap<String, SocketAddr>,
    /// The TLS configurations of each replica.
    pub(super) tls: Vec<ReplicaTls>,
}

/// The TLS configurations of one replica.
#[derive(Clone, Debug)]
pub(super) struct ReplicaTls {
    pub(super) server: Option<Arc<ServerConfig>>,
    pub(super) client: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// The context of one thread.
pub(super) struct Worker {
    pub(super) shared: Arc<HopContext>,
    pub(super) counters: Arc<WorkerCounters>,
    /// Connections that this thread may hold, and handshakes under way among them.
    pub(super) connections: Permits,
    pub(super) handshakes: Permits,
    replicas: Vec<Replica>,
    /// The replica whose turn it is.
    turn: AtomicUsize,
}

/// A limited number of things at a time.
pub(super) struct Permits {
    free: Arc<Semaphore>,
    max: usize,
}

/// A permit that is given back when it is dropped.
pub(super) struct Permit {
    _permit: Option<OwnedSemaphorePermit>,
}

/// One replica, as one thread has it.
pub(super) struct Replica {
    pub(super) pool: Pool,
    pub(super) acceptor: Option<TlsAcceptor>,
    connector: Option<(TlsConnector, ServerName<'static>)>,
}

/// An accepted connection, with TLS terminated if there is any.
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) addresses: Addresses,
    pub(super) replica: usize,
}

impl Worker {
    pub(super) fn new(shared: Arc<HopContext>, counters: Arc<WorkerCounters>) -> Self {
        let idle_max = shared.hop.dial.as_ref().map_or(0, |dial| dial.pool);
        let replicas = shared.tls.iter().map(|tls| Replica::new(tls, idle_max)).collect();
        // The limit is per thread: threads share nothing, and a common counter would be written by
        // all of them for every connection.
        let connections = connections_max(shared.hop.kind, shared.hop.workers.get());
        Self {
            shared,
            counters,
            replicas,
            turn: AtomicUsize::new(0),
            connections: Permits::new(connections),
            handshakes: Permits::new(HANDSHAKES_MAX),
        }
    }

    /// Returns how long a client may be silent before its first request, or between two.
    pub(super) fn silence_max(&self, is_first: bool) -> Duration {
        let limits = &self.shared.limits;
        match is_first {
            _ if self.connections.are_scarce() => limits.keep_alive_pressed,
            true => limits.head,
            false => limits.keep_alive,
        }
    }

    /// The replica for the next connection: each in turn, as a load balancer without weights does
    /// it.
    pub(super) fn next_replica(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % self.replicas.len().max(1)
    }

    pub(super) fn replica(&self, index: usize) -> &Replica {
        // There is at least one, and indices come from `next_replica`.
        #[expect(clippy::indexing_slicing, reason = "indices are made from the number of replicas")]
        &self.replicas[index]
    }

    /// Connects to the next hop, with TLS if it is configured.
    pub(super) async fn dial(
        &self,
        replica: &Replica,
        to: SocketAddr,
        addresses: &Addresses,
    ) -> Result<Stream, Refusal> {
        self.counters.dialled.one();
        let begun = timeout(self.shared.limits.connect, self.connect(to, addresses)).await;
        let Ok(Ok(tcp)) = begun else { return Err(Refusal::Dial) };
        let Some((connector, name)) = &replica.connector else {
            return Ok(Stream::Plain(Socket::new(tcp)));
        };
        let tls = connector.connect(name.clone(), Socket::new(tcp));
        let Ok(Ok(tls)) = timeout(self.shared.limits.handshake, tls).await else {
            self.counters.dialled_tls.failed();
            return Err(Refusal::DialHandshake);
        };
        let stream = Stream::Client(Box::new(tls));
        self.counters.dialled_tls.done(stream.handshake());
        Ok(stream)
    }

    async fn connect(&self, to: SocketAddr, addresses: &Addresses) -> std::io::Result<TcpStream> {
        let mut tcp = TcpStream::connect(to).await?;
        // Heads and last pieces of bodies must not wait for an ACK of the next hop (Nagle's
        // algorithm).
        tcp.set_nodelay(true)?;
        if self.shared.hop.dial.as_ref().is_some_and(|dial| dial.proxy_protocol) {
            let mut header = Vec::new();
            proxy_protocol::write(addresses, &mut header);
            // The header precedes TLS (PROXY protocol, section 2), so it is written here and not by
            // the stream.
            tcp.write_all(&header).await?;
        }
        Ok(tcp)
    }
}

impl Permits {
    fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(max)), max }
    }

    /// Takes a permit as soon as one is free.
    pub(super) async fn take(&self) -> Permit {
        // Fails only on a semaphore that was closed, which this one never is.
        Permit { _permit: Arc::clone(&self.free).acquire_owned().await.ok() }
    }

    /// Returns whether fewer than an eighth are left.
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
