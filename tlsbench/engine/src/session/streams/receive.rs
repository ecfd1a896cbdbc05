//! Frames of the server, applied to the connection's streams.

use tlsbench_core::tally::{Detail, ErrorCode, Failed, Failure, Reason};

use super::table::StreamSlot;
use super::{CONNECTION_WINDOW, ConnectionStreams, Lost, STREAM_WINDOW};
use crate::http2::frame::{self, Header};
use crate::http2::{Fault, FramePiece};
use crate::wire::ResponseSummary;

impl ConnectionStreams {
    pub(super) fn receive(&mut self, piece: FramePiece<'_>) -> Result<(), Fault> {
        match piece {
            FramePiece::Block { stream, end, block } => self.on_block(stream, end, block),
            FramePiece::Data { stream, data, flow, end } => self.on_data(stream, data, flow, end),
            FramePiece::Frame(header, payload) => match header.kind {
                frame::SETTINGS => self.on_settings(header, payload),
                frame::WINDOW_UPDATE => self.on_window(header, payload),
                frame::PING => self.on_ping(header, payload),
                frame::GOAWAY => self.on_goaway(header, payload),
                frame::RST_STREAM => self.on_reset(header, payload),
                frame::PRIORITY if header.stream == 0 => Err(Fault::Protocol),
                frame::PRIORITY if header.length != 5 => Err(Fault::FrameSize),
                // We said that we take none.
                frame::PUSH_PROMISE => Err(Fault::Protocol),
                _ => Ok(()),
            },
        }
    }

    /// The place of a stream that is under way; `None` if it is over.
    fn find(&self, id: u32) -> Result<Option<u32>, Fault> {
        if id.is_multiple_of(2) || id >= self.table.next {
            return Err(Fault::Protocol);
        }
        let slot = self.table.slot_of(id);
        let stream = self.table.get(slot);
        Ok(stream.is_some_and(|it| it.id == id && it.result.is_none()).then_some(slot))
    }

    fn on_block(&mut self, id: u32, end: bool, block: &[u8]) -> Result<(), Fault> {
        // The table has to stay in step whatever becomes of the stream.
        let head = self.codec.decoder.decode(block)?;
        let Some(slot) = self.find(id)? else { return Ok(()) };
        let Some(stream) = self.table.get_mut(slot) else { return Ok(()) };
        stream.active = self.now;
        stream.first.get_or_insert(self.now);
        let is_good = match (stream.status, head.status) {
            _ if head.malformed => false,
            (0, Some(100 | 102..=199)) if !end => return Ok(()),
            // 101 is no answer of HTTP/2 (RFC 9113, section 8.6), and none of these ends a stream.
            (0, Some(100..=199) | None) => false,
            (0, Some(status)) => {
                stream.status = status;
                stream.length = head.length;
                true
            }
            // Trailers have no status and end the stream.
            (_, status) => status.is_none() && end,
        };
        if !is_good {
            self.malformed(slot, Detail::Header, frame::PROTOCOL_ERROR);
        } else if end {
            self.complete(slot);
        }
        Ok(())
    }

    fn on_data(&mut self, id: u32, data: u32, flow: u32, end: bool) -> Result<(), Fault> {
        self.windows.received = self.windows.received.saturating_add(flow);
        if self.windows.received > CONNECTION_WINDOW {
            return Err(Fault::FlowControl);
        }
        if self.windows.received > CONNECTION_WINDOW / 2 {
            frame::put_window(0, self.windows.received, &mut self.out);
            self.windows.received = 0;
        }
        let Some(slot) = self.find(id)? else { return Ok(()) };
        let Some(stream) = self.table.get_mut(slot) else { return Ok(()) };
        stream.active = self.now;
        stream.body += u64::from(data);
        stream.received = stream.received.saturating_add(flow);
        if stream.received > STREAM_WINDOW {
            return Err(Fault::FlowControl);
        }
        if stream.received > STREAM_WINDOW / 2 && !end {
            frame::put_window(id, stream.received, &mut self.out);
            stream.received = 0;
        }
        let is_bodiless = self.head_only || matches!(stream.status, 204 | 304);
        if stream.status == 0 {
            self.malformed(slot, Detail::BodyWithoutHead, frame::PROTOCOL_ERROR);
        } else if is_bodiless && data > 0 {
            self.malformed(slot, Detail::BodyNotAllowed, frame::PROTOCOL_ERROR);
        } else if end {
            self.complete(slot);
        }
        Ok(())
    }

    /// A response that is none: the server hears of it, and the connection goes on.
    fn malformed(&mut self, slot: u32, detail: Detail, code: u32) {
        self.fail(slot, Failed::of(Failure::ResponseMalformed, detail), Some(code));
    }

    /// The server has said all of a response.
    fn complete(&mut self, slot: u32) {
        let Some(stream) = self.table.get_mut(slot) else { return };
        let is_bodiless = self.head_only || matches!(stream.status, 204 | 304);
        if !is_bodiless && stream.length.is_some_and(|length| length != stream.body) {
            self.malformed(slot, Detail::ContentLength, frame::PROTOCOL_ERROR);
            return;
        }
        if stream.unsent > 0 {
            // It did not want the rest of the request.
            stream.unsent = 0;
            frame::put_reset(stream.id, frame::NO_ERROR, &mut self.out);
        }
        stream.last = Some(self.now);
        let (status, body_bytes) = (stream.status, stream.body);
        stream.result = Some(Ok(ResponseSummary { status, body_bytes, reusable: true }));
        self.due.push_back(slot);
    }

    fn on_settings(&mut self, header: Header, payload: &[u8]) -> Result<(), Fault> {
        let is_ack = header.has(frame::ACK);
        if header.stream != 0 {
            return Err(Fault::Protocol);
        }
        let (settings, rest) = payload.as_chunks::<{ frame::SETTING }>();
        if !rest.is_empty() || (is_ack && !payload.is_empty()) {
            return Err(Fault::FrameSize);
        }
        // Our settings take effect when they are sent, because none of them takes anything back.
        if is_ack {
            return Ok(());
        }
        let before = self.limit;
        for &[a, b, c, d, e, f] in settings {
            self.set(u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))?;
        }
        // A server that says nothing of it sets no limit.
        self.limit.get_or_insert(u32::MAX);
        self.has_news |= self.limit != before;
        frame::put(frame::SETTINGS, frame::ACK, 0, &[], &mut self.out);
        self.reply()
    }

    fn set(&mut self, name: u16, value: u32) -> Result<(), Fault> {
        match name {
            frame::HEADER_TABLE_SIZE => self.codec.dictionary.resize(value as usize),
            frame::ENABLE_PUSH if value != 0 => return Err(Fault::Protocol),
            frame::MAX_CONCURRENT_STREAMS => self.limit = Some(value),
            frame::INITIAL_WINDOW_SIZE => {
                if value > frame::STREAM_MAX {
                    return Err(Fault::FlowControl);
                }
                let more = i64::from(value) - self.windows.stream;
                self.windows.stream = i64::from(value);
                let under_way =
                    |stream: &&mut StreamSlot| stream.id != 0 && stream.result.is_none();
                for stream in self.table.iter_mut().filter(under_way) {
                    stream.window += more;
                    if stream.window > i64::from(frame::STREAM_MAX) {
                        return Err(Fault::FlowControl);
                    }
                }
            }
            // Longer frames than everybody takes would gain nothing, so only the bounds matter.
            frame::MAX_FRAME_SIZE if !(frame::PAYLOAD_MAX..1 << 24).contains(&(value as usize)) => {
                return Err(Fault::Protocol);
            }
            _ => {}
        }
        Ok(())
    }

    fn on_window(&mut self, header: Header, payload: &[u8]) -> Result<(), Fault> {
        let more = i64::from(number(payload)? & frame::STREAM_MAX);
        let most = i64::from(frame::STREAM_MAX);
        if header.stream == 0 {
            self.windows.connection += more;
            return match self.windows.connection > most {
                _ if more == 0 => Err(Fault::Protocol),
                true => Err(Fault::FlowControl),
                false => Ok(()),
            };
        }
        let Some(slot) = self.find(header.stream)? else { return Ok(()) };
        let Some(stream) = self.table.get_mut(slot) else { return Ok(()) };
        stream.window += more;
        if more == 0 {
            self.malformed(slot, Detail::Protocol, frame::PROTOCOL_ERROR);
        } else if stream.window > most {
            self.malformed(slot, Detail::FlowControl, frame::FLOW_CONTROL_ERROR);
        }
        Ok(())
    }

    fn on_ping(&mut self, header: Header, payload: &[u8]) -> Result<(), Fault> {
        if header.stream != 0 {
            return Err(Fault::Protocol);
        }
        if payload.len() != PING {
            return Err(Fault::FrameSize);
        }
        if header.has(frame::ACK) {
            return Ok(());
        }
        frame::put(frame::PING, frame::ACK, 0, payload, &mut self.out);
        self.reply()
    }

    fn on_goaway(&mut self, header: Header, payload: &[u8]) -> Result<(), Fault> {
        if header.stream != 0 {
            return Err(Fault::Protocol);
        }
        let (last, rest) = payload.split_at_checked(4).ok_or(Fault::FrameSize)?;
        if rest.len() < 4 {
            return Err(Fault::FrameSize);
        }
        let last = number(last)? & frame::STREAM_MAX;
        let code = rest.get(..4).map(number).transpose()?.unwrap_or_default();
        let code = ErrorCode::from_wire(code);
        (self.leaving, self.farewell) = (true, Some(code));
        let failed = Failed::new(Failure::StreamRefused, Reason::ErrorCode(code));
        let lost = Lost::Untaken { failed, progressed: last > 0 };
        for slot in 0..self.table.len() {
            let stream = self.table.get(slot);
            if stream.is_some_and(|it| it.id > last && it.result.is_none()) {
                self.fail(slot, lost, None);
            }
        }
        Ok(())
    }

    fn on_reset(&mut self, header: Header, payload: &[u8]) -> Result<(), Fault> {
        let code = number(payload)?;
        let Some(slot) = self.find(header.stream)? else { return Ok(()) };
        let reason = Reason::ErrorCode(ErrorCode::from_wire(code));
        let lost = match code {
            frame::REFUSED_STREAM => {
                let failed = Failed::new(Failure::StreamRefused, reason);
                Lost::Untaken { failed, progressed: false }
            }
            _ => Lost::Failed(Failed::new(Failure::StreamReset, reason)),
        };
        self.fail(slot, lost, None);
        Ok(())
    }

    /// Counts an answer that the server asked for: one that never reads them could ask for ever.
    fn reply(&mut self) -> Result<(), Fault> {
        self.replies += 1;
        if self.replies > REPLIES_MAX { Err(Fault::Excess) } else { Ok(()) }
    }
}

fn number(payload: &[u8]) -> Result<u32, Fault> {
    payload.try_into().map(u32::from_be_bytes).map_err(|_| Fault::FrameSize)
}

/// Bytes of a PING.
const PING: usize = 8;
/// Each has at most 17 bytes: 170 KB.
const REPLIES_MAX: u32 = 10_000;
