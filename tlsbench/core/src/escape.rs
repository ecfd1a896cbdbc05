//! Foreign text for people: names and messages from records, files and servers, where no character
//! may move the cursor, change the direction of writing or hide. One function for tables, pages and
//! messages.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with control, bidirectional and invisible characters as `\u{202e}`. Line feeds and tabs
/// stay, for documents have them; a carriage return stays before a line feed.
///
/// Such characters can make a text look like another ("Trojan Source", CVE-2021-42574), and a
/// terminal takes commands from ESC.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if is_hidden(letter) && !(letter == '\r' && letters.peek() == Some(&'\n')) {
            // Writing to text cannot fail.
            let _ = write!(shown, "{}", letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// The same on one line, for a cell or a label.
#[must_use]
pub fn printable_line(text: &str) -> Cow<'_, str> {
    let is_break = |letter: char| matches!(letter, '\n' | '\r' | '\t');
    if !text.contains(is_break) {
        return printable(text);
    }
    // Blanks first: `printable` keeps line feeds and tabs.
    let one: String = text.chars().map(|c| if is_break(c) { ' ' } else { c }).collect();
    Cow::Owned(printable(&one).into_owned())
}

fn is_hidden(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
        '\u{ad}' | '\u{61c}' | '\u{180e}' => true,
        // Zero-width space, marks of direction; joiners stay, for scripts and emoji need them.
        '\u{200b}' | '\u{200e}' | '\u{200f}' => true,
        // Separators of lines and paragraphs, embeddings, overrides, isolates, invisible operators.
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        // Byte order mark, annotations, tags.
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => letter.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_or_hides_text_is_written_out() {
        for (given, shown) in [
            ("a\u{202e}b", "a\\u{202e}b"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\rb\r\n\tc\n", "a\\u{d}b\r\n\tc\n"),
            ("\0\u{7f}\u{9b}\u{2066}\u{feff}", "\\u{0}\\u{7f}\\u{9b}\\u{2066}\\u{feff}"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(printable(given), shown);
        }
        for kept in ["", "shop-1.example:443/", "größer 10 %, µs ± 5", "\u{645}\u{200c}\u{6cc}"]
        {
            assert!(matches!(printable(kept), Cow::Borrowed(same) if same == kept), "{kept}");
        }
        assert_eq!(printable_line("a\r\n\tb\u{202e}"), "a   b\\u{202e}");
    }
}
