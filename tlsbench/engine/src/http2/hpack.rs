//! HPACK (RFC 7541): header blocks of responses are decompressed, those of requests made.
//!
//! The decoder keeps no texts. Of each field it knows the length, which is what keeps its table in
//! step with the server's, and the meaning, where it has one for us.

use super::{Fault, HEADER_LIST_MAX};

mod fixed;
mod huffman;
mod put;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;

pub(crate) use put::{Indexing, dynamic, put_field, put_indexed, put_table_size};

/// The head that a block of a response decodes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DecodedHead {
    /// `:status`.
    pub(crate) status: Option<u16>,
    /// `content-length`.
    pub(crate) length: Option<u64>,
    /// True if it is no head of a response, though it could be decompressed (RFC 9113, section
    /// 8.1.1).
    pub(crate) malformed: bool,
}

/// Decompresses the header blocks of one connection.
#[derive(Debug)]
pub(crate) struct HpackDecoder {
    /// A ring: `newest` and the `count - 1` places after it.
    entries: Box<[Entry; ENTRIES]>,
    newest: usize,
    count: usize,
    /// The table's size and limit, as the RFC counts.
    size: usize,
    limit: usize,
}

/// A field of the dynamic table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    size: u32,
    name_length: u32,
    name: KnownName,
    field: KnownField,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KnownName {
    /// A pseudo header field of a request or of another protocol, or an unknown one.
    Bad,
    Length,
    Other,
    Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KnownField {
    Bad,
    Length(u64),
    Other,
    Status(u16),
}

impl HpackDecoder {
    pub(crate) fn new() -> Self {
        Self {
            entries: Box::new([Entry::NONE; ENTRIES]),
            newest: 0,
            count: 0,
            size: 0,
            limit: TABLE_MAX,
        }
    }

    /// Begins with a new connection.
    pub(crate) fn reset(&mut self) {
        (self.count, self.size, self.limit) = (0, 0, TABLE_MAX);
    }

    /// Decompresses a whole block.
    pub(crate) fn decode(&mut self, mut block: &[u8]) -> Result<DecodedHead, Fault> {
        let mut head = DecodedHead::default();
        let (mut list, mut is_begin, mut regular) = (0, true, false);
        while let Some(&first) = block.first() {
            let entry = if first & 0x80 != 0 {
                self.find(integer(&mut block, 7)?)?
            } else if first & 0xe0 == 0x20 {
                let limit = integer(&mut block, 5)?;
                // Changes of size stand at the beginning of a block (section 4.2).
                if !is_begin || limit > TABLE_MAX {
                    return Err(Fault::Compression);
                }
                self.limit = limit;
                self.evict(limit);
                continue;
            } else {
                let is_kept = first & 0x40 != 0;
                let entry = self.literal(&mut block, if is_kept { 6 } else { 4 })?;
                if is_kept {
                    self.insert(entry);
                }
                entry
            };
            is_begin = false;
            list += entry.size as usize;
            head.take(entry.field, &mut regular);
        }
        head.malformed |= list > HEADER_LIST_MAX as usize;
        Ok(head)
    }

    fn literal(&self, block: &mut &[u8], prefix: u32) -> Result<Entry, Fault> {
        let (name, name_length) = match integer(block, prefix)? {
            0 => {
                let text = Text::read(block)?;
                (text.name(), text.length)
            }
            index => {
                let entry = self.find(index)?;
                (entry.name, entry.name_length as usize)
            }
        };
        let text = Text::read(block)?;
        // Strings end within a block, which has a limit far below 2^32.
        let size = (name_length + text.length + OVERHEAD) as u32;
        Ok(Entry { size, name_length: name_length as u32, name, field: text.field(name) })
    }

    fn find(&self, index: usize) -> Result<Entry, Fault> {
        if let Some((name, value)) = fixed::field(index) {
            let known = match index {
                STATUS_FIRST..=STATUS_LAST => KnownName::Status,
                LENGTH => KnownName::Length,
                1..STATUS_FIRST | TRANSFER_ENCODING => KnownName::Bad,
                _ => KnownName::Other,
            };
            let size = (name.len() + value.len() + OVERHEAD) as u32;
            let field = Text::of(value.as_bytes()).field(known);
            return Ok(Entry { size, name_length: name.len() as u32, name: known, field });
        }
        let at = index.checked_sub(fixed::FIELDS + 1).filter(|&at| at < self.count);
        let entry = at.and_then(|at| self.entries.get((self.newest + at) % ENTRIES));
        entry.copied().ok_or(Fault::Compression)
    }

    fn insert(&mut self, entry: Entry) {
        let size = entry.size as usize;
        // What does not fit empties the table, which is no error (section 4.4).
        self.evict(self.limit.saturating_sub(size));
        if size > self.limit {
            return;
        }
        self.newest = (self.newest + ENTRIES - 1) % ENTRIES;
        if let Some(place) = self.entries.get_mut(self.newest) {
            *place = entry;
            self.count += 1;
            self.size += size;
        }
    }

    /// Drops the oldest entries until the rest fits.
    fn evict(&mut self, limit: usize) {
        while self.size > limit && self.count > 0 {
            self.count -= 1;
            let oldest = self.entries.get((self.newest + self.count) % ENTRIES);
            self.size -= oldest.map_or(0, |entry| entry.size as usize);
        }
    }
}

impl DecodedHead {
    fn take(&mut self, field: KnownField, regular: &mut bool) {
        match field {
            KnownField::Status(status) => {
                self.malformed |= *regular || self.status.is_some();
                self.status = Some(status);
                return;
            }
            KnownField::Bad => self.malformed = true,
            KnownField::Length(length) => {
                self.malformed |= self.length.is_some_and(|other| other != length);
                self.length = Some(length);
            }
            KnownField::Other => {}
        }
        *regular = true;
    }
}

impl Entry {
    const NONE: Self =
        Self { size: 0, name_length: 0, name: KnownName::Other, field: KnownField::Other };
}

/// A string as far as it matters: its length, its beginning, and what it may not hold.
#[derive(Clone, Copy, Debug)]
struct Text {
    length: usize,
    begin: [u8; TEXT],
    /// True if it holds what no name may: capitals, control characters, a colon within.
    no_name: bool,
    /// True if it holds what no value may.
    no_value: bool,
}

impl Text {
    fn of(text: &[u8]) -> Self {
        let mut read = Self { length: 0, begin: [0; TEXT], no_name: false, no_value: false };
        for &byte in text {
            read.push(byte);
        }
        read
    }

    fn read(block: &mut &[u8]) -> Result<Self, Fault> {
        let is_coded = block.first().is_some_and(|byte| byte & 0x80 != 0);
        let length = integer(block, 7)?;
        let (text, rest) = block.split_at_checked(length).ok_or(Fault::Compression)?;
        *block = rest;
        if !is_coded {
            return Ok(Self::of(text));
        }
        let mut read = Self::of(&[]);
        huffman::decode(text, |byte| read.push(byte))?;
        Ok(read)
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.begin.get_mut(self.length) {
            *place = byte;
        }
        self.no_name |= byte <= b' ' || byte >= 0x7f || byte.is_ascii_uppercase();
        self.no_name |= byte == b':' && self.length > 0;
        self.no_value |= matches!(byte, b'\0' | b'\n' | b'\r');
        self.length += 1;
    }

    fn name(&self) -> KnownName {
        match self.begin.get(..self.length) {
            _ if self.no_name => KnownName::Bad,
            Some(b":status") => KnownName::Status,
            Some(b"content-length") => KnownName::Length,
            // RFC 9113, section 8.2.2.
            Some(
                b"" | b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
                | b"upgrade",
            )
            | Some([b':', ..]) => KnownName::Bad,
            _ if self.begin.starts_with(b":") => KnownName::Bad,
            _ => KnownName::Other,
        }
    }

    fn field(&self, name: KnownName) -> KnownField {
        let digits = || {
            let text = self.begin.get(..self.length).filter(|text| !text.is_empty())?;
            text.iter().try_fold(0_u64, |sum, digit| {
                let digit = char::from(*digit).to_digit(10)?;
                sum.checked_mul(10)?.checked_add(digit.into())
            })
        };
        match name {
            _ if self.no_value => KnownField::Bad,
            KnownName::Bad => KnownField::Bad,
            KnownName::Other => KnownField::Other,
            KnownName::Length => digits().map_or(KnownField::Bad, KnownField::Length),
            KnownName::Status => digits()
                .filter(|_| self.length == 3)
                .and_then(|status| u16::try_from(status).ok())
                .filter(|&status| status >= 100)
                .map_or(KnownField::Bad, KnownField::Status),
        }
    }
}

/// Reads an integer with a prefix of this many bits (section 5.1).
fn integer(input: &mut &[u8], prefix: u32) -> Result<usize, Fault> {
    let (&first, mut rest) = input.split_first().ok_or(Fault::Compression)?;
    let mask = (1_usize << prefix) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, tail) = rest.split_first().ok_or(Fault::Compression)?;
            rest = tail;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > INTEGER_SHIFT_MAX {
                return Err(Fault::Compression);
            }
        }
    }
    *input = rest;
    Ok(value)
}

/// Bytes that an entry counts besides its texts (section 4.1).
const OVERHEAD: usize = 32;
/// The default, which we leave as it is (SETTINGS_HEADER_TABLE_SIZE).
const TABLE_MAX: usize = 4_096;
/// Each entry counts 32 bytes at least.
const ENTRIES: usize = TABLE_MAX / OVERHEAD;
/// The longest name or number that is looked at has 19 or 20 bytes.
const TEXT: usize = 32;
/// Four bytes of 7 bits are 256 MiB, more than a block has.
const INTEGER_SHIFT_MAX: u32 = 21;
/// Indexes of the static table.
const STATUS_FIRST: usize = 8;
const STATUS_LAST: usize = 14;
const LENGTH: usize = 28;
const TRANSFER_ENCODING: usize = 57;

#[cfg(test)]
mod tests;
