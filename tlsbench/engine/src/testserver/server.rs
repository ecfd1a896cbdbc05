//! Accepting, handshaking, and stopping for sure.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use super::config::{Answer, Handshake, TestServerConfig, TestServerTls};
use super::counters::{Seen, ServerCounters, count};
use super::ending::Ending;
use super::error::TestServerError;
use super::{http1, http2};

/// A test server that runs until it is dropped.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<ServerState>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct ServerState {
    config: TestServerConfig,
    tls: Option<Arc<ServerConfig>>,
    counters: ServerCounters,
    stopping: AtomicBool,
    open: Mutex<HashMap<u64, Arc<TcpStream>>>,
}

impl TestServer {
    /// Binds a port of 127.0.0.1 and serves it.
    ///
    /// # Errors
    /// Fails when the parts of its TLS do not fit together, and when there is no port or thread.
    pub fn start(config: TestServerConfig) -> Result<Self, TestServerError> {
        let tls = config.tls.as_ref().map(TestServerTls::config).transpose()?;
        let listener =
            TcpListener::bind(ANYWHERE).map_err(|source| TestServerError::Start { source })?;
        let address = listener.local_addr().map_err(|source| TestServerError::Start { source })?;
        let shared = Arc::new(ServerState {
            config,
            tls,
            counters: ServerCounters::default(),
            stopping: AtomicBool::new(false),
            open: Mutex::new(HashMap::new()),
        });
        let listener = Arc::new(listener);
        let (served, accepting) = (Arc::clone(&shared), Arc::clone(&listener));
        let acceptor = thread::Builder::new()
            .name("testserver".to_owned())
            .spawn(move || served.accept_all(&accepting))
            .map_err(|source| TestServerError::Start { source })?;
        Ok(Self { address, listener, shared, acceptor: Some(acceptor) })
    }

    /// Returns the address that it listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.shared.counters.seen()
    }

    /// Waits until it saw what is wanted, for at most five seconds; says what it saw.
    pub fn wait_until(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        for _ in 0..WAITS_MAX {
            let seen = self.seen();
            if wanted(&seen) {
                return seen;
            }
            thread::sleep(WAIT);
        }
        self.seen()
    }
}

impl Drop for TestServer {
    /// Ends every connection and waits for every thread.
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for stream in self.shared.open().values() {
            drop(stream.shutdown(Shutdown::Both));
        }
        // Linux wakes who accepts on a socket that is shut down; it needs no descriptor for that.
        let woken = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        debug_assert!(woken.is_ok(), "a listening socket can be shut down");
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

impl ServerState {
    fn accept_all(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            for number in 0.. {
                let accepted = listener.accept();
                if self.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok((stream, _)) = accepted else {
                    thread::sleep(WAIT);
                    continue;
                };
                count(&self.counters.connections);
                let stream = Arc::new(stream);
                self.open().insert(number, Arc::clone(&stream));
                // Those that are registered now were not there when the others were shut down.
                if self.stopping.load(Ordering::SeqCst) {
                    drop(stream.shutdown(Shutdown::Both));
                }
                let spawned = thread::Builder::new().spawn_scoped(scope, move || {
                    let result = self.serve(&stream);
                    // Errors are those of clients; what there is to tell of them was counted.
                    drop(result);
                    self.open().remove(&number);
                });
                if spawned.is_err() {
                    self.open().remove(&number);
                }
            }
        });
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        // Tests measure single answers: a delayed segment would be taken for a slow server.
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            let next = self.answer_all(&mut &*stream)?;
            return end(stream, next);
        };
        match self.config.handshake {
            Handshake::Complete => {}
            fault => return self.fail_handshake(stream, fault),
        }
        let mut tls = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
        if let Err(error) = self.handshake(&mut tls, stream) {
            count(&self.counters.failed);
            return Err(error);
        }
        let mut session = TlsConnection { tls: &mut tls, socket: stream };
        let next = self.answer_all(&mut session)?;
        if next != Ending::Reset {
            tls.send_close_notify();
            while tls.wants_write() {
                tls.write_tls(&mut &*stream)?;
            }
        }
        end(stream, next)
    }

    /// Answers requests until one side ends the connection.
    fn answer_all(&self, stream: &mut (impl Read + Write)) -> io::Result<Ending> {
        match &self.config.answer {
            Answer::Http2(script) => http2::answer_all(stream, script, &self.counters),
            answer => http1::answer_all(stream, answer, &self.counters),
        }
    }

    fn handshake(&self, tls: &mut ServerConnection, mut stream: &TcpStream) -> io::Result<()> {
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        let counters = &self.counters;
        match tls.handshake_kind() {
            Some(HandshakeKind::Resumed) => count(&counters.resumed),
            Some(HandshakeKind::FullWithHelloRetryRequest) => {
                count(&counters.full);
                count(&counters.retried);
            }
            Some(HandshakeKind::Full) | None => count(&counters.full),
        }
        if tls.early_data().is_some() {
            count(&counters.early_data);
        }
        Ok(())
    }

    fn fail_handshake(&self, mut stream: &TcpStream, fault: Handshake) -> io::Result<()> {
        count(&self.counters.failed);
        // The ClientHello is read first: closing with bytes unread would be a reset in any case.
        let mut hello = [0; 4096];
        if stream.read(&mut hello)? == 0 {
            return Ok(());
        }
        match fault {
            Handshake::Alert => {
                stream.write_all(&ALERT_HANDSHAKE_FAILURE)?;
                end(stream, Ending::Close)
            }
            Handshake::Close => end(stream, Ending::Close),
            Handshake::Reset => end(stream, Ending::Reset),
            Handshake::Complete | Handshake::Silent => wait_for_end(stream),
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<TcpStream>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// TLS over a socket, early data first.
struct TlsConnection<'a> {
    tls: &'a mut ServerConnection,
    socket: &'a TcpStream,
}

impl Read for TlsConnection<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(mut early) = self.tls.early_data() {
            let read = early.read(into)?;
            if read > 0 {
                return Ok(read);
            }
        }
        rustls::Stream::new(self.tls, &mut self.socket).read(into)
    }
}

impl Write for TlsConnection<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        rustls::Stream::new(self.tls, &mut self.socket).write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        rustls::Stream::new(self.tls, &mut self.socket).flush()
    }
}

fn end(stream: &TcpStream, next: Ending) -> io::Result<()> {
    match next {
        Ending::Close => {
            stream.shutdown(Shutdown::Write)?;
            wait_for_end(stream)
        }
        Ending::Reset => {
            rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
            // The linger acts when the last handle goes, and the register holds one until then.
            Ok(())
        }
    }
}

/// Reads and forgets, so that the client is not reset by what it still sends.
fn wait_for_end(mut stream: &TcpStream) -> io::Result<()> {
    let mut rest = [0; 4096];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}

/// A record of TLS 1.2 with a fatal alert 40.
const ALERT_HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

const WAIT: Duration = Duration::from_millis(5);

/// Five seconds: 1,000 times 5 ms.
const WAITS_MAX: usize = 1_000;

/// Any port of the loopback interface.
const ANYWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
