//! A guess at what a text without any PEM block is, so that a message can say what to do.

use std::fmt;

use crate::certificate::Certificate;

/// The probable format of bytes without a PEM block. It never includes their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nature {
    /// Bytes that are no text.
    Binary,
    /// ASN.1 that is not a certificate, such as a key, a request or PKCS#7.
    Der,
    /// A certificate as it is.
    DerCertificate,
    /// No bytes but whitespace.
    Empty,
    /// A page of a web server, often an error or a login page.
    Html,
    /// A key store in this format.
    KeyStore(&'static str),
    /// Text without a BEGIN marker.
    Text,
    /// Text in UTF-16, as some editors and shells of Windows save it.
    Utf16,
}

impl fmt::Display for Nature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binary => f.write_str("it is binary data"),
            Self::Der => f.write_str("it is binary data (DER) and not one certificate"),
            Self::DerCertificate => {
                f.write_str("it is a certificate in DER, which is read only where its key is named")
            }
            Self::Empty => f.write_str("it is empty"),
            Self::Html => f.write_str("it is an HTML page"),
            Self::KeyStore(format) => write!(f, "it is a {format} store"),
            Self::Text => f.write_str("it is text without a `-----BEGIN CERTIFICATE-----` line"),
            Self::Utf16 => f.write_str("it is text in UTF-16; save it as UTF-8"),
        }
    }
}

/// Looks at the first bytes of a text in which [`pem::read`](crate::pem::read) found nothing.
#[must_use]
pub fn nature(bytes: &[u8]) -> Nature {
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        Nature::Empty
    } else if let Some(format) = key_store(bytes) {
        Nature::KeyStore(format)
    } else if bytes.first() == Some(&SEQUENCE) && head.iter().any(|byte| is_no_text(*byte)) {
        if Certificate::from_der(bytes).is_ok() { Nature::DerCertificate } else { Nature::Der }
    } else if is_utf16(head) {
        Nature::Utf16
    } else if is_html(head) {
        Nature::Html
    } else if str::from_utf8(bytes).is_ok() && !head.contains(&0) {
        Nature::Text
    } else {
        Nature::Binary
    }
}

/// The name of a key store format, by the first bytes.
fn key_store(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xfe, 0xed, 0xfe, 0xed, ..] => Some("JKS"),
        [0xce, 0xce, 0xce, 0xce, ..] => Some("JCEKS"),
        [SEQUENCE, rest @ ..] => {
            // PFX ::= SEQUENCE { version INTEGER (3), authSafe SEQUENCE … } (RFC 7292, 4).
            let length_len = match rest.first()? {
                short @ 0..=0x80 => usize::from(*short > 0),
                long => usize::from(long & 0x7f) + 1,
            };
            rest.get(length_len..)?.starts_with(PFX_VERSION).then_some("PKCS#12")
        }
        _ => None,
    }
}

/// Returns true if every other byte is zero, or if a byte order mark says UTF-16.
fn is_utf16(head: &[u8]) -> bool {
    let zeros = |odd: usize| {
        let mut bytes = head.iter().skip(odd).step_by(2);
        head.len() >= 4 && bytes.all(|byte| *byte == 0)
    };
    head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || zeros(0) || zeros(1)
}

fn is_html(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.starts_with("<!doctype html") || text.starts_with("<html") || text.starts_with("<head")
}

const fn is_no_text(byte: u8) -> bool {
    !byte.is_ascii() || byte.is_ascii_control() && !byte.is_ascii_whitespace()
}

const SEQUENCE: u8 = 0x30;
/// INTEGER 3, and the tag of the SEQUENCE that follows.
const PFX_VERSION: &[u8] = &[0x02, 0x01, 0x03, SEQUENCE];
/// Limit on the bytes that are inspected; every format here shows in its first bytes.
const HEAD_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_told_apart_by_its_first_bytes() {
        let utf16 = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        let pem = include_str!("../../../../tests/fixtures/peer/ca/alpha.pem");
        let crate::pem::Item::Block(block) = crate::pem::read(pem.as_bytes()).remove(0) else {
            panic!("no block");
        };
        let der = block.content;
        let cases: [(&[u8], Nature); 15] = [
            (b"", Nature::Empty),
            (b" \r\n\t", Nature::Empty),
            (&der, Nature::DerCertificate),
            (&der[..der.len() - 1], Nature::Der),
            (&[0x30, 0x03, 0x02, 0x01, 0x05], Nature::Der),
            (&[0x30, 0x07, 2, 1, 3, 0x30, 0, 0], Nature::KeyStore("PKCS#12")),
            (&[0xfe, 0xed, 0xfe, 0xed, 0, 0], Nature::KeyStore("JKS")),
            (&utf16("-----BEGIN", u16::to_le_bytes), Nature::Utf16),
            (&utf16("-----BEGIN", u16::to_be_bytes), Nature::Utf16),
            (&utf16("\u{feff}-----BEGIN", u16::to_le_bytes), Nature::Utf16),
            (b"\n<!DOCTYPE HTML><title>302</title>", Nature::Html),
            (b"<html lang=en>", Nature::Html),
            (b"0 is where this begins", Nature::Text),
            ("käse".as_bytes(), Nature::Text),
            (b"\x00\x01\x02\x03\x04\x05", Nature::Binary),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(nature(bytes), wanted, "{bytes:?}");
        }
    }
}
