//! The ways in which a test server ends a connection.

/// The way in which a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// In good order: close_notify and FIN.
    Close,
    /// By a reset.
    Reset,
}
