//! The certificates in one file, PEM or DER, and what in it is none.
//!
//! Content that is not a certificate is named with its line and never quoted.

use std::path::PathBuf;

use trustd_core::bundle::{Nature, nature};
use trustd_core::certificate::Certificate;
use trustd_core::pem::{self, Item};

use crate::exit::chain;
use crate::files::{self, FileError, Input};

/// The contents of a file.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) format: FileFormat,
    /// The certificates, in the order of the file.
    pub(super) found: Vec<Found>,
    /// The parts that are not sound certificates, in the order of the file.
    pub(super) problems: Vec<Problem>,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileFormat {
    /// One certificate as it is.
    Der,
    /// Text with blocks in it.
    Pem,
}

/// A certificate in a file.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The certificate.
    pub(super) certificate: Certificate,
    /// Line of its BEGIN marker, where there are lines.
    pub(super) line: Option<usize>,
}

/// Something that is not a sound certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Line of its BEGIN marker, or of what was probably meant as a block.
    pub(super) line: usize,
    /// A description, never the content.
    pub(super) message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// A file gave no certificates.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContentsError {
    /// The file is empty.
    #[error("`{path}` is empty")]
    Empty { path: PathBuf },
    /// The file could not be read at all.
    #[error(transparent)]
    File(#[from] FileError),
    /// The format is known, and this program does not read it.
    #[error("`{path}` is a {format} store, which comes with a later version of trustd")]
    KeyStore { path: PathBuf, format: &'static str },
    /// The file is neither PEM nor a DER certificate.
    #[error("`{path}` is neither PEM nor a DER certificate ({why})")]
    Neither { path: PathBuf, why: String },
    /// The file is PEM without a sound certificate.
    #[error("`{path}` holds no certificate{}", list(.problems))]
    NoCertificate { path: PathBuf, problems: Vec<Problem> },
}

/// The first few problems as the end of a sentence.
fn list(problems: &[Problem]) -> String {
    let shown: Vec<String> = problems.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    let more = problems.len().saturating_sub(shown.len());
    match (shown.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(": {}", shown.join("; ")),
        (false, more) => format!(": {}; and {more} more like it", shown.join("; ")),
    }
}

/// Reads a file and finds the certificates in it; there is at least one.
pub(super) fn read(input: &Input) -> Result<Contents, ContentsError> {
    contents_of(&files::read(input)?, input)
}

fn contents_of(bytes: &[u8], input: &Input) -> Result<Contents, ContentsError> {
    let path = input.path().to_owned();
    let nature = nature(bytes);
    match nature {
        Nature::Empty => return Err(ContentsError::Empty { path }),
        Nature::KeyStore(format) => return Err(ContentsError::KeyStore { path, format }),
        _ => {}
    }
    let items = pem::read(bytes);
    match Certificate::from_der(bytes) {
        Ok(certificate) => Ok(Contents {
            format: FileFormat::Der,
            found: vec![Found { certificate, line: None }],
            problems: Vec::new(),
        }),
        Err(_) if !items.is_empty() => from_pem(items, path),
        Err(unsound) if nature == Nature::Der => {
            Err(ContentsError::Neither { path, why: chain(&unsound) })
        }
        Err(_) => Err(ContentsError::Neither { path, why: nature.to_string() }),
    }
}

fn from_pem(items: Vec<Item<'_>>, path: PathBuf) -> Result<Contents, ContentsError> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for item in items {
        match item {
            Item::Block(block) => match from_block(&block) {
                Ok(certificate) => found.push(Found { certificate, line: Some(block.line) }),
                Err(message) => problems.push(Problem { line: block.line, message }),
            },
            Item::Unreadable(lost) => {
                let label = pem::printable_label(&lost.label);
                let message = format!("an unreadable `{label}` block: {}", lost.fault);
                problems.push(Problem { line: lost.line, message });
            }
        }
    }
    if found.is_empty() {
        return Err(ContentsError::NoCertificate { path, problems });
    }
    Ok(Contents { format: FileFormat::Pem, found, problems })
}

/// The certificate in a block, or what the block is instead.
fn from_block(block: &pem::Block<'_>) -> Result<Certificate, String> {
    let label = pem::printable_label(&block.label);
    if label.ends_with("PRIVATE KEY") {
        return Err(format!("a private key (`{label}`), which has no business in a bundle"));
    }
    if label != "CERTIFICATE" {
        return Err(format!("a `{label}` block, not a certificate"));
    }
    if block.headers {
        return Err("a `CERTIFICATE` block with headers, which certificates do not have".to_owned());
    }
    Certificate::from_der(&block.content)
        .map_err(|unsound| format!("a `CERTIFICATE` block whose content is {unsound}"))
}

/// Problems that one error line lists.
const LISTED_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<Contents, ContentsError> {
        contents_of(bytes, &Input::Path("x".into()))
    }

    fn error(bytes: &[u8]) -> String {
        read_bytes(bytes).unwrap_err().to_string()
    }

    #[test]
    fn formats_are_told_apart_by_content() {
        let key = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let der = read_bytes(key.cert.der()).unwrap();
        assert_eq!((der.format, der.found.len(), der.found[0].line), (FileFormat::Der, 1, None));
        let text = format!("0 is where this begins\n{}", key.cert.pem());
        let pem = read_bytes(text.as_bytes()).unwrap();
        assert_eq!((pem.format, pem.found.len(), pem.found[0].line), (FileFormat::Pem, 1, Some(2)));
        assert_eq!(der.found[0].certificate, pem.found[0].certificate);
    }

    #[test]
    fn stores_are_named_and_left_for_later() {
        let later =
            |format| format!("`x` is a {format} store, which comes with a later version of trustd");
        assert_eq!(error(&[0xfe, 0xed, 0xfe, 0xed, 0, 0]), later("JKS"));
        assert_eq!(error(&[0xce, 0xce, 0xce, 0xce, 0, 0]), later("JCEKS"));
        for header in [&[0x30, 0x07][..], &[0x30, 0x82, 1, 0], &[0x30, 0x80]] {
            assert_eq!(error(&[header, &[2, 1, 3, 0x30, 0, 0]].concat()), later("PKCS#12"));
        }
    }

    #[test]
    fn what_is_no_certificate_is_named_and_not_quoted() {
        assert_eq!(error(b" \n"), "`x` is empty");
        assert_eq!(
            error(b"secret"),
            "`x` is neither PEM nor a DER certificate (it is text without a \
             `-----BEGIN CERTIFICATE-----` line)"
        );
        let text =
            error(b"\n-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n");
        assert_eq!(
            text,
            "`x` holds no certificate: line 2: a private key (`RSA PRIVATE KEY`), which has no \
             business in a bundle"
        );
    }

    #[test]
    fn near_misses_are_problems_with_their_lines() {
        let key = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let pem = key.cert.pem();
        let wiki = pem.replace("-----", "\u{2014}\u{2014}");
        let contents = read_bytes(format!("{pem}{wiki}").as_bytes()).unwrap();
        let [problem] = contents.problems.as_slice() else { panic!("{:?}", contents.problems) };
        assert_eq!(problem.line, pem.lines().count() + 1);
        assert!(problem.message.contains("its marker is misspelled"), "{problem}");
        let text = error(wiki.as_bytes());
        assert!(text.starts_with("`x` holds no certificate: line 1: an unreadable"), "{text}");
        let utf16: Vec<u8> = pem.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(error(&utf16).ends_with("(it is text in UTF-16; save it as UTF-8)"));
    }

    #[test]
    fn a_long_list_of_problems_is_cut() {
        let text = "-----BEGIN CERTIFICATE-----\n".repeat(7);
        let text = error(text.as_bytes());
        assert!(text.contains("line 5: an unreadable `CERTIFICATE` block"), "{text}");
        assert!(text.ends_with("; and 2 more like it"), "{text}");
    }
}
