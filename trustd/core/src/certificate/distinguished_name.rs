//! Printing a distinguished name exactly as Go's `pkix.Name.String` does.
//!
//! trust-manager builds key-store aliases from that text, so a drop-in has to repeat it, oddities
//! included: attributes are regrouped by type, only the last CN and SERIALNUMBER survive, and
//! values that are no strings are dropped from types that Go names and printed in hex for others.
//! The rule is that of Go 1.27, with which trust-manager v0.25.0 is built; Go 1.26 printed strings
//! of unnamed types in hex too.

use x509_parser::der_parser::asn1_rs::Oid;

use super::der::{self, Element};

/// Attribute types that Go names, in the order in which it encodes them; printing reverses it.
const NAMED: [(&str, &str); 9] = [
    ("2.5.4.6", "C"),
    ("2.5.4.8", "ST"),
    ("2.5.4.7", "L"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.3", COMMON_NAME),
    ("2.5.4.5", SERIAL_NUMBER),
];
const COMMON_NAME: &str = "CN";
const SERIAL_NUMBER: &str = "SERIALNUMBER";

/// The name as Go prints it. Values that Go would refuse are printed as well as they can be read;
/// parts that are no attributes at all are left out.
pub(super) fn print(name: Element<'_>) -> String {
    let mut others = Vec::new();
    let mut grouped: [Vec<String>; NAMED.len()] = Default::default();
    let mut sets = name.children();
    while let Some(set) = sets.next() {
        let mut attributes = set.children();
        while let Some(attribute) = attributes.next() {
            let mut parts = attribute.children();
            let (Some(oid), Some(value)) = (parts.take(der::OBJECT_IDENTIFIER), parts.next())
            else {
                continue;
            };
            let oid = super::oid_text(&Oid::new(oid.content.into()));
            let named = NAMED.iter().zip(&mut grouped).find(|((id, _), _)| *id == oid);
            match (named, text(value)) {
                (None, Some(text)) => others.push(format!("{oid}={}", escape(&text))),
                (None, None) => others.push(format!("{oid}={}", not_text(value))),
                // Go keeps these two in single fields, so the last value overwrites the others.
                (Some(((_, COMMON_NAME | SERIAL_NUMBER), values)), Some(text)) => {
                    *values = vec![text];
                }
                (Some((_, values)), Some(text)) => values.push(text),
                (Some(_), None) => {}
            }
        }
    }
    let groups = NAMED.iter().zip(&grouped).filter_map(|((_, label), values)| {
        // Go leaves out an empty CN or SERIALNUMBER, but not another empty attribute.
        let absent = matches!(*label, COMMON_NAME | SERIAL_NUMBER)
            && values.first().is_none_or(String::is_empty);
        let parts: Vec<String> = values.iter().map(|v| format!("{label}={}", escape(v))).collect();
        (!absent && !parts.is_empty()).then(|| parts.join("+"))
    });
    let mut parts: Vec<String> = others.into_iter().chain(groups).collect();
    // RFC 2253, 2.1 prints the sequence in reverse, starting with the last element.
    parts.reverse();
    parts.join(",")
}

/// A string as Unicode text, as well as it can be read; nothing for another type.
fn text(value: Element<'_>) -> Option<String> {
    let bytes = value.content;
    match value.tag {
        // T.61 is Latin-1 in practice, and Go and BoringSSL read it as such.
        der::T61_STRING => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        der::BMP_STRING => {
            let units: Vec<u16> = bytes
                .chunks_exact(2)
                .filter_map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)))
                .collect();
            // Surrogate pairs are accepted, and a trailing NUL, which old software wrote, is not
            // printed.
            Some(String::from_utf16_lossy(units.strip_suffix(&[0]).unwrap_or(&units)))
        }
        der::UTF8_STRING | der::NUMERIC_STRING | der::PRINTABLE_STRING | der::IA5_STRING => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => None,
    }
}

/// Any other value: its DER in hex, and Go's word for NULL.
fn not_text(value: Element<'_>) -> String {
    if value.tag == der::NULL {
        return escape("<nil>");
    }
    super::hex_digits("#", value.raw)
}

/// The escapes of RFC 2253 as Go applies them; positions are counted in bytes.
fn escape(value: &str) -> String {
    let last = value.len().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let special = match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at == last,
            '#' => at == 0,
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
