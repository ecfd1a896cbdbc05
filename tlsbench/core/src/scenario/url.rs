//! URLs of targets. Only what can be sent as it stands is taken.

use std::net::{IpAddr, Ipv6Addr};

use super::Scheme;
use super::secret::redact_url;

/// The parts of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: Scheme,
    /// Host in lower case; an IPv6 address without its brackets, with its zone behind a `%`.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// Problem of a URL, and its cure.
pub(super) type Refusal = (String, &'static str);

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let (scheme, rest) = split_scheme(text)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // Credentials in a URL end up in logs and shell histories.
        if authority.contains('@') {
            let cure = "send credentials in a header of [request]";
            return Err(("a URL with a user name or password".to_owned(), cure));
        }
        if path.contains('#') {
            return Err(("a URL with a fragment, which is never sent".to_owned(), "drop the `#`"));
        }
        if let Some(odd) = path.chars().find(|c| !c.is_ascii_graphic()) {
            let cure = "write it percent-encoded";
            return Err((format!("{odd:?} in the path"), cure));
        }
        let (host, port) = split_authority(authority)?;
        let port = match port {
            None => scheme.default_port(),
            Some(digits) => port_number(digits)?,
        };
        let path = match path {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        Ok(Self { scheme, host, port, path })
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), Refusal> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Scheme::Http, rest)),
        "https" => Ok((Scheme::Https, rest)),
        _ => {
            let cure = "write it as `https://host/path` or `http://host/path`";
            let shown = redact_url(text);
            Err((format!("`{shown}` begins with neither http:// nor https://"), cure))
        }
    }
}

fn split_authority(authority: &str) -> Result<(String, Option<&str>), Refusal> {
    if let Some(rest) = authority.strip_prefix('[') {
        let cure = "write an IPv6 address as `[2001:db8::1]:443`";
        let refused = || (format!("`{authority}` is no IPv6 address with a port"), cure);
        let (address, port) = rest.split_once(']').ok_or_else(refused)?;
        let (address, zone) = split_zone(address).ok_or_else(refused)?;
        let address: Ipv6Addr = address.parse().map_err(|_| refused())?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or_else(refused)?),
        };
        let zone = zone.map(|zone| format!("%{zone}")).unwrap_or_default();
        return Ok((format!("{address}{zone}"), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let host = host.to_ascii_lowercase();
    if host.parse::<IpAddr>().is_ok() || is_dns_name(without_root(&host)) {
        return Ok((host, port));
    }
    let cure =
        "write a DNS name (others than ASCII ones as `xn--…`) or an IP address, IPv6 in `[…]`";
    Err((format!("`{authority}` has no valid host"), cure))
}

/// Takes an IPv6 address and its zone apart: `fe80::1%25eth0` (RFC 6874), or with a bare `%` as
/// everybody writes it.
fn split_zone(address: &str) -> Option<(&str, Option<&str>)> {
    let Some((address, zone)) = address.split_once('%') else { return Some((address, None)) };
    let zone = zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone);
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    let is_zone = (1..=ZONE_MAX).contains(&zone.len()) && zone.bytes().all(is_plain);
    is_zone.then_some((address, Some(zone)))
}

/// A name without the dot at its end, which says that it is whole: in DNS it means the same, in SNI
/// and in certificates it must not stand (RFC 6066, section 3).
#[must_use]
pub fn without_root(host: &str) -> &str {
    match host.strip_suffix('.') {
        Some(rest) if !rest.is_empty() && !rest.ends_with('.') => rest,
        _ => host,
    }
}

fn port_number(digits: &str) -> Result<u16, Refusal> {
    let port = digits.parse().ok().filter(|port| *port > 0 && !digits.starts_with('+'));
    port.ok_or_else(|| (format!("`{digits}` is no port"), "write a port from 1 to 65535"))
}

/// Returns true if a text can be a name in DNS (RFC 1123, and underscores, which clusters use).
#[must_use]
pub fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits would be a bad IPv4 address.
    let last_is_number =
        text.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && !last_is_number && text.split('.').all(is_label)
}

/// The longest name of an interface, and more than any index.
const ZONE_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        use Scheme::{Http, Https};
        for (text, scheme, host, port, path) in [
            ("https://example.com", Https, "example.com", 443, "/"),
            ("HTTP://Example.COM:8080", Http, "example.com", 8080, "/"),
            ("http://127.0.0.1/a/b?c=d&e", Http, "127.0.0.1", 80, "/a/b?c=d&e"),
            ("https://[::1]:8443/x", Https, "::1", 8443, "/x"),
            ("https://[2001:DB8::0:1]", Https, "2001:db8::1", 443, "/"),
            ("https://[fe80::1%25eth0]:8443/", Https, "fe80::1%eth0", 8443, "/"),
            ("https://[FE80::1%eth0.7]/", Https, "fe80::1%eth0.7", 443, "/"),
            ("https://[fe80::1%3]/", Https, "fe80::1%3", 443, "/"),
            ("https://Example.com.:8443/", Https, "example.com.", 8443, "/"),
            ("https://a_b.svc?x", Https, "a_b.svc", 443, "/?x"),
        ] {
            let want = Url { scheme, host: host.into(), port, path: path.into() };
            assert_eq!(Url::parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_could_not_be_sent_as_it_stands_is_refused() {
        for (text, seen) in [
            ("example.com", "neither http:// nor https://"),
            ("ftp://example.com", "neither http:// nor https://"),
            ("https://user:secret@example.com/", "user name or password"),
            ("https://example.com/#top", "fragment"),
            ("https://example.com/a b", "' ' in the path"),
            ("https://example.com/a\r\nX: y", "'\\r' in the path"),
            ("https://example.com/\u{e4}", "in the path"),
            ("https:///path", "no valid host"),
            ("https://-a.com", "no valid host"),
            ("https://a..com", "no valid host"),
            ("https://1.2.3.256", "no valid host"),
            ("https://b\u{fc}cher.de", "no valid host"),
            ("https://a.com../", "no valid host"),
            ("https://./", "no valid host"),
            ("https://1.2.3.4./", "no valid host"),
            ("https://[fe80::1%]/", "no IPv6 address"),
            ("https://[fe80::1%25]/x y", "' ' in the path"),
            ("https://[fe80::1%a/b]/", "no IPv6 address"),
            ("https://::1/", "no valid host"),
            ("https://[::1", "no IPv6 address"),
            ("https://[::1]8443", "no IPv6 address"),
            ("https://[127.0.0.1]", "no IPv6 address"),
            ("https://example.com:", "is no port"),
            ("https://example.com:0", "is no port"),
            ("https://example.com:+80", "is no port"),
            ("https://example.com:65536", "is no port"),
        ] {
            let (refusal, cure) = Url::parse(text).unwrap_err();
            assert!(refusal.contains(seen), "{text}: {refusal}");
            assert!(!cure.is_empty());
        }
        let (refusal, _) = Url::parse("https://user:secret@example.com/").unwrap_err();
        assert!(!refusal.contains("secret"));
    }
}
