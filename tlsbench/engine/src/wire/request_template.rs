//! Requests: header blocks rendered once, and what the server's table makes of them.
//!
//! A browser's first request puts its fields into the server's table and those after it name them
//! there, a byte each. So does ours.

use tlsbench_core::scenario::{Request, Scheme, Target};

use crate::http2::{Indexing, dynamic, frame, put_field, put_indexed, put_table_size};

/// A request as it is sent over HTTP/2, any number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestTemplate {
    /// The header block that puts its fields into the server's table.
    first: Box<[u8]>,
    /// The one that names them there.
    again: Box<[u8]>,
    /// The one that does without the table.
    plain: Box<[u8]>,
    /// Bytes of the server's table that its fields take.
    kept: usize,
    /// The body.
    pub(crate) body: Box<[u8]>,
}

impl RequestTemplate {
    /// Renders a request to a target; `authority` is what HTTP/1.1 calls Host.
    pub(crate) fn new(request: &Request, target: &Target, authority: &str, agent: &str) -> Self {
        let scheme = match target.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let (method, path) = (request.method.as_str(), target.path.as_str());
        let pseudo =
            [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)];
        let mut fields: Vec<(String, String)> =
            pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let headers = &request.headers;
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            fields.push(("user-agent".to_owned(), agent.to_owned()));
        }
        // Names are lower case (RFC 9113, section 8.2).
        fields
            .extend(headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
        if !request.body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            fields.push(("content-length".to_owned(), request.body.len().to_string()));
        }
        Self { body: request.body.clone().into_boxed_slice(), ..Self::render(&fields) }
    }

    fn render(fields: &[(String, String)]) -> Self {
        let (mut first, mut plain) = (Vec::new(), Vec::new());
        let (mut kept, mut count) = (0, 0);
        // For each field: its place among those kept, or nothing and how it is written each time.
        let mut places = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let mut indexing = indexing(name);
            let size = name.len() + value.len() + FIELD_OVERHEAD;
            if indexing == Indexing::Kept && kept + size > TABLE_DEFAULT {
                indexing = Indexing::None;
            }
            let is_kept = put_field(name, value, indexing, &mut first).is_some();
            places.push(is_kept.then_some(count));
            if is_kept {
                kept += size;
                count += 1;
            }
            let without = if indexing == Indexing::Never { indexing } else { Indexing::None };
            put_field(name, value, without, &mut plain);
        }
        let mut again = Vec::new();
        for (place, (name, value)) in places.into_iter().zip(fields) {
            match place {
                // The last that was put there is the first.
                Some(place) => put_indexed(dynamic(count - 1 - place), &mut again),
                None => {
                    let indexing = match indexing(name) {
                        Indexing::Kept => Indexing::None,
                        other => other,
                    };
                    put_field(name, value, indexing, &mut again);
                }
            }
        }
        Self {
            first: first.into(),
            again: again.into(),
            plain: plain.into(),
            kept,
            body: Box::default(),
        }
    }

    /// Writes the request's HEADERS, and CONTINUATION where they are long.
    pub(crate) fn put(&self, stream: u32, dictionary: &mut Dictionary, out: &mut Vec<u8>) {
        let end = if self.body.is_empty() { frame::END_STREAM } else { 0 };
        // A table size update is allowed only at the beginning of the next block (RFC 7541, section
        // 4.2).
        let size = dictionary.changed.take();
        let block = match dictionary.state {
            TableState::Empty if self.kept <= dictionary.limit => {
                dictionary.state = TableState::Filled;
                &self.first
            }
            TableState::Filled if self.kept <= dictionary.limit => &self.again,
            TableState::Empty | TableState::Filled | TableState::Lost => {
                dictionary.state = TableState::Lost;
                &self.plain
            }
        };
        if block.len() < frame::PAYLOAD_MAX && size.is_none() {
            let flags = end | frame::END_HEADERS;
            frame::put(frame::HEADERS, flags, stream, block, out);
            return;
        }
        let mut all = Vec::with_capacity(block.len() + 8);
        if let Some(size) = size {
            put_table_size(size, &mut all);
        }
        all.extend_from_slice(block);
        let mut parts = all.chunks(frame::PAYLOAD_MAX).peekable();
        let (mut kind, mut flags) = (frame::HEADERS, end);
        while let Some(part) = parts.next() {
            let whole = if parts.peek().is_none() { frame::END_HEADERS } else { 0 };
            frame::put(kind, flags | whole, stream, part, out);
            (kind, flags) = (frame::CONTINUATION, 0);
        }
    }
}

/// The state of the server's table with respect to our request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dictionary {
    state: TableState,
    /// The smallest size that the server ever gave its table.
    limit: usize,
    /// A smaller size that the next block has to begin with (RFC 7541, section 4.2).
    changed: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TableState {
    Empty,
    Filled,
    /// Unknown, and not used any more.
    Lost,
}

impl Dictionary {
    pub(crate) const fn new() -> Self {
        Self { state: TableState::Empty, limit: TABLE_DEFAULT, changed: None }
    }

    /// The server says how large its table may be; we make no use of a larger one.
    pub(crate) fn resize(&mut self, size: usize) {
        if size < self.limit {
            self.limit = size;
            self.changed = Some(size);
        }
    }
}

/// Credentials are no one's to keep on the way, as browsers have it.
fn indexing(name: &str) -> Indexing {
    match name {
        "authorization" | "proxy-authorization" => Indexing::Never,
        _ => Indexing::Kept,
    }
}

/// The size of the server's table before it says otherwise (SETTINGS_HEADER_TABLE_SIZE).
const TABLE_DEFAULT: usize = 4_096;
/// Bytes that a field counts besides its texts (RFC 7541, section 4.1).
const FIELD_OVERHEAD: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::{FramePiece, Frames, HpackDecoder};

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    const GET: &[(&str, &str)] = &[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "www.example.com"),
        (":path", "/a"),
        ("user-agent", "x"),
        ("authorization", "secret"),
    ];

    /// The blocks that this many requests are sent with, read back.
    fn sent(form: &RequestTemplate, dictionary: &mut Dictionary, requests: u32) -> Vec<Vec<u8>> {
        let (mut out, mut frames) = (Vec::new(), Frames::new());
        frame::put_settings(&[], &mut out);
        for stream in 0..requests {
            form.put(2 * stream + 1, dictionary, &mut out);
        }
        let mut input = out.as_slice();
        let mut blocks = Vec::new();
        while let Some(piece) = frames.next(&mut input).unwrap() {
            if let FramePiece::Block { block, end, .. } = piece {
                assert_eq!(end, form.body.is_empty());
                blocks.push(block.to_vec());
            }
        }
        blocks
    }

    #[test]
    fn the_first_request_fills_the_table_and_the_others_name_what_is_there() {
        let form = RequestTemplate::render(&fields(GET));
        let blocks = sent(&form, &mut Dictionary::new(), 3);
        let secret = [&b"\x1f\x08\x84"[..], &[0x41, 0x49, 0x61, 0x53]].concat();
        assert_eq!(blocks[1], [&b"\x82\x87\xc0\xbf\xbe"[..], &secret].concat());
        assert_eq!(blocks[2], blocks[1]);
        // As a decoder of ours sees it: the table is the same after each.
        let mut decoder = HpackDecoder::new();
        for block in &blocks {
            decoder.decode(block).unwrap();
        }
        let kept = |name: &str, value: &str| name.len() + value.len() + 32;
        let sum =
            kept(":authority", "www.example.com") + kept(":path", "/a") + kept("user-agent", "x");
        assert_eq!(form.kept, sum);
    }

    #[test]
    fn a_smaller_table_is_acknowledged_and_used_only_if_all_fits() {
        let form = RequestTemplate::render(&fields(GET));
        let mut dictionary = Dictionary::new();
        let filled = sent(&form, &mut dictionary, 2);
        dictionary.resize(form.kept);
        dictionary.resize(8_192);
        let smaller = sent(&form, &mut dictionary, 2);
        let update = [&[0x3f, (form.kept - 31) as u8][..], &filled[1]];
        assert_eq!(smaller[0], update.concat());
        assert_eq!(smaller[1], filled[1]);
        dictionary.resize(form.kept - 1);
        dictionary.resize(0);
        let none = sent(&form, &mut dictionary, 2);
        assert_eq!((none[0][0], &none[0][1..]), (0x20, &*form.plain));
        assert_eq!(none[1], *form.plain);
        let mut decoder = HpackDecoder::new();
        for block in filled.iter().chain(&smaller).chain(&none) {
            decoder.decode(block).unwrap();
        }
    }

    #[test]
    fn fields_beyond_the_table_are_written_each_time_and_long_blocks_in_several_frames() {
        let long = "x;".repeat(2_030);
        let huge = "?".repeat(40_000);
        let form = RequestTemplate::render(&fields(&[
            (":method", "GET"),
            ("a", &long),
            ("b", "kept or not"),
            ("c", &huge),
        ]));
        assert_eq!(form.kept, 1 + long.len() + 32);
        let blocks = sent(&form, &mut Dictionary::new(), 2);
        assert_eq!(blocks.len(), 2);
        assert!(blocks[1].len() > 40_000 && blocks[0].len() > blocks[1].len() + 3_000);
        let mut decoder = HpackDecoder::new();
        for block in &blocks {
            decoder.decode(block).unwrap();
        }
    }
}
