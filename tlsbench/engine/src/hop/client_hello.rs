//! The server name of a ClientHello, from the first bytes of a connection.
//!
//! Nothing is judged that the servers behind should judge. rustls' `Acceptor` refuses hellos that
//! they may take: without signature algorithms, with compression, with an odd server name.

use std::borrow::Cow;

use thiserror::Error;

/// The result of reading a ClientHello as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientHello {
    /// The hello is not whole.
    Unfinished,
    /// A complete ClientHello with its server name, in small letters; the outer one, should it have
    /// another that is encrypted.
    Whole(Option<String>),
}

/// The reason why bytes are no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum ClientHelloError {
    /// A TLS record that is not a ClientHello, or a broken one.
    #[error("a malformed ClientHello")]
    Malformed,
    /// Bytes that are not TLS.
    #[error("no TLS")]
    NotTls,
    /// A ClientHello longer than [`HELLO_MAX`].
    #[error("a ClientHello of more than {HELLO_MAX} bytes")]
    TooLong,
}

/// Reads as much as there is.
///
/// # Errors
/// Fails as soon as no further bytes could make a ClientHello of it.
pub(super) fn read(bytes: &[u8]) -> Result<ClientHello, ClientHelloError> {
    let message = handshake(bytes)?;
    let Some((&[kind, high, middle, low], body)) = message.split_first_chunk() else {
        // The type is known before the length is.
        return match message.first() {
            Some(&kind) if kind != CLIENT_HELLO => Err(ClientHelloError::Malformed),
            _ => unfinished(bytes),
        };
    };
    // Bytes that can be no ClientHello any more are refused at once: waiting for more would let a
    // client of another protocol hold the connection until the timeout.
    if kind != CLIENT_HELLO {
        return Err(ClientHelloError::Malformed);
    }
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if length > HELLO_MAX {
        return Err(ClientHelloError::TooLong);
    }
    match body.get(..length) {
        Some(body) => Ok(ClientHello::Whole(server_name(body).ok_or(ClientHelloError::Malformed)?)),
        None => unfinished(bytes),
    }
}

fn unfinished(bytes: &[u8]) -> Result<ClientHello, ClientHelloError> {
    if bytes.len() >= HELLO_MAX {
        Err(ClientHelloError::TooLong)
    } else {
        Ok(ClientHello::Unfinished)
    }
}

/// Returns the contents of handshake records, one after the other, as far as they came.
fn handshake(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ClientHelloError> {
    let mut message = Cow::Borrowed(&[][..]);
    let mut rest = bytes;
    while let Some((&kind, _)) = rest.split_first() {
        let is_first = rest.len() == bytes.len();
        let wrong = if is_first { ClientHelloError::NotTls } else { ClientHelloError::Malformed };
        if kind != HANDSHAKE || rest.get(1).is_some_and(|&major| major != 3) {
            return Err(wrong);
        }
        let Some((&[_, _, _, high, low], after)) = rest.split_first_chunk() else { break };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // RFC 8446, section 5.1: no empty fragments of handshake messages, and none above 2^14.
        if length == 0 || length > RECORD_MAX {
            return Err(wrong);
        }
        let (fragment, after) = after.split_at_checked(length).unwrap_or((after, &[]));
        match message.is_empty() {
            true => message = Cow::Borrowed(fragment),
            false => message.to_mut().extend_from_slice(fragment),
        }
        // Records behind a complete hello, such as early data, belong to the server behind.
        if is_settled(&message) {
            break;
        }
        rest = after;
    }
    Ok(message)
}

/// Returns whether a message is whole, or will come to nothing; what follows is not looked at.
fn is_settled(message: &[u8]) -> bool {
    let Some((&[kind, high, middle, low], body)) = message.split_first_chunk() else {
        return message.first().is_some_and(|&kind| kind != CLIENT_HELLO);
    };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    kind != CLIENT_HELLO || length > HELLO_MAX || body.len() >= length
}

/// The server name of a hello's body; `None` at all when the body is malformed.
fn server_name(body: &[u8]) -> Option<Option<String>> {
    let mut body = ByteReader(body);
    // Version and random, session id, cipher suites, compression methods (RFC 8446, section 4.1.2).
    body.take(2 + 32)?;
    body.with_length::<1>()?;
    body.with_length::<2>()?;
    body.with_length::<1>()?;
    if body.0.is_empty() {
        // RFC 5246, section 7.4.1.2: extensions may be absent.
        return Some(None);
    }
    let mut extensions = ByteReader(body.with_length::<2>()?);
    if !body.0.is_empty() {
        return None;
    }
    let mut name = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number::<2>()?;
        let extension = extensions.with_length::<2>()?;
        if kind == SERVER_NAME {
            // A second one would let two readers see two names.
            if name.is_some() {
                return None;
            }
            name = Some(host_name(extension)?);
        }
    }
    Some(name)
}

/// The one host name of a server name extension (RFC 6066, section 3).
fn host_name(extension: &[u8]) -> Option<String> {
    let mut extension = ByteReader(extension);
    let mut list = ByteReader(extension.with_length::<2>()?);
    let kind = list.number::<1>()?;
    let name = list.with_length::<2>()?;
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    if kind != HOST_NAME || !is_name || !list.0.is_empty() || !extension.0.is_empty() {
        return None;
    }
    Some(str::from_utf8(name).ok()?.to_ascii_lowercase())
}

/// Bytes that are taken from the front.
struct ByteReader<'b>(&'b [u8]);

impl<'b> ByteReader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of this many bytes.
    fn number<const BYTES: usize>(&mut self) -> Option<usize> {
        Some(self.take(BYTES)?.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    /// Bytes whose length stands before them, in this many bytes.
    fn with_length<const BYTES: usize>(&mut self) -> Option<&'b [u8]> {
        let length = self.number::<BYTES>()?;
        self.take(length)
    }
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: usize = 0;
const HOST_NAME: usize = 0;
const RECORD_MAX: usize = 1 << 14;
/// 16 KiB, record heads included: hellos are 200 to 2,000 bytes, with ML-KEM and a long ticket
/// 4,000.
pub(super) const HELLO_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests;
