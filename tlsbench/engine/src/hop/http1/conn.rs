//! A connection with what was read from it and not used yet.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::coop::unconstrained;
use tokio::time::timeout;

use crate::hop::stream::Stream;
use crate::http1::HEAD_MAX;

/// A connection and its buffer.
#[derive(Debug)]
pub(in crate::hop) struct Conn {
    pub(in crate::hop) stream: Stream,
    buffer: Vec<u8>,
    taken: usize,
    /// True if it has carried a request before.
    pub(in crate::hop) is_used: bool,
}

impl Conn {
    pub(in crate::hop) fn new(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new(), taken: 0, is_used: false }
    }

    /// Returns the bytes that were read and not taken.
    pub(in crate::hop) fn data(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    /// Takes bytes from the front.
    pub(in crate::hop) fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= self.buffer.len() {
            self.taken = 0;
            self.buffer.clear();
        }
    }

    /// Reads more, with room for this many bytes; returns the number of bytes read, 0 at the end.
    pub(in crate::hop) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        // Moving the rest to the front costs a copy, so it happens only when less than half of the
        // room is left at the end.
        if self.buffer.capacity() - self.buffer.len() < room / 2 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
            self.buffer.reserve(room);
        }
        pin!(self.stream.read_buf(&mut self.buffer)).poll(cx)
    }

    /// Reads more.
    pub(in crate::hop) async fn fill(&mut self, room: usize) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx, room)).await
    }

    /// Ready once the other side has ended the connection. What it says until then is kept, and it
    /// is asked no further once that is as much as a head may be.
    pub(in crate::hop) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.data().len() < HEAD_MAX {
            match ready!(self.poll_fill(cx, ROOM_USUAL)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Gives memory back that only a large body needed: what is more than twice this room.
    pub(in crate::hop) fn shrink(&mut self, room: usize) {
        // Ten thousand kept connections with 128 KiB each would hold more than a gigabyte for
        // nothing.
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * room {
            self.buffer = Vec::new();
        }
    }

    /// Returns whether a connection that waits for a request can still carry one: the other side
    /// has neither ended it nor said anything.
    pub(in crate::hop) fn is_idle(&mut self) -> bool {
        if !self.data().is_empty() {
            return false;
        }
        let mut cx = Context::from_waker(Waker::noop());
        // Within its budget, a task that did much at once would find nothing, whatever there is.
        let filling = unconstrained(poll_fn(|cx| self.poll_fill(cx, ROOM_RESPONSE)));
        pin!(filling).poll(&mut cx).is_pending()
    }

    /// Ends our half, and then reads and forgets for a while: to close with bytes unread would
    /// reset the connection, and what we said last might never be read.
    pub(in crate::hop) async fn linger(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let reading = async {
            let mut left = LINGER_BYTES;
            while left > 0 {
                let length = self.data().len();
                self.take(length);
                match self.fill(ROOM_USUAL).await {
                    Ok(0) | Err(_) => return,
                    Ok(length) => left = left.saturating_sub(length),
                }
            }
        };
        // Whoever goes on sending after that is not listening.
        let _ = timeout(LINGER_MAX, reading).await;
    }
}

/// Room for a head: most requests have 100 to 600 bytes.
pub(in crate::hop) const ROOM_USUAL: usize = 2 << 10;
/// Room for a response's head of up to 4 KiB with a body of up to 64 KiB: what does not fit is read
/// and written in a second turn, here and by every hop on the way to the client.
pub(in crate::hop) const ROOM_RESPONSE: usize = 68 << 10;
/// A second: several round trips around the earth.
const LINGER_MAX: Duration = Duration::from_secs(1);
/// 1 MiB: what may be under way of a body that nobody wants.
const LINGER_BYTES: usize = 1 << 20;
