//! Fields of HTTP/2 as HTTP/1.1 has them, and back.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::Header;

use crate::hop::http1::head::{BadHead, RequestFacts};
use crate::hop::http1::rewrite::{Rewrite, put_request};
use crate::http1::{FieldKind, Framing, is_host, options};

/// Writes a request as HTTP/1.1 has it. `h2` has checked that nothing of a connection's own is in
/// it.
///
/// # Errors
/// Fails when it is none that a reverse proxy serves.
pub(in crate::hop) fn put_head(
    parts: &Parts,
    ends: bool,
    rewrite: &Rewrite,
    out: &mut Vec<u8>,
) -> Result<RequestFacts, BadHead> {
    let method = parts.method.as_str();
    if method == "CONNECT" {
        return Err(BadHead::Unknown);
    }
    let framing = framing(parts, ends)?;
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let host = match (authority, hosts.next()) {
        (Some(authority), _) => authority.as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        (None, None) => return Err(BadHead::Malformed),
    };
    // RFC 9113, section 8.3.1: two hosts that differ are malformed.
    let named = parts.headers.get_all(http::header::HOST).iter();
    if !is_host(host) || named.into_iter().any(|other| !other.as_bytes().eq_ignore_ascii_case(host))
    {
        return Err(BadHead::Malformed);
    }
    let mut fields = vec![Header { name: "Host", value: host }];
    let cookies = cookies(&parts.headers);
    let mut has_cookie = false;
    for (name, value) in &parts.headers {
        if let (&http::header::COOKIE, Some(cookies)) = (name, &cookies) {
            if !has_cookie {
                fields.push(Header { name: "cookie", value: cookies });
            }
            has_cookie = true;
        } else if name != http::header::HOST {
            fields.push(Header { name: name.as_str(), value: value.as_bytes() });
        }
    }
    let facts = RequestFacts {
        bytes: 0,
        framing,
        is_head: method == "HEAD",
        is_idempotent: matches!(method, "DELETE" | "GET" | "HEAD" | "OPTIONS" | "PUT" | "TRACE"),
        is_old: false,
        keeps: true,
        // Leave to send is a matter of windows here.
        expects: false,
    };
    let mut request = httparse::Request::new(&mut fields);
    request.method = Some(method);
    request.path = Some(parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str));
    request.version = Some(1);
    put_request(&request, &facts, rewrite, out)?;
    Ok(facts)
}

/// Cookies that come in several fields, as one (RFC 9113, section 8.2.3). `None` if there is
/// nothing to join.
fn cookies(fields: &HeaderMap) -> Option<Vec<u8>> {
    let cookies = fields.get_all(http::header::COOKIE);
    cookies.iter().nth(1)?;
    let parts: Vec<&[u8]> = cookies.iter().map(HeaderValue::as_bytes).collect();
    Some(parts.join(&b"; "[..]))
}

fn framing(parts: &Parts, ends: bool) -> Result<Framing, BadHead> {
    let mut lengths = parts.headers.get_all(http::header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(BadHead::Malformed);
    }
    let length = length.map(|value| {
        let is_number = !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
        value.to_str().ok().filter(|_| is_number)?.parse().ok()
    });
    match length {
        // `h2` sees to it that the length is what comes.
        Some(Some(length)) => Ok(Framing::Length(length)),
        Some(None) => Err(BadHead::Malformed),
        None if ends => Ok(Framing::None),
        None => Ok(Framing::Chunked),
    }
}

/// The fields of a response of HTTP/1.1 that go on; of those with nonsense in them, none.
pub(in crate::hop) fn of_response(fields: &[Header<'_>], keeps_length: bool) -> HeaderMap {
    let mut map = HeaderMap::new();
    let connection =
        fields.iter().filter(|field| FieldKind::of(field.name) == FieldKind::Connection);
    let named: Vec<&str> = connection.flat_map(|field| options(field.value)).collect();
    for field in fields {
        let goes = match FieldKind::of(field.name) {
            FieldKind::Connection | FieldKind::HopByHop | FieldKind::TransferEncoding => false,
            FieldKind::ContentLength => keeps_length,
            _ => !named.iter().any(|option| option.eq_ignore_ascii_case(field.name)),
        };
        if let (true, Ok(name), Ok(value)) = (
            goes,
            HeaderName::from_bytes(field.name.as_bytes()),
            HeaderValue::from_bytes(field.value),
        ) {
            map.append(name, value);
        }
    }
    map
}

/// Trailers that were kept as lines; `None` if there are none.
pub(in crate::hop) fn trailers(lines: &[u8]) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            map.append(name, value);
        }
    }
    (!map.is_empty()).then_some(map)
}

/// Writes trailers as lines, without those that would change what was read before.
pub(in crate::hop) fn put_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in trailers {
        if FieldKind::of(name.as_str()) == FieldKind::Other {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
    }
}
