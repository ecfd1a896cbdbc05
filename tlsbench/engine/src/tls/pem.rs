//! Certificates and keys from PEM files as people have them: with a byte order mark, OpenSSL's
//! older labels, text between the blocks.
//!
//! A block whose markers do not fit makes the whole file doubtful, so it is refused; one that fits
//! and holds no certificate is left out and named. No byte of a key is ever quoted.

use std::fmt;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_parser::prelude::FromDer as _;

/// Certificates of a file, in its order.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    pub(super) found: Vec<(BlockPosition, CertificateDer<'static>)>,
    /// Blocks that hold no certificate.
    pub(super) left_out: Vec<SkippedBlock>,
}

/// The position of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockPosition {
    /// The number of the block among those with certificates, from 1.
    pub(super) number: usize,
    /// The line that it begins in, from 1.
    pub(super) line: usize,
}

impl fmt::Display for BlockPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate {} (line {})", self.number, self.line)
    }
}

/// A block that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedBlock {
    pub(super) at: BlockPosition,
    pub(super) why: String,
}

impl fmt::Display for SkippedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is left out: {}", self.at, self.why)
    }
}

/// The reason why PEM could not be read.
#[derive(Debug, Error)]
pub(super) enum PemError {
    #[error(
        "no certificate in it: it is DER, not PEM; convert it with \
         `openssl x509 -inform DER -in FILE -out FILE.pem`"
    )]
    Der,
    #[error(
        "the key is encrypted: decrypt it with `openssl pkey -in FILE -out FILE.plain`, which asks \
         for its passphrase, and name that file"
    )]
    Encrypted,
    #[error("the key of line {line} is broken")]
    Key { line: usize, source: pem::Error },
    #[error("{0}")]
    LeftOut(SkippedBlock),
    #[error(
        "line {line}: a marker that does not stand in a line of its own, or not at its beginning; \
         break or unindent the line"
    )]
    Marker { line: usize },
    #[error(
        "no certificate in it: none begins with `-----BEGIN CERTIFICATE-----`{}",
        others(found)
    )]
    NoCertificate { found: Vec<String> },
    #[error("no private key in it, PKCS#8, PKCS#1 or SEC1{}", others(found))]
    NoKey { found: Vec<String> },
    #[error("line {line}: an END without its BEGIN: the file has lost its beginning")]
    NoBegin { line: usize },
    #[error("line {line}: a BEGIN without its END: the file was cut; write it whole again")]
    NoEnd { line: usize },
    #[error("it is UTF-16: save it as UTF-8 or ASCII")]
    Utf16,
}

fn others(found: &[String]) -> String {
    match found {
        [] => String::new(),
        found => format!("; what it holds: {}", found.join(", ")),
    }
}

/// The certificates of a PEM text: at least one block of them.
pub(super) fn certificates(text: &[u8]) -> Result<Certificates, PemError> {
    let mut all = Certificates::default();
    let mut labels = Vec::new();
    let mut number = 0;
    for block in blocks(text)? {
        let is_trusted = block.label == b"TRUSTED CERTIFICATE";
        if !is_trusted && !CERTIFICATE_LABELS.contains(&block.label) {
            note_label(&mut labels, block.label);
            continue;
        }
        number += 1;
        let at = BlockPosition { number, line: block.line };
        match if is_trusted { Err(TRUSTED.to_owned()) } else { block.certificate() } {
            Ok(certificate) => all.found.push((at, certificate)),
            Err(why) => all.left_out.push(SkippedBlock { at, why }),
        }
    }
    match (all.found.as_slice(), all.left_out.first()) {
        ([], None) if is_der(text) => Err(PemError::Der),
        ([], None) => Err(PemError::NoCertificate { found: labels }),
        _ => Ok(all),
    }
}

/// The certificates of a chain, none of which may be left out.
pub(super) fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let Certificates { found, mut left_out } = certificates(text)?;
    match left_out.is_empty() {
        true => Ok(found.into_iter().map(|(_, certificate)| certificate).collect()),
        false => Err(PemError::LeftOut(left_out.swap_remove(0))),
    }
}

/// The first private key of a PEM text.
pub(super) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let mut labels = Vec::new();
    for block in blocks(text)? {
        let is_encrypted = block.label == b"ENCRYPTED PRIVATE KEY"
            || (KEY_LABELS.contains(&block.label) && block.has_line_with(b"ENCRYPTED"));
        if is_encrypted {
            return Err(PemError::Encrypted);
        }
        if KEY_LABELS.contains(&block.label) {
            return PrivateKeyDer::from_pem_slice(block.text)
                .map_err(|source| PemError::Key { line: block.line, source });
        }
        note_label(&mut labels, block.label);
    }
    Err(PemError::NoKey { found: labels })
}

/// A block from its BEGIN to its END.
struct PemBlock<'t> {
    label: &'t [u8],
    line: usize,
    text: &'t [u8],
}

impl PemBlock<'_> {
    /// The certificate in it, whatever the label says of it.
    fn certificate(&self) -> Result<CertificateDer<'static>, String> {
        let begin = self.text.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let body = self.text.get(begin..).unwrap_or_default();
        let end = body.windows(END.len()).rposition(|window| window == END).unwrap_or(body.len());
        let mut plain = b"-----BEGIN CERTIFICATE-----\n".to_vec();
        plain.extend_from_slice(body.get(..end).unwrap_or_default());
        plain.extend_from_slice(b"-----END CERTIFICATE-----\n");
        let der = CertificateDer::from_pem_slice(&plain).map_err(|error| error.to_string())?;
        let why = |what: &str| Err(format!("it holds {what}, not a certificate"));
        match x509_parser::certificate::X509Certificate::from_der(&der) {
            Ok(([], _)) => Ok(der),
            Ok(_) => why("more than one DER value"),
            Err(_) if der.is_empty() => why("nothing"),
            Err(_) => why("something else, or one that was cut"),
        }
    }

    fn has_line_with(&self, word: &[u8]) -> bool {
        let is_header = |line: &&[u8]| line.contains(&b':');
        let mut headers = self.text.split(|&byte| byte == b'\n').skip(1).take_while(is_header);
        headers.any(|line| line.windows(word.len()).any(|window| window == word))
    }
}

/// Blocks of a text, by lines: one pass over it.
fn blocks(text: &[u8]) -> Result<Vec<PemBlock<'_>>, PemError> {
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return Err(PemError::Utf16);
    }
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, &[u8])> = None;
    let mut at = 0;
    for (whole, number) in text.split_inclusive(|&byte| byte == b'\n').zip(1..) {
        let from = at;
        at += whole.len();
        // Files that were joined bring their marks along.
        let line = whole.strip_prefix(MARK).unwrap_or(whole).trim_ascii_end();
        let begins = label(line, BEGIN);
        let ends = label(line, END);
        match (begins, ends, open) {
            (Some(_), _, Some((line, ..))) => return Err(PemError::NoEnd { line }),
            (Some(label), _, None) => open = Some((number, from, label)),
            (None, Some(ended), Some((line, from, label))) if ended == label => {
                let text = text.get(from..at).unwrap_or_default();
                let text = text.strip_prefix(MARK).unwrap_or(text);
                found.push(PemBlock { label, line, text });
                open = None;
            }
            (None, Some(_), Some((line, ..))) => return Err(PemError::NoEnd { line }),
            (None, Some(_), None) => return Err(PemError::NoBegin { line: number }),
            (None, None, _) if has(line, BEGIN) || has(line, END) => {
                return Err(PemError::Marker { line: number });
            }
            (None, None, _) => {}
        }
    }
    match open {
        Some((line, ..)) => Err(PemError::NoEnd { line }),
        None => Ok(found),
    }
}

/// The label of a marker that is the whole line.
fn label<'l>(line: &'l [u8], marker: &[u8]) -> Option<&'l [u8]> {
    let label = line.strip_prefix(marker)?.strip_suffix(b"-----")?;
    (!label.contains(&b'-')).then_some(label)
}

fn has(line: &[u8], marker: &[u8]) -> bool {
    memchr::memmem::find(line, marker).is_some()
}

fn note_label(labels: &mut Vec<String>, label: &[u8]) {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b' ';
    let text = match label.len() <= LABEL_MAX && label.iter().all(is_plain) {
        true => format!("`{}`", String::from_utf8_lossy(label)),
        false => "a block of an odd label".to_owned(),
    };
    if labels.len() < LABELS_MAX && !labels.contains(&text) {
        labels.push(text);
    }
}

/// A SEQUENCE of a length in two bytes, as every certificate is.
const fn is_der(text: &[u8]) -> bool {
    matches!(text, [0x30, 0x81 | 0x82, ..])
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
/// UTF-8's byte order mark, which editors write.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// The second is OpenSSL's older one for the same (`PEM_STRING_X509_OLD`).
const CERTIFICATE_LABELS: [&[u8]; 2] = [b"CERTIFICATE", b"X509 CERTIFICATE"];
const KEY_LABELS: [&[u8]; 3] = [b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY"];
const TRUSTED: &str = "it is a `TRUSTED CERTIFICATE`, OpenSSL's own form with rules of trust \
                       attached; convert it with `openssl x509 -in FILE -out FILE.pem`";
/// Longer than any label in use (`ENCRYPTED PRIVATE KEY` has 21 bytes).
const LABEL_MAX: usize = 40;
/// Enough to see what sort of file it is.
const LABELS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{LabPki, Subject};

    fn count(text: &[u8]) -> usize {
        let found = certificates(text).unwrap();
        assert!(found.left_out.is_empty(), "{found:?}");
        found.found.len()
    }

    #[test]
    fn files_are_read_as_editors_and_old_programs_write_them() {
        let one = LabPki::generate().unwrap().root_pem();
        let marked = format!("\u{feff}{one}");
        assert_eq!(count(marked.as_bytes()), 1);
        assert_eq!(count(format!("{one}{marked}{marked}").as_bytes()), 3);
        assert_eq!(count(one.replace('\n', "\r\n").as_bytes()), 1);
        assert_eq!(count(one.replace(" CERTIFICATE", " X509 CERTIFICATE").as_bytes()), 1);
        assert_eq!(count(one.trim_end().as_bytes()), 1);
    }

    #[test]
    fn what_holds_no_certificate_says_what_it_is() {
        let pki = LabPki::generate().unwrap();
        let issued = pki.issue(&Subject::server("a.test")).unwrap();
        let wide: Vec<u8> = issued.chain_pem.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (text, expected) in [
            (issued.identity.chain()[0].to_vec(), "it is DER, not PEM"),
            ([b"\xff\xfe".to_vec(), wide].concat(), "it is UTF-16"),
            (issued.key_pem.clone().into_bytes(), "what it holds: `PRIVATE KEY`"),
            (b"-----BEGIN PKCS7-----\nAA==\n-----END PKCS7-----\n".to_vec(), "`PKCS7`"),
            (b"-----END CERTIFICATE-----\n".to_vec(), "line 1: an END without its BEGIN"),
        ] {
            let error = certificates(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_encrypted_key_says_so_and_how_to_decrypt_it() {
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                   DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let new = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n\
                   -----END ENCRYPTED PRIVATE KEY-----\n";
        for text in [old, new] {
            let error = private_key(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("`openssl pkey -in FILE -out FILE.plain`"), "{error}");
        }
        let other = new.replace("ENCRYPTED", "OPENSSH");
        let error = private_key(other.as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with("what it holds: `OPENSSH PRIVATE KEY`"), "{error}");
        let pki = LabPki::generate().unwrap();
        let key = pki.issue(&Subject::client("a")).unwrap().key_pem;
        private_key(format!("\u{feff}{key}").as_bytes()).unwrap();
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "-----BEGIN ",
                    "-----", "\n", "\u{feff}", "AAAA", " ", "X509 ", "-----END ",
                ]),
                0..20,
            ),
        ) {
            let text = pieces.concat();
            let _ = certificates(text.as_bytes());
            let _ = private_key(text.as_bytes());
        }
    }
}
