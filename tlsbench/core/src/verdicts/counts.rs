//! A check that two processes counted the same connections, handshakes and requests: a cost per
//! handshake is worth as much as the count of handshakes.
//!
//! The client is held against each hop that has its connections, and a hop that dials with TLS
//! against the one that ends it.

use crate::hop::{EngineCounters, LinkSecurity};
use crate::placement::{Placement, PlacementHop};
use crate::record::lab::TrialRecord;
use crate::scenario::{Load, Protocol, Scenario};
use crate::warning::{Family, Gate, Warning};

/// Fails a placement under one workload if the counts disagree, over all of its rounds together.
pub(super) fn gate(
    trial: &TrialRecord,
    placement: &Placement,
    scenario: &Scenario,
) -> Option<Gate> {
    let first = disagreement(trial, placement, scenario)?;
    let CountMismatch { what, one, other, allowed, rounds } = first;
    Some(Gate {
        name: "counts",
        target: Some(trial.client.name.clone()),
        warning: Warning {
            seen: format!(
                "the {} counted {} {what} and the {} {} in {rounds} rounds, with {allowed} more or \
                 less allowed",
                one.who, one.count, other.who, other.count
            ),
            cause: "somebody else loads these hops, or one of the two counts wrongly".to_owned(),
            cure:
                "see that nothing else connects to their ports and run again; if it stays, report \
                   it with the record"
                    .to_owned(),
        },
        spoils: &[Family::Cpu],
    })
}

/// Two that should have counted the same.
struct CountMismatch {
    what: &'static str,
    one: CountedSide,
    other: CountedSide,
    allowed: u64,
    rounds: usize,
}

/// One of them.
struct CountedSide {
    who: String,
    count: u64,
}

fn disagreement(
    trial: &TrialRecord,
    placement: &Placement,
    scenario: &Scenario,
) -> Option<CountMismatch> {
    let counted = PooledCounts::of(trial)?;
    let failed = trial.made.iter().fold(0, |sum: u64, made| sum.saturating_add(made.failed));
    // A failed operation may have reached the hop or not, so each may count on one side only.
    let allowed = in_flight(scenario).saturating_mul(counted.rounds as u64).saturating_add(failed);
    counted.pairs(placement).into_iter().find_map(|pair| {
        let CountPair { what, one, other } = pair;
        (one.count.abs_diff(other.count) > allowed).then_some(CountMismatch {
            what,
            one,
            other,
            allowed,
            rounds: counted.rounds,
        })
    })
}

/// Counts of each process in all rounds of which everything is known.
struct PooledCounts {
    client: EngineCounters,
    /// Counters of each hop, from the client on; `None` for an engine that has none.
    hops: Vec<Option<EngineCounters>>,
    rounds: usize,
}

/// A number that two have.
struct CountPair {
    what: &'static str,
    one: CountedSide,
    other: CountedSide,
}

impl PooledCounts {
    fn of(trial: &TrialRecord) -> Option<Self> {
        let hops = trial.hops.iter().map(|hop| {
            let of_round = |round: u32| hop.rounds.iter().find(|used| used.round == round);
            let each = trial.made.iter().map(|made| of_round(made.round)?.counted);
            // One round without counters makes the whole sum unknown: a part of it would be
            // compared with all.
            each.reduce(|sum, one| Some(sum? + one?)).flatten()
        });
        let hops = hops.collect();
        let client = trial.made.iter().map(|made| made.made).reduce(|sum, one| sum + one)?;
        Some(Self { client, hops, rounds: trial.made.len() })
    }

    fn pairs(&self, placement: &Placement) -> Vec<CountPair> {
        let mut pairs = Vec::new();
        let client = |count| CountedSide { who: "client".to_owned(), count };
        for (index, station) in placement.hops.iter().enumerate() {
            let side = |count| CountedSide { who: station.role.to_string(), count };
            let counted = self.hops.get(index).copied().flatten();
            if let Some(counted) = counted {
                let mut add = |what, one, other| {
                    pairs.push(CountPair { what, one: client(one), other: side(other) });
                };
                add("connections", self.client.connections, counted.connections);
                if station.listen != LinkSecurity::Plain {
                    add("full handshakes", self.client.full, counted.full);
                    add("resumed handshakes", self.client.resumed, counted.resumed);
                }
                if let (Some(made), Some(read)) = (self.client.requests, counted.requests) {
                    add("requests", made, read);
                }
            }
            // Behind it there are other connections, or other handshakes.
            if !station.passes_on() || station.dial != LinkSecurity::Plain {
                break;
            }
        }
        // Where a hop dials with TLS, its handshakes as a client are those of the next hop as a
        // server.
        let links = placement.hops.iter().enumerate();
        for (index, _) in links.filter(|(_, station)| station.dial != LinkSecurity::Plain) {
            pairs.extend(self.dialled(placement, index).into_iter().flatten());
        }
        pairs
    }

    /// Handshakes between a hop that dials with TLS and the next that ends it.
    fn dialled(&self, placement: &Placement, from: usize) -> Option<[CountPair; 2]> {
        let mut behind = placement.hops.iter().enumerate().skip(from + 1);
        let (to, ends) = behind.find(|(_, station)| station.listen != LinkSecurity::Plain)?;
        let (dials, begins) = (self.hops.get(from).copied().flatten()?, placement.hops.get(from)?);
        let listens = self.hops.get(to).copied().flatten()?;
        let side =
            |station: &PlacementHop, count| CountedSide { who: station.role.to_string(), count };
        let pair =
            |what, one, other| CountPair { what, one: side(begins, one), other: side(ends, other) };
        Some([
            pair("full handshakes between them", dials.dialled_full?, listens.full),
            pair("resumed handshakes between them", dials.dialled_resumed?, listens.resumed),
        ])
    }
}

/// Tolerance between two counts of one load: it is taken away while every connection may have a
/// handshake or a request under way, and each stream a request, that one side has counted and the
/// other has not. It begins when nothing is under way.
fn in_flight(scenario: &Scenario) -> u64 {
    let connections = match scenario.load {
        Load::Closed { connections, .. } => connections,
        Load::Open { pool, .. } => pool,
    };
    let streams = match scenario.request.as_ref().map(|request| &request.protocol) {
        Some(Protocol::Http2 { streams }) => streams.get(),
        Some(Protocol::Http1) | None => 1,
    };
    u64::from(connections.get()).saturating_mul(streams.into())
}
