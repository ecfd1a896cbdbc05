//! Small text files below `/proc` and `/sys`.

use std::path::Path;

/// Reads a number; `None` if the file is missing, masked or holds another text.
pub(super) fn number(root: &Path, path: &str) -> Option<u64> {
    text(root, path)?.trim().parse().ok()
}

/// Reads a text; `None` if the file is missing or masked.
pub(super) fn text(root: &Path, path: &str) -> Option<String> {
    std::fs::read_to_string(root.join(path)).ok()
}
