//! Message body framing (RFC 9112, section 6.3).

/// The way in which the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Transfer-Encoding: chunked.
    Chunked,
    /// Content-Length: the number of bytes.
    Length(u64),
    /// No body at all.
    None,
    /// Read until the connection closes.
    UntilClose,
}
