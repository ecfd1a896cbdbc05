//! Frames as they are written, and their headers as they are read (RFC 9113, section 4.1).

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of payload.
    pub(crate) length: usize,
    /// The type, one of those below or one that is skipped.
    pub(crate) kind: u8,
    /// Flags, whose meaning depends on the type.
    pub(crate) flags: u8,
    /// The stream, or 0 for the connection.
    pub(crate) stream: u32,
}

impl Header {
    pub(crate) const fn parse(bytes: [u8; HEADER]) -> Self {
        let [high, middle, low, kind, flags, a, b, c, d] = bytes;
        Self {
            length: u32::from_be_bytes([0, high, middle, low]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([a, b, c, d]) & STREAM_MAX,
        }
    }

    /// Returns whether it bears a flag.
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes the header of a frame whose payload, at most [`PAYLOAD_MAX`] long, follows.
pub(crate) fn put_header(length: usize, kind: u8, flags: u8, stream: u32, out: &mut Vec<u8>) {
    let [_, high, middle, low] = (length as u32).to_be_bytes();
    let [a, b, c, d] = stream.to_be_bytes();
    out.extend_from_slice(&[high, middle, low, kind, flags, a, b, c, d]);
}

/// Writes a frame.
pub(crate) fn put(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    put_header(payload.len(), kind, flags, stream, out);
    out.extend_from_slice(payload);
}

/// Writes SETTINGS.
pub(crate) fn put_settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    put_header(settings.len() * SETTING, SETTINGS, 0, 0, out);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Opens a window further, of a stream or of the connection (0).
pub(crate) fn put_window(stream: u32, more: u32, out: &mut Vec<u8>) {
    put(WINDOW_UPDATE, 0, stream, &more.to_be_bytes(), out);
}

/// Ends a stream.
pub(crate) fn put_reset(stream: u32, code: u32, out: &mut Vec<u8>) {
    put(RST_STREAM, 0, stream, &code.to_be_bytes(), out);
}

/// Ends the connection; the server has opened no stream that could be named.
pub(crate) fn put_goaway(code: u32, out: &mut Vec<u8>) {
    put_header(8, GOAWAY, 0, 0, out);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&code.to_be_bytes());
}

/// The client's connection preface.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const PRIORITY: u8 = 0x2;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PUSH_PROMISE: u8 = 0x5;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;

/// The flag of SETTINGS and PING.
pub(crate) const ACK: u8 = 0x1;
/// The flag of DATA and HEADERS.
pub(crate) const END_STREAM: u8 = 0x1;
/// The flag of HEADERS and CONTINUATION.
pub(crate) const END_HEADERS: u8 = 0x4;
/// The flag of DATA and HEADERS.
pub(crate) const PADDED: u8 = 0x8;
/// The flag of HEADERS: 5 bytes of what is no longer used stand before the block.
pub(crate) const WITH_PRIORITY: u8 = 0x20;

pub(crate) const HEADER_TABLE_SIZE: u16 = 0x1;
pub(crate) const ENABLE_PUSH: u16 = 0x2;
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 0x4;
pub(crate) const MAX_FRAME_SIZE: u16 = 0x5;
pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 0x6;

/// Error codes (RFC 9113, section 7) that streams end by.
pub(crate) const NO_ERROR: u32 = 0x0;
pub(crate) const PROTOCOL_ERROR: u32 = 0x1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 0x3;
pub(crate) const REFUSED_STREAM: u32 = 0x7;
pub(crate) const CANCEL: u32 = 0x8;

/// Bytes of a frame's header.
pub(crate) const HEADER: usize = 9;
/// Bytes of one setting.
pub(crate) const SETTING: usize = 6;
/// The payload that every endpoint takes, and all that we take (SETTINGS_MAX_FRAME_SIZE).
pub(crate) const PAYLOAD_MAX: usize = 16_384;
/// The largest stream, and the largest window: 31 bits.
pub(crate) const STREAM_MAX: u32 = 0x7fff_ffff;
/// Windows of both sides before anybody says otherwise.
pub(crate) const WINDOW_DEFAULT: u32 = 65_535;
