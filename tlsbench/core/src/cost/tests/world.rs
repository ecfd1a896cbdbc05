//! Hops whose costs are known, for they were made up, and what a run over them would have recorded.

use super::super::*;
use crate::lab::{EngineName, Lab, Pass, Workload};
use crate::placement::PlacementHop;
use crate::random::SplitMix64;
use crate::record::lab::{HopRecord, HopRound, Receiving, TrialRecord};
use crate::record::{Environment, Measured, RoundRecord, SCHEMA, TargetRecord};
use crate::tally::Tally;
use crate::units::Nanos;
use crate::usage::{Cpu, Lap, Memory, Usage};

/// Operations of each slice.
pub(super) const OPERATIONS: u64 = 10_000;

/// True cost of each term in microseconds; no two sorts of hop have the same, except for wakes.
pub(crate) fn truth(role: Role, kind: HopKind, term: Term) -> f64 {
    let of_role = 1.0 + 0.1 * f64::from(role as u8) + 0.01 * f64::from(kind as u8);
    let cost = match (term, kind) {
        (Term::Full, HopKind::Relay | HopKind::SniRelay) => 3.0,
        (Term::Resumed, HopKind::Relay | HopKind::SniRelay) => 2.0,
        (Term::Connection, _) => 30.0,
        (Term::Kept, _) => 9.0,
        (Term::Request, _) => 12.0,
        (Term::Gbit, _) => 90_000.0,
        (Term::Full, _) => 250.0,
        (Term::Resumed, _) => 120.0,
        (Term::Mutual, _) => 100.0,
        (Term::Dial, _) => 25.0,
        (Term::DialFull, _) => 400.0,
        (Term::DialResumed, _) => 150.0,
        (Term::DialMutual, _) => 60.0,
        (Term::TlsRequest, _) => 4.0,
        (Term::TlsGbit, _) => 40_000.0,
        (Term::Long, _) => 120_000.0,
        (Term::Bulk, _) => 60_000.0,
        (Term::Wake, _) => return 10.0,
        (Term::IdleWake, _) => return 15.0,
        (Term::RelayWake, _) => return if kind.speaks_http() { 0.0 } else { 7.0 },
        (Term::Rest, _) => 0.0,
    };
    cost * of_role
}

/// A world in which hops cost what they do.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) cost: fn(Role, HopKind, Term) -> f64,
    /// Relative noise of each hop in a round, besides the part that a whole round shares.
    pub(crate) noise: f64,
    pub(crate) held_out: Option<crate::record::lab::HeldOut>,
    /// True if hops are woken up, as often as a name says: up to once for each operation.
    pub(crate) wakes: bool,
    /// Length of a slice relative to the time of hops that share a core.
    pub(crate) slack: f64,
    /// Relative speed of everything in a round.
    pub(crate) pace: fn(u32) -> f64,
    /// Template of a client's round.
    pub(crate) round: RoundRecord,
}

impl World {
    pub(crate) fn new() -> Self {
        let workloads = [Workload::Short, Workload::Bulk16k, Workload::Bulk64k, Workload::Bulk1m]
            .iter()
            .chain(&Workload::DEFAULT);
        let workloads = workloads.copied().collect();
        let lab = Lab { workloads, latency: None, ..Lab::default() };
        let mut client = TargetRecord::new("any");
        let mut tally = Tally::new();
        (tally.succeeded, tally.scheduled) = (OPERATIONS, OPERATIONS);
        let lap = Lap { wall: Nanos::from_millis(1_000), ..Lap::default() };
        client.push(&Measured { round: 0, tally: &tally, lap: &lap, wait_max: Nanos(0) });
        let round = client.rounds.remove(0);
        Self {
            lab,
            cost: truth,
            noise: 0.01,
            held_out: None,
            wakes: false,
            slack: 1.0,
            pace,
            round,
        }
    }

    pub(crate) fn record(&self) -> LabRecord {
        let mut trials = Vec::new();
        for placement in &self.lab.placements {
            let suiting = self.lab.workloads.iter().filter(|workload| workload.suits(placement));
            for workload in suiting.copied() {
                trials.push(self.trial(placement, workload));
            }
        }
        LabRecord {
            schema: SCHEMA,
            kind: LabRecord::KIND.into(),
            program: "tlsbench".into(),
            started: "2026-01-02T03:04:05Z".into(),
            ended: "2026-01-02T03:06:05Z".into(),
            complete: true,
            interrupted: None,
            lab: self.lab.clone(),
            environment: Environment::default(),
            notes: Vec::new(),
            generator_cores: vec![0],
            hop_cores: vec![1],
            receiving: Receiving::Sender,
            others: None,
            pilot: Vec::new(),
            trials,
            idle: Vec::new(),
            held_out: self.held_out.clone(),
        }
    }

    pub(crate) fn trial(&self, placement: &Placement, workload: Workload) -> TrialRecord {
        let is_tls = placement.links()[0] != crate::hop::LinkSecurity::Plain;
        let (connections, resumed) = match workload {
            Workload::Full => (OPERATIONS, 0),
            Workload::Resumed => (OPERATIONS, OPERATIONS),
            Workload::Mix => {
                let connections = OPERATIONS / u64::from(self.lab.mix.requests);
                (connections, (connections as f64 * self.lab.mix.resume) as u64)
            }
            Workload::Short => (OPERATIONS / 4, 0),
            Workload::KeepAlive | Workload::Bulk16k | Workload::Bulk64k | Workload::Bulk1m => {
                (0, 0)
            }
        };
        let mut client = TargetRecord::new(format!("{}/{workload}", placement.name));
        for round in 0..self.lab.rounds {
            let mut one = self.round.clone();
            (one.round, one.connections) = (round, connections);
            if is_tls {
                (one.shape.full, one.shape.resumed) = (connections - resumed, resumed);
            }
            client.rounds.push(one);
        }
        let mut trial = TrialRecord {
            placement: placement.name.clone(),
            workload,
            pass: Pass::Cpu,
            rate: None,
            scenario: String::new(),
            hops: Vec::new(),
            made: Vec::new(),
            client,
        };
        let traffic = design::traffic(&self.lab, &trial).unwrap();
        let all = flow(placement, &traffic);
        let work: f64 = placement.hops.iter().zip(&all).map(|(hop, n)| self.micros(hop, n)).sum();
        let wakes: Vec<f64> = placement.hops.iter().map(|hop| self.wakes(&trial, hop)).collect();
        let mut busy = 1.0;
        for _ in 0..50 {
            let woken = |(hop, wakes): (&PlacementHop, &f64)| self.woken(hop, *wakes, busy);
            let woken: f64 = placement.hops.iter().zip(&wakes).map(woken).sum();
            busy = ((work + woken) / (work * self.slack)).min(1.0);
        }
        let seconds = work * self.slack * OPERATIONS as f64 / 1e6;
        for round in &mut trial.client.rounds {
            round.wall_ns = Nanos((seconds * 1e9) as u64);
        }
        let hops = placement.hops.iter().zip(&all).zip(wakes);
        trial.hops = hops
            .map(|((hop, counts), wakes)| HopRecord {
                role: hop.role,
                kind: hop.kind,
                engine: EngineName::Builtin,
                notes: Vec::new(),
                rounds: (0..self.lab.rounds)
                    .map(|round| {
                        let micros = self.micros(hop, counts) + self.woken(hop, wakes, busy);
                        self.hop_round(micros, wakes, hop, &trial, round)
                    })
                    .collect(),
            })
            .collect();
        trial
    }

    /// CPU time of a hop for the counts.
    fn micros(&self, hop: &PlacementHop, counts: &TermCounts) -> f64 {
        counts.iter().map(|(term, n)| (self.cost)(hop.role, hop.kind, *term) * n).sum()
    }

    /// Wake-ups of a hop per operation.
    fn wakes(&self, trial: &TrialRecord, hop: &PlacementHop) -> f64 {
        let name = format!("{} {}", trial.client.name, hop.role);
        if self.wakes { unit(&name) } else { 0.0 }
    }

    /// CPU time of the wake-ups at a utilisation of the cores.
    fn woken(&self, hop: &PlacementHop, wakes: f64, busy: f64) -> f64 {
        let cost = |term: Term| (self.cost)(hop.role, hop.kind, term);
        let each = cost(Term::Wake) + cost(Term::RelayWake);
        wakes * (each + (1.0 - busy) * cost(Term::IdleWake))
    }

    fn hop_round(
        &self,
        micros: f64,
        wakes: f64,
        hop: &PlacementHop,
        trial: &TrialRecord,
        round: u32,
    ) -> HopRound {
        let name = format!("{} {} {} {round}", trial.placement, trial.workload, hop.role);
        let mut bits = SplitMix64::new(seed(&name));
        let stray: f64 = (0..12).map(|_| bits.unit()).sum::<f64>() - 6.0;
        let nanos =
            micros * 1e3 * OPERATIONS as f64 * (self.pace)(round) * (1.0 + self.noise * stray);
        let cpu = Cpu { total: Nanos(nanos as u64), ..Cpu::default() };
        let voluntary_switches = (wakes * OPERATIONS as f64) as u64;
        let usage = Usage { cpu, voluntary_switches, ..Usage::default() };
        HopRound { round, usage, memory: Memory::default(), counted: None }
    }
}

fn seed(name: &str) -> u64 {
    let mix = |seed: u64, byte: u8| seed.wrapping_mul(0x0000_0100_0000_01b3) ^ u64::from(byte);
    name.bytes().fold(7, mix)
}

/// A number from 0 to 1 that follows from a name.
fn unit(name: &str) -> f64 {
    SplitMix64::new(seed(name)).unit()
}

/// Pace that all slices of a round share: the machine is now faster, now slower.
fn pace(round: u32) -> f64 {
    1.0 + 0.02 * f64::from(round % 3)
}

/// The mean over rounds of what rounds share.
pub(crate) fn shared(rounds: u32) -> f64 {
    (0..rounds).map(pace).sum::<f64>() / f64::from(rounds)
}
