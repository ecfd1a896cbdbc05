//! A walk over DER (X.690) that checks the encoding and finds elements.
//!
//! "Sound" is about the encoding only: definite lengths in their shortest form, integers and
//! booleans as DER writes them, no trailing bytes. The meaning of elements is not checked, and the
//! content of OCTET STRINGs (extensions) is not parsed.

/// One element: its identifier octet, its content, and the whole of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'d> {
    pub(super) tag: u8,
    pub(super) content: &'d [u8],
    pub(super) raw: &'d [u8],
}

impl<'d> Element<'d> {
    /// The elements inside a constructed element.
    pub(super) const fn children(self) -> Elements<'d> {
        Elements { rest: self.content }
    }

    const fn is_constructed(self) -> bool {
        self.tag & CONSTRUCTED != 0
    }
}

/// A sequence of elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'d> {
    pub(super) rest: &'d [u8],
}

impl<'d> Elements<'d> {
    /// Returns the next element; `None` at the end, or if it is malformed.
    pub(super) fn next(&mut self) -> Option<Element<'d>> {
        let all = self.rest;
        let (&tag, behind_tag) = all.split_first()?;
        if tag & TAG_NUMBER == TAG_NUMBER {
            // Tags above 30 occur in no certificate outside of extension contents.
            return None;
        }
        let (&first, behind_length) = behind_tag.split_first()?;
        let (len, body) = if first < 0x80 {
            (usize::from(first), behind_length)
        } else {
            let count = usize::from(first & 0x7f);
            let (digits, body) = behind_length.split_at_checked(count)?;
            // DER (X.690, 10.1) demands the shortest form: no leading zero, and the long form only
            // for 128 and more. 0x80, the indefinite length of BER, has no first digit.
            if *digits.first()? == 0 || count > size_of::<u32>() {
                return None;
            }
            let len = digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit));
            if len < 0x80 {
                return None;
            }
            (len, body)
        };
        let (content, rest) = body.split_at_checked(len)?;
        self.rest = rest;
        let raw = all.get(..all.len() - rest.len())?;
        Some(Element { tag, content, raw })
    }

    /// Returns the next element if it has this tag; otherwise nothing is consumed.
    pub(super) fn take(&mut self, tag: u8) -> Option<Element<'d>> {
        let mut ahead = *self;
        let element = ahead.next().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }
}

/// Returns true if everything below `element` is sound. Recursion ends at [`DEPTH_MAX`].
pub(super) fn is_sound(element: Element<'_>, depth: usize) -> bool {
    if element.is_constructed() {
        // A string in segments is BER (X.690, 10.2); of the universal types only SEQUENCE and SET
        // are constructed.
        if element.tag & CLASS == 0 && !matches!(element.tag, SEQUENCE | SET) {
            return false;
        }
        let mut children = element.children();
        while !children.rest.is_empty() {
            let Some(child) = children.next() else { return false };
            if depth >= DEPTH_MAX || !is_sound(child, depth + 1) {
                return false;
            }
        }
        return true;
    }
    match (element.tag, element.content) {
        (BOOLEAN, [0 | 0xff]) => true,
        (INTEGER, [_]) => true,
        // Nine equal leading bits would be one octet too many (X.690, 8.3.2).
        (INTEGER, [first, second, ..]) => {
            !matches!((first, second), (0, 0..=0x7f) | (0xff, 0x80..=0xff))
        }
        (BIT_STRING, [0]) => true,
        // Unused bits are zero (X.690, 11.2.1).
        (BIT_STRING, [unused @ 0..=7, .., last]) => last.trailing_zeros() >= u32::from(*unused),
        (BOOLEAN | INTEGER | BIT_STRING, _) => false,
        // SEQUENCE and SET are always constructed (X.690, 8.9.1 and 8.11.1).
        (tag, _) => !matches!(tag | CONSTRUCTED, SEQUENCE | SET),
    }
}

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const NULL: u8 = 0x05;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const NUMERIC_STRING: u8 = 0x12;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const T61_STRING: u8 = 0x14;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const BMP_STRING: u8 = 0x1e;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[n] EXPLICIT`.
pub(super) const fn explicit(n: u8) -> u8 {
    0xa0 | n
}

const CLASS: u8 = 0xc0;
const CONSTRUCTED: u8 = 0x20;
const TAG_NUMBER: u8 = 0x1f;
/// Limit on nesting: certificates nest about eight deep, and far more is an attack on the stack.
const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(bytes: &[u8]) -> bool {
        let mut elements = Elements { rest: bytes };
        elements.next().is_some_and(|e| is_sound(e, 0)) && elements.rest.is_empty()
    }

    #[test]
    fn each_rule_of_the_encoding_counts() {
        let long = |prefix: &[u8], content: usize| [prefix, &vec![1; content]].concat();
        let cases: [(&str, Vec<u8>, bool); 17] = [
            ("short length", vec![0x04, 1, 9], true),
            ("truncated", vec![0x04, 2, 9], false),
            ("indefinite length", vec![0x30, 0x80, 0, 0], false),
            ("long form", long(&[0x04, 0x81, 0x80], 0x80), true),
            ("long form that the short would do for", long(&[0x04, 0x81, 0x7f], 0x7f), false),
            ("long form with a leading zero", long(&[0x04, 0x82, 0, 0x80], 0x80), false),
            ("high tag number", vec![0x1f, 0x20, 0], false),
            ("negative number", vec![0x02, 1, 0xff], true),
            ("no number", vec![0x02, 0], false),
            ("padded number", vec![0x02, 2, 0, 0x7f], false),
            ("padded negative number", vec![0x02, 2, 0xff, 0x80], false),
            ("number that needs its zero", vec![0x02, 2, 0, 0x80], true),
            ("true", vec![0x01, 1, 0xff], true),
            ("true as one", vec![0x01, 1, 1], false),
            ("unused bits that are set", vec![0x03, 2, 1, 1], false),
            ("string in parts", vec![0x24, 3, 0x04, 1, 9], false),
            ("primitive sequence", vec![0x10, 0], false),
        ];
        for (name, bytes, wanted) in cases {
            assert_eq!(sound(&bytes), wanted, "{name}");
        }
    }

    #[test]
    fn nesting_ends_before_the_stack_does() {
        // Each sequence holds all that follow; four length octets throughout, as DER's sizes allow.
        let mut nested = Vec::new();
        for _ in 0..200_000 {
            let len = nested.len();
            nested.extend(match u8::try_from(len) {
                Ok(short @ 0..=0x7f) => vec![short, 0x30],
                _ => {
                    let digits = len.to_le_bytes();
                    let used = digits.iter().rposition(|d| *d != 0).unwrap() + 1;
                    let mut head = digits[..used].to_vec();
                    head.extend([0x80 | u8::try_from(used).unwrap(), 0x30]);
                    head
                }
            });
        }
        nested.reverse();
        assert!(!sound(&nested));
        assert!(sound(&nested[nested.len() - 20..]), "or this test nests nothing");
    }
}
