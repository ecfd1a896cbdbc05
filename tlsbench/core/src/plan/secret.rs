//! What must not be written down: credentials in headers, URLs and command lines.

/// What stands where a secret was.
pub(super) const REDACTED: &str = "redacted";

/// Whether a header or a parameter of a URL of this name carries a credential.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word)) || name.ends_with("key") || name == "sig"
}

/// A command line without its secrets: values of headers and of URL parameters that carry
/// credentials, user names and passwords in URLs, values of flags such as `--token`, and bodies.
#[must_use]
pub fn redact(args: &[String]) -> Vec<String> {
    let mut is_value_secret = false;
    args.iter()
        .map(|arg| {
            if std::mem::take(&mut is_value_secret) {
                return REDACTED.to_owned();
            }
            let Some(flag) = arg.strip_prefix("--") else {
                is_value_secret = arg == "-d";
                return match (arg.strip_prefix("-H"), arg.strip_prefix("-d")) {
                    (Some(header), _) => format!("-H{}", redact_value(header)),
                    (None, Some(body)) if !body.is_empty() => format!("-d{REDACTED}"),
                    (None, _) => redact_value(arg),
                };
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag, None),
            };
            let is_secret = is_secret_flag(name);
            match value {
                Some(_) if is_secret => format!("--{name}={REDACTED}"),
                Some(value) => format!("--{name}={}", redact_value(value)),
                None => {
                    is_value_secret = is_secret;
                    arg.clone()
                }
            }
        })
        .collect()
}

fn is_secret_flag(name: &str) -> bool {
    name.starts_with("body")
        || name == "data"
        || SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// A value that may be a header (`Name: value`), a URL, or `name=URL`.
fn redact_value(text: &str) -> String {
    if let Some((name, _)) = text.split_once(':')
        && !name.contains(['/', '='])
        && is_secret_name(name.trim())
    {
        return format!("{name}: {REDACTED}");
    }
    let Some((before, rest)) = text.split_once("://") else { return redact_query(text) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = redact_query(path);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{before}://{REDACTED}@{host}{path}"),
        None => format!("{before}://{authority}{path}"),
    }
}

/// A path without the values of those parameters in its query that carry credentials.
pub(super) fn redact_query(path: &str) -> String {
    let Some((before, query)) = path.split_once('?') else { return path.to_owned() };
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if is_secret_name(name) => format!("{name}={REDACTED}"),
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{before}?{}", parameters.join("&"))
}

const SECRET_WORDS: [&str; 10] = [
    "auth",
    "cookie",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "secret",
    "session",
    "signature",
    "token",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_written_down_without_its_secrets() {
        for (given, kept) in [
            ("run --rate 5 --client-key k.pem", "run --rate 5 --client-key k.pem"),
            ("--header Authorization:hush", "--header Authorization: redacted"),
            ("--header=Cookie:a=hush", "--header=Cookie: redacted"),
            ("-HX-Api-Key:hush", "-HX-Api-Key: redacted"),
            ("-H Accept:text/html", "-H Accept:text/html"),
            ("--target https://u:hush@h:1/p?q=1", "--target https://redacted@h:1/p?q=1"),
            (
                "--target a=https://h/?x=1&token=hush&y",
                "--target a=https://h/?x=1&token=redacted&y",
            ),
            ("https://h/?sig=hush", "https://h/?sig=redacted"),
            ("--token hush --rate 5", "--token redacted --rate 5"),
            ("--proxy-password=hush", "--proxy-password=redacted"),
            ("--body hush", "--body redacted"),
            ("--data hush", "--data redacted"),
            ("-d hush --rate 5", "-d redacted --rate 5"),
            ("-dhush", "-dredacted"),
            ("--connect-to [::1]:443", "--connect-to [::1]:443"),
        ] {
            let args: Vec<String> = given.split(' ').map(str::to_owned).collect();
            assert_eq!(redact(&args).join(" "), kept);
        }
    }
}
