//! Making values fit for people's eyes.

use trustd_core::time::Timestamp;

/// `text` with everything escaped that would move the cursor, change colours or reorder what is
/// shown: names in certificates are chosen by strangers.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Line and paragraph separators, bidirectional controls, and characters of no width.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `1 certificate`, `2 certificates`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// How far away a last second of validity is: `12 days left`, `expired 3 days ago`.
pub(super) fn days(now: Timestamp, not_after: Timestamp) -> String {
    let plural = |days: i64| if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
    if now > not_after {
        format!("expired {} ago", plural(not_after.days_until(now)))
    } else {
        format!("{} left", plural(now.days_until(not_after)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_move_the_cursor() {
        assert_eq!(printable("CN=Käse, Öl 日本"), "CN=Käse, Öl 日本");
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\u{a}c");
        assert_eq!(printable("a\u{202e}b\u{9b}c"), "a\\u{202e}b\\u{9b}c");
    }

    #[test]
    fn expiry_is_told_in_days() {
        let day = |n: i64| Timestamp::from_unix(n * 86_400);
        assert_eq!(days(day(0), day(1)), "1 day left");
        assert_eq!(days(day(0), day(0)), "0 days left");
        assert_eq!(days(day(12), day(2)), "expired 10 days ago");
    }
}
