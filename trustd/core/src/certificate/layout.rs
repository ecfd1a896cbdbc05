//! The parts of a certificate (RFC 5280, 4.1).
//!
//! Only the structure is checked, so that no root is lost because of odd content: unknown curves,
//! negative serial numbers, broken extensions and names are all accepted.

use super::Unsound;
use super::der::{self, Element, Elements};
use crate::time::Timestamp;

/// The parts of a certificate that trustd reads.
pub(super) struct Layout<'d> {
    pub(super) version: u8,
    pub(super) serial: &'d [u8],
    pub(super) issuer: Element<'d>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) subject: Element<'d>,
    pub(super) public_key: &'d [u8],
    extensions: Option<Element<'d>>,
}

impl<'d> Layout<'d> {
    pub(super) fn of(bytes: &'d [u8]) -> Result<Self, Unsound> {
        let mut outer = Elements { rest: bytes };
        let certificate = outer.next().ok_or(Unsound::Encoding)?;
        if !der::is_sound(certificate, 0) {
            return Err(Unsound::Encoding);
        }
        let mut parts = match certificate.tag {
            der::SEQUENCE => certificate.children(),
            _ => return Err(Unsound::Layout("outer sequence")),
        };
        let signed = part(&mut parts, der::SEQUENCE, "to-be-signed part")?;
        part(&mut parts, der::SEQUENCE, "signature algorithm")?;
        part(&mut parts, der::BIT_STRING, "signature")?;
        let layout = Self::of_signed(signed)?;
        match outer.rest.len() {
            0 => Ok(layout),
            trailing => Err(Unsound::Trailing(trailing)),
        }
    }

    fn of_signed(signed: Element<'d>) -> Result<Self, Unsound> {
        let mut parts = signed.children();
        let version = parts.take(der::explicit(0)).map_or(1, version);
        let serial = part(&mut parts, der::INTEGER, "serial number")?.content;
        part(&mut parts, der::SEQUENCE, "signature algorithm")?;
        let issuer = part(&mut parts, der::SEQUENCE, "issuer")?;
        let mut validity = part(&mut parts, der::SEQUENCE, "validity")?.children();
        let not_before = time(validity.next()).ok_or(Unsound::Layout("notBefore"))?;
        let not_after = time(validity.next()).ok_or(Unsound::Layout("notAfter"))?;
        let subject = part(&mut parts, der::SEQUENCE, "subject")?;
        let public_key = part(&mut parts, der::SEQUENCE, "public key")?.raw;
        // The order of fields is fixed; the two optional unique identifiers, [1] and [2], are
        // skipped.
        let mut extensions = None;
        while let Some(element) = parts.next() {
            if element.tag == der::explicit(3) {
                extensions = element.children().next();
            }
        }
        Ok(Self { version, serial, issuer, not_before, not_after, subject, public_key, extensions })
    }

    /// Returns true if basicConstraints (RFC 5280, 4.2.1.9) says CA. Only version 3 has extensions.
    pub(super) fn is_ca(&self) -> bool {
        let Some(extensions) = self.extensions.filter(|_| self.version == 3) else {
            return false;
        };
        let mut list = extensions.children();
        let mut constraints = Vec::new();
        while let Some(extension) = list.next() {
            let mut parts = extension.children();
            let id = parts.take(der::OBJECT_IDENTIFIER);
            if id.is_some_and(|id| id.content == BASIC_CONSTRAINTS) {
                // `critical`, which is optional, does not matter here.
                parts.take(der::BOOLEAN);
                constraints.push(parts.take(der::OCTET_STRING));
            }
        }
        // RFC 5280, 4.2 forbids a second instance of an extension; verifiers disagree on which
        // counts.
        let [Some(value)] = constraints.as_slice() else { return false };
        let ca = value.children().take(der::SEQUENCE).and_then(|s| s.children().take(der::BOOLEAN));
        ca.is_some_and(|ca| !matches!(ca.content, [0] | []))
    }
}

fn part<'d>(parts: &mut Elements<'d>, tag: u8, name: &'static str) -> Result<Element<'d>, Unsound> {
    parts.take(tag).ok_or(Unsound::Layout(name))
}

fn version(explicit: Element<'_>) -> u8 {
    match explicit.children().take(der::INTEGER).map(|number| number.content) {
        Some([value @ 0..=0x7f]) => value + 1,
        _ => 0,
    }
}

/// Parses a UTCTime or GeneralizedTime. Missing seconds are 0, and an offset is accepted beside
/// `Z`: RFC 5280 (4.1.2.5) forbids both, but no root is dropped because of that.
fn time(element: Option<Element<'_>>) -> Option<Timestamp> {
    let element = element?;
    let text = str::from_utf8(element.content).ok()?;
    if !text.is_ascii() {
        return None;
    }
    let zone = text.find(['Z', '+', '-'])?;
    let (local, zone) = text.split_at(zone);
    let local = local.split_once('.').map_or(local, |(whole, _)| whole);
    let (year, rest) = match element.tag {
        der::UTC_TIME => {
            // RFC 5280, 4.1.2.5.1: 50 and later is the last century.
            let (year, rest) = number(local, 2)?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        der::GENERALIZED_TIME => number(local, 4)?,
        _ => return None,
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, rest) = if rest.is_empty() { (0, rest) } else { number(rest, 2)? };
    if !rest.is_empty() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = hour * 3600 + minute * 60 + second - offset(zone)?;
    Timestamp::from_civil(
        year.try_into().ok()?,
        month.try_into().ok()?,
        day.try_into().ok()?,
        seconds,
    )
}

/// Parses `Z`, `+hhmm` or `-hhmm` as seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, digits) = zone.split_at_checked(1)?;
    let (hours, rest) = number(digits, 2)?;
    let (minutes, rest) = number(rest, 2)?;
    if !rest.is_empty() || hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    Some(if sign == "-" { -seconds } else { seconds })
}

/// Parses the first `digits` characters as a number, and returns the rest too.
fn number(text: &str, digits: usize) -> Option<(i64, &str)> {
    let (digits, rest) = text.split_at_checked(digits)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    Some((digits.parse().ok()?, rest))
}

/// 2.5.29.19 as it is encoded.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
