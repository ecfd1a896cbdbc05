//! Over records that were made up, so that what comes out is known.

use std::collections::BTreeSet;

use super::*;
use crate::compare::{InconclusiveReason, Verdict};
use crate::hop::EngineCounters;
use crate::lab::{ClientFiles, EngineName, Lab, LatencyPass};
use crate::placement::{Placement, Role};
use crate::random::SplitMix64;
use crate::record::lab::{
    HeldOut, HopRecord, HopRound, IdleHop, IdleRecord, LabRecord, MadeRound, OtherProcesses,
    PilotRecord, Receiving,
};
use crate::record::{Environment, Measured, SCHEMA, TargetRecord};
use crate::tally::{Phase, Tally};
use crate::units::{Nanos, Rate};
use crate::usage::{Cpu, Lap, Memory, Rest, Usage};

mod counts;
mod gates;

/// Operations of each slice.
const OPERATIONS: u64 = 1_000;

/// Microseconds per operation that a hop costs: TLS that it ends costs 100, and there is noise that
/// all slices of a round share, and some that they do not.
fn cost(known: KnownPlacement, role: Role, round: u32) -> f64 {
    let ends = match known {
        KnownPlacement::LbTerminate => role == Role::Lb,
        KnownPlacement::IngressTerminate => role == Role::Ingress,
        KnownPlacement::Passthrough => role == Role::Backend,
        _ => false,
    };
    let place = (u64::from(round) << 16) + ((known as u64) << 8) + role as u64;
    let own = SplitMix64::new(SplitMix64::new(place).next()).unit();
    20.0 + f64::from(round % 3) + own + if ends { 100.0 } else { 0.0 }
}

fn files() -> ClientFiles {
    ClientFiles {
        ca_bundle: "ca.crt".into(),
        certificate: "client.crt".into(),
        key: "client.key".into(),
    }
}

fn record() -> LabRecord {
    record_of(&[
        KnownPlacement::LbTerminate,
        KnownPlacement::IngressTerminate,
        KnownPlacement::Passthrough,
    ])
}

fn record_of(chosen: &[KnownPlacement]) -> LabRecord {
    let chosen: Vec<_> = chosen.iter().map(|known| known.placement()).collect();
    let placements = Lab::with_twins(&chosen);
    let lab = Lab { placements, workloads: vec![Workload::Full], ..Lab::default() };
    let trials = lab.placements.iter().map(|placement| {
        let known: KnownPlacement = placement.name.parse().unwrap();
        let scenario = lab.scenario(placement, Workload::Full, &files()).unwrap();
        let mut client = TargetRecord::new(format!("{known}/full"));
        let is_tls = scenario.targets[0].scheme == crate::scenario::Scheme::Https;
        for round in 0..lab.rounds {
            let mut tally = Tally::new();
            (tally.succeeded, tally.scheduled, tally.connections) =
                (OPERATIONS, OPERATIONS, OPERATIONS);
            if is_tls {
                tally.shape.full = OPERATIONS;
                let words = "TLS 1.3 aes-128-gcm x25519 ECDSA_NISTP256_SHA256 -";
                (0..OPERATIONS).for_each(|_| tally.shape.negotiated(words));
            }
            let total = Nanos(50_000 * OPERATIONS);
            let lap = Lap {
                wall: Nanos::from_millis(400),
                cpu: Cpu { total, ..Cpu::default() },
                ..Lap::default()
            };
            let wait_max = Nanos(0);
            client.push(&Measured { round, tally: &tally, lap: &lap, wait_max });
        }
        TrialRecord {
            placement: placement.name.clone(),
            workload: Workload::Full,
            pass: Pass::Cpu,
            rate: None,
            scenario: scenario.to_toml().unwrap(),
            made: Vec::new(),
            hops: hop_records(placement, known, lab.rounds),
            client,
        }
    });
    LabRecord {
        schema: SCHEMA,
        kind: LabRecord::KIND.into(),
        program: "tlsbench".into(),
        started: "2026-01-02T03:04:05Z".into(),
        ended: "2026-01-02T03:06:05Z".into(),
        complete: true,
        interrupted: None,
        pilot: Vec::new(),
        trials: trials.collect(),
        idle: Vec::new(),
        held_out: None,
        lab: lab.clone(),
        environment: Environment::default(),
        notes: Vec::new(),
        generator_cores: vec![0],
        hop_cores: vec![1],
        receiving: Receiving::Sender,
        others: None,
    }
}

/// Usage of each hop in each round.
fn hop_records(placement: &Placement, known: KnownPlacement, rounds: u32) -> Vec<HopRecord> {
    let hops = placement.hops.iter().map(|hop| HopRecord {
        role: hop.role,
        kind: hop.kind,
        engine: EngineName::Builtin,
        notes: Vec::new(),
        rounds: (0..rounds)
            .map(|round| {
                let total = cost(known, hop.role, round) * 1_000.0 * OPERATIONS as f64;
                let cpu = Cpu { total: Nanos(total as u64), ..Cpu::default() };
                let usage = Usage { cpu, ..Usage::default() };
                HopRound { round, usage, memory: Memory::default(), counted: None }
            })
            .collect(),
    });
    hops.collect()
}

/// Adds a latency pass in which TLS takes 300 µs in its handshake and makes the whole that much
/// longer. The median of a round strays by some µs.
fn with_latency(mut record: LabRecord) -> LabRecord {
    let (rate, pass) = (Rate::per_second(200.0).unwrap(), LatencyPass::default());
    record.lab.latency = Some(pass);
    let timed = record.lab.placements.iter().map(|placement| {
        let scenario = record.lab.latency_scenario(placement, rate, &pass, &files()).unwrap();
        let is_tls = scenario.targets[0].scheme == crate::scenario::Scheme::Https;
        let mut client = TargetRecord::new(scenario.targets[0].name.clone());
        for round in 0..pass.rounds {
            let mut tally = Tally::new();
            let stray = SplitMix64::new(u64::from(round) + placement.name.len() as u64).next() % 9;
            let mut times = vec![
                (Phase::Connect, 50),
                (Phase::FirstByte, 400),
                (Phase::LastByte, 410),
                (Phase::Corrected, 500 + if is_tls { 300 } else { 0 }),
            ];
            if is_tls {
                times.extend([(Phase::Handshake, 250), (Phase::Confirmed, 300)]);
                tally.shape.full = 200;
            }
            for (phase, micros) in times {
                let took = Nanos::from_micros(micros + stray);
                (0..200).for_each(|_| tally.record(phase, took));
            }
            (tally.succeeded, tally.scheduled, tally.connections) = (200, 200, 200);
            let lap = Lap { wall: Nanos::from_millis(1_000), ..Lap::default() };
            client.push(&Measured { round, tally: &tally, lap: &lap, wait_max: Nanos(0) });
        }
        let hops = placement.hops.iter().map(|hop| HopRecord {
            role: hop.role,
            kind: hop.kind,
            engine: EngineName::Builtin,
            notes: Vec::new(),
            rounds: (0..pass.rounds)
                .map(|round| HopRound {
                    round,
                    usage: Usage {
                        cpu: Cpu { total: Nanos::from_millis(100), ..Cpu::default() },
                        ..Usage::default()
                    },
                    memory: Memory::default(),
                    counted: None,
                })
                .collect(),
        });
        TrialRecord {
            placement: placement.name.clone(),
            workload: Workload::Full,
            pass: Pass::Latency,
            rate: Some(rate.as_f64()),
            scenario: scenario.to_toml().unwrap(),
            made: Vec::new(),
            hops: hops.collect(),
            client,
        }
    });
    let timed: Vec<TrialRecord> = timed.collect();
    record.trials.extend(timed);
    record
}

fn verdict(verdicts: &Verdicts, name: &str, against: &str) -> Verdict {
    let found = verdicts.findings.iter().map(|finding| &finding.finding);
    let mut found = found.filter(|finding| finding.name == name && finding.against == against);
    let only = found.next().unwrap_or_else(|| panic!("{name} and {against} were not compared"));
    assert!(found.next().is_none());
    only.verdict
}

#[test]
fn what_tls_costs_is_found_beside_the_twin_and_at_its_hop() {
    let record = record();
    let verdicts = verdicts(&record);
    assert_eq!(verdicts.gates, []);
    for (name, twin, ends) in [
        ("lb-terminate", "plaintext", Role::Lb),
        ("ingress-terminate", "plaintext-l4", Role::Ingress),
        ("passthrough", "plaintext-l4l4", Role::Backend),
    ] {
        assert_eq!(verdict(&verdicts, name, twin), Verdict::CostsMore);
        let finding = verdicts.findings.iter().find(|f| f.finding.name == name).unwrap();
        let difference = finding.finding.difference.unwrap();
        assert!((98.0..102.0).contains(&difference.value), "{difference:?}");
        let row = verdicts.rows.iter().find(|row| row.placement == name).unwrap();
        for hop in &row.hops {
            let cost = hop.cost.unwrap();
            let wanted = if hop.role == ends { 120.0..124.0 } else { 20.0..24.0 };
            assert!(wanted.contains(&cost.value), "{name} {}: {cost:?}", hop.role);
        }
        let total = row.total.unwrap();
        let sum: f64 = row.hops.iter().map(|hop| hop.cost.unwrap().value).sum();
        assert!((total.value - sum).abs() < 1e-6, "{total:?} {sum}");
        let client = row.client.unwrap();
        assert!((client.value - 50.0).abs() < 1e-9, "{client:?}");
        assert_eq!((row.operations, row.rounds), (8 * OPERATIONS, 8));
    }
}

#[test]
fn the_three_ends_are_compared_in_pairs() {
    let verdicts = verdicts(&record());
    for (name, against) in [
        ("ingress-terminate", "lb-terminate"),
        ("passthrough", "lb-terminate"),
        ("passthrough", "ingress-terminate"),
    ] {
        assert_eq!(verdict(&verdicts, name, against), Verdict::Equal { within: 0.05 });
    }
    assert_eq!(verdicts.findings.len(), 6);
}

#[test]
fn what_tls_adds_to_each_phase_is_found_beside_the_twin() {
    let judged = verdicts(&with_latency(record()));
    assert_eq!(judged.gates, []);
    let latency = judged.latency.as_ref().unwrap();
    assert_eq!(latency.rate, 200.0);
    let added = |name: &str, against: &str, phase: &str| {
        let found = latency.findings.iter().find(|found| {
            let finding = &found.finding;
            (&*finding.name, &*finding.against, found.phase) == (name, against, phase)
        });
        found.map(|found| (found.finding.difference.unwrap(), found.finding.verdict))
    };
    for (name, twin) in [("lb-terminate", "plaintext"), ("passthrough", "plaintext-l4l4")] {
        for (phase, micros) in
            [("connect", 0.0), ("handshake", 250.0), ("confirmed", 300.0), ("first_byte", 0.0)]
        {
            let (difference, verdict) = added(name, twin, phase).unwrap();
            assert!((difference.value - micros).abs() < 9.0, "{name} {phase}: {difference:?}");
            assert!(difference.low <= difference.value && difference.value <= difference.high);
            assert_eq!(
                verdict,
                Verdict::Inconclusive { reason: InconclusiveReason::Undeclared },
                "{phase}"
            );
        }
        let (difference, verdict) = added(name, twin, "corrected").unwrap();
        assert!((difference.value - 300.0).abs() < 9.0, "{difference:?}");
        assert_eq!(verdict, Verdict::CostsMore);
    }
    let (_, verdict) = added("passthrough", "lb-terminate", "corrected").unwrap();
    assert_eq!(verdict, Verdict::Equal { within: 0.1 });
    let row = latency.rows.iter().find(|row| row.placement == "lb-terminate").unwrap();
    let whole = row.phases.last().unwrap();
    assert_eq!(whole.phase, "corrected");
    assert!((800.0..810.0).contains(&whole.p50.unwrap().value), "{whole:?}");
    assert!(whole.p99_not_judged.unwrap() >= 800.0);
    // Three hops that each used 100 ms of a second of the one core that they have.
    assert!((row.busy.unwrap() - 0.3).abs() < 1e-9);
    assert!((row.hops[0].busy.unwrap() - 0.1).abs() < 1e-9);
    // The CPU pass is judged as without.
    assert_eq!(judged.rows, verdicts(&record()).rows);
    assert_eq!(verdict_of_cpu(&judged), Verdict::CostsMore);
    assert_eq!(verdicts(&record()).latency, None);
}

fn verdict_of_cpu(judged: &Verdicts) -> Verdict {
    verdict(judged, "passthrough", "plaintext-l4l4")
}

#[test]
fn a_gate_of_the_latency_pass_silences_latency_only() {
    let mut late = with_latency(record());
    let is_it =
        |trial: &&mut TrialRecord| trial.pass == Pass::Latency && trial.placement == "passthrough";
    let trial = late.trials.iter_mut().find(is_it).unwrap();
    for round in &mut trial.client.rounds {
        round.busiest_thread_ns = Nanos::from_millis(900);
    }
    let judged = verdicts(&late);
    assert_eq!(judged.gates.iter().map(|gate| gate.name).collect::<Vec<_>>(), ["generator-busy"]);
    assert!(judged.gates[0].warning.cure.contains("`latency.share`"), "{:?}", judged.gates);
    let silent = Verdict::Inconclusive { reason: InconclusiveReason::Spoiled };
    for found in judged.latency.as_ref().unwrap().findings.iter() {
        let finding = &found.finding;
        let is_of_it = finding.name == "passthrough" || finding.against == "passthrough";
        if found.phase == "corrected" {
            assert_eq!(finding.verdict == silent, is_of_it, "{finding:?}");
        }
    }
    assert_eq!(verdict_of_cpu(&judged), Verdict::CostsMore);

    // And one of the CPU pass does not silence latency.
    let mut busy = with_latency(record());
    busy.others = Some(OtherProcesses { share: 0.06, top: "cc1plus".to_owned(), top_ns: Nanos(5) });
    let judged = verdicts(&busy);
    assert_eq!(verdict_of_cpu(&judged), silent);
    let mut whole = judged.latency.iter().flat_map(|latency| &latency.findings);
    assert!(whole.any(|found| found.finding.verdict == Verdict::CostsMore));
}

#[test]
fn a_row_says_its_loop_and_how_busy_hops_were() {
    let mut record = record();
    let judged = verdicts(&record);
    let row = judged.rows.iter().find(|row| row.placement == "plaintext").unwrap();
    assert_eq!(row.load, "closed loop of 16 connections, 1 request each");
    // Eight rounds of 0.4 s, and about 21 µs for each of 1,000 operations.
    for hop in &row.hops {
        assert!((0.045..0.065).contains(&hop.busy.unwrap()), "{hop:?}");
    }
    let sum: f64 = row.hops.iter().map(|hop| hop.busy.unwrap()).sum();
    assert!((row.busy.unwrap() - sum).abs() < 1e-9);
    record.hop_cores = vec![1, 2];
    let halved = verdicts(&record).rows.remove(0).busy.unwrap();
    assert!((halved - judged.rows[0].busy.unwrap() / 2.0).abs() < 1e-9);
    assert_eq!(row.gbit_per_core, None);
    for trial in &mut record.trials {
        trial.workload = Workload::Bulk64k;
        for round in &mut trial.client.rounds {
            round.bytes_read = 64 * 1024 * OPERATIONS;
        }
    }
    let row = verdicts(&record).rows.into_iter().find(|row| row.placement == "plaintext").unwrap();
    // 64 KiB in about 3 × 21 µs.
    let gbit = row.gbit_per_core.unwrap();
    assert!((7.5..9.0).contains(&gbit.value), "{gbit:?}");
}

#[test]
fn two_hops_with_their_labels_swapped_are_seen() {
    let mut record = record();
    let trial = record.trials.iter_mut().find(|trial| trial.placement == "lb-terminate").unwrap();
    trial.hops[0].role = Role::Ingress;
    trial.hops[1].role = Role::Lb;
    let verdicts = verdicts(&record);
    let row = verdicts.rows.iter().find(|row| row.placement == "lb-terminate").unwrap();
    let lb = row.hops.iter().find(|hop| hop.role == Role::Lb).unwrap();
    assert!(lb.cost.unwrap().value < 30.0, "TLS is not at the hop that is called so");
}

#[test]
fn a_gate_takes_the_word_away_from_what_it_spoils_only() {
    let mut one = record();
    let trial = one.trials.iter_mut().find(|trial| trial.placement == "passthrough").unwrap();
    for round in &mut trial.client.rounds {
        round.failed.insert("timeout".to_owned(), 10);
    }
    let judged = verdicts(&one);
    assert_eq!(judged.gates.len(), 1);
    let silent = Verdict::Inconclusive { reason: InconclusiveReason::Spoiled };
    assert_eq!(verdict(&judged, "passthrough", "plaintext-l4l4"), silent);
    assert_eq!(verdict(&judged, "passthrough", "lb-terminate"), silent);
    assert_eq!(verdict(&judged, "lb-terminate", "plaintext"), Verdict::CostsMore);

    let mut busy = record();
    let (share, top, top_ns) = (0.06, "cc1plus".to_owned(), Nanos(5));
    busy.others = Some(OtherProcesses { share, top, top_ns });
    let judged = verdicts(&busy);
    assert!(judged.findings.iter().all(|finding| finding.finding.verdict == silent));
    busy.others = busy.others.map(|others| OtherProcesses { share: 0.04, ..others });
    assert_eq!(verdicts(&busy).gates, []);
}

#[test]
fn a_record_survives_being_written_and_rounds_that_are_missing_are_left_out() {
    let mut record = record();
    let text = record.to_json().unwrap();
    assert_eq!(LabRecord::from_json(&text).unwrap(), record);
    // As when it was interrupted: the last round of one side only.
    let trial = record.trials.iter_mut().find(|trial| trial.placement == "plaintext").unwrap();
    trial.client.rounds.pop();
    let judged = verdicts(&record);
    let finding = judged.findings.iter().find(|f| f.finding.name == "lb-terminate").unwrap();
    assert_eq!(finding.finding.difference.unwrap().runs, 7);
}

/// Paths of all fields, as the page writes them: names that are data are `*`.
fn paths(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    use serde_json::Value::{Array, Object};
    match value {
        // Described elsewhere.
        _ if ["trials[].client", "environment", "notes[]"].contains(&path) => {}
        Object(fields) if path == "lab.engines" => {
            fields.values().for_each(|value| paths(value, "lab.engines.*", found));
        }
        Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                paths(value, &format!("{path}{dot}{name}"), found);
            }
        }
        Array(values) => values.iter().for_each(|value| paths(value, &format!("{path}[]"), found)),
        _ => drop(found.insert(path.to_owned())),
    }
}

#[test]
fn the_page_names_every_field_and_no_other() {
    let mut full = record();
    full.lab.engines.insert(Role::Lb, EngineName::Nginx);
    full.others = Some(OtherProcesses { share: 0.1, top: "other".to_owned(), top_ns: Nanos(1) });
    full.trials[0].hops[0].notes.push("its own way".to_owned());
    let counted = EngineCounters::default();
    full.trials[0].made.push(MadeRound { round: 0, made: counted, failed: 0 });
    full.trials[0].hops[0].rounds[0].counted = Some(counted);
    full.lab.latency = Some(LatencyPass::default());
    full.pilot.push(PilotRecord {
        placement: "mtls".to_owned(),
        operations_per_second: 1.0,
        generator_share: 0.5,
        hops_ns: vec![1.0],
    });
    let rest = Some(Rest { wall: Nanos(2), cpu: Nanos(1) });
    let role = Role::Lb;
    let hop = IdleHop { role, before_bytes: 1, after_bytes: 2, bytes_per_connection: 1.0, rest };
    full.held_out = Some(HeldOut { fit_sha256: "00".to_owned(), from_round: 1, mix: full.lab.mix });
    let placement = "mtls".to_owned();
    let hops = vec![hop, IdleHop { rest: None, ..hop }];
    full.idle.push(IdleRecord { placement, round: 0, connections: 1, hops });
    let mut written = BTreeSet::new();
    paths(&serde_json::to_value(&full).unwrap(), "", &mut written);
    let page = include_str!("../../../../docs/placements.md");
    let named: BTreeSet<String> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    let (missing, unknown) = (
        written.difference(&named).collect::<Vec<_>>(),
        named.difference(&written).collect::<Vec<_>>(),
    );
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}
