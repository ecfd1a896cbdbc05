//! A histogram as records keep it: HDR V2 with deflate, in base64, which other tools decode.

use std::io::{Cursor, Read as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::serialization::{Deserializer as Decoder, Serializer as _, V2DeflateSerializer};
use hdrhistogram::{AdditionError, Histogram};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::tally::{DIGITS, LONGEST};

/// Times in nanoseconds, of any number: rounds and generators add up in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Series(pub Histogram<u64>);

impl Series {
    /// Adds what a tally timed. Its bounds are the series' own, so nothing is lost.
    pub fn take(&mut self, timed: &Histogram<u32>) {
        for step in timed.iter_recorded() {
            // Tallies count in 32 bits to stay small; a sum of rounds may need more.
            let count = u64::from(step.count_at_value());
            self.0.saturating_record_n(step.value_iterated_to(), count);
        }
    }

    /// Adds another series.
    ///
    /// # Errors
    /// When it holds values beyond this one's bounds, which none that was written here does.
    pub fn add(&mut self, other: &Self) -> Result<(), AdditionError> {
        self.0.add(&other.0)
    }
}

impl Default for Series {
    #[expect(clippy::expect_used, reason = "constants, and every test makes one")]
    fn default() -> Self {
        let bounds = Histogram::new_with_bounds(1, LONGEST.0, DIGITS);
        Self(bounds.expect("bounds that hdrhistogram takes"))
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(ser::Error::custom)?;
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = BASE64_STANDARD.decode(text).map_err(de::Error::custom)?;
        let bytes = inflate(&bytes).map_err(de::Error::custom)?;
        let decoded: Histogram<u64> =
            Decoder::new().deserialize(&mut Cursor::new(bytes)).map_err(de::Error::custom)?;
        if (decoded.low(), decoded.high(), decoded.sigfig()) == (1, LONGEST.0, DIGITS) {
            return Ok(Self(decoded));
        }
        // Into bounds of our own, so that series always add up and compare.
        let mut series = Self::default();
        series.0.add(&decoded).map_err(de::Error::custom)?;
        Ok(series)
    }
}

/// The V2 histogram within a V2 deflate one, of at most as many bytes as one of our bounds takes.
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let Some((head, deflated)) = bytes.split_at_checked(DEFLATE_HEAD_BYTES) else {
        return Err("the histogram is cut off");
    };
    if !head.starts_with(&DEFLATE_COOKIE) {
        return Err("it is no HDR histogram, V2 with deflate");
    }
    let mut plain = Vec::new();
    ZlibDecoder::new(deflated)
        // A few bytes can inflate to gigabytes; one byte past the limit is enough to refuse them.
        .take(PLAIN_BYTES_MAX + 1)
        .read_to_end(&mut plain)
        .map_err(|_| "the histogram cannot be inflated")?;
    if plain.len() as u64 > PLAIN_BYTES_MAX {
        return Err("the histogram is larger than any of 1 ns to 2^39 ns with three digits");
    }
    // More digits take memory by their number, whatever is counted: 50 MB for five.
    let digits = plain.get(DIGITS_AT).is_some_and(|digits| *digits > DIGITS);
    if digits { Err("the histogram has more than three digits") } else { Ok(plain) }
}

/// Cookie of a V2 deflate histogram: 0x1c849304, and 0x10 for counts of any length; big endian.
const DEFLATE_COOKIE: [u8; 4] = [0x1c, 0x84, 0x93, 0x14];
/// The cookie and the length of what follows.
const DEFLATE_HEAD_BYTES: usize = 8;
/// The last byte of the digits in the head of a V2 histogram: behind cookie, length and offset.
const DIGITS_AT: usize = 15;
/// 30 × 1,024 counts of at most 9 bytes (ZigZag LEB128) behind a head of 40: 276,520 bytes.
const PLAIN_BYTES_MAX: u64 = 40 + 9 * 30 * 1_024;
