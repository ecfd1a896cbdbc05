//! Escapes foreign text on its way to an event, a log line, a status message, a table or a
//! terminal.
//!
//! Strangers choose the subjects of certificates, names in manifests and texts of servers.
//! Characters that move a cursor, change colours, break a line, hide or reorder text are replaced
//! by their code point. Nothing is removed, so two different texts never look alike because of it.

use std::borrow::Cow;

/// Returns `text` with every character that [`is_unsafe`] replaced by its code point, `\u{1b}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Returns true if `c` must not reach a terminal or a page as it is: control characters (C0, DEL,
/// C1), line and paragraph separators, bidirectional controls (UAX #9), and zero-width characters.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_move_the_cursor_or_turn_the_text_around() {
        assert_eq!(printable("CN=Käse, Öl 日本"), "CN=Käse, Öl 日本");
        assert_eq!(printable("a\x1b[2Jb\nc\rd\0"), "a\\u{1b}[2Jb\\u{a}c\\u{d}d\\u{0}");
        for c in "\u{7f}\u{85}\u{9b}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\
                  \u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{200b}\u{feff}"
            .chars()
        {
            assert_eq!(printable(&format!("a{c}b")), format!("a{}b", c.escape_unicode()));
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_unsafe_is_left_and_safe_text_stays(text: String) {
            let shown = printable(&text);
            proptest::prop_assert!(!shown.contains(is_unsafe));
            if !text.contains(is_unsafe) {
                proptest::prop_assert_eq!(shown.as_ref(), text.as_str());
            }
        }
    }
}
