//! Exit codes.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// The end of a verb.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exit {
    /// The verb could not do its work: 2, as for wrong arguments.
    Failed,
    /// All is well: 0.
    #[default]
    Fine,
    /// The work is done and the answer is no: 1.
    Negative,
    /// A signal asked it to stop, and what there was is written down: 128 and the signal's number,
    /// as shells say it of a process that a signal ended (129 for SIGHUP, 130 for SIGINT, 143 for
    /// SIGTERM).
    Signal(u8),
}

impl Exit {
    /// The same, or the signal that asked this process to stop.
    #[must_use]
    pub fn or_signal(self) -> Self {
        // Asked at the very end, as a signal may come while the record is written.
        match u8::try_from(signal_seen().load(Ordering::Relaxed)) {
            Ok(0) | Err(_) => self,
            Ok(signal) => Self::Signal(signal),
        }
    }
}

/// The last signal that asked this process to stop, 0 for none. Handlers of the whole process write
/// to it.
pub fn signal_seen() -> &'static Arc<AtomicUsize> {
    static SEEN: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);
    &SEEN
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Negative => 1,
            Exit::Failed => 2,
            Exit::Signal(signal) => 128_u8.saturating_add(signal),
        })
    }
}
