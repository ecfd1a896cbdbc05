//! The answer of a verb: text, exit code, and what could not be kept of it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::exit::Exit;
use crate::store;

/// The text that a verb prints, and how the process ends.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) exit: Exit,
    /// A document of this verb that is written beside the text, such as a record.
    document: Option<PathBuf>,
    /// The document could not be written. What was measured is printed nevertheless, and this after
    /// it.
    pub(super) failed: Option<anyhow::Error>,
}

impl Answer {
    pub(super) fn new(text: String, exit: Exit) -> Self {
        Self { text, exit, ..Self::default() }
    }

    /// The same beside a document, whose place on standard output the text leaves free.
    pub(super) fn beside(self, document: Option<&Path>) -> Self {
        Self { document: document.map(Path::to_owned), ..self }
    }

    /// The same with a document that may not have been written.
    pub(super) fn failing(self, failed: Option<anyhow::Error>) -> Self {
        Self { failed, ..self }
    }

    /// Prints the text: on standard error where standard output has the document.
    ///
    /// A reader that stops reading early (`tlsbench doctor | head`) is no failure.
    ///
    /// # Errors
    /// When it cannot be written, or the document could not be.
    pub(super) fn print(self, out: &mut impl Write) -> anyhow::Result<Exit> {
        let has_document = self.document.as_deref().is_some_and(store::is_stdout);
        // Text and document in one stream could be parsed by nobody.
        let written = match has_document {
            true => io::stderr().write_all(self.text.as_bytes()),
            false => out.write_all(self.text.as_bytes()).and_then(|()| out.flush()),
        };
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => {}
        }
        // After the text: measuring took minutes, and its figures must not be lost with a full
        // disk.
        self.failed.map_or(Ok(self.exit), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_could_not_be_kept_is_an_error_after_the_text() {
        let answer = || Answer::new("table\n".to_owned(), Exit::Negative);
        let mut out = Vec::new();
        assert_eq!(answer().print(&mut out).unwrap(), Exit::Negative);
        let failed = answer().failing(Some(anyhow::anyhow!("no space")));
        assert_eq!(failed.print(&mut out).unwrap_err().to_string(), "no space");
        assert_eq!(out, b"table\ntable\n");
    }

    #[test]
    fn a_document_on_standard_output_is_left_alone_and_a_reader_that_has_gone_is_no_failure() {
        let mut out = Vec::new();
        let answer = Answer::new("said on standard error\n".to_owned(), Exit::Fine);
        answer.beside(Some(Path::new("-"))).print(&mut out).unwrap();
        assert!(out.is_empty());
        let answer =
            Answer::new("table\n".to_owned(), Exit::Fine).beside(Some(Path::new("a.json")));
        assert_eq!(answer.print(&mut Closed).unwrap(), Exit::Fine);
    }
}
