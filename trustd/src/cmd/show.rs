//! Making values fit for people's eyes.

use trustd_core::escape;
use trustd_core::time::Timestamp;

/// `text` as [`escape::printable`] makes it, owned: a cell of a table.
pub(super) fn printable(text: &str) -> String {
    escape::printable(text).into_owned()
}

/// `text` as a cell of a table, cut to [`CELL_MAX`] characters: a table pads each of its rows to
/// the longest cell, so a single name of 64 KB would cost that for every certificate of the file.
/// The whole text is in the JSON.
pub(super) fn cell(text: &str) -> String {
    match text.char_indices().nth(CELL_MAX) {
        None => text.to_owned(),
        Some(_) => {
            let kept = text.char_indices().nth(CELL_MAX - 1).map_or(0, |(at, _)| at);
            format!("{}…", text.get(..kept).unwrap_or_default())
        }
    }
}

/// Characters of a cell: RFC 5280 allows 64 in a common name and as many in an organisation, and
/// the longest name of a public root has 120.
const CELL_MAX: usize = 200;

/// `1 certificate`, `2 certificates`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Formats how far away the last second of a validity is: `12 days left`, `expired 3 days ago`.
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
    fn a_cell_is_cut_between_characters_and_shows_it() {
        let fits = "ö".repeat(CELL_MAX);
        assert_eq!(cell(&fits), fits);
        let cut = cell(&format!("{fits}x"));
        assert_eq!(cut, format!("{}…", "ö".repeat(CELL_MAX - 1)));
        assert_eq!(cell(""), "");
    }

    #[test]
    fn expiry_is_told_in_days() {
        let day = |n: i64| Timestamp::from_unix(n * 86_400);
        assert_eq!(days(day(0), day(1)), "1 day left");
        assert_eq!(days(day(0), day(0)), "0 days left");
        assert_eq!(days(day(12), day(2)), "expired 10 days ago");
    }
}
