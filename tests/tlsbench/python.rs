//! Other people's libraries of Python, which what we write is held against.

use std::io::Write;
use std::process::{Command, Stdio};

/// Gives a script its standard input and returns what it prints. Without the module that it needs,
/// only the CI fails; elsewhere there is nothing.
pub(crate) fn python(script: &str, module: &str, package: &str, input: &str) -> Option<String> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_module = Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_module {
        let missing =
            format!("PyPI's `{package}` is missing: pip install {package}, or set PYTHON");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
        eprintln!("skipped: {missing}");
        return None;
    }
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The scripts read all of it before they print.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}: {:?}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}
