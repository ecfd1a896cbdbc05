//! Over the committed record of a run over placements.

use super::*;
use crate::record::lab::{IdleHop, IdleRecord};
use crate::stats::ratio_of_sums;
use crate::units::Nanos;

/// A run over the three places where TLS can end, and their twins; `make.sh` beside it made it.
pub(in crate::report) fn record() -> LabRecord {
    LabRecord::from_json(include_str!("../../../../../tests/fixtures/report/placements.json"))
        .unwrap()
}

fn report() -> LabReport {
    LabReport::new("placements.json", &record())
}

#[test]
fn every_trial_has_the_cost_of_each_hop_and_of_all_together() {
    let (record, report) = (record(), report());
    assert_eq!(report.trials.len(), record.trials.len());
    for (told, trial) in report.trials.iter().zip(&record.trials) {
        assert_eq!((&told.placement, told.workload), (&trial.placement, trial.workload));
        let mut sum = 0.0;
        for (hop, recorded) in told.hops.iter().zip(&trial.hops) {
            let pairs: Vec<(f64, f64)> = recorded
                .rounds
                .iter()
                .zip(&trial.client.rounds)
                .map(|(used, round)| (used.usage.cpu.total.0 as f64, round.succeeded as f64))
                .collect();
            let want = ratio_of_sums(&pairs).unwrap();
            let seen = hop.cpu_ns_per_operation.unwrap();
            assert!((seen.value - want.value).abs() < 1e-6 * want.value, "{seen:?} {want:?}");
            assert!((seen.low - want.low).abs() < 1e-6 * want.value, "{seen:?} {want:?}");
            sum += seen.value;
            let peak = recorded.rounds.iter().map(|round| round.memory.peak_bytes).max();
            assert_eq!(Some(hop.peak_bytes), peak);
            assert!(hop.user_share.is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
        let total = told.cpu_ns_per_operation.unwrap().value;
        assert!((total - sum).abs() < 1e-6 * sum, "{total} {sum}");
        let cores = told.cores_at_1000_per_second.unwrap().value;
        assert!((cores - total / 1e6).abs() < 1e-9, "1 ms a time, 1,000 times a second: one core");
    }
}

#[test]
fn each_placement_stands_beside_its_twin_and_a_twin_beside_none() {
    let report = report();
    for placement in &report.placements {
        let effect = report.beside_twin(&placement.name, Workload::Full, Pass::Cpu);
        assert_eq!(effect.map(|effect| &effect.against), placement.twin.as_ref());
        assert_eq!(placement.twin.is_none(), placement.name.starts_with("plaintext"));
    }
    let effects = report.effects_of(Workload::KeepAlive, Pass::Cpu);
    let twins: Vec<bool> = effects.iter().map(|effect| effect.is_twin).collect();
    assert_eq!(twins, [true, true, true, false, false, false]);
}

#[test]
fn words_say_where_tls_ends_and_who_passes_it_on() {
    use crate::placement::KnownPlacement;
    let lab = crate::lab::Lab::default();
    let mut record = record();
    record.lab = lab;
    let report = LabReport::new("a.json", &record);
    let says = |known: KnownPlacement| {
        let found = report.placements.iter().find(|placement| placement.name == known.as_str());
        found.unwrap().ends.as_str()
    };
    for (known, text) in [
        (KnownPlacement::Plaintext, "No TLS anywhere."),
        (KnownPlacement::LbTerminate, "TLS ends at the load balancer."),
        (KnownPlacement::LbReencrypt, "TLS ends at the load balancer, and again at the ingress."),
        (
            KnownPlacement::IngressTerminate,
            "TLS ends at the ingress; the load balancer passes it on.",
        ),
        (
            KnownPlacement::IngressReencrypt,
            "TLS ends at the ingress, and again at the backend; the load balancer passes it on.",
        ),
        (KnownPlacement::UpstreamTls, "TLS ends at the backend; clients come without it."),
        (
            KnownPlacement::Passthrough,
            "TLS ends at the backend; load balancer and ingress pass it on.",
        ),
        (
            KnownPlacement::Mtls,
            "TLS with certificates of both sides ends at the load balancer, and again at the ingress \
             and backend.",
        ),
    ] {
        assert_eq!(says(known), text);
    }
}

/// The effects of a workload, with verdicts of our own.
fn told(verdict: impl Fn(&str, &str) -> (&'static str, &'static str, f64)) -> Vec<EffectReport> {
    let mut effects = report().effects;
    for effect in &mut effects {
        let (word, says, value) = verdict(&effect.placement, &effect.against);
        (effect.verdict, effect.says) = (word, says.to_owned());
        effect.ratio = Some(Estimate { value, low: value * 0.8, high: value * 1.25, runs: 6 });
    }
    effects
}

fn said(effects: &[EffectReport]) -> String {
    says::statements(&[], effects, &[]).remove(0).text
}

#[test]
fn a_statement_names_the_place_that_is_borne_out_to_cost_least() {
    let lb = told(|_, against| match against {
        "lb-terminate" => ("costs-more", "costs more", 2.0),
        _ => ("cannot-tell", "cannot tell", 1.0),
    });
    assert_eq!(
        said(&lb),
        "Per connection with a full handshake, all hops together use least CPU where TLS ends at the \
         load balancer; at the ingress they use 2.00 × as much (1.60 to 2.50), at the backend 2.00 × \
         (1.60 to 2.50)."
    );
    let passed = told(|this, _| match this {
        "passthrough" => ("costs-less", "costs less", 0.5),
        _ => ("equal", "equal within 5 %", 1.0),
    });
    let text = said(&passed);
    assert!(text.contains("least CPU where TLS ends at the backend"), "{text}");
    assert!(text.contains("at the ingress 2.00 × (1.60 to 2.50)"), "{text}");
}

#[test]
fn a_statement_names_each_pair_where_none_costs_least() {
    let effects = told(|_, against| match against {
        "lb-terminate" => ("equal", "equal within 5 %", 1.0),
        _ => ("costs-more", "costs more", 1.5),
    });
    assert_eq!(
        said(&effects),
        "Per connection with a full handshake, in CPU time of all hops: ingress-terminate and \
         lb-terminate are equal within 5 % (1.00 ×, 0.80 to 1.25); passthrough and lb-terminate are \
         equal within 5 % (1.00 ×, 0.80 to 1.25); passthrough costs more than ingress-terminate \
         (1.50 ×, 1.20 to 1.88)."
    );
    let twins: Vec<EffectReport> =
        effects.iter().filter(|effect| effect.is_twin).cloned().collect();
    assert!(said(&twins).contains("lb-terminate costs more than plaintext (1.50 ×"));
    assert_eq!(says::statements(&[], &[], &[]), []);
}

#[test]
fn where_nothing_may_be_said_the_statement_says_why_and_what_to_do() {
    let mut record = record();
    record.others =
        Some(OtherProcesses { share: 0.5, top: "rustc".into(), top_ns: Nanos::from_millis(9_000) });
    let report = LabReport::new("a.json", &record);
    assert!(!report.valid);
    let text = &report.statements[0].text;
    assert!(text.contains("no verdict: other processes used 50.0 % of the machine"), "{text}");
    assert!(text.contains("stop them"), "{text}");
}

/// The record with a mix that was held out of its costs, as a run makes it.
pub(in crate::report) fn with_held_out(mut record: LabRecord) -> LabRecord {
    let chosen = crate::cost::held_out(&record, record.lab.mixed_from());
    record.lab.mix = chosen.mix;
    record.held_out = Some(chosen);
    let mut mixes: Vec<_> = record
        .trials
        .iter()
        .filter(|trial| (trial.workload, trial.pass) == (Workload::KeepAlive, Pass::Cpu))
        .cloned()
        .collect();
    mixes.iter_mut().for_each(|trial| trial.workload = Workload::Mix);
    record.trials.extend(mixes);
    record
}

#[test]
fn what_was_predicted_of_a_held_out_mix_stands_beside_what_was_measured() {
    assert_eq!(report().model, None);
    let record = with_held_out(record());
    let model = LabReport::new("a.json", &record).model.unwrap();
    assert_eq!(model.rows.len(), 18, "three hops of six placements");
    for row in &model.rows {
        let trial = record.trial(&row.placement, Workload::Mix).unwrap();
        let hop = trial.hops.iter().find(|hop| hop.role == row.role).unwrap();
        let used: u64 = hop.rounds.iter().map(|round| round.usage.cpu.total.0).sum();
        let wall: u64 = trial.client.rounds.iter().map(|round| round.wall_ns.0).sum();
        assert!((row.measured_cores - used as f64 / wall as f64).abs() < 1e-9);
    }
    assert_eq!(model.holds, model.rows.iter().all(|row| row.holds));
    let mut edited = record;
    edited.lab.mix.requests += 1;
    let model = LabReport::new("a.json", &edited).model.unwrap();
    assert!(!model.holds && model.says.contains("chosen by other costs"), "{}", model.says);
}

#[test]
fn a_record_of_no_trials_is_reported_without_figures() {
    let mut record = record();
    record.trials.clear();
    let report = LabReport::new("a.json", &record);
    assert!(report.trials.is_empty() && report.effects.is_empty() && report.statements.is_empty());
    assert_eq!(report.placements.len(), 6);
}

#[test]
fn memory_of_idle_connections_has_an_interval_once_it_was_read_again() {
    // As records were before they had more than one reading.
    let old = r#"{"placement": "lb-terminate", "connections": 100, "hops": [
        {"role": "lb", "before_bytes": 1000, "after_bytes": 3000, "bytes_per_connection": 20.0},
        {"role": "backend", "before_bytes": 500, "after_bytes": 700, "bytes_per_connection": 2.0}]}"#;
    let old: IdleRecord = serde_json::from_str(old).unwrap();
    assert_eq!(old.round, 0);
    let mut record = record();
    record.idle = vec![old.clone()];
    let told = &LabReport::new("old.json", &record).idle[0];
    let figures = |each: &BytesEach| (each.bytes_per_connection, each.interval);
    assert_eq!((told.readings, figures(&told.hops[0].each)), (1, (20.0, None)));
    assert_eq!(figures(&told.all), (22.0, None));

    let mut again = IdleRecord { round: 1, ..old.clone() };
    again.hops[0] = IdleHop {
        before_bytes: 2_000,
        after_bytes: 5_000,
        bytes_per_connection: 30.0,
        ..again.hops[0]
    };
    let other = IdleRecord { placement: "plaintext".to_owned(), ..old.clone() };
    // In whatever order rounds had them, placements come as they do elsewhere.
    record.idle = vec![other, again, old];
    let report = LabReport::new("new.json", &record);
    let names: Vec<&str> = report.idle.iter().map(|idle| idle.placement.as_str()).collect();
    assert_eq!(names, ["lb-terminate", "plaintext"]);
    let told = &report.idle[0];
    let lb = &told.hops[0];
    assert_eq!((told.connections, told.readings), (100, 2));
    assert_eq!((lb.before_bytes, lb.after_bytes), (1_500, 4_000));
    let interval = lb.each.interval.unwrap();
    assert_eq!((lb.each.bytes_per_connection, interval.value, interval.runs), (25.0, 25.0, 2));
    // Student's t for one degree of freedom, and the standard error of 20 and 30.
    assert!((interval.high - interval.value - 12.706 * 5.0).abs() < 0.01, "{interval:?}");
    let of_backend = told.hops[1].each.interval.unwrap();
    assert_eq!((of_backend.low, of_backend.high), (2.0, 2.0));
    assert_eq!(told.all.bytes_per_connection, 27.0);
    assert_eq!(report.idle[1].readings, 1);
}
