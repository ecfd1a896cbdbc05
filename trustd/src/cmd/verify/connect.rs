//! Asking a server for its chain: one TLS handshake in which nothing is trusted or sent.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::settings::ServerAddress;

/// The certificates that a server presented.
pub(super) struct Presented {
    /// DER, the server's own certificate first.
    pub(super) chain: Vec<Vec<u8>>,
    /// The server proved that it holds the key of its own certificate.
    pub(super) proven: bool,
    /// A description of what went wrong after that.
    pub(super) note: Option<String>,
}

/// A server's chain could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot connect to {address}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("no TLS handshake")]
    Handshake(#[source] io::Error),
    #[error("no address for this host")]
    NoAddress,
    #[error("cannot resolve the host")]
    Resolve(#[source] io::Error),
    #[error("cannot set up TLS")]
    SetUp(#[source] rustls::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Shakes hands with the server and returns the chain that it presented.
pub(super) fn chain_of(
    address: &ServerAddress,
    name: &ServerName<'static>,
    timeout: Duration,
) -> Result<Presented, ConnectError> {
    let clock = Clock { start: Instant::now(), timeout };
    let mut stream = connect(address, &clock)?;
    let provider = Arc::new(ring::default_provider());
    let recorder = Arc::new(Recorder {
        provider: Arc::clone(&provider),
        chain: Mutex::default(),
        proven: AtomicBool::new(false),
    });
    let verifier: Arc<dyn ServerCertVerifier> = Arc::<Recorder>::clone(&recorder);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ConnectError::SetUp)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let mut connection =
        ClientConnection::new(Arc::new(config), name.clone()).map_err(ConnectError::SetUp)?;
    let ended = handshake(&mut connection, &mut stream, &clock);
    let chain = recorder.chain.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let proven = recorder.proven.load(Ordering::SeqCst);
    match ended {
        Ok(()) => Ok(Presented { chain, proven, note: None }),
        // A server that wants a client certificate gives up after it has shown its own.
        Err(Ended::Refused(error)) if !chain.is_empty() => {
            let note = format!("the handshake then failed: {}", crate::exit::chain(&error));
            Ok(Presented { chain, proven, note: Some(note) })
        }
        Err(Ended::Refused(error)) => Err(ConnectError::Handshake(error)),
        Err(Ended::Timeout) => Err(ConnectError::Timeout(timeout)),
    }
}

/// One allowance of time for everything.
struct Clock {
    start: Instant,
    timeout: Duration,
}

impl Clock {
    /// Returns the time that is left, or an error if none is.
    fn left(&self) -> Result<Duration, ConnectError> {
        let left = self.timeout.saturating_sub(self.start.elapsed());
        if left.is_zero() { Err(ConnectError::Timeout(self.timeout)) } else { Ok(left) }
    }
}

fn connect(address: &ServerAddress, clock: &Clock) -> Result<TcpStream, ConnectError> {
    let mut failed = ConnectError::NoAddress;
    for address in resolve(address, clock)? {
        match TcpStream::connect_timeout(&address, clock.left()?) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                failed = ConnectError::Timeout(clock.timeout);
            }
            Err(source) => failed = ConnectError::Connect { address, source },
        }
    }
    Err(failed)
}

/// The addresses of the host. The system's resolver knows no timeout, so it gets a thread of its
/// own that is left behind when it takes too long.
fn resolve(address: &ServerAddress, clock: &Clock) -> Result<Vec<SocketAddr>, ConnectError> {
    let (done, resolved) = sync_channel(1);
    let (host, port) = (address.host.clone(), address.port);
    let look_up = move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody waits any more: then the answer is not needed either.
        let _ = done.send(found);
    };
    std::thread::Builder::new().spawn(look_up).map_err(ConnectError::Resolve)?;
    resolved
        .recv_timeout(clock.left()?)
        .map_err(|_| ConnectError::Timeout(clock.timeout))?
        .map_err(ConnectError::Resolve)
}

enum Ended {
    Refused(io::Error),
    Timeout,
}

fn handshake(
    connection: &mut ClientConnection,
    stream: &mut TcpStream,
    clock: &Clock,
) -> Result<(), Ended> {
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Ended::Timeout,
        _ => Ended::Refused(error),
    };
    while connection.is_handshaking() {
        // Asked anew each time: a server that sends a byte now and then gets no more time for it.
        let left = clock.left().map_err(|_| Ended::Timeout)?;
        stream.set_read_timeout(Some(left)).map_err(failed)?;
        stream.set_write_timeout(Some(left)).map_err(failed)?;
        if connection.wants_write() {
            connection.write_tls(stream).map_err(failed)?;
            continue;
        }
        if connection.read_tls(stream).map_err(failed)? == 0 {
            let text = "the server closed the connection in the handshake";
            return Err(Ended::Refused(io::Error::new(ErrorKind::UnexpectedEof, text)));
        }
        if let Err(error) = connection.process_new_packets() {
            // Tell the server why; whether it listens is its own affair.
            let _ = connection.write_tls(stream);
            return Err(Ended::Refused(io::Error::other(error)));
        }
    }
    Ok(())
}

/// Takes any chain and remembers it; that the server holds the key of its certificate is checked.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<Vec<u8>>>,
    proven: AtomicBool,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) =
            all.map(|der| der.to_vec()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let checked = verify_tls12_signature(message, certificate, signed, algorithms);
        self.proven.store(checked.is_ok(), Ordering::SeqCst);
        checked
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let checked = verify_tls13_signature(message, certificate, signed, algorithms);
        self.proven.store(checked.is_ok(), Ordering::SeqCst);
        checked
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
