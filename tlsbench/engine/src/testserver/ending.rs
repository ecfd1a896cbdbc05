//! The ways in which a test server ends a connection.

/// The way in which a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// An orderly end: close_notify and FIN.
    Close,
    /// A reset.
    Reset,
}
