//! Names and values of header fields.

/// The header fields that an intermediary has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Connection,
    ContentLength,
    Expect,
    ForwardedFor,
    /// X-Forwarded-Host and Forwarded, which say in other words what the other X-Forwarded-* say.
    ForwardedOther,
    ForwardedPort,
    ForwardedProto,
    /// Fields of one connection only (RFC 9110, section 7.6.1).
    HopByHop,
    Host,
    Other,
    TransferEncoding,
}

impl FieldKind {
    /// The kind of a field by its name. Underscores stand for hyphens where a forged name must not
    /// get through: CGI-like servers hand both on as the same variable.
    pub(crate) fn of(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // By length first: most names are none of these, and comparing texts costs more.
        match name.len() {
            2 if is("te") => Self::HopByHop,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::HopByHop,
            9 if is("forwarded") => Self::ForwardedOther,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            14 if is("content-length") => Self::ContentLength,
            15 if is_alike(name, "x-forwarded-for") => Self::ForwardedFor,
            16 if is("proxy-connection") => Self::HopByHop,
            16 if is_alike(name, "x-forwarded-port") => Self::ForwardedPort,
            16 if is_alike(name, "x-forwarded-host") => Self::ForwardedOther,
            17 if is_alike(name, "x-forwarded-proto") => Self::ForwardedProto,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            _ => Self::Other,
        }
    }
}

fn is_alike(name: &str, known: &str) -> bool {
    let same = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || (a == b'_' && b == b'-');
    name.bytes().zip(known.bytes()).all(same)
}

/// Returns whether a text is a token, as the name of a field has to be (RFC 9110, section 5.6.2).
pub(super) fn is_token(name: &str) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

/// The elements of a comma-separated field such as Connection.
pub(crate) fn options(value: &[u8]) -> impl Iterator<Item = &str> {
    let parts = value.split(|&byte| byte == b',');
    parts.filter_map(|part| str::from_utf8(part.trim_ascii()).ok()).filter(|part| !part.is_empty())
}

/// Returns whether a value has only characters of a host with a port.
pub(crate) fn is_host(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte.is_ascii_alphanumeric() || b".-_:[]%~!$&'()*+;=".contains(&byte))
}
