//! The PROXY protocol: headers of version 1 and 2 are read, of version 2 written
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! Additional fields (TLVs) are skipped, a checksum among them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// The two ends of the connection that a header tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// The source: who connected.
    pub(super) from: SocketAddr,
    /// The destination: what they connected to.
    pub(super) to: SocketAddr,
}

/// The result of reading a header as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyHeader {
    /// The header is not whole.
    Unfinished,
    /// A complete header.
    Whole {
        /// The length; what follows is the connection's own.
        bytes: usize,
        /// The addresses, unless the sender does not know them or speaks for itself.
        addresses: Option<Addresses>,
    },
}

/// Bytes are no header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no header of the PROXY protocol")]
pub(super) struct NotProxyHeader;

/// Reads as much as there is.
///
/// # Errors
/// Fails as soon as no further bytes could make a header of it.
pub(super) fn read(bytes: &[u8]) -> Result<ProxyHeader, NotProxyHeader> {
    // The two versions differ in their first byte, so no byte too many is waited for.
    if is_start(bytes, SIGNATURE) {
        binary(bytes)
    } else if is_start(bytes, b"PROXY ") {
        text(bytes)
    } else {
        Err(NotProxyHeader)
    }
}

/// A header of version 2.
pub(super) fn write(addresses: &Addresses, into: &mut Vec<u8>) {
    into.extend_from_slice(SIGNATURE);
    into.push(VERSION_2 | PROXY);
    // Both ends have the family of the wider one, as sockets of IPv6 that take IPv4 have.
    match (addresses.from.ip(), addresses.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            into.extend_from_slice(&[TCP4, 0, TCP4_BYTES as u8]);
            into.extend_from_slice(&from.octets());
            into.extend_from_slice(&to.octets());
        }
        (from, to) => {
            into.extend_from_slice(&[TCP6, 0, TCP6_BYTES as u8]);
            into.extend_from_slice(&wide(from).octets());
            into.extend_from_slice(&wide(to).octets());
        }
    }
    into.extend_from_slice(&addresses.from.port().to_be_bytes());
    into.extend_from_slice(&addresses.to.port().to_be_bytes());
}

fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Returns whether one is the beginning of the other.
fn is_start(bytes: &[u8], whole: &[u8]) -> bool {
    bytes.iter().zip(whole).all(|(a, b)| a == b)
}

fn binary(bytes: &[u8]) -> Result<ProxyHeader, NotProxyHeader> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return match bytes.get(SIGNATURE.len()) {
            Some(&command) if !matches!(command & 0xf, LOCAL | PROXY) => Err(NotProxyHeader),
            Some(&command) if command & 0xf0 != VERSION_2 => Err(NotProxyHeader),
            _ => Ok(ProxyHeader::Unfinished),
        };
    };
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_known = command & 0xf0 == VERSION_2 && matches!(command & 0xf, LOCAL | PROXY);
    if !is_known || length > REST_MAX {
        return Err(NotProxyHeader);
    }
    let Some(rest) = rest.get(..length) else { return Ok(ProxyHeader::Unfinished) };
    let addresses = match (command & 0xf, family) {
        (LOCAL, _) | (_, 0) => None,
        (_, TCP4) => Some(address_pair::<4>(rest).ok_or(NotProxyHeader)?),
        (_, TCP6) => Some(address_pair::<16>(rest).ok_or(NotProxyHeader)?),
        // Datagrams and sockets of files do not come to us; who says so is skipped, not believed.
        _ => None,
    };
    Ok(ProxyHeader::Whole { bytes: HEAD_BYTES + length, addresses })
}

fn address_pair<const BYTES: usize>(rest: &[u8]) -> Option<Addresses>
where
    IpAddr: From<[u8; BYTES]>,
{
    let (from, rest) = rest.split_first_chunk::<BYTES>()?;
    let (to, rest) = rest.split_first_chunk::<BYTES>()?;
    let (from_port, rest) = rest.split_first_chunk::<2>()?;
    let (to_port, _) = rest.split_first_chunk::<2>()?;
    let end = |address: &[u8; BYTES], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*address).to_canonical(), u16::from_be_bytes(*port))
    };
    Some(Addresses { from: end(from, from_port), to: end(to, to_port) })
}

fn text(bytes: &[u8]) -> Result<ProxyHeader, NotProxyHeader> {
    let head = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', head) else {
        return if bytes.len() >= LINE_MAX {
            Err(NotProxyHeader)
        } else {
            Ok(ProxyHeader::Unfinished)
        };
    };
    let line = head.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(NotProxyHeader)?;
    let line = str::from_utf8(line).map_err(|_| NotProxyHeader)?;
    let addresses = match line.strip_prefix("PROXY ").ok_or(NotProxyHeader)?.split_once(' ') {
        Some(("TCP4", rest)) => Some(words::<Ipv4Addr>(rest).ok_or(NotProxyHeader)?),
        Some(("TCP6", rest)) => Some(words::<Ipv6Addr>(rest).ok_or(NotProxyHeader)?),
        // Whatever else the line says is to be ignored.
        Some(("UNKNOWN", _)) => None,
        None if line == "PROXY UNKNOWN" => None,
        _ => return Err(NotProxyHeader),
    };
    Ok(ProxyHeader::Whole { bytes: end + 1, addresses })
}

/// Two addresses and two ports, each after one space.
fn words<Address>(rest: &str) -> Option<Addresses>
where
    Address: std::str::FromStr + Into<IpAddr>,
{
    let mut words = rest.split(' ');
    let from: Address = words.next()?.parse().ok()?;
    let to: Address = words.next()?.parse().ok()?;
    let (from_port, to_port) = (port(words.next()?)?, port(words.next()?)?);
    let end = |address: Address, port| SocketAddr::new(address.into(), port);
    words.next().is_none().then(|| Addresses { from: end(from, from_port), to: end(to, to_port) })
}

/// A number as the protocol writes it: digits only, and no zero before others.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = word == "0" || !word.starts_with('0');
    if is_plain && is_short { word.parse().ok() } else { None }
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version with command, family, and a length of two bytes.
const HEAD_BYTES: usize = 16;
const VERSION_2: u8 = 0x20;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Two addresses of 4 bytes, two ports.
const TCP4_BYTES: usize = 12;
/// Two addresses of 16 bytes, two ports.
const TCP6_BYTES: usize = 36;
/// 4 KiB of addresses and further fields; a client's certificate in one is about 1 KiB.
const REST_MAX: usize = 4 << 10;
/// A line of version 1 with its CR and LF, by the protocol.
const LINE_MAX: usize = 107;
/// The longest header of all.
pub(super) const HEADER_MAX: usize = HEAD_BYTES + REST_MAX;

#[cfg(test)]
mod tests;
