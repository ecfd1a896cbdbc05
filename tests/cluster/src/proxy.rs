//! A TCP proxy in front of the API server, to break connections in the ways that networks do.
//!
//! It knows nothing of what passes through it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    gate: watch::Sender<Gate>,
    /// Each connection holds a share, and so do this value and the thread.
    connections: Arc<()>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug)]
struct Gate {
    way: Way,
    /// Connections of an earlier era are cut.
    era: u64,
    /// Connections made before as many swallowings are swallowed.
    swallowings: u64,
    delay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Bytes pass.
    Open,
    /// Connections stay and are made, and nothing passes: a firewall that drops packets.
    Blocked,
    /// Connections are refused: nobody listens.
    Refused,
    /// The end.
    Gone,
}

impl Proxy {
    /// Starts a proxy on a free port to a port of the loopback interface.
    ///
    /// # Errors
    /// Fails when it cannot listen.
    pub fn to(target: u16) -> Result<Self> {
        let gate = Gate { way: Way::Open, era: 0, swallowings: 0, delay: Duration::ZERO };
        let (gate, watched) = watch::channel(gate);
        let port = crate::ports::free()?;
        let (started, start) = oneshot::channel();
        let connections = Arc::new(());
        let share = Arc::clone(&connections);
        // A thread with a runtime of its own: those of tests come and go.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(serve(port, target, watched, share, started)),
                Err(error) => drop(started.send(Err(error))),
            }
        });
        let proxy = Self { port, gate, connections, thread: Some(thread) };
        // The thread answers at once, and never needs the runtime that we may be in.
        let started = std::thread::scope(|scope| scope.spawn(|| start.blocking_recv()).join());
        started
            .map_err(|_| anyhow!("panicked"))
            .and_then(|answer| Ok(answer??))
            .with_context(|| format!("cannot start a proxy on port {port}"))?;
        Ok(proxy)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The API server as seen through it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Closes every connection. New ones are welcome.
    pub fn cut(&self) {
        self.gate.send_modify(|gate| gate.era += 1);
    }

    /// Lets nothing pass any more, while connections stay as they are and can still be made.
    pub fn block(&self) {
        self.gate.send_modify(|gate| gate.way = Way::Blocked);
    }

    /// Swallows every connection that there is: what is sent vanishes, and neither end is ever told. New
    /// ones are welcome. So does a middlebox that has lost its table.
    pub fn swallow(&self) {
        self.gate.send_modify(|gate| gate.swallowings += 1);
    }

    /// Closes every connection and refuses new ones. Returns when that is so.
    pub fn refuse(&self) {
        self.gate.send_modify(|gate| {
            gate.way = Way::Refused;
            gate.era += 1;
        });
        // The proxy's thread does it, and on a busy machine not before a request could still pass.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        for _ in 0..SETTLE_TRIES {
            let is_open = std::net::TcpStream::connect(address).is_ok();
            if !is_open && self.connections() == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends [`Proxy::block`] and [`Proxy::refuse`]. What was held back passes now.
    pub fn unblock(&self) {
        self.gate.send_modify(|gate| gate.way = Way::Open);
    }

    /// From now on holds up whatever passes for so long, each way. Of nothing, to end it.
    pub fn delay(&self, delay: Duration) {
        self.gate.send_modify(|gate| gate.delay = delay);
    }

    /// How many connections go through it now.
    #[must_use]
    pub fn connections(&self) -> usize {
        Arc::strong_count(&self.connections).saturating_sub(2)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.gate.send_modify(|gate| {
            gate.way = Way::Gone;
            gate.era += 1;
        });
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    port: u16,
    target: u16,
    gate: watch::Receiver<Gate>,
    connections: Arc<()>,
    started: oneshot::Sender<std::io::Result<()>>,
) {
    let mut started = Some(started);
    while gate.borrow().way != Way::Gone {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => {
                if let Some(started) = started.take() {
                    let _ = started.send(Ok(()));
                }
                let closed = gate.clone();
                tokio::select! {
                    () = listen(listener, target, &gate, &connections) => {}
                    () = until(closed, |gate| matches!(gate.way, Way::Refused | Way::Gone)) => {}
                }
                until(gate.clone(), |gate| gate.way != Way::Refused).await;
            }
            Err(error) => {
                if let Some(started) = started.take() {
                    let _ = started.send(Err(error));
                    return;
                }
                // The port is ours again once its last connection is quite closed.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn listen(
    listener: TcpListener,
    target: u16,
    gate: &watch::Receiver<Gate>,
    connections: &Arc<()>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let carried = carry(stream, target, gate.clone());
        let share = Arc::clone(connections);
        tokio::spawn(async move {
            carried.await;
            drop(share);
        });
    }
}

/// Waits until the gate is so, or there is no gate any more.
async fn until(mut gate: watch::Receiver<Gate>, is_so: impl FnMut(&Gate) -> bool) {
    let _ = gate.wait_for(is_so).await;
}

/// One connection, until either side ends it or it is cut. A swallowed one lasts until its client gives
/// it up.
async fn carry(client: TcpStream, target: u16, mut gate: watch::Receiver<Gate>) {
    let Gate { era, swallowings, .. } = *gate.borrow_and_update();
    let mut at_gate = gate.clone();
    let both = async {
        let _ = passes(&mut at_gate).await;
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
        let Ok(server) = TcpStream::connect(server).await else { return };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let pumps = async {
            let up = pump(&mut from_client, &mut to_server, at_gate.clone());
            let down = pump(&mut from_server, &mut to_client, at_gate.clone());
            tokio::join!(up, down);
        };
        tokio::select! {
            biased;
            () = until(at_gate.clone(), |gate| gate.swallowings != swallowings) => {}
            () = pumps => return,
        }
        // All four halves are still here, so neither end hears of this.
        tokio::select! {
            () = drain(&mut from_client) => {}
            () = async {
                drain(&mut from_server).await;
                std::future::pending::<()>().await;
            } => {}
        }
    };
    tokio::select! {
        () = both => {}
        () = until(gate, |gate| gate.era != era) => {}
    }
}

async fn pump(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, mut gate: watch::Receiver<Gate>) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let Ok(delay) = passes(&mut gate).await else { break };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let Some(bytes) = buffer.get(..count) else { break };
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Reads until the end, for nothing.
async fn drain(from: &mut OwnedReadHalf) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(1..) = from.read(&mut buffer).await {}
}

/// Waits until bytes may pass, and gives how long each lot is held up.
async fn passes(gate: &mut watch::Receiver<Gate>) -> Result<Duration> {
    Ok(gate.wait_for(|gate| gate.way != Way::Blocked).await?.delay)
}

/// What a socket holds by default, about.
const BUFFER: usize = 64 * 1024;

/// Milliseconds to wait at most until nobody listens: five seconds.
const SETTLE_TRIES: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte with the same byte, and a proxy to it.
    async fn echo() -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Proxy::to(port).unwrap()
    }

    async fn ask(stream: &mut TcpStream) -> Result<u8> {
        stream.write_all(b"x").await?;
        let exchange = tokio::time::timeout(Duration::from_secs(20), stream.read_u8());
        Ok(exchange.await??)
    }

    async fn connect(proxy: &Proxy) -> std::io::Result<TcpStream> {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_welcomes_new_ones() {
        let proxy = echo().await;
        let mut first = connect(&proxy).await.unwrap();
        assert_eq!(ask(&mut first).await.unwrap(), b'x');
        proxy.cut();
        assert!(ask(&mut first).await.is_err());
        let mut second = connect(&proxy).await.unwrap();
        assert_eq!(ask(&mut second).await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_block_holds_bytes_back_until_it_ends() {
        let proxy = echo().await;
        let mut stream = connect(&proxy).await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), b'x');
        proxy.block();
        stream.write_all(b"y").await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
        assert!(silence.is_err());
        proxy.unblock();
        let answer = tokio::time::timeout(Duration::from_secs(20), stream.read_u8()).await;
        assert_eq!(answer.unwrap().unwrap(), b'y');
    }

    #[tokio::test]
    async fn what_is_swallowed_is_silent_for_ever_and_new_connections_are_well() {
        let proxy = echo().await;
        let mut stream = connect(&proxy).await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), b'x');
        proxy.swallow();
        let mut second = connect(&proxy).await.unwrap();
        assert_eq!(ask(&mut second).await.unwrap(), b'x');
        stream.write_all(b"y").await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(500), stream.read_u8()).await;
        assert!(silence.is_err(), "{silence:?}");
        drop((stream, second));
        crate::eventually("none left", Duration::from_secs(20), async || {
            match proxy.connections() {
                0 => Ok(()),
                more => Err(anyhow!("{more} connections")),
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_refusal_is_what_an_absent_server_gives() {
        let proxy = echo().await;
        let mut stream = connect(&proxy).await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), b'x');
        proxy.refuse();
        assert!(ask(&mut stream).await.is_err());
        crate::eventually("refusal", Duration::from_secs(20), async || {
            match connect(&proxy).await {
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
                other => Err(anyhow!("{other:?}")),
            }
        })
        .await
        .unwrap();
        proxy.unblock();
        crate::eventually("an answer", Duration::from_secs(20), async || {
            ask(&mut connect(&proxy).await?).await
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn connections_are_counted() {
        let proxy = echo().await;
        let mut stream = connect(&proxy).await.unwrap();
        ask(&mut stream).await.unwrap();
        assert!(proxy.connections() > 0);
        drop(stream);
        crate::eventually("none left", Duration::from_secs(20), async || {
            match proxy.connections() {
                0 => Ok(()),
                more => Err(anyhow!("{more} connections")),
            }
        })
        .await
        .unwrap();
    }
}
