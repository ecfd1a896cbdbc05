//! The TLS versions that a client offers: one, or both.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::tls::Version;
use crate::words::NoSuchWord;

/// TLS versions that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Both; the server chooses.
    Both,
    /// One.
    Only(Version),
}

impl Versions {
    /// The versions, the newest first.
    #[must_use]
    pub const fn as_slice(self) -> &'static [Version] {
        match self {
            Self::Both => &[Version::Tls13, Version::Tls12],
            Self::Only(Version::Tls12) => &[Version::Tls12],
            Self::Only(Version::Tls13) => &[Version::Tls13],
        }
    }

    /// Returns true if a version is among them.
    #[must_use]
    pub fn has(self, version: Version) -> bool {
        self.as_slice().contains(&version)
    }

    /// The version, where it is one.
    #[must_use]
    pub const fn only(self) -> Option<Version> {
        match self {
            Self::Both => None,
            Self::Only(version) => Some(version),
        }
    }

    /// The versions as files, flags and records spell them.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Both => BOTH,
            Self::Only(version) => version.as_str(),
        }
    }
}

impl From<Version> for Versions {
    fn from(version: Version) -> Self {
        Self::Only(version)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Versions {
    type Err = NoSuchWord;

    /// Reads versions with commas between, in whatever order: the newest that both sides speak is
    /// negotiated all the same.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut found: Option<Self> = None;
        for word in text.split(',') {
            let version: Version = word.trim().parse().map_err(|_: NoSuchWord| NoSuchWord {
                word: text.to_owned(),
                words: &["1.2", "1.3", BOTH],
            })?;
            found = match found {
                Some(other) if !other.has(version) => Some(Self::Both),
                Some(other) => Some(other),
                None => Some(Self::Only(version)),
            };
        }
        found.ok_or_else(|| NoSuchWord { word: text.to_owned(), words: &["1.2", "1.3", BOTH] })
    }
}

impl Serialize for Versions {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

const BOTH: &str = "1.2,1.3";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_one_or_both_in_whatever_order() {
        for (text, versions) in [
            ("1.2", Versions::Only(Version::Tls12)),
            ("1.3", Versions::Only(Version::Tls13)),
            ("1.2,1.3", Versions::Both),
            ("1.3, 1.2", Versions::Both),
            ("1.3,1.3", Versions::Only(Version::Tls13)),
        ] {
            let read: Versions = text.parse().unwrap();
            assert_eq!(read, versions, "{text}");
            assert_eq!(read.as_str().parse(), Ok(read), "{text}");
        }
        for text in ["", "1.1", "1.2,1.1", "1.2,", "all"] {
            let error = text.parse::<Versions>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{text}` is none of `1.2`, `1.3`, `1.2,1.3`"));
        }
    }
}
