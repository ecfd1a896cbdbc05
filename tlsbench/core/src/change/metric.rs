//! Metrics that are compared between records, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::compare::{CPU_MARGIN, MEDIAN_MARGIN};
use crate::units::Share;
use crate::warning::Family;

/// A figure of a record that is compared with that of other records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// CPU time of all hops of a placement per operation.
    Cpu,
    /// CPU time of the load balancer per operation.
    LbCpu,
    /// CPU time of the ingress per operation.
    IngressCpu,
    /// CPU time of the sidecar per operation.
    SidecarCpu,
    /// CPU time of the backend per operation.
    BackendCpu,
    /// CPU time per connection whose handshake is most of the work.
    HandshakeCpu,
    /// CPU time of all hops per request over a connection that is kept.
    RequestCpu,
    /// CPU time of the generator per operation.
    ClientCpu,
    /// Median time of a handshake until the server confirmed it.
    HandshakeP50,
    /// 99th percentile of the same.
    HandshakeP99,
    /// Median time of an operation.
    LatencyP50,
    /// 99th percentile of the same.
    LatencyP99,
    /// Operations that succeeded, per second.
    Rate,
    /// Share of operations that failed, of subjects of which nothing succeeded in a record.
    Failed,
}

/// Every metric with its name and unit, in the order of tables.
const NAMES: [(Metric, &str, &str); 14] = [
    (Metric::Cpu, "cpu", "µs"),
    (Metric::LbCpu, "lb_cpu", "µs"),
    (Metric::IngressCpu, "ingress_cpu", "µs"),
    (Metric::SidecarCpu, "sidecar_cpu", "µs"),
    (Metric::BackendCpu, "backend_cpu", "µs"),
    (Metric::HandshakeCpu, "handshake_cpu", "µs"),
    (Metric::RequestCpu, "request_cpu", "µs"),
    (Metric::ClientCpu, "client_cpu", "µs"),
    (Metric::HandshakeP50, "handshake_p50", "µs"),
    (Metric::HandshakeP99, "handshake_p99", "µs"),
    (Metric::LatencyP50, "latency_p50", "µs"),
    (Metric::LatencyP99, "latency_p99", "µs"),
    (Metric::Rate, "rate", "1/s"),
    (Metric::Failed, "failed", "%"),
];

impl Metric {
    /// Every metric, in the order of tables.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.into_iter().map(|(metric, ..)| metric)
    }

    fn entry(self) -> (&'static str, &'static str) {
        let found = NAMES.iter().find(|(metric, ..)| *metric == self);
        found.map_or(("", ""), |(_, name, unit)| (name, unit))
    }

    /// The name in conditions and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.entry().0
    }

    /// The unit of its values.
    #[must_use]
    pub fn unit(self) -> &'static str {
        self.entry().1
    }

    /// The family of verdicts that it belongs to.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::HandshakeP50 | Self::HandshakeP99 | Self::LatencyP50 | Self::LatencyP99 => {
                Family::Latency
            }
            Self::Failed | Self::Rate => Family::Capacity,
            Self::BackendCpu
            | Self::ClientCpu
            | Self::Cpu
            | Self::HandshakeCpu
            | Self::IngressCpu
            | Self::LbCpu
            | Self::RequestCpu
            | Self::SidecarCpu => Family::Cpu,
        }
    }

    /// The margin within which values count as equal. A tail never does.
    #[must_use]
    pub const fn margin(self) -> Option<Share> {
        match self {
            Self::HandshakeP99 | Self::LatencyP99 => None,
            Self::HandshakeP50 | Self::LatencyP50 => Some(MEDIAN_MARGIN),
            _ => Some(CPU_MARGIN),
        }
    }
}

/// A name that is no metric's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoMetric(pub String);

impl fmt::Display for NoMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no metric; write one of ", self.0)?;
        for (index, (_, name, _)) in NAMES.iter().enumerate() {
            write!(f, "{}`{name}`", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for NoMetric {}

impl FromStr for Metric {
    type Err = NoMetric;

    fn from_str(text: &str) -> Result<Self, NoMetric> {
        let found = NAMES.iter().find(|(_, name, _)| *name == text);
        found.map(|(metric, ..)| *metric).ok_or_else(|| NoMetric(text.to_owned()))
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}
