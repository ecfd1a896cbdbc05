//! One direction of a relay: what comes from one side goes to the other, its end included.
//!
//! Nothing is read while the other side does not take what was read before, so a slow peer holds
//! back a fast one, and what waits here is at most one buffer.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::pipe::{SpliceFlags, splice};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::pipe::Pipe;
use crate::hop::counters::Counter;
use crate::hop::stream::Stream;

/// One direction of a relay.
pub(super) trait Direction {
    /// Moves what can be moved now. Ready once the end was passed on, or is about to be: of the
    /// last direction, closing the connections passes it on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        last: bool,
        count: &Counter,
    ) -> Poll<io::Result<()>>;

    /// Returns the number of bytes were read or written so far.
    fn moved(&self) -> u64;
}

/// A direction in which bytes go on as soon as they come.
#[derive(Debug, Default)]
pub(super) struct Pump {
    /// Bytes that were read and that the other side did not take yet.
    waiting: Vec<u8>,
    taken: usize,
    /// A pipe through the kernel, while it holds bytes that the other side did not take yet.
    pipe: Option<Pipe>,
    /// Small pieces that may still come until bytes are copied again; bulk while there are any.
    bulk: u8,
    moved: u64,
    state: PumpState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PumpState {
    /// The source is open.
    #[default]
    Open,
    /// The source has ended, and the sink is still to be shut down.
    Ending,
    /// Both have ended.
    Ended,
}

impl Direction for Pump {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        last: bool,
        count: &Counter,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_empty(cx, to))?;
            match self.state {
                PumpState::Open => {}
                PumpState::Ending if last && to.bare().is_some() => self.state = PumpState::Ended,
                PumpState::Ending => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.state = PumpState::Ended;
                }
                PumpState::Ended => return Poll::Ready(Ok(())),
            }
            if self.state == PumpState::Ended {
                continue;
            }
            // splice(2) needs a socket on both sides: with TLS on either, bytes have to pass
            // through the process to be encrypted or decrypted.
            let moved = match (from.bare(), to.bare()) {
                (Some(source), Some(_)) if self.bulk > 0 => {
                    // Nobody has a pipe who waits for bytes.
                    ready!(source.poll_read_ready(cx))?;
                    match Pipe::take() {
                        Ok(pipe) => self.poll_splice(cx, source, pipe),
                        // Descriptors are out, and what stands goes on without.
                        Err(_) => self.poll_copy(cx, from, to),
                    }
                }
                _ => self.poll_copy(cx, from, to),
            };
            let Poll::Ready(moved) = moved else {
                // TLS may have put records together that it did not send yet.
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                return Poll::Pending;
            };
            let moved = moved? as u64;
            // Counted when read: what was read and not yet written is in this direction all the
            // same.
            self.moved += moved;
            count.add(moved);
        }
    }

    fn moved(&self) -> u64 {
        self.moved
    }
}

impl Pump {
    /// Returns whether what was read before has left.
    fn poll_empty(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        while let Some(rest) = self.waiting.get(self.taken..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += written;
            self.moved += written as u64;
        }
        // The memory is given back: most connections wait seldom.
        (self.waiting, self.taken) = (Vec::new(), 0);
        if let (Some(pipe), Some(to)) = (&mut self.pipe, to.bare()) {
            while pipe.holds > 0 {
                let written = ready!(poll_io(cx, to, Interest::WRITABLE, || {
                    splice(&pipe.out, None, to, None, pipe.holds, FLAGS)
                }))?;
                pipe.holds -= written;
                self.moved += written as u64;
            }
        }
        if let Some(pipe) = self.pipe.take() {
            pipe.give_back();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads one buffer and writes as much of it as is taken at once.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Poll<io::Result<usize>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(from).poll_read(cx, &mut read))?;
            let data = read.filled();
            let length = data.len();
            self.note(length);
            let mut rest = data;
            while !rest.is_empty() {
                match Pin::new(&mut *to).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Ready(Ok(written)) => rest = rest.get(written..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        self.waiting.extend_from_slice(rest);
                        break;
                    }
                }
            }
            Poll::Ready(Ok(length))
        })
    }

    /// Fills a pipe, which is empty, from the source.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        mut pipe: Pipe,
    ) -> Poll<io::Result<usize>> {
        let moved = poll_io(cx, from, Interest::READABLE, || {
            splice(from, None, &pipe.into, None, pipe.bytes, FLAGS)
        });
        match moved {
            Poll::Ready(Ok(length @ 1..)) => {
                // The pipe stays with this direction while it holds bytes, and goes back to the
                // thread's stock as soon as it is empty.
                pipe.holds = length;
                self.pipe = Some(pipe);
            }
            Poll::Ready(Ok(0) | Err(_)) | Poll::Pending => pipe.give_back(),
        }
        if let Poll::Ready(Ok(length)) = moved {
            self.note(length);
        }
        moved
    }

    /// Takes down how much came at once.
    fn note(&mut self, length: usize) {
        match length {
            0 => self.state = PumpState::Ending,
            BULK_MIN.. => self.bulk = SMALL_MAX,
            _ => self.bulk = self.bulk.saturating_sub(1),
        }
    }
}

/// Calls a function on a socket that does not wait, until it has something to say.
fn poll_io(
    cx: &mut Context<'_>,
    socket: &TcpStream,
    interest: Interest,
    mut call: impl FnMut() -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        match interest {
            Interest::READABLE => ready!(socket.poll_read_ready(cx))?,
            _ => ready!(socket.poll_write_ready(cx))?,
        }
        match socket.try_io(interest, || Ok(call()?)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}

thread_local! {
    /// A buffer for all connections of the thread: what is read is written on or kept elsewhere
    /// before anything else is read, so all connections of a thread can share it.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_BYTES]);
}

/// 256 KiB: a system call is then 1 to 2 % of the copying that it does, and the buffer still fits a
/// core's cache of the second level.
const BUFFER_BYTES: usize = 256 << 10;
/// Pieces from this size on, 32 KiB, go on without being copied: a pair of splices costs as much as
/// copying that does.
const BULK_MIN: usize = 32 << 10;
/// Smaller pieces in a row that end that. Heads and last pieces of responses do not, even where
/// each is followed by a long body.
const SMALL_MAX: u8 = 8;
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_last_pieces_between_long_bodies_do_not_end_splicing() {
        let mut pump = Pump::default();
        let mut bulk_after = |lengths: &[usize]| {
            lengths.iter().for_each(|length| pump.note(*length));
            pump.bulk > 0
        };
        assert!(!bulk_after(&[100, BULK_MIN - 1]));
        assert!(bulk_after(&[BULK_MIN]));
        for _ in 0..3 {
            assert!(bulk_after(&[100, 1, BULK_MIN - 1, 300_000]));
        }
        assert!(bulk_after(&[100; SMALL_MAX as usize - 1]));
        assert!(!bulk_after(&[100]), "small pieces alone are copied");
    }
}
