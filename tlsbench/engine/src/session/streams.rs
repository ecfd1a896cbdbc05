//! Many requests at a time on one connection: HTTP/2's streams, windows and settings.
//!
//! Bytes go in and bytes come out; sockets and clocks are the session's. A stream's place is free
//! again when its outcome was taken, so that no two requests are ever mistaken for one another.

use std::collections::VecDeque;

use tlsbench_core::scenario::Timeout;
use tlsbench_core::tally::{ErrorCode, Failed, Failure, Reason};
use tlsbench_core::units::Nanos;

use super::transport::Sink;
use crate::http2::{
    BYTES_PER_FRAME, Fault, Frames, HEADER_LIST_MAX, HpackDecoder, PER_REQUEST, PER_SECOND, frame,
};
use crate::wire::{Dictionary, RequestTemplate, ResponseSummary};

mod receive;
mod table;

pub(crate) use table::slot_count;

use table::{StreamSlot, StreamTable};

/// The streams of one connection. All memory is kept from one connection to the next.
#[derive(Debug)]
pub(super) struct Streams {
    frames: Frames,
    /// The time of the last frames that the server earned by time.
    earned: Nanos,
    state: ConnectionStreams,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamOutcome {
    pub(super) slot: u32,
    pub(super) result: Result<ResponseSummary, Lost>,
    /// Times from its first byte sent to the first of its response, and to the last.
    pub(super) first_byte: Option<Nanos>,
    pub(super) last_byte: Option<Nanos>,
    /// The time when it ended.
    pub(super) moment: Nanos,
}

/// The reason why a request has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The request failed.
    Failed(Failed),
    /// The server did not take it, and said so: it may be sent again (RFC 9113, section 8.7).
    Untaken {
        failed: Failed,
        /// The server took others on this connection.
        progressed: bool,
    },
}

impl From<Failed> for Lost {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// The reason why no more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// The server broke the protocol.
    Fault(Fault),
    /// The server closed the connection.
    Gone,
}

#[derive(Debug)]
struct ConnectionStreams {
    codec: HeaderCodec,
    /// Bytes that are to be sent, and how many of them have been.
    out: Vec<u8>,
    taken: usize,
    table: StreamTable,
    /// Requests at a time: what is wanted, and what the server takes once it has said so.
    wanted: u32,
    limit: Option<u32>,
    head_only: bool,
    /// Places whose outcome is to be taken, whose request was not sent yet, whose body was not.
    due: VecDeque<u32>,
    unstamped: Vec<u32>,
    senders: VecDeque<u32>,
    windows: Windows,
    /// Answers to what the server asked that are not sent yet.
    replies: u32,
    now: Nanos,
    /// The server will take no more requests.
    leaving: bool,
    /// The error code by which it said so.
    farewell: Option<ErrorCode>,
    /// The number of requests may be made has changed.
    has_news: bool,
    end: Option<ConnectionEnd>,
}

/// Header compression in both directions.
#[derive(Debug)]
struct HeaderCodec {
    decoder: HpackDecoder,
    dictionary: Dictionary,
}

/// Flow control of the connection, and what new streams begin with.
#[derive(Clone, Copy, Debug)]
struct Windows {
    /// Bytes that we may send on the connection.
    connection: i64,
    /// Bytes that we may send on a new stream.
    stream: i64,
    /// Bytes received that were not given back to the connection's window.
    received: u32,
}

impl Windows {
    /// The windows before the server says otherwise (RFC 9113, section 6.9.2).
    const DEFAULT: Self = Self {
        connection: frame::WINDOW_DEFAULT as i64,
        stream: frame::WINDOW_DEFAULT as i64,
        received: 0,
    };
}

impl Streams {
    pub(super) fn new() -> Self {
        Self { frames: Frames::new(), earned: Nanos(0), state: ConnectionStreams::new() }
    }

    /// Begins with a new connection, on which this many requests at a time are wanted.
    pub(super) fn begin(&mut self, wanted: u32, head_only: bool) {
        self.frames.reset();
        self.state.begin(wanted, head_only);
    }

    /// Returns where another request could be made now; `None` if the server would not take it.
    pub(super) fn free_slot(&self) -> Option<u32> {
        self.state.free().map(|id| self.state.table.slot_of(id))
    }

    /// Makes a request in the place that is free, of an operation that began then.
    pub(super) fn request_since(&mut self, form: &RequestTemplate, now: Nanos, began: Nanos) {
        self.frames.earn(PER_REQUEST);
        self.state.request(form, now, began);
    }

    /// Returns the number of requests are under way, outcomes that were not taken included.
    pub(super) const fn open(&self) -> u32 {
        self.state.table.open
    }

    /// Returns whether the server takes more requests on this connection, sooner or later.
    pub(super) fn is_reusable(&self) -> bool {
        let ConnectionStreams { leaving, end, limit, .. } = self.state;
        !leaving && end.is_none() && self.state.table.next < frame::STREAM_MAX && limit != Some(0)
    }

    /// The place whose outcome is taken next.
    pub(super) fn completed_slot(&self) -> Option<u32> {
        self.state.due.front().copied()
    }

    /// Takes an outcome, and frees its place.
    pub(super) fn take(&mut self) -> Option<StreamOutcome> {
        let slot = self.state.due.pop_front()?;
        // Only slots of streams are due, so there is one.
        self.state.table.open -= 1;
        let stream = self.state.table.get_mut(slot)?;
        stream.id = 0;
        let since = |moment: Option<Nanos>| moment.map(|moment| moment - stream.sent);
        Some(StreamOutcome {
            slot,
            result: stream.result.take()?,
            first_byte: since(stream.first),
            last_byte: since(stream.last),
            moment: stream.active,
        })
    }

    /// Returns the number of requests at a time there may be, if that has changed since it was
    /// asked.
    pub(super) fn news(&mut self) -> Option<u32> {
        std::mem::take(&mut self.state.has_news).then(|| self.state.most())
    }

    /// The reason why no more will come, if that is so.
    pub(super) const fn end(&self) -> Option<ConnectionEnd> {
        self.state.end
    }

    /// The error code by which the server said that it leaves.
    pub(super) fn farewell(&self) -> Option<Reason> {
        self.state.farewell.map(Reason::ErrorCode)
    }

    /// No more will come.
    pub(super) fn finish(&mut self, end: ConnectionEnd) {
        self.state.end.get_or_insert(end);
    }

    /// Sets the time of what comes next.
    pub(super) fn set_now(&mut self, now: Nanos) {
        self.state.now = now;
        let seconds = (now - self.earned).0 / Nanos::from_millis(1_000).0;
        if seconds > 0 {
            let frames = seconds.saturating_mul(u64::from(PER_SECOND));
            self.frames.earn(u32::try_from(frames).unwrap_or(u32::MAX));
            self.earned = now;
        }
    }

    /// Returns the bytes that are to be sent, as far as the windows allow.
    pub(super) fn unsent(&mut self, body: &[u8]) -> &[u8] {
        let bytes = self.state.pump(body);
        self.frames.earn(bytes.div_ceil(BYTES_PER_FRAME) as u32);
        self.state.out.get(self.state.taken..).unwrap_or_default()
    }

    /// Returns whether there are requests of which nothing was sent.
    pub(super) fn has_unstamped(&self) -> bool {
        !self.state.unstamped.is_empty()
    }

    /// Requests that were made since the last time are sent now.
    pub(super) fn stamp(&mut self, now: Nanos) {
        for slot in self.state.unstamped.drain(..) {
            if let Some(stream) = self.state.table.get_mut(slot) {
                (stream.sent, stream.active) = (now, now);
            }
        }
    }

    /// Notes that bytes were sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.state.taken += bytes;
        if self.state.taken >= self.state.out.len() {
            self.state.out.clear();
            (self.state.taken, self.state.replies) = (0, 0);
        }
    }

    /// Says that we leave, and why.
    pub(super) fn say_goodbye(&mut self, code: u32) {
        frame::put_goaway(code, &mut self.state.out);
    }

    /// Gives up what has taken too long until its first byte, or as a whole; when to look again.
    pub(super) fn expire(&mut self, now: Nanos, timeout: Timeout) -> Option<Nanos> {
        self.state.expire(now, timeout)
    }
}

impl Sink for Streams {
    fn push(&mut self, mut input: &[u8]) -> Result<Option<ResponseSummary>, Failed> {
        while self.state.end.is_none() {
            match self.frames.next(&mut input) {
                Ok(None) => break,
                Ok(Some(piece)) => {
                    if let Err(fault) = self.state.receive(piece) {
                        self.state.end = Some(ConnectionEnd::Fault(fault));
                    }
                }
                Err(fault) => self.state.end = Some(ConnectionEnd::Fault(fault)),
            }
        }
        Ok(None)
    }
}

impl ConnectionStreams {
    fn new() -> Self {
        Self {
            codec: HeaderCodec { decoder: HpackDecoder::new(), dictionary: Dictionary::new() },
            out: Vec::new(),
            taken: 0,
            table: StreamTable::new(),
            wanted: 1,
            limit: None,
            head_only: false,
            due: VecDeque::new(),
            unstamped: Vec::new(),
            senders: VecDeque::new(),
            windows: Windows::DEFAULT,
            replies: 0,
            now: Nanos(0),
            leaving: false,
            farewell: None,
            has_news: false,
            end: None,
        }
    }

    fn begin(&mut self, wanted: u32, head_only: bool) {
        self.codec.decoder.reset();
        self.codec.dictionary = Dictionary::new();
        self.table.begin(wanted);
        (self.wanted, self.limit) = (wanted, None);
        self.head_only = head_only;
        self.due.clear();
        self.unstamped.clear();
        self.senders.clear();
        self.windows = Windows::DEFAULT;
        (self.replies, self.taken) = (0, 0);
        (self.leaving, self.farewell, self.has_news, self.end) = (false, None, false, None);
        self.out.clear();
        self.out.extend_from_slice(frame::PREFACE);
        let settings = [
            (frame::ENABLE_PUSH, 0),
            (frame::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (frame::MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX),
        ];
        frame::put_settings(&settings, &mut self.out);
        frame::put_window(0, CONNECTION_WINDOW - frame::WINDOW_DEFAULT, &mut self.out);
    }

    /// Requests at a time. The first goes out with the preface, the others when the server has said
    /// how many it takes.
    fn most(&self) -> u32 {
        self.limit.map_or(1, |limit| limit.min(self.wanted))
    }

    /// Returns the number of the next stream, if there may be one.
    fn free(&self) -> Option<u32> {
        if self.leaving || self.end.is_some() || self.table.open >= self.most() {
            return None;
        }
        self.table.free_id()
    }

    fn request(&mut self, form: &RequestTemplate, now: Nanos, began: Nanos) {
        let Some(id) = self.free() else { return };
        let slot = self.table.put(StreamSlot {
            id,
            began,
            sent: now,
            active: now,
            window: self.windows.stream,
            unsent: form.body.len(),
            ..StreamSlot::FREE
        });
        // Its time begins when its bytes leave, which may be after those of other requests.
        self.unstamped.push(slot);
        if !form.body.is_empty() {
            self.senders.push_back(slot);
        }
        form.put(id, &mut self.codec.dictionary, &mut self.out);
    }

    /// Writes of the bodies what the windows allow; how many bytes that are.
    fn pump(&mut self, body: &[u8]) -> usize {
        let mut bytes = 0;
        for _ in 0..self.senders.len() {
            let Some(slot) = self.senders.pop_front() else { return bytes };
            let Some(stream) = self.table.get_mut(slot) else { continue };
            while stream.id != 0 && stream.unsent > 0 && self.out.len() < OUT_ENOUGH {
                let window =
                    usize::try_from(stream.window.min(self.windows.connection)).unwrap_or_default();
                let length = stream.unsent.min(window).min(frame::PAYLOAD_MAX);
                let from = body.len().saturating_sub(stream.unsent);
                let Some(part) = body.get(from..from + length).filter(|part| !part.is_empty())
                else {
                    break;
                };
                stream.unsent -= length;
                stream.window -= length as i64;
                self.windows.connection -= length as i64;
                bytes += length;
                let flags = if stream.unsent == 0 { frame::END_STREAM } else { 0 };
                frame::put(frame::DATA, flags, stream.id, part, &mut self.out);
            }
            if stream.id != 0 && stream.unsent > 0 {
                self.senders.push_back(slot);
            }
        }
        bytes
    }

    fn expire(&mut self, now: Nanos, timeout: Timeout) -> Option<Nanos> {
        let mut next: Option<Nanos> = None;
        for slot in 0..self.table.len() {
            let Some(stream) = self.table.get(slot) else { break };
            if stream.id == 0 || stream.result.is_some() {
                continue;
            }
            let whole = stream.began + timeout.operation;
            let until = match stream.first {
                Some(_) => whole,
                None => whole.min(stream.sent + timeout.first_byte),
            };
            if until <= now {
                self.now = now;
                self.fail(slot, Failed::from(Failure::Timeout), Some(frame::CANCEL));
            } else {
                next = Some(next.map_or(until, |next| next.min(until)));
            }
        }
        next
    }

    /// Ends a stream without a response, and tells the server if it has to know.
    fn fail(&mut self, slot: u32, lost: impl Into<Lost>, code: Option<u32>) {
        let Some(stream) = self.table.get_mut(slot) else { return };
        if let Some(code) = code {
            frame::put_reset(stream.id, code, &mut self.out);
        }
        stream.unsent = 0;
        stream.active = self.now;
        stream.result = Some(Err(lost.into()));
        self.due.push_back(slot);
    }
}

/// The window of a stream: more than most responses have.
const STREAM_WINDOW: u32 = 1 << 24;
/// The window of a connection: 64 full streams at once without a pause.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// Bodies are cut into frames ahead of the socket up to this; four records of TLS.
const OUT_ENOUGH: usize = 64 * 1024;

#[cfg(test)]
mod tests;
