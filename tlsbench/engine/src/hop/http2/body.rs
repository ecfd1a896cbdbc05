//! Bodies between HTTP/2 and HTTP/1.1, each with its own way of holding back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use tokio::io::AsyncWrite;

use super::fields;
use super::guard::StreamMonitor;
use crate::hop::counters::Counter;
use crate::hop::http1::conn::Conn;
use crate::hop::http1::transfer::{RequestSource, TransferError};
use crate::hop::stream::Stream;
use crate::http1::{BodyDecoder, BodyPiece, ChunkRules, Framing, put_chunk, put_last_chunk};

/// A request on its way from a stream of HTTP/2 to a connection of HTTP/1.1.
pub(in crate::hop) struct Upload<'u> {
    body: RecvStream,
    chunks: bool,
    /// Bytes that are to be written: the head, then what has arrived of the body.
    out: Vec<u8>,
    written: usize,
    /// Bytes of the client's window that are given back when `out` has left.
    held: usize,
    /// Bytes that have left so far.
    moved: u64,
    done: bool,
    /// True if nothing of it is left in what carries the connection.
    flushed: bool,
    count: &'u Counter,
    watch: &'u StreamMonitor,
}

impl<'u> Upload<'u> {
    pub(in crate::hop) fn new(
        head: Vec<u8>,
        body: RecvStream,
        framing: Framing,
        count: &'u Counter,
        watch: &'u StreamMonitor,
    ) -> Self {
        // A body of no length was announced as such, and there is nothing to wait for.
        let done = matches!(framing, Framing::None | Framing::Length(0));
        let chunks = framing == Framing::Chunked;
        Self {
            body,
            chunks,
            out: head,
            written: 0,
            held: 0,
            moved: 0,
            done,
            flushed: false,
            count,
            watch,
        }
    }

    /// Begins again with a request that has no body.
    pub(in crate::hop) fn again(&mut self, head: &[u8]) {
        self.out = head.to_vec();
        self.written = 0;
        self.flushed = false;
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.moved += written as u64;
        }
        self.out.clear();
        self.written = 0;
        if self.held > 0 {
            // Fails on a stream that was reset, which is noticed when it is read.
            let _ = self.body.flow_control().release_capacity(self.held);
            self.held = 0;
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, data: &[u8]) {
        self.count.add(data.len() as u64);
        // The window is given back only once the next hop has taken the bytes, so a slow next hop
        // slows the client down instead of filling our memory.
        self.held += data.len();
        match self.chunks {
            true => put_chunk(data, &mut self.out),
            false => self.out.extend_from_slice(data),
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) {
        if self.chunks {
            let mut lines = Vec::new();
            trailers.into_iter().for_each(|trailers| fields::put_trailers(trailers, &mut lines));
            put_last_chunk(&lines, &mut self.out);
        }
        self.done = true;
    }
}

impl Upload<'_> {
    /// Moves what can be moved now. Ready once everything has left.
    pub(in crate::hop) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
    ) -> Poll<Result<(), TransferError>> {
        loop {
            // What is there already leaves together with the head.
            while !self.done && self.out.len() < OUT_MAX {
                match self.body.poll_data(cx) {
                    Poll::Ready(Some(Ok(data))) => self.put(&data),
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(TransferError::Cut)),
                    Poll::Ready(None) => match self.body.poll_trailers(cx) {
                        Poll::Ready(Ok(Some(_)))
                            if self.watch.is_malformed(self.body.stream_id().as_u32()) =>
                        {
                            return Poll::Ready(Err(TransferError::Cut));
                        }
                        Poll::Ready(Ok(trailers)) => self.end(trailers.as_ref()),
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(TransferError::Cut)),
                        Poll::Pending => break,
                    },
                    Poll::Pending => break,
                }
            }
            let waits = self.out.is_empty() && !self.done;
            ready!(self.poll_write(cx, to)).map_err(|source| TransferError::Sink { source })?;
            let flushed = ready!(Pin::new(&mut *to).poll_flush(cx));
            flushed.map_err(|source| TransferError::Sink { source })?;
            match self.done {
                true => {
                    self.flushed = true;
                    return Poll::Ready(Ok(()));
                }
                false if waits => return Poll::Pending,
                false => {}
            }
        }
    }

    /// Returns whether everything has left.
    pub(in crate::hop) fn is_sent(&self) -> bool {
        self.flushed
    }

    /// Bytes that have left so far.
    pub(in crate::hop) fn moved(&self) -> u64 {
        self.moved
    }
}

/// A request with its stream, on which the client may give it up.
pub(in crate::hop) struct StreamRequest<'s, 'u> {
    pub(in crate::hop) upload: &'s mut Upload<'u>,
    pub(in crate::hop) respond: &'s mut SendResponse<Bytes>,
}

impl RequestSource for StreamRequest<'_, '_> {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
    ) -> Poll<Result<(), TransferError>> {
        self.upload.poll_send(cx, to)
    }

    fn is_sent(&self) -> bool {
        self.upload.is_sent()
    }

    fn moved(&self) -> u64 {
        self.upload.moved()
    }

    fn is_starved(&self) -> bool {
        self.upload.out.is_empty()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>, _sends: bool) -> Poll<()> {
        self.respond.poll_reset(cx).map(drop)
    }
}

/// A response's body on its way from a connection of HTTP/1.1 to a stream of HTTP/2.
pub(in crate::hop) struct Download<'d> {
    decoder: BodyDecoder,
    waiting: Bytes,
    /// Bytes that the stream took so far.
    moved: u64,
    count: &'d Counter,
}

impl<'d> Download<'d> {
    pub(in crate::hop) fn new(framing: Framing, count: &'d Counter) -> Self {
        Self {
            decoder: BodyDecoder::new(framing, ChunkRules::Strict),
            waiting: Bytes::new(),
            moved: 0,
            count,
        }
    }

    /// Bytes that the stream took so far.
    pub(in crate::hop) fn moved(&self) -> u64 {
        self.moved
    }

    /// Moves what can be moved now. Ready once the stream was ended.
    pub(in crate::hop) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Conn,
        to: &mut SendStream<Bytes>,
    ) -> Poll<Result<(), TransferError>> {
        let sink = |error| TransferError::Sink { source: io::Error::other(error) };
        loop {
            while !self.waiting.is_empty() {
                let room = ready!(poll_room(cx, to, self.waiting.len())).map_err(sink)?;
                let part = self.waiting.split_to(room.min(self.waiting.len()));
                self.moved += part.len() as u64;
                to.send_data(part, false).map_err(sink)?;
            }
            match self.decoder.next(from.data()).map_err(|source| TransferError::Body { source })? {
                BodyPiece::Skip(bytes) => from.take(bytes),
                BodyPiece::Data(bytes) => {
                    self.count.add(bytes as u64);
                    // Copied out of the connection's buffer, because `h2` keeps what it sends until
                    // the client's windows take it.
                    self.waiting =
                        Bytes::copy_from_slice(from.data().get(..bytes).unwrap_or_default());
                    from.take(bytes);
                }
                BodyPiece::End => return Poll::Ready(self.end(to).map_err(sink)),
                BodyPiece::More => match ready!(from.poll_fill(cx, ROOM_BODY)) {
                    Ok(0) if self.decoder.may_end() => {
                        return Poll::Ready(self.end(to).map_err(sink));
                    }
                    Ok(0) | Err(_) => return Poll::Ready(Err(TransferError::Cut)),
                    Ok(_) => {}
                },
            }
        }
    }

    fn end(&mut self, to: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
        match fields::trailers(self.decoder.trailers()) {
            Some(trailers) => to.send_trailers(trailers),
            None => to.send_data(Bytes::new(), true),
        }
    }
}

/// Waits for room to send; how much there is, at most what was asked for.
pub(in crate::hop) fn poll_room(
    cx: &mut Context<'_>,
    to: &mut SendStream<Bytes>,
    wanted: usize,
) -> Poll<Result<usize, h2::Error>> {
    to.reserve_capacity(wanted);
    loop {
        let room = to.capacity();
        if room > 0 {
            return Poll::Ready(Ok(room.min(wanted)));
        }
        match ready!(to.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Poll::Ready(Err(error)),
            // The stream was closed.
            None => return Poll::Ready(Err(h2::Reason::CANCEL.into())),
        }
    }
}

/// Up to here a body is copied behind the head, so that both leave by one system call.
const OUT_MAX: usize = 16 << 10;
/// Room for a body's next part: four frames of the usual size.
const ROOM_BODY: usize = 64 << 10;
