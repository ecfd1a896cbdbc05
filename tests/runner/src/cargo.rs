//! The messages of `cargo test --no-run --message-format=json`: which executables there are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// A test executable that cargo built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// The package and the target: `trustd-core`, `tlsbench::tlsbench`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The folder that cargo runs it in: the package's.
    pub folder: PathBuf,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Reads the test executables from cargo's messages, one JSON object a line.
///
/// # Errors
/// Fails on a line that is not one of cargo's messages, and names it.
pub fn executables(messages: &str) -> Result<Vec<Executable>> {
    let mut found = Vec::new();
    for (index, line) in messages.lines().enumerate().filter(|(_, line)| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line)
            .with_context(|| format!("line {} is no message of cargo's", index + 1))?;
        let Message { reason, manifest_path, target, profile, executable } = message;
        let (Some(manifest), Some(target), Some(path)) = (manifest_path, target, executable) else {
            continue;
        };
        if reason != "compiler-artifact" || !profile.is_some_and(|profile| profile.test) {
            continue;
        }
        let folder = manifest.parent().unwrap_or(Path::new("/")).to_owned();
        let package = package_name(&manifest, &target);
        found.push(Executable { name: package, path, folder });
    }
    Ok(found)
}

/// Unit tests bear the name of their library; the others that of their folder and target.
fn package_name(manifest: &Path, target: &Target) -> String {
    let Target { name, kind } = target;
    if kind.iter().any(|kind| kind == "test") {
        let folder = manifest.parent().and_then(Path::file_name).unwrap_or_default();
        format!("{}::{name}", folder.to_string_lossy())
    } else {
        name.replace('_', "-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_executables_are_found_and_other_artifacts_left_out() {
        let messages = r#"
{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"a_core","kind":["lib"]},"profile":{"test":true},"executable":"/w/target/debug/deps/a_core-1"}
{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"black","kind":["test"]},"profile":{"test":true},"executable":"/w/target/debug/deps/black-1"}
{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"a","kind":["bin"]},"profile":{"test":false},"executable":"/w/target/debug/a"}
{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"a","kind":["lib"]},"profile":{"test":false},"executable":null}
{"reason":"build-script-executed","package_id":"x"}
{"reason":"build-finished","success":true}
"#;
        let found = executables(messages).unwrap();
        let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a-core", "a::black"]);
        assert_eq!(found[1].path, Path::new("/w/target/debug/deps/black-1"));
        assert_eq!(found[1].folder, Path::new("/w/a"));
    }

    #[test]
    fn a_line_that_is_no_message_is_named() {
        let error = executables("\n{\"reason\":3}\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
