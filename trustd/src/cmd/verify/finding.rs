//! A problem of one certificate, for whatever check finds it.

/// A problem of one certificate at its place in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// A fixed word for programs.
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// The chain does not verify because of it; otherwise it is a warning.
    pub(super) blocks: bool,
}
