//! Over records that were made up, so that what comes out is known.

use std::collections::BTreeSet;

use super::*;
use crate::compare::{Silence, Verdict};
use crate::plan::lab::{ClientFiles, Lab, LatencyPass};
use crate::random::SplitMix64;
use crate::record::lab::{
    HopRecord, HopRound, IdleHop, IdleRecord, LabRecord, Others, PilotRecord,
};
use crate::record::{Environment, Measured, SCHEMA, TargetRecord};
use crate::tally::Tally;
use crate::units::Nanos;
use crate::usage::{Cpu, Lap, Memory, Usage};

/// Operations of each slice.
const OPERATIONS: u64 = 1_000;

/// Microseconds per operation that a hop costs: TLS that it ends costs 100, and there is noise that all
/// slices of a round share, and some that they do not.
fn cost(known: Known, role: Role, round: u32) -> f64 {
    let ends = match known {
        Known::LbTerminate => role == Role::Lb,
        Known::IngressTerminate => role == Role::Ingress,
        Known::Passthrough => role == Role::Backend,
        _ => false,
    };
    let place = (u64::from(round) << 16) + ((known as u64) << 8) + role as u64;
    let own = SplitMix64::new(SplitMix64::new(place).next()).unit();
    20.0 + f64::from(round % 3) + own + if ends { 100.0 } else { 0.0 }
}

fn record() -> LabRecord {
    let chosen = [Known::LbTerminate, Known::IngressTerminate, Known::Passthrough];
    let placements = Lab::with_twins(&chosen.map(Known::placement));
    let lab = Lab { placements, workloads: vec![Workload::Full], ..Lab::default() };
    let files = ClientFiles {
        ca_bundle: "ca.crt".into(),
        certificate: "client.crt".into(),
        key: "client.key".into(),
    };
    let trials = lab.placements.iter().map(|placement| {
        let known: Known = placement.name.parse().unwrap();
        let scenario = lab.scenario(placement, Workload::Full, &files).unwrap();
        let mut client = TargetRecord::new(format!("{known}/full"));
        let is_tls = scenario.targets[0].scheme == crate::plan::Scheme::Https;
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
        let hops = placement.hops.iter().map(|hop| HopRecord {
            role: hop.role,
            kind: hop.kind,
            engine: EngineName::Builtin,
            notes: Vec::new(),
            rounds: (0..lab.rounds)
                .map(|round| {
                    let total = cost(known, hop.role, round) * 1_000.0 * OPERATIONS as f64;
                    let cpu = Cpu { total: Nanos(total as u64), ..Cpu::default() };
                    let usage = Usage { cpu, ..Usage::default() };
                    HopRound { round, usage, memory: Memory::default() }
                })
                .collect(),
        });
        TrialRecord {
            placement: placement.name.clone(),
            workload: Workload::Full,
            pass: Pass::Cpu,
            rate: None,
            scenario: scenario.to_toml().unwrap(),
            hops: hops.collect(),
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
        lab: lab.clone(),
        environment: Environment::default(),
        notes: Vec::new(),
        generator_cores: vec![0],
        hop_cores: vec![1],
        others: None,
    }
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
    let silent = Verdict::None { why: Silence::Spoiled };
    assert_eq!(verdict(&judged, "passthrough", "plaintext-l4l4"), silent);
    assert_eq!(verdict(&judged, "passthrough", "lb-terminate"), silent);
    assert_eq!(verdict(&judged, "lb-terminate", "plaintext"), Verdict::CostsMore);

    let mut busy = record();
    let (share, top, top_ns) = (0.06, "cc1plus".to_owned(), Nanos(5));
    busy.others = Some(Others { share, top, top_ns });
    let judged = verdicts(&busy);
    assert!(judged.findings.iter().all(|finding| finding.finding.verdict == silent));
    busy.others = busy.others.map(|others| Others { share: 0.04, ..others });
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
    full.others = Some(Others { share: 0.1, top: "other".to_owned(), top_ns: Nanos(1) });
    full.trials[0].hops[0].notes.push("its own way".to_owned());
    full.lab.latency = Some(LatencyPass::default());
    full.pilot.push(PilotRecord {
        placement: "mtls".to_owned(),
        operations_per_second: 1.0,
        generator_share: 0.5,
        hops_ns: vec![1.0],
    });
    let hop =
        IdleHop { role: Role::Lb, before_bytes: 1, after_bytes: 2, bytes_per_connection: 1.0 };
    full.idle.push(IdleRecord { placement: "mtls".to_owned(), connections: 1, hops: vec![hop] });
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
