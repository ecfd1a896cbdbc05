//! A histogram as records keep it: HDR V2 with deflate, in base64, which other tools decode.

use std::io::Cursor;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
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
