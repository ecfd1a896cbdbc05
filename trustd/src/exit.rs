//! The end of the program: its last output and its exit code.
//!
//! Everything that goes to stderr is escaped here, because it may repeat what strangers wrote. A
//! reader that goes away (`trustd … | head -1`) is no error and never a panic.

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use trustd_core::escape::printable;

/// The result of a verb, which becomes the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exit {
    /// The verb could not do what was asked: 2.
    Failed,
    /// The verb did what was asked, and there is nothing to object to: 0.
    #[default]
    Fine,
    /// The verb did what was asked, and the answer is negative: 1.
    Negative,
}

impl Exit {
    /// The code that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Negative => 1,
            Self::Failed => 2,
        }
    }

    /// The worse of two endings.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        if other.code() > self.code() { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error with a word on what to do about it. In a chain it is as transparent as glass.
#[derive(Debug)]
pub struct Hinted {
    error: Box<dyn Error + Send + Sync>,
    hint: String,
}

impl Hinted {
    /// Returns the advice that goes with the error.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for Hinted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Adds a hint to the error of a result.
pub trait Hint<T> {
    /// Says what to do about the error; printed on a line of its own.
    ///
    /// # Errors
    /// The same error, with the hint.
    fn hint(self, hint: impl Into<String>) -> Result<T, Hinted>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Hint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> Result<T, Hinted> {
        self.map_err(|error| Hinted { error: error.into(), hint: hint.into() })
    }
}

/// The lines that tell a person about an error: `error: a: b: c`, and a `hint:` for each hint.
#[must_use]
pub fn report(error: &(dyn Error + 'static)) -> String {
    let mut lines = format!("error: {}\n", printable(&chain(error)));
    for cause in causes(error) {
        if let Some(hinted) = cause.downcast_ref::<Hinted>() {
            lines.push_str(&format!("hint: {}\n", printable(&hinted.hint)));
        }
    }
    lines
}

/// An error and its causes as one line: `a: b: c`.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in causes(error) {
        let text = cause.to_string();
        // Some libraries repeat the cause in the text; once is enough.
        if line.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// Prints an error to stderr as [`report`] words it.
pub fn complain(error: &(dyn Error + 'static)) {
    // When even stderr is gone there is nobody left to tell.
    let _ = io::stderr().write_all(report(error).as_bytes());
}

/// Prints an error that is no end of the run to stderr, and its details, each on its own line.
pub fn error(text: &str, details: &[String]) {
    let details: String =
        details.iter().map(|detail| format!("  {}\n", printable(detail))).collect();
    let _ = write!(io::stderr(), "error: {}\n{details}", printable(text));
}

/// Prints something worth knowing to stderr.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "note: {}", printable(text));
}

/// Prints a warning to stderr.
pub fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "warning: {}", printable(text));
}

/// The state of the reader of stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The reader closed its end (`| head -1`); a loop may as well stop.
    Gone,
    /// Everything was taken.
    Listening,
}

/// Prints `text` to stdout, whole or as far as the reader wants it.
///
/// # Errors
/// When stdout cannot be written for another reason than that its reader went away.
pub fn print(text: &str) -> io::Result<Reader> {
    write_to(&mut io::stdout().lock(), text)
}

fn write_to(out: &mut dyn io::Write, text: &str) -> io::Result<Reader> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Listening),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `x`")]
    struct Outer(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("step failed: {0}")]
    struct Chatty(#[source] io::Error);

    #[test]
    fn an_error_is_one_line_and_each_hint_another() {
        let hinted: Result<(), _> = Err(Outer(io::Error::other("disk on fire"))).hint("get out");
        let error = anyhow::Error::new(hinted.unwrap_err()).context("while rendering");
        assert_eq!(
            report(error.as_ref()),
            "error: while rendering: cannot read `x`: disk on fire\nhint: get out\n"
        );
    }

    #[test]
    fn what_strangers_wrote_is_escaped() {
        let hinted: Result<(), _> = Err(Outer(io::Error::other("a\x1b[2J\nb"))).hint("\u{202e}c");
        let text = report(anyhow::Error::new(hinted.unwrap_err()).as_ref());
        assert_eq!(text, "error: cannot read `x`: a\\u{1b}[2J\\u{a}b\nhint: \\u{202e}c\n");
    }

    #[test]
    fn a_cause_that_the_text_repeats_is_printed_once() {
        assert_eq!(chain(&Chatty(io::Error::other("no"))), "step failed: no");
    }

    #[test]
    fn the_worse_ending_wins() {
        assert_eq!(Exit::Fine.and(Exit::Negative), Exit::Negative);
        assert_eq!(Exit::Failed.and(Exit::Negative), Exit::Failed);
        assert_eq!([Exit::Fine, Exit::Negative, Exit::Failed].map(Exit::code), [0, 1, 2]);
    }

    #[test]
    fn a_reader_that_left_is_no_error_but_a_full_disk_is() {
        struct Refuses(io::ErrorKind);
        impl io::Write for Refuses {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let gone = write_to(&mut Refuses(io::ErrorKind::BrokenPipe), "x");
        assert_eq!(gone.unwrap(), Reader::Gone);
        assert!(write_to(&mut Refuses(io::ErrorKind::StorageFull), "x").is_err());
    }
}
