//! Checks that the crate `h2` leaves to whoever uses it: floods of frames that cost their sender
//! nothing, pseudo header fields in trailers, and how many requests of a connection are under way.
//!
//! Frames are looked at and never changed. `h2` judges all else.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::scan::{FrameScanner, ScanItem};
use crate::hop::stream::Stream;
use crate::http2::{HpackDecoder, frame};

/// A connection whose frames are counted on their way to and from `h2`.
pub(in crate::hop) struct Guard {
    stream: Stream,
    watch: Arc<StreamMonitor>,
    came: FrameScanner,
    left: FrameScanner,
    budget: FloodBudget,
    fields: HeaderBlocks,
    drained: usize,
}

/// State that the tasks of one connection share.
#[derive(Debug, Default)]
pub(in crate::hop) struct StreamMonitor {
    flooded: AtomicBool,
    requests: AtomicUsize,
    /// Streams that ended with trailers that are malformed. Few, and each is taken out by its task.
    malformed: Mutex<Vec<u32>>,
}

/// A guard that keeps a request counted as under way until it is dropped, whatever its stream does.
#[derive(Debug)]
pub(in crate::hop) struct RequestGuard(Arc<StreamMonitor>);

impl StreamMonitor {
    /// Begins a request, unless as many are under way as streams may be.
    pub(in crate::hop) fn begin(self: &Arc<Self>, most: usize) -> Option<RequestGuard> {
        if self.under_way() >= most {
            return None;
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        Some(RequestGuard(Arc::clone(self)))
    }

    /// Requests that are under way.
    pub(in crate::hop) fn under_way(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns whether the client has sent more than it had reason to.
    pub(in crate::hop) fn is_flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }

    fn note_malformed(&self, stream: u32) {
        let mut malformed = self.malformed.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of streams that were over already are looked for by nobody.
        if malformed.len() >= MALFORMED_MAX {
            malformed.remove(0);
        }
        malformed.push(stream);
    }

    /// Returns whether the trailers of a stream hold what trailers may not.
    pub(in crate::hop) fn is_malformed(&self, stream: u32) -> bool {
        let mut malformed = self.malformed.lock().unwrap_or_else(PoisonError::into_inner);
        let at = malformed.iter().position(|&other| other == stream);
        at.map(|at| malformed.swap_remove(at)).is_some()
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Guard {
    pub(in crate::hop) fn new(stream: Stream, watch: Arc<StreamMonitor>) -> Self {
        Self {
            stream,
            watch,
            came: FrameScanner::after(frame::PREFACE.len()),
            left: FrameScanner::after(0),
            budget: FloodBudget::new(),
            fields: HeaderBlocks::new(),
            drained: 0,
        }
    }

    fn see(&mut self, mut bytes: &[u8]) {
        while let Some(seen) = self.came.next(&mut bytes) {
            if let ScanItem::Header(header) = seen {
                let is_new = self.fields.begin(header);
                if !self.budget.spend(header, is_new) {
                    self.watch.flooded.store(true, Ordering::Relaxed);
                }
            }
            let rest = self.came.rest();
            if let Some(stream) = self.fields.take(seen, rest) {
                self.watch.note_malformed(stream);
            }
        }
    }

    fn saw(&mut self, mut bytes: &[u8]) {
        while let Some(seen) = self.left.next(&mut bytes) {
            if let ScanItem::Header(header) = seen {
                self.budget.earn(header);
            }
        }
    }
}

/// Frames that a client may send without a request: it earns them by requests and by our data.
struct FloodBudget {
    left: u32,
    since: Instant,
}

impl FloodBudget {
    fn new() -> Self {
        Self { left: FRAMES_MAX, since: Instant::now() }
    }

    /// Takes a frame of the client off; whether it could be afforded.
    fn spend(&mut self, header: frame::Header, is_new: bool) -> bool {
        let cost = match header.kind {
            frame::HEADERS if is_new => {
                self.left = (self.left + PER_STREAM).min(FRAMES_MAX);
                return true;
            }
            frame::DATA if header.length > 0 => return true,
            // As much as its stream earned, so that streams that come to nothing earn nothing.
            frame::RST_STREAM => PER_STREAM,
            _ => 1,
        };
        // The clock is read only when the budget has run out, not for each frame.
        if self.left < cost {
            let seconds = self.since.elapsed().as_secs();
            self.since = Instant::now();
            let more = seconds.saturating_mul(u64::from(PER_SECOND));
            self.left = self.left.saturating_add(u32::try_from(more).unwrap_or(FRAMES_MAX));
            self.left = self.left.min(FRAMES_MAX);
        }
        match self.left.checked_sub(cost) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }

    /// Adds what the client may say to a frame of ours.
    fn earn(&mut self, header: frame::Header) {
        if header.kind == frame::DATA {
            self.left = (self.left + PER_DATA).min(FRAMES_MAX);
        }
    }
}

/// The header blocks of a client, of which those of trailers are judged (RFC 9113, section 8.1).
/// All are decompressed, for what a block means depends on those before it.
struct HeaderBlocks {
    /// `None` once it is out of step with the client's.
    decoder: Option<HpackDecoder>,
    /// The frame that is coming.
    header: frame::Header,
    /// Pieces of the block that is coming, and where the present frame's begin.
    block: Vec<u8>,
    begin: usize,
    /// The stream of the block that is coming, and whether the block holds its trailers.
    stream: u32,
    is_trailers: bool,
    highest: u32,
}

impl HeaderBlocks {
    fn new() -> Self {
        Self {
            decoder: Some(HpackDecoder::new()),
            header: frame::Header { length: 0, kind: frame::DATA, flags: 0, stream: 0 },
            block: Vec::new(),
            begin: 0,
            stream: 0,
            is_trailers: false,
            highest: 0,
        }
    }

    /// Notes the header of a frame; whether it begins a new stream.
    fn begin(&mut self, header: frame::Header) -> bool {
        self.header = header;
        if header.kind != frame::HEADERS {
            return false;
        }
        self.block.clear();
        self.stream = header.stream;
        self.is_trailers = header.stream <= self.highest;
        self.highest = self.highest.max(header.stream);
        !self.is_trailers
    }

    /// Takes a piece of a frame, of which this many bytes are still to come. The stream, if what
    /// has now come are trailers that may not be.
    fn take(&mut self, seen: ScanItem<'_>, rest: usize) -> Option<u32> {
        if !matches!(self.header.kind, frame::HEADERS | frame::CONTINUATION) {
            return None;
        }
        let is_end = self.header.has(frame::END_HEADERS);
        let piece = match seen {
            ScanItem::Header(_) => {
                self.begin = self.block.len();
                &[][..]
            }
            ScanItem::Payload(piece) => piece,
        };
        if rest > 0 {
            self.keep(piece);
            return None;
        }
        // Most blocks come whole, in one frame.
        if is_end && self.block.is_empty() {
            let block = payload(self.header, piece);
            return self.judge(block);
        }
        self.keep(piece);
        let whole = self.block.get(self.begin..).unwrap_or_default();
        let part = payload(self.header, whole).map(<[u8]>::to_vec);
        self.block.truncate(self.begin);
        self.block.extend_from_slice(part.as_deref().unwrap_or_default());
        if !is_end {
            return None;
        }
        let block = std::mem::take(&mut self.block);
        self.judge(part.map(|_| &*block))
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.block.len() + piece.len() > BLOCK_MAX {
            self.decoder = None;
        } else {
            self.block.extend_from_slice(piece);
        }
    }

    fn judge(&mut self, block: Option<&[u8]>) -> Option<u32> {
        let head = match (&mut self.decoder, block) {
            (Some(decoder), Some(block)) => decoder.decode(block).ok(),
            _ => None,
        };
        if head.is_none() {
            // What `h2` makes of it is its own business; no trailers pass that cannot be read here.
            self.decoder = None;
        }
        // Its pseudo header fields are known as a response's: the others are malformed there.
        let is_sound = head.is_some_and(|head| !head.malformed && head.status.is_none());
        (self.is_trailers && !is_sound).then_some(self.stream)
    }
}

/// The block within a frame: without padding and priority. `None` if there is none.
fn payload(header: frame::Header, mut frame: &[u8]) -> Option<&[u8]> {
    if header.kind == frame::HEADERS {
        if header.has(frame::PADDED) {
            let (&padding, rest) = frame.split_first()?;
            frame = rest.get(..rest.len().checked_sub(usize::from(padding))?)?;
        }
        if header.has(frame::WITH_PRIORITY) {
            frame = frame.get(PRIORITY..)?;
        }
    }
    Some(frame)
}

impl AsyncRead for Guard {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // No more is read from a client that floods, so what it sends stays in its own socket
        // buffer.
        if this.watch.is_flooded() {
            // The connection's task says so, and reads no more.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, into))?;
        this.see(into.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guard {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, from))?;
        this.saw(from.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, from))?;
        let mut left = written;
        for part in from {
            let taken = part.get(..left).unwrap_or(part);
            this.saw(taken);
            left -= taken.len();
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        // To close with bytes unread would reset the connection, and the client might never read
        // why.
        while this.watch.is_flooded() && this.drained < DRAIN_MAX {
            let mut scratch = [0; 4 << 10];
            let mut read = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            match read.filled().len() {
                0 => break,
                length => this.drained += length,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Frames that a connection may begin with: as many as Envoy and h2 allow of any kind.
const FRAMES_MAX: u32 = 10_000;
/// Frames for each stream: its window, its priority, and its reset.
const PER_STREAM: u32 = 10;
/// Frames for each DATA frame of ours: the window of its stream, that of the connection, and a
/// PING, by which clients measure the path.
const PER_DATA: u32 = 3;
/// Frames for each second, which keep a connection alive.
const PER_SECOND: u32 = 100;
/// 256 KiB of a header block, 8 times what we say we take.
const BLOCK_MAX: usize = 256 << 10;
/// Twice as many as there are streams at a time.
const MALFORMED_MAX: usize = 512;
/// 1 MiB: what may be under way.
const DRAIN_MAX: usize = 1 << 20;
/// Bytes of the priority before a block.
const PRIORITY: usize = 5;

#[cfg(test)]
mod tests;
