//! What a running controller tells about itself: logs, metrics, health.
//!
//! Names of Bundles, namespaces and certificates may be told; what a source holds never is.

mod log;
mod metrics;
mod serve;

pub use log::{Format, Stream, start as start_log};
pub use metrics::{Latency, METRICS, Metrics};
pub use serve::{Pages, ServeError, Server};
