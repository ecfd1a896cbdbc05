//! The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: the codes follow from their lengths, so lengths are all that is written
//! down here, and every table is made of them by the compiler.

use super::super::Fault;

/// Decodes a string, symbol by symbol.
pub(super) fn decode(input: &[u8], mut each: impl FnMut(u8)) -> Result<(), Fault> {
    let mut input = input.iter();
    // Bits yet to be decoded, from the top, and how many of them there are.
    let (mut bits, mut have) = (0_u64, 0_u32);
    loop {
        while have <= 56
            && let Some(&byte) = input.next()
        {
            bits |= u64::from(byte) << (56 - have);
            have += 8;
        }
        let (symbol, length) = match SHORT.get((bits >> 56) as usize) {
            Some(&(symbol, length)) if length > 0 => (u16::from(symbol), u32::from(length)),
            _ => long(bits),
        };
        if length > have {
            // What is left is padding: fewer than 8 bits, all of them set.
            let padding = !0_u64 << (64 - have.max(1));
            let is_padding = have == 0 || (have < 8 && bits == padding);
            return if is_padding { Ok(()) } else { Err(Fault::Compression) };
        }
        let Ok(symbol) = u8::try_from(symbol) else { return Err(Fault::Compression) };
        each(symbol);
        bits <<= length;
        have -= length;
    }
}

/// Encodes a text.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut have) = (0_u64, 0_u32);
    for &byte in text {
        let Some(&(code, length)) = CODES.get(usize::from(byte)) else { continue };
        bits = bits << length | u64::from(code);
        have += u32::from(length);
        while have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    if have > 0 {
        let padding = 8 - have;
        out.push((bits << padding) as u8 | ((1_u16 << padding) - 1) as u8);
    }
}

/// Bytes of a text when it is encoded.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text
        .iter()
        .filter_map(|&byte| LENGTHS.get(usize::from(byte)))
        .map(|&length| usize::from(length))
        .sum();
    bits.div_ceil(8)
}

/// The symbol at the top of the bits, when its code is longer than 8 of them, and its length.
fn long(bits: u64) -> (u16, u32) {
    let top = (bits >> 32) as u32;
    for row in &LONG {
        // Codes of one length follow one another, and all shorter codes are below them.
        if top < row.end || row.end == 0 {
            let code = (top - row.begin) >> (32 - row.length);
            let at = usize::from(row.first) + code as usize;
            return (SORTED.get(at).copied().unwrap_or(EOS), row.length);
        }
    }
    (EOS, EOS_LENGTH)
}

/// The codes of one length: the first, and what is above the last, as the top bits of 32.
#[derive(Clone, Copy)]
struct Row {
    length: u32,
    begin: u32,
    /// 0 stands for 2^32.
    end: u32,
    /// The index of their first symbol in [`SORTED`].
    first: u16,
}

/// Each symbol's code and its length.
const CODES: [(u32, u8); SYMBOLS] = codes();
/// The code that begins with these 8 bits: symbol and length, or length 0 for a code that is
/// longer.
const SHORT: [(u8, u8); 256] = short();
/// Lengths above 8.
const LONG: [Row; LONG_LENGTHS] = long_rows();
/// Symbols by length, and those of a length by value.
const SORTED: [u16; SYMBOLS] = sorted();

#[expect(clippy::indexing_slicing, reason = "the compiler refuses an index that is out of bounds")]
const fn sorted() -> [u16; SYMBOLS] {
    let mut sorted = [0; SYMBOLS];
    let (mut length, mut at) = (1, 0);
    while length <= EOS_LENGTH {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as u32 == length {
                sorted[at] = symbol as u16;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    sorted
}

#[expect(clippy::indexing_slicing, reason = "the compiler refuses an index that is out of bounds")]
const fn codes() -> [(u32, u8); SYMBOLS] {
    let sorted = sorted();
    let mut codes = [(0, 0); SYMBOLS];
    let (mut at, mut code, mut before) = (0, 0_u32, 0);
    while at < SYMBOLS {
        let symbol = sorted[at] as usize;
        let length = LENGTHS[symbol];
        code <<= length - before;
        codes[symbol] = (code, length);
        code += 1;
        before = length;
        at += 1;
    }
    codes
}

#[expect(clippy::indexing_slicing, reason = "the compiler refuses an index that is out of bounds")]
const fn short() -> [(u8, u8); 256] {
    let codes = codes();
    let mut short = [(0, 0); 256];
    let mut symbol = 0;
    while symbol < 256 {
        let (code, length) = codes[symbol];
        if length <= 8 {
            let mut fill = 0;
            while fill < 1 << (8 - length) {
                short[(code << (8 - length)) as usize + fill] = (symbol as u8, length);
                fill += 1;
            }
        }
        symbol += 1;
    }
    short
}

#[expect(clippy::indexing_slicing, reason = "the compiler refuses an index that is out of bounds")]
const fn long_rows() -> [Row; LONG_LENGTHS] {
    let (sorted, codes) = (sorted(), codes());
    let mut rows = [Row { length: 0, begin: 0, end: 0, first: 0 }; LONG_LENGTHS];
    let (mut at, mut row) = (0, 0);
    while at < SYMBOLS {
        let (code, length) = codes[sorted[at] as usize];
        let mut after = at + 1;
        while after < SYMBOLS && LENGTHS[sorted[after] as usize] == length {
            after += 1;
        }
        if length > 8 {
            let shift = 32 - length as u32;
            let begin = code << shift;
            let end = (code + (after - at) as u32).wrapping_shl(shift);
            rows[row] = Row { length: length as u32, begin, end, first: at as u16 };
            row += 1;
        }
        at = after;
    }
    rows
}

/// 256 bytes, and the end of a string, which no string may hold.
const SYMBOLS: usize = 257;
const EOS: u16 = 256;
const EOS_LENGTH: u32 = 30;
/// The lengths above 8 that there are: 10 to 15 and 19 to 28, and 30.
const LONG_LENGTHS: usize = 17;
/// The length of each symbol's code, in bits (RFC 7541, appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut text = Vec::new();
        decode(input, |byte| text.push(byte)).map(|()| text)
    }

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text, &mut out);
        out
    }

    #[test]
    fn the_code_is_whole_and_its_ends_are_those_of_the_rfc() {
        let sum: u64 = LENGTHS.iter().map(|&length| 1 << (EOS_LENGTH - u32::from(length))).sum();
        assert_eq!(sum, 1 << EOS_LENGTH);
        for (symbol, code) in [
            (0, 0x1ff8),
            (10, 0x3fff_fffc),
            (48, 0x0),
            (92, 0x7fff0),
            (127, 0x0fff_fffc),
            (249, 0x0fff_fffe),
            (256, 0x3fff_ffff),
        ] {
            assert_eq!(CODES[symbol].0, code, "{symbol}");
        }
        assert!(LONG.iter().all(|row| row.length > 8));
    }

    #[test]
    fn examples_of_the_rfc_are_decoded_and_encoded() {
        for (hex, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95bb8e8b4bf", "custom-value"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("6402", "302"),
            (
                "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
        ] {
            let bytes = super::super::tests::bytes(hex);
            assert_eq!(decoded(&bytes).unwrap(), text.as_bytes(), "{text}");
            assert_eq!(encoded(text.as_bytes()), bytes, "{text}");
            assert_eq!(encoded_len(text.as_bytes()), bytes.len());
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decoded(&encoded(&all)).unwrap(), all);
        for byte in 0..=255 {
            assert_eq!(decoded(&encoded(&[byte])).unwrap(), [byte]);
        }
    }

    #[test]
    fn padding_is_fewer_than_8_set_bits_and_the_end_is_no_symbol() {
        // `0` is 5 zeros; `:` is 1011100, and `X` 11111100.
        for (input, good) in [
            (&[0b0000_0111][..], true),
            (&[0b0000_0110], false),
            (&[0b0000_0111, 0xff], false),
            (&[0xff], false),
            (&[0b1111_1100], true),
            (&[0xff, 0xff, 0xff, 0xff], false),
            (&[], true),
        ] {
            assert_eq!(decoded(input).is_ok(), good, "{input:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_and_what_decodes_is_what_is_encoded(
            input in proptest::collection::vec(any::<u8>(), 0..64)
        ) {
            if let Ok(text) = decoded(&input) {
                prop_assert_eq!(encoded(&text), input);
            }
        }
    }
}
