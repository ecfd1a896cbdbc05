//! Logs, as text or JSON: events with fields, never with what a source holds.
//!
//! One line is one event whatever its fields hold: lines are escaped on their way out.

use std::fmt::Write as _;
use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use trustd_core::escape::{is_unsafe, printable};

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// A text for people.
    #[default]
    Text,
}

/// The stream that log lines go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Stderr, because stdout carries an answer.
    Stderr,
    /// Stdout, as trust-manager does.
    #[default]
    Stdout,
}

/// Starts logging. `level` counts as the peer's `-v` does: 0 warnings, 1 what happens, 2 and more
/// what is done in detail, 5 and more everything.
///
/// Libraries log warnings only, at any level: some of them quote bodies.
pub fn start(format: Format, level: u8, stream: Stream) {
    let own = match level {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2..=4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::default()
        .add_directive(LevelFilter::OFF.into())
        .add_directive(own_directive(own));
    let writer = match stream {
        Stream::Stderr => BoxMakeWriter::new(move || Escaping { out: io::stderr(), format }),
        Stream::Stdout => BoxMakeWriter::new(move || Escaping { out: io::stdout(), format }),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // A second start, as in tests, leaves the first one in place.
    let _ = match format {
        Format::Json => lines.json().flatten_event(true).try_init(),
        Format::Text => lines.with_ansi(false).try_init(),
    };
}

fn own_directive(level: LevelFilter) -> tracing_subscriber::filter::Directive {
    format!("trustd={level}").parse().unwrap_or_else(|_| level.into())
}

/// Escapes lines that are written whole, as the subscriber does.
struct Escaping<W> {
    out: W,
    format: Format,
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.out.write_all(escaped(line, self.format).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn escaped(line: &[u8], format: Format) -> String {
    let text = String::from_utf8_lossy(line);
    let (body, end) = text.strip_suffix('\n').map_or((&*text, ""), |body| (body, "\n"));
    match format {
        Format::Text => format!("{}{end}", printable(body)),
        // Unsafe characters stand in strings only, and stay the same text for a JSON reader.
        Format::Json => {
            let mut out = String::with_capacity(text.len());
            for c in body.chars() {
                if is_unsafe(c) {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                } else {
                    out.push(c);
                }
            }
            out + end
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_one_line_and_moves_no_cursor() {
        let line = "a \x1b[2J b\nINFO forged \u{202e}c\u{e0041}\n";
        let text = escaped(line.as_bytes(), Format::Text);
        assert_eq!(text, "a \\u{1b}[2J b\\u{a}INFO forged \\u{202e}c\\u{e0041}\n");
        let json = format!("{}\n", serde_json::json!({ "note": "\u{9b}\u{202e}\u{e0041}\0" }));
        let shown = escaped(json.as_bytes(), Format::Json);
        assert_eq!(shown, "{\"note\":\"\\u009b\\u202e\\udb40\\udc41\\u0000\"}\n");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&shown), read(&json));
    }
}
