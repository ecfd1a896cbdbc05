//! Requests that can be sent as they stand: no header is smuggled in by another's value.

use std::num::NonZeroU32;

use crate::problem::Problems;
use crate::words::words;

/// A request over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The protocol.
    pub protocol: Protocol,
    /// The method, such as `GET`.
    pub method: String,
    /// Headers besides Host, User-Agent, Content-Length and Connection, in order.
    pub headers: Vec<(String, String)>,
    /// The body, which may be empty.
    pub body: Vec<u8>,
    /// The status that counts as success; `None` means any from 200 to 399.
    pub expect_status: Option<u16>,
    /// The length of body that counts as success, in bytes.
    pub expect_bytes: Option<u64>,
}

/// The protocol of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, one request at a time on a connection.
    Http1,
    /// HTTP/2 with several requests at a time on a connection.
    Http2 {
        /// Concurrent streams.
        streams: NonZeroU32,
    },
}

/// The protocol of requests, as files and flags name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolName {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

words!(ProtocolName { Http1 = "http/1.1", Http2 = "h2" });

/// Finds what keeps a request from being sent as it stands.
pub(super) fn check(request: &Request, problems: &mut Problems) {
    if !is_token(&request.method) || request.method == "CONNECT" {
        let cure = "write a method such as `GET` or `POST`";
        problems.add("request.method", format!("{:?} is no method", request.method), cure);
    }
    for (name, value) in &request.headers {
        header(name, value, request.protocol, problems);
    }
    let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let over = bytes > HEADERS_BYTES_MAX;
    let cure = "servers refuse that many; send a body";
    problems.when(over, "request.headers", "more than 64 KiB of headers", cure);
    let over = request.body.len() > BODY_BYTES_MAX;
    let cure = "a body of this size measures the network alike";
    problems.when(over, "request.body", "more than 16 MiB of body", cure);
    if request.expect_status.is_some_and(|status| !(200..600).contains(&status)) {
        let cure = "write a final status, 200 to 599";
        problems.add("request.expect_status", "no status that ends a response", cure);
    }
    let is_bodyless = request.method == "HEAD" && request.expect_bytes.is_some_and(|n| n > 0);
    let seen = "bytes of body expected from HEAD";
    problems.when(is_bodyless, "request.expect_bytes", seen, "expect 0, or send a GET");
}

fn header(name: &str, value: &str, protocol: Protocol, problems: &mut Problems) {
    let key = "request.headers";
    if !is_token(name) {
        let cure = "write letters, digits and hyphens";
        // Behind that it may be a value that lost its name.
        let until = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(0);
        let begin = name.get(..until).unwrap_or_default();
        problems.add(key, format!("{begin:?} and what follows is no name of a header"), cure);
    }
    // RFC 9110, section 5.5: visible characters, spaces and tabs within.
    // A line break in a value would begin a header of its own (request smuggling).
    let is_odd = |c: char| c != '\t' && (c.is_control() || !c.is_ascii());
    if value.chars().any(is_odd) || value.trim() != value {
        let cure = "write ASCII in one line, without spaces around it";
        problems.add(key, format!("a value of `{name}` that cannot be sent"), cure);
    }
    let lower = name.to_ascii_lowercase();
    let cure = match lower.as_str() {
        "host" => "name the host in `target.url`, and its address in `target.connect_to`",
        "user-agent" => "leave it: servers shall see who loads them",
        "content-length" => "leave it: it is the body's length",
        "connection" | "keep-alive" => "choose with `close` and `load.keep`",
        "transfer-encoding" | "upgrade" | "expect" | "te" | "trailer" => "drop it",
        "proxy-connection" | "http2-settings" if matches!(protocol, Protocol::Http2 { .. }) => {
            "drop it"
        }
        _ => return,
    };
    problems.add(key, format!("`{name}`, which tlsbench sets or cannot send"), cure);
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(is_tchar)
}

const HEADERS_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = 16 << 20;
