//! Heads as they go on: what was for one connection is taken out, and X-Forwarded-* put in.

use std::io::Write as _;

use httparse::{Header, Request, Response};
use tlsbench_core::hop::Forwarded;

use super::head::{BadHead, RequestFacts, ResponseFacts};
use crate::hop::proxy_protocol::Addresses;
use crate::http1::{FieldKind, Framing, is_host, options};

/// The changes that one client's requests get on their way.
#[derive(Clone, Copy, Debug)]
pub(in crate::hop) struct Rewrite {
    pub(in crate::hop) forwarded: Forwarded,
    pub(in crate::hop) addresses: Addresses,
    /// True if the client speaks TLS with us.
    pub(in crate::hop) tls: bool,
    /// True if the next hop is to close after its response.
    pub(in crate::hop) closes: bool,
}

/// Writes a request's head as it goes on.
///
/// # Errors
/// Fails when its target is none that a reverse proxy has.
pub(in crate::hop) fn put_request(
    request: &Request<'_, '_>,
    facts: &RequestFacts,
    rewrite: &Rewrite,
    out: &mut Vec<u8>,
) -> Result<(), BadHead> {
    let method = request.method.unwrap_or_default();
    let (target, authority) = target(method, request.path.unwrap_or_default())?;
    put(out, &[method.as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
    // RFC 9112, section 3.2.2: the target's own host wins over the field.
    if let Some(authority) = authority {
        put(out, &[b"Host: ", authority.as_bytes(), b"\r\n"]);
    } else if facts.is_old && !has(request.headers, FieldKind::Host) {
        // RFC 9112, section 3.3: HTTP/1.0 may do without, and then it means whom it connected to.
        // Servers of HTTP/1.1 have to refuse requests without it, and many an empty one.
        let _ = write!(out, "Host: {}\r\n", rewrite.addresses.to);
    }
    let named = named_options(request.headers);
    for field in request.headers.iter() {
        let goes = match FieldKind::of(field.name) {
            FieldKind::Connection
            | FieldKind::ContentLength
            | FieldKind::HopByHop
            | FieldKind::TransferEncoding => false,
            FieldKind::Host => authority.is_none(),
            FieldKind::ForwardedFor => rewrite.forwarded == Forwarded::Keep,
            FieldKind::ForwardedOther | FieldKind::ForwardedPort | FieldKind::ForwardedProto => {
                rewrite.forwarded != Forwarded::Set
            }
            FieldKind::Expect => facts.expects,
            FieldKind::Other => !is_named(&named, field.name),
        };
        if goes {
            put_field(field, out);
        }
    }
    put_forwarded(request.headers, rewrite, out);
    put_framing(facts.framing, out);
    // Without a pool each request has a connection of its own, and saying so frees the next hop at
    // once.
    if rewrite.closes {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Writes a response's head as it goes to a client: with this framing, and with the word on
/// whether the connection is kept.
pub(in crate::hop) fn put_response(
    response: &Response<'_, '_>,
    facts: &ResponseFacts,
    framing: Framing,
    connection: &[u8],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    // Writing to memory does not fail.
    let _ = write!(out, "{:03}", facts.status);
    put(out, &[b" ", response.reason.unwrap_or_default().as_bytes(), b"\r\n"]);
    let named = named_options(response.headers);
    for field in response.headers.iter() {
        let goes = match FieldKind::of(field.name) {
            FieldKind::Connection | FieldKind::HopByHop | FieldKind::TransferEncoding => false,
            // To HEAD, and with 304, it tells of a body that does not come.
            FieldKind::ContentLength => {
                framing == Framing::None && !matches!(facts.status, 100..200 | 204)
            }
            _ => !is_named(&named, field.name),
        };
        if goes {
            put_field(field, out);
        }
    }
    put_framing(framing, out);
    put(out, &[connection, b"\r\n"]);
}

/// The target in origin form, and the host when the target names one.
fn target<'t>(method: &str, target: &'t str) -> Result<(&'t str, Option<&'t str>), BadHead> {
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((target, None));
    }
    let scheme = |scheme: &str| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let rest = scheme("http://").or_else(|| scheme("https://")).ok_or(BadHead::Malformed)?;
    let path = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(path).ok_or(BadHead::Malformed)?;
    let path = if path.is_empty() { "/" } else { path };
    let is_good = !authority.is_empty() && is_host(authority.as_bytes()) && path.starts_with('/');
    if is_good { Ok((path, Some(authority))) } else { Err(BadHead::Malformed) }
}

/// Fields that Connection names as being of this connection only; seldom any.
fn named_options<'h>(fields: &[Header<'h>]) -> Vec<&'h str> {
    let connection =
        fields.iter().filter(|field| FieldKind::of(field.name) == FieldKind::Connection);
    let named = connection.flat_map(|field| options(field.value));
    let is_usual = |option: &&str| {
        !option.eq_ignore_ascii_case("close") && !option.eq_ignore_ascii_case("keep-alive")
    };
    named.filter(is_usual).collect()
}

fn is_named(named: &[&str], name: &str) -> bool {
    named.iter().any(|option| option.eq_ignore_ascii_case(name))
}

fn has(fields: &[Header<'_>], wanted: FieldKind) -> bool {
    fields.iter().any(|field| FieldKind::of(field.name) == wanted)
}

fn put_field(field: &Header<'_>, out: &mut Vec<u8>) {
    put(out, &[field.name.as_bytes(), b": ", field.value, b"\r\n"]);
}

fn put_forwarded(fields: &[Header<'_>], rewrite: &Rewrite, out: &mut Vec<u8>) {
    if rewrite.forwarded == Forwarded::Keep {
        return;
    }
    let sets = rewrite.forwarded == Forwarded::Set;
    out.extend_from_slice(b"X-Forwarded-For: ");
    for field in fields.iter().filter(|field| FieldKind::of(field.name) == FieldKind::ForwardedFor)
    {
        if !sets && !field.value.is_empty() {
            put(out, &[field.value, b", "]);
        }
    }
    // Writing to memory does not fail.
    let _ = write!(out, "{}\r\n", rewrite.addresses.from.ip());
    if sets || !has(fields, FieldKind::ForwardedProto) {
        let proto: &[u8] = if rewrite.tls { b"https" } else { b"http" };
        put(out, &[b"X-Forwarded-Proto: ", proto, b"\r\n"]);
    }
    if sets || !has(fields, FieldKind::ForwardedPort) {
        let _ = write!(out, "X-Forwarded-Port: {}\r\n", rewrite.addresses.to.port());
    }
}

fn put_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(length) => {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        Framing::None | Framing::UntilClose => {}
    }
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests;
