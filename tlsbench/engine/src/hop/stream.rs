//! A connection of a hop, whatever carries it: plain, or TLS from either side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::tls::Alpn;

/// A socket, and bytes that were read from it before whoever reads it now.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) tcp: TcpStream,
    before: Vec<u8>,
    taken: usize,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, before: Vec::new(), taken: 0 }
    }

    /// Lets these bytes be read before any other.
    pub(super) fn unread(&mut self, before: Vec<u8>) {
        self.before = before;
        self.taken = 0;
    }

    fn has_before(&self) -> bool {
        self.taken < self.before.len()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.has_before() {
            return Pin::new(&mut this.tcp).poll_read(cx, into);
        }
        let rest = this.before.get(this.taken..).unwrap_or_default();
        let part = rest.get(..into.remaining()).unwrap_or(rest);
        into.put_slice(part);
        this.taken += part.len();
        if !this.has_before() {
            this.before = Vec::new();
            this.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, from)
    }

    // Nothing is buffered above the socket, and Nagle's algorithm is off.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// A connection with whatever carries it.
#[derive(Debug)]
pub(super) enum Stream {
    /// TLS that we began.
    Client(Box<client::TlsStream<Socket>>),
    /// No TLS.
    Plain(Socket),
    /// TLS that the other side began.
    Server(Box<server::TlsStream<Socket>>),
}

impl Stream {
    /// The socket below.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Client(tls) => &tls.get_ref().0.tcp,
            Self::Plain(socket) => &socket.tcp,
            Self::Server(tls) => &tls.get_ref().0.tcp,
        }
    }

    /// The socket, when its bytes are all that there is.
    pub(super) fn bare(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(socket) if !socket.has_before() => Some(&socket.tcp),
            Self::Client(_) | Self::Plain(_) | Self::Server(_) => None,
        }
    }

    /// Returns the kind of handshake; `None` without TLS.
    pub(super) fn handshake(&self) -> Option<HandshakeKind> {
        match self {
            Self::Client(tls) => tls.get_ref().1.handshake_kind(),
            Self::Plain(_) => None,
            Self::Server(tls) => tls.get_ref().1.handshake_kind(),
        }
    }

    /// Returns whether both sides agreed on HTTP/2 when the other side began TLS.
    pub(super) fn speaks_http2(&self) -> bool {
        match self {
            Self::Client(_) | Self::Plain(_) => false,
            Self::Server(tls) => {
                tls.get_ref().1.alpn_protocol() == Some(Alpn::Http2.as_str().as_bytes())
            }
        }
    }

    /// Returns whether TLS has made records that the socket was not offered yet.
    fn owes_answer(&self) -> bool {
        match self {
            Self::Client(tls) => tls.get_ref().1.wants_write(),
            Self::Plain(_) => false,
            Self::Server(tls) => tls.get_ref().1.wants_write(),
        }
    }

    /// Makes closing a reset, so that the other side learns that this is no orderly end.
    pub(super) fn reset_on_close(&self) {
        // A socket that refuses this is gone already.
        let _ = rustix::net::sockopt::set_socket_linger(self.tcp(), Some(Duration::ZERO));
    }
}

/// Calls a method of whatever carries the connection.
macro_rules! forward {
    ($stream:ident, $method:ident $(, $argument:expr)*) => {
        match $stream.get_mut() {
            Self::Client(inner) => Pin::new(inner.as_mut()).$method($($argument),*),
            Self::Plain(inner) => Pin::new(inner).$method($($argument),*),
            Self::Server(inner) => Pin::new(inner.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.as_mut();
        let read = forward!(this, poll_read, cx, into);
        // rustls answers some messages by itself, such as a renegotiation (RFC 5246, section 7.2.2,
        // no_renegotiation), and tokio-rustls sends that with the next write: the client may wait
        // for it before there is one.
        if read.is_pending() && self.owes_answer() {
            // An error is found by whoever reads or writes next.
            let _ = self.as_mut().poll_flush(cx);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self, poll_write, cx, from)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, poll_write_vectored, cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_shutdown, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn bytes_that_were_read_before_come_first_in_pieces_of_any_size() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut peer, b"ij").await.unwrap();
            drop(peer);
            let mut socket = Socket::new(listener.accept().await.unwrap().0);
            socket.unread(b"abcdefgh".to_vec());
            let mut seen = Vec::new();
            let mut piece = [0; 3];
            loop {
                match socket.read(&mut piece).await.unwrap() {
                    0 => break,
                    length => seen.extend_from_slice(&piece[..length]),
                }
            }
            assert_eq!(seen, b"abcdefghij");
        });
    }
}
