//! One message on its way from one connection to another: its new head, then its body.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use thiserror::Error;
use tokio::io::AsyncWrite;

use super::conn::{Conn, ROOM_RESPONSE};
use crate::hop::counters::Counter;
use crate::hop::stream::Stream;
use crate::http1::{
    BadChunk, BodyDecoder, BodyPiece, ChunkRules, Framing, put_chunk, put_last_chunk,
};

/// A message under way.
#[derive(Debug)]
pub(in crate::hop) struct Transfer {
    decoder: BodyDecoder,
    /// True if the body leaves in chunks; otherwise it leaves as it is.
    chunks: bool,
    /// Bytes that are to be written first: the head, and what a body gets besides its data.
    out: Vec<u8>,
    written: usize,
    /// Bytes that the other side took so far.
    moved: u64,
    /// Bytes at the front of the source's buffer that are to be written as they are.
    direct: usize,
    /// True if the end of the body was read.
    done: bool,
    /// True if nothing of it is left in what carries the connection: TLS keeps what the socket did
    /// not take.
    flushed: bool,
}

/// A request under way to the next hop, wherever it comes from.
pub(in crate::hop) trait RequestSource {
    /// Moves what can be moved now. Ready once everything has left.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
    ) -> Poll<Result<(), TransferError>>;

    /// Returns whether everything has left.
    fn is_sent(&self) -> bool;

    /// Bytes that have left so far.
    fn moved(&self) -> u64;

    /// Returns whether it is the client's turn: all of the request that has arrived has left.
    fn is_starved(&self) -> bool;

    /// Ready once the client has given the request up. `sends` says that the request still goes on,
    /// so that whoever reads the client's connection finds its end.
    fn poll_gone(&mut self, cx: &mut Context<'_>, sends: bool) -> Poll<()>;
}

/// A request of HTTP/1.1, with the connection that it comes from.
pub(in crate::hop) struct ClientRequest<'c> {
    pub(in crate::hop) transfer: &'c mut Transfer,
    pub(in crate::hop) client: &'c mut Conn,
    pub(in crate::hop) count: &'c Counter,
    /// True if the client waits for leave to send its body.
    pub(in crate::hop) waits: bool,
}

impl RequestSource for ClientRequest<'_> {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
    ) -> Poll<Result<(), TransferError>> {
        self.transfer.poll(cx, self.client, to, self.count)
    }

    fn is_sent(&self) -> bool {
        self.transfer.is_done()
    }

    fn moved(&self) -> u64 {
        self.transfer.moved
    }

    fn is_starved(&self) -> bool {
        !self.waits && self.transfer.is_empty()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>, sends: bool) -> Poll<()> {
        if sends { Poll::Pending } else { self.client.poll_gone(cx) }
    }
}

/// The reason why a message did not arrive.
#[derive(Debug, Error)]
pub(in crate::hop) enum TransferError {
    /// The other side does not take it.
    #[error("cannot write")]
    Sink {
        /// The cause.
        source: io::Error,
    },
    /// The body is malformed.
    #[error("cannot read the body")]
    Body {
        /// The cause.
        source: BadChunk,
    },
    /// The message ended too early.
    #[error("the message is cut short")]
    Cut,
    /// The client has given it up.
    #[error("the client is gone")]
    Gone,
    /// No byte of it moved for as long as the limit.
    #[error("nothing moves")]
    Stalled,
}

impl Transfer {
    /// A message with this head, whose body comes in one way and leaves in another.
    pub(in crate::hop) fn new(head: Vec<u8>, from: Framing, to: Framing) -> Self {
        Self {
            decoder: BodyDecoder::new(from, ChunkRules::Strict),
            chunks: to == Framing::Chunked,
            out: head,
            written: 0,
            moved: 0,
            direct: 0,
            done: false,
            flushed: false,
        }
    }

    /// Returns whether everything has left.
    pub(in crate::hop) fn is_done(&self) -> bool {
        self.flushed
    }

    /// Bytes that the other side took so far.
    pub(in crate::hop) fn moved(&self) -> u64 {
        self.moved
    }

    /// Returns whether all of it that has arrived has left.
    fn is_empty(&self) -> bool {
        self.out.is_empty() && self.direct == 0
    }

    /// Moves what can be moved now. Ready once everything has left.
    pub(in crate::hop) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Conn,
        to: &mut Stream,
        count: &Counter,
    ) -> Poll<Result<(), TransferError>> {
        loop {
            // Small bodies leave together with their head.
            let mut needs_more = false;
            while !self.done && !needs_more && self.direct == 0 && self.out.len() < OUT_MAX {
                needs_more = !self.step(from, count)?;
            }
            if needs_more && self.written == 0 && !self.out.is_empty() {
                // Nor is a head sent alone while more of what follows is there.
                match from.poll_fill(cx, ROOM_RESPONSE) {
                    Poll::Ready(Ok(1..)) => continue,
                    // It is said once: what is read after it looks like an orderly end.
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(TransferError::Cut)),
                    Poll::Ready(Ok(0)) | Poll::Pending => {}
                }
            }
            ready!(self.poll_write(cx, from, to))
                .map_err(|source| TransferError::Sink { source })?;
            if self.done {
                let flushed = ready!(Pin::new(&mut *to).poll_flush(cx));
                self.flushed = flushed.is_ok();
                return Poll::Ready(flushed.map_err(|source| TransferError::Sink { source }));
            }
            if !needs_more {
                continue;
            }
            match from.poll_fill(cx, ROOM_BODY) {
                Poll::Ready(Ok(0)) if self.decoder.may_end() => self.end(),
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(TransferError::Cut)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    let flushed = ready!(Pin::new(&mut *to).poll_flush(cx));
                    flushed.map_err(|source| TransferError::Sink { source })?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Takes one piece of the input; whether there was one.
    fn step(&mut self, from: &mut Conn, count: &Counter) -> Result<bool, TransferError> {
        match self.decoder.next(from.data()).map_err(|source| TransferError::Body { source })? {
            BodyPiece::More => return Ok(false),
            BodyPiece::Skip(bytes) => from.take(bytes),
            BodyPiece::Data(bytes) => {
                count.add(bytes as u64);
                let data = from.data().get(..bytes).unwrap_or_default();
                // Chunks get new boundaries here: those of the source mean nothing (RFC 9112,
                // section 7.1), and one piece of the buffer becomes one chunk.
                if self.chunks {
                    put_chunk(data, &mut self.out);
                    from.take(bytes);
                // A small body is copied behind its head, so that both leave by one system call and
                // in one TLS record.
                } else if self.written == 0 && self.out.len() + bytes <= OUT_MAX {
                    self.out.extend_from_slice(data);
                    from.take(bytes);
                } else {
                    self.direct = bytes;
                }
            }
            BodyPiece::End => self.end(),
        }
        Ok(true)
    }

    fn end(&mut self) {
        if self.chunks {
            put_last_chunk(self.decoder.trailers(), &mut self.out);
        }
        self.done = true;
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Conn,
        to: &mut Stream,
    ) -> Poll<io::Result<()>> {
        loop {
            let first = self.out.get(self.written..).unwrap_or_default();
            let data = from.data().get(..self.direct).unwrap_or_default();
            let to = Pin::new(&mut *to);
            let written = match (first, data) {
                ([], []) => break,
                ([], only) | (only, []) => to.poll_write(cx, only),
                _ => to.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(data)]),
            };
            let of_first = first.len();
            let written = wrote(ready!(written)?)?;
            self.moved += written as u64;
            self.written += written.min(of_first);
            let of_data = written.saturating_sub(of_first);
            from.take(of_data);
            self.direct = self.direct.saturating_sub(of_data);
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

fn wrote(bytes: usize) -> io::Result<usize> {
    if bytes == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(bytes) }
}

/// Room for a body's next part, 128 KiB: a system call is then 2 to 3 % of the copying it does.
const ROOM_BODY: usize = 128 << 10;
/// Up to here it is cheaper to copy than to write twice: a copy of 16 KiB takes about 1 µs, as a
/// system call without its work does.
const OUT_MAX: usize = 16 << 10;
