//! Values that arguments are made of, read strictly: where to connect, how long to wait, the
//! default CA package.

mod default_package;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use trustd_api::validate::namespace_fault;

pub use default_package::{BadPackage, default_package};

/// A host and a port to connect to: `example.com:443`, `10.0.0.1:443` or `[::1]:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// The text is not an address to connect to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// The host is empty or holds what no host holds.
    #[error(
        "the host of an address must be a DNS name, an IPv4 address or an IPv6 address in `[]`"
    )]
    Host,
    /// No port, or none between 1 and 65535.
    #[error("an address must end with a port such as `:443`")]
    Port,
}

impl FromStr for ServerAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(BadAddress::Port)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(BadAddress::Port)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let sound = match bracketed {
            Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains([':', '/', '[', ']', ' ', '@']),
        };
        if !sound {
            return Err(BadAddress::Host);
        }
        Ok(Self { host: bracketed.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The text is not a span of time as Go writes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration such as `90s`, `1h30m` or `250ms`")]
pub struct BadDuration(String);

/// Reads a span of time as Go's `time.ParseDuration` does: numbers with a unit, one after another.
///
/// # Errors
/// When the text is not such a span, is negative, or too long to count in nanoseconds.
pub fn duration(text: &str) -> Result<Duration, BadDuration> {
    parse_duration(text).ok_or_else(|| BadDuration(text.to_owned()))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanoseconds: u128 = 0;
    loop {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|n| *n > 0)?;
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanoseconds = nanoseconds.checked_add(scaled(number, *scale)?)?;
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    // Go counts in an int64.
    let counted = u64::try_from(nanoseconds).ok().filter(|count| i64::try_from(*count).is_ok())?;
    Some(Duration::from_nanos(counted))
}

/// The text is not a boolean as Go writes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `true` or `false`")]
pub struct BadBool;

/// Reads a boolean as Go's `strconv.ParseBool`, and so the peer's flags, take it.
///
/// # Errors
/// When the text is none of Go's twelve spellings.
pub fn go_bool(text: &str) -> Result<bool, BadBool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(BadBool),
    }
}

/// The text is not the name of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadNamespace(&'static str);

/// Reads the name of a namespace as the API server does (a DNS label, RFC 1123).
///
/// # Errors
/// What is wrong with the name, in the API server's words.
pub fn namespace(text: &str) -> Result<String, BadNamespace> {
    namespace_fault(text).map_or_else(|| Ok(text.to_owned()), |fault| Err(BadNamespace(fault)))
}

/// The same as an item of a list. An empty one stands for none, as in `--target-namespaces=`, which
/// trust-manager takes for an empty list.
///
/// # Errors
/// As [`namespace`].
pub fn listed_namespace(text: &str) -> Result<String, BadNamespace> {
    if text.is_empty() { Ok(String::new()) } else { namespace(text) }
}

/// `number` units of `scale` nanoseconds; `number` may have a fraction.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.get(..FRACTION_DIGITS_MAX).unwrap_or(fraction);
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole.checked_mul(scale)?.checked_add(part.checked_mul(scale)? / divisor)
}

/// An hour has 3.6e12 nanoseconds, so digits beyond the 13th never count; 10^18 fits in 64 bits.
const FRACTION_DIGITS_MAX: usize = 18;
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        let read = |text: &str| text.parse::<ServerAddress>().map(|a| (a.host.clone(), a.port));
        assert_eq!(read("example.com:443"), Ok(("example.com".to_owned(), 443)));
        assert_eq!(read("[::1]:8443"), Ok(("::1".to_owned(), 8443)));
        assert_eq!(read("example.com"), Err(BadAddress::Port));
        assert_eq!(read("example.com:0"), Err(BadAddress::Port));
        assert_eq!(read("example.com:65536"), Err(BadAddress::Port));
        assert_eq!(read(":443"), Err(BadAddress::Host));
        assert_eq!(read("::1:443"), Err(BadAddress::Host));
        assert_eq!(read("https://example.com:443"), Err(BadAddress::Host));
        assert_eq!("[::1]:443".parse::<ServerAddress>().unwrap().to_string(), "[::1]:443");
    }

    #[test]
    fn durations_are_those_of_go() {
        let read = |text: &str| duration(text).map(|d| d.as_nanos()).ok();
        let cases = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("2s", Some(2_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            (".5s", Some(500_000_000)),
            ("250ms", Some(250_000_000)),
            ("720h", Some(2_592_000_000_000_000)),
            ("+1m", Some(60_000_000_000)),
            ("", None),
            ("5", None),
            ("s", None),
            (".s", None),
            ("1d", None),
            ("-1s", None),
            ("1.2.3s", None),
            ("3000000h", None),
        ];
        for (text, nanoseconds) in cases {
            assert_eq!(read(text), nanoseconds, "{text:?}");
        }
    }
}
