//! Running the program and its helpers.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The output of a program, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// All that was printed.
    pub(crate) fn everything(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

pub(crate) fn trustd(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    run(Command::new(env!("CARGO_BIN_EXE_trustd")).args(arguments), b"")
}

pub(crate) fn trustd_with_stdin(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    stdin: &[u8],
) -> Ran {
    run(Command::new(env!("CARGO_BIN_EXE_trustd")).args(arguments), stdin)
}

pub(crate) fn openssl(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    run(Command::new("openssl").args(arguments), b"")
}

pub(crate) fn run(command: &mut Command, stdin: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    // A program that does not read its input closes it; that is its right.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or_else(|| panic!("{command:?}: {}", output.status)),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A directory that goes away with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
