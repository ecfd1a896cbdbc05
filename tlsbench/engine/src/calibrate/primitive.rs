//! One operation that is timed, and why that cannot be done.

use std::io;

use thiserror::Error;
use tlsbench_core::scenario::Provider;
use tlsbench_core::units::Nanos;

use crate::clock::Clock;
use crate::tls::{PkiError, TlsError};

/// Any error: an operation is cryptography of one of two libraries, or a system call.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An operation that can be done any number of times.
pub struct Primitive {
    /// The name of the operation.
    pub name: &'static str,
    /// The provider; `None` for operations of the kernel.
    pub provider: Option<Provider>,
    /// The number of bytes each operation handles, where that is what it is about.
    pub bytes: Option<u32>,
    /// The most operations in a batch, where each leaves something behind in the kernel.
    most: u64,
    repeat: Box<dyn FnMut(u64) -> Result<(), BoxError>>,
}

impl Primitive {
    /// An operation that each call of `once` does.
    pub(super) fn new(
        name: &'static str,
        provider: impl Into<Option<Provider>>,
        mut once: impl FnMut() -> Result<(), BoxError> + 'static,
    ) -> Self {
        let repeat = move |times| (0..times).try_for_each(|_| once());
        let provider = provider.into();
        Self { name, provider, bytes: None, most: OPERATIONS_MAX, repeat: Box::new(repeat) }
    }

    /// Notes how many bytes each operation handles.
    pub(super) fn with_bytes(self, bytes: u32) -> Self {
        Self { bytes: Some(bytes), ..self }
    }

    /// Limits a batch to this many operations.
    pub(super) fn with_most(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// Does it this many times.
    ///
    /// # Errors
    /// When it fails even once.
    pub fn repeat(&mut self, times: u64) -> Result<(), CalibrateError> {
        let name = self.name;
        (self.repeat)(times).map_err(|source| CalibrateError::Operation { name, source })
    }

    pub(super) fn timed(&mut self, times: u64) -> Result<Nanos, CalibrateError> {
        // The thread's CPU clock leaves out the time in which others ran.
        let begin = Clock::ThreadCpu.now();
        self.repeat(times)?;
        Ok(Clock::ThreadCpu.now() - begin)
    }

    /// Returns the number of operations take about [`BATCH`].
    pub(super) fn batch(&mut self) -> Result<u64, CalibrateError> {
        let mut times = 1;
        loop {
            let took = self.timed(times)?;
            if took >= SIZING || times >= self.most {
                let fitting = u128::from(times) * u128::from(BATCH.0) / u128::from(took.0.max(1));
                return Ok(u64::try_from(fitting).unwrap_or(u64::MAX).clamp(1, self.most));
            }
            times = times.saturating_mul(2).min(self.most);
        }
    }
}

/// The reason why nothing was measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// A key could not be made.
    #[error("cannot make a key to calibrate with")]
    Key {
        /// The cause.
        source: PkiError,
    },
    /// Something of the kernel could not be had.
    #[error("cannot prepare `{name}`")]
    Kernel {
        /// The primitive.
        name: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// An operation failed.
    #[error("`{name}` failed")]
    Operation {
        /// The primitive.
        name: &'static str,
        /// The cause.
        source: BoxError,
    },
    /// A provider could not be had, or did not take what it should.
    #[error("cannot prepare the primitives of {provider}")]
    Provider {
        /// The provider.
        provider: Provider,
        /// The cause.
        source: BoxError,
    },
}

impl CalibrateError {
    pub(super) fn provider(provider: Provider) -> impl Fn(TlsError) -> Self {
        move |source| Self::Provider { provider, source: source.into() }
    }
}

/// Long beside a reading of the clock (1 µs at worst), short beside a change of frequency.
const BATCH: Nanos = Nanos::from_millis(10);
/// A tenth of a batch tells within a few per cent how many operations a batch takes.
const SIZING: Nanos = Nanos::from_millis(1);
/// 10 ms of the cheapest operation, at 1 ns.
const OPERATIONS_MAX: u64 = 10_000_000;
