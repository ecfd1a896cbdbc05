//! Heads of HTTP/1.1, read strictly: what two readers could take for two things is refused.
//!
//! httparse splits heads into fields; what may not be together is decided here (RFC 9112, sections
//! 2.2, 3.2, 5.1, 6.1 and 6.3).

use std::mem::MaybeUninit;

use httparse::{Error, Header, ParserConfig, Request, Response, Status};
use thiserror::Error as ThisError;

use crate::http1::{FIELDS_MAX, FieldKind, Framing, HEAD_MAX, is_host, options};

/// The facts that a request's head states about itself and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hop) struct RequestFacts {
    /// The head's length.
    pub(in crate::hop) bytes: usize,
    /// The framing of its body.
    pub(in crate::hop) framing: Framing,
    /// True if the response has no body, whatever its head says.
    pub(in crate::hop) is_head: bool,
    /// True if it may be sent twice (RFC 9110, section 9.2.2).
    pub(in crate::hop) is_idempotent: bool,
    /// True if it is of HTTP/1.0, which knows no chunks.
    pub(in crate::hop) is_old: bool,
    /// True if the client wants the connection to be kept.
    pub(in crate::hop) keeps: bool,
    /// True if the client waits for a 100 before it sends the body.
    pub(in crate::hop) expects: bool,
}

/// The facts that a response's head states about itself and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hop) struct ResponseFacts {
    /// The head's length.
    pub(in crate::hop) bytes: usize,
    /// The status.
    pub(in crate::hop) status: u16,
    /// The framing of its body.
    pub(in crate::hop) framing: Framing,
    /// True if the connection can carry another request afterwards.
    pub(in crate::hop) keeps: bool,
}

/// The reason why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub(in crate::hop) enum BadHead {
    /// The head is ambiguous or not HTTP.
    #[error("the head is malformed")]
    Malformed,
    /// The head has more bytes or fields than it may have.
    #[error("the head has more than {HEAD_MAX} bytes or {FIELDS_MAX} fields")]
    TooLong,
    /// The head asks for a transfer coding or a method that we do not have.
    #[error("an unknown transfer coding, or CONNECT")]
    Unknown,
    /// The head is of another version.
    #[error("another version than HTTP/1.0 and 1.1")]
    Version,
}

/// Reads a request's head and hands its fields on; `None` while it is not whole.
///
/// # Errors
/// Fails when it is refused.
pub(in crate::hop) fn request<T>(
    bytes: &[u8],
    then: impl FnOnce(&Request<'_, '_>, &RequestFacts) -> Result<T, BadHead>,
) -> Result<Option<(RequestFacts, T)>, BadHead> {
    // Uninitialized, because clearing 100 fields takes longer than parsing a usual head does.
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, &mut fields);
    if let Err(Error::Version) = parsed
        && let Some(version) = newer(bytes, request_version)?
    {
        return match version {
            NewerVersion::As1(bytes) => self::request(&bytes, then),
            NewerVersion::Unfinished => Ok(None),
        };
    }
    let Some(length) = whole(bytes, parsed)? else { return Ok(None) };
    let facts = request_facts(&request, length)?;
    let then = then(&request, &facts)?;
    Ok(Some((facts, then)))
}

/// Reads a response's head and hands its fields on; `None` while it is not whole.
///
/// # Errors
/// Fails when it is refused.
pub(in crate::hop) fn response<T>(
    bytes: &[u8],
    to_head: bool,
    then: impl FnOnce(&Response<'_, '_>, &ResponseFacts) -> T,
) -> Result<Option<(ResponseFacts, T)>, BadHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut fields,
    );
    if let Err(Error::Version) = parsed
        && let Some(version) = newer(bytes, |_| Some(0))?
    {
        return match version {
            NewerVersion::As1(bytes) => self::response(&bytes, to_head, then),
            NewerVersion::Unfinished => Ok(None),
        };
    }
    let Some(length) = whole(bytes, parsed)? else { return Ok(None) };
    let facts = response_facts(&response, length, to_head)?;
    let then = then(&response, &facts);
    Ok(Some((facts, then)))
}

/// A head of a minor version that is newer than ours.
enum NewerVersion {
    /// The head as HTTP/1.1 would have it.
    As1(Vec<u8>),
    /// The first line is not whole.
    Unfinished,
}

/// Takes `HTTP/1.2` to `HTTP/1.9` for what we know best, `HTTP/1.1` (RFC 9110, section 2.5).
/// httparse refuses them. `None` if it is another version; `at` says where in the first line it
/// stands.
fn newer(
    bytes: &[u8],
    at: impl FnOnce(&[u8]) -> Option<usize>,
) -> Result<Option<NewerVersion>, BadHead> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        let is_short = bytes.len() < HEAD_MAX;
        return if is_short { Ok(Some(NewerVersion::Unfinished)) } else { Err(BadHead::TooLong) };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).unwrap_or_default();
    let Some(at) = at(line) else { return Ok(None) };
    let Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9']) = line.get(at..at + VERSION)
    else {
        return Ok(None);
    };
    // All else is parsed as it is, as strictly as ever.
    let mut bytes = bytes.to_vec();
    if let Some(minor) = bytes.get_mut(at + VERSION - 1) {
        *minor = b'1';
    }
    Ok(Some(NewerVersion::As1(bytes)))
}

/// Returns the position of the version in a request line: at its end, behind a blank.
fn request_version(line: &[u8]) -> Option<usize> {
    let at = line.len().checked_sub(VERSION)?;
    line.get(..at).is_some_and(|rest| rest.ends_with(b" ")).then_some(at)
}

/// The length of `HTTP/1.1`.
const VERSION: usize = 8;

/// The length of a head that ends as it should.
fn whole(bytes: &[u8], parsed: httparse::Result<usize>) -> Result<Option<usize>, BadHead> {
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if bytes.len() >= HEAD_MAX => return Err(BadHead::TooLong),
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => return Err(BadHead::TooLong),
        Err(Error::Version) => return Err(BadHead::Version),
        Err(_) => return Err(BadHead::Malformed),
    };
    let head = bytes.get(..length).unwrap_or_default();
    // httparse takes a bare LF for the end of a line; the next reader may not.
    let is_strict = memchr::memchr_iter(b'\n', head)
        .all(|end| end.checked_sub(1).and_then(|cr| head.get(cr)) == Some(&b'\r'));
    match is_strict {
        _ if length > HEAD_MAX => Err(BadHead::TooLong),
        true => Ok(Some(length)),
        false => Err(BadHead::Malformed),
    }
}

fn request_facts(request: &Request<'_, '_>, bytes: usize) -> Result<RequestFacts, BadHead> {
    let method = request.method.unwrap_or_default();
    let is_old = request.version == Some(0);
    let fields = HeadFields::parse(request.headers)?;
    // CONNECT would make the connection a tunnel, and a reverse proxy has none to offer.
    if method == "CONNECT" {
        return Err(BadHead::Unknown);
    }
    // One host in HTTP/1.1, at most one in 1.0.
    if fields.hosts > 1 || (fields.hosts == 0 && !is_old) || (is_old && fields.chunked) {
        return Err(BadHead::Malformed);
    }
    let framing = match fields.framing()? {
        Framing::UntilClose => Framing::None,
        framing => framing,
    };
    Ok(RequestFacts {
        bytes,
        framing,
        is_head: method == "HEAD",
        is_idempotent: matches!(method, "DELETE" | "GET" | "HEAD" | "OPTIONS" | "PUT" | "TRACE"),
        is_old,
        keeps: if is_old { fields.keeps && !fields.closes } else { !fields.closes },
        expects: fields.expects
            && !is_old
            && !matches!(framing, Framing::None | Framing::Length(0)),
    })
}

fn response_facts(
    response: &Response<'_, '_>,
    bytes: usize,
    to_head: bool,
) -> Result<ResponseFacts, BadHead> {
    let status = response.code.unwrap_or_default();
    let fields = HeadFields::parse(response.headers)?;
    let is_old = response.version == Some(0);
    let framing = fields.framing()?;
    let framing = match status {
        100..200 | 204 | 304 => Framing::None,
        _ if to_head => Framing::None,
        _ if is_old && fields.chunked => return Err(BadHead::Malformed),
        _ => framing,
    };
    // HTTP/1.0 servers are never asked twice on one connection: keep-alive was an extension there,
    // and few got it right.
    let keeps = !is_old && !fields.closes && framing != Framing::UntilClose;
    Ok(ResponseFacts { bytes, status, framing, keeps })
}

/// The fields of one head that matter to framing and the connection, taken together.
#[derive(Debug, Default)]
struct HeadFields {
    chunked: bool,
    closes: bool,
    expects: bool,
    hosts: u32,
    keeps: bool,
    length: Option<u64>,
}

impl HeadFields {
    fn parse(fields: &[Header<'_>]) -> Result<Self, BadHead> {
        let mut seen = Self::default();
        for field in fields {
            match FieldKind::of(field.name) {
                FieldKind::Host => {
                    seen.hosts += 1;
                    if !is_host(field.value) {
                        return Err(BadHead::Malformed);
                    }
                }
                FieldKind::ContentLength => {
                    if seen.length.is_some() {
                        return Err(BadHead::Malformed);
                    }
                    seen.length = Some(length(field.value).ok_or(BadHead::Malformed)?);
                }
                FieldKind::TransferEncoding => {
                    if seen.chunked {
                        return Err(BadHead::Malformed);
                    }
                    if !field.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(BadHead::Unknown);
                    }
                    seen.chunked = true;
                }
                FieldKind::Connection => {
                    for option in options(field.value) {
                        seen.closes |= option.eq_ignore_ascii_case("close");
                        seen.keeps |= option.eq_ignore_ascii_case("keep-alive");
                    }
                }
                FieldKind::Expect => {
                    seen.expects |= field.value.eq_ignore_ascii_case(b"100-continue");
                }
                _ => {}
            }
        }
        Ok(seen)
    }

    /// A length beside chunks is how requests are smuggled.
    fn framing(&self) -> Result<Framing, BadHead> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(BadHead::Malformed),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::UntilClose),
        }
    }
}

/// Digits only: no sign, no list, nothing that overflows.
fn length(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if is_number { str::from_utf8(value).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
