//! Hops on threads, over loopback.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tlsbench_core::hop::{
    Cryptography, Dial, DialTls, Hop, HopCounters, HopKind, Listen, ListenTls, PemIdentity,
    PrivatePem,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::HopServer;
use crate::tls::{Issued, LabPki, Subject};

mod details;
mod doubling;
mod endless;
mod gone;
mod http1;
mod http2;
mod idle;
mod bodies;
mod relays;
mod tls;

/// A connection of a test's own peers.
trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}
type Peer = Pin<Box<dyn Duplex>>;

/// Certificates of one authority.
struct Pki {
    root: String,
    server: Issued,
    client: Issued,
}

impl Pki {
    fn new() -> Self {
        let pki = LabPki::generate().unwrap();
        Self {
            root: pki.root_pem(),
            server: pki.issue(&Subject::server("hop.test")).unwrap(),
            client: pki.issue(&Subject::client("client")).unwrap(),
        }
    }

    fn listen_tls(&self) -> ListenTls {
        ListenTls {
            chain: self.server.chain_pem.clone(),
            key: PrivatePem(self.server.key_pem.clone()),
            client_ca: None,
            suite: Cryptography::default(),
            alpn: Vec::new(),
            tickets: 2,
        }
    }

    fn dial_tls(&self) -> DialTls {
        DialTls {
            name: "hop.test".to_owned(),
            ca: self.root.clone(),
            verify: tlsbench_core::scenario::Verify::Every,
            identity: None,
            suite: Cryptography::default(),
            resume: true,
        }
    }

    fn identity(&self) -> PemIdentity {
        PemIdentity {
            chain: self.client.chain_pem.clone(),
            key: PrivatePem(self.client.key_pem.clone()),
        }
    }

    /// A client that trusts the authority, with a certificate when it is to have one.
    fn connector(&self, mutual: bool) -> TlsConnector {
        let mut dial = self.dial_tls();
        dial.identity = mutual.then(|| self.identity());
        let (config, _) = crate::tls::client_config(&dial, None).unwrap();
        TlsConnector::from(config)
    }

    /// A server that asks for a client certificate when it is to.
    fn acceptor(&self, mutual: bool) -> TlsAcceptor {
        let mut listen = self.listen_tls();
        listen.client_ca = mutual.then(|| self.root.clone());
        let keys = crate::tls::ticket_keys(listen.suite.provider).unwrap();
        TlsAcceptor::from(Arc::new(crate::tls::server_config(&listen, &keys).unwrap()))
    }
}

/// A hop of this kind on a free port that goes on to an address.
fn hop(kind: HopKind, to: SocketAddr) -> Hop {
    let dial = Dial { address: to, tls: None, proxy_protocol: false, pool: 0 };
    let listen =
        Listen { address: "127.0.0.1:0".parse().unwrap(), tls: None, proxy_protocol: false };
    Hop {
        kind,
        listen,
        dial: (kind != HopKind::Backend).then_some(dial),
        routes: Vec::new(),
        workers: std::num::NonZeroU32::MIN,
        replicas: Default::default(),
        forwarded: Default::default(),
        delay: Default::default(),
        response_bytes: 0,
    }
}

fn start(hop: &Hop) -> HopServer {
    assert_eq!(hop.problems(), []);
    HopServer::start(hop).unwrap()
}

/// Runs a test, and fails it when it hangs.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(TEST_MAX, test).await.expect("the test hangs") })
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Returns the counters of a hop once they are as wanted.
fn counted(hop: &HopServer, wanted: impl Fn(&HopCounters) -> bool) -> HopCounters {
    let until = Instant::now() + COUNT_MAX;
    loop {
        let counters = hop.counters();
        if wanted(&counters) {
            return counters;
        }
        assert!(Instant::now() < until, "not within {COUNT_MAX:?}: {counters:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn accept(listener: &TcpListener, tls: Option<&TlsAcceptor>) -> io::Result<Peer> {
    let (tcp, _) = listener.accept().await?;
    tcp.set_nodelay(true)?;
    Ok(match tls {
        None => Box::pin(tcp),
        Some(tls) => Box::pin(tls.accept(tcp).await?),
    })
}

async fn connect(to: SocketAddr, tls: Option<&TlsConnector>) -> io::Result<Peer> {
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    Ok(match tls {
        None => Box::pin(tcp),
        Some(tls) => Box::pin(tls.connect("hop.test".try_into().unwrap(), tcp).await?),
    })
}

/// The slowest test takes 10 s, in a build that counts 30 s; busy machines are given eight times
/// that.
const TEST_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 80 } else { 240 });
const COUNT_MAX: Duration = Duration::from_secs(10);
