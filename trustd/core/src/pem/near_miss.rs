//! Text outside of readable blocks that was probably meant as PEM: misspelled markers, an END
//! without a BEGIN, base64 without markers.
//!
//! It is reported and never read, because only input that Go's `encoding/pem` accepts is accepted.
//! The rules are narrow, because comments between blocks are common and must not become warnings.

use std::ops::Range;

use base64::Engine as _;
use memchr::memmem;

use super::{BASE64, BEGIN, BOM, Fault};

/// A finding in a region without readable blocks.
pub(super) enum Sight {
    /// An exact BEGIN marker, at this offset.
    Begin(usize),
    /// A near miss: the offset of its line, the fault, and its label if it is a known one.
    NearMiss(usize, Fault, &'static str),
}

/// Walks over the lines of `text[region]`, which has no readable block. Every byte is read a
/// bounded number of times.
pub(super) fn walk(text: &[u8], region: Range<usize>, mut see: impl FnMut(Sight)) {
    let mut at = region.start;
    let mut state = State { open: Open::No, run: None, behind_block: region.start > 0 };
    while at < region.end {
        let rest = text.get(at..region.end).unwrap_or_default();
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1);
        let line = rest.get(..len).unwrap_or_default();
        let mut begins = memmem::find_iter(line, BEGIN).peekable();
        if begins.peek().is_some() {
            state.flush(&mut see);
            state.open = Open::Begun;
            begins.for_each(|begin| see(Sight::Begin(at + begin)));
        } else {
            state.line(line.trim_ascii(), at, &mut see);
        }
        at += len;
    }
    state.flush(&mut see);
}

struct State {
    open: Open,
    run: Option<Run>,
    /// True after a readable block, which shows that the text is PEM. DER alone does not count,
    /// because key stores hold DER too.
    behind_block: bool,
}

/// The state with regard to a BEGIN marker that was reported, whose lines are not reported again.
#[derive(PartialEq, Eq)]
enum Open {
    /// A marker and its first base64 have been read.
    Base64,
    /// A marker has been read.
    Begun,
    No,
}

/// Consecutive lines of base64.
struct Run {
    at: usize,
    chars: usize,
    start: Vec<u8>,
    /// True after a line that is shorter than the full lines of a block: it was the last one.
    ended: bool,
}

impl State {
    fn line(&mut self, line: &[u8], at: usize, see: &mut impl FnMut(Sight)) {
        if line.is_empty() {
            return;
        }
        if self.behind_block && is_der(line) {
            self.flush(see);
            return see(Sight::NearMiss(at, Fault::Der, "CERTIFICATE"));
        }
        match marker(line) {
            Some((Edge::Begin, label)) => {
                self.flush(see);
                self.open = Open::Begun;
                see(Sight::NearMiss(at, Fault::Misspelled, label));
            }
            Some((Edge::End, label)) => {
                // The END line explains the base64 before it; one fault is reported, not two.
                self.run = None;
                if self.open == Open::No {
                    see(Sight::NearMiss(at, Fault::NoBegin, label));
                }
                self.open = Open::No;
            }
            None if is_base64(line) => self.base64(line, at, see),
            None => {
                self.flush(see);
                if self.open == Open::Base64 {
                    self.open = Open::No;
                }
            }
        }
    }

    fn base64(&mut self, line: &[u8], at: usize, see: &mut impl FnMut(Sight)) {
        if self.open != Open::No {
            self.open = Open::Base64;
            return;
        }
        if self.run.as_ref().is_some_and(|run| run.ended) {
            self.flush(see);
        }
        let run =
            self.run.get_or_insert_with(|| Run { at, chars: 0, start: Vec::new(), ended: false });
        run.chars += line.len();
        run.ended = line.len() < LINE_CHARS_MIN;
        let room = ENCODED_BEGIN.len().saturating_sub(run.start.len());
        run.start.extend(line.iter().take(room));
    }

    fn flush(&mut self, see: &mut impl FnMut(Sight)) {
        let Some(Run { at, chars, start, .. }) = self.run.take() else { return };
        if chars < RUN_CHARS_MIN {
            return;
        }
        if start == ENCODED_BEGIN {
            see(Sight::NearMiss(at, Fault::EncodedTwice, "CERTIFICATE"));
        } else if encodes_der(&start) {
            see(Sight::NearMiss(at, Fault::NoMarkers, "CERTIFICATE"));
        }
    }
}

enum Edge {
    Begin,
    End,
}

/// Returns the marker that a line was probably meant to be, although it is not exactly one.
fn marker(line: &[u8]) -> Option<(Edge, &'static str)> {
    let line = line.strip_prefix(BOM).unwrap_or(line);
    let exact_end = line.starts_with(b"-----END ");
    let head = line.get(..MARKER_BYTES_MAX).unwrap_or(line);
    let folded = fold(head);
    let inner = folded.trim_matches([' ', '"', '\'']).trim_start_matches(['-', ' ']);
    let (edge, rest) = match (inner.strip_prefix("BEGIN"), inner.strip_prefix("END")) {
        (Some(rest), _) => (Edge::Begin, rest),
        (None, Some(rest)) => (Edge::End, rest),
        (None, None) => return None,
    };
    let rest = rest.trim_start_matches([' ', '-', '_']);
    let label = rest.split_once("--").map_or(rest, |(label, _)| label);
    let words: Vec<&str> = label.split([' ', '-', '_']).filter(|word| !word.is_empty()).collect();
    let known = LABELS.into_iter().find(|known| {
        let parts: Vec<&str> = known.split(' ').collect();
        // In a text that lost its line ends, content follows the label.
        words
            .strip_prefix(parts.as_slice())
            .is_some_and(|behind| behind.first().is_none_or(|word| word.len() >= LINE_CHARS_MIN))
    });
    match known {
        // A known label and nothing else in the line: prose would go on.
        Some(known) => Some((edge, known)),
        None => exact_end.then_some((edge, UNKNOWN)),
    }
}

/// Normalizes a line: upper case, every kind of dash as `-`, every kind of blank as ` `, without
/// invisible characters. Word processors and web pages substitute all of these.
fn fold(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let folded = text.chars().filter_map(|c| match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => Some('-'),
        // A byte that is no UTF-8: probably a dash of an eight-bit character set.
        char::REPLACEMENT_CHARACTER => Some('-'),
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => None,
        c if c.is_whitespace() => Some(' '),
        c => Some(c.to_ascii_uppercase()),
    });
    folded.collect()
}

/// Returns true if a trimmed line consists of base64.
fn is_base64(line: &[u8]) -> bool {
    let padding = line.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = line.get(..line.len() - padding).unwrap_or_default();
    padding <= 2
        && !body.is_empty()
        && body.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// Returns true if base64 begins like a certificate or PKCS #7; tokens, images and private keys do
/// not.
fn encodes_der(start: &[u8]) -> bool {
    let whole = start.get(..DER_START_CHARS).unwrap_or_default();
    BASE64.decode(whole).is_ok_and(|der| is_der(&der))
}

/// Returns true if bytes begin like a certificate (a SEQUENCE in a SEQUENCE) or like PKCS #7 (an
/// OBJECT IDENTIFIER in one), with a length in the long form (X.690, 8.1.3).
fn is_der(bytes: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = bytes else { return false };
    let inner = match length {
        0x81..=0x83 => rest.get(usize::from(length & 0x7f)),
        _ => None,
    };
    matches!(inner, Some(0x30 | 0x06))
}

/// Known labels: those of RFC 7468 and of OpenSSL, and common abbreviations.
const LABELS: [&str; 16] = [
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "X.509 CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "CA CERTIFICATE",
    "CERT",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "X509 CRL",
    "PKCS7",
    "PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "PUBLIC KEY",
    "SSH2 PUBLIC KEY",
];
const UNKNOWN: &str = "?";
/// A marker has at most 32 characters; dashes and blanks pasted from a page take three bytes each.
const MARKER_BYTES_MAX: usize = 128;
/// Minimum for a full line: base64 has 64 characters a line (RFC 7468) or 76 (RFC 2045).
const LINE_CHARS_MIN: usize = 40;
/// The smallest certificates (Ed25519, one-letter names) have about 210 bytes, 280 characters.
const RUN_CHARS_MIN: usize = 256;
/// Base64 of nine bytes: tag and length of a SEQUENCE, and the tag within.
const DER_START_CHARS: usize = 12;
/// `-----BEGIN` in base64, without the last character, which depends on the text that follows.
const ENCODED_BEGIN: &[u8] = b"LS0tLS1CRUdJT";

#[cfg(test)]
mod tests;
