//! Estimated duration of a lab: measuring, starting and reading.

use super::{Lab, Workload};
use crate::units::Nanos;

impl Lab {
    /// Time that hops are left alone with their idle connections in each reading.
    pub const REST: Nanos = Nanos::from_millis(1_000);

    /// Estimated duration.
    #[must_use]
    pub fn span(&self) -> Nanos {
        let passes = [self.pilot_span(), self.cpu_span(), self.latency_span(), self.check_span()];
        passes.into_iter().fold(self.idle_span(), |sum, part| sum + part)
    }

    /// Number of placements that the pilot looks at: those that fit into eight seconds.
    #[must_use]
    pub fn piloted(&self) -> usize {
        // At least one, because a lab without times would divide by zero.
        let each = (self.start() + self.pilot_slice()).0.max(1);
        let most = usize::try_from(PILOT_MAX.0 / each).unwrap_or(usize::MAX);
        self.placements.len().min(most)
    }

    /// Time that the pilot looks at each placement, its warm-up included.
    #[must_use]
    pub fn pilot_slice(&self) -> Nanos {
        PILOT_SLICE.min(self.slice_ns) + PILOT_WARM_UP
    }

    /// Duration of the pilot.
    #[must_use]
    pub fn pilot_span(&self) -> Nanos {
        times(self.start() + self.pilot_slice(), self.piloted())
    }

    /// Duration of the CPU pass.
    #[must_use]
    pub fn cpu_span(&self) -> Nanos {
        let topologies = self.topologies(0);
        let slices: usize = topologies.iter().map(|(.., workloads)| workloads.len()).sum();
        let slice = self.warm_up_ns + self.slice_ns + READING;
        let round = times(self.start(), topologies.len()) + times(slice, slices);
        times(round, usize::try_from(self.rounds).unwrap_or(usize::MAX))
    }

    /// Duration of the latency pass.
    #[must_use]
    pub fn latency_span(&self) -> Nanos {
        let Some(pass) = self.latency else { return Nanos(0) };
        let slice = self.start() + pass.warm_up_ns + pass.slice_ns + READING;
        let round = times(slice, self.placements.len());
        times(round, usize::try_from(pass.rounds).unwrap_or(usize::MAX))
    }

    /// Duration of the hold-out rounds.
    #[must_use]
    pub fn check_span(&self) -> Nanos {
        let rounds = self.rounds.saturating_sub(self.mixed_from());
        match self.hold_out {
            true => Self { workloads: vec![Workload::Mix], rounds, ..self.clone() }.cpu_span(),
            false => Nanos(0),
        }
    }

    /// Number of readings with idle connections; for each, hops are started afresh.
    #[must_use]
    pub fn idle_rounds(&self) -> u32 {
        match self.idle_connections {
            0 => 0,
            _ => self.rounds.min(IDLE_ROUNDS_MAX),
        }
    }

    /// Duration of the readings with idle connections.
    #[must_use]
    pub fn idle_span(&self) -> Nanos {
        let held = times(CONNECTING, usize::try_from(self.idle_connections).unwrap_or(usize::MAX));
        let reading = self.start() + held + SETTLING + Self::REST;
        let round = times(reading, self.placements.len());
        times(round, usize::try_from(self.idle_rounds()).unwrap_or(usize::MAX))
    }

    /// Time to start a placement, and to stop it.
    fn start(&self) -> Nanos {
        if self.netns { START + JOINING } else { START }
    }
}

fn times(span: Nanos, count: usize) -> Nanos {
    Nanos(span.0.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX)))
}

/// Starting three hops and waiting until each answers: 130 ms for built-in ones, 180 ms for nginx,
/// on two busy cores.
const START: Nanos = Nanos::from_millis(150);
/// Three links between network namespaces, on two cores that others kept busy: 40 ms to make them,
/// and 100 ms to take them away.
const JOINING: Nanos = Nanos::from_millis(140);
/// Time that a slice takes besides its length: threads, and a look at all processes.
const READING: Nanos = Nanos::from_millis(15);
/// Largest number of readings. With five the interval is 1.2 standard deviations to each side, and
/// more would narrow it little: with ten it is 0.7.
const IDLE_ROUNDS_MAX: u32 = 5;
/// A handshake and a request through three hops, one after the other.
const CONNECTING: Nanos = Nanos::from_millis(2);
/// Time until hops are done with the last connection.
const SETTLING: Nanos = Nanos::from_millis(100);
/// The pilot's share of the 20 s within which a first table is there.
const PILOT_MAX: Nanos = Nanos::from_millis(8_000);
/// Some hundred connections, enough for a first look.
const PILOT_SLICE: Nanos = Nanos::from_millis(250);
/// Time until each of the generator's connections was used once.
pub(super) const PILOT_WARM_UP: Nanos = Nanos::from_millis(50);
