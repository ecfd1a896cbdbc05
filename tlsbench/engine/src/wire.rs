//! The client's side of HTTP/1.1 and HTTP/2: requests rendered once, responses read without
//! allocating.
//!
//! Nothing here knows sockets or time. A response is read from pieces as they come, and where they
//! were cut makes no difference.

use tlsbench_core::scenario::{Protocol, Request, Scheme, Target};
use tlsbench_core::tally::{Failed, Failure, Reason};

mod request_template;
mod response;
#[cfg(test)]
pub(crate) mod doubling;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

pub(crate) use request_template::{Dictionary, RequestTemplate};
pub use response::{Malformed, ResponseReader, ResponseSummary};

/// A request as bytes, ready to be sent any number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub(crate) bytes: RequestBytes,
    /// True if the method is HEAD, whose response has no body.
    pub head: bool,
    /// True if sending it twice does what sending it once does (RFC 9110, section 9.2.2).
    pub(crate) idempotent: bool,
    expect_status: Option<u16>,
    expect_bytes: Option<u64>,
}

/// The bytes of a request, in the protocol that it is sent by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestBytes {
    Http1 {
        /// The request while the connection goes on.
        keep: Box<[u8]>,
        /// The last of a connection that the server shall close.
        last: Box<[u8]>,
    },
    Http2 {
        form: Box<RequestTemplate>,
        /// Requests at a time on a connection, as the scenario has it.
        streams: u32,
    },
}

/// The fault of a complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unexpected {
    /// The status.
    Status,
    /// The length.
    Length,
}

impl From<Unexpected> for Failure {
    fn from(unexpected: Unexpected) -> Self {
        match unexpected {
            Unexpected::Length => Self::Length,
            Unexpected::Status => Self::Status,
        }
    }
}

impl Rendered {
    /// Renders a request to a target.
    #[must_use]
    pub fn new(request: &Request, target: &Target) -> Self {
        let bytes = match request.protocol {
            Protocol::Http1 => RequestBytes::Http1 {
                keep: render(request, target, false),
                last: render(request, target, true),
            },
            Protocol::Http2 { streams } => RequestBytes::Http2 {
                form: Box::new(RequestTemplate::new(request, target, &host(target), AGENT)),
                streams: streams.get(),
            },
        };
        Self {
            bytes,
            head: request.method == "HEAD",
            idempotent: IDEMPOTENT.contains(&request.method.as_str()),
            expect_status: request.expect_status,
            expect_bytes: request.expect_bytes,
        }
    }

    /// Requests at a time on a connection, by HTTP/2; `None` by HTTP/1.1.
    #[must_use]
    pub(crate) fn streams(&self) -> Option<u32> {
        match self.bytes {
            RequestBytes::Http1 { .. } => None,
            RequestBytes::Http2 { streams, .. } => Some(streams),
        }
    }

    /// Returns whether a response counts as success.
    ///
    /// # Errors
    /// Fails when its status or its length is another than the request expects.
    pub fn judge(&self, answer: &ResponseSummary) -> Result<(), Unexpected> {
        let status = match self.expect_status {
            Some(expected) => answer.status == expected,
            None => (200..400).contains(&answer.status),
        };
        if !status {
            return Err(Unexpected::Status);
        }
        if self.expect_bytes.is_some_and(|expected| answer.body_bytes != expected) {
            return Err(Unexpected::Length);
        }
        Ok(())
    }
}

impl Rendered {
    /// The status of a response that counts as success.
    ///
    /// # Errors
    /// As [`Rendered::judge`], with the status.
    pub(crate) fn outcome(&self, answer: &ResponseSummary) -> Result<u16, Failed> {
        let status = answer.status;
        let failed = |unexpected| Failed::new(Failure::from(unexpected), Reason::Status(status));
        self.judge(answer).map(|()| status).map_err(failed)
    }
}

fn render(request: &Request, target: &Target, last: bool) -> Box<[u8]> {
    // Rendered once for all requests: formatting a head per request would be measured as the
    // generator's own cost.
    let mut text =
        format!("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, target.path, host(target));
    let has =
        |name: &str| request.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if !has("user-agent") {
        text.push_str(&format!("User-Agent: {AGENT}\r\n"));
    }
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !request.body.is_empty() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") {
        text.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
    }
    if last {
        text.push_str("Connection: close\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes.into_boxed_slice()
}

/// The Host header: an IPv6 address in brackets, and the port unless it is the scheme's own.
fn host(target: &Target) -> String {
    let bare = target.bare_host().trim_start_matches('[').trim_end_matches(']');
    let host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
    match (target.scheme, target.port) {
        (Scheme::Http, 80) | (Scheme::Https, 443) => host,
        (_, port) => format!("{host}:{port}"),
    }
}

const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
const AGENT: &str = concat!("tlsbench/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use tlsbench_core::scenario::Protocol;

    use super::*;

    fn target(host: &str, port: u16) -> Target {
        Target {
            name: "t".to_owned(),
            scheme: Scheme::Https,
            host: host.to_owned(),
            port,
            path: "/a?b=c".to_owned(),
            sni: None,
            connect_to: vec![],
        }
    }

    fn request(method: &str) -> Request {
        Request {
            protocol: Protocol::Http1,
            method: method.to_owned(),
            headers: vec![("Accept".to_owned(), "*/*".to_owned())],
            body: vec![],
            expect_status: None,
            expect_bytes: None,
        }
    }

    /// The request, and the last one of a connection.
    fn texts(rendered: &Rendered) -> (String, String) {
        let RequestBytes::Http1 { keep, last } = &rendered.bytes else { panic!("{rendered:?}") };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(keep), text(last))
    }

    #[test]
    fn a_request_says_who_it_is_for_and_who_it_is_from() {
        let rendered = Rendered::new(&request("GET"), &target("example.test", 443));
        let agent = format!("User-Agent: tlsbench/{}", env!("CARGO_PKG_VERSION"));
        let begin =
            format!("GET /a?b=c HTTP/1.1\r\nHost: example.test\r\n{agent}\r\nAccept: */*\r\n");
        let (keep, last) = texts(&rendered);
        assert_eq!(keep, format!("{begin}\r\n"));
        assert_eq!(last, format!("{begin}Connection: close\r\n\r\n"));
    }

    #[test]
    fn a_body_is_announced_by_its_length() {
        let mut post = request("POST");
        post.body = b"hello".to_vec();
        let rendered = Rendered::new(&post, &target("::1", 8443));
        assert!(texts(&rendered).0.contains("Host: [::1]:8443\r\n"));
        assert!(texts(&rendered).0.ends_with("Content-Length: 5\r\n\r\nhello"));
        let zoned = Rendered::new(&post, &target("fe80::1%eth0", 443));
        assert!(texts(&zoned).0.contains("Host: [fe80::1]\r\n"));
        let empty = Rendered::new(&request("PUT"), &target("h", 1));
        assert!(texts(&empty).0.ends_with("Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn a_user_agent_of_the_users_replaces_ours() {
        let mut own = request("GET");
        own.headers = vec![("user-agent".to_owned(), "other".to_owned())];
        let sent = texts(&Rendered::new(&own, &target("h", 1))).0;
        assert_eq!(sent.to_lowercase().matches("user-agent").count(), 1);
    }

    #[test]
    fn success_is_a_status_below_400_unless_one_is_named() {
        let answer = |status, body_bytes| ResponseSummary { status, body_bytes, reusable: true };
        let mut named = request("GET");
        let any = Rendered::new(&named, &target("h", 1));
        named.expect_status = Some(404);
        named.expect_bytes = Some(3);
        let named = Rendered::new(&named, &target("h", 1));
        assert_eq!(any.judge(&answer(200, 0)), Ok(()));
        assert_eq!(any.judge(&answer(399, 0)), Ok(()));
        assert_eq!(any.judge(&answer(404, 0)), Err(Unexpected::Status));
        assert_eq!(named.judge(&answer(200, 3)), Err(Unexpected::Status));
        assert_eq!(named.judge(&answer(404, 2)), Err(Unexpected::Length));
        assert_eq!(named.judge(&answer(404, 3)), Ok(()));
    }
}
