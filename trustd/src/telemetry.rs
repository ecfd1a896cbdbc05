//! Telemetry of a running controller: logs, metrics, health.
//!
//! Names of Bundles, namespaces and certificates may appear in it; the contents of a source never
//! do.

mod log;
mod metrics;
mod serve;

pub use log::{Format, Stream, start as start_log};
pub use metrics::{Latency, METRICS, Metrics};
pub use serve::{Pages, ServeError, Server};
