//! Header blocks of requests.

use super::{OVERHEAD, fixed, huffman};

/// The treatment of a field in the server's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Indexing {
    /// The field is put there, if it is not in the static one.
    Kept,
    /// Nobody on the way may keep it (RFC 7541, section 7.1.3).
    Never,
    /// The field is not kept.
    None,
}

/// Writes a field; what it takes of the server's table when it is put there.
pub(crate) fn put_field(
    name: &str,
    value: &str,
    indexing: Indexing,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let found = fixed::find(name, value);
    if let Some((index, true)) = found.filter(|_| indexing != Indexing::Never) {
        put_indexed(index, out);
        return None;
    }
    let (pattern, prefix) = match indexing {
        Indexing::Kept => (0x40, 6),
        Indexing::Never => (0x10, 4),
        Indexing::None => (0, 4),
    };
    match found {
        Some((index, _)) => put_integer(index, pattern, prefix, out),
        None => {
            put_integer(0, pattern, prefix, out);
            put_text(name.as_bytes(), out);
        }
    }
    put_text(value.as_bytes(), out);
    (indexing == Indexing::Kept).then_some(name.len() + value.len() + OVERHEAD)
}

/// Writes a field that is in a table.
pub(crate) fn put_indexed(index: usize, out: &mut Vec<u8>) {
    put_integer(index, 0x80, 7, out);
}

/// Says that the server's table shall be no larger than this.
pub(crate) fn put_table_size(size: usize, out: &mut Vec<u8>) {
    put_integer(size, 0x20, 5, out);
}

/// The index of the field that was put into the table this many fields before the last.
pub(crate) const fn dynamic(back: usize) -> usize {
    fixed::FIELDS + 1 + back
}

/// Writes a text, by Huffman's code where that is shorter.
fn put_text(text: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::encoded_len(text);
    if coded < text.len() {
        put_integer(coded, 0x80, 7, out);
        huffman::encode(text, out);
    } else {
        put_integer(text.len(), 0, 7, out);
        out.extend_from_slice(text);
    }
}

fn put_integer(value: usize, pattern: u8, prefix: u32, out: &mut Vec<u8>) {
    let mask = (1_usize << prefix) - 1;
    if value < mask {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}
