//! Words of scenario files and flags, each spelled in one place.

use std::fmt;

use serde::Deserialize as _;

/// Reads the name of a target or placement from a record. Tables pad their rows to the longest
/// name, so it has a limit there as well as in a scenario.
///
/// # Errors
/// Fails when it is longer than any that could be measured.
pub(crate) fn short_name<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    // A record from elsewhere could otherwise make a table of gigabytes.
    if name.len() > NAME_MAX {
        let text = format!("a name of {} bytes, and none has more than {NAME_MAX}", name.len());
        return Err(serde::de::Error::custom(text));
    }
    Ok(name)
}

/// Bytes of the name of a target, as `check` allows them; names of placements have fewer.
pub(crate) const NAME_MAX: usize = 100;

/// Gives an enum its words: `ALL`, `as_str`, and reading and printing by text and by serde.
macro_rules! words {
    ($type:ty { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The value as files, flags and records spell it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                // `pad` keeps width and alignment, which tables use.
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::words::NoSuchWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::words::NoSuchWord {
                        word: text.to_owned(),
                        words: &[$($word),+],
                    }),
                }
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use words;

/// A word that is none of those that may stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchWord {
    /// The word.
    pub word: String,
    /// Those that may.
    pub words: &'static [&'static str],
}

impl fmt::Display for NoSuchWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is none of ", self.word)?;
        for (index, word) in self.words.iter().enumerate() {
            write!(f, "{}`{word}`", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for NoSuchWord {}
