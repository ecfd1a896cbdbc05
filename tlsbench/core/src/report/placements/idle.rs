//! Memory that idle connections take at each hop: the mean over readings of freshly started hops,
//! with its interval.

use serde::Serialize;

use crate::placement::Role;
use crate::record::lab::{IdleHop, IdleRecord, LabRecord};
use crate::stats::{Estimate, mean};

/// Memory of a placement's hops with idle connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdleReport {
    /// The placement.
    pub placement: String,
    /// Idle connections, each after one request.
    pub connections: u32,
    /// Number of readings.
    pub readings: u32,
    /// Hops, from the client on.
    pub hops: Vec<IdleHopReport>,
    /// Memory per connection at all hops together.
    pub all: BytesEach,
}

/// Memory of one hop with idle connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdleHopReport {
    /// Role.
    pub role: Role,
    /// Resident before there was any connection: the mean over readings.
    pub before_bytes: u64,
    /// Resident bytes with the connections open.
    pub after_bytes: u64,
    /// Memory per connection.
    #[serde(flatten)]
    pub each: BytesEach,
}

/// Memory per connection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BytesEach {
    /// The mean over readings, in bytes.
    pub bytes_per_connection: f64,
    /// The same with its interval; `None` if it was read once.
    pub interval: Option<Estimate>,
}

impl IdleReport {
    /// Reports of each placement whose idle connections were held, in the order of the first
    /// reading.
    #[must_use]
    pub fn all(record: &LabRecord) -> Vec<Self> {
        let mut names: Vec<&String> = Vec::new();
        for idle in &record.idle {
            if !names.contains(&&idle.placement) {
                names.push(&idle.placement);
            }
        }
        let order = |name: &str| record.lab.placements.iter().position(|one| one.name == name);
        names.sort_by_key(|name| order(name));
        names.into_iter().filter_map(|name| Self::of(name, &record.idle)).collect()
    }

    fn of(placement: &str, all: &[IdleRecord]) -> Option<Self> {
        let readings: Vec<&IdleRecord> =
            all.iter().filter(|idle| idle.placement == placement).collect();
        let first = readings.first()?;
        let of_hop = |role: Role| -> Vec<&IdleHop> {
            let all = readings.iter().flat_map(|reading| &reading.hops);
            all.filter(|hop| hop.role == role).collect()
        };
        let sums = readings
            .iter()
            .map(|reading| reading.hops.iter().map(|hop| hop.bytes_per_connection).sum());
        Some(Self {
            placement: placement.to_owned(),
            connections: first.connections,
            readings: u32::try_from(readings.len()).unwrap_or(u32::MAX),
            hops: first
                .hops
                .iter()
                .map(|hop| IdleHopReport::of(&of_hop(hop.role), hop.role))
                .collect(),
            all: BytesEach::of(&sums.collect::<Vec<f64>>()),
        })
    }
}

impl IdleHopReport {
    fn of(readings: &[&IdleHop], role: Role) -> Self {
        let count = u64::try_from(readings.len()).unwrap_or(u64::MAX).max(1);
        let mean = |of: fn(&IdleHop) -> u64| {
            readings.iter().fold(0, |sum: u64, hop| sum.saturating_add(of(hop))) / count
        };
        let each: Vec<f64> = readings.iter().map(|hop| hop.bytes_per_connection).collect();
        Self {
            role,
            before_bytes: mean(|hop| hop.before_bytes),
            after_bytes: mean(|hop| hop.after_bytes),
            each: BytesEach::of(&each),
        }
    }
}

impl BytesEach {
    fn of(readings: &[f64]) -> Self {
        let interval = mean(readings);
        let sum: f64 = readings.iter().sum();
        let plain = sum / readings.len().max(1) as f64;
        Self { bytes_per_connection: interval.map_or(plain, |estimate| estimate.value), interval }
    }
}
