//! The built-in hops: relays, HTTP proxies and backends, each a few threads that share nothing but
//! their counts.
//!
//! A hop is started from one value and reads no files. Processes, pipes and signals are the
//! program's business: here a hop is threads, in tests and in its own process alike.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use rustix::process::{Resource, getrlimit, setrlimit};
use thiserror::Error;
use tlsbench_core::hop::{Hop, HopCounters, HopKind, ListenTls, TicketKeys};
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;

use crate::tls::{Alpn, TlsError, client_config, server_config, ticket_keys};

mod counters;
mod limits;
mod stream;
mod proxy_protocol;
mod client_hello;
mod http1;
mod error_response;
mod context;
mod l4;
mod http2;
mod forward;
mod backend;
mod accept;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;

use context::{HopContext, ReplicaTls, Worker};
use counters::WorkerCounters;
use limits::{DESCRIPTORS_MAX, Limits};

/// A hop that runs until it is dropped.
#[derive(Debug)]
pub struct HopServer {
    address: SocketAddr,
    counters: Vec<Arc<WorkerCounters>>,
    stop: Option<watch::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl HopServer {
    /// Binds its address and serves it. The hop must have been checked.
    ///
    /// # Errors
    /// Fails when the address is taken, when certificates and keys do not fit together, and when
    /// there are no threads or descriptors.
    pub fn start(hop: &Hop) -> Result<Self, HopError> {
        Self::start_within(hop, Limits::default())
    }

    fn start_within(hop: &Hop, limits: Limits) -> Result<Self, HopError> {
        let tls = replicas(hop)?;
        let listeners = listeners(hop)?;
        let address = listeners
            .first()
            .ok_or(io::ErrorKind::AddrNotAvailable.into())
            .and_then(TcpListener::local_addr)
            .map_err(|source| HopError::Bind { address: hop.listen.address, source })?;
        let routes =
            hop.routes.iter().map(|route| (route.name.to_ascii_lowercase(), route.address));
        let routes = routes.collect();
        let shared = Arc::new(HopContext { hop: hop.clone(), address, limits, routes, tls });
        // Dropping the sender ends every accept loop; connections end with their runtimes.
        let (stop, stopped) = watch::channel(());
        let mut running = Self { address, counters: Vec::new(), stop: Some(stop), threads: vec![] };
        for listener in listeners {
            let counters = Arc::new(WorkerCounters::default());
            running.counters.push(Arc::clone(&counters));
            let worker = Arc::new(Worker::new(Arc::clone(&shared), counters));
            // One runtime for each thread: they share no queue and no lock, so they scale like
            // separate processes behind SO_REUSEPORT.
            let runtime = runtime().map_err(|source| HopError::Start { source })?;
            let stopped = stopped.clone();
            let thread = thread::Builder::new()
                .name("hop".to_owned())
                .spawn(move || runtime.block_on(accept::run(worker, listener, stopped)))
                .map_err(|source| HopError::Start { source })?;
            running.threads.push(thread);
        }
        Ok(running)
    }

    /// Returns the address that it listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the counters of all its threads.
    #[must_use]
    pub fn counters(&self) -> HopCounters {
        counters::sum(self.counters.iter().map(Arc::as_ref))
    }
}

/// Lets this process, and those it starts, have as many descriptors as it may ask for, up to
/// 65,536: a connection takes one or two. HAProxy makes room for as many as it could have. How many
/// that are.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.maximum = Some(limit.maximum.map_or(DESCRIPTORS_MAX, |most| most.min(DESCRIPTORS_MAX)));
    limit.current = limit.maximum;
    // What is refused leaves the limit as it was, and connections beyond it are counted as refused.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

impl Drop for HopServer {
    /// Ends every connection and waits for every thread.
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            drop(thread.join());
        }
    }
}

/// The reason why a hop could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HopError {
    /// The address could not be listened at.
    #[error("cannot listen at `{address}` (`listen.address`)")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// TLS towards the next hop cannot be spoken.
    #[error("cannot use `dial.tls`")]
    DialTls {
        /// The cause.
        source: TlsError,
    },
    /// TLS towards clients cannot be spoken.
    #[error("cannot use `listen.tls`")]
    ListenTls {
        /// The cause.
        source: TlsError,
    },
    /// There was no thread or descriptor.
    #[error("cannot start a worker of the hop")]
    Start {
        /// The cause.
        source: io::Error,
    },
}

/// TLS of each replica: keys of tickets for all or for each, and sessions of its own.
fn replicas(hop: &Hop) -> Result<Vec<ReplicaTls>, HopError> {
    let new_keys = |tls: &ListenTls| {
        ticket_keys(tls.suite.provider).map_err(|source| HopError::ListenTls { source })
    };
    let shared = hop.listen.tls.as_ref().map(new_keys).transpose()?;
    let mut replicas = Vec::new();
    for _ in 0..hop.replicas.count.get() {
        let server = match (&hop.listen.tls, &shared) {
            (Some(tls), Some(shared)) => {
                let keys = match hop.replicas.tickets {
                    TicketKeys::Own => new_keys(tls)?,
                    TicketKeys::Shared => Arc::clone(shared),
                };
                let config = server_config(tls, &keys);
                Some(Arc::new(config.map_err(|source| HopError::ListenTls { source })?))
            }
            _ => None,
        };
        let dial = hop.dial.as_ref().and_then(|dial| dial.tls.as_ref());
        let alpn = (hop.kind == HopKind::Http).then_some(Alpn::Http1);
        let client = dial.map(|tls| client_config(tls, alpn)).transpose();
        let client = client.map_err(|source| HopError::DialTls { source })?;
        replicas.push(ReplicaTls { server, client });
    }
    Ok(replicas)
}

/// A listener for each worker. One alone has the port for itself; several share it, and the kernel
/// spreads connections over them.
fn listeners(hop: &Hop) -> Result<Vec<TcpListener>, HopError> {
    let mut address = hop.listen.address;
    let failed = |source| HopError::Bind { address: hop.listen.address, source };
    let first = listener(address, false).map_err(failed)?;
    let workers = hop.workers.get();
    if workers == 1 {
        return Ok(vec![first]);
    }
    // Sharing would also share with a stranger of the same user: now it is known that there is
    // none.
    address = first.local_addr().map_err(failed)?;
    drop(first);
    (0..workers).map(|_| listener(address, true).map_err(failed)).collect()
}

fn listener(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // A hop that starts again takes its port again, whatever still waits in TIME_WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, shared)?;
    // Connections inherit it, which saves a system call for each.
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

/// Connections that wait to be accepted, as many as the kernel allows by default (`somaxconn`).
const BACKLOG: i32 = 4_096;
