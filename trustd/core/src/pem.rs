//! Reads PEM (RFC 7468) out of free text, and reports everything that it cannot read.
//!
//! The blocks found are exactly those of Go's `encoding/pem`, because trust-manager uses it and the
//! same inputs must give the same bundle. Faults that Go ignores silently (a truncated block,
//! broken base64, a marker in the middle of a line or misspelled, base64 without markers) are
//! reported here, with their line. The running time is linear in the length of any text.

mod near_miss;

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;
use near_miss::Sight;

/// One finding in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'t> {
    /// A readable block, decoded.
    Block(Block<'t>),
    /// A BEGIN marker without a readable block, or text that was probably meant as a block.
    Unreadable(Unreadable<'t>),
}

/// A decoded block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<'t> {
    /// The label between `-----BEGIN ` and `-----`, usually `CERTIFICATE`.
    pub label: Cow<'t, str>,
    /// Line of the BEGIN marker, from 1.
    pub line: usize,
    /// True if RFC 1421 headers (`Proc-Type: …`) precede the base64.
    pub headers: bool,
    pub content: Vec<u8>,
}

/// A BEGIN marker without a readable block, or a near miss ([`Fault::is_near_miss`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable<'t> {
    /// The label as far as it is readable, at most 40 characters.
    pub label: Cow<'t, str>,
    /// Line of the marker, from 1.
    pub line: usize,
    pub fault: Fault,
}

/// The reason for which a BEGIN marker or a near miss is not a block. It never includes content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The text between the markers is not base64.
    BadBase64,
    /// The BEGIN line does not end with five dashes.
    BadBegin,
    /// The END line has a different label, or text after it.
    BadEnd,
    /// A byte order mark precedes the BEGIN marker.
    ByteOrderMark,
    /// A certificate in DER after PEM, as `cat *.crt` produces it.
    Der,
    /// Base64 of a PEM text: a value that was encoded twice.
    EncodedTwice,
    /// A marker with other dashes, blanks, letters or dash counts than `-----BEGIN …-----`.
    Misspelled,
    /// An END line without a BEGIN line before it.
    NoBegin,
    /// No END marker before the next BEGIN or the end of the text.
    NoEnd,
    /// Base64 as long as a certificate, without BEGIN and END lines around it.
    NoMarkers,
    /// The marker does not stand at the start of its line.
    NotAtLineStart,
    /// The END marker stands in the line of the BEGIN marker: the line ends were lost.
    OneLine,
}

impl Fault {
    /// Returns true if there is no exact BEGIN marker, so that Go's decoder would not have started.
    #[must_use]
    pub const fn is_near_miss(self) -> bool {
        matches!(
            self,
            Self::Der | Self::EncodedTwice | Self::Misspelled | Self::NoBegin | Self::NoMarkers
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadBase64 => "its content is not base64",
            Self::BadBegin => "its BEGIN line does not end with `-----`",
            Self::BadEnd => "its END line does not match",
            Self::ByteOrderMark => {
                "a byte order mark stands before its BEGIN line; save the text without one"
            }
            Self::Der => {
                "it is a certificate in DER among PEM; convert it with `openssl x509 -inform der`"
            }
            Self::EncodedTwice => "it is base64 of PEM text; decode it once more",
            Self::Misspelled => {
                "its marker is misspelled; write `-----BEGIN CERTIFICATE-----` and \
                 `-----END CERTIFICATE-----` with five plain hyphens on each side"
            }
            Self::NoBegin => "its END line has no BEGIN line before it",
            Self::NoMarkers => "it is base64 without BEGIN and END lines around it",
            Self::NoEnd => "it has no END line (truncated?)",
            Self::NotAtLineStart => "its BEGIN marker is not at the start of a line",
            Self::OneLine => {
                "BEGIN and END stand in one line; write each of them in a line of its own"
            }
        })
    }
}

/// Returns every block of `text`, every marker without a block and every near miss, in the order of
/// the text.
///
/// Never fails: the caller decides which items are acceptable.
#[must_use]
pub fn read(text: &[u8]) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    let mut lines = LineCounter { text, at: 0, line: 1 };
    let mut at = 0;
    while let Some(found) = next_block(text, at) {
        report_unreadable(text, at, found.begin, &mut lines, &mut items);
        items.push(Item::Block(Block {
            label: String::from_utf8_lossy(found.label),
            line: lines.line_of(found.begin),
            headers: found.headers,
            content: found.content,
        }));
        at = found.rest;
    }
    report_unreadable(text, at, text.len(), &mut lines, &mut items);
    items
}

/// A block and its place, as offsets from the start of the whole text.
struct Found<'t> {
    begin: usize,
    label: &'t [u8],
    headers: bool,
    content: Vec<u8>,
    rest: usize,
}

/// Returns the first readable block at or after `from`.
///
/// Walks from END marker to END marker. The candidate for each is the last BEGIN before it, so that
/// a BEGIN without an END is skipped.
fn next_block(text: &[u8], from: usize) -> Option<Found<'_>> {
    let mut at = from;
    loop {
        let end = at + memmem::find(text.get(at..)?, END)?;
        let behind_end = end + END.len();
        match candidate(text, at, end) {
            Candidate::Block(found) => return Some(found),
            Candidate::Nothing => at = behind_end,
            // The text ended within the headers after the last BEGIN line. Go's `Decode` returns
            // nothing here, although later blocks may follow, and so does this.
            Candidate::GiveUp => return None,
        }
    }
}

enum Candidate<'t> {
    Block(Found<'t>),
    GiveUp,
    Nothing,
}

/// Returns the block that ends with the END marker at `end`, if its BEGIN is at or after `at`.
fn candidate(text: &[u8], at: usize, end: usize) -> Candidate<'_> {
    try_candidate(text, at, end).unwrap_or(Candidate::Nothing)
}

fn try_candidate(text: &[u8], at: usize, end: usize) -> Option<Candidate<'_>> {
    let begin = at + memmem::rfind(text.get(at..end)?, BEGIN)?;
    // At the very start of what is left, a marker needs no newline before it.
    if begin > at && text.get(begin - 1) != Some(&b'\n') {
        return None;
    }
    let (begin_line, mut body) = line_at(text, begin + BEGIN.len())?;
    let label = begin_line.strip_suffix(DASHES)?;

    let mut headers = false;
    loop {
        if body >= text.len() {
            return Some(Candidate::GiveUp);
        }
        let (line, next) = line_at(text, body)?;
        if !line.contains(&b':') {
            break;
        }
        headers = true;
        body = next;
    }
    let behind_end = end + END.len();
    // The END marker begins with the newline that the BEGIN line (or a header) may have consumed.
    if headers && body > end {
        return if body > behind_end { Some(Candidate::GiveUp) } else { None };
    }

    let trailer_len = label.len() + DASHES.len();
    let trailer = text.get(behind_end..behind_end + trailer_len)?;
    if !trailer.starts_with(label) || !trailer.ends_with(DASHES) {
        return None;
    }
    let (after_trailer, rest) = line_at(text, behind_end + trailer_len)?;
    if !after_trailer.is_empty() {
        return None;
    }
    let content = if body < end { decode(text.get(body..end)?)? } else { Vec::new() };
    Some(Candidate::Block(Found { begin, label, headers, content, rest }))
}

/// Returns the line at `at`, without trailing blanks and line end, and the offset of the next line.
fn line_at(text: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = text.get(at..)?;
    let (line, next) = match memchr::memchr(b'\n', rest) {
        Some(newline) => {
            let line = rest.get(..newline)?;
            (line.strip_suffix(b"\r").unwrap_or(line), at + newline + 1)
        }
        None => (rest, text.len()),
    };
    // Go's `getLine` trims spaces and tabs only, and only one CR.
    let kept = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |last| last + 1);
    Some((line.get(..kept)?, next))
}

/// Decodes base64 with blanks and line ends anywhere, as Go does: padding is required, and unused
/// bits are ignored.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let bare: Vec<u8> =
        text.iter().copied().filter(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')).collect();
    BASE64.decode(bare).ok()
}

/// Reports near misses and each BEGIN marker in `from..to`, where no readable block is.
fn report_unreadable<'t>(
    text: &'t [u8],
    from: usize,
    to: usize,
    lines: &mut LineCounter<'t>,
    items: &mut Vec<Item<'t>>,
) {
    near_miss::walk(text, from..to, |sight| {
        items.push(Item::Unreadable(match sight {
            Sight::Begin(begin) => Unreadable {
                label: label_at(text, begin),
                line: lines.line_of(begin),
                fault: diagnose(text, begin),
            },
            Sight::NearMiss(at, fault, label) => {
                Unreadable { label: Cow::Borrowed(label), line: lines.line_of(at), fault }
            }
        }));
    });
}

/// Returns the label of a marker without a block: up to the dashes, limited in length.
fn label_at(text: &[u8], begin: usize) -> Cow<'_, str> {
    // Reading the whole line would be quadratic in a line that consists of markers only.
    let behind = text.get(begin + BEGIN.len()..).unwrap_or_default();
    let window = behind.get(..LABEL_LEN_MAX + DASHES.len() + 1).unwrap_or(behind);
    let (line, _) = line_at(window, 0).unwrap_or_default();
    let label = memmem::find(line, DASHES).and_then(|dashes| line.get(..dashes)).unwrap_or(line);
    Cow::Borrowed(match str::from_utf8(label) {
        Ok(label) => printable_label(label),
        Err(_) => UNPRINTABLE,
    })
}

/// Returns `label` if it can be shown, else `?`: a broken BEGIN line may run into content, perhaps
/// that of a private key, and content is never quoted.
#[must_use]
pub fn printable_label(label: &str) -> &str {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ';
    if label.len() <= LABEL_LEN_MAX && label.bytes().all(plain) { label } else { UNPRINTABLE }
}

fn diagnose(text: &[u8], begin: usize) -> Fault {
    if text.get(..begin) == Some(BOM) {
        return Fault::ByteOrderMark;
    }
    if begin > 0 && text.get(begin - 1) != Some(&b'\n') {
        return Fault::NotAtLineStart;
    }
    let behind = begin + BEGIN.len();
    let (line, body) = line_at(text, behind).unwrap_or_default();
    if memmem::find(line, END.trim_ascii_start()).is_some() {
        return Fault::OneLine;
    }
    let Some(label) = line.strip_suffix(DASHES) else {
        return Fault::BadBegin;
    };
    // Searching for END only up to the next BEGIN keeps this linear in a text that consists of
    // markers only.
    let rest = text.get(behind..).unwrap_or_default();
    let own = memmem::find(rest, BEGIN).and_then(|next| rest.get(..next)).unwrap_or(rest);
    let Some(end) = memmem::find(own, END) else {
        return Fault::NoEnd;
    };
    let end = behind + end;
    let (end_line, _) = line_at(text, end + END.len()).unwrap_or_default();
    if end_line.strip_suffix(DASHES) != Some(label) {
        return Fault::BadEnd;
    }
    let content = text.get(body..end).unwrap_or_default();
    if decode(content).is_none() { Fault::BadBase64 } else { Fault::BadEnd }
}

/// Converts ascending offsets into line numbers in a single pass.
struct LineCounter<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
}

impl LineCounter<'_> {
    fn line_of(&mut self, offset: usize) -> usize {
        if let Some(passed) = self.text.get(self.at..offset) {
            self.line += memchr::memchr_iter(b'\n', passed).count();
            self.at = offset;
        }
        self.line
    }
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";
/// U+FEFF in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";
const UNPRINTABLE: &str = "?";
/// Longest label that is repeated in messages; the longest of RFC 7468 has 21 characters.
const LABEL_LEN_MAX: usize = 40;
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

#[cfg(test)]
mod tests {
    use super::*;

    /// `AQID` is the base64 of 1, 2, 3.
    const GOOD: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";

    fn faults(text: &str) -> Vec<(usize, String, Fault)> {
        read(text.as_bytes())
            .into_iter()
            .filter_map(|item| match item {
                Item::Block(_) => None,
                Item::Unreadable(u) => Some((u.line, u.label.into_owned(), u.fault)),
            })
            .collect()
    }

    #[test]
    fn each_way_to_break_a_block_is_named_with_its_line() {
        let cases = [
            ("text\n-----BEGIN CERTIFICATE-----\nAQID\n", 2, Fault::NoEnd),
            ("-----BEGIN CERTIFICATE-----\nA*ID\n-----END CERTIFICATE-----\n", 1, Fault::BadBase64),
            ("-----BEGIN CERTIFICATE-----\nAQID\n-----END CERT-----\n", 1, Fault::BadEnd),
            ("-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE----- x\n", 1, Fault::BadEnd),
            ("-----BEGIN CERTIFICATE----\nAQID\n-----END CERTIFICATE-----\n", 1, Fault::BadBegin),
            (
                "\n\n -----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n",
                3,
                Fault::NotAtLineStart,
            ),
        ];
        for (text, line, fault) in cases {
            let found = faults(text);
            assert_eq!(found.len(), 1, "{text:?}: {found:?}");
            assert_eq!((found[0].0, found[0].2), (line, fault), "{text:?}");
            // A good block behind it is still read.
            let both = format!("{text}\n{GOOD}");
            assert!(read(both.as_bytes()).iter().any(|i| matches!(i, Item::Block(_))), "{both:?}");
        }
    }

    /// The recorded answers of Go's `encoding/pem` (tests/fixtures/certificates/README.md).
    #[test]
    fn finds_the_blocks_that_go_finds() {
        #[derive(serde::Deserialize)]
        struct Case {
            name: String,
            input_base64: String,
            blocks: Vec<GoBlock>,
        }
        #[derive(serde::Deserialize)]
        struct GoBlock {
            r#type: String,
            headers: Option<std::collections::BTreeMap<String, String>>,
            sha256: String,
        }
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../../tests/fixtures/certificates/pem.json"))
                .unwrap();
        assert!(cases.len() >= 60, "{}", cases.len());
        for case in cases {
            let input = BASE64.decode(&case.input_base64).unwrap();
            let ours: Vec<_> = read(&input)
                .into_iter()
                .filter_map(|item| match item {
                    Item::Block(b) => {
                        let digest = ring::digest::digest(&ring::digest::SHA256, &b.content);
                        let hex: String =
                            digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                        Some((b.label.into_owned(), b.headers, hex))
                    }
                    Item::Unreadable(_) => None,
                })
                .collect();
            let go: Vec<_> = case
                .blocks
                .into_iter()
                .map(|b| (b.r#type, b.headers.is_some_and(|h| !h.is_empty()), b.sha256))
                .collect();
            assert_eq!(ours, go, "{}", case.name);
        }
    }

    /// Follows Go 1.27: after a stray END, a marker at the start of the remaining text counts.
    #[test]
    fn a_begin_right_behind_a_stray_end_is_read() {
        let text = format!("\n-----END {GOOD}");
        assert!(
            matches!(read(text.as_bytes()).as_slice(), [Item::Block(block)] if block.line == 2)
        );
    }

    #[test]
    fn a_broken_begin_line_does_not_leak_what_follows_it() {
        let text = "-----BEGIN PRIVATE KEY c2VjcmV0\nc2VjcmV0\n";
        assert_eq!(faults(text), [(1, "?".to_owned(), Fault::BadBegin)]);
    }

    #[test]
    fn lines_are_counted_across_several_blocks() {
        let text = format!("{GOOD}{GOOD}# comment\n{GOOD}");
        let lines: Vec<usize> = read(text.as_bytes())
            .iter()
            .map(|item| match item {
                Item::Block(block) => block.line,
                Item::Unreadable(u) => panic!("{u:?}"),
            })
            .collect();
        assert_eq!(lines, [1, 4, 8]);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }

        #[test]
        fn every_marker_is_accounted_for(parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "-----BEGIN ", "\n-----END ", "CERTIFICATE", "-----", "\n", "AQID", " ", ":", "=", "\r", "x",
            ]), 0..60)) {
            let text = parts.concat();
            let markers = memmem::find_iter(text.as_bytes(), BEGIN).count();
            let items = read(text.as_bytes());
            let near_miss = |item: &&Item<'_>| {
                matches!(item, Item::Unreadable(lost) if lost.fault.is_near_miss())
            };
            let near_misses = items.iter().filter(near_miss).count();
            proptest::prop_assert_eq!(items.len() - near_misses, markers);
        }
    }
}
