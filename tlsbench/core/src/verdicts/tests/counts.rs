//! Over records in which client and hops counted the same, or did not.

use super::*;
use crate::hop::EngineCounters;
use crate::record::lab::MadeRound;

/// A record in which every side counted what the client made; `change` may change what a hop did.
fn counted(known: KnownPlacement, change: impl Fn(Role, &mut EngineCounters)) -> LabRecord {
    let mut record = record_of(&[known]);
    let trial = &mut record.trials[0];
    let made = EngineCounters {
        connections: OPERATIONS,
        full: OPERATIONS,
        resumed: 0,
        requests: Some(OPERATIONS),
        dialled_full: None,
        dialled_resumed: None,
    };
    trial.made = (0..8).map(|round| MadeRound { round, made, failed: 0 }).collect();
    for hop in &mut trial.hops {
        for used in &mut hop.rounds {
            let mut counted =
                EngineCounters { dialled_full: Some(0), dialled_resumed: Some(0), ..made };
            if known == KnownPlacement::LbReencrypt {
                match hop.role {
                    Role::Lb => {
                        (counted.dialled_full, counted.dialled_resumed) = (Some(50), Some(90));
                    }
                    _ => (counted.connections, counted.full, counted.resumed) = (140, 50, 90),
                }
            }
            change(hop.role, &mut counted);
            used.counted = Some(counted);
        }
    }
    record
}

/// Text of the gate, if it fails.
fn disagreement(record: &LabRecord) -> Option<String> {
    let gates = verdicts(record).gates;
    let mut found = gates.into_iter().filter(|gate| gate.name == "counts");
    let gate = found.next()?;
    assert_eq!((gate.spoils, found.next()), (&[Family::Cpu][..], None));
    Some(format!("{} {}", gate.target.unwrap(), gate.warning))
}

#[test]
fn counts_that_agree_but_for_what_is_under_way_at_the_end_shut_no_gate() {
    for known in
        [KnownPlacement::LbTerminate, KnownPlacement::IngressTerminate, KnownPlacement::Passthrough]
    {
        assert_eq!(disagreement(&counted(known, |_, _| {})), None);
        // 16 connections in each of 8 rounds.
        let late = |_: Role, counted: &mut EngineCounters| {
            counted.full += 16;
            counted.connections -= 16;
            counted.requests = Some(OPERATIONS - 16);
        };
        assert_eq!(disagreement(&counted(known, late)), None);
    }
    // A proxy that counts nothing is not judged, and neither is a record without counts.
    let mut unknown = counted(KnownPlacement::LbTerminate, |_, counted| counted.full = 0);
    for trial in &mut unknown.trials {
        trial.hops[0].rounds[3].counted = None;
    }
    assert_eq!(disagreement(&unknown), None);
}

#[test]
fn a_hop_that_counts_otherwise_than_the_client_spoils_the_cpu_family() {
    type Change = fn(&mut EngineCounters);
    let changes: [(Change, &str); 5] = [
        (
            |counted| counted.full -= 17,
            "the client counted 8000 full handshakes and the {} 7864 in 8 rounds, with 128",
        ),
        (|counted| counted.full *= 2, "full handshakes"),
        (|counted| counted.connections += 17, "connections"),
        (|counted| counted.requests = Some(OPERATIONS - 17), "requests"),
        (|counted| (counted.full, counted.resumed) = (0, OPERATIONS), "full handshakes"),
    ];
    for (known, ends) in
        [(KnownPlacement::LbTerminate, Role::Lb), (KnownPlacement::IngressTerminate, Role::Ingress)]
    {
        for (change, wanted) in changes {
            let record = counted(known, |role, counted| {
                if role == ends {
                    change(counted);
                }
            });
            let said = disagreement(&record).unwrap();
            let wanted = wanted.replace("{}", ends.as_str());
            assert!(said.contains(&wanted) && said.contains(ends.as_str()), "{said}");
            let findings = verdicts(&record).findings;
            let of = |finding: &&WorkloadFinding| finding.finding.name == known.as_str();
            let silent = findings.iter().filter(of).all(|finding| {
                finding.finding.verdict
                    == Verdict::Inconclusive { reason: InconclusiveReason::Spoiled }
            });
            assert!(silent, "{findings:#?}");
        }
    }
    let upstream = |full, resumed| {
        disagreement(&counted(KnownPlacement::LbReencrypt, |role, counted| {
            if role == Role::Ingress {
                (counted.full, counted.resumed) = (full, resumed);
            }
        }))
    };
    assert_eq!((upstream(50, 90), upstream(66, 74)), (None, None));
    let said = upstream(67, 73).unwrap();
    assert!(said.contains("the lb counted 400 full handshakes between them and the ingress 536"));
    // A relay counts connections, and what goes on behind where TLS ends is of no client.
    let relay = counted(KnownPlacement::IngressTerminate, |role, counted| match role {
        Role::Lb => counted.full = 0,
        Role::Backend => counted.connections = 0,
        _ => {}
    });
    assert_eq!(disagreement(&relay), None);
    let relay = counted(KnownPlacement::IngressTerminate, |role, counted| {
        counted.connections += if role == Role::Lb { 17 } else { 0 };
    });
    assert!(disagreement(&relay).unwrap().contains("lb"));
}
