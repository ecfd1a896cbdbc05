//! Redaction of headers, URLs and command lines. Whatever is not known to be harmless is redacted:
//! names of secrets cannot be listed, names of harmless things can.

/// Text instead of a redacted value.
pub(super) const REDACTED: &str = "redacted";

/// Returns true if the value of a header of this name may be shown.
pub(super) fn shows_header(name: &str) -> bool {
    SHOWN_HEADERS.iter().any(|shown| name.eq_ignore_ascii_case(shown))
}

/// A command line of this program without what may be secret: bodies; values of headers but a few;
/// of URLs user names, passwords, fragments, and values of parameters but a few; values of flags
/// that are not known here.
#[must_use]
pub fn redact(args: &[String]) -> Vec<String> {
    let mut awaited = None;
    args.iter()
        .map(|arg| {
            let kind = awaited.take();
            match kind {
                // A flag whose value may be left out was left without one.
                Some(FlagKind::Shown | FlagKind::Unknown) if arg.starts_with('-') => {}
                Some(kind) => return kind.redact(arg),
                None => {}
            }
            if let Some(flag) = arg.strip_prefix("--") {
                let (name, value) = match flag.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (flag, None),
                };
                let kind = FlagKind::of_flag(name);
                return match value {
                    Some(value) => format!("--{name}={}", kind.redact(value)),
                    None => {
                        awaited = Some(kind);
                        arg.clone()
                    }
                };
            }
            match arg.strip_prefix('-') {
                Some(letters) if !letters.is_empty() => {
                    let (shown, next) = redact_letters(letters);
                    awaited = next;
                    format!("-{shown}")
                }
                _ => redact_url(arg),
            }
        })
        .collect()
}

/// Short flags in one argument, `-kd BODY` or `-kHname:value`: as shown, and the kind of the next
/// argument if that is the last one's value.
fn redact_letters(letters: &str) -> (String, Option<FlagKind>) {
    for (at, letter) in letters.char_indices() {
        // Switches may stand in one argument before the flag that has a value, as clap reads them.
        let Some(kind) = FlagKind::of_letter(letter) else { continue };
        let (before, value) = letters.split_at(at + letter.len_utf8());
        let (equals, value) = match value.strip_prefix('=') {
            Some(value) => ("=", value),
            None => ("", value),
        };
        return match (equals, value) {
            ("", "") => (before.to_owned(), Some(kind)),
            _ => (format!("{before}{equals}{}", kind.redact(value)), None),
        };
    }
    (letters.to_owned(), None)
}

/// Kind of a flag's value.
#[derive(Clone, Copy, Debug)]
enum FlagKind {
    Body,
    Header,
    Shown,
    Unknown,
    Url,
}

impl FlagKind {
    fn of_flag(name: &str) -> Self {
        match name {
            "data" => Self::Body,
            "header" => Self::Header,
            "target" => Self::Url,
            _ if SHOWN_FLAGS.contains(&name) => Self::Shown,
            _ => Self::Unknown,
        }
    }

    /// `None` for a switch, which has no value.
    const fn of_letter(letter: char) -> Option<Self> {
        match letter {
            // A letter that is missing here hides its value: new flags are secret until they are
            // listed.
            '4' | '6' | 'V' | 'h' | 'k' => None,
            'H' => Some(Self::Header),
            'X' | 'c' | 'n' | 'o' => Some(Self::Shown),
            'd' => Some(Self::Body),
            _ => Some(Self::Unknown),
        }
    }

    fn redact(self, value: &str) -> String {
        match self {
            // An unknown flag belongs to another version, and its value may be anything.
            Self::Body | Self::Unknown => REDACTED.to_owned(),
            Self::Header => redact_header(value),
            Self::Shown => value.to_owned(),
            Self::Url => redact_url(value),
        }
    }
}

fn redact_header(text: &str) -> String {
    match text.split_once(':') {
        Some((name, _)) if shows_header(name.trim()) => text.to_owned(),
        Some((name, _))
            if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) =>
        {
            format!("{name}: {REDACTED}")
        }
        // Not a header: it may be anything.
        _ => REDACTED.to_owned(),
    }
}

/// A URL, or `name=URL`, without what may be secret: user name and password, fragment, and values
/// of parameters but a few.
#[must_use]
pub fn redact_url(text: &str) -> String {
    let (before, rest) = match text.find("://") {
        Some(at) => text.split_at(at + "://".len()),
        // No URL, but perhaps a mistyped one, in which anything before an `@` may be a password.
        None => match text.find(['?', '#']).map_or(text, |end| text.split_at(end).0).rfind('@') {
            Some(at) => return format!("{REDACTED}@{}", redact_url(text.split_at(at + 1).1)),
            None => ("", text),
        },
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = redact_path(path);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{before}{REDACTED}@{host}{path}"),
        None => format!("{before}{authority}{path}"),
    }
}

/// A path and query without its fragment and the values of parameters but a few (`?a=b&c=d`, and
/// `;a=b` in the path, where session ids of Java stand).
pub(super) fn redact_path(path: &str) -> String {
    let (path, fragment) = match path.split_once('#') {
        Some((path, _)) => (path, format!("#{REDACTED}")),
        None => (path, String::new()),
    };
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let segments: Vec<String> = path.split('/').map(redact_segment).collect();
    let mut shown = segments.join("/");
    if let Some(query) = query {
        // Servers differ in whether `;` separates parameters, so it must not hide one.
        let parts: Vec<String> = query.split('&').map(redact_parts).collect();
        shown.push('?');
        shown.push_str(&parts.join("&"));
    }
    shown + &fragment
}

fn redact_segment(segment: &str) -> String {
    match segment.split_once(';') {
        Some((name, parameters)) => format!("{name};{}", redact_parts(parameters)),
        None => segment.to_owned(),
    }
}

fn redact_parts(text: &str) -> String {
    let parts: Vec<String> = text.split(';').map(redact_parameter).collect();
    parts.join(";")
}

fn redact_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, value)) if SHOWN_PARAMETERS.contains(&name) && is_plain(value) => {
            parameter.to_owned()
        }
        Some((name, _)) => format!("{name}={REDACTED}"),
        None if parameter.is_empty() || SHOWN_PARAMETERS.contains(&parameter) => {
            parameter.to_owned()
        }
        // Without a name it may be a token itself.
        None => REDACTED.to_owned(),
    }
}

/// Returns true if a value is one word, or several with commas: what is more may hide another
/// parameter.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.,:+*".contains(&byte))
}

/// Headers that say how an answer is wanted, and from which kind of client.
const SHOWN_HEADERS: [&str; 15] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "host",
    "pragma",
    "range",
    "user-agent",
    "x-forwarded-proto",
];

/// Parameters that are about amount, form or order of a result.
const SHOWN_PARAMETERS: [&str; 16] = [
    "bytes", "count", "delay", "format", "height", "lang", "limit", "locale", "offset", "order",
    "page", "per_page", "size", "sort", "status", "width",
];

/// Flags whose values are numbers, words of ours, addresses and names of files; in the order of
/// `--help`.
const SHOWN_FLAGS: [&str; 60] = [
    "scenario",
    "record",
    "output",
    "placement",
    "workload",
    "pass",
    "idle",
    "upstream-pool",
    "engine",
    "engine-path",
    "lb",
    "ingress",
    "key",
    "pki",
    "close",
    "connect-to",
    "sources",
    "threads",
    "pin",
    "abort-errors-above",
    "timeout",
    "connect-timeout",
    "handshake-timeout",
    "first-byte-timeout",
    "max-time",
    "tls-version",
    "suites",
    "groups",
    "provider",
    "resume",
    "client-certificate",
    "client-key",
    "ca-bundle",
    "verify",
    "sni",
    "protocol",
    "streams",
    "method",
    "expect-status",
    "expect-bytes",
    "rate",
    "spread",
    "seed",
    "pool",
    "max-wait",
    "connections",
    "requests-per-connection",
    "round",
    "round-count",
    "rounds",
    "warm-up",
    "ramp",
    "p99",
    "start",
    "max-rate",
    "trial",
    "confirm",
    "resolution",
    "out",
    "format",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(args: &[&str]) -> String {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        redact(&args).join(" ")
    }

    #[test]
    fn a_command_is_written_down_without_its_secrets() {
        for (given, kept) in [
            ("run --rate 5 --client-key k.pem", "run --rate 5 --client-key k.pem"),
            ("--header Authorization:hush", "--header Authorization: redacted"),
            ("--header=Cookie:a=hush", "--header=Cookie: redacted"),
            ("-HX-Api-Key:hush", "-HX-Api-Key: redacted"),
            ("-H=Authorization:hush", "-H=Authorization: redacted"),
            ("-H=hush", "-H=redacted"),
            ("-H X-Whatever:hush", "-H X-Whatever: redacted"),
            ("-H Accept:text/html", "-H Accept:text/html"),
            ("-H=User-Agent:me", "-H=User-Agent:me"),
            ("--target https://u:hush@h:1/p?size=1", "--target https://redacted@h:1/p?size=1"),
            (
                "--target a=https://h/?size=1&x=hush&hush&page=2",
                "--target a=https://h/?size=1&x=redacted&redacted&page=2",
            ),
            ("https://h/?sig=hush", "https://h/?sig=redacted"),
            ("https://h/a;jsessionid=hush/b#hush", "https://h/a;jsessionid=redacted/b#redacted"),
            ("https://h?page=1;jwt=hush", "https://h?page=1;jwt=redacted"),
            ("https://h/?page=1?token=hush", "https://h/?page=redacted"),
            ("https://h/?page=%26token%3Dhush", "https://h/?page=redacted"),
            ("https://h/?sort=-name,size&lang=de-DE", "https://h/?sort=-name,size&lang=de-DE"),
            ("u:hush@h/?p", "redacted@h/?redacted"),
            ("http:/u:hush@h/?page=2", "redacted@h/?page=2"),
            ("--target a=//u:hush@h", "--target redacted@h"),
            ("--token hush --rate 5", "--token redacted --rate 5"),
            ("--keep-alive --rate 5 --pin -n 4", "--keep-alive --rate 5 --pin -n 4"),
            ("--proxy-password=hush", "--proxy-password=redacted"),
            ("--data hush", "--data redacted"),
            ("--data -hush", "--data redacted"),
            ("-d hush --rate 5", "-d redacted --rate 5"),
            ("-dhush", "-dredacted"),
            ("-d=hush", "-d=redacted"),
            ("-kd hush --rate 5", "-kd redacted --rate 5"),
            ("-kdhush", "-kdredacted"),
            ("-kHCookie:hush", "-kHCookie: redacted"),
            ("-uhush", "-uredacted"),
            ("-kn4 -ojson", "-kn4 -ojson"),
            ("--connect-to [::1]:443", "--connect-to [::1]:443"),
        ] {
            let shown = redacted(&given.split(' ').collect::<Vec<_>>());
            assert_eq!(shown, kept);
            assert!(!redacted(&shown.split(' ').collect::<Vec<_>>()).contains("hush"));
        }
    }

    #[test]
    fn no_name_of_a_secret_has_to_be_known() {
        for name in [
            "access",
            "access_token",
            "api_key",
            "auth",
            "code",
            "csrf",
            "jwt",
            "key",
            "pass",
            "psw",
            "pwd",
            "sas",
            "secret",
            "session",
            "sig",
            "state",
            "token",
            "x",
        ] {
            let url = format!("https://h/?{name}=hush&%61={name}");
            assert!(!redacted(&["run", "--target", &url]).contains("hush"), "{name}");
            let header = format!("X-{name}: hush hush");
            for args in [["-H", &header], ["--header", &header], ["-kH", &header]] {
                let shown = redacted(&args);
                assert!(!shown.contains("hush") && shown.contains(name), "{shown}");
            }
        }
    }
}
